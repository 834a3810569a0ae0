// tests/unit/shm/channel_reuse_test.cc -- single readers, inbox channels, and idle channels given back.
#include <set>
#include <thread>

#include "shm/clock.h"
#include "shm/statistics.h"
#include "tests/support/shm_world.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::shm;
using namespace std::chrono_literals;
using sluice::tests::Member;
using sluice::tests::small_geometry;
using sluice::tests::World;

// Two consumers of a segment of 16 channels.
struct Bench {
  World world;
  Member one{world, world.join(Role::kConsumer)};
  Member two{world, world.join(Role::kConsumer)};

  ChannelRecord& record(const OpenChannel& channel) {
    return *world.segment().channel(channel.index);
  }
  // As if nobody had used it for longer than its messages live.
  void let_time_pass(const OpenChannel& channel) {
    ChannelRecord& r = record(channel);
    const uint64_t long_ago = now_ms() - 100'000;
    r.touched_ms = long_ago;
    for (Word& sample : r.sent_by_second) sample = (long_ago / 1000 - 1) << 32;
  }
  // Opens names until there is no free record left.
  void fill() {
    for (uint32_t i = 0; i < world.segment().geometry().channels; ++i) {
      if (!one.layer.channels().open("kept" + std::to_string(i)).ok()) return;
    }
  }
};

TEST_CASE("a single-reader channel has one reader, until it stops or dies") {
  Bench b;
  const OpenChannel channel = b.one.layer.start_reading("reply?x").value();

  CHECK(b.two.layer.start_reading("reply?x").error() == Error::kChannelHasReader);
  CHECK(b.one.layer.start_reading("reply?x").value() == channel);
  REQUIRE(b.two.send(channel.index, "to one").ok());
  CHECK_FALSE(b.two.receive());
  CHECK(b.one.receive() == "to one");

  b.one.layer.stop_reading();
  CHECK(b.two.layer.start_reading("reply?x").value() == channel);
  CHECK(b.one.layer.start_reading("reply?x").error() == Error::kChannelHasReader);
  b.world.table().set_dead(b.two.layer.me());
  CHECK(b.one.layer.start_reading("reply?x").value() == channel);
}

TEST_CASE("recovery makes room for another reader where a dead one read alone") {
  Bench b;
  const OpenChannel channel = b.one.layer.start_reading("reply?x").value();

  b.two.layer.channels().recover(b.one.layer.me().index);

  CHECK(b.record(channel).reader.load() == 0);
}

TEST_CASE("any number of processes read a normal channel") {
  Bench b;
  CHECK(b.one.layer.start_reading("jobs").ok());
  CHECK(b.two.layer.start_reading("jobs").ok());
}

TEST_CASE("a name with ! leads to its maker's inbox and ends with the maker") {
  Bench b;
  ChannelTable& makers = b.one.layer.channels();
  const OpenChannel channel = makers.make_inbox_channel("me!x", b.one.layer.me()).value();

  ChannelTable& others = b.two.layer.channels();
  CHECK(others.find_now("me!x") == channel);
  CHECK(others.inbox_of(channel) == b.one.layer.me());
  CHECK(others.open_now("me!x").error() == Error::kChannelNameInvalid);
  CHECK(others.make_inbox_channel("me!x", b.two.layer.me()).error() == Error::kChannelNameInvalid);
  CHECK(b.two.layer.start_reading("me!x").error() == Error::kChannelNameInvalid);
  others.end_inbox_channel(channel, b.two.layer.me());
  CHECK(others.lives(channel));

  SUBCASE("by its word") { makers.end_inbox_channel(channel, b.one.layer.me()); }
  SUBCASE("by its death") { others.recover(b.one.layer.me().index); }

  CHECK_FALSE(others.find_now("me!x"));
  CHECK_FALSE(others.inbox_of(channel));
  CHECK(others.make_inbox_channel("me!x", b.two.layer.me()).ok());
}

TEST_CASE("an idle channel is given to another name when there is no free one, in a new generation") {
  Bench b;
  const OpenChannel old = b.one.layer.channels().open_now("old").value();
  b.fill();
  REQUIRE(b.one.layer.channels().open_now("new").error() == Error::kChannelTableFull);
  b.let_time_pass(old);

  const OpenChannel fresh = b.one.layer.channels().open_now("new").value();

  CHECK(fresh.index == old.index);
  CHECK(fresh.generation != old.generation);
  CHECK_FALSE(b.two.layer.channels().find_now("old"));
  CHECK_FALSE(b.two.layer.channels().lives(old));
  CHECK(b.two.layer.channels().find_now("new") == fresh);
  CHECK(b.two.layer.channels().name_of(fresh.index) == "new");
}

