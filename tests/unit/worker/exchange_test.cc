// tests/unit/worker/exchange_test.cc -- ordinals and order of one connection's open requests.
#include "worker/exchange.h"

#include <doctest/doctest.h>

#include <vector>

namespace sluice {
namespace {

std::vector<uint32_t> ordinals(const Exchanges& exchanges) {
  std::vector<uint32_t> found;
  exchanges.for_each([&](const Exchange& exchange) { found.push_back(exchange.ordinal); });
  return found;
}

TEST_CASE("ordinals begin at 1 and are not used again when exchanges end") {
  FreeList<Exchange> spare;
  Exchanges exchanges(spare);

  exchanges.open();
  exchanges.open();
  exchanges.pop_front();
  exchanges.open();

  CHECK(ordinals(exchanges) == std::vector<uint32_t>{2, 3});
}

TEST_CASE("an exchange is found by its ordinal while it is open, and no longer") {
  FreeList<Exchange> spare;
  Exchanges exchanges(spare);
  exchanges.open();
  Exchange& second = exchanges.open();

  CHECK(exchanges.find(2) == &second);
  CHECK(exchanges.find(3) == nullptr);
  exchanges.pop_front();
  CHECK(exchanges.find(1) == nullptr);
  CHECK(exchanges.is_front(second));
}

TEST_CASE("the last exchange can leave before it was answered") {
  FreeList<Exchange> spare;
  Exchanges exchanges(spare);
  exchanges.open();
  exchanges.open();
  exchanges.open();

  exchanges.pop_back();

  CHECK(ordinals(exchanges) == std::vector<uint32_t>{1, 2});
  CHECK(exchanges.back()->ordinal == 2);
  exchanges.pop_back();
  exchanges.pop_back();
  CHECK(exchanges.empty());
  CHECK(exchanges.open().ordinal == 4);
}

TEST_CASE("an exchange used again remembers nothing of the last one") {
  FreeList<Exchange> spare;
  Exchanges first(spare);
  Exchange& used = first.open();
  used.published = true;
  used.answer.complete = true;
  used.ahead = "bytes of another client";
  used.owes_continue = true;
  used.answer_until_ms = 7;
  first.pop_front();

  Exchanges second(spare);
  const Exchange& again = second.open();

  REQUIRE(&again == &used);  // it is the same object
  CHECK(again.ordinal == 1);
  CHECK_FALSE(again.published);
  CHECK_FALSE(again.answer.complete);
  CHECK(again.ahead.empty());
  CHECK_FALSE(again.owes_continue);
  CHECK(again.answer_until_ms == kNever);
}

}  // namespace
}  // namespace sluice
