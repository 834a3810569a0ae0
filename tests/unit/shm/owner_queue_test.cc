// tests/unit/shm/owner_queue_test.cc -- the owner-stamped queue, one step at a time.
#include "shm/owner_queue.h"

#include "shm/queue_soundness.h"

#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

namespace {

using namespace sluice::shm;

struct ArrayStamps {
  Word* words;
  uint32_t count;
  [[nodiscard]] Word* stamp(BlockIndex block) const noexcept {
    return block < count ? &words[block] : nullptr;
  }
};
using Queue = BasicOwnerQueue<Word, ArrayStamps>;

constexpr ProcessIndex kWriter = 7;
constexpr ProcessIndex kReader = 9;

// A queue and the blocks that go through it; all owned by the writer at first.
struct Bench {
  Bench(uint32_t size, uint32_t capacity, uint32_t blocks) : cells(size), stamps(blocks) {
    for (Word& stamp : stamps) stamp = Stamp::of(1, kWriter, BlockState::kOwned).word;
    queue.emplace_back(head, tail, cells.data(), size, capacity, ArrayStamps{stamps.data(), blocks});
  }
  Queue& q() { return queue.front(); }
  Stamp stamp(BlockIndex block) const { return {stamps[block].load()}; }
  PushOutcome push(BlockIndex block) { return q().try_push(block, kWriter); }
  // The block taken, or kNoBlock.
  BlockIndex pop() {
    BlockIndex block = kNoBlock;
    withdrawn = false;
    outcome = q().try_pop(kReader, block, withdrawn);
    return outcome == PopOutcome::kTaken ? block : kNoBlock;
  }
  void give_to_writer(BlockIndex block) {
    stamps[block] = stamp(block).next(kWriter, BlockState::kOwned).word;
  }

