// worker/networks.h -- a list of networks whose members are believed: --trusted-proxies and
// --proxy-protocol. Read once, asked for each connection.
//
// N1  A network is one of IPv4 or of IPv6, never both: ::/0 holds no IPv4 address, however a socket
//     names it (ip_address.h, A1).
// N2  Nothing is guessed: no names, no `*`, and a network with bits behind its prefix is refused, because
//     who wrote 10.1.2.3/8 meant something else than what would be believed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "worker/ip_address.h"

namespace sluice {

class Networks {
 public:
  // Adds an address, a network (`192.0.2.0/24`, `2001:db8::/32`), or `unix`: whoever comes over a unix
  // socket. Throws std::invalid_argument that begins "must be", and says which one is wrong.
  void add(std::string_view text);

  [[nodiscard]] bool empty() const noexcept { return texts_.empty(); }
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;  // false for an unknown one
  // Of a socket's other end.
  [[nodiscard]] bool contains(const sockaddr_storage& name) const noexcept {
    return name.ss_family == AF_UNIX ? unix_sockets_ : contains(ip_endpoint_of(name).address);
  }
  // In the order they were added, each in its shortest form.
  [[nodiscard]] const std::vector<std::string>& texts() const noexcept { return texts_; }

 private:
  struct Range {
    IpAddress first, last;
  };
  std::vector<Range> ranges_;  // sorted; none overlaps another
  bool unix_sockets_ = false;
  std::vector<std::string> texts_;
};

}  // namespace sluice
