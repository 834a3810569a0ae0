// worker/upgrade.cc -- what a handshake must say, in the order in which a client is best told.
#include "worker/upgrade.h"

#include <algorithm>
#include <utility>

#include "protocol/limits.h"
#include "worker/handshake_digest.h"
#include "worker/header_field.h"

namespace sluice {
namespace {

HandshakeVerdict refuse(int status, std::string_view reason, std::string_view extra = {}) {
  return {.status = status, .reason = reason, .extra = extra, .origin = {}, .handshake = {}};
}

// 16 bytes in base64 are 22 characters and two signs of padding.
bool is_key(std::string_view text) noexcept {
  const auto is_base64 = [](char c) {
    return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'z') || c == '+' || c == '/';
  };
  return text.size() == 24 && text.ends_with("==") &&
         std::ranges::all_of(text.substr(0, 22), is_base64);
}

// Calls `take` with the value of each line called `lower`, which is written in lower case.
template <class Take>
void for_each_value(const RequestHead& head, std::string_view lower, Take take) {
  for (const HeaderField& field : head.headers) {
    if (equals_lower(field.name, lower)) take(field.value);
  }
}

// Whether one of these lines, together one list, has the element.
bool lists(const RequestHead& head, std::string_view name, std::string_view element) {
  bool found = false;
  for_each_value(head, name, [&](std::string_view value) { found |= list_has(value, element); });
  return found;
}

// The value of the only such line; none when it is missing or there are several.
std::optional<std::string_view> only_value(const RequestHead& head, std::string_view name) {
  std::optional<std::string_view> only;
  size_t lines = 0;
  for_each_value(head, name, [&](std::string_view value) {
    only = value;
    ++lines;
  });
  return lines == 1 ? only : std::nullopt;
}

// The origin that is not allowed, if there is one. Of several lines the second: a browser sends one.
std::optional<std::string_view> refused_origin(const RequestHead& head, const HandshakeRules& rules) {
  std::optional<std::string_view> refused;
  if (rules.origins.any()) return refused;
  size_t lines = 0;
  for_each_value(head, "origin", [&](std::string_view value) {
    if (!refused && (++lines > 1 || !rules.origins.allow(value, rules.own))) refused = value;
  });
  return refused;
}

// The sub-protocols offered, in order; none at all when one is no token or is there twice, or when
// there are too many. Empty elements of the list count for nothing (RFC 9110 section 5.6.1).
std::optional<std::vector<std::string_view>> offered_subprotocols(const RequestHead& head) {
  std::vector<std::string_view> offered;
  bool valid = true;
  for_each_value(head, "sec-websocket-protocol", [&](std::string_view value) {
    for_each_element(value, [&](std::string_view name) {
      if (name.empty() || !valid) return;
      valid = is_token(name) && offered.size() < limits::kSubprotocols &&
              std::ranges::find(offered, name) == offered.end();
      offered.push_back(name);
    });
  });
  if (!valid) return std::nullopt;
  return offered;
}

}  // namespace

HandshakeVerdict check_handshake(const RequestHead& head, const HandshakeRules& rules) {
  if (head.method != "GET") {
    return refuse(405, "a WebSocket handshake is a GET", "Allow: GET\r\n");
  }
  if (head.minor_version < 1) return refuse(400, "a WebSocket handshake needs HTTP/1.1");
  if (head.authority.empty()) return refuse(400, "a WebSocket handshake needs a Host");
  if (!lists(head, "upgrade", "websocket")) return refuse(400, "no Upgrade to websocket");
  if (!lists(head, "connection", "upgrade")) return refuse(400, "no Connection: Upgrade");
  if (only_value(head, "sec-websocket-version") != "13") {
    return refuse(426, "WebSocket version 13 only",
                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  }
  const auto key = only_value(head, "sec-websocket-key");
  if (!key || !is_key(*key)) return refuse(400, "no valid Sec-WebSocket-Key");
  if (head.has_body()) return refuse(400, "a WebSocket handshake has no body");
  auto subprotocols = offered_subprotocols(head);
  if (!subprotocols) return refuse(400, "no valid Sec-WebSocket-Protocol");
  const DeflateVerdict extensions = choose_deflate(head, rules.deflate);
  if (!extensions.valid) return refuse(400, "no valid Sec-WebSocket-Extensions");
  if (const auto origin = refused_origin(head, rules)) {
    HandshakeVerdict verdict = refuse(403, "pages of this origin may not open a WebSocket here");
    verdict.origin = *origin;
    return verdict;
  }

  Handshake handshake{.accept = handshake_accept(*key),
                      .subprotocols = std::move(*subprotocols),
                      .deflate = extensions.terms};
  return {.status = 101, .reason = {}, .extra = {}, .origin = {}, .handshake = std::move(handshake)};
}

void write_switching(const Handshake& handshake, std::string_view subprotocol,
                     std::string_view extra, std::string& out) {
  out +=
      "HTTP/1.1 101 Switching Protocols\r\n"
      "Upgrade: websocket\r\n"
      "Connection: Upgrade\r\n"
      "Sec-WebSocket-Accept: ";
  out += handshake.accept;
  out += "\r\n";
  if (is_token(subprotocol)) {  // it may be a consumer's: it must not end the line early
    out += "Sec-WebSocket-Protocol: ";
    out += subprotocol;
    out += "\r\n";
  }
  if (handshake.deflate) append_deflate_line(*handshake.deflate, out);
  out += extra;
  out += "\r\n";
}

}  // namespace sluice
