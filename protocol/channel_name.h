// protocol/channel_name.h -- the grammar of channel names and the addresses inside reply channels.
//
//   name    1 to 200 bytes of A-Z a-z 0-9 . _ - with at most one `!` or one `?`,
//           which is neither first nor last
//   group   the same without `!` and `?`
//
// Checked byte by byte: no newline, no byte above 0x7e, no 201st byte gets through.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

enum class ChannelKind : uint8_t {
  kNormal,           // any number of readers
  kSingleReader,     // has `?`: one reader, in order
  kProcessSpecific,  // has `!`: what stands before it names the process that reads
};

// The kind of a valid name; nothing when it is not in the grammar.
[[nodiscard]] std::optional<ChannelKind> parse_channel_name(std::string_view name) noexcept;
[[nodiscard]] bool valid_group_name(std::string_view name) noexcept;

// A glob stands for every name it matches: `*` for any number of any characters, also none; all
// other characters for themselves (`?` too: it is part of names). 1 to 200 bytes of what a name may
// hold, and `*`.
[[nodiscard]] bool valid_channel_glob(std::string_view glob) noexcept;
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view name) noexcept;

// Names one exchange (HTTP) or one connection (WebSocket) for good: a worker's incarnation, the
// slot, its generation and the request's ordinal. None of them is ever reused together, so a late
// answer reaches nobody else (decisions.md 1).
struct ReplyAddress {
  uint16_t worker = 0;       // process index of the worker
  uint32_t incarnation = 0;  // of that process index
  uint32_t slot = 0;         // connection slot within the worker
  uint32_t generation = 0;   // of the slot
  uint32_t ordinal = 0;      // request on the connection, from 1; 0 for a WebSocket
  friend bool operator==(const ReplyAddress&, const ReplyAddress&) = default;
};

// A name made without allocation; longest reply name is below 80 bytes.
class ReplyChannelName {
 public:
  // "http.response.<worker>-<incarnation>!<slot>.<generation>.<ordinal>"; all decimal.
  static ReplyChannelName http_response(const ReplyAddress& address) noexcept;
  // "http.request.body?<worker>-<incarnation>.<slot>.<generation>.<ordinal>"
  static ReplyChannelName http_request_body(const ReplyAddress& address) noexcept;
  // "websocket.send.<worker>-<incarnation>!<slot>.<generation>"; the ordinal is left out.
  static ReplyChannelName websocket_send(const ReplyAddress& address) noexcept;
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), length_}; }

 private:
  std::array<char, 96> text_;
  uint8_t length_ = 0;
};

// The address in a name that http_response() or websocket_send() made; nothing for any other text
// (leading zeros, signs, overflow and trailing bytes are refused: one name, one address).
[[nodiscard]] std::optional<ReplyAddress> parse_reply_channel(std::string_view name) noexcept;

}  // namespace sluice
