// worker/websocket_session.h -- RFC 6455 over wslay: bytes in, whole messages out; frames written.
// Knows no socket, clock or consumer.
//
// W1  on_message is called once per whole message, in order; text is valid UTF-8 (checked as bytes
//     arrive). Pings are answered here, in order. After on_closed nothing more is called.
// W2  Every way to end sends at most one close frame, and close() is allowed at any time, many times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/codec.h"

namespace sluice {

struct WebSocketLimits {
  size_t message_bytes;   // beyond: 1009
  size_t fragments;       // of one message; beyond: 1009
  size_t control_backlog; // bytes of pongs waiting for the socket before reading should stop
};

class WebSocketSession {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_message(Bytes content, bool binary) noexcept = 0;
    // Bytes for the socket; they must be copied or written before it returns.
    virtual void on_output(Bytes bytes) noexcept = 0;
    // The closing handshake is over or the protocol was broken: flush, then drop the socket. `code`
    // is what http consumers are told: the peer's, 1005 when its close had none, ours when we failed it.
    virtual void on_closed(uint16_t code, std::string_view reason) noexcept = 0;
  };

  WebSocketSession(Events& events, const WebSocketLimits& limits);
  ~WebSocketSession();

  void feed(Bytes bytes) noexcept;
  void pause() noexcept;   // from inside on_message: keeps what was fed and not yet parsed
  void resume() noexcept;  // parses what was kept; may call events

  // One whole message, unmasked, as one frame.
  void send(Bytes content, bool binary) noexcept;
  void ping() noexcept;
  // Starts the closing handshake; messages after it are dropped. The peer's close ends it.
  void close(uint16_t code, std::string_view reason) noexcept;
  [[nodiscard]] bool close_sent() const noexcept;
  [[nodiscard]] bool closed() const noexcept;  // on_closed was called
  // Something was received since the last call: what keep-alive asks.
  [[nodiscard]] bool heard_from() noexcept;
  [[nodiscard]] size_t buffered() const noexcept;  // bytes of an unfinished message and of kept input

 private:
  struct Wslay;
  std::unique_ptr<Wslay> wslay_;
};

// The 2 to 10 bytes before a server's unmasked frame. Gives the size.
[[nodiscard]] size_t write_frame_header(size_t content_bytes, bool binary, std::span<std::byte, 10> out) noexcept;

}  // namespace sluice
