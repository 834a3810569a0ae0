// shm/ready_bitmap.h -- which of a worker's connections have replies waiting: setting and clearing the
// bits of layout.h's ReadyBitmap. What holds is C2 in connection_slots.h.
//
// Bitmap is layout.h's here and a stepped stand-in in tests/model. Nothing rests on what the bits say
// of each other: each level is tested and set by itself.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

#include "shm/crash_point.h"
#include "shm/full_fence.h"

namespace sluice::shm {

// Anybody's, after publishing in the slot's ring and before ringing the worker.
template <class Bitmap>
void set_ready_bits(Bitmap& ready, uint32_t slot) noexcept {
  using enum std::memory_order;
  const auto set = [](auto& word, uint32_t bit) {
    const uint64_t mask = uint64_t{1} << bit;
    if ((word.load(seq_cst) & mask) == 0) word.fetch_or(mask, seq_cst);
  };
  // [B] pairs with [B] in next_ready(): we see the bit cleared, or the worker sees what we published.
  full_fence(ready.top);
  set(ready.bottom[slot / 64], slot % 64);
  CRASH_POINT(ready_bottom_set);  // recovery sets the levels above
  set(ready.middle[slot / 4096], slot / 64 % 64);
  set(ready.top, slot / 4096);
}

// What the worker has cleared and not yet looked at.
struct ReadyScan {
  uint64_t top_bits = 0, middle_bits = 0, bottom_bits = 0;
  uint32_t middle_index = 0, bottom_index = 0;
};

// The worker's: the next slot below `slots` with a bit, which is cleared; nothing when no bit is set, or
// when those set led to no connection: they were scribbled, perhaps again and again.
template <class Bitmap>
[[nodiscard]] std::optional<uint32_t> next_ready(Bitmap& ready, ReadyScan& scan,
                                                 uint32_t slots) noexcept {
  using enum std::memory_order;
  const auto pop_bit = [](uint64_t& bits) {
    const auto bit = static_cast<uint32_t>(std::countr_zero(bits));
    bits &= bits - 1;
    return bit;
  };
  for (bool looked = false;;) {
    if (scan.bottom_bits != 0) {
      const uint32_t slot = scan.bottom_index * 64 + pop_bit(scan.bottom_bits);
      if (slot < slots) return slot;
      continue;
    }
    if (scan.middle_bits != 0) {
      scan.bottom_index = scan.middle_index * 64 + pop_bit(scan.middle_bits);
      scan.bottom_bits = ready.bottom[scan.bottom_index].exchange(0, seq_cst);
      full_fence(ready.top);  // [B] an exchange alone lets the look at the ring go before it
      continue;
    }
    if (scan.top_bits != 0) {
      scan.middle_index = pop_bit(scan.top_bits);
      scan.middle_bits = ready.middle[scan.middle_index].exchange(0, seq_cst);
      continue;
    }
    if (looked || ready.top.load(seq_cst) == 0) return std::nullopt;
    looked = true;
    scan.top_bits = ready.top.exchange(0, seq_cst);
  }
}

template <class Bitmap>
[[nodiscard]] bool any_ready(const Bitmap& ready, const ReadyScan& scan) noexcept {
  return (scan.bottom_bits | scan.middle_bits | scan.top_bits) != 0 ||
         ready.top.load(std::memory_order::seq_cst) != 0;
}

}  // namespace sluice::shm
