// shm/full_fence.h -- the sequentially consistent fence, by the atomics it stands between.
// tests/model has an overload for its own: code that is modelled calls this one.
#pragma once

#include <atomic>

namespace sluice::shm {

template <class T>
inline void full_fence(const std::atomic<T>&) noexcept {
  std::atomic_thread_fence(std::memory_order::seq_cst);
}

}  // namespace sluice::shm
