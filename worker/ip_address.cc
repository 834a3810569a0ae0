// worker/ip_address.cc -- see ip_address.h.
#include "worker/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluice {
namespace {

static_assert(sizeof(IpText::characters) == INET6_ADDRSTRLEN);

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

IpAddress ip_address_of(std::span<const std::byte> bytes) noexcept {
  IpAddress address;
  if (bytes.size() == 16 && std::memcmp(bytes.data(), kMapped.data(), kMapped.size()) == 0) {
    bytes = bytes.subspan(kMapped.size());  // A1
  }
  if (bytes.size() != 4 && bytes.size() != 16) return address;
  address.family = bytes.size() == 4 ? IpAddress::Family::kV4 : IpAddress::Family::kV6;
  std::memcpy(address.bytes.data(), bytes.data(), bytes.size());
  return address;
}

IpAddress ip_address_in(std::string_view text) noexcept {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof terminated || text.find('\0') != std::string_view::npos) return {};
  std::copy(text.begin(), text.end(), terminated);
  terminated[text.size()] = '\0';
  std::array<std::byte, 16> bytes;
  if (inet_pton(AF_INET, terminated, bytes.data()) == 1) {
    return ip_address_of(std::span(bytes).first(4));
  }
  if (inet_pton(AF_INET6, terminated, bytes.data()) == 1) return ip_address_of(bytes);
  return {};
}

IpEndpoint ip_endpoint_of(const sockaddr_storage& name) noexcept {
  if (name.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(name);
    return {ip_address_of(std::as_bytes(std::span(&four.sin_addr, 1))), ntohs(four.sin_port)};
  }
  if (name.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(name);
    return {ip_address_of(std::as_bytes(std::span(&six.sin6_addr, 1))), ntohs(six.sin6_port)};
  }
  return {};
}

std::optional<uint16_t> port_in(std::string_view text) noexcept {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, port);
  if (text.empty() || text.size() > 5 || error != std::errc{} || behind != end) return std::nullopt;
  return port;
}

IpEndpoint ip_endpoint_in(std::string_view text) noexcept {
  std::string_view address = text, port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return {};
    address = text.substr(1, bracket - 1);
    if (address.find(':') == std::string_view::npos) return {};
    const std::string_view rest = text.substr(bracket + 1);
    if (!rest.empty() && rest[0] != ':') return {};
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (const size_t colon = text.find(':');
             colon != std::string_view::npos && colon == text.rfind(':')) {
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  IpEndpoint endpoint{ip_address_in(address), 0};
  if (has_port) {
    const std::optional<uint16_t> number = port_in(port);
    if (!number) return {};
    endpoint.port = *number;
  }
  return endpoint.address.known() ? endpoint : IpEndpoint{};
}

IpText::IpText(const IpAddress& address) noexcept {
  if (!address.known()) return;
  const int family = address.family == IpAddress::Family::kV4 ? AF_INET : AF_INET6;
  inet_ntop(family, address.bytes.data(), characters.data(), sizeof characters);
  size = std::strlen(characters.data());
}

}  // namespace sluice
