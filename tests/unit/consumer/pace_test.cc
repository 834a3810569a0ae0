// tests/unit/consumer/pace_test.cc -- what is put off and what is passed on, at made-up times; then an
// attachment that goes by it.
#include "consumer/pace.h"

#include <memory>

#include "consumer/attachment.h"
#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace sluice;
using sluice::tests::FakeGateway;

namespace {

constexpr uint64_t kUs = 1000;
constexpr Pace::Rules kRules{.quick = 50us, .ring_delay = 1ms, .light_sleep = 100ms};

// A pace, and the time and count it is told.
struct Told {
  Pace pace{kRules};
  uint64_t now = 1'000'000 * kUs;
  uint64_t received = 0;

  // A sleep's end, some messages of `each` ns, and the next sleep.
  void burst(uint64_t messages, uint64_t each) {
    pace.wakes_up(now);
    for (uint64_t i = 0; i < messages; ++i) {
      ++received;
      static_cast<void>(pace.first_since_sleep(received));
      now += each;
    }
    pace.falls_asleep(now, received);
  }
};

// Bursts of 16 requests answered by an attachment that goes by `rules`; how many system calls the
// answers of the last one took. The worker never looks awake, so each ring is one.
uint64_t rings_of_a_burst(const Pace::Rules& rules) {
  constexpr uint32_t kRequests = 16;
  FakeGateway gateway;
  auto welcome = start_handshake(gateway.path());
  REQUIRE(welcome.ok());
  const auto let_go = [](Attachment* attachment) { attachment->let_go(); };
  const std::unique_ptr<Attachment, decltype(let_go)> attachment(
      new Attachment(std::move(*welcome), rules), let_go);
  const std::string_view channels[] = {"http.request"};
  REQUIRE(attachment->join(channels).ok());

  uint64_t rings = 0;
  for (int burst = 0; burst < 3; ++burst) {
    std::vector<ReplyAddress> exchanges;
    for (uint32_t i = 0; i < kRequests; ++i) {
      exchanges.push_back(gateway.open_connection(1));
      gateway.send("http.request", exchanges.back(), {{"path", "/"}}, false);
    }
    gateway.worker().ring();
    const uint64_t before = attachment->counts().rings;
    for (uint32_t i = 0; i < kRequests; ++i) {
      gateway.worker().doorbell().fall_asleep_in_poll();
      auto message = attachment->receive(UINT64_MAX);
      REQUIRE(message.ok());
      const Pair answer[] = {{"status_code", 200}, {"content", "x"}};
      REQUIRE(attachment->send(*message, MessageWriter(answer), 5s).ok());
    }
    gateway.worker().doorbell().fall_asleep_in_poll();
    // Nothing more comes: it sleeps a moment, and so learns how quick the burst was.
    CHECK(attachment->receive(shm::now_ns() + 1'000'000).error() == Error::kTimedOut);
    rings = attachment->counts().rings - before;
    gateway.worker().doorbell().wake_up(true);
    for (const ReplyAddress& exchange : exchanges) {
      static_cast<void>(gateway.reply());
      gateway.slots().close(exchange.slot);
    }
  }
  attachment->leave();
  return rings;
}

}  // namespace

TEST_CASE("a consumer is not quick before it was measured") { CHECK_FALSE(Pace(kRules).quick()); }

TEST_CASE("a few quick bursts make a consumer quick") {
  Told told;

  for (int i = 0; i < 8; ++i) told.burst(16, 10 * kUs);

  CHECK(told.pace.quick());
}

TEST_CASE("one slow burst ends it, and a few quick ones bring it back") {
  Told told;
  for (int i = 0; i < 8; ++i) told.burst(16, 10 * kUs);

  told.burst(1, 1'000'000 * kUs);
  CHECK_FALSE(told.pace.quick());

  for (int i = 0; i < 10; ++i) told.burst(16, 10 * kUs);
  CHECK(told.pace.quick());
}

TEST_CASE("a sleep that nothing interrupted says nothing about the pace") {
  Told told;
  for (int i = 0; i < 8; ++i) told.burst(16, 10 * kUs);

  for (int i = 0; i < 8; ++i) {
    told.pace.wakes_up(told.now);
    told.now += 1'000'000 * kUs;
    told.pace.falls_asleep(told.now, told.received);
  }

  CHECK(told.pace.quick());
}

TEST_CASE("sleep becomes deep when a light one passed in silence") {
  Told told;
  told.burst(1, 10 * kUs);

  CHECK_FALSE(told.pace.quiet_for_long(told.now + 99'999 * kUs));
  CHECK(told.pace.quiet_for_long(told.now + 100'000 * kUs));
}

TEST_CASE("a ring put off is asked about at every eighth receive and due after its delay") {
  Pace pace(kRules);
  CHECK_FALSE(pace.counts_receive());

  pace.put_ring_off(5'000 * kUs);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(pace.counts_receive());
  CHECK(pace.counts_receive());
  CHECK_FALSE(pace.ring_is_due(6'000 * kUs));
  CHECK(pace.ring_is_due(6'001 * kUs));

  pace.rang();
  for (int i = 0; i < 16; ++i) CHECK_FALSE(pace.counts_receive());
}

TEST_CASE("only the first message after a sleep is one") {
  Told told;
  told.pace.wakes_up(told.now);

  CHECK(told.pace.first_since_sleep(1));
  CHECK_FALSE(told.pace.first_since_sleep(2));
}

TEST_CASE("a slow consumer passes every wake-up on, a quick one once a light sleep") {
  Told told;
  told.pace.wakes_up(told.now);
  CHECK(told.pace.passes_on());
  told.pace.wakes_up(told.now += kUs);
  CHECK(told.pace.passes_on());

  for (int i = 0; i < 8; ++i) told.burst(16, 10 * kUs);
  REQUIRE(told.pace.quick());
  told.pace.wakes_up(told.now += 100'000 * kUs);
  CHECK(told.pace.passes_on());
  told.pace.wakes_up(told.now += 99'999 * kUs);
  CHECK_FALSE(told.pace.passes_on());
  told.pace.wakes_up(told.now += kUs);
  CHECK(told.pace.passes_on());
}

TEST_CASE("the answers of a quick burst are rung for once") {
  // So that no machine is too slow for it.
  CHECK(rings_of_a_burst({.quick = 1h, .ring_delay = 1h}) == 1);
}

TEST_CASE("the answers of a slow consumer are rung for one by one") {
  CHECK(rings_of_a_burst({.quick = 1ns}) == 16);
}

TEST_CASE("a ring put off too long is made up for before the burst ends") {
  // Every eighth receive finds the delay over.
  CHECK(rings_of_a_burst({.quick = 1h, .ring_delay = 0ns}) == 2);
}
