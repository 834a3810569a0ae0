// tests/unit/shm/statistics_test.cc -- counters, rates, ages; emptying channels; losing on purpose.
#include "shm/statistics.h"

#include <algorithm>
#include <thread>

#include "shm/clock.h"
#include "shm/seconds.h"
#include "tests/support/shm_world.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::shm;
using namespace std::chrono_literals;
using sluice::tests::blocks_used;
using sluice::tests::blocks_waiting_free;
using sluice::tests::Member;
using sluice::tests::World;

struct Bench {
  World world;
  Member one{world, world.join(Role::kConsumer)};
  Member two{world, world.join(Role::kConsumer)};
  Statistics statistics{two.layer};

  uint32_t open(std::string_view name) { return one.layer.channels().open_now(name).value().index; }
};

TEST_CASE("a rate is how many were counted in the last whole second, exactly") {
  std::array<Word, 2> samples{};
  Word counter{0};
  const auto count = [&](uint64_t at_ms, uint64_t times) {
    for (uint64_t i = 0; i < times; ++i) {
      note_second(samples, at_ms, counter);
      counter.fetch_add(1);
    }
  };
  CHECK(counted_last_second(samples, 1'000'000, counter) == 0);

  count(1'000'000, 3);
  count(1'000'999, 4);
  CHECK(counted_last_second(samples, 1'000'999, counter) == 0);  // of the second before
  CHECK(counted_last_second(samples, 1'001'000, counter) == 7);
  CHECK(counted_last_second(samples, 1'001'999, counter) == 7);
  CHECK(counted_last_second(samples, 1'002'000, counter) == 0);
  count(1'001'500, 5);
  CHECK(counted_last_second(samples, 1'001'600, counter) == 7);
  CHECK(counted_last_second(samples, 1'002'000, counter) == 5);
  count(1'003'000, 1);
  CHECK(counted_last_second(samples, 1'003'000, counter) == 0);
  CHECK(counted_last_second(samples, 1'004'500, counter) == 1);
  CHECK(counted_last_second(samples, 9'000'000, counter) == 0);
}

