// tests/unit/worker/allocations.cc -- operator new of this test program: malloc, counted.
#include "tests/unit/worker/allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local size_t count = 0;
}

void* operator new(size_t size) {
  ++count;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*size*/) noexcept { std::free(memory); }

namespace sluice::test {

size_t allocations() noexcept { return count; }

}  // namespace sluice::test
