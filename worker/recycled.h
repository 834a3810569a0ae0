// worker/recycled.h -- memory of objects that come and go with each connection, used for the next of their
// class: given back to the heap between others that stay, it would leave holes that nothing fits.
#pragma once

#include <cstddef>
#include <new>

namespace sluice {

// Built with an address sanitizer.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSeesLateUse = true;
#elif defined(__has_feature)
inline constexpr bool kSeesLateUse = __has_feature(address_sanitizer);
#else
inline constexpr bool kSeesLateUse = false;
#endif

// A base of T, which is no other class's base. At most kMost are kept; none where an address sanitizer is to
// see who uses an object after its end.
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
    if (kSeesLateUse || count_ >= kMost) return ::operator delete(memory);
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
