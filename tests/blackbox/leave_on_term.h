// tests/blackbox/leave_on_term.h -- a test's consumer ends on SIGTERM, whatever it waits for.
#pragma once

#include <csignal>

#include "consumer/consumer.h"

namespace sluice::tests {

// One in a process; made after its consumer, and gone before it. From then on SIGTERM is ignored: the
// consumer is gone before the process is.
class LeaveOnTerm {
 public:
  explicit LeaveOnTerm(Consumer& consumer) noexcept {
    stopped_ = &consumer;
    struct sigaction leave {};
    leave.sa_handler = [](int) {
      asked_ = 1;
      stopped_->interrupt();  // no harm when it has left
    };
    ::sigaction(SIGTERM, &leave, nullptr);
  }
  ~LeaveOnTerm() { std::signal(SIGTERM, SIG_IGN); }
  LeaveOnTerm(const LeaveOnTerm&) = delete;
  LeaveOnTerm& operator=(const LeaveOnTerm&) = delete;

  [[nodiscard]] static bool asked() noexcept { return asked_ != 0; }

 private:
  static inline Consumer* stopped_ = nullptr;
  static inline volatile std::sig_atomic_t asked_ = 0;
};

}  // namespace sluice::tests
