// worker/http_writer.h -- response messages to bytes: status line, headers, framing. Knows no
// socket.
//
// The gateway frames (messages.md, HTTP Response): Content-Length when the whole is known, chunked
// on HTTP/1.1, close on HTTP/1.0; no body for HEAD, 1xx, 204, 304; Date, and Server where we have one, filled
// in; Transfer-Encoding and Connection from a consumer ignored; CR, LF, NUL in a name or value refused.
// Header text is copied out of the message before it is checked, because its writer may change it
// meanwhile.
//
// W1  What is appended for one message is whole and framed, or nothing.
// W2  A head tells one framing only, and the content that follows is exactly what it told.
// W3  Each value of the message is read once; a message that changes meanwhile gives wrong bytes in
//     its own answer, never a line or a length that was not checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/message.h"

namespace sluice {

// What the writer must know of the request it answers.
struct AnswerTo {
  bool head_method = false;
  int minor_version = 1;
  bool keep_alive = true;    // asked for by the client and allowed by us
  int64_t unix_seconds = 0;  // now, for Date; 0: no Date is written
  // "Server: …\r\n", where the consumer says nothing of it; empty: none. Outlives the exchange.
  std::string_view server_line{};
};

enum class Framing : uint8_t { kLength, kChunked, kUntilClose, kNone };

// How one exchange's answer is being written; one per open exchange.
struct AnswerState {
  bool started = false;  // a head went out: an error can only cut the connection now
  bool complete = false;
  bool close_after = false;  // the connection ends with this answer
  Framing framing = Framing::kLength;
  bool drop_body = false;  // HEAD, 204, 304
  std::optional<uint64_t>
      declared;       // the consumer's own Content-Length, checked against what it sends
  uint64_t sent = 0;  // content bytes so far
  int status = 0;     // of the head that went out
};

// What goes to the socket for one message: `before`, then `content` (it lies in the message's
// block), then `after`. `before` and `after` live in the string given / are static.
struct WireAnswer {
  std::string_view before;
  Bytes content;
  std::string_view after;
};

enum class AnswerError : uint8_t {
  kNone,
  kMalformed,  // a key missing or of the wrong type, a status out of 200..599 (103 aside), a header
               // that is none, more header lines than limits.h allows
  kInjection,  // CR, LF or NUL in a header
  kLengthMismatch,  // more or less content than its Content-Length said
  kAfterEnd,        // a message for an exchange already answered
};

// Takes an HTTP Response or a chunk of one, by what `state` says is due. Appends to `out` what
// comes before the content: wire.before lies there. On an error nothing is appended, and
// state.started says whether a 502 can still be sent or the connection must be cut. A 103 leaves
// the exchange as it was.
[[nodiscard]] AnswerError write_answer(const MessageView& message, const AnswerTo& to,
                                       AnswerState& state, std::string& out,
                                       WireAnswer& wire) noexcept;

// A short answer of the gateway's own: text/plain, its body the line "400 Bad Request: <why>", or
// "502 Bad Gateway" where `why` is empty; `why` is ours, never client bytes. `extra` is whole header
// lines, each ending in CRLF (e.g. "Retry-After: 1\r\n"). Where an answer has started nothing can be
// said any more: it only marks the exchange complete and to be closed.
void write_own_answer(int status, std::string_view why, std::string_view extra, const AnswerTo& to,
                      AnswerState& state, std::string& out) noexcept;

// The registered phrase (RFC 9110 and IANA's list); empty for a code without one.
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;
// "Date: Mon, 23 Nov 2026 06:30:00 GMT\r\n", made again only when `unix_seconds` changes.
[[nodiscard]] std::string_view date_line(int64_t unix_seconds) noexcept;

}  // namespace sluice
