// gateway/master.h -- the master's loop: what comes from signals, workers, consumers and children,
// and what is done about it.
//
// A1  The master reads no client byte, and trusts nothing it finds in shared memory.
// A2  The end: workers leave first, then the demo consumers, then everything is closed and removed.
#pragma once

#include <uv.h>

#include <memory>
#include <string>

#include "gateway/access_log_file.h"
#include "gateway/children.h"
#include "gateway/listener.h"
#include "gateway/loop.h"
#include "gateway/options.h"
#include "gateway/realms.h"

namespace sluice {

class Master final : Realms::Events {
 public:
  // All outlive us. Throws std::system_error, std::runtime_error.
  Master(const Options& options, Listeners& listeners, AccessLogFile& access_log);
  ~Master() override;
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;

  // Until it ends; gives the exit code (README.md).
  [[nodiscard]] int run();

 private:
  // Owns the loop, so that it is closed after everything that lives on it.
  struct Loop {
    Loop();
    ~Loop();
    uv_loop_t loop{};
  };

  void on_workers_ready() noexcept override;
  void on_workers_gone() noexcept override;
  void on_workers_failed() noexcept override;
  void on_attached() noexcept override;

  void say_ready() noexcept;
  void on_signal(int number) noexcept;
  void drain() noexcept;
  void leave_now() noexcept;

  const Options& options_;
  Listeners& listeners_;
  AccessLogFile& access_log_;
  Loop loop_;
  shm::Fd signals_;
  std::unique_ptr<Poll> signal_poll_;
  Realms realms_;
  std::unique_ptr<Children> children_;
  Timer ready_;  // the demo consumers take too long: ready without them
  bool workers_ready_ = false;
  bool said_ready_ = false;
  enum class Phase : uint8_t { kRunning, kDraining, kLeavingNow } phase_ = Phase::kRunning;
  int interrupts_ = 0;
  int exit_code_ = 0;
};

}  // namespace sluice