TEST_CASE("a rate is right when the counter has outgrown half its bits") {
  std::array<Word, 2> samples{};
  Word counter{0xffff'fffeull};
  for (int i = 0; i < 5; ++i) {
    note_second(samples, 7000, counter);
    counter.fetch_add(1);
  }

  CHECK(counted_last_second(samples, 8000, counter) == 5);
}

TEST_CASE("a channel counts what was sent, what waits, what was refused, and why messages were lost") {
  Bench b;
  REQUIRE(b.one.layer.channels().rules().set("c", {4, 60s}).ok());
  const uint32_t channel = b.open("c");
  CHECK(b.statistics.of("c").messages_count == 0);
  CHECK(b.statistics.of("nobody.made.it").messages_count == 0);

  for (int i = 0; i < 4; ++i) REQUIRE(b.one.send(channel, "x").ok());
  for (int i = 0; i < 3; ++i) REQUIRE_FALSE(b.one.send(channel, "x").ok());
  b.two.layer.start_reading(channel);
  REQUIRE(b.two.receive());
  REQUIRE(b.one.layer.withdraw(b.one.send(channel, "withdrawn").value()));

  const ChannelStatistics got = b.statistics.of("c");
  CHECK(got.messages_count == 5);
  CHECK(got.messages_pending == 3);
  CHECK(got.channel_full_count == 3);
  CHECK(got.drops == ChannelDrops{.withdrawn = 1});
}

TEST_CASE("the age is that of the oldest message that may still be read") {
  Bench b;
  const uint32_t channel = b.open("c");
  CHECK(b.statistics.of("c").messages_max_age == 0ms);
  Route expired{};
  expired.expires_ms = 1;
  REQUIRE(b.one.send(channel, "expired", expired).ok());
  CHECK(b.statistics.of("c").messages_pending == 0);
  CHECK(b.statistics.of("c").messages_max_age == 0ms);

  REQUIRE(b.one.send(channel, "x").ok());
  const uint64_t sent = now_ms();
  while (now_ms() < sent + 30) std::this_thread::yield();
  REQUIRE(b.one.send(channel, "y").ok());

  CHECK(b.statistics.of("c").messages_pending == 2);
  CHECK(b.statistics.of("c").messages_max_age >= 20ms);
  CHECK(b.statistics.of("c").messages_max_age < 60s);
}

TEST_CASE("the total is that of all channels, those given back too") {
  Bench b;
  const uint32_t count = b.world.segment().geometry().channels;
  for (uint32_t i = 0; i < count; ++i) REQUIRE(b.one.send(b.open("c" + std::to_string(i)), "x").ok());
  CHECK(b.statistics.total().messages_count == count);
  CHECK(b.statistics.total().messages_pending == count);
  for (uint32_t c = 0; c < count; ++c) {  // as if time had passed
    ChannelRecord& record = *b.world.segment().channel(c);
    record.touched_ms = record.longest_expiry_ms = 0;
    for (Word& sample : record.sent_by_second) sample = 0;
  }

  REQUIRE(b.one.send(b.open("one.more"), "x").ok());

  CHECK(b.statistics.total().messages_count == count + 1);
  CHECK(b.statistics.total().messages_pending == count);
}

TEST_CASE("a channel that is flushed is empty and its blocks are free; what comes after is kept") {
  Bench b;
  const uint32_t channel = b.open("c");
  const uint32_t other = b.open("other");
  for (int i = 0; i < 20; ++i) REQUIRE(b.one.send(channel, "x").ok());
  REQUIRE(b.one.send(channel, std::string(3 << 20, 'y')).ok());
  REQUIRE(b.one.send(other, "z").ok());

  CHECK(b.statistics.flush(channel) == 21);
  REQUIRE(b.one.send(channel, "after").ok());

  b.two.layer.start_reading(channel);
  CHECK(b.two.receive() == "after");
  CHECK_FALSE(b.two.receive());
  CHECK(b.statistics.of("c").drops.flushed == 21);
  CHECK(b.world.segment().channel(channel)->bytes_queued.load() == 0);
  CHECK(b.statistics.of("other").messages_pending == 1);
  CHECK(b.statistics.flush_all() == 1);
  CHECK(b.statistics.flush_all() == 0);
  CHECK(b.statistics.flush(b.world.segment().geometry().channels) == 0);
  std::string problem;
  CHECK_MESSAGE(b.world.segment().verify(problem), problem);
}

// ---- drop mode ----------------------------------------------------------------------------------

// Which of 1000 messages of a process are lost, by a seed.
std::string losses(double share, uint64_t seed) {
  World world;
  world.segment().header().drop_share = DropMode::share_of(share);
  world.segment().header().drop_seed = seed;
  Member sender(world, world.join(Role::kConsumer));
  Member reader(world, world.join(Role::kConsumer));
  const uint32_t channel = sender.layer.channels().open("c").value();
  reader.layer.start_reading(channel);
  Route route{};
  route.may_drop = true;
  std::string lost;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(sender.send(channel, "x", route).ok());
    lost += reader.receive() ? '.' : 'x';
  }
  const auto dropped = static_cast<uint64_t>(std::count(lost.begin(), lost.end(), 'x'));
  CHECK(sender.layer.drops().on_purpose == dropped);
  const ChannelStatistics got = Statistics(reader.layer).of("c");
  CHECK(got.drops == ChannelDrops{.on_purpose = dropped});
  CHECK(got.messages_count == 1000);
  std::string problem;
  CHECK_MESSAGE(world.segment().verify(problem), problem);
  return lost;
}

TEST_CASE("drop mode loses about its share, the same messages again for the same seed") {
  const std::string lost = losses(0.1, 7);
  const auto count = std::count(lost.begin(), lost.end(), 'x');

  CHECK(count > 50);
  CHECK(count < 150);
  CHECK(losses(0.1, 7) == lost);
  CHECK(losses(0.1, 8) != lost);
  CHECK(losses(0, 7) == std::string(1000, '.'));
  CHECK(losses(1, 7) == std::string(1000, 'x'));
}

TEST_CASE("drop mode loses nothing but what may be lost") {
  World world;
  world.segment().header().drop_share = DropMode::share_of(1);
  Member sender(world, world.join(Role::kConsumer));
  Member reader(world, world.join(Role::kConsumer));
  const uint32_t channel = sender.layer.channels().open("c").value();
  reader.layer.start_reading(channel);

  REQUIRE(sender.send(channel, "on a channel").ok());
  REQUIRE(sender.send_to(reader.layer.me(), "to an inbox").ok());

  CHECK(reader.receive());
  CHECK(reader.receive());
  CHECK(sender.layer.drops().on_purpose == 0);
}

