// gateway/back_off.h -- how long to wait before what died, or had to be replaced, is started again.
#pragma once

#include <algorithm>
#include <chrono>

#include "protocol/limits.h"

namespace sluice {

// The first restart is immediate. What lived less than `short_life` waits longer each time: `delay`,
// doubled up to `delay_most`. What lived longer starts over.
class BackOff {
 public:
  struct Rules {
    std::chrono::milliseconds short_life = limits::kRestartShortLife;
    std::chrono::milliseconds delay = limits::kRestartDelay;
    std::chrono::milliseconds delay_most = limits::kRestartDelayMost;
  };
  BackOff() noexcept = default;  // of a process
  explicit BackOff(const Rules& rules) noexcept : rules_(rules) {}

  // Call once per death, with how long it lived.
  [[nodiscard]] std::chrono::milliseconds delay_after(std::chrono::milliseconds lived) noexcept {
    if (lived >= rules_.short_life) deaths_ = 0;
    const int step = deaths_ - 1;
    if (deaths_ < kMostDeaths) ++deaths_;
    if (step < 0) return std::chrono::milliseconds(0);
    return std::min<std::chrono::milliseconds>(rules_.delay * (1 << step), rules_.delay_most);
  }
  // Short lives in a row.
  [[nodiscard]] int deaths() const noexcept { return deaths_; }

 private:
  static constexpr int kMostDeaths = 16;  // beyond, the delay is at its most for long
  Rules rules_;
  int deaths_ = 0;
};

}  // namespace sluice
