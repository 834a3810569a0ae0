// tests/unit/shm/segment_test.cc -- made once, attached only whole, and every index checked.
#include "shm/segment.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <set>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::small_geometry;
using sluice::tests::World;

Fd again(const Segment& segment) { return Fd(fcntl(segment.memfd(), F_DUPFD_CLOEXEC, 0)); }

TEST_CASE("a segment attached sees what its maker made") {
  const Segment made = Segment::create(small_geometry());
  auto attached = Segment::attach(again(made));

  REQUIRE(attached.ok());
  CHECK(attached->geometry() == made.geometry());
  CHECK(attached->offsets() == made.offsets());
  CHECK(attached->instance() == made.instance());
  CHECK(attached->block_count() == made.block_count());
  made.process(3)->pid = 4711;
  CHECK(attached->process(3)->pid.load() == 4711);
  std::string problem;
  CHECK_MESSAGE(made.verify(problem), problem);
}

TEST_CASE("two segments have two instances, and impossible sizes are refused") {
  CHECK(Segment::create(small_geometry()).instance() != Segment::create(small_geometry()).instance());
  Geometry none = small_geometry();
  none.channels = 3;
  CHECK_THROWS_AS(static_cast<void>(Segment::create(none)), std::system_error);
}

TEST_CASE("a segment cannot be cut short or made longer") {
  const Segment segment = Segment::create(small_geometry());

  CHECK(ftruncate(segment.memfd(), 4096) != 0);
  CHECK(ftruncate(segment.memfd(), 1 << 30) != 0);
}

TEST_CASE("what is not exactly our layout is refused") {
  const Segment made = Segment::create(small_geometry());
  Header& header = made.header();
  const auto refused = [&] {
    const auto attached = Segment::attach(again(made));
    return !attached.ok() && attached.error() == Error::kLayoutMismatch;
  };
  REQUIRE_FALSE(refused());

  SUBCASE("magic") { ++header.magic; }
  SUBCASE("version") { ++header.version; }
  SUBCASE("byte order") { header.endian = 0x04030201; }
  SUBCASE("classes") { ++header.class_count; }
  SUBCASE("geometry, larger than the memory") { header.geometry.connections_per_worker = 1 << 18; }
  SUBCASE("geometry, not valid") { header.geometry.channels = 3; }
  SUBCASE("offsets") { header.offsets.envelopes += kLine; }
  CHECK(refused());
}

TEST_CASE("no descriptor, a plain file, an unsealed memfd, too little memory: refused") {
  const auto error_of = [](Fd fd) {
    const auto attached = Segment::attach(std::move(fd));
    return attached.ok() ? Error::kDetached : attached.error();
  };

  CHECK(error_of(Fd{}) == Error::kLayoutMismatch);
  CHECK(error_of(Fd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC))) == Error::kLayoutMismatch);
  CHECK(error_of(make_memfd("small", 64)) == Error::kLayoutMismatch);
  CHECK(error_of(make_memfd("zeros", 1 << 20)) == Error::kLayoutMismatch);
  const Segment made = Segment::create(small_geometry());
  Fd unsealed(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(ftruncate(unsealed.get(), static_cast<off_t>(made.offsets().total)) == 0);
  const auto copy = map_memfd(unsealed.get(), true);
  std::memcpy(copy.get_address(), &made.header(), sizeof(Header));
  CHECK(error_of(Fd(fcntl(unsealed.get(), F_DUPFD_CLOEXEC, 0))) == Error::kLayoutMismatch);
}

TEST_CASE("an index that is none finds nothing") {
  const Segment segment = Segment::create(small_geometry());
  const Geometry& g = segment.geometry();

  for (const uint32_t none : {segment.block_count(), segment.block_count() + 1, 0x7fffffffu, 0xffffffffu}) {
    CAPTURE(none);
    CHECK(segment.process(none) == nullptr);
    CHECK(segment.channel(none) == nullptr);
    CHECK(segment.connection(2, none) == nullptr);
    CHECK(segment.envelope(none) == nullptr);
    BlockPlace place;
    CHECK_FALSE(segment.place_of(none, place));
  }
  CHECK(segment.process(g.processes) == nullptr);
  CHECK(segment.channel(g.channels) == nullptr);
  CHECK(segment.connection(2, g.connections_per_worker) == nullptr);
  for (const ProcessIndex row : {ProcessIndex{0}, ProcessIndex{1}, ProcessIndex{4}, ProcessIndex{65535}}) {
    CHECK_FALSE(segment.is_worker(row));
    CHECK(segment.ready(row) == nullptr);
    CHECK(segment.connection(row, 0) == nullptr);
  }
}

