// worker/refusal_log.h -- requests refused, by their reason, in the log: a few lines, whatever clients do.
#pragma once

#include <cstdint>
#include <string_view>

#include "worker/http_session.h"

namespace sluice {

// One line in limits::kRefusalLogInterval; the next one says how many there were between. All of them
// are counted elsewhere (worker/counters.h). Thread: the loop's.
class RefusalLog {
 public:
  // `client` is an address, "" for a unix socket; `origin` where that is the reason. Both are escaped.
  void tell(uint64_t now_ms, const Refusal& refusal, std::string_view client,
            std::string_view origin = {}) noexcept;

 private:
  uint64_t next_ms_ = 0;  // when the next line may be written
  uint64_t untold_ = 0;   // since the last line
};

}  // namespace sluice
