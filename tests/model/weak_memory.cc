// tests/model/weak_memory.cc -- the rules of weak_memory.h, one function each.
#include "tests/model/weak_memory.h"

#include <algorithm>

namespace sluice::weak {

void join(View& view, const View& other) noexcept {
  for (uint32_t word = 0; word < kWords; ++word) view[word] = std::max(view[word], other[word]);
}

Memory::Memory() noexcept {
  for (uint32_t word = 0; word <= kWords; ++word) first_[word] = static_cast<uint8_t>(word);
}

void Memory::set(uint32_t word, uint64_t value) noexcept {
  stores_[first_[word] + stores_of(word) - 1].value = value;
}

uint64_t Memory::read(uint32_t word, uint32_t store, std::memory_order order,
                      Knowledge& by) noexcept {
  const Store& from = stores_[first_[word] + store];
  by.view[word] = std::max(by.view[word], static_cast<uint8_t>(store));
  join(by.acquired, from.view);
  if (acquires(order)) join(by.view, from.view);
  join(by.acquired, by.view);
  return from.value;
}

bool Memory::write(uint32_t word, uint64_t value, std::memory_order order, Knowledge& by) noexcept {
  const uint32_t last = stores_of(word) - 1;
  const bool knows = by.view[word] == last;
  by.view[word] = by.acquired[word] = static_cast<uint8_t>(last + 1);
  View carried = releases(order) ? by.view : by.released;
  carried[word] = by.view[word];
  append(word, value, carried);
  return knows;
}

uint64_t Memory::modify(uint32_t word, uint64_t value, std::memory_order order,
                        Knowledge& by) noexcept {
  const uint32_t last = stores_of(word) - 1;
  const View sequence = stores_[first_[word] + last].view;
  const uint64_t before = read(word, last, order, by);
  by.view[word] = by.acquired[word] = static_cast<uint8_t>(last + 1);
  View carried = releases(order) ? by.view : by.released;
  carried[word] = by.view[word];
  join(carried, sequence);
  append(word, value, carried);
  return before;
}

void Memory::fence(Knowledge& by) noexcept {
  join(by.view, by.acquired);
  join(by.view, fences_);
  fences_ = by.acquired = by.released = by.view;
}

bool Memory::touch(uint32_t word, Knowledge& by) noexcept {
  // Two stores: 0 "does not know of the last touch", 1 "does".
  const bool touched_before = stores_of(word) == 2;
  const bool knows = !touched_before || by.view[word] == 1;
  if (!touched_before) append(word, 0, View{});
  for (Store& store : stores_) store.view[word] = 0;
  fences_[word] = 0;
  by.view[word] = by.acquired[word] = 1;
  by.released[word] = 0;
  return knows;
}

void Memory::append(uint32_t word, uint64_t value, const View& carried) noexcept {
  if (first_[kWords] == kStores) {
    overflown_ = true;
    return;
  }
  const auto end = stores_.begin() + first_[word + 1];
  std::copy_backward(end, stores_.begin() + first_[kWords], stores_.begin() + first_[kWords] + 1);
  *end = {value, carried};
  for (uint32_t w = word + 1; w <= kWords; ++w) ++first_[w];
}

void Memory::forget(uint32_t word, uint32_t count) noexcept {
  if (count == 0) return;
  std::copy(stores_.begin() + first_[word] + count, stores_.begin() + first_[kWords],
            stores_.begin() + first_[word]);
  for (uint32_t w = word + 1; w <= kWords; ++w) first_[w] = static_cast<uint8_t>(first_[w] - count);
  const auto move = [&](View& view) {
    view[word] = static_cast<uint8_t>(view[word] - std::min<uint32_t>(view[word], count));
  };
  for (uint32_t i = 0; i < first_[kWords]; ++i) move(stores_[i].view);
  move(fences_);
}

void Memory::settle() noexcept {
  for (uint32_t word = 0; word < kWords; ++word) forget(word, stores_of(word) - 1);
  for (Store& store : stores_) store.view = {};
  fences_ = {};
}

}  // namespace sluice::weak
