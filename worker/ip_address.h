// worker/ip_address.h -- an address of IPv4 or IPv6 as a value: out of text, bytes or a socket's name,
// and back into text. No allocation, no state, no names.
//
// A1  An IPv4 address is one value whatever it was written as: ::ffff:192.0.2.1 is 192.0.2.1.
// A2  Text is read strictly: four decimal numbers without leading zeros, or RFC 4291 section 2.2. A zone
//     (fe80::1%eth0) means something on its own host only, and is refused.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

struct IpAddress {
  enum class Family : uint8_t { kNone, kV4, kV6 };
  Family family = Family::kNone;
  std::array<uint8_t, 16> bytes{};  // in network order; of kV4 the first four, the others zero

  [[nodiscard]] bool known() const noexcept { return family != Family::kNone; }
  // Addresses of one family are in their own order, and the families stand apart.
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

struct IpEndpoint {
  IpAddress address;
  uint16_t port = 0;  // 0: not said
  friend bool operator==(const IpEndpoint&, const IpEndpoint&) = default;
};

// Of kNone where it is none.
[[nodiscard]] IpAddress ip_address_in(std::string_view text) noexcept;
// `bytes` are 4 or 16, in network order.
[[nodiscard]] IpAddress ip_address_of(std::span<const std::byte> bytes) noexcept;
// Of kNone for a unix socket.
[[nodiscard]] IpEndpoint ip_endpoint_of(const sockaddr_storage& name) noexcept;

// 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:80; of kNone where it is none.
[[nodiscard]] IpEndpoint ip_endpoint_in(std::string_view text) noexcept;
// 1 to 5 digits within 65535.
[[nodiscard]] std::optional<uint16_t> port_in(std::string_view text) noexcept;

// The shortest form (RFC 5952); "" for kNone.
struct IpText {
  explicit IpText(const IpAddress& address = {}) noexcept;
  [[nodiscard]] std::string_view view() const noexcept { return {characters.data(), size}; }
  std::array<char, 46> characters{};  // INET6_ADDRSTRLEN
  size_t size = 0;
};

}  // namespace sluice
