// worker/deflate_terms.h -- permessage-deflate as a handshake settles it (RFC 7692 section 7.1).
//
// T1  The client's first offer that we can keep is taken. One is passed over that has a parameter
//     unknown, doubled, or with a value that is none; or server_max_window_bits=8, because zlib has
//     no raw deflate with a window so small. All passed over: the WebSocket is not compressed.
// T2  A field that is no list of extensions at all fails the handshake (RFC 6455 section 9.1).
// T3  Where contexts are shared, both sides are told to keep none (7.1.1: a server may, unasked): an
//     idle connection then costs no window. Where each connection has its own, the client's wish rules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "worker/http_session.h"

namespace sluice {

enum class DeflateMode : uint8_t {
  kOff,
  kShared,  // no context is kept from one message to the next
  kOwn,     // each connection keeps its contexts: smaller messages, some 300 KiB each
};

// What was agreed.
struct DeflateTerms {
  uint8_t server_window_bits = 15;  // of what we send: 9 to 15
  bool window_asked = false;        // then it is answered, whatever it is (RFC 7692 section 7.1.2.1)
  bool server_keeps_context = false;
  bool client_keeps_context = false;
};

struct DeflateVerdict {
  bool valid = true;  // T2
  std::optional<DeflateTerms> terms;
};

[[nodiscard]] DeflateVerdict choose_deflate(const RequestHead& head, DeflateMode mode) noexcept;

// Appends the answer's header line.
void append_deflate_line(const DeflateTerms& terms, std::string& out);

}  // namespace sluice
