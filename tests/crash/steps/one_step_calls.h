// tests/crash/steps/one_step_calls.h -- what a stepped process's calls are made into.
#pragma once

#include <atomic>

namespace sluice::tests {

// From now on a large copy of this process is one step whenever that is true; it outlives us.
void copy_in_one_step_while(const std::atomic<bool>& is_stepped) noexcept;

// From now on the layer's clock stands, in this process and in its children: what expires does not hang
// on how long a trial takes.
void stop_clock() noexcept;

}  // namespace sluice::tests
