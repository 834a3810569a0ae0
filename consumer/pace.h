// consumer/pace.h -- how quickly this consumer handles messages, and what is put off because of it.
//
// Who handles a message within `quick` on average puts its rings off while more messages wait, so that
// a burst costs one system call, and keeps wake-ups to itself: it will be through soon. Who is slow
// does neither. It is told the time and asks no clock, so its rules are tested without one.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "protocol/limits.h"

namespace sluice {

class Pace {
 public:
  struct Rules {
    std::chrono::nanoseconds quick = limits::kQuickMessage;        // a message handled within this
    std::chrono::nanoseconds ring_delay = limits::kRingDelay;      // a ring put off at most so long
    std::chrono::nanoseconds light_sleep = limits::kBoundedSleep;  // what one bounded sleep lasts
  };

  explicit Pace(const Rules& rules) noexcept
      : quick_ns_(static_cast<uint64_t>(rules.quick.count())),
        ring_delay_ns_(static_cast<uint64_t>(rules.ring_delay.count())),
        light_sleep_ns_(static_cast<uint64_t>(rules.light_sleep.count())),
        average_ns_(quick_ns_ + 1) {}  // until we know better

  // -- between two sleeps. `received` counts all messages taken so far.
  // About to sleep: what a message took since we woke, on average over the last bursts.
  void falls_asleep(uint64_t now_ns, uint64_t received) noexcept {
    const uint64_t handled = received - received_when_woken_;
    if (handled == 0) return;
    received_when_woken_ = received;
    quiet_since_ns_ = now_ns;
    if (woke_ns_ == 0) return;  // we never slept: the time since then says nothing
    // One slow message outweighs quick ones for a few bursts only.
    const uint64_t each_ns = std::min((now_ns - woke_ns_) / handled, kSlowest * quick_ns_);
    average_ns_ = (3 * average_ns_ + each_ns) / 4;
  }
  void wakes_up(uint64_t now_ns) noexcept {
    just_woke_ = true;
    woke_ns_ = now_ns;
  }
  // A light sleep passed in silence: the next one may be deep.
  [[nodiscard]] bool quiet_for_long(uint64_t now_ns) const noexcept {
    return now_ns - quiet_since_ns_ >= light_sleep_ns_;
  }
  [[nodiscard]] bool quick() const noexcept { return average_ns_ <= quick_ns_; }

  // -- waking others who read what we read
  // True for the first message after a sleep, once.
  [[nodiscard]] bool first_since_sleep(uint64_t received) noexcept {
    if (!just_woke_) return false;
    just_woke_ = false;
    received_when_woken_ = received - 1;
    return true;
  }
  // More lies behind that message: whether another reader is woken for it. A quick one leaves it at
  // once a light sleep, after which whoever may have been passed over looks by itself.
  [[nodiscard]] bool passes_on() noexcept {
    if (quick() && woke_ns_ - passed_on_ns_ < light_sleep_ns_) return false;
    passed_on_ns_ = woke_ns_;
    return true;
  }

  // -- rings put off
  [[nodiscard]] bool ring_is_put_off() const noexcept { return put_off_; }
  void put_ring_off(uint64_t now_ns) noexcept {
    put_off_ = true;
    put_off_since_ns_ = now_ns;
    receives_since_ = 0;
  }
  void rang() noexcept { put_off_ = false; }
  // Asked at each receive; true when it is time to look at the clock and ask ring_is_due().
  [[nodiscard]] bool counts_receive() noexcept {
    return put_off_ && ++receives_since_ % kReceivesPerClock == 0;
  }
  [[nodiscard]] bool ring_is_due(uint64_t now_ns) const noexcept {
    return now_ns - put_off_since_ns_ > ring_delay_ns_;
  }

 private:
  static constexpr uint64_t kSlowest = 8;            // a burst counts at most as so many times quick
  static constexpr uint32_t kReceivesPerClock = 8;  // quick ones: within half of kRingDelay

  uint64_t quick_ns_;
  uint64_t ring_delay_ns_;
  uint64_t light_sleep_ns_;
  uint64_t average_ns_;
  uint64_t received_when_woken_ = 0;
  uint64_t quiet_since_ns_ = 0;  // when we first slept after the last message
  uint64_t woke_ns_ = 0;
  uint64_t passed_on_ns_ = 0;
  uint64_t put_off_since_ns_ = 0;
  uint32_t receives_since_ = 0;
  bool put_off_ = false;
  bool just_woke_ = false;
};

}  // namespace sluice
