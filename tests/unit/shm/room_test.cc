// tests/unit/shm/room_test.cc -- who waits for room in a queue is rung when there is enough, and once.
#include "shm/statistics.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::World;

struct Bench {
  World world;
  Member master{world, world.join(Role::kMaster)};
  Member reader{world, world.join(Role::kConsumer, 1)};
  Member sender{world, world.join(Role::kConsumer, 2)};
  Member other{world, world.join(Role::kConsumer, 3)};
  uint32_t channel = reader.layer.channels().open("full").value();

  ChannelRecord& record() {
    ChannelRecord* const found = world.segment().channel(channel);
    REQUIRE(found != nullptr);
    return *found;
  }
  void fill(uint32_t capacity) {
    record().capacity = capacity;
    for (uint32_t i = 0; i < capacity; ++i) REQUIRE(sender.send(channel, "x").ok());
    REQUIRE(sender.send(channel, "x").error() == Error::kChannelFull);
    reader.layer.start_reading(channel);
  }
  void waits(Member& member, WaitingSenders& senders) {
    member.bell.fall_asleep_in_futex();
    member.layer.wait_for_room(senders);
  }
  bool asleep(const Member& member) {
    return (world.segment().process(member.layer.me().index)->doorbell.load() & kAsleepInFutex) != 0;
  }
};

TEST_CASE("a sender that waits for room is rung when the queue is down to half, and only then") {
  Bench b;
  b.fill(4);
  b.waits(b.sender, b.record().senders);

  REQUIRE(b.reader.receive() == "x");
  CHECK(b.asleep(b.sender));
  REQUIRE(b.reader.receive() == "x");
  CHECK_FALSE(b.asleep(b.sender));

  const uint64_t rings = b.reader.bell.rings();
  REQUIRE(b.reader.receive() == "x");
  CHECK(b.reader.bell.rings() == rings);
}

TEST_CASE("all senders that wait are rung together") {
  Bench b;
  b.fill(1);
  b.waits(b.sender, b.record().senders);
  b.waits(b.other, b.record().senders);

  REQUIRE(b.reader.receive() == "x");

  CHECK_FALSE(b.asleep(b.sender));
  CHECK_FALSE(b.asleep(b.other));
}

TEST_CASE("a sender whose sign was taken before it slept does not sleep") {
  Bench b;
  b.fill(1);
  b.waits(b.sender, b.record().senders);
  REQUIRE(b.reader.receive() == "x");
  REQUIRE(b.other.send(b.channel, "x").ok());  // and took the room
  REQUIRE(b.sender.send(b.channel, "x").error() == Error::kChannelFull);

  const auto before = std::chrono::steady_clock::now();
  b.sender.bell.sleep_in_futex(std::chrono::seconds(30));

  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(20));
}

TEST_CASE("a sender that waits no more is not rung") {
  Bench b;
  b.fill(1);
  b.waits(b.sender, b.record().senders);
  b.sender.layer.stop_waiting_for_room(b.record().senders);

  REQUIRE(b.reader.receive() == "x");

  CHECK(b.asleep(b.sender));
}

TEST_CASE("half is of the capacity the channel has by now") {
  Bench b;
  b.fill(2);
  b.waits(b.sender, b.record().senders);
  b.record().capacity = 1;

  REQUIRE(b.reader.receive() == "x");
  CHECK(b.asleep(b.sender));
  REQUIRE(b.reader.receive() == "x");
  CHECK_FALSE(b.asleep(b.sender));
}

TEST_CASE("flushing a channel rings who waits for room there") {
  Bench b;
  b.fill(4);
  b.waits(b.sender, b.record().senders);

  CHECK(Statistics(b.other.layer).flush(b.channel) == 4);

  CHECK_FALSE(b.asleep(b.sender));
}

TEST_CASE("what expired unread makes room, too") {
  Bench b;
  b.record().capacity = 1;
  REQUIRE(b.sender.send(b.channel, "x", {.expires_ms = 1}).ok());
  b.reader.layer.start_reading(b.channel);
  b.waits(b.sender, b.record().senders);

  CHECK_FALSE(b.reader.layer.try_receive().has_value());

  CHECK_FALSE(b.asleep(b.sender));
}

TEST_CASE("who waits for room in an inbox is rung when its reader has taken half of it") {
  Bench b;
  const uint32_t cells = b.world.segment().geometry().inbox_cells;
  const ProcessName reader = b.reader.layer.me();
  for (uint32_t i = 0; i < cells; ++i) REQUIRE(b.sender.send_to(reader, "x").ok());
  b.waits(b.sender, b.world.segment().process(reader.index)->senders);

  for (uint32_t i = 0; i < cells / 2; ++i) {
    CHECK(b.asleep(b.sender));
    REQUIRE(b.reader.receive() == "x");
  }

  CHECK_FALSE(b.asleep(b.sender));
}

TEST_CASE("a dead process waits nowhere") {
  Bench b;
  const ProcessName dead = b.world.join(Role::kConsumer, 4);
  {
    Member dying(b.world, dead);
    dying.layer.wait_for_room(b.record().senders);
    dying.layer.wait_for_room(b.world.segment().process(b.reader.layer.me().index)->senders);
  }

  Recovery(b.master.layer).on_death(dead);

  CHECK(b.record().senders.who.words[0].load() == 0);
  CHECK(b.world.segment().process(b.reader.layer.me().index)->senders.who.words[0].load() == 0);
}

TEST_CASE("no sender waits on while a reader takes: across threads, ten thousand messages in a channel of two") {
  Bench b;
  b.record().capacity = 2;
  constexpr int kMessages = 10'000;
  std::chrono::nanoseconds longest{};
  std::thread sending([&] {
    for (int i = 0; i < kMessages; ++i) {
      while (!b.sender.send(b.channel, "x").ok()) {
        b.sender.bell.fall_asleep_in_futex();
        b.sender.layer.wait_for_room(b.record().senders);
        if (b.sender.send(b.channel, "x").ok()) break;
        const auto since = std::chrono::steady_clock::now();
        b.sender.bell.sleep_in_futex(std::chrono::seconds(30));
        longest = std::max<std::chrono::nanoseconds>(longest, std::chrono::steady_clock::now() - since);
      }
      b.sender.bell.stay_awake();
    }
  });
  b.reader.layer.start_reading(b.channel);
  for (int taken = 0; taken < kMessages;) {
    if (b.reader.layer.try_receive()) ++taken;
  }
  sending.join();

  CHECK(longest < std::chrono::seconds(30));
}

}  // namespace
