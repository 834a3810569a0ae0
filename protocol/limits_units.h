// protocol/limits_units.h -- the units limits are counted in. Include limits.h.
#pragma once

#include <chrono>
#include <cstddef>

namespace sluice::limits {

using namespace std::chrono_literals;

inline constexpr size_t kKiB = 1024;
inline constexpr size_t kMiB = 1024 * kKiB;

}  // namespace sluice::limits
