// worker/upgrade.h -- the handshake that turns an HTTP request into a WebSocket (RFC 6455
// section 4.2).
//
// Where servers differ this is the strict side: one key, one version, sub-protocols that are tokens
// and differ, no body. Of extensions permessage-deflate alone is known (worker/deflate_terms.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/deflate_terms.h"
#include "worker/http_session.h"
#include "worker/origins.h"

namespace sluice {

struct Handshake {
  std::string accept;                          // Sec-WebSocket-Accept, 28 characters
  std::vector<std::string_view> subprotocols;  // offered, in order; views into the head
  std::optional<DeflateTerms> deflate;         // agreed
};

struct HandshakeVerdict {
  int status = 101;         // 101, or 400, 403, 405, 426 with `extra` header lines
  std::string_view reason;  // for the log and a short text body; never the client's bytes
  std::string_view extra;   // whole header lines, e.g. "Sec-WebSocket-Version: 13\r\n", for 426
  std::string_view origin;  // with 403: the one refused, a view into the head
  std::optional<Handshake> handshake;  // with 101 only
};

struct HandshakeRules {
  DeflateMode deflate = DeflateMode::kOff;
  const Origins& origins;
  HostPort own{};  // what the client asked for: what `same` is; not looked at where any origin may come
};

// Checks method, version, Host, Upgrade and Connection as token lists, key (16 bytes in base64),
// version 13, sub-protocol tokens, extensions, no body; then its Origin: without one it is no
// browser's, and nobody's page (RFC 6455 section 10.2).
[[nodiscard]] HandshakeVerdict check_handshake(const RequestHead& head, const HandshakeRules& rules);

// Appends the 101 answer. `subprotocol` empty, or not a token: no such line. `extra` is whole
// header lines, already checked.
void write_switching(const Handshake& handshake, std::string_view subprotocol,
                     std::string_view extra, std::string& out);

}  // namespace sluice
