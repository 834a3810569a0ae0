// tools/bench/shm/shared.h -- an object in memory that forked processes share, its pages there already.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

namespace sluice::bench {

// All of `bytes` there for writing now, so that no page is missed while time is taken.
inline void touch_pages(void* start, size_t bytes) {
  if (madvise(start, bytes, MADV_POPULATE_WRITE) != 0) {
    throw std::system_error(errno, std::generic_category(), "touching shared pages");
  }
}

template <class T>
class Shared {
 public:
  template <class... Arguments>
  explicit Shared(Arguments&&... arguments) {
    void* memory =
        mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::system_error(errno, std::generic_category(), "shared memory");
    }
    touch_pages(memory, sizeof(T));
    object_ = new (memory) T(std::forward<Arguments>(arguments)...);
  }
  Shared(Shared&&) = delete;
  ~Shared() { munmap(object_, sizeof(T)); }

  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }

 private:
  T* object_;
};

}  // namespace sluice::bench
