// tests/unit/worker/client_addresses_test.cc -- what counts as one client, and how many it may have.
#include "worker/client_addresses.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

namespace {

using namespace sluice;

sockaddr_storage four(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  REQUIRE(inet_pton(AF_INET, text, &address.sin_addr) == 1);
  sockaddr_storage any{};
  std::memcpy(&any, &address, sizeof address);
  return any;
}

sockaddr_storage six(const char* text) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  REQUIRE(inet_pton(AF_INET6, text, &address.sin6_addr) == 1);
  sockaddr_storage any{};
  std::memcpy(&any, &address, sizeof address);
  return any;
}

TEST_CASE("an address has as many connections as it may, and one more when one ends") {
  ClientAddresses addresses(2);
  const auto first = addresses.admit(four("10.0.0.1"));

  REQUIRE(first.has_value());
  CHECK(addresses.admit(four("10.0.0.1")).has_value());
  CHECK_FALSE(addresses.admit(four("10.0.0.1")).has_value());
  CHECK(addresses.admit(four("10.0.0.2")).has_value());

  addresses.leave(*first);
  CHECK(addresses.admit(four("10.0.0.1")).has_value());
  CHECK_FALSE(addresses.admit(four("10.0.0.1")).has_value());
}

TEST_CASE("an address without connections is forgotten") {
  ClientAddresses addresses(1);
  const auto only = addresses.admit(four("10.0.0.1"));
  CHECK_FALSE(addresses.admit(four("10.0.0.1")).has_value());
  CHECK(addresses.size() == 1);

  addresses.leave(*only);

  CHECK(addresses.size() == 0);
}

TEST_CASE("IPv6 counts by its first 64 bits, IPv4 in it as IPv4") {
  const auto key = ClientAddresses::key_of;

  CHECK(key(six("2001:db8:1:2::1")) == key(six("2001:db8:1:2:ffff:ffff:ffff:ffff")));
  CHECK(key(six("2001:db8:1:2::1")) != key(six("2001:db8:1:3::1")));
  CHECK(key(six("::ffff:10.0.0.1")) == key(four("10.0.0.1")));
  CHECK(key(six("::1")) != key(four("0.0.0.1")));
  CHECK(key(six("::1")) != ClientAddresses::kUncounted);
  CHECK(key(four("0.0.0.0")) != ClientAddresses::kUncounted);
}

TEST_CASE("without a bound, and without an address, nothing is counted") {
  ClientAddresses free(0), bounded(1);
  sockaddr_storage local{};
  local.ss_family = AF_UNIX;

  CHECK(free.admit(four("10.0.0.1")) == ClientAddresses::kUncounted);
  for (int i = 0; i < 3; ++i) CHECK(bounded.admit(local) == ClientAddresses::kUncounted);
  bounded.leave(ClientAddresses::kUncounted);

  CHECK_FALSE(free.bounded());
  CHECK(free.size() + bounded.size() == 0);
}

}  // namespace
