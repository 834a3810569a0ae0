// tests/model/weak_memory.h -- memory as C++20's acquire and release leave it: who may still see what.
//
// Each word keeps the stores that somebody may still read, oldest first. Each process has a view: of
// every word the oldest store it may still read. The rules are those of RC11 without load buffering,
// as a machine (the promising semantics without promises):
//
// W1  A load may read any store not older than the view, and moves the view of its word there.
//     Acquire: it takes over the view the store carries. Relaxed: only at the next fence.
// W2  A release store carries its writer's view, a relaxed one what its writer knew at its last fence.
//     A read-modify-write reads the newest store, and carries that one's view on as well: a release
//     sequence. A compare-exchange that fails is a load of any visible store that is not as expected.
// W3  A seq_cst fence joins the process's view with that of all fences before it, both ways. A seq_cst
//     access is no more than acquire and release here: weaker than C++20 has it, never stronger.
// W4  A store that is no read-modify-write must be its writer's who knows all stores before it:
//     otherwise two raced, which is called a violation. So the end of the list is its only place.
// W5  Payload is not atomic: whoever touches it must know of every touch before his, whoever's it was,
//     and however he touches it. Stricter than "no data race": blocks are in one process's hands.
//
// Not in it: load buffering and values out of thin air, consume, mixed sizes, spurious failures.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sluice::weak {

inline constexpr uint32_t kWords = 32;   // of shared memory, payload among them
inline constexpr uint32_t kStores = 96;  // kept at once, of all words

using View = std::array<uint8_t, kWords>;  // of each word, the oldest store still to be seen
void join(View& view, const View& other) noexcept;

// What a process knows.
struct Knowledge {
  View view{};
  View acquired{};  // what its next fence adds (W1)
  View released{};  // what its relaxed stores carry (W2)
};

constexpr bool acquires(std::memory_order order) noexcept {
  return order != std::memory_order::relaxed && order != std::memory_order::release;
}
constexpr bool releases(std::memory_order order) noexcept {
  return order == std::memory_order::release || order == std::memory_order::acq_rel ||
         order == std::memory_order::seq_cst;
}

class Memory {
 public:
  Memory() noexcept;
  [[nodiscard]] uint32_t stores_of(uint32_t word) const noexcept {
    return first_[word + 1u] - first_[word];
  }
  [[nodiscard]] uint64_t value(uint32_t word, uint32_t store) const noexcept {
    return stores_[first_[word] + store].value;
  }
  [[nodiscard]] uint64_t newest(uint32_t word) const noexcept {
    return value(word, stores_of(word) - 1);
  }

  uint64_t read(uint32_t word, uint32_t store, std::memory_order order, Knowledge& by) noexcept;
  // False: W4 is broken.
  [[nodiscard]] bool write(uint32_t word, uint64_t value, std::memory_order order,
                           Knowledge& by) noexcept;
  uint64_t modify(uint32_t word, uint64_t value, std::memory_order order, Knowledge& by) noexcept;
  void fence(Knowledge& by) noexcept;
  // Nobody knows of the touch but `by`: the caller takes it out of the other processes' knowledge.
  // False: W5 is broken. A payload word is touched only, never read or written.
  [[nodiscard]] bool touch(uint32_t word, Knowledge& by) noexcept;

  // Forgets the first `count` stores of a word, which nobody can read any more; the caller moves the
  // views of the processes.
  void forget(uint32_t word, uint32_t count) noexcept;
  // One store of each word, known to all; for the start.
  void settle() noexcept;
  void set(uint32_t word, uint64_t value) noexcept;  // before anybody runs
  [[nodiscard]] bool overflown() const noexcept { return overflown_; }

  template <class Hash>
  void add_to(Hash& hash, uint32_t words) const {
    for (uint32_t word = 0; word < words; ++word) {
      hash.add(stores_of(word));
      for (uint32_t i = first_[word]; i < first_[word + 1]; ++i) {
        hash.add(stores_[i].value);
        add_view(hash, stores_[i].view);
      }
    }
    add_view(hash, fences_);
  }
  template <class Hash>
  static void add_view(Hash& hash, const View& view) {
    for (uint32_t word = 0; word < kWords; word += 8) {
      uint64_t eight = 0;
      for (uint32_t i = 0; i < 8; ++i) eight |= uint64_t{view[word + i]} << 8 * i;
      hash.add(eight);
    }
  }

 private:
  struct Store {
    uint64_t value = 0;
    View view{};
  };
  void append(uint32_t word, uint64_t value, const View& carried) noexcept;

  std::array<Store, kStores> stores_;
  std::array<uint8_t, kWords + 1> first_{};  // where a word's stores begin
  View fences_{};                            // W3
  bool overflown_ = false;
};

}  // namespace sluice::weak
