// worker/conversation.h -- what is spoken on a connection: HTTP, then perhaps a WebSocket.
//
// Owner     the Connection. One conversation at a time; Connection::become() brings the next.
// Lifetime  on_gone() is the last call but the destructor, which runs on a later turn of the loop.
// Thread    the loop's.    Throws  nothing: C frames are above us.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/codec.h"
#include "shm/channel_layer.h"

namespace sluice {

class SharedFrame;

// What became of a group's message at one of its members.
enum class FrameOutcome : uint8_t {
  kTaken,    // on its way to the client
  kSlow,     // the client reads slowly: skipped
  kClosing,  // no WebSocket, or one not open any more
};

class Conversation {
 public:
  virtual ~Conversation() = default;

  // Bytes from the client. Gives how many were taken; the connection keeps the rest and offers it
  // again when reading is started.
  [[nodiscard]] virtual size_t on_bytes(Bytes bytes) noexcept = 0;
  // The client will send no more. It may still read.
  virtual void on_end() noexcept = 0;
  // Output that had to wait was taken by the socket.
  virtual void on_room() noexcept = 0;
  // The socket is gone: nothing can be sent.
  virtual void on_gone() noexcept = 0;

  // The slot was marked ready; its replies follow.
  virtual void on_ready() noexcept = 0;
  virtual void on_reply(const shm::Delivery& reply) noexcept = 0;
  // A group's message. Only WebSockets are members.
  [[nodiscard]] virtual bool takes_frames() const noexcept { return false; }
  [[nodiscard]] virtual FrameOutcome take_frame(SharedFrame&) noexcept { return FrameOutcome::kClosing; }
  // A message of ours came back: its taker died with it in hand, or never read it.
  virtual void on_returned(shm::Delivery& returned) noexcept = 0;
  // Processes died: Header::deaths is `deaths` now.
  virtual void on_deaths(uint64_t deaths) noexcept = 0;
  // Some consumer was found stuck.
  virtual void on_stuck() noexcept = 0;

  // Stays open by itself: it ends when one side wants it to.
  [[nodiscard]] virtual bool lasts() const noexcept { return false; }
  // Of what lasts(): its path, as its messages say it.
  [[nodiscard]] virtual std::string_view path() const noexcept { return {}; }
  // The worker leaves: finish what is open; what lasts() ends at `at_ms`, politely.
  virtual void leave(uint64_t at_ms) noexcept = 0;
  // Acts on what is due.
  virtual void on_clock(uint64_t now_ms) noexcept = 0;
  // When on_clock() has something to do next; kNever for never.
  [[nodiscard]] virtual uint64_t next_deadline() const noexcept = 0;
};

}  // namespace sluice
