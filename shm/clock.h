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

}  // namespace sluice::shm
