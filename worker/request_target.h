// worker/request_target.h -- what a request is for: its target in the four forms of RFC 9112
// section 3.2, and the host it names. Text in, views out; knows nothing of heads.
//
// T1  Every view given back points into the target, or is one of the literals "/" and "*".
// T2  An authority given back passed valid_host().
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

struct RequestTarget {
  std::string_view raw_path;
  std::string_view query;      // without its '?'
  std::string_view authority;  // of an absolute target; else empty
};

// Whether `c` may stand in a target: visible ASCII but '#', which a client keeps to itself. The
// characters that RFC 3986 leaves out and browsers send all the same ('|', '"', ...) pass.
[[nodiscard]] constexpr bool is_target_character(char c) noexcept {
  return c > ' ' && c < 0x7f && c != '#';
}

// Splits a target made of target characters. Nothing when it is of no form that `method` allows:
// "*" is for OPTIONS only, a scheme is http or https, an absolute target names a valid host and no
// user. CONNECT is the caller's to refuse.
[[nodiscard]] std::optional<RequestTarget> split_target(std::string_view method,
                                                        std::string_view target) noexcept;

// host [":" port] as http needs it: a name, an IPv4 address or an IPv6 literal, not empty. Names
// may hold unreserved characters, %XX and the sub-delimiters but ',', which would make one Host
// look like two; a port is 1 to 5 digits within 65535.
[[nodiscard]] bool valid_host(std::string_view host) noexcept;

struct HostPort {
  std::string_view host;  // an IPv6 literal without its brackets
  uint16_t port = 0;
  bool port_said = false;
};
// The parts of it, as views; nothing where it is not valid.
[[nodiscard]] std::optional<HostPort> split_host(std::string_view host) noexcept;

}  // namespace sluice
