// worker/access_log.h -- the access log of one worker: a line for each exchange that is over.
//
// G1  Bounded cost: lines are gathered in a buffer of the worker's own and written once a turn of the loop,
//     or when it is full. Nothing allocates in steady state; the time is formatted once a second.
// G2  It never keeps the loop waiting: lines that cannot be written are lost, counted, and spoken of once in
//     limits::kAccessComplaint (worker/line_file.h).
// G3  What is remembered of a request is what its line can show, and only while there is a log.
#pragma once

#include <memory>
#include <string_view>

#include "worker/access_line.h"
#include "worker/counters.h"
#include "worker/exchange.h"
#include "worker/line_file.h"
#include "worker/retries.h"

namespace sluice {

struct RequestHead;

// Owner     the worker; Workplace::access_log points here, or is null: no log.
// Borrows   counters and retries, which outlive it.   Thread  the loop's.
class AccessLog final : private Retrying {
 public:
  AccessLog(shm::Fd fd, bool json, uint32_t worker, Counters& counters, Retries& retries);

  // Of a request whose first byte came at `since_ms` of the loop's clock; 0: just now.
  [[nodiscard]] std::unique_ptr<AccessRecord> begin(const RequestHead& head, uint64_t since_ms);
  // Of one that was not understood; `line` is what came of its first line.
  [[nodiscard]] std::unique_ptr<AccessRecord> begin(std::string_view line, uint64_t since_ms);
  // Adds the line, now: worker, duration and, where the record keeps none, `client` are filled in.
  void end(std::unique_ptr<AccessRecord> record, std::string_view client, int64_t unix_seconds) noexcept;

  // At the end of a turn of the loop: writes, and says what was lost.
  void flush(uint64_t now_ms) noexcept;
  // At the end of the worker: what cannot be written now is lost, and counted.
  void finish(uint64_t now_ms) noexcept;
  // The log was moved away, and this is the new one.
  void reopen(shm::Fd fd) noexcept { file_.become(std::move(fd)); }

 private:
  [[nodiscard]] bool retry() noexcept override { return file_.flush(); }
  void tell_time(int64_t unix_seconds) noexcept;
  void tell_losses(uint64_t now_ms) noexcept;

  LineFile file_;
  const bool json_;
  const uint32_t worker_;
  Counters& counters_;
  Retries& retries_;
  FreeList<AccessRecord> records_;
  AccessTime time_;
  int64_t time_of_ = -1;  // what time_ shows
  uint64_t counted_ = 0;  // lines lost, as the counter has them
  uint64_t told_ = 0;     // as the log has
  uint64_t tell_at_ms_ = 0;
};

}  // namespace sluice
