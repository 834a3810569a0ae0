// tests/unit/shm/snapshot_test.cc -- what a snapshot counts, and that it harms nothing and ends.
#include "shm/snapshot.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <random>

#include "tests/support/shm_world.h"

namespace {

using namespace sluice;
using namespace sluice::shm;
using tests::Member;
using tests::World;

// One worker and one consumer of a small segment, and somebody who only looks.
struct Bench {
  World world;
  ProcessName worker = world.join(Role::kWorker, 0);
  ProcessName consumer = world.join(Role::kConsumer, 1);
  Member sender{world, worker};
  Member reader{world, consumer};
  uint32_t channel = sender.layer.channels().open("jobs").value();

  [[nodiscard]] Segment observed() {
    Result<Segment> segment = Segment::observe(open_read_only(world.segment().memfd()));
    REQUIRE(segment.ok());
    return std::move(segment).value();
  }
  [[nodiscard]] Snapshot look() {
    const Segment segment = observed();
    tests::WorldArenas source(world);
    Arenas arenas(segment, kNobody, &source);
    return take_snapshot(segment, arenas);
  }
};

const ProcessSnapshot& process(const Snapshot& all, ProcessName name) {
  for (const ProcessSnapshot& one : all.processes) {
    if (one.row == name.index) return one;
  }
  FAIL("no such row");
  std::abort();
}

TEST_CASE("a snapshot counts what waits on a channel and how long the oldest has") {
  Bench bench;
  bench.reader.layer.start_reading(bench.channel);
  bench.reader.layer.wait_on_channels();
  for (const std::string& bytes :
       {std::string("one"), std::string("two"), std::string(300'000, 'x')})
    REQUIRE(bench.sender.send(bench.channel, bytes).ok());

  const Snapshot all = bench.look();

  REQUIRE(all.channels.size() == 1);
  const ChannelSnapshot& channel = all.channels[0];
  CHECK(channel.name == "jobs");
  CHECK(channel.state == static_cast<uint32_t>(ChannelState::kKept));
  CHECK(channel.queue.waiting == 3);
  CHECK(channel.bytes == 300'000);  // the short ones are not counted
  CHECK(channel.counted.messages_count == 3);
  CHECK(channel.readers == std::vector<ProcessIndex>{bench.consumer.index});
  CHECK(channel.waiters == std::vector<ProcessIndex>{bench.consumer.index});
  REQUIRE(channel.queue.oldest_ms);
  CHECK(*channel.queue.oldest_ms < 60'000);
}

TEST_CASE("a snapshot says whose every block is") {
  Bench bench;
  REQUIRE(bench.sender.send(bench.channel, "taken").ok());
  REQUIRE(bench.sender.send(bench.channel, "waits").ok());
  Result<Sent> regretted = bench.sender.send(bench.channel, "withdrawn");
  REQUIRE(regretted.ok());
  REQUIRE(bench.sender.layer.withdraw(*regretted));
  bench.reader.layer.start_reading(bench.channel);
  const std::optional<Delivery> in_hand = bench.reader.layer.try_receive();
  REQUIRE(in_hand);

  const Snapshot all = bench.look();

  CHECK(process(all, bench.consumer).blocks.taken == 1);
  CHECK(process(all, bench.consumer).blocks.own == 0);
  CHECK(process(all, bench.worker).blocks.queued == 1);
  CHECK(process(all, bench.worker).blocks.withdrawn == 1);
  CHECK(all.channels[0].queue.waiting == 1);
  CHECK(all.channels[0].queue.withdrawn == 1);
  REQUIRE(all.arenas.size() == 1);
  const ClassSnapshot& blocks = all.arenas[0].classes[0];
  CHECK(blocks.used == blocks.owned + blocks.queued + blocks.withdrawn);
  CHECK(blocks.taken == 1);
  CHECK(process(all, bench.worker).blocks.own == blocks.owned - 1);
}

TEST_CASE("a block that came back is counted as returned, a chain by its links") {
  Bench bench;
  REQUIRE(bench.sender.send(bench.channel, "short").ok());
  bench.reader.layer.start_reading(bench.channel);
  REQUIRE(bench.reader.receive() == "short");
  const std::string longer((1u << 20) + 1, 'x');
  REQUIRE(bench.sender.send(bench.channel, longer).ok());

  const Snapshot all = bench.look();

  CHECK(all.arenas[0].classes[0].returned == 1);
  CHECK(process(all, bench.worker).blocks.linked == 1);
  CHECK(process(all, bench.worker).blocks.queued == 1);
}

TEST_CASE("a group's message is counted as shared until its workers have let go of it") {
  Bench bench;
  const std::string_view bytes = "to all";
  Result<Claim> claim = bench.reader.write(bytes);
  REQUIRE(claim.ok());
  const Result<GroupSent> sent =
      bench.reader.layer.send_to_group("news", *claim, bytes.size(), {bench.channel, {}});
  REQUIRE((sent.ok() && sent->pushes == 1));

  const Snapshot before = bench.look();
  const std::optional<Delivery> notice = bench.sender.layer.try_receive_from_inbox();
  REQUIRE(notice);
  const std::optional<SharedMessage> message = bench.sender.layer.read_shared(*notice);
  REQUIRE(message);
  REQUIRE(bench.sender.layer.let_go(*message));
  const Snapshot after = bench.look();

  REQUIRE(before.arenas.size() == 1);
  CHECK(before.arenas[0].row == bench.consumer.index);
  CHECK(before.arenas[0].classes[0].shared == 1);
  CHECK(before.arenas[0].classes[0].other == 0);
  CHECK(process(before, bench.consumer).blocks.shared == 1);
  CHECK(process(before, bench.consumer).blocks.queued == 1);  // the notice
  REQUIRE(after.arenas.size() == 1);
  CHECK(after.arenas[0].classes[0].shared == 0);
  CHECK(after.arenas[0].classes[0].other == 0);
  CHECK(process(after, bench.consumer).blocks.shared == 0);
}

TEST_CASE("a snapshot shows a worker's connections, their owners and the replies that wait") {
  Bench bench;
  ConnectionSlots slots(bench.world.segment(), bench.worker);
  const auto http = slots.open();
  const auto websocket = slots.open();
  REQUIRE((http && websocket));
  slots.announce(websocket->slot);
  const ReplyAddress address{bench.worker.index, bench.worker.incarnation, websocket->slot,
                             websocket->generation, 0};
  REQUIRE(take_connection(bench.world.segment(), address, bench.consumer));
  REQUIRE(bench.reader.reply(address, "hello").ok());

  const Snapshot all = bench.look();

  REQUIRE(all.connections.size() == 1);
  const ConnectionsSnapshot& seen = all.connections[0];
  CHECK(seen.open == 1);
  CHECK(seen.announced == 1);
  CHECK(seen.ownerless == 0);
  CHECK(seen.replies == 1);
  CHECK(seen.deepest_ring == 1);
  CHECK(seen.ready == 1);
  CHECK(seen.owned_by == std::map<ProcessIndex, uint32_t>{{bench.consumer.index, 1}});
}

TEST_CASE("a consumer is stuck when its row says so") {
  Bench bench;
  CHECK_FALSE(process(bench.look(), bench.consumer).stuck);
  bench.world.segment().process(bench.consumer.index)->stuck.store(1);

  const Snapshot all = bench.look();

  CHECK(process(all, bench.consumer).stuck);
  CHECK_FALSE(process(all, bench.worker).stuck);
}

TEST_CASE("without the arenas a snapshot lacks the ages and nothing else") {
  Bench bench;
  REQUIRE(bench.sender.send(bench.channel, "one").ok());
  const Segment segment = bench.observed();
  Arenas arenas(segment, kNobody, nullptr);

  const Snapshot all = take_snapshot(segment, arenas);

  REQUIRE(all.channels.size() == 1);
  CHECK(all.channels[0].queue.waiting == 1);
  CHECK_FALSE(all.channels[0].queue.oldest_ms);
}

TEST_CASE("whatever stands in a segment, a snapshot of it ends") {
  std::mt19937_64 random(20261127);  // each seed the same scribbles
  for (int round = 0; round < 40; ++round) {
    Bench bench;
    REQUIRE(bench.sender.send(bench.channel, "one").ok());
    const Segment& segment = bench.world.segment();
    Word* const words = &segment.process(0)->life;
    const uint64_t count = (segment.offsets().total - segment.offsets().processes) / sizeof(Word);
    // Every other round all of it; else one word in twenty, so that queues stay near to sound.
    for (uint64_t i = 0; i < count; ++i) {
      if (round % 2 == 0 || random() % 20 == 0)
        words[i].store(random(), std::memory_order::relaxed);
    }

    const Snapshot all = bench.look();

    CHECK(all.processes.size() < segment.geometry().processes);
    for (const ChannelSnapshot& channel : all.channels) {
      CHECK(channel.queue.waiting <= segment.geometry().channel_cells);
    }
  }
}

TEST_CASE("looking at a segment leaves the pages nobody used unmade") {
  Geometry geometry = tests::small_geometry();
  geometry.connections_per_worker = 16384;
  geometry.worker_blocks = {1u << 15, 1u << 15, 1u << 14, 1u << 14, 1u << 13, 512, 64, 64};
  World world(geometry);
  const ProcessName worker = world.join(Role::kWorker);
  Member member(world, worker);
  REQUIRE(member.layer.channels().open("jobs").ok());
  struct stat before {};
  struct stat after {};
  REQUIRE(fstat(world.segment().memfd(), &before) == 0);
  const Result<Segment> segment = Segment::observe(open_read_only(world.segment().memfd()));
  REQUIRE(segment.ok());
  Arenas arenas(*segment, kNobody, nullptr);

  const Snapshot all = take_snapshot(*segment, arenas);

  REQUIRE(fstat(world.segment().memfd(), &after) == 0);
  CHECK(all.processes.size() == 1);
  CHECK((after.st_blocks - before.st_blocks) * 512 <= 64 * 1024);
}

}  // namespace
