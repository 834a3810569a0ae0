// worker/origins.cc -- see origins.h.
#include "worker/origins.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "worker/header_field.h"
#include "worker/ip_address.h"

namespace sluice {
namespace {

[[noreturn]] void refuse(std::string_view text) {
  throw std::invalid_argument(
      "must be any alone, or same, null, and origins like https://example.org or "
      "https://*.example.org:8443, not '" +
      std::string(text) + "'");
}

uint16_t default_port(std::string_view scheme) noexcept {
  if (equals_lower(scheme, "http") || equals_lower(scheme, "ws")) return 80;
  if (equals_lower(scheme, "https") || equals_lower(scheme, "wss")) return 443;
  return 0;
}

// RFC 3986 section 3.1.
bool is_scheme(std::string_view text) noexcept {
  const auto is_letter = [](char c) { return to_lower(c) >= 'a' && to_lower(c) <= 'z'; };
  return !text.empty() && is_letter(text[0]) && std::ranges::all_of(text, [&](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

struct Parts {
  std::string_view scheme;
  HostPort at;  // its port filled in; 0 where the scheme has none
};

// Nothing for what is no origin: it has no path, no user, and no port 0.
std::optional<Parts> split(std::string_view origin) noexcept {
  const size_t mark = origin.find("://");
  if (mark == std::string_view::npos || !is_scheme(origin.substr(0, mark))) return std::nullopt;
  const std::string_view authority = origin.substr(mark + 3);
  const std::optional<HostPort> at = split_host(authority);
  if (!at || (at->port_said && at->port == 0)) return std::nullopt;
  Parts parts{origin.substr(0, mark), *at};
  if (!at->port_said) parts.at.port = default_port(parts.scheme);
  return parts;
}

std::string_view without_last_dot(std::string_view name) noexcept {
  return name.size() > 1 && name.ends_with('.') ? name.substr(0, name.size() - 1) : name;
}

bool equal(std::string_view one, std::string_view other) noexcept {
  return std::ranges::equal(one, other, {}, to_lower, to_lower);
}

bool same_host(std::string_view one, std::string_view other) noexcept {
  const bool literal = one.find(':') != std::string_view::npos;
  if (literal != (other.find(':') != std::string_view::npos)) return false;
  if (!literal) return equal(without_last_dot(one), without_last_dot(other));
  const IpAddress address = ip_address_in(one);
  return address.known() && address == ip_address_in(other);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), to_lower);
  return out;
}

}  // namespace

void Origins::add(std::string_view text) {
  if (any_ || (text == "any" && !texts_.empty())) refuse(text == "any" ? "any among others" : text);
  if (text == "any") {
    any_ = true;
  } else if (text == "same") {
    same_ = true;
  } else if (text == "null") {
    null_ = true;
  } else {
    const std::optional<Parts> parts = split(text);
    if (!parts) refuse(text);
    Pattern pattern;
    pattern.scheme = lower(parts->scheme);
    // A page never has these; who writes them would lock its pages out.
    if (pattern.scheme == "ws" || pattern.scheme == "wss") refuse(text);
    std::string_view host = without_last_dot(parts->at.host);
    pattern.below = host.starts_with("*.");
    if (pattern.below) host.remove_prefix(2);
    if (host.empty() || host.starts_with('.') || host.find('*') != std::string_view::npos) refuse(text);
    if (pattern.below && ip_address_in(host).known()) refuse(text);
    pattern.host = lower(host);
    pattern.port = parts->at.port;
    patterns_.push_back(std::move(pattern));
  }
  texts_.emplace_back(text);
}

bool Origins::allow(std::string_view origin, const HostPort& own) const noexcept {
  if (any()) return true;
  if (origin == "null") return null_;
  const std::optional<Parts> parts = split(origin);
  if (!parts) return false;
  const HostPort& at = parts->at;
  const uint16_t usual = default_port(parts->scheme);  // 0: no scheme of pages that come from servers (V3)
  if (same_ && usual != 0 && same_host(at.host, own.host) && at.port == (own.port_said ? own.port : usual)) {
    return true;
  }
  return std::ranges::any_of(patterns_, [&](const Pattern& pattern) {
    if (at.port != pattern.port || !equals_lower(parts->scheme, pattern.scheme)) return false;
    if (!pattern.below) return same_host(at.host, pattern.host);
    const std::string_view name = without_last_dot(at.host);
    if (name.size() < pattern.host.size() + 2) return false;
    const size_t dot = name.size() - pattern.host.size() - 1;
    return name[dot] == '.' && equals_lower(name.substr(dot + 1), pattern.host);
  });
}

std::vector<std::string> Origins::texts() const {
  return texts_.empty() ? std::vector<std::string>{"any"} : texts_;
}

}  // namespace sluice
