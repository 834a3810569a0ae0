// gateway/realms.h -- which segment the gateway works on now, which takes its place, which are left.
//
// G1  A segment beyond repair is replaced (decisions.md 13): another is made, with workers of its own
//     on the same listening sockets. When all of them accept, consumers are hung up on, so that they
//     attach to it, and the old workers drain, closing WebSockets with 1012.
// G2  Until then the old one serves on, as well as it can: no client waits for the new one.
// G3  The old segment, its arenas and doorbells are gone when its last worker is.
// G4  One consumer's scribbling costs the others little: a segment that did not live long is replaced
//     later each time (limits::kReplaceDelay).
#pragma once

#include <uv.h>

#include <list>
#include <memory>
#include <string>

#include "gateway/back_off.h"
#include "gateway/loop.h"
#include "gateway/realm.h"

namespace sluice {

class Realms final : Realm::Events {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_workers_ready() noexcept = 0;  // once
    virtual void on_attached() noexcept = 0;
    virtual void on_workers_gone() noexcept = 0;  // after drain() or quit()
    virtual void on_workers_failed() noexcept = 0;
  };

  // All outlive us. Throws std::system_error, std::runtime_error.
  Realms(uv_loop_t& loop, const Options& options, const Listeners& listeners,
         const AccessLogFile& access_log, Events& events);
  ~Realms() override;
  Realms(const Realms&) = delete;
  Realms& operator=(const Realms&) = delete;

  void start() noexcept { current_->start(); }
  void roll() noexcept { current_->roll(); }
  // It was opened anew: to every worker, those that drain too.
  void show_access_log() noexcept;
  // No other segment from now on; on_workers_gone() follows.
  void drain() noexcept {
    leave([](Realm& realm) { realm.drain(shm::AttachWord::kDrain); });
  }
  void quit() noexcept {
    leave([](Realm& realm) { realm.quit(); });
  }
  [[nodiscard]] uint32_t attached() const noexcept { return current_->attached(); }

 private:
  void on_workers_ready(Realm& realm) noexcept override;
  void on_attached(Realm& realm) noexcept override;
  void on_workers_gone(Realm& realm) noexcept override;
  void on_workers_failed(Realm& realm) noexcept override;
  void on_damage(Realm& realm, const char* found) noexcept override;
  void on_forked(Realm& realm) noexcept override;

  [[nodiscard]] std::unique_ptr<Realm> make_realm();
  void make_next() noexcept;
  void change_over() noexcept;
  void give_up_next(const char* why) noexcept;
  void leave(void (*how)(Realm&)) noexcept;
  void bury() noexcept;
  template <class Visit>
  void for_each(Visit visit) noexcept;

  uv_loop_t& loop_;
  const Options& options_;
  const Listeners& listeners_;
  const AccessLogFile& access_log_;
  Events& events_;
  std::unique_ptr<Realm> current_;          // never null
  std::unique_ptr<Realm> next_;             // being started, to take its place
  std::list<std::unique_ptr<Realm>> left_;  // their workers drain
  std::list<std::unique_ptr<Realm>> gone_;  // to be destroyed on a turn of their own
  bool damaged_ = false;                    // current_; said, and being seen to
  bool leaving_ = false;
  bool current_gone_ = false;  // its workers, at the end
  BackOff back_off_;
  Timer replace_;
  Timer bury_;
};

}  // namespace sluice
