// worker/succession.h -- the master is dead: who else dies is seen here, and the lowest living worker
// runs recovery in its place (decisions.md 27).
//
// U1  A process is dead when its pidfd says so, or when there is none by the number and start time its
//     row names: a consumer that left for good takes its number out (consumer/attachment.cc).
// U2  Every worker watches everybody. The one in the lowest row of those that live recovers; when it
//     goes, the next one recovers it, and once more whoever died before (shm/recovery.h R1).
// U3  Disconnects of workers that die now are not sent: consumers saw the master's hang-up, and make
//     them up (consumer/README.md).
#pragma once

#include <uv.h>

#include <memory>
#include <vector>

#include "shm/fd.h"
#include "shm/recovery.h"

namespace sluice {

class Succession {
 public:
  // `layer` is the worker's own; both outlive us. Never destroyed once begun: libuv points into it.
  Succession(uv_loop_t& loop, shm::ChannelLayer& layer) : loop_(loop), layer_(layer), recovery_(layer) {}
  Succession(const Succession&) = delete;
  Succession& operator=(const Succession&) = delete;

  // The master hung up. Once.
  void begin() noexcept;
  // Once a turn of the loop: consumers that left.
  void look() noexcept;

 private:
  struct Watched {
    Succession* succession = nullptr;
    shm::ProcessName name;
    shm::Fd pidfd;
    uv_poll_t poll{};
    bool dead = false;
    bool recovered = false;  // by us
  };

  void watch(shm::ProcessName name) noexcept;
  void on_death(Watched& watched) noexcept;
  void recover() noexcept;
  void advance() noexcept;
  [[nodiscard]] bool lowest() const noexcept;

  uv_loop_t& loop_;
  shm::ChannelLayer& layer_;
  shm::Recovery recovery_;
  bool begun_ = false;
  std::vector<std::unique_ptr<Watched>> watched_;  // by row, the lowest first
  uv_timer_t again_{};
  uint64_t interval_ms_ = 0;
};

}  // namespace sluice