  Word head{0};
  Word tail{0};
  std::vector<Word> cells;
  std::vector<Word> stamps;
  std::deque<Queue> queue;
  bool withdrawn = false;
  PopOutcome outcome{};
};

TEST_CASE("blocks come out in the order they went in, each naming its owner all the way") {
  Bench b(8, 8, 8);

  for (BlockIndex i = 0; i < 5; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);

  CHECK(b.q().depth() == 5);
  CHECK(b.stamp(3) == Stamp::of(2, kWriter, BlockState::kQueued));
  for (BlockIndex i = 0; i < 5; ++i) {
    CHECK(b.pop() == i);
    CHECK(b.stamp(i) == Stamp::of(3, kReader, BlockState::kOwned));
    CHECK_FALSE(b.withdrawn);
  }
  CHECK(b.pop() == kNoBlock);
  CHECK(b.outcome == PopOutcome::kEmpty);
  CHECK(b.q().empty());
}

TEST_CASE("a full queue refuses the next block, and its writer still owns it") {
  for (const uint32_t capacity : {1u, 3u, 4u, 7u, 8u}) {
    CAPTURE(capacity);
    Bench b(8, capacity, 16);

    for (BlockIndex i = 0; i < capacity; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);

    CHECK(b.push(capacity) == PushOutcome::kFull);
    CHECK(b.stamp(capacity).owner() == kWriter);
    CHECK(b.stamp(capacity).state() == BlockState::kOwned);
    CHECK(b.pop() == 0);
    CHECK(b.push(capacity) == PushOutcome::kPushed);
    CHECK(b.push(capacity + 1) == PushOutcome::kFull);
  }
}

TEST_CASE("order and fullness hold over many laps, whatever the size") {
  for (const uint32_t size : {2u, 4u, 32u, 64u, 256u}) {
    CAPTURE(size);
    Bench b(size, size, size + 1);
    std::deque<BlockIndex> waiting;
    std::deque<BlockIndex> free;
    for (BlockIndex i = 0; i < size + 1; ++i) free.push_back(i);

    uint64_t wrong = 0;
    for (uint32_t step = 0; step < 300 * size; ++step) {
      // Fills up and empties again, a little further each time.
      const uint32_t target = step / 7 % (size + 1);
      if (waiting.size() <= target) {
        const PushOutcome outcome = b.push(free.front());
        wrong += outcome != (waiting.size() == size ? PushOutcome::kFull : PushOutcome::kPushed);
        if (outcome == PushOutcome::kPushed) {
          waiting.push_back(free.front());
          free.pop_front();
        }
      } else {
        const BlockIndex taken = b.pop();
        wrong += taken != waiting.front();
        waiting.pop_front();
        b.give_to_writer(taken);
        free.push_back(taken);
      }
      wrong += b.q().depth() != waiting.size();
    }
    CHECK(wrong == 0);
    CHECK(b.head.load() > 10 * size);
  }
}

TEST_CASE("the lap number may wrap") {
  Bench b(4, 4, 8);
  constexpr uint64_t kStart = (uint64_t{1} << 32) * 4 - 8;  // two laps before lap + 1 is 0 again
  b.head = kStart;
  b.tail = kStart;
  for (Word& cell : b.cells) cell = uint64_t{0xfffffffe} << 32;  // the lap before: lap(kStart) - 1

  for (uint32_t round = 0; round < 20; ++round) {
    CAPTURE(round);
    REQUIRE(b.push(round % 8) == PushOutcome::kPushed);
    REQUIRE(b.pop() == round % 8);
    b.give_to_writer(round % 8);
  }
}

TEST_CASE("a writer that died before moving tail on leaves neither a false full nor a false empty") {
  Bench b(4, 4, 8);
  REQUIRE(b.push(0) == PushOutcome::kPushed);
  b.tail = 0;  // published, and dead

  CHECK_FALSE(b.q().empty());
  CHECK(b.pop() == 0);
  CHECK(b.head.load() == 1);  // ahead of tail: the difference is signed
  CHECK(b.q().depth() == 0);
  CHECK(b.pop() == kNoBlock);
  CHECK(b.outcome == PopOutcome::kEmpty);
  for (BlockIndex i = 1; i < 5; ++i) CHECK(b.push(i) == PushOutcome::kPushed);
  CHECK(b.push(5) == PushOutcome::kFull);
  CHECK(b.tail.load() == 5);
}

TEST_CASE("a reader that died before moving head on leaves neither a false full nor a double take") {
  Bench b(4, 4, 8);
  for (BlockIndex i = 0; i < 4; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);
  REQUIRE(b.pop() == 0);
  b.head = 0;  // taken, and dead

  CHECK(b.push(4) == PushOutcome::kPushed);  // steps over the taken one
  CHECK(b.push(5) == PushOutcome::kFull);
  CHECK(b.pop() == 1);
  CHECK(b.stamp(0).owner() == kReader);
}

TEST_CASE("settle_head passes what was taken, and stops at what waits") {
  Bench b(4, 4, 8);
  for (BlockIndex i = 0; i < 4; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);
  REQUIRE(b.pop() == 0);
  REQUIRE(b.pop() == 1);
  b.head = 0;

  b.q().settle_head();

  CHECK(b.head.load() == 2);
  CHECK(b.pop() == 2);
}

TEST_CASE("a withdrawn block fills its place until it is met, and tells its reader") {
  Bench b(4, 2, 8);
  REQUIRE(b.push(0) == PushOutcome::kPushed);
  REQUIRE(b.push(1) == PushOutcome::kPushed);
  b.stamps[0] = b.stamp(0).next(kWriter, BlockState::kWithdrawn).word;

  CHECK(b.push(2) == PushOutcome::kFull);
  CHECK(b.pop() == 0);
  CHECK(b.withdrawn);
  CHECK(b.stamp(0).owner() == kReader);
  CHECK(b.pop() == 1);
  CHECK_FALSE(b.withdrawn);
}

TEST_CASE("every waiting block is visited, from the oldest") {
  Bench b(8, 8, 16);
  for (BlockIndex i = 0; i < 8; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);
  for (BlockIndex i = 0; i < 3; ++i) REQUIRE(b.pop() == i);
  REQUIRE(b.push(8) == PushOutcome::kPushed);

  std::vector<BlockIndex> seen;
  b.q().for_each([&](BlockIndex block) { seen.push_back(block); });

  CHECK(seen == std::vector<BlockIndex>{3, 4, 5, 6, 7, 8});
}

TEST_CASE("a visit misses nothing that waits, though others go on taking and pushing a lap further") {
  Bench b(4, 4, 8);
  for (BlockIndex i = 0; i < 4; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);

  std::vector<BlockIndex> seen;
  b.q().for_each([&](BlockIndex block) {
    seen.push_back(block);
    if (block != 0) return;
    for (BlockIndex i = 0; i < 2; ++i) REQUIRE(b.pop() == i);
    for (BlockIndex i = 4; i < 6; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);
  });

  CHECK(seen == std::vector<BlockIndex>{0, 2, 3});
}

TEST_CASE("a cell naming no block is stepped over once and told") {
  Bench b(4, 4, 8);
  REQUIRE(b.push(0) == PushOutcome::kPushed);
  REQUIRE(b.push(1) == PushOutcome::kPushed);
  b.cells[0] = uint64_t{1} << 32 | 0x00ffffff;

  CHECK(b.pop() == kNoBlock);
  CHECK(b.outcome == PopOutcome::kCorrupt);
  CHECK(b.pop() == 1);
}

TEST_CASE("ends and cells that do not fit are told as broken at once, by whoever looks, and stay so") {
  Bench b(4, 4, 16);
  for (BlockIndex i = 0; i < 6; ++i) {
    REQUIRE(b.push(i) == PushOutcome::kPushed);
    if (i < 4) REQUIRE(b.pop() == i);
  }
  REQUIRE(b.q().sound());

  SUBCASE("a head from an earlier lap") { b.head = 0; }
  SUBCASE("a head from a later lap") { b.head = 12; }
  SUBCASE("a head nobody ever reached") { b.head = ~0ull - 5; }
  SUBCASE("a cell from another lap") { b.cells[0] = uint64_t{9} << 32 | 3; }

  CHECK_FALSE(b.q().sound());
  for (int i = 0; i < 3; ++i) {
    CHECK(b.pop() == kNoBlock);
    CHECK(b.outcome == PopOutcome::kBroken);
    CHECK(b.q().empty());
  }
}

TEST_CASE("a writer is refused as by a corrupt queue where its tail cannot be") {
  Bench b(4, 4, 16);
  for (BlockIndex i = 0; i < 6; ++i) {
    REQUIRE(b.push(i) == PushOutcome::kPushed);
    if (i < 4) REQUIRE(b.pop() == i);
  }

  SUBCASE("from an earlier lap") { b.tail = 1; }
  SUBCASE("from a later lap") { b.tail = 14; }
  SUBCASE("over a cell from another lap") { b.cells[2] = uint64_t{9} << 32 | 3; }

  CHECK_FALSE(b.q().sound());
  CHECK(b.push(7) == PushOutcome::kCorrupt);
  CHECK(b.stamp(7).owner() == kWriter);
  CHECK(b.stamp(7).state() == BlockState::kOwned);
}

TEST_CASE("a tail that left a gap behind it is not sound, and no queue stays full for it") {
  Bench b(4, 4, 16);
  b.tail = 1;

  CHECK_FALSE(b.q().sound());
  CHECK(b.push(0) == PushOutcome::kPushed);
  CHECK(b.push(1) == PushOutcome::kPushed);
  CHECK(b.push(2) == PushOutcome::kPushed);
  CHECK(b.pop() == kNoBlock);  // nothing was published where head stands
  CHECK(b.push(3) == PushOutcome::kCorrupt);
}

TEST_CASE("a queue is sound wherever its ends lag") {
  Bench b(4, 4, 16);
  CHECK(b.q().sound());
  for (BlockIndex i = 0; i < 40; ++i) {
    REQUIRE(b.push(i % 16) == PushOutcome::kPushed);
    CHECK(b.q().sound());
    if (i % 4 == 1) {
      b.tail = b.tail - 1;  // its writer died before it moved tail on
      CHECK(b.q().sound());
    }
    REQUIRE(b.pop() == i % 16);  // where tail lags, head overtakes it
    CHECK(b.q().sound());
    b.give_to_writer(i % 16);
  }
  for (BlockIndex i = 0; i < 4; ++i) REQUIRE(b.push(i) == PushOutcome::kPushed);
  CHECK(b.q().sound());
}

TEST_CASE("no content of head, tail and cells makes a push or a pop go on for ever") {
  const uint64_t words[] = {0, 1, 3, 1ull << 32, 0xffffffff, ~0ull, 0x7fffffffffffffff, 5ull << 32 | 2};
  for (const uint64_t head : words) {
    for (const uint64_t cell : words) {
      Bench b(4, 4, 8);
      b.head = head;
      b.tail = cell;
      for (Word& each : b.cells) each = cell;

      const PushOutcome pushed = b.push(3);
      b.pop();
      b.q().settle_head();
      b.q().for_each([](BlockIndex) {});

      if (pushed != PushOutcome::kPushed) {
        CHECK(b.stamp(3).owner() == kWriter);
        CHECK(b.stamp(3).state() == BlockState::kOwned);
      }
    }
  }
}

TEST_CASE("many threads lose and double nothing, and each writer's blocks stay in order") {
  constexpr uint32_t kThreads = 2;
  constexpr uint32_t kEach = 60'000;
  constexpr uint32_t kOwn = 16;  // blocks of each writer
  std::vector<Word> stamps(kThreads * kOwn);
  std::vector<std::atomic<uint32_t>> value(kThreads * kOwn);
  std::vector<Word> cells(16), back_cells(64);
  Word head{0}, tail{0}, back_head{0}, back_tail{0};
  const ArrayStamps all{stamps.data(), static_cast<uint32_t>(stamps.size())};
  std::atomic<uint32_t> taken{0}, out_of_order{0}, corrupt{0};
  for (uint32_t i = 0; i < stamps.size(); ++i) {
    stamps[i] = Stamp::of(1, static_cast<ProcessIndex>(100 + i / kOwn), BlockState::kOwned).word;
  }

  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Queue queue(head, tail, cells.data(), 16, 12, all);
      Queue back(back_head, back_tail, back_cells.data(), 64, 64, all);
      const auto me = static_cast<ProcessIndex>(100 + t);
      std::vector<BlockIndex> own;
      for (BlockIndex i = 0; i < kOwn; ++i) own.push_back(t * kOwn + i);
      for (uint32_t sent = 0; sent < kEach;) {
        if (own.empty()) {
          BlockIndex block = kNoBlock;
          bool withdrawn = false;
          if (back.try_pop(me, block, withdrawn) == PopOutcome::kTaken) own.push_back(block);
          else std::this_thread::yield();
          continue;
        }
        value[own.back()].store(t << 24 | sent, std::memory_order_relaxed);
        switch (queue.try_push(own.back(), me)) {
          case PushOutcome::kPushed: own.pop_back(); ++sent; break;
          case PushOutcome::kFull: std::this_thread::yield(); break;
          case PushOutcome::kCorrupt: ++corrupt; return;
        }
        if (sent % 64 == 0 && !queue.sound()) ++corrupt;
      }
    });
    threads.emplace_back([&, t] {
      Queue queue(head, tail, cells.data(), 16, 12, all);
      Queue back(back_head, back_tail, back_cells.data(), 64, 64, all);
      const auto me = static_cast<ProcessIndex>(200 + t);
      std::array<int64_t, kThreads> last{};
      last.fill(-1);
      while (taken.load() < kThreads * kEach && corrupt.load() == 0) {
        BlockIndex block = kNoBlock;
        bool withdrawn = false;
        const PopOutcome outcome = queue.try_pop(me, block, withdrawn);
        if (outcome == PopOutcome::kCorrupt || outcome == PopOutcome::kBroken) ++corrupt;
        if (outcome != PopOutcome::kTaken) {
          std::this_thread::yield();
          continue;
        }
        const uint32_t seen = value[block].load(std::memory_order_relaxed);
        if (last[seen >> 24] >= (seen & 0xffffff)) ++out_of_order;
        last[seen >> 24] = seen & 0xffffff;
        ++taken;
        if (back.try_push(block, me) != PushOutcome::kPushed) ++corrupt;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  CHECK(taken.load() == kThreads * kEach);
  CHECK(out_of_order.load() == 0);
  CHECK(corrupt.load() == 0);
}

}  // namespace
