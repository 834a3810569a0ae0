// tests/unit/shm/doorbell_test.cc -- a ring reaches the sleeper, in poll and in the futex.
#include "shm/doorbell.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "shm/clock.h"
#include "tests/support/segment_fixture.h"

namespace {

using namespace sluice::shm;
using namespace std::chrono_literals;

constexpr ProcessIndex kSleeper = 4;
constexpr ProcessIndex kRinger = 5;

struct Bench {
  Segment segment = Segment::create(sluice::tests::small_geometry());
  Doorbell sleeper{segment, kSleeper, make_doorbell(segment.instance(), kSleeper)};
  Doorbell ringer{segment, kRinger, make_doorbell(segment.instance(), kRinger)};

  HalfWord& word() { return segment.process(kSleeper)->doorbell; }
  bool readable(int timeout_ms = 0) {
    pollfd bell{sleeper.poll_fd(), POLLIN, 0};
    return ::poll(&bell, 1, timeout_ms) == 1;
  }
};

TEST_CASE("a process that is awake is not rung") {
  Bench b;

  CHECK_FALSE(b.ringer.ring(kSleeper));

  CHECK(b.ringer.rings() == 0);
  CHECK_FALSE(b.readable());
}

TEST_CASE("a sleeper in poll is rung once, however often it is rung") {
  Bench b;
  b.sleeper.fall_asleep_in_poll();

  CHECK(b.ringer.ring(kSleeper));
  CHECK_FALSE(b.ringer.ring(kSleeper));

  CHECK(b.ringer.rings() == 1);
  CHECK(b.readable());
  b.sleeper.wake_up();
  CHECK_FALSE(b.readable());
}

TEST_CASE("a ring between setting the bit and sleeping is not lost") {
  Bench b;

  b.sleeper.fall_asleep_in_poll();
  b.ringer.ring(kSleeper);
  CHECK(b.readable());
  b.sleeper.wake_up();

  b.sleeper.fall_asleep_in_futex();
  b.ringer.ring(kSleeper);
  const uint64_t before = now_ms();
  b.sleeper.sleep_in_futex(60s);
  CHECK(now_ms() - before < 30'000);
}

TEST_CASE("waking by oneself leaves nothing to read and nobody ringing") {
  Bench b;
  b.sleeper.fall_asleep_in_poll();

  b.sleeper.wake_up();

  CHECK_FALSE(b.ringer.ring(kSleeper));
  CHECK_FALSE(b.readable());
}

TEST_CASE("a ringer that died between writing and clearing mutes nobody and wakes nobody for ever") {
  Bench b;
  b.sleeper.fall_asleep_in_poll();
  b.ringer.ring(kSleeper);
  b.word().fetch_or(kAsleepInPoll);  // as if it had not come to clearing

  SUBCASE("the next ringer rings again") { CHECK(b.ringer.ring(kSleeper)); }
  SUBCASE("a sleeper that says it was woken empties the bell") {
    b.sleeper.wake_up(true);
    CHECK_FALSE(b.readable());
  }
  SUBCASE("a sleeper that cannot tell empties it after a few turns") {
    int turns = 0;
    while (b.readable() && turns < 100) {
      b.sleeper.fall_asleep_in_poll();
      b.sleeper.wake_up();
      ++turns;
    }
    CHECK(turns <= 16);
  }
}

TEST_CASE("a ringer slow to clear does not clear the next sleep") {
  Bench b;
  b.sleeper.fall_asleep_in_poll();
  const uint32_t first = b.word().load();
  b.sleeper.wake_up();

  b.sleeper.fall_asleep_in_poll();

  CHECK(b.word().load() != first);
  uint32_t seen = first;  // what the slow ringer read
  CHECK_FALSE(b.word().compare_exchange_strong(seen, first & ~kAsleepInPoll));
}

TEST_CASE("ringing never blocks, and a sleeper whose buffer is full can be read") {
  Bench b;
  constexpr int kRings = 3000;  // more than any buffer of datagrams holds

  for (int i = 0; i < kRings; ++i) {
    b.sleeper.fall_asleep_in_poll();
    REQUIRE(b.ringer.ring(kSleeper));
  }

  CHECK(b.readable());
  int turns = 0;
  while (b.readable() && turns < kRings) {
    b.sleeper.wake_up(true);
    ++turns;
  }
  CHECK_FALSE(b.readable());
  b.sleeper.fall_asleep_in_poll();
  CHECK(b.ringer.ring(kSleeper));
  CHECK(b.readable());
}

TEST_CASE("ringing a row without a bell, or none at all, does nothing and clears the bit") {
  Bench b;
  HalfWord& word = b.segment.process(6)->doorbell;
  word = kAsleepInPoll;

  b.ringer.ring(6);

  CHECK(word.load() == 0);
  CHECK_FALSE(b.ringer.ring(999));
}

TEST_CASE("two gateways' doorbells do not hear each other") {
  Bench one;
  Bench two;
  one.sleeper.fall_asleep_in_poll();
  two.sleeper.fall_asleep_in_poll();

  one.ringer.ring(kSleeper);

  CHECK(one.readable());
  CHECK_FALSE(two.readable());
}

TEST_CASE("a futex sleeper is woken by a ring, and by its timeout") {
  Bench b;
  std::atomic<int> woken{0};
  std::thread thread([&] {
    for (int i = 0; i < 200; ++i) {
      b.sleeper.fall_asleep_in_futex();
      if (woken.load() == i) b.sleeper.sleep_in_futex(60s);
      b.sleeper.stay_awake();
      ++woken;
    }
  });

  const uint64_t before = now_ms();
  for (int i = 0; i < 200; ++i) {
    while (woken.load() == i) b.ringer.ring(kSleeper);
  }
  thread.join();

  CHECK(now_ms() - before < 30'000);
  b.sleeper.fall_asleep_in_futex();
  b.sleeper.sleep_in_futex(1ms);
  CHECK((b.word().load() & kAsleepInFutex) == 0);
}

TEST_CASE("staying awake takes the futex bit back") {
  Bench b;
  b.sleeper.fall_asleep_in_futex();

  b.sleeper.stay_awake();

  CHECK_FALSE(b.ringer.ring(kSleeper));
}

TEST_CASE("recovery wakes a futex sleeper whose ringer died after clearing the bit") {
  Bench b;
  std::atomic<bool> awake{false};
  b.sleeper.fall_asleep_in_futex();
  const uint32_t asleep = b.word().load();
  std::thread thread([&] {
    b.sleeper.sleep_in_futex(60s);
    awake = true;
  });

  // In the kernel or on its way there: either way the cleared bit or the wake reaches it.
  b.word().store(asleep & ~kAsleepInFutex);
  const uint64_t before = now_ms();
  while (!awake.load()) b.ringer.ring_surely(kSleeper);
  thread.join();

  CHECK(now_ms() - before < 30'000);
}

TEST_CASE("no wake-up is lost between two that ring each other, with nothing but the bells") {
  Bench b;
  std::atomic<uint32_t> ping{0};
  std::atomic<uint32_t> pong{0};
  constexpr uint32_t kRounds = 20'000;
  bool late = false;

  // Each waits for the other's count, sleeping without a bounded time but the test's deadline.
  const auto wait_in_poll = [&](Doorbell& bell, std::atomic<uint32_t>& count, uint32_t at_least) {
    while (count.load() < at_least) {
      bell.fall_asleep_in_poll();
      if (count.load() < at_least) {
        pollfd waiting{bell.poll_fd(), POLLIN, 0};
        if (::poll(&waiting, 1, 20'000) == 0) late = true;
      }
      bell.wake_up();
    }
  };
  const auto wait_in_futex = [&](Doorbell& bell, std::atomic<uint32_t>& count, uint32_t at_least) {
    while (count.load() < at_least) {
      bell.fall_asleep_in_futex();
      if (count.load() < at_least) {
        const uint64_t before = now_ms();
        bell.sleep_in_futex(20s);
        if (now_ms() - before > 15'000) late = true;
      }
      bell.stay_awake();
    }
  };
  std::thread other([&] {
    for (uint32_t i = 1; i <= kRounds; ++i) {
      wait_in_futex(b.ringer, ping, i);
      pong = i;
      b.ringer.ring(kSleeper);
    }
  });
  for (uint32_t i = 1; i <= kRounds; ++i) {
    ping = i;
    b.sleeper.ring(kRinger);
    wait_in_poll(b.sleeper, pong, i);
  }
  other.join();

  CHECK_FALSE(late);
}

}  // namespace
