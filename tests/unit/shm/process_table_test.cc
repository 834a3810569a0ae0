// tests/unit/shm/process_table_test.cc -- rows are given out once, and told apart by incarnation.
#include "shm/process_table.h"

#include <doctest/doctest.h>

#include "tests/support/segment_fixture.h"

namespace {

using namespace sluice::shm;

struct Bench {
  Segment segment = Segment::create(sluice::tests::small_geometry());
  ProcessTable table{segment};
};

TEST_CASE("each role gets rows of its own, until they are used up") {
  Bench b;

  const auto master = b.table.reserve(Role::kMaster, 0);
  REQUIRE(master);
  CHECK(master->index == kMasterRow);
  CHECK_FALSE(b.table.reserve(Role::kMaster, 0));
  for (uint32_t n = 0; n < 2; ++n) {
    const auto worker = b.table.reserve(Role::kWorker, n);
    REQUIRE(worker);
    CHECK(b.segment.is_worker(worker->index));
    CHECK(b.segment.process(worker->index)->number.load() == n);
  }
  CHECK_FALSE(b.table.reserve(Role::kWorker, 2));
  for (uint32_t n = 0; n < 4; ++n) {
    const auto consumer = b.table.reserve(Role::kConsumer, n);
    REQUIRE(consumer);
    CHECK_FALSE(b.segment.is_worker(consumer->index));
    CHECK(b.segment.process(consumer->index)->role.load() == static_cast<uint32_t>(Role::kConsumer));
  }
  CHECK_FALSE(b.table.reserve(Role::kConsumer, 4));
  CHECK_FALSE(b.table.reserve(Role::kNone, 0));
}

TEST_CASE("a row lives, dies and is given out again as another incarnation") {
  Bench b;
  const ProcessName first = b.table.reserve(Role::kConsumer, 1).value();
  CHECK(b.table.state(first.index) == ProcessState::kJoining);
  CHECK_FALSE(b.table.is_live(first));
  CHECK_FALSE(b.table.living(first.index));

  b.table.set_live(first, 4711, 99);
  CHECK(b.table.is_live(first));
  CHECK(b.table.living(first.index) == first);
  CHECK(b.segment.process(first.index)->pid.load() == 4711);
  CHECK(b.segment.process(first.index)->start_time.load() == 99);

  b.table.set_dead(first);
  CHECK(b.table.state(first.index) == ProcessState::kDead);
  CHECK_FALSE(b.table.is_live(first));
  CHECK(b.table.reserve(Role::kConsumer, 2)->index != first.index);

  b.table.set_free(first);
  const ProcessName second = b.table.reserve(Role::kConsumer, 3).value();
  CHECK(second.index == first.index);
  CHECK(second.incarnation == first.incarnation + 1);
  b.table.set_live(second, 1, 1);
  CHECK_FALSE(b.table.is_live(first));
  CHECK(b.table.is_live(second));
}

TEST_CASE("a step for another incarnation or out of turn does nothing") {
  Bench b;
  const ProcessName name = b.table.reserve(Role::kConsumer, 1).value();

  b.table.set_free(name);
  CHECK(b.table.state(name.index) == ProcessState::kJoining);
  b.table.set_live({name.index, name.incarnation + 1}, 1, 1);
  CHECK(b.table.state(name.index) == ProcessState::kJoining);
  b.table.set_live(name, 1, 1);
  b.table.set_dead({name.index, name.incarnation - 1});
  CHECK(b.table.is_live(name));
  b.table.set_free(name);
  CHECK(b.table.is_live(name));
  CHECK_FALSE(b.table.is_live({name.index, 0}));
}

TEST_CASE("a process that dies while joining is dead, and its row comes back") {
  Bench b;
  const ProcessName name = b.table.reserve(Role::kWorker, 0).value();

  b.table.set_dead(name);
  CHECK(b.table.state(name.index) == ProcessState::kDead);
  b.table.set_free(name);

  CHECK(b.table.reserve(Role::kWorker, 0)->index == name.index);
}

TEST_CASE("a newcomer has no sleep and no death of others to answer for") {
  Bench b;
  ProcessRecord* row = b.segment.process(2);
  row->doorbell = 4 * 17 + kAsleepInPoll + kAsleepInFutex;
  row->poisoned = 1;
  b.segment.header().deaths = 5;

  REQUIRE(b.table.reserve(Role::kWorker, 0)->index == 2);

  CHECK(row->doorbell.load() == 4 * 17);
  CHECK(row->poisoned.load() == 0);
  CHECK(row->seen_deaths.load() == 5);
  CHECK(row->settled_deaths.load() == 5);
}

TEST_CASE("a row that is none, or that nobody honest wrote, is not living") {
  Bench b;
  b.segment.process(6)->life = 0xffff'ffff'0000'0044;

  CHECK_FALSE(b.table.living(6));
  CHECK(b.table.state(6) == ProcessState::kDead);
  CHECK_FALSE(b.table.living(999));
  CHECK_FALSE(b.table.is_live({999, 1}));
  b.table.set_dead({999, 1});
  b.segment.process(7)->life = 0xffff'ffff'0000'0000;
  for (int i = 0; i < 2; ++i) CHECK(b.table.reserve(Role::kConsumer, 0)->index < 6);
  const auto wrapped = b.table.reserve(Role::kConsumer, 0);
  REQUIRE(wrapped);
  CHECK(wrapped->index == 7);
  CHECK(wrapped->incarnation == 1);  // 0 stays nobody's
}

}  // namespace
