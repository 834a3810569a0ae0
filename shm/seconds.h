// shm/seconds.h -- what a counter stood at when the second began: how many it counted in the last one.
//
// A sample is `second:32 | low half of the counter`, one for even and one for odd seconds. Whoever
// counts first in a second writes it, by one compare-exchange; all others find it there. So a rate
// costs a load and a comparison, and needs nobody who looks at times. Samples are hints: two that
// count in the very instant a second begins may each take the other's count for the older one.
#pragma once

#include <array>
#include <cstdint>

#include "shm/block_layout.h"

namespace sluice::shm {

// Call before counting, with the time of the count: monotonic milliseconds.
inline void note_second(std::array<Word, 2>& samples, uint64_t now_ms,
                        const Word& counter) noexcept {
  using enum std::memory_order;
  const uint64_t second = now_ms / 1000;
  Word& sample = samples[second & 1];
  uint64_t seen = sample.load(relaxed);  // a hint
  if (seen >> 32 == (second & 0xffffffff)) return;
  const uint64_t begun = second << 32 | (counter.load(relaxed) & 0xffffffff);
  sample.compare_exchange_strong(seen, begun, relaxed, relaxed);
}

// How many were counted in the last whole second before `now_ms`.
[[nodiscard]] inline uint32_t counted_last_second(const std::array<Word, 2>& samples,
                                                  uint64_t now_ms, const Word& counter) noexcept {
  using enum std::memory_order;
  const uint64_t second = now_ms / 1000;
  const uint64_t this_one = samples[second & 1].load(relaxed);  // hints
  const uint64_t last_one = samples[(second & 1) ^ 1].load(relaxed);
  if (last_one >> 32 != ((second - 1) & 0xffffffff)) return 0;  // nothing was counted in it
  const bool begun = this_one >> 32 == (second & 0xffffffff);
  const uint64_t end = begun ? this_one : counter.load(relaxed);
  return static_cast<uint32_t>(end) - static_cast<uint32_t>(last_one);
}

}  // namespace sluice::shm
