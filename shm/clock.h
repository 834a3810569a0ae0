// shm/clock.h -- monotonic time, the same in every process of one host.
#pragma once

#include <time.h>

#include <cstdint>

namespace sluice::shm {

// Nanoseconds of CLOCK_MONOTONIC; no system call.
[[nodiscard]] inline uint64_t now_ns() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}
// Milliseconds of the same clock as the kernel last ticked it: at most 10 ms old, and several times
// cheaper. For deadlines of messages.
[[nodiscard]] inline uint64_t now_ms() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000u + static_cast<uint64_t>(t.tv_nsec) / 1'000'000u;
}

// How old now_ms() may be: the slowest tick there is.
inline constexpr uint64_t kTickMs = 10;

// The deadline of what is sent at `sent_ms` (now_ms()) and may lie so long: not before that time has
// passed since the sending itself, and at most kTickMs after it.
[[nodiscard]] constexpr uint64_t deadline_after(uint64_t sent_ms, uint64_t ms) noexcept {
  return sent_ms + ms + kTickMs;
}
// Whether a deadline is over, to the millisecond: the exact clock is asked only close to it.
[[nodiscard]] inline bool is_over(uint64_t deadline_ms) noexcept {
  const uint64_t about = now_ms();
  if (deadline_ms - about > kTickMs && about < deadline_ms) return false;
  return about >= deadline_ms || now_ns() / 1'000'000u >= deadline_ms;
}

}  // namespace sluice::shm
