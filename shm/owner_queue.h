// shm/owner_queue.h -- a bounded FIFO of blocks, many writers, many readers, no locks.
// Lives in shared memory; any process using it may be killed or frozen at any instruction.
//   position  64-bit, only grows      cell = cells[position % size]    lap = position / size + 1
//   cell      { lap:32 | block:32 }   cell.lap == lap(p)  <=>  position p is published
//   stamp     in the block's envelope { generation:40 | owner:16 | state:8 }
// Q1  One compare-exchange of a cell publishes; there is never a half-written cell to repair.
// Q2  One compare-exchange of the block's stamp takes it; every block names its owner, always.
// Q3  head and tail may lag behind; whoever meets a lagging one moves it on.
// Q4  A cell is overwritten only after its block was taken and head has passed it.
// Q5  A block leaves its taker's hands only after head has passed its position, moved on by the
//     taker or by recovery. So a stamp read while head stood there is of this push.
// Q6  Content nobody honest can have written ends a call in a bounded number of steps. kCorrupt of a
//     pop: one cell, stepped over. kBroken, and kCorrupt of a push: the queue itself; it stays so.
// Atomic is std::atomic<uint64_t> here and a stepped stand-in in tests/model.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "shm/crash_point.h"
#include "shm/layout.h"

namespace sluice::shm {

enum class PushOutcome : uint8_t { kPushed, kFull, kCorrupt };
enum class PopOutcome : uint8_t { kTaken, kEmpty, kCorrupt, kBroken };
// Where the queue finds a block's stamp: `stamp(index)` is null for an index that is none.
template <class Atomic, class Stamps>
class BasicOwnerQueue {
 public:
  // `size` a power of two, at least 2; capacity in 1..size.
  BasicOwnerQueue(Atomic& head, Atomic& tail, Atomic* cells, uint32_t size, uint32_t capacity,
                  Stamps stamps) noexcept
      : head_(head), tail_(tail), cells_(cells), size_(size),
        lap_shift_(static_cast<uint32_t>(std::countr_zero(size))), capacity_(capacity), stamps_(stamps) {}

  // Appends `block`, which `me` owns. kFull, kCorrupt: `me` still owns it. Never waits. `head_seen`,
  // where the caller keeps one for this queue, is how far head was once: while that leaves room, the
  // readers' line is not looked at.
  [[nodiscard]] PushOutcome try_push(BlockIndex block, ProcessIndex me, uint64_t* head_seen = nullptr) noexcept {
    Atomic* word = stamps_.stamp(block);
    if (word == nullptr) return PushOutcome::kCorrupt;
    const Stamp queued = Stamp{word->load(relaxed)}.next(me, BlockState::kQueued);  // ours alone
    word->store(queued.word, release);  // [S] pairs with [S] in try_pop
    CRASH_POINT(push_stamped);          // queued by the dead, in no cell: recovery frees it
    for (uint32_t step = 0; step < kMaxSteps; ++step) {
      uint64_t tail = tail_.load(acquire);                  // [T]
      uint64_t cell = at(tail).load(acquire);               // [C]
      if (lap_in(cell) == lap(tail)) advance(tail_, tail);  // Q3
      if (lap_in(cell) + 1 != lap(tail)) {  // our tail is old, or this cell cannot be: Q6
        if (lap_in(cell) == lap(tail) || tail_.load(acquire) != tail) continue;
        break;
      }
      const bool room_seen = head_seen != nullptr && tail - *head_seen < capacity_;
      if (!room_seen && is_full(tail, head_seen)) {
        const uint64_t head = head_.load(acquire);  // [H]
        if (!at_capacity(tail, head)) continue;  // read meanwhile
        if (lap_in(at(head).load(acquire)) != lap(head) && head_.load(acquire) == head) break;  // Q6
        word->store(queued.next(me, BlockState::kOwned).word, release);
        return PushOutcome::kFull;
      }
      // [C] pairs with [C] here and in try_pop: who sees this lap sees the stamp and the bytes.
      if (at(tail).compare_exchange_strong(cell, pack(lap(tail), block), acq_rel, acquire)) {
        CRASH_POINT(push_published);  // complete; the next one to come moves tail for us
        advance(tail_, tail);
        return PushOutcome::kPushed;
      }
    }
    word->store(queued.next(me, BlockState::kOwned).word, release);
    return PushOutcome::kCorrupt;  // Q6
  }

