// worker/forwarded.cc -- lists from right to left; see forwarded.h.
#include "worker/forwarded.h"

#include <optional>

#include "protocol/limits.h"
#include "worker/request_target.h"

namespace sluice {
namespace {

// The part of a host's name without its port; the port, or 0.
void take_host(std::string_view host, Forwarded& said) noexcept {
  const std::optional<HostPort> parts = split_host(host);
  if (!parts) return;
  said.server_port = parts->port;
  said.host = parts->host;
}

// WebSockets have schemes of their own with some proxies.
void take_scheme(std::string_view name, Forwarded& said) noexcept {
  if (equals_lower(name, "https") || equals_lower(name, "wss")) {
    said.scheme = Forwarded::Scheme::kHttps;
  } else if (equals_lower(name, "http") || equals_lower(name, "ws")) {
    said.scheme = Forwarded::Scheme::kHttp;
  }
}

// F1
class Way {
 public:
  Way(const Networks& trusted, Forwarded& said) noexcept : trusted_(trusted), said_(said) {}

  // The next address to the left; false: the way ends here.
  bool goes_on(const IpEndpoint& next) noexcept {
    if (!next.address.known()) return false;
    said_.client = next;
    return ++hops_ < limits::kForwardedHops && trusted_.contains(next.address);
  }

 private:
  const Networks& trusted_;
  Forwarded& said_;
  size_t hops_ = 0;
};

// Takes the last element off a list, trimmed.
std::string_view take_last(std::string_view& list, size_t comma) noexcept {
  const bool first = comma == std::string_view::npos;
  const std::string_view element = trim_blanks(first ? list : list.substr(comma + 1));
  list = first ? std::string_view() : list.substr(0, comma);
  return element;
}

// ---- X-Forwarded- -------------------------------------------------------------------------------

enum class Name : uint8_t { kOther, kForwarded, kFor, kProto, kHost, kPort };

Name name_of(std::string_view name) noexcept {
  switch (name.size()) {
    case 9:
      return equals_lower(name, "forwarded") ? Name::kForwarded : Name::kOther;
    case 15:
      return equals_lower(name, "x-forwarded-for") ? Name::kFor : Name::kOther;
    case 16:
      if (equals_lower(name, "x-forwarded-host")) return Name::kHost;
      return equals_lower(name, "x-forwarded-port") ? Name::kPort : Name::kOther;
    case 17:
      return equals_lower(name, "x-forwarded-proto") ? Name::kProto : Name::kOther;
    default:
      return Name::kOther;
  }
}

bool walk_addresses(std::string_view list, Way& way) noexcept {
  for (;;) {
    const size_t comma = list.rfind(',');
    if (!way.goes_on(ip_endpoint_in(take_last(list, comma)))) return false;
    if (comma == std::string_view::npos) return true;
  }
}

// ---- Forwarded (RFC 7239 section 4) -------------------------------------------------------------

// Where the last element of a list of elements begins, less one: its comma; npos where it is the first.
// Quotes are found from the right too, so that what a client left open hides nothing behind it.
size_t last_comma(std::string_view list) noexcept {
  bool quoted = false;
  for (size_t at = list.size(); at-- > 0;) {
    if (list[at] == ',' && !quoted) return at;
    if (list[at] != '"') continue;
    size_t escapes = 0;
    while (quoted && escapes < at && list[at - 1 - escapes] == '\\') ++escapes;
    if (escapes % 2 == 0) quoted = !quoted;
  }
  return std::string_view::npos;
}

struct Element {
  std::string_view node, proto, host;  // empty: not there
};

// A token, or what stands in quotes, its escapes left in: no address, scheme or host has any. Takes it
// off the text; nothing for neither.
std::optional<std::string_view> take_value(std::string_view& text) noexcept {
  const size_t quotes = text.starts_with('"') ? 1 : 0;
  size_t end = quotes;
  if (quotes == 0) {
    while (end < text.size() && is_token_character(text[end])) ++end;
    if (end == 0) return std::nullopt;
  } else {
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) return std::nullopt;
  }
  const std::string_view value = text.substr(quotes, end - quotes);
  text.remove_prefix(end + quotes);
  return value;
}

// name=value, divided by semicolons; other names are passed over, a name twice is refused.
std::optional<Element> read_element(std::string_view text) noexcept {
  Element element;
  bool has_node = false, has_proto = false, has_host = false;
  const auto take = [](bool& has, std::string_view& into, std::string_view value) {
    if (has) return false;
    has = true;
    into = value;
    return true;
  };
  for (;;) {
    text = trim_blanks(text);
    size_t end = 0;
    while (end < text.size() && is_token_character(text[end])) ++end;
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(end);
    if (!name.empty()) {
      if (!text.starts_with('=')) return std::nullopt;
      text.remove_prefix(1);
      const std::optional<std::string_view> value = take_value(text);
      if (!value) return std::nullopt;
      bool once = true;
      if (equals_lower(name, "for")) once = take(has_node, element.node, *value);
      if (equals_lower(name, "proto")) once = take(has_proto, element.proto, *value);
      if (equals_lower(name, "host")) once = take(has_host, element.host, *value);
      if (!once) return std::nullopt;
    }
    text = trim_blanks(text);
    if (text.empty()) return element;
    if (text[0] != ';') return std::nullopt;
    text.remove_prefix(1);
  }
}

// RFC 7239 section 6: an address, perhaps with a port, which may be obfuscated.
IpEndpoint address_of(std::string_view node) noexcept {
  const size_t hidden_port = node.rfind(":_");
  return ip_endpoint_in(node.substr(0, hidden_port));
}

bool walk_elements(std::string_view list, Way& way, Forwarded& said) noexcept {
  for (;;) {
    const size_t comma = last_comma(list);
    const std::optional<Element> element = read_element(take_last(list, comma));
    if (!element) return false;
    take_scheme(element->proto, said);
    take_host(element->host, said);
    if (!way.goes_on(address_of(element->node))) return false;
    if (comma == std::string_view::npos) return true;
  }
}

}  // namespace

Forwarded read_forwarded(std::span<const HeaderField> headers, const Networks& trusted) noexcept {
  Forwarded said;
  Way way(trusted, said);
  bool goes_on = true, any = false;
  bool has_proto = false, has_host = false;
  std::optional<std::string_view> port;
  const auto last_of = [](std::string_view list) { return take_last(list, list.rfind(',')); };

  for (size_t i = headers.size(); i-- > 0;) {
    const std::string_view value = headers[i].value;
    const Name name = name_of(headers[i].name);
    if (name == Name::kOther || name == Name::kForwarded) continue;
    any = true;
    if (name == Name::kFor && goes_on) goes_on = walk_addresses(value, way);
    if (name == Name::kPort && !port) port = last_of(value);
    if (name == Name::kProto && !has_proto) {
      has_proto = true;
      take_scheme(last_of(value), said);
    }
    if (name == Name::kHost && !has_host) {
      has_host = true;
      take_host(last_of(value), said);
    }
  }
  for (size_t i = headers.size(); i-- > 0 && !any && goes_on;) {  // F4
    if (name_of(headers[i].name) == Name::kForwarded) {
      goes_on = walk_elements(headers[i].value, way, said);
    }
  }
  if (port) said.server_port = port_in(*port).value_or(said.server_port);
  if (!said.host.empty() && said.server_port == 0) {
    said.server_port = said.scheme == Forwarded::Scheme::kHttps ? 443 : 80;
  }
  return said;
}

}  // namespace sluice
