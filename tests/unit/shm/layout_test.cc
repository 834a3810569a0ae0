// tests/unit/shm/layout_test.cc -- what other languages rely on: every byte lies where we say.
#include "shm/layout.h"

#include "shm/block_layout.h"
#include "shm/group_layout.h"
#include "tests/support/segment_fixture.h"  // before doctest: both have a CHECK

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>

namespace {

using namespace sluice::shm;
using sluice::tests::small_geometry;

TEST_CASE("a stamp is generation 40, owner 16, state 8 bits") {
  const Stamp stamp = Stamp::of(0x123456789a, 0xbcde, BlockState::kWithdrawn);

  CHECK(stamp.word == 0x123456789abcde03);
  CHECK(stamp.generation() == 0x123456789a);
  CHECK(stamp.owner() == 0xbcde);
  CHECK(stamp.state() == BlockState::kWithdrawn);
  CHECK(Stamp::of(0xffffffffff, 1, BlockState::kOwned).next(2, BlockState::kQueued).generation() == 0);
}

TEST_CASE("records lie as version 5 of the layout has them") {
  CHECK(kLayoutVersion == 5);
  CHECK(offsetof(Envelope, queue) == 8);
  CHECK(offsetof(Envelope, next) == 12);
  CHECK(offsetof(Envelope, head) == 16);
  CHECK(offsetof(Envelope, returned) == 20);
  CHECK(offsetof(Envelope, holders) == 24);
  CHECK(offsetof(PayloadHeader, length) == 8);
  CHECK(offsetof(PayloadHeader, channel) == 12);
  CHECK(offsetof(PayloadHeader, expires_ms) == 16);
  CHECK(offsetof(PayloadHeader, worker) == 32);
  CHECK(offsetof(PayloadHeader, incarnation) == 36);
  CHECK(offsetof(PayloadHeader, ordinal) == 48);
  CHECK(offsetof(PayloadHeader, answered_generation) == 56);
  CHECK(offsetof(ProcessRecord, doorbell) == 64);
  CHECK(offsetof(ProcessRecord, used_blocks) == 128);
  CHECK(offsetof(ChannelRecord, name) == 40);
  CHECK(offsetof(ChannelRecord, readers) == 6 * kLine);
  CHECK(offsetof(ChannelRecord, ends) == 10 * kLine);
  CHECK(offsetof(ConnectionRecord, head) == 64);
  CHECK(offsetof(ConnectionRecord, cells) == 128);
  CHECK(offsetof(GroupRecord, name) == 16);
  CHECK(offsetof(Header, geometry) == 64);
  CHECK(offsetof(Header, offsets) == 192);
  CHECK(offsetof(Header, deaths) == 320);
}

TEST_CASE("the tables follow each other on whole lines and end with the segment") {
  const Geometry g = small_geometry();
  const Offsets o = offsets_of(g);

  const uint64_t starts[] = {o.processes, o.inbox_ends, o.inbox_cells, o.rules, o.directory,  o.channels,
                             o.channel_cells, o.ready,  o.connections, o.free_ends,  o.free_cells,
                             o.envelopes,     o.groups, o.group_members, o.total};
  uint64_t last = sizeof(Header) - 1;
  for (const uint64_t start : starts) {
    CHECK(start % kLine == 0);
    CHECK(start > last);
    last = start;
  }
  CHECK(o.inbox_ends - o.processes >= g.processes * sizeof(ProcessRecord));
  CHECK(o.channels - o.directory >= 2 * g.channels * sizeof(Word));
  CHECK(o.channel_cells - o.channels >= g.channels * sizeof(ChannelRecord));
  CHECK(o.free_ends - o.connections >=
        uint64_t{g.worker_processes} * g.connections_per_worker * sizeof(ConnectionRecord));
  CHECK(o.groups - o.envelopes >= (2 * 340 + 6 * 308) * sizeof(Envelope));
  CHECK(o.group_members - o.groups >= g.groups * sizeof(GroupRecord));
  CHECK(o.total - o.group_members >= uint64_t{g.groups} * g.channels * sizeof(Word));
}

TEST_CASE("a hundred thousand connections fit in thirty-two megabytes") {
  Geometry one = small_geometry();
  one.connections_per_worker = 64;
  Geometry many = one;
  many.connections_per_worker = 50'048;

  CHECK(valid(many));
  CHECK(offsets_of(many).total - offsets_of(one).total <= 32u << 20);
}

TEST_CASE("sizes that cannot be are refused") {
  const Geometry good = small_geometry();
  REQUIRE(valid(good));
  const auto broken = [&](auto change) {
    Geometry g = good;
    change(g);
    return !valid(g);
  };
  constexpr uint32_t kHuge = std::numeric_limits<uint32_t>::max();

  CHECK(broken([](Geometry& g) { g.processes = 0; }));
  CHECK(broken([](Geometry& g) { g.processes = kMaxProcesses + 1; }));
  CHECK(broken([](Geometry& g) { g.worker_processes = 0; }));
  CHECK(broken([](Geometry& g) { g.worker_processes = kHuge; }));
  CHECK(broken([](Geometry& g) { g.worker_processes = g.processes; }));
  CHECK(broken([](Geometry& g) { g.connections_per_worker = 0; }));
  CHECK(broken([](Geometry& g) { g.connections_per_worker = 65; }));
  CHECK(broken([](Geometry& g) { g.connections_per_worker = kMaxConnections + 64; }));
  CHECK(broken([](Geometry& g) { g.channels = 48; }));
  CHECK(broken([](Geometry& g) { g.channels = 0; }));
  CHECK(broken([](Geometry& g) { g.channel_cells = 3; }));
  CHECK(broken([](Geometry& g) { g.inbox_cells = 1; }));
  CHECK(broken([](Geometry& g) { g.inbox_cells = 1u << 31; }));
  CHECK(broken([](Geometry& g) { g.groups = 0; }));
  CHECK(broken([](Geometry& g) { g.groups = 3; }));
  CHECK(broken([](Geometry& g) { g.group_expiry_ms = 0; }));
  CHECK(broken([](Geometry& g) {
    g.processes = kMaxProcesses;
    g.worker_processes = kMostHolders + 1;
  }));
  CHECK(broken([](Geometry& g) { g.worker_blocks[0] = 0; }));
  CHECK(broken([](Geometry& g) { g.other_blocks[5] = kHuge; }));
  // Block indices are 32 bits wide.
  CHECK(broken([](Geometry& g) {
    g.processes = kMaxProcesses;
    for (uint32_t& count : g.other_blocks) count = 1u << 20;
  }));
}

}  // namespace
