// worker/acceptor.h -- one inherited listening socket, polled or left alone.
//
// A1  The inherited descriptor stays as it is: what is polled is a duplicate, so stopping closes no
//     socket, and the master's accept queue goes on filling for whoever polls next.
// A2  A bounded number of clients is accepted in a turn, so that those who are in get theirs.
// A3  Descriptors used up: a client is accepted with one kept back for that, and hung up on, so the loop
//     never spins. The table's bound, below the limit of descriptors, says 503 before it comes to that.
#pragma once

#include <uv.h>

#include "shm/fd.h"
#include "worker/connection.h"
#include "worker/worker.h"

namespace sluice {

// Owner     the worker; outlives its loop's last turn.
class Acceptor {
 public:
  Acceptor(uv_loop_t& loop, ConnectionTable& connections, const InheritedListener& listener) noexcept
      : loop_(loop), connections_(connections), listener_(listener) {}
  ~Acceptor() { stop(); }
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Any number of times. False: it cannot be polled, which is logged.
  bool start() noexcept;
  void stop() noexcept;
  [[nodiscard]] bool polls() const noexcept { return polled_ != nullptr; }

 private:
  struct Polled;  // libuv's handle: lives until it says it is closed

  void accept() noexcept;
  void shed_one() noexcept;

  uv_loop_t& loop_;
  ConnectionTable& connections_;
  const InheritedListener& listener_;
  shm::Fd kept_back_;  // A3
  Polled* polled_ = nullptr;
};

}  // namespace sluice
