// tests/model/states_met.h -- remembers states by a 128-bit hash, so that none is entered twice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::model {

class Hash {
 public:
  void add(uint64_t value) {
    low_ = mix(low_ ^ value);
    high_ = mix(high_ + value * 0x9e3779b97f4a7c15ull);
  }
  template <class T, size_t N>
  void add(const std::array<T, N>& values, size_t count = N) {
    for (size_t i = 0; i < count; ++i) add(values[i]);
  }
  [[nodiscard]] uint64_t low() const { return low_; }
  [[nodiscard]] uint64_t high() const { return high_ | 1; }  // 0 means no entry

 private:
  static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
    return x ^ x >> 29;
  }
  uint64_t low_ = 0x243f6a8885a308d3ull;
  uint64_t high_ = 0x13198a2e03707344ull;
};

class Met {
 public:
  Met() : entries_(1 << 16) {}
  bool insert(const Hash& hash) {  // false: met before
    if (++count_ * 2 > entries_.size()) grow();
    return put(entries_, {hash.low(), hash.high()});
  }

 private:
  using Entry = std::array<uint64_t, 2>;
  static bool put(std::vector<Entry>& entries, Entry entry) {
    size_t at = entry[0] & (entries.size() - 1);
    for (; entries[at][1] != 0; at = (at + 1) & (entries.size() - 1)) {
      if (entries[at] == entry) return false;
    }
    entries[at] = entry;
    return true;
  }
  void grow() {
    std::vector<Entry> larger(entries_.size() * 2);
    for (const Entry& entry : entries_) {
      if (entry[1] != 0) put(larger, entry);
    }
    entries_.swap(larger);
  }
  std::vector<Entry> entries_;
  size_t count_ = 0;
};

}  // namespace sluice::model