TEST_CASE("a channel is not given back while it is read, holds what is not expired, or is kept") {
  Bench b;
  const OpenChannel old = b.one.layer.channels().open_now("old").value();
  b.fill();

  SUBCASE("read") {
    static_cast<void>(b.two.layer.start_reading("old").value());
    b.let_time_pass(old);
  }
  SUBCASE("sent on a moment ago") {
    b.let_time_pass(old);
    REQUIRE(b.two.send(old.index, "x").ok());
  }
  SUBCASE("no longer read since a moment ago") {
    static_cast<void>(b.two.layer.start_reading("old").value());
    b.let_time_pass(old);
    b.two.layer.stop_reading();
  }
  SUBCASE("sent on when its messages lived longer than now") {
    REQUIRE(b.one.layer.channels().rules().set("old", {0, 1h}).ok());
    REQUIRE(b.two.send(old.index, "x").ok());
    REQUIRE(b.one.layer.channels().rules().set("old", {0, 10ms}).ok());
    b.let_time_pass(old);
  }
  SUBCASE("kept") {
    REQUIRE(b.two.layer.channels().open("old").value() == old.index);
    b.let_time_pass(old);
  }
  SUBCASE("poisoned") {
    b.let_time_pass(old);
    b.record(old).poisoned = 1;
  }

  CHECK(b.one.layer.channels().open_now("new").error() == Error::kChannelTableFull);
  CHECK(b.two.layer.channels().find_now("old") == old);
}

TEST_CASE("what lay expired in a channel given back is freed, and its counters begin anew") {
  Bench b;
  const OpenChannel old = b.one.layer.channels().open_now("old").value();
  for (int i = 0; i < 10; ++i) REQUIRE(b.two.send(old.index, "x").ok());
  b.fill();
  b.let_time_pass(old);

  const OpenChannel fresh = b.one.layer.channels().open_now("new").value();

  static_cast<void>(b.one.layer.start_reading("new").value());
  CHECK_FALSE(b.one.receive());
  CHECK(Statistics(b.one.layer).of("new").messages_count == 0);
  CHECK(b.record(fresh).bytes_queued.load() == 0);
  for (uint32_t i = 0; i < 64; ++i) CHECK(b.two.send(fresh.index, "y").ok());
  std::string problem;
  CHECK_MESSAGE(b.world.segment().verify(problem), problem);
}

TEST_CASE("whoever remembers the index of a channel given back is told, and reaches nobody else") {
  Bench b;
  const OpenChannel old = b.one.layer.channels().open_now("old").value();
  b.fill();
  b.let_time_pass(old);
  const OpenChannel fresh = b.one.layer.start_reading("new").value();
  REQUIRE(fresh.index == old.index);

  Route to_old{};
  to_old.answered_generation = old.generation;
  CHECK(b.two.send(old.index, "for old", to_old).error() == Error::kReaderGone);

  // One that had looked just before, and was slow: the reader sees whose it is.
  b.record(old).truth = uint64_t{old.generation} << 32 | static_cast<uint64_t>(ChannelState::kLive);
  REQUIRE(b.two.send(old.index, "for old", to_old).ok());
  b.record(old).truth = uint64_t{fresh.generation} << 32 | static_cast<uint64_t>(ChannelState::kLive);
  Route to_new{};
  to_new.answered_generation = fresh.generation;
  REQUIRE(b.two.send(fresh.index, "for new", to_new).ok());

  CHECK(b.one.receive() == "for new");
  CHECK(b.one.layer.drops().stray == 1);
  CHECK(count_of(b.record(fresh).counts, ChannelCount::kStray).load() == 1);
}

TEST_CASE("a reader whose channel was taken from under it finds it again by its name") {
  Bench b;
  const OpenChannel old = b.one.layer.start_reading("old").value();
  // Somebody began to give it back, and a third took it from him, before our bit was seen.
  b.record(old).truth = uint64_t{old.generation + 1} << 32;

  CHECK_FALSE(b.one.receive());
  const OpenChannel again = b.two.layer.channels().open_now("old").value();
  CHECK(again != old);
  REQUIRE(b.two.send(again.index, "x").ok());
  CHECK(b.one.receive() == "x");
}

TEST_CASE("a maker that died or froze with a half-made channel stops nobody from making it") {
  Bench b;
  ChannelTable& one = b.one.layer.channels();
  const OpenChannel half = one.open_now("name").value();
  Word& truth = b.record(half).truth;
  truth = uint64_t{half.generation} << 32 | uint64_t{b.one.layer.me().index} << 16 |
          static_cast<uint64_t>(ChannelState::kOwned);  // placed, and not yet shown

  const OpenChannel made = b.two.layer.channels().open_now("name").value();

  CHECK(made != half);
  CHECK((truth.load() & 0xffff) == static_cast<uint64_t>(ChannelState::kFree));
  CHECK(one.find_now("name") == made);
}

TEST_CASE("a table of few records serves any number of names, one after the other") {
  Bench b;
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = "name?" + std::to_string(i);
    const OpenChannel channel = b.one.layer.channels().open_now(name).value();
    REQUIRE(b.two.layer.channels().find_now(name) == channel);
    b.let_time_pass(channel);
  }
}

TEST_CASE("processes that make, find and give back the same names at once never have two of one name") {
  Bench b;
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      ChannelTable mine(b.world.segment(), static_cast<ProcessIndex>(4 + t));
      for (int i = 0; i < 3000; ++i) {
        const auto channel = mine.open_now("name" + std::to_string((i * 7 + t) % 40));
        if (channel.ok()) b.let_time_pass(*channel);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::set<std::string> names;
  for (uint32_t c = 0; c < b.world.segment().geometry().channels; ++c) {
    if ((b.world.segment().channel(c)->truth.load() & 0xffff) !=
        static_cast<uint64_t>(ChannelState::kLive)) {
      continue;
    }
    CHECK(names.insert(b.one.layer.channels().name_of(c)).second);
  }
  CHECK_FALSE(names.empty());
}

}  // namespace
