// tests/unit/shm/connection_slots_test.cc -- slots, owners, and a ready bitmap that forgets nobody.
#include "shm/connection_slots.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>

#include <set>
#include <thread>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::small_geometry;
using sluice::tests::World;

Geometry many_connections() {
  Geometry geometry = small_geometry();
  geometry.connections_per_worker = 3 * 64 * 64;
  return geometry;
}

struct Bench {
  World world{many_connections()};
  ProcessName worker = world.join(Role::kWorker);
  ProcessName consumer = world.join(Role::kConsumer, 1);
  ProcessName second = world.join(Role::kConsumer, 2);
  Segment& segment = world.segment();
  ConnectionSlots slots{segment, worker};

  ReplyAddress address(ConnectionSlots::Opened opened) const {
    return {worker.index, worker.incarnation, opened.slot, opened.generation, 0};
  }
};

TEST_CASE("slots are opened until none is left, and one closed is opened again as another generation") {
  Bench b;
  std::set<uint32_t> seen;
  for (uint32_t i = 0; i < b.segment.geometry().connections_per_worker; ++i) {
    seen.insert(b.slots.open().value().slot);
  }
  CHECK(seen.size() == b.segment.geometry().connections_per_worker);
  CHECK_FALSE(b.slots.open());

  b.slots.close(77);
  const auto again = b.slots.open().value();
  CHECK(again.slot == 77);
  CHECK(again.generation == 2);
  CHECK(b.segment.process(b.worker.index)->used_slots.load() == seen.size());
}

TEST_CASE("a successor in the row goes on from the generations it finds") {
  Bench b;
  const auto first = b.slots.open().value();
  b.world.table().set_dead(b.worker);
  b.world.table().set_free(b.worker);

  ConnectionSlots next(b.segment, b.world.join(Role::kWorker));

  CHECK(next.open()->generation == first.generation + 1);
}

TEST_CASE("a connection is found by its whole address only") {
  Bench b;
  const auto opened = b.slots.open().value();
  const ReplyAddress good = b.address(opened);

  CHECK(find_connection(b.segment, good).ok());
  ReplyAddress wrong = good;
  wrong.generation = 0;
  CHECK_FALSE(find_connection(b.segment, wrong).ok());
  wrong = good;
  wrong.slot = 0xffffffff;
  CHECK_FALSE(find_connection(b.segment, wrong).ok());
  b.world.table().set_dead(b.worker);
  CHECK(find_connection(b.segment, good).error() == Error::kConnectionGone);
}

TEST_CASE("a connection has one owner, who keeps it while it lives") {
  Bench b;
  const auto opened = b.slots.open().value();
  const ReplyAddress about = b.address(opened);
  CHECK_FALSE(b.slots.owner(opened.slot));

  CHECK(take_connection(b.segment, about, b.consumer));
  CHECK(take_connection(b.segment, about, b.consumer));
  CHECK_FALSE(take_connection(b.segment, about, b.second));
  CHECK(b.slots.owner(opened.slot) == b.consumer);

  b.world.table().set_dead(b.consumer);
  CHECK_FALSE(b.slots.owner(opened.slot));
  CHECK(take_connection(b.segment, about, b.second));
  CHECK(b.slots.owner(opened.slot) == b.second);
  b.slots.clear_owner(opened.slot);
  CHECK_FALSE(b.slots.owner(opened.slot));
}

TEST_CASE("a connection that is over, or another's generation, cannot be taken") {
  Bench b;
  const auto opened = b.slots.open().value();
  b.slots.close(opened.slot);
  CHECK_FALSE(take_connection(b.segment, b.address(opened), b.consumer));

  const auto next = b.slots.open().value();
  CHECK_FALSE(take_connection(b.segment, b.address(opened), b.consumer));
  CHECK_FALSE(b.slots.owner(next.slot));
}

TEST_CASE("every slot set ready is found once, at every level of the bitmap") {
  Bench b;
  const uint32_t count = b.segment.geometry().connections_per_worker;
  for (uint32_t i = 0; i < count; ++i) static_cast<void>(b.slots.open());
  const std::set<uint32_t> wanted = {0, 1, 63, 64, 65, 4095, 4096, 4097, 8191, 8192, count - 1};

  for (const uint32_t slot : wanted) set_ready(*b.segment.ready(b.worker.index), slot);
  for (const uint32_t slot : wanted) b.slots.set_ready(slot);
  CHECK(b.slots.any_ready());
  std::set<uint32_t> found;
  while (const auto slot = b.slots.next_ready()) CHECK(found.insert(*slot).second);

  CHECK(found == wanted);
  CHECK_FALSE(b.slots.any_ready());
}

TEST_CASE("a bit set while others are being given out is not lost") {
  Bench b;
  for (uint32_t i = 0; i < 200; ++i) static_cast<void>(b.slots.open());
  for (const uint32_t slot : {3u, 5u, 70u}) b.slots.set_ready(slot);

  CHECK(b.slots.next_ready() == 3u);
  b.slots.set_ready(3);  // its word was taken out of the bitmap already
  b.slots.set_ready(130);
  std::set<uint32_t> found;
  while (const auto slot = b.slots.next_ready()) found.insert(*slot);

  CHECK(found == std::set<uint32_t>{3, 5, 70, 130});
}

TEST_CASE("scribbled bits of slots never opened are skipped") {
  Bench b;
  static_cast<void>(b.slots.open());
  ReadyBitmap& ready = *b.segment.ready(b.worker.index);
  ready.top = ~0ull;
  for (Word& word : ready.middle) word = ~0ull;
  for (Word& word : ready.bottom) word = ~0ull;

  CHECK(b.slots.next_ready() == 0u);
  CHECK_FALSE(b.slots.next_ready());
}

TEST_CASE("whatever producers set while the worker clears, no published count is missed") {
  Bench b;
  for (uint32_t i = 0; i < 300; ++i) static_cast<void>(b.slots.open());
  ReadyBitmap& ready = *b.segment.ready(b.worker.index);
  constexpr uint32_t kRounds = 60'000;
  std::array<std::atomic<uint32_t>, 300> published{};
  std::array<uint32_t, 300> seen{};
  std::atomic<int> producing{2};
  std::vector<std::thread> producers;
  for (uint32_t t = 0; t < 2; ++t) {
    producers.emplace_back([&, t] {
      for (uint32_t i = 0; i < kRounds; ++i) {
        const uint32_t slot = (i * 7 + t) % 300;
        published[slot].fetch_add(1);
        set_ready(ready, slot);
      }
      --producing;
    });
  }
  // As a worker does: a slot is looked at only when its bit is found.
  const auto drain = [&] {
    while (const auto slot = b.slots.next_ready()) seen[*slot] = published[*slot].load();
  };
  while (producing.load() > 0) drain();
  for (std::thread& producer : producers) producer.join();
  drain();

  uint64_t total = 0;
  for (uint32_t slot = 0; slot < 300; ++slot) total += seen[slot];
  CHECK(total == 2 * kRounds);
}

}  // namespace
