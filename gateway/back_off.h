// gateway/back_off.h -- how long to wait before a process that died is started again.
#pragma once

#include <algorithm>
#include <chrono>

#include "protocol/limits.h"

namespace sluice {

// The first restart is immediate. A process that lived less than limits::kRestartShortLife waits
// longer each time: kRestartDelay, doubled up to kRestartDelayMost. One that lived longer starts
// over.
class BackOff {
 public:
  // Call once per death, with how long the process lived.
  [[nodiscard]] std::chrono::milliseconds delay_after(std::chrono::milliseconds lived) noexcept {
    if (lived >= limits::kRestartShortLife) deaths_ = 0;
    const int step = deaths_ - 1;
    if (deaths_ < kMostDeaths) ++deaths_;
    if (step < 0) return std::chrono::milliseconds(0);
    return std::min<std::chrono::milliseconds>(limits::kRestartDelay * (1 << step),
                                               limits::kRestartDelayMost);
  }
  // Short lives in a row.
  [[nodiscard]] int deaths() const noexcept { return deaths_; }

 private:
  static constexpr int kMostDeaths = 16;  // beyond, the delay is at its most for long
  int deaths_ = 0;
};

}  // namespace sluice
