// shm/queue_soundness.h -- is a queue one that honest processes can have left so? owner_queue.h, Q6.
//
// Asked while others are at work: what is said of it holds for one moment, when neither end moved.
// A queue whose ends move each time we look works, and counts as sound.
#pragma once

#include "shm/owner_queue.h"

namespace sluice::shm {

template <class Atomic, class Stamps>
bool BasicOwnerQueue<Atomic, Stamps>::sound() const noexcept {
  constexpr uint32_t kTries = 4;  // an honest queue passes at the first look, whatever moves
  for (uint32_t attempt = 0; attempt < kTries; ++attempt) {
    const uint64_t head = head_.load(acquire);  // [H]
    const uint64_t tail = tail_.load(acquire);  // [T]
    const auto waiting = static_cast<int64_t>(tail - head);
    // A tail left behind by its writer is behind by one; head may have passed that position (Q3).
    bool fits = waiting >= -1 && waiting <= int64_t{size_};
    for (uint64_t i = 0; fits && i < size_; ++i) {
      const uint64_t position = head + i;
      const uint32_t published = lap(position);
      const uint32_t found = lap_in(at(position).load(acquire));  // [C]
      const auto before_tail = static_cast<int64_t>(tail - position);
      if (before_tail > 0) {
        fits = found == published;
      } else if (before_tail == 0) {
        fits = found == published || found + 1 == published;  // tail may lag by one
      } else {
        fits = found + 1 == published;
      }
    }
    if (fits) return true;
    if (head_.load(acquire) == head && tail_.load(acquire) == tail) return false;
  }
  return true;
}

}  // namespace sluice::shm
