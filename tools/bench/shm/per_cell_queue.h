// tools/bench/shm/per_cell_queue.h -- the bounded queue of per-cell sequence numbers, after Dmitry
// Vyukov: the fastest rival, and not kill-safe.
//
//   enqueue   takes position p by moving tail on, fills cell p, then says so: sequence = p + 1
//   dequeue   takes position p by moving head on, empties cell p, then says so: sequence = p + size
//
// A process that dies between the two leaves a cell nobody can pass: every later message is stuck.
#pragma once

#include <atomic>
#include <string_view>

#include "tools/bench/shm/message.h"
#include "tools/bench/shm/shared.h"

namespace sluice::bench {

class PerCellQueue {
 public:
  PerCellQueue() {
    for (uint64_t i = 0; i < kCapacity; ++i) ring_->cells[i].sequence.store(i, relaxed);
  }

  // A process's way to the queue; every process has all it needs after the fork.
  PerCellQueue& sender(uint32_t) noexcept { return *this; }
  PerCellQueue& reader(uint32_t) noexcept { return *this; }

  bool try_send(const Message& message) noexcept {
    Cell* cell = nullptr;
    uint64_t position = ring_->tail.load(relaxed);  // the compare-exchange finds out
    for (;;) {
      cell = &ring_->cells[position % kCapacity];
      const auto ahead = static_cast<int64_t>(cell->sequence.load(acquire) - position);  // [E]
      if (ahead < 0) return false;
      if (ahead > 0) {
        position = ring_->tail.load(relaxed);
      } else if (ring_->tail.compare_exchange_weak(position, position + 1, relaxed, relaxed)) {
        break;
      }
    }
    std::memcpy(&cell->message, &message, sizeof message);
    cell->sequence.store(position + 1, release);  // [F] pairs with [F] in try_receive
    return true;
  }

  bool try_receive(Message& message) noexcept {
    Cell* cell = nullptr;
    uint64_t position = ring_->head.load(relaxed);  // the compare-exchange finds out
    for (;;) {
      cell = &ring_->cells[position % kCapacity];
      const auto ahead =
          static_cast<int64_t>(cell->sequence.load(acquire) - (position + 1));  // [F]
      if (ahead < 0) return false;
      if (ahead > 0) {
        position = ring_->head.load(relaxed);
      } else if (ring_->head.compare_exchange_weak(position, position + 1, relaxed, relaxed)) {
        break;
      }
    }
    std::memcpy(&message, &cell->message, sizeof message);
    cell->sequence.store(position + kCapacity, release);  // [E] pairs with [E] in try_send
    return true;
  }

 private:
  using enum std::memory_order;
  struct alignas(64) Cell {
    std::atomic<uint64_t> sequence;
    Message message;
  };
  struct Ring {
    alignas(64) std::atomic<uint64_t> tail{0};
    alignas(64) std::atomic<uint64_t> head{0};
    alignas(64) std::array<Cell, kCapacity> cells;
  };
  Shared<Ring> ring_;
};

}  // namespace sluice::bench