TEST_CASE("every block lies in one place, none upon another, all within its arena") {
  const Segment segment = Segment::create(small_geometry());

  for (uint32_t row = 0; row < segment.geometry().processes; ++row) {
    const auto arena = static_cast<ProcessIndex>(row);
    std::set<BlockIndex> blocks;
    uint64_t expected_offset = 0;
    uint64_t wrong = 0;
    for (uint8_t c = 0; c < kClasses; ++c) {
      for (uint32_t number = 0; number < segment.blocks_of(row)[c]; ++number) {
        const BlockIndex block = segment.block_at(arena, c, number);
        BlockPlace place;
        wrong += !segment.place_of(block, place) || place.arena != arena || place.size_class != c ||
                 place.number != number || place.offset != expected_offset || !blocks.insert(block).second;
        expected_offset += place.bytes();
      }
    }
    CHECK(wrong == 0);
    CHECK(expected_offset == segment.arena_bytes(row));
  }
}

TEST_CASE("queues of all kinds lie apart: what is pushed to one is in no other") {
  World world;
  Segment& segment = world.segment();
  Member worker(world, world.join(Role::kWorker));
  std::vector<OwnerQueue> queues;
  for (uint32_t p = 0; p < segment.geometry().processes; ++p) {
    queues.push_back(segment.inbox(p));
    for (uint32_t c = 0; c < kClasses; ++c) queues.push_back(segment.free_queue(p, c));
  }
  for (uint32_t c = 0; c < segment.geometry().channels; ++c) queues.push_back(segment.channel_queue(c));
  for (uint32_t slot = 0; slot < 3; ++slot) {
    queues.push_back(segment.reply_ring(2, slot));
    queues.push_back(segment.reply_ring(3, slot));
  }
  queues.push_back(segment.reply_ring(3, segment.geometry().connections_per_worker - 1));
  std::vector<BlockIndex> pushed;  // all claimed first: a claim looks into our free queues
  for (size_t i = 0; i < queues.size(); ++i) pushed.push_back(worker.layer.pool().try_claim(1).value());
  for (size_t i = 0; i < queues.size(); ++i) {
    REQUIRE(queues[i].try_push(pushed[i], worker.layer.me().index) == PushOutcome::kPushed);
  }

  for (size_t i = 0; i < queues.size(); ++i) {
    CAPTURE(i);
    std::vector<BlockIndex> seen;
    queues[i].for_each([&](BlockIndex block) { seen.push_back(block); });
    CHECK(seen == std::vector<BlockIndex>{pushed[i]});
  }
}

TEST_CASE("verify finds a block in two queues, one in none, one nobody living holds, a loose link") {
  World world;
  Segment& segment = world.segment();
  Member worker(world, world.join(Role::kWorker));
  const uint32_t channel = worker.layer.channels().open("c").value();
  const Sent sent = worker.send(channel, "x").value();
  std::string problem;
  REQUIRE_MESSAGE(segment.verify(problem), problem);
  Word& stamp = segment.envelope(sent.block)->stamp;
  const Stamp before{stamp.load()};

  SUBCASE("in the hands of nobody") { stamp = before.next(7, BlockState::kOwned).word; }
  SUBCASE("in no queue") {
    const BlockIndex other = worker.layer.pool().try_claim(1).value();
    segment.envelope(other)->stamp = before.word;
  }
  SUBCASE("in a queue of another name") { segment.envelope(sent.block)->queue = queue_id(QueueKind::kInbox, 2); }
  SUBCASE("a state that is none") { stamp = before.word | 0xf0; }
  SUBCASE("a loose link") {
    const BlockIndex other = worker.layer.pool().try_claim(1).value();
    segment.envelope(other)->stamp = before.next(2, BlockState::kLinked).word;
    segment.envelope(other)->head = sent.block;
  }
  SUBCASE("a cell naming no block") {
    segment.process(0)->used_blocks[0] = 0;
    const uint64_t cell = uint64_t{1} << 32 | 0x00ffffff;
    // The head cell of process 7's inbox.
    std::byte* base = reinterpret_cast<std::byte*>(&segment.header());
    *reinterpret_cast<uint64_t*>(base + segment.offsets().inbox_cells +
                                 uint64_t{7} * segment.geometry().inbox_cells * 8) = cell;
  }
  CHECK_FALSE(segment.verify(problem));
  CHECK_FALSE(problem.empty());
}

