// worker/client_addresses.h -- how many connections each client address has, so that one client cannot
// have them all.
//
// A1  An IPv4 address counts by itself, an IPv6 address by its first 64 bits: so many one client is given.
//     IPv4 in IPv6 is IPv4. Unix sockets have no address, and are not counted.
// Touched only when a connection comes or goes, and only where there is a bound.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <optional>

namespace sluice {

class ClientAddresses {
 public:
  // What is counted as one; kUncounted for none.
  using Key = uint64_t;
  static constexpr Key kUncounted = 0;

  // `most` connections of one address; 0: without bound.
  explicit ClientAddresses(uint32_t most) noexcept : most_(most) {}

  [[nodiscard]] bool bounded() const noexcept { return most_ != 0; }
  [[nodiscard]] static Key key_of(const sockaddr_storage& address) noexcept;
  // Counts one more, to be taken back with leave(). Nothing: it has as many as it may.
  [[nodiscard]] std::optional<Key> admit(const sockaddr_storage& address);
  void leave(Key key) noexcept;
  // Addresses that have a connection.
  [[nodiscard]] size_t size() const noexcept { return counts_.size(); }

 private:
  uint32_t most_;
  // A tree: no choice of addresses makes it slow.
  std::map<Key, uint32_t> counts_;
};

}  // namespace sluice
