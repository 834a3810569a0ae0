// worker/websocket_accept.h -- a consumer's first word on a handshake that it decides (messages.md,
// "Accept +"). Read in place: what a decision rests on is copied out before it is checked.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/message.h"

namespace sluice {

enum class FirstWord : uint8_t {
  kAccept,         // {accept: true, subprotocol, headers}
  kAcceptAndSend,  // any Send
  kReject,         // {accept: false}, or a Server Close: 403
  kAnswer,         // {status_code, ...}: that response instead
};
[[nodiscard]] FirstWord first_word(const MessageView& message) noexcept;

// Appends the header lines the consumer wants in the 101. False, and nothing appended: one of them is
// malformed or ours to set, or there are more than limits::kAcceptHeaderFields.
[[nodiscard]] bool append_accept_headers(const MessageView& message, std::string& out);

}  // namespace sluice
