// tests/unit/shm/channel_rules_test.cc -- capacity and expiry by name: for all, for good, through deaths.
#include "shm/channel_rules.h"

#include <sys/wait.h>

#include <thread>

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

struct Bench {
  Segment segment = Segment::create(small_geometry());
  ChannelTable one{segment, 2};
  ChannelTable two{segment, 3};

  ChannelLimits limits_of(std::string_view name) {
    const ChannelRecord& record = *segment.channel(two.open(name).value());
    return {record.capacity.load(), std::chrono::milliseconds(record.expiry_ms.load())};
  }
};

TEST_CASE("a rule holds for channels made before and after it, by anybody") {
  Bench b;
  static_cast<void>(b.two.open("jobs.old").value());

  REQUIRE(b.one.rules().set("jobs.*", {5, 250ms}).ok());

  CHECK(b.limits_of("jobs.old") == ChannelLimits{5, 250ms});
  CHECK(b.limits_of("jobs.new") == ChannelLimits{5, 250ms});
  CHECK(b.limits_of("other") == ChannelLimits{64, 60s});
}

TEST_CASE("what a rule does not say is the default's, and the last rule made counts alone") {
  Bench b;
  REQUIRE(b.one.rules().set("*", {5, 250ms}).ok());
  REQUIRE(b.one.rules().set("jobs.*", {7, 0ms}).ok());
  REQUIRE(b.one.rules().set("jobs.a", {0, 1s}).ok());

  CHECK(b.limits_of("jobs.a") == ChannelLimits{64, 1s});
  CHECK(b.limits_of("jobs.b") == ChannelLimits{7, 60s});
  CHECK(b.limits_of("else") == ChannelLimits{5, 250ms});
}

TEST_CASE("a glob set again takes the place of the first and needs no more room") {
  Bench b;
  for (uint32_t i = 1; i <= 2 * kChannelRules; ++i) REQUIRE(b.one.rules().set("a", {i % 50 + 1, 1s}).ok());

  CHECK(b.limits_of("a") == ChannelLimits{2 * kChannelRules % 50 + 1, 1s});
  for (uint32_t i = 1; i < kChannelRules; ++i) {
    REQUIRE(b.one.rules().set("b" + std::to_string(i), {1, 1s}).ok());
  }
  CHECK(b.one.rules().set("c", {1, 1s}).error() == Error::kChannelTableFull);
  CHECK(b.limits_of("b3") == ChannelLimits{1, 1s});
}

TEST_CASE("rules that no channel can keep are refused and change nothing") {
  Bench b;
  CHECK(b.one.rules().set("a", {65, 1s}).error() == Error::kLimitOutOfRange);
  CHECK(b.one.rules().set("a", {64, 9ms}).error() == Error::kLimitOutOfRange);
  CHECK(b.one.rules().set("a", {64, 24h + 1ms}).error() == Error::kLimitOutOfRange);
  CHECK(b.one.rules().set("", {64, 1s}).error() == Error::kChannelNameInvalid);
  CHECK(b.one.rules().set("a b", {64, 1s}).error() == Error::kChannelNameInvalid);
  CHECK(b.one.rules().set(std::string(201, '*'), {64, 1s}).error() == Error::kChannelNameInvalid);

  CHECK(b.limits_of("a") == ChannelLimits{64, 60s});
}

TEST_CASE("a capacity set by a rule is exact, and lowered drops nothing") {
  World world;
  Member sender(world, world.join(Role::kConsumer));
  Member reader(world, world.join(Role::kConsumer));
  REQUIRE(reader.layer.channels().rules().set("three", {3, 1min}).ok());
  const uint32_t channel = sender.layer.channels().open("three").value();
  reader.layer.start_reading(channel);
  for (int lap = 0; lap < 40; ++lap) {
    for (int i = 0; i < 3; ++i) REQUIRE(sender.send(channel, "x").ok());
    REQUIRE(sender.send(channel, "x").error() == Error::kChannelFull);
    if (lap == 39) break;
    for (int i = 0; i < 3; ++i) REQUIRE(reader.receive() == "x");
  }

  REQUIRE(sender.layer.channels().rules().set("three", {1, 1min}).ok());

  CHECK(reader.receive() == "x");
  CHECK(sender.send(channel, "y").error() == Error::kChannelFull);
  CHECK(reader.receive() == "x");
  CHECK(sender.send(channel, "y").error() == Error::kChannelFull);
  CHECK(reader.receive() == "x");
  CHECK(sender.send(channel, "y").ok());
  CHECK(sender.send(channel, "y").error() == Error::kChannelFull);
}

TEST_CASE("a process that dies while it makes a rule leaves either no rule, or one for all channels") {
  Bench b;
  static_cast<void>(b.two.open("old").value());
  RuleRecord& owned = b.segment.rules()[0];
  owned.truth = uint64_t{2} << 16 | static_cast<uint64_t>(ChannelState::kOwned);  // never shown
  RuleRecord& shown = b.segment.rules()[1];
  REQUIRE(b.one.rules().set("old", {9, 1s}).ok());  // as if its maker died before it went through
  b.segment.channel(b.two.open("old").value())->capacity = 64;

  b.two.recover(2);

  CHECK(owned.truth.load() % 65536 == static_cast<uint64_t>(ChannelState::kFree));
  CHECK(shown.truth.load() % 65536 == static_cast<uint64_t>(ChannelState::kLive));
  CHECK(b.limits_of("old") == ChannelLimits{9, 1s});
}

TEST_CASE("whoever makes a channel while a rule is made, the channel follows the last rule in the end") {
  for (int round = 0; round < 200; ++round) {
    Bench b;
    std::thread setter([&] {
      for (uint32_t i = 1; i <= 20; ++i) REQUIRE(b.one.rules().set("c*", {i, 1s}).ok());
    });
    for (int i = 0; i < 12; ++i) static_cast<void>(b.two.open("c" + std::to_string(i)).value());
    setter.join();

    for (int i = 0; i < 12; ++i) {
      const uint32_t channel = b.two.find("c" + std::to_string(i)).value();
      CHECK(b.segment.channel(channel)->capacity.load() == 20);
    }
  }
}

TEST_CASE("rules scribbled on bound nobody beyond the cells there are") {
  Bench b;
  REQUIRE(b.one.rules().set("a*", {5, 1s}).ok());
  RuleRecord& rule = b.segment.rules()[0];
  rule.capacity = 0xffffffff;
  rule.glob_length = 0xffffffff;
  for (Word& word : rule.glob) word = 0x2a2a2a2a2a2a2a2aull;  // stars

  const ChannelLimits limits = b.limits_of("anything");

  CHECK(limits.capacity <= b.segment.geometry().channel_cells);
}

}  // namespace
