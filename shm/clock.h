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
[[nodiscard]] inline uint64_t now_ms() noexcept { return now_ns() / 1'000'000u; }

}  // namespace sluice::shm
