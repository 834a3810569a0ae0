// gateway/listen_address.cc -- see listen_address.h.
#include "gateway/listen_address.h"

#include <sys/un.h>

#include <charconv>
#include <optional>
#include <stdexcept>

namespace sluice {
namespace {

[[noreturn]] void refuse() {
  throw std::invalid_argument("must be host:port, [v6]:port, unix:/path or fd:N");
}

int number_up_to(std::string_view text, int most) {
  int value = -1;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (text.empty() || text.front() == '-' || parsed.ec != std::errc{} || parsed.ptr != end ||
      value > most) {
    refuse();
  }
  return value;
}

}  // namespace

ListenAddress parse_listen_address(std::string_view text) {
  ListenAddress address;
  if (text.starts_with("unix:")) {
    address.kind = ListenAddress::Kind::kUnix;
    address.host = text.substr(5);
    if (!address.host.starts_with('/')) refuse();
    if (address.host.size() >= sizeof(sockaddr_un::sun_path)) {
      throw std::invalid_argument("must be a path shorter than 108 bytes");
    }
    return address;
  }
  if (text.starts_with("fd:")) {
    address.kind = ListenAddress::Kind::kFd;
    address.fd = number_up_to(text.substr(3), 1 << 20);
    if (address.fd < 3) throw std::invalid_argument("must be a descriptor from fd:3 on");
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) refuse();
  std::string_view host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.size() < 4 || host.back() != ']') refuse();
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) refuse();
  } else if (host.find(':') != std::string_view::npos) {
    if (host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) refuse();
    throw std::invalid_argument("must have brackets around an IPv6 address, as in [::1]:8000");
  }
  address.host = host;
  address.port = static_cast<uint16_t>(number_up_to(text.substr(colon + 1), 65535));
  return address;
}

std::string to_string(const ListenAddress& address) {
  switch (address.kind) {
    case ListenAddress::Kind::kUnix:
      return "unix:" + address.host;
    case ListenAddress::Kind::kFd:
      return "fd:" + std::to_string(address.fd);
    case ListenAddress::Kind::kTcp:
      break;
  }
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace sluice
