// shm/shared_text.h -- a short text in shared memory that one process writes while others may read.
//
// Eight bytes to a word, relaxed: a torn text is a wrong one, and whoever reads it finds out by
// another word (a record's truth) whether it was whole.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "shm/block_layout.h"

namespace sluice::shm {

template <size_t kWords>
void store_text(std::array<Word, kWords>& to, std::string_view text) noexcept {
  for (size_t word = 0; word < kWords && word * 8 < text.size(); ++word) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, text.data() + word * 8, std::min<size_t>(8, text.size() - word * 8));
    to[word].store(bytes, std::memory_order::relaxed);
  }
}

// The first `length` bytes, at most as many as there can be, copied into `copy`.
template <size_t kWords>
std::string_view load_text(const std::array<Word, kWords>& from, size_t length,
                           std::array<char, kWords * 8>& copy) noexcept {
  length = std::min(length, kWords * 8);
  for (size_t word = 0; word * 8 < length; ++word) {
    const uint64_t bytes = from[word].load(std::memory_order::relaxed);
    std::memcpy(copy.data() + word * 8, &bytes, 8);
  }
  return {copy.data(), length};
}

}  // namespace sluice::shm
