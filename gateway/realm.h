// gateway/realm.h -- one segment and everybody on it: its workers, its consumers, what its dead held.
//
// E1  Whoever is proven dead is recovered in the turn of the loop that hears of it; what has to wait
//     is looked at again by a timer, and only while there is something.
// E2  The header is compared with what we wrote whenever a process comes or goes, and when a worker
//     says it is damaged: what follows is for gateway/realms.h.
#pragma once

#include <uv.h>

#include <memory>

#include "gateway/control.h"
#include "gateway/farewells.h"
#include "gateway/listener.h"
#include "gateway/loop.h"
#include "gateway/options.h"
#include "gateway/shared_memory.h"
#include "gateway/workers.h"

namespace sluice {

class Realm final : Workers::Events, Control::Events {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_workers_ready(Realm& realm) noexcept = 0;  // once
    virtual void on_attached(Realm& realm) noexcept = 0;
    virtual void on_workers_gone(Realm& realm) noexcept = 0;  // after leaving; nothing of it runs
    virtual void on_workers_failed(Realm& realm) noexcept = 0;
    // Its segment is beyond repair; `found` names what was seen. Again and again.
    virtual void on_damage(Realm& realm, const char* found) noexcept = 0;
    // In a process just forked: let go of every other realm's memory.
    virtual void on_forked(Realm& realm) noexcept = 0;
  };

  // All outlive us. Throws std::system_error. Nobody can attach before open().
  Realm(uv_loop_t& loop, const Options& options, const Listeners& listeners,
        const AccessLogFile& access_log, Events& events);
  Realm(const Realm&) = delete;
  Realm& operator=(const Realm&) = delete;

  void start() noexcept { workers_.start(); }
  // From now on consumers attach here.
  void open(std::unique_ptr<ControlSocket> socket) { control_.open(std::move(socket)); }
  // Hangs up on every consumer, so that it attaches anew; gives the socket for that.
  [[nodiscard]] std::unique_ptr<ControlSocket> close() noexcept { return control_.close(); }
  void roll() noexcept { workers_.roll(); }
  void show_access_log() noexcept { workers_.show_access_log(); }  // it was opened anew
  // Workers finish what is open and leave; on_workers_gone() follows. `how` is kDrain or kGiveUp.
  void drain(shm::AttachWord how) noexcept;
  void quit() noexcept;

  [[nodiscard]] uint32_t attached() const noexcept { return control_.attached(); }
  [[nodiscard]] uint64_t made_ms() const noexcept { return made_ms_; }
  [[nodiscard]] SharedMemory& memory() noexcept { return memory_; }
  // Tells on_damage() if there is any.
  void look_for_damage() noexcept;

 private:
  void on_workers_ready() noexcept override { events_.on_workers_ready(*this); }
  void on_worker_dead(shm::ProcessName worker) noexcept override;
  void on_workers_gone() noexcept override { events_.on_workers_gone(*this); }
  void on_workers_failed() noexcept override { events_.on_workers_failed(*this); }
  void on_damage() noexcept override { look_for_damage(); }
  void on_forked() noexcept override;
  void on_hello() noexcept override { look_for_damage(); }
  void on_arena(shm::ProcessName consumer) noexcept override { workers_.show_arena(consumer); }
  void on_attached() noexcept override { events_.on_attached(*this); }
  void on_consumer_dead(shm::ProcessName consumer) noexcept override { recover(consumer); }

  void attach_no_more() noexcept;
  void recover(shm::ProcessName dead) noexcept;
  void advance_recovery() noexcept;

  Events& events_;
  uint64_t made_ms_;  // monotonic
  SharedMemory memory_;
  Timer recovery_;
  std::chrono::milliseconds recovery_interval_{};
  Farewells farewells_;
  Control control_;
  Workers workers_;
};

}  // namespace sluice
