// worker/recycled.h -- memory of objects that come and go with each connection, used for the next of their
// class: given back to the heap between others that stay, it would leave holes that nothing fits.
#pragma once

#include <cstddef>
#include <new>

namespace sluice {

// A base of T, which is no other class's base. At most kMost are kept.
// Thread    each has its own: an object ends in the thread it began in.
template <class T, size_t kMost = 1024>
class Recycled {
 public:
  [[nodiscard]] static void* operator new(size_t size) {
    if (first_ == nullptr) return ::operator new(size);
    Spare* spare = first_;
    first_ = spare->next;
    --count_;
    return spare;
  }
  static void operator delete(void* memory) noexcept {
    if (count_ >= kMost) return ::operator delete(memory);
    first_ = new (memory) Spare{first_};
    ++count_;
  }

 protected:
  ~Recycled() = default;

 private:
  struct Spare {
    Spare* next;
  };
  inline static thread_local Spare* first_ = nullptr;
  inline static thread_local size_t count_ = 0;
};

}  // namespace sluice
