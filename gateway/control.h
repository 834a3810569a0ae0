// gateway/control.h -- the socket consumers attach on; who is alive. Speaks shm/attach.h.
//
// T1  Only processes of our user, or root, get further than the connect.
// T2  What a consumer says is input: a packet out of turn or malformed ends its connection, and
//     nothing here ever waits for one.
// T3  A hang-up ends new work for a consumer at once. What it held is taken back when it is proven
//     dead, or, if it lives on, once it has no longer mapped its arena for writing (a detach).
// T4  An arena is sealed, and shown to every worker, before its consumer hears that it is attached.
//     Nobody else is given one that is not sealed yet.
// T5  An observer gets the segment for reading only, no row, and no more time than an attach.
#pragma once

#include <uv.h>

#include <list>
#include <memory>
#include <string>

#include "gateway/control_socket.h"
#include "gateway/loop.h"
#include "gateway/shared_memory.h"
#include "shm/attach.h"

namespace sluice {

class Control {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_hello() noexcept = 0;  // somebody asks to attach
    // Sealed: the workers must hear of it now (T4).
    virtual void on_arena(shm::ProcessName consumer) noexcept = 0;
    virtual void on_attached() noexcept = 0;
    // Will never touch shared memory again.
    virtual void on_consumer_dead(shm::ProcessName consumer) noexcept = 0;
  };

  // `events` and `memory` outlive us. Nobody can attach before open(). Throws std::system_error.
  Control(uv_loop_t& loop, SharedMemory& memory, Events& events, uint32_t max_consumers);
  // Hangs up on everybody.
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Accepts on this socket from now on. Throws std::system_error.
  void open(std::unique_ptr<ControlSocket> socket);
  // Accepts no more and hangs up on everybody; who lives on is watched until it has detached or died.
  [[nodiscard]] std::unique_ptr<ControlSocket> close() noexcept;
  // From now on attaching is refused with kDraining.
  void refuse_new() noexcept { draining_ = true; }
  [[nodiscard]] uint32_t attached() const noexcept;

 private:
  enum class State : uint8_t { kConnected, kObserving, kWelcomed, kAttached, kLeaving };
  struct Peer;

  void accept_all() noexcept;
  void accept_one(shm::Fd socket) noexcept;
  void on_readable(Peer& peer) noexcept;
  [[nodiscard]] bool take(Peer& peer, const shm::AttachPacket& packet) noexcept;  // false: end it
  [[nodiscard]] bool welcome(Peer& peer, const shm::AttachPacket& hello) noexcept;
  [[nodiscard]] bool attach(Peer& peer) noexcept;
  [[nodiscard]] bool show(Peer& peer, const shm::AttachPacket& observe) noexcept;
  [[nodiscard]] bool give_arena(Peer& peer, const shm::AttachPacket& want) noexcept;
  void refuse(Peer& peer, shm::RefusedWhy why) noexcept;
  void hang_up(Peer& peer) noexcept;
  void look_whether_detached(Peer& peer) noexcept;
  void on_death(Peer& peer) noexcept;
  void forget(Peer& peer) noexcept;
  [[nodiscard]] uint32_t free_number() const noexcept;

  uv_loop_t& loop_;
  SharedMemory& memory_;
  Events& events_;
  uint32_t max_consumers_;
  bool draining_ = false;
  std::unique_ptr<ControlSocket> socket_;
  std::unique_ptr<Poll> poll_;
  std::unique_ptr<Timer> accept_again_;
  std::list<std::unique_ptr<Peer>> peers_;  // oldest first
};

}  // namespace sluice
