// worker/socket.h -- a client's socket in the loop: polled for what is wanted, one recv() and one
// sendmsg() at a time. It knows addresses and bytes, nothing of what they mean.
//
// K1  libuv polls, and does no more: its streams cost a read() and a write() each through the file
//     layer, and hold output of their own. recv() and send() are cheaper, and what waits is ours.
// K2  Not blocking, no signal: a client that is gone is an outcome.
// K3  What a client sent before it reset the connection is read first, by who wants to read.
// K4  Of a socket of which nothing is wanted a reset is told all the same, and of a unix socket whose end
//     was read that its client closed it. (Of a TCP client that closed, only a reset tells: it follows
//     what is sent next.)
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include <span>

#include "protocol/codec.h"
#include "shm/fd.h"

namespace sluice {

// Owner     the connection it is a member of, which outlives on_socket_closed().
// Lifetime  open(), then close() once; libuv points at it until on_socket_closed(), which runs on a
//           later turn of the loop. After that it may be opened again.
// Thread    the loop's.
class Socket {
 public:
  // Whom it tells; called by the loop.
  class Listener {
   public:
    virtual void on_readable() noexcept = 0;
    virtual void on_writable() noexcept = 0;
    // Nothing more can be read or written.
    virtual void on_broken() noexcept = 0;
    virtual void on_socket_closed() noexcept = 0;

   protected:
    ~Listener() = default;
  };

  Socket() noexcept = default;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Takes an accepted, non-blocking descriptor. False: it cannot be polled, and nothing is open.
  [[nodiscard]] bool open(uv_loop_t& loop, shm::Fd fd, Listener& listener) noexcept;
  // What to be told of from now on, until asked for something else.
  void want(bool readable, bool writable) noexcept;

  enum class Heard : uint8_t { kBytes, kNothing, kEnd, kBroken };
  // What the client sent, at most `into.size()` bytes; `size` says how many for kBytes.
  [[nodiscard]] Heard receive(std::span<char> into, size_t& size) noexcept;
  // Hands the pieces to the kernel; gives how many bytes it took, 0 when it has no room now, or -1:
  // broken. At most kMostPieces, those that are empty included.
  static constexpr size_t kMostPieces = 4;
  [[nodiscard]] ssize_t send(std::span<const Bytes> pieces) noexcept;
  // Bytes of those that the client has not acknowledged yet; 0 when that is not known.
  [[nodiscard]] size_t unacknowledged() const noexcept;
  // Tells the client that nothing more comes. False: it is gone.
  [[nodiscard]] bool end_sending() noexcept;
  // With a reset: what the client has not read yet it need not get.
  void close(bool with_reset) noexcept;

  // Of our end; family AF_UNSPEC when unknown.
  [[nodiscard]] sockaddr_storage own_address() const noexcept;

 private:
  void on_poll(int status, int events) noexcept;
  void on_hint() noexcept;

  shm::Fd fd_;
  uint8_t wanted_ = 0;  // UV_READABLE, UV_WRITABLE
  bool failed_ = false;
  bool ended_ = false;  // the client's end was read
  Listener* listener_ = nullptr;
  uv_poll_t poll_{};
};

}  // namespace sluice
