// tests/crash/steps/one_step_calls.h -- what a stepped process's calls are made into.
#pragma once

namespace sluice::tests {

// From now on the layer's clock stands, in this process and in its children: what expires does not hang
// on how long a trial takes.
void stop_clock() noexcept;

}  // namespace sluice::tests
