// tests/unit/worker/recycled_test.cc -- memory used again by the next object of its class.
#include "worker/recycled.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/unit/worker/allocations.h"

namespace sluice {
namespace {

struct Part : Recycled<Part, 2> {
  uint64_t content[8] = {};
};

TEST_CASE("an object takes the memory of the one that ended last, and allocates nothing") {
  auto first = std::make_unique<Part>();
  const void* place = first.get();
  first.reset();
  const size_t before = test::allocations();

  const auto second = std::make_unique<Part>();

  CHECK((kSeesLateUse || second.get() == place));
  CHECK(test::allocations() == before + (kSeesLateUse ? 1 : 0));
}

TEST_CASE("no more memory is kept than was said") {
  std::vector<std::unique_ptr<Part>> parts;
  for (int i = 0; i < 4; ++i) parts.push_back(std::make_unique<Part>());
  parts.clear();
  parts.reserve(4);
  const size_t before = test::allocations();

  for (int i = 0; i < 4; ++i) parts.push_back(std::make_unique<Part>());

  CHECK(test::allocations() == before + (kSeesLateUse ? 4 : 2));
}

}  // namespace
}  // namespace sluice
