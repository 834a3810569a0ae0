// worker/refusal_log.cc -- see the header.
#include "worker/refusal_log.h"

#include <utility>

#include "protocol/limits.h"
#include "worker/log.h"

namespace sluice {

void RefusalLog::tell(uint64_t now_ms, const Refusal& refusal, std::string_view client) noexcept {
  if (now_ms < next_ms_) {
    ++untold_;
    return;
  }
  next_ms_ = now_ms +
             static_cast<uint64_t>(std::chrono::milliseconds(limits::kRefusalLogInterval).count());
  log_event(LogLevel::kInfo, "request_refused",
            {{"status", refusal.status},
             {"why", refusal.reason},
             {"client", client},
             {"untold", std::exchange(untold_, 0)}});
}

}  // namespace sluice
