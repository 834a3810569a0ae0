// worker/request_target.cc -- see the header; RFC 3986 sections 3.2.2 and 3.2.3 for hosts and
// ports.
#include "worker/request_target.h"

#include <cstddef>

#include "worker/header_field.h"
#include "worker/ip_address.h"

namespace sluice {
namespace {

constexpr bool is_hex(char c) noexcept {
  return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'f');
}

bool valid_port(std::string_view digits) noexcept {
  if (digits.empty() || digits.size() > 5) return false;
  unsigned value = 0;
  for (char c : digits) {
    if (!is_digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= 65535;
}

bool valid_name(std::string_view name) noexcept {
  constexpr std::string_view kMarks = "-._~!$&'()*+;=";
  for (size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'z')) continue;
    if (c == '%') {
      if (name.size() - i < 3 || !is_hex(name[i + 1]) || !is_hex(name[i + 2])) return false;
      i += 2;
    } else if (kMarks.find(c) == std::string_view::npos) {
      return false;
    }
  }
  return !name.empty();
}

bool valid_ipv4(std::string_view text) noexcept {
  for (int part = 0; part < 4; ++part) {
    size_t size = 0;
    unsigned value = 0;
    while (size < text.size() && size < 3 && is_digit(text[size]))
      value = value * 10 + static_cast<unsigned>(text[size++] - '0');
    if (size == 0 || value > 255 || (size > 1 && text[0] == '0')) return false;
    text.remove_prefix(size);
    if (part == 3) return text.empty();
    if (text.empty() || text[0] != '.') return false;
    text.remove_prefix(1);
  }
  return false;
}

// Eight groups of 16 bits, the last two perhaps as an IPv4 address; one "::" stands for one or
// more.
bool valid_ipv6(std::string_view text) noexcept {
  int groups = 0;
  bool shortened = false;
  if (text.starts_with("::")) {
    shortened = true;
    text.remove_prefix(2);
    if (text.empty()) return true;
  }
  for (;;) {
    size_t size = 0;
    while (size < text.size() && size < 5 && is_hex(text[size])) ++size;
    if (size < text.size() && text[size] == '.') {
      groups += 2;
      return valid_ipv4(text) && (shortened ? groups < 8 : groups == 8);
    }
    if (size == 0 || size > 4) return false;
    ++groups;
    text.remove_prefix(size);
    if (text.empty()) return shortened ? groups < 8 : groups == 8;
    if (text[0] != ':' || groups >= 8) return false;
    text.remove_prefix(1);
    if (text.starts_with(':')) {
      if (shortened) return false;
      shortened = true;
      text.remove_prefix(1);
      if (text.empty()) return groups < 8;
    } else if (text.empty()) {
      return false;
    }
  }
}

struct Split {
  std::string_view before, after;
};
Split split_query(std::string_view text) noexcept {
  size_t mark = text.find('?');
  if (mark == std::string_view::npos) return {text, {}};
  return {text.substr(0, mark), text.substr(mark + 1)};
}

}  // namespace

bool valid_host(std::string_view host) noexcept {
  if (host.starts_with('[')) {
    size_t bracket = host.find(']');
    if (bracket == std::string_view::npos || !valid_ipv6(host.substr(1, bracket - 1))) return false;
    host.remove_prefix(bracket + 1);
    return host.empty() || (host[0] == ':' && valid_port(host.substr(1)));
  }
  size_t colon = host.find(':');
  if (colon == std::string_view::npos) return valid_name(host);
  return valid_name(host.substr(0, colon)) && valid_port(host.substr(colon + 1));
}

std::optional<HostPort> split_host(std::string_view host) noexcept {
  if (!valid_host(host)) return std::nullopt;
  const size_t bracket = host.find(']');
  const size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  HostPort parts{.host = host.substr(0, colon)};
  if (bracket != std::string_view::npos) parts.host = host.substr(1, bracket - 1);
  if (colon != std::string_view::npos) {
    parts.port = port_in(host.substr(colon + 1)).value_or(0);
    parts.port_said = true;
  }
  return parts;
}

std::optional<RequestTarget> split_target(std::string_view method,
                                          std::string_view target) noexcept {
  if (target.starts_with('/')) {
    auto [path, query] = split_query(target);
    return RequestTarget{path, query, {}};
  }
  if (target == "*") {
    if (method != "OPTIONS") return std::nullopt;
    return RequestTarget{target, {}, {}};
  }
  size_t scheme = target.find("://");
  if (scheme == std::string_view::npos || (!equals_lower(target.substr(0, scheme), "http") &&
                                           !equals_lower(target.substr(0, scheme), "https")))
    return std::nullopt;
  target.remove_prefix(scheme + 3);
  std::string_view authority = target.substr(0, target.find_first_of("/?"));
  if (!valid_host(authority)) return std::nullopt;
  target.remove_prefix(authority.size());
  // An empty path is that of the whole server for OPTIONS (RFC 9112 section 3.2.4), else the root.
  if (target.empty()) return RequestTarget{method == "OPTIONS" ? "*" : "/", {}, authority};
  auto [path, query] = split_query(target);
  return RequestTarget{path.empty() ? "/" : path, query, authority};
}

}  // namespace sluice