// ---- arenas -------------------------------------------------------------------------------------

TEST_CASE("a sealed arena can be written by its process alone: no later mapping may write") {
  World world;
  Member consumer(world, world.join(Role::kConsumer));
  const ProcessIndex row = consumer.layer.me().index;

  REQUIRE(seal_against_writers(world.arena(row)).ok());

  CHECK(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, world.arena(row), 0) == MAP_FAILED);
  void* readable = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, world.arena(row), 0);
  REQUIRE(readable != MAP_FAILED);
  CHECK(mprotect(readable, 4096, PROT_READ | PROT_WRITE) != 0);
  munmap(readable, 4096);
  const std::string path = "/proc/self/fd/" + std::to_string(world.arena(row));
  const Fd reopened(open(path.c_str(), O_RDWR | O_CLOEXEC));
  CHECK(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reopened.get(), 0) == MAP_FAILED);
  auto claim = consumer.write("still writable by its own");
  CHECK(claim.ok());
  CHECK(ftruncate(world.arena(row), 0) != 0);
  CHECK(ftruncate(world.arena(row), 1 << 30) != 0);
  CHECK(pwrite(world.arena(row), "x", 1, 0) == -1);
  CHECK(fallocate(world.arena(row), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0);
  CHECK(fallocate(world.arena(row), 0, 0, 1 << 30) != 0);
  CHECK(fcntl(world.arena(row), F_ADD_SEALS, F_SEAL_WRITE) != 0);
}