  // Takes the oldest block for `me`. `withdrawn`: its sender took it back, the message counts for
  // nothing. kWithdrawn leaves every other block where it is: a full writer clears the head that way.
  enum class Which : uint8_t { kAny, kWithdrawn };
  [[nodiscard]] PopOutcome try_pop(ProcessIndex me, BlockIndex& block, bool& withdrawn,
                                   Which which = Which::kAny) noexcept {
    for (uint32_t step = 0; step < kMaxSteps; ++step) {
      const uint64_t head = head_.load(acquire);     // [H]
      const uint64_t cell = at(head).load(acquire);  // [C]
      if (lap_in(cell) != lap(head)) {
        // One lap behind at an unmoved head: nothing published here yet.
        if (lap_in(cell) + 1 == lap(head) && head_.load(acquire) == head) return PopOutcome::kEmpty;
        if (head_.load(acquire) != head) continue;
        return PopOutcome::kBroken;  // Q6: head passes a cell only in the lap after this one's
      }
      const BlockIndex index = block_in(cell);
      Atomic* word = stamps_.stamp(index);
      if (word == nullptr) {  // L3: a cell nobody honest wrote; step over it
        advance(head_, head);
        return PopOutcome::kCorrupt;
      }
      Stamp stamp{word->load(acquire)};           // [S]
      if (head_.load(acquire) != head) continue;  // Q5: the stamp may be of a later push
      if (waits(stamp)) {
        const bool withdrew = stamp.state() == BlockState::kWithdrawn;
        if (which == Which::kWithdrawn && !withdrew) return PopOutcome::kEmpty;
        uint64_t expected = stamp.word;
        if (word->compare_exchange_strong(expected, stamp.next(me, BlockState::kOwned).word,
                                          acq_rel, acquire)) {
          CRASH_POINT(pop_taken);  // ours by stamp; recovery moves head on before it gives us up
          advance(head_, head);
          block = index;
          withdrawn = withdrew;
          return PopOutcome::kTaken;
        }
        continue;  // taken, or withdrawn and still there: look again
      }
      advance(head_, head);  // taken by somebody else: Q3
    }
    return PopOutcome::kBroken;  // Q6
  }

  // True when no published block waits; a hint the moment it is given.
  [[nodiscard]] bool empty() const noexcept {
    const uint64_t head = head_.load(acquire);  // [H]
    return lap_in(at(head).load(acquire)) != lap(head) && head_.load(acquire) == head;
  }

  // Messages waiting, about: head may overtake a lagging tail, so the difference is signed.
  [[nodiscard]] uint32_t depth() const noexcept {
    const auto waiting = static_cast<int64_t>(tail_.load(acquire) - head_.load(acquire));
    return static_cast<uint32_t>(std::clamp<int64_t>(waiting, 0, size_));
  }

  // Moves head past a block that was taken but not stepped over: recovery does this for the dead
  // before it frees what they took (Q5).
  void settle_head() noexcept {
    for (uint32_t step = 0; step <= size_; ++step) {
      const uint64_t head = head_.load(acquire);     // [H]
      const uint64_t cell = at(head).load(acquire);  // [C]
      if (lap_in(cell) != lap(head)) return;
      if (Atomic* word = stamps_.stamp(block_in(cell)); word != nullptr) {
        const Stamp stamp{word->load(acquire)};  // [S]
        if (head_.load(acquire) != head) continue;
        if (waits(stamp)) return;
      }
      advance(head_, head);
    }
  }

  [[nodiscard]] bool sound() const noexcept;  // Q6; in queue_soundness.h

  // Calls `visit(block)` for each published position not yet passed by head; misses none that waits
  // from before the call to its end, whatever others do meanwhile. Recovery and shm_dump.
  template <class Visit>
  void for_each(Visit visit) const noexcept {
    const uint64_t head = head_.load(acquire);  // [H]
    for (uint64_t position = head; position < head + size_; ++position) {
      const uint64_t cell = at(position).load(acquire);  // [C]
      const auto laps_ahead = static_cast<int32_t>(lap_in(cell) - lap(position));
      if (laps_ahead < 0) return;                  // published up to here
      if (laps_ahead == 0) visit(block_in(cell));  // else overwritten: head has passed it
    }
  }

 private:
  using enum std::memory_order;
  static constexpr uint32_t kMaxSteps = 1u << 16;  // Q6: about 1 ms; honest contention: a handful
  static constexpr bool waits(Stamp stamp) noexcept {
    return stamp.state() == BlockState::kQueued || stamp.state() == BlockState::kWithdrawn;
  }
  static constexpr uint32_t lap_in(uint64_t cell) noexcept { return uint32_t(cell >> 32); }
  static constexpr BlockIndex block_in(uint64_t cell) noexcept { return BlockIndex(cell); }
  static constexpr uint64_t pack(uint32_t lap, BlockIndex block) noexcept { return uint64_t{lap} << 32 | block; }
  [[nodiscard]] uint32_t lap(uint64_t position) const noexcept { return uint32_t(position >> lap_shift_) + 1; }
  // Neighbours share a line: who pushes or takes several finds the next cell where the last one was.
  [[nodiscard]] Atomic& at(uint64_t position) const noexcept { return cells_[position & (size_ - 1)]; }

  // From `seen` to `seen + 1`, unless somebody did.
  static void advance(Atomic& end, uint64_t seen) noexcept {
    end.compare_exchange_strong(seen, seen + 1, acq_rel, acquire);  // [H] [T]
  }

  [[nodiscard]] bool at_capacity(uint64_t tail, uint64_t head) const noexcept {
    return static_cast<int64_t>(tail - head) >= int64_t{capacity_};  // signed: head may overtake tail
  }
  // With a head block that really still waits: a taken one is stepped over. A moved tail: look again.
  [[nodiscard]] bool is_full(uint64_t tail, uint64_t* head_seen) noexcept {
    if (head_seen != nullptr) *head_seen = head_.load(acquire);  // [H] only grows
    if (!at_capacity(tail, head_.load(acquire))) return false;
    settle_head();
    return at_capacity(tail, head_.load(acquire)) && tail_.load(acquire) == tail;  // [T]
  }

  Atomic& head_;
  Atomic& tail_;
  Atomic* cells_;
  uint32_t size_, lap_shift_, capacity_;
  Stamps stamps_;
};

}  // namespace sluice::shm
