// worker/client_addresses.cc -- see client_addresses.h.
#include "worker/client_addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace sluice {
namespace {

// A prefix nobody has: 0000::/8 is not given out (RFC 4291 section 2.4), so IPv4 is kept apart in it.
constexpr uint64_t kFour = uint64_t{1} << 32;

uint64_t big_endian(const uint8_t* bytes, size_t size) noexcept {
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) number = number << 8 | bytes[i];
  return number;
}

}  // namespace

ClientAddresses::Key ClientAddresses::key_of(const sockaddr_storage& address) noexcept {
  if (address.ss_family == AF_INET) {
    sockaddr_in four;
    std::memcpy(&four, &address, sizeof four);
    return kFour | ntohl(four.sin_addr.s_addr);
  }
  if (address.ss_family != AF_INET6) return kUncounted;
  sockaddr_in6 six;
  std::memcpy(&six, &address, sizeof six);
  if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
    return kFour | big_endian(six.sin6_addr.s6_addr + 12, 4);
  const uint64_t prefix = big_endian(six.sin6_addr.s6_addr, 8);
  return prefix != kUncounted ? prefix : 1;  // ::1 and its like: one more that nobody else has
}

std::optional<ClientAddresses::Key> ClientAddresses::admit(const sockaddr_storage& address) {
  const Key key = key_of(address);
  if (!bounded() || key == kUncounted) return kUncounted;
  uint32_t& count = counts_[key];
  if (count >= most_) return std::nullopt;
  ++count;
  return key;
}

void ClientAddresses::leave(Key key) noexcept {
  const auto found = counts_.find(key);
  if (found == counts_.end()) return;  // kUncounted
  if (--found->second == 0) counts_.erase(found);
}

}  // namespace sluice
