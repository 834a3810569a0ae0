// tests/unit/worker/allocations.h -- counts what a test allocates through operator new.
#pragma once

#include <cstddef>

namespace sluice::test {

// Calls of operator new on this thread so far.
[[nodiscard]] size_t allocations() noexcept;

}  // namespace sluice::test
