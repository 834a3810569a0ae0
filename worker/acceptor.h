// worker/acceptor.h -- one inherited listening socket, polled or left alone.
//
// A1  The inherited descriptor stays as it is: what is polled is a duplicate, so stopping closes no
//     socket, and the master's accept queue goes on filling for whoever polls next.
// A2  A bounded number of clients is accepted in a turn, so that those who are in get theirs.
// A3  Descriptors used up: a client is accepted with one kept back for that, told 503 and hung up on. The
//     table's bound, below the limit of descriptors we started with, says so before it comes to that.
// A4  Where not even that can be done, accepting rests for a while: the loop never spins, and those who
//     come wait in the listener's queue.
#pragma once

#include <uv.h>

#include "shm/fd.h"
#include "worker/connection_table.h"
#include "worker/worker.h"

namespace sluice {

// Owner     the worker; outlives its loop's last turn.
class Acceptor final : private Timed {
 public:
  Acceptor(Workplace& place, ConnectionTable& connections, const InheritedListener& listener) noexcept
      : place_(place), connections_(connections), listener_(listener) {}
  ~Acceptor() { stop(); }

  // Any number of times. False: it cannot be polled, which is logged.
  bool start() noexcept;
  void stop() noexcept;
  [[nodiscard]] bool polls() const noexcept { return polled_ != nullptr; }

 private:
  struct Polled;  // libuv's handle: lives until it says it is closed

  void on_deadline(uint64_t now_ms) noexcept override;  // the rest is over
  [[nodiscard]] int poll() noexcept;
  void accept() noexcept;
  [[nodiscard]] shm::Fd accept_one(sockaddr_storage& name) noexcept;
  [[nodiscard]] bool shed_one() noexcept;
  void rest() noexcept;

  Workplace& place_;
  ConnectionTable& connections_;
  const InheritedListener& listener_;
  shm::Fd kept_back_;  // A3
  Polled* polled_ = nullptr;
};

}  // namespace sluice