// ---- deadlines ----------------------------------------------------------------------------------

TEST_CASE("a deadline is over when its millisecond has come, and not before") {
  CHECK_FALSE(is_over(UINT64_MAX));
  CHECK(is_over(0));
  CHECK(is_over(1));
  CHECK(is_over(now_ns() / 1'000'000));
  CHECK_FALSE(is_over(now_ns() / 1'000'000 + 1000));
  for (int i = 0; i < 20; ++i) {
    const uint64_t deadline = now_ns() / 1'000'000 + 3;
    bool over = false;
    uint64_t before = 0;
    while (!over) {
      before = now_ns() / 1'000'000;
      over = is_over(deadline);
      if (before >= deadline) REQUIRE(over);
    }
    CHECK(now_ns() / 1'000'000 >= deadline);
  }
}

TEST_CASE("what is sent lives at least its channel's expiry, by the exact clock") {
  Bench b;
  REQUIRE(b.one.layer.channels().rules().set("c", {0, 10ms}).ok());
  const uint32_t channel = b.open("c");
  b.two.layer.start_reading(channel);
  for (int i = 0; i < 20; ++i) {
    const uint64_t before = now_ns();
    REQUIRE(b.one.send(channel, "x").ok());
    const auto delivery = b.two.layer.try_receive();
    if (now_ns() - before < 10'000'000) REQUIRE(delivery);
    if (!delivery) continue;
    CHECK(delivery->header().expires_ms * 1'000'000 >= before + 10'000'000);
    CHECK(delivery->header().expires_ms * 1'000'000 <= now_ns() + 20'000'000);
  }
}

TEST_CASE("an inbox counts what is sent there, refused there and dropped there, and a total counts inboxes") {
  Bench b;
  const ProcessName reader = b.two.layer.me();
  const uint32_t cells = b.world.segment().geometry().inbox_cells;
  const ChannelStatistics before = Statistics(b.one.layer).total();
  REQUIRE(b.one.send_to(reader, "expired", {.expires_ms = 1}).ok());
  const Sent regretted = b.one.send_to(reader, "withdrawn").value();
  REQUIRE(b.one.layer.withdraw(regretted));
  for (uint32_t i = 2; i < cells; ++i) REQUIRE(b.one.send_to(reader, "x").ok());
  CHECK(b.one.send_to(reader, "x").error() == Error::kChannelFull);

  CHECK(Statistics(b.one.layer).total().messages_pending == before.messages_pending + cells - 2);
  REQUIRE(b.two.receive() == "x");

  const ChannelStatistics got = counted_of_inbox(b.world.segment(), reader.index);
  CHECK(got.messages_count == cells);
  CHECK(got.channel_full_count == 1);
  CHECK(got.drops == ChannelDrops{.expired = 1, .withdrawn = 1});
  const ChannelStatistics total = Statistics(b.one.layer).total();
  CHECK(total.messages_count == before.messages_count + cells);
  CHECK(total.messages_pending == before.messages_pending + cells - 3);
  CHECK(total.channel_full_count == before.channel_full_count + 1);
  CHECK(total.drops.expired == before.drops.expired + 1);
}

TEST_CASE("what is sent on a channel with ! counts there and in its maker's inbox, and in a total once") {
  Bench b;
  const OpenChannel mine =
      b.two.layer.channels().make_inbox_channel("mine!x", b.two.layer.me()).value();
  const Route route{.channel = mine.index, .may_drop = true, .answered_generation = mine.generation};
  const ChannelStatistics before = Statistics(b.one.layer).total();
  REQUIRE(b.one.send_to(b.two.layer.me(), "one", route).ok());
  REQUIRE(b.one.send_to(b.two.layer.me(), "to its maker itself").ok());
  REQUIRE(b.one.send_to(b.two.layer.me(), "two", route).ok());

  const ChannelStatistics got = Statistics(b.one.layer).of("mine!x");
  CHECK(got.messages_count == 2);
  CHECK(got.messages_pending == 2);
  CHECK(Statistics(b.one.layer).total().messages_count == before.messages_count + 3);
  CHECK(Statistics(b.one.layer).total().messages_pending == before.messages_pending + 3);

  b.two.layer.channels().end_inbox_channel(mine, b.two.layer.me());
  CHECK(Statistics(b.one.layer).of("mine!x").messages_count == 0);
  CHECK(Statistics(b.one.layer).total().messages_count == before.messages_count + 3);
}

}  // namespace