TEST_CASE("nobody can cut, grow or seal the control segment under the others") {
  World world;
  const int control = world.segment().memfd();
  const auto size = static_cast<off_t>(world.segment().offsets().total);

  CHECK(ftruncate(control, size - 1) != 0);
  CHECK(ftruncate(control, size + 4096) != 0);
  CHECK(fallocate(control, 0, size, 4096) != 0);
  CHECK(fcntl(control, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0);
  CHECK(fcntl(control, F_ADD_SEALS, F_SEAL_WRITE) != 0);
  const std::string path = "/proc/self/fd/" + std::to_string(control);
  CHECK(truncate(path.c_str(), 0) != 0);
  // A hole is zeros: it scribbles, and takes no page away from under a reader.
  CHECK(fallocate(control, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) == 0);
  CHECK(world.segment().header().magic == 0);
  CHECK(Segment::attach(Fd(fcntl(control, F_DUPFD_CLOEXEC, 0))).error() == Error::kLayoutMismatch);
}

TEST_CASE("an arena of the wrong size or without seals is not mapped") {
  World world;
  Member worker(world, world.join(Role::kWorker));
  const ProcessName consumer = world.join(Role::kConsumer);
  const uint64_t right = world.segment().arena_bytes(consumer.index);

  CHECK_FALSE(worker.arenas.map(consumer.index, 1, make_memfd("short", right - 1)).ok());
  CHECK_FALSE(worker.arenas.map(consumer.index, 1, make_memfd("long", right + 4096)).ok());
  Fd unsealed(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(ftruncate(unsealed.get(), static_cast<off_t>(right)) == 0);
  CHECK_FALSE(worker.arenas.map(consumer.index, 1, std::move(unsealed)).ok());
  CHECK_FALSE(worker.arenas.map(consumer.index, 1, Fd{}).ok());
  CHECK_FALSE(worker.arenas.map(worker.layer.me().index, 1, make_memfd("own", right)).ok());
  CHECK_FALSE(worker.arenas.map(9999, 1, make_memfd("none", right)).ok());
  CHECK(worker.arenas.map(consumer.index, 1, make_memfd("right", right)).ok());
  CHECK_THROWS_AS(worker.arenas.map_own(make_memfd("short", 4096).get()), std::system_error);
}

TEST_CASE("another incarnation's arena is fetched anew, and one that is gone is unmapped") {
  World world;
  Member worker(world, world.join(Role::kWorker));
  const ProcessName first = world.join(Role::kConsumer);
  const BlockIndex block = world.segment().block_at(first.index, 0, 0);
  const auto* before = worker.arenas.payload(block).data();
  REQUIRE(before != nullptr);
  CHECK(worker.arenas.payload(block).data() == before);

  world.table().set_dead(first);
  CHECK(worker.arenas.payload(block).data() == before);  // its messages may still wait
  world.table().set_free(first);
  const ProcessName second = world.join(Role::kConsumer);
  REQUIRE(second.index == first.index);
  worker.source.silent = true;
  CHECK(worker.arenas.payload(block).empty());
  worker.source.silent = false;
  CHECK_FALSE(worker.arenas.payload(block).empty());
  CHECK(worker.arenas.payload(0xffffffff).empty());
  worker.source.silent = true;
  worker.arenas.retire(first);  // word that comes late
  CHECK_FALSE(worker.arenas.payload(block).empty());
  worker.arenas.retire(second);
  CHECK(worker.arenas.payload(block).empty());
}

TEST_CASE("a message is readable to its end, though a scribbled row has another arena take its arena's place") {
  World world;
  Member worker(world, world.join(Role::kWorker));
  Member consumer(world, world.join(Role::kConsumer));
  const ProcessName name = consumer.layer.me();
  REQUIRE(consumer.send_to(worker.layer.me(), "still here").ok());
  const auto delivery = worker.layer.try_receive();
  REQUIRE(delivery);

  world.segment().process(name.index)->life = uint64_t{name.incarnation + 1} << 32 |
                                              static_cast<uint32_t>(ProcessState::kLive);
  const BlockIndex other = world.segment().block_at(name.index, 0, 9);
  CHECK_FALSE(worker.arenas.payload(other).empty());  // the source gave it, mapped anew

  CHECK(Member::text(*delivery) == "still here");
  CHECK(delivery->intact());
}

TEST_CASE("damage to what the header was made with is found, and named; what changes there is none") {
  World world;
  Header& header = world.segment().header();
  header.deaths.store(7);
  header.draining.store(1);
  CHECK(world.segment().damage() == nullptr);
  const auto found = [&](auto scribble, auto mend) {
    scribble();
    const char* what = world.segment().damage();
    mend();
    CHECK(world.segment().damage() == nullptr);
    return std::string(what == nullptr ? "nothing" : what);
  };

  CHECK(found([&] { header.magic ^= 1; }, [&] { header.magic ^= 1; }) == "magic");
  CHECK(found([&] { ++header.version; }, [&] { --header.version; }) == "version");
  CHECK(found([&] { ++header.endian; }, [&] { --header.endian; }) == "version");
  CHECK(found([&] { ++header.class_count; }, [&] { --header.class_count; }) == "version");
  CHECK(found([&] { ++header.total_bytes; }, [&] { --header.total_bytes; }) == "total_bytes");
  CHECK(found([&] { ++header.instance; }, [&] { --header.instance; }) == "instance");
  CHECK(found([&] { ++header.geometry.channels; }, [&] { --header.geometry.channels; }) == "geometry");
  CHECK(found([&] { ++header.offsets.total; }, [&] { --header.offsets.total; }) == "offsets");
  CHECK(found([&] { header.corrupt.store(1); }, [&] { header.corrupt.store(0); }) == "marked corrupt");
}

}  // namespace
