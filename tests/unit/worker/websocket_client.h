// tests/unit/worker/websocket_client.h -- the client's end of a WebSocket for tests: frames as a
// client sends them, and an echo server's side of the talk as readable lines.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/websocket_session.h"

namespace sluice::test {

struct FrameBits {
  bool fin = true;
  uint8_t reserved = 0;  // RSV1 is 4, RSV3 is 1
  bool masked = true;
};

// The client's end of permessage-deflate, by zlib alone: contexts are kept until forgotten.
class Zlib {
 public:
  Zlib();
  ~Zlib();
  Zlib(const Zlib&) = delete;
  Zlib& operator=(const Zlib&) = delete;
  // A whole message, without its last four bytes.
  std::string deflate(std::string_view content);
  // Nothing where it is malformed.
  std::optional<std::string> inflate(std::string payload);
  void forget();

 private:
  z_stream deflate_{};
  z_stream inflate_{};
};

// The bytes of a client's frame. The mask is the same each time and has no zero byte.
std::string frame(uint8_t opcode, std::string_view payload, FrameBits bits = {});
inline std::string text(std::string_view payload) { return frame(0x1, payload); }
inline std::string binary(std::string_view payload) { return frame(0x2, payload); }
inline std::string ping(std::string_view payload) { return frame(0x9, payload); }
inline std::string pong(std::string_view payload) { return frame(0xa, payload); }
inline std::string first(std::string_view payload) { return frame(0x1, payload, {.fin = false}); }
inline std::string more(std::string_view payload) { return frame(0x0, payload, {.fin = false}); }
inline std::string last(std::string_view payload) { return frame(0x0, payload); }
// A code of 0 stands for none.
std::string close(uint16_t code, std::string_view reason = {});

std::string from_hex(std::string_view hex);

inline constexpr WebSocketLimits kRoomy = {
    .message_bytes = 1 << 20, .fragments = 1024, .control_backlog = 64 * 1024};

// A session that sends back each message, and writes down what happens: a line per frame sent, as
// "text <payload>", "binary …", "ping …", "pong …", "close <code>" ("close" without a code), and
// "closed <code>" for on_closed; before a message that came deflated, "deflated ". Where a promise of the session does not hold, that is said first,
// in lines that begin with "broken: ".
class EchoServer : public WebSocketSession::Events {
 public:
  explicit EchoServer(const WebSocketLimits& limits = kRoomy,
                      const std::optional<DeflateTerms>& terms = std::nullopt)
      : session(*this, limits), limits_(limits), terms_(terms) {
    if (terms) session.agree(*terms);
  }

  void feed(std::string_view bytes) { session.feed(as_bytes(bytes)); }
  // What happened since the last call.
  std::string lines();

  void on_message(Bytes content, bool is_binary) noexcept override;
  void on_output(Bytes bytes) noexcept override;
  void on_closed(uint16_t code, std::string_view reason) noexcept override;

  WebSocketSession session;
  std::vector<std::string> messages;
  std::string closed_reason;
  std::string close_frame_reason;  // of our own close frame
  size_t outputs = 0;              // calls of on_output
  size_t pause_after = 0;          // messages; 0: never
  size_t close_after = 0;          // messages; 0: never

 private:
  void say(std::string_view line);
  void broken(std::string_view promise);
  void read_output();

  std::string said_of(uint8_t opcode, bool deflated, std::string payload);

  const WebSocketLimits& limits_;
  std::optional<DeflateTerms> terms_;
  Zlib client_;
  std::string output_;  // not yet in lines_
  std::string lines_;
  std::string broken_;
  bool close_seen_ = false;
  bool closed_seen_ = false;
};

// Feeds `bytes` to new echo servers whole, byte by byte, in other pieces and with a pause after
// every message. All should have said the same lines, which it gives; if not, it gives both.
std::string talk(std::string_view bytes, const WebSocketLimits& limits = kRoomy,
                 size_t close_after = 0, const std::optional<DeflateTerms>& terms = std::nullopt);

}  // namespace sluice::test
