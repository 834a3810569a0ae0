// worker/websocket_session.h -- RFC 6455 over wslay, and RFC 7692: bytes in, whole messages out; frames
// written.
// Knows no socket, clock or consumer.
//
// W1  on_message is called once per whole message, in order; text is valid UTF-8 (checked as bytes
//     arrive). Pings are answered here, in order. After on_closed nothing more is called.
// W2  Every way to end sends at most one close frame, and nothing after it; close() is allowed at
//     any time, many times.
// W3  What the session does depends on the bytes alone, not on how they were split over feed().
// W4  Between messages it holds no buffer: an idle connection costs this object and no more, but for
//     the contexts it keeps where --deflate own was asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "protocol/codec.h"
#include "worker/deflate_terms.h"

namespace sluice {

class Inflater;
class SharedFrame;
struct FramePiece;

struct WebSocketLimits {
  size_t message_bytes;    // inflated; beyond: 1009
  size_t fragments;        // of one message; beyond: 1009
  size_t control_backlog;  // bytes of pongs waiting for the socket before reading should stop
};

// Close codes of our own making (RFC 6455 section 7.4.1).
namespace close_code {
inline constexpr uint16_t kNormal = 1000;
inline constexpr uint16_t kGoingAway = 1001;
inline constexpr uint16_t kProtocolError = 1002;
inline constexpr uint16_t kNone = 1005;  // never sent: the close frame had no code
inline constexpr uint16_t kInvalidPayload = 1007;  // text that is not UTF-8, say
inline constexpr uint16_t kTooLarge = 1009;
inline constexpr uint16_t kInternalError = 1011;
inline constexpr uint16_t kServiceRestart = 1012;  // IANA: come again, elsewhere or here
}  // namespace close_code

// Owner     the connection, from the 101 until its socket is closed.
// Lifetime  callbacks may call anything here but feed(); they must not delete the session.
// Borrows   events and limits, which outlive it.
// Thread    one; spare buffers are shared by the sessions of a thread.
class WebSocketSession {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    // `content` is valid until it returns.
    virtual void on_message(Bytes content, bool binary) noexcept = 0;
    // Bytes for the socket; they must be copied or written before it returns. A small frame is one
    // call, a large one two: its header and its payload.
    virtual void on_output(Bytes bytes) noexcept = 0;
    // The closing handshake is over or the protocol was broken: flush, then drop the socket. `code`
    // is what consumers are told: the client's, 1005 when its close had none, ours when we failed
    // it.
    virtual void on_closed(uint16_t code, std::string_view reason) noexcept = 0;
  };

  WebSocketSession(Events& events, const WebSocketLimits& limits) noexcept;
  ~WebSocketSession();
  WebSocketSession(const WebSocketSession&) = delete;
  WebSocketSession& operator=(const WebSocketSession&) = delete;

  // What the handshake settled, before anything else is called.
  void agree(const DeflateTerms& terms) noexcept { deflate_ = terms; }

  // While paused, what is fed is kept unparsed: stop reading the socket.
  void feed(Bytes bytes) noexcept;
  // No on_message until resume(). Pings and the client's close wait, too: they keep their place.
  void pause() noexcept { paused_ = true; }
  void resume() noexcept;  // parses what was kept; may call events
  [[nodiscard]] bool paused() const noexcept { return paused_; }

  // One whole message, unmasked, as one frame; deflated where that was agreed and is worth it. Dropped
  // once a close was sent or received.
  void send(Bytes content, bool binary) noexcept;
  // The same, of a message that others get, too: in the form they share, where there is one.
  void send(SharedFrame& frame) noexcept;
  void ping() noexcept;
  // Starts the closing handshake; messages after it, in and out, are dropped, and the client's
  // close ends it (resume() first where paused). 1005 sends no code; a code that may not stand in a
  // frame is sent as 1011. The reason is cut to what fits, and left out when it is not UTF-8.
  void close(uint16_t code, std::string_view reason) noexcept;
  [[nodiscard]] bool close_sent() const noexcept { return close_sent_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }  // on_closed was called

  // Something was received since the last call: what keep-alive asks.
  [[nodiscard]] bool heard_from() noexcept;
  [[nodiscard]] size_t buffered() const noexcept;  // bytes of an unfinished message, of kept input

  // More pongs than control_backlog were written since drained(): stop reading the socket, for a
  // client that sends pings and reads nothing. One read can pass the bound by its own size, no
  // more.
  [[nodiscard]] bool congested() const noexcept { return pong_bytes_ > limits_.control_backlog; }
  void drained() noexcept { pong_bytes_ = 0; }  // the socket took all output

 private:
  struct Inbound;   // the buffers of an unfinished frame or message, and of kept input
  struct Contexts;  // kept from one message to the next

  void parse() noexcept;
  void take(const FramePiece& piece) noexcept;
  [[nodiscard]] bool frame_allowed(const FramePiece& piece) noexcept;
  void take_content(const FramePiece& piece) noexcept;
  [[nodiscard]] bool begin_frame(const FramePiece& piece) noexcept;
  [[nodiscard]] bool take_deflated(const FramePiece& piece, bool complete) noexcept;
  [[nodiscard]] Inflater& inflater();
  void take_control(const FramePiece& piece) noexcept;
  void client_closes(Bytes payload) noexcept;
  void send_close(Bytes payload) noexcept;
  void fail(uint16_t code, std::string_view reason) noexcept;
  void end(uint16_t code, std::string_view reason) noexcept;

  Events& events_;
  const WebSocketLimits& limits_;
  std::unique_ptr<Inbound> inbound_;    // null between messages (W4)
  std::unique_ptr<Contexts> contexts_;  // null where none is kept
  uint32_t pong_bytes_ = 0;
  std::optional<DeflateTerms> deflate_;
  bool parsing_ = false;  // parse() is running, below us on the stack
  bool paused_ = false;
  bool heard_from_ = false;
  bool close_sent_ = false;
  bool closed_ = false;
};

// Whether a close frame may carry this code (RFC 6455 section 7.4, and the codes registered since).
[[nodiscard]] bool valid_close_code(uint16_t code) noexcept;

}  // namespace sluice
