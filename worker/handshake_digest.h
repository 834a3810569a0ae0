// worker/handshake_digest.h -- what proves that a server understood a WebSocket handshake: SHA-1 in
// base64 (RFC 6455 section 4.2.2). SHA-1 protects nothing here; it only shows that we read the key.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// 28 characters.
[[nodiscard]] std::string sha1_base64(std::string_view text);
// The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key.
[[nodiscard]] std::string handshake_accept(std::string_view key);

}  // namespace sluice
