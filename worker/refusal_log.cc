// worker/refusal_log.cc -- see the header.
#include "worker/refusal_log.h"

#include <utility>

#include "protocol/limits.h"
#include "worker/log.h"

namespace sluice {

void RefusalLog::tell(uint64_t now_ms, const Refusal& refusal, std::string_view client,
                      std::string_view origin) noexcept {
  if (now_ms < next_ms_) {
    ++untold_;
    return;
  }
  next_ms_ = now_ms +
             static_cast<uint64_t>(std::chrono::milliseconds(limits::kRefusalLogInterval).count());
  const uint64_t untold = std::exchange(untold_, 0);
  if (origin.empty()) {
    log_event(LogLevel::kInfo, "request_refused",
              {{"status", refusal.status}, {"why", refusal.reason}, {"client", client}, {"untold", untold}});
  } else {
    log_event(LogLevel::kInfo, "request_refused",
              {{"status", refusal.status},
               {"why", refusal.reason},
               {"client", client},
               {"untold", untold},
               {"origin", origin}});  // last: it may be as long as a line of a head
  }
}

}  // namespace sluice
