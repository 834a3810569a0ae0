// tests/unit/consumer/open_requests_test.cc -- the table of requests not answered to the end.
#include "consumer/open_requests.h"

#undef CHECK
#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace sluice;

namespace {

OpenRequest request(uint32_t slot, uint32_t ordinal) {
  return {.address = {2, 1, slot, 1, ordinal}, .block = slot * 1000 + ordinal};
}

}  // namespace

TEST_CASE("a request is found by its address alone, and once") {
  OpenRequests requests;

  CHECK(requests.insert(request(1, 1)) != nullptr);
  CHECK(requests.insert(request(1, 1)) == nullptr);
  CHECK(requests.insert(request(1, 2)) != nullptr);

  REQUIRE(requests.find({2, 1, 1, 1, 2}) != nullptr);
  CHECK(requests.find({2, 1, 1, 1, 2})->block == 1002);
  CHECK(requests.find({2, 1, 1, 2, 2}) == nullptr);
  CHECK(requests.find({}) == nullptr);
  CHECK(requests.insert({}) == nullptr);
}

TEST_CASE("after any number of inserts and erases exactly the others are found") {
  OpenRequests requests;
  std::set<uint32_t> there;
  std::minstd_rand random(1);

  for (int step = 0; step < 20'000; ++step) {
    const auto slot = static_cast<uint32_t>(random() % 1500);
    const bool erase = there.contains(slot);
    OpenRequest* found = requests.find(request(slot, 1).address);
    REQUIRE((found != nullptr) == erase);
    if (erase) {
      requests.erase(found);
      there.erase(slot);
    } else {
      REQUIRE(requests.insert(request(slot, 1)) != nullptr);
      there.insert(slot);
    }
    REQUIRE(requests.size() == there.size());
  }
  for (uint32_t slot = 0; slot < 1500; ++slot) {
    CHECK((requests.find(request(slot, 1).address) != nullptr) == there.contains(slot));
  }
}

TEST_CASE("erasing by condition leaves exactly those it does not hold for") {
  OpenRequests requests;
  for (uint32_t slot = 0; slot < 1000; ++slot)
    REQUIRE(requests.insert(request(slot, 1)) != nullptr);

  requests.erase_if([](const OpenRequest& open) { return open.address.slot % 3 != 0; });

  CHECK(requests.size() == 334);
  for (uint32_t slot = 0; slot < 1000; ++slot) {
    CHECK((requests.find(request(slot, 1).address) != nullptr) == (slot % 3 == 0));
  }
}
