// worker/access_log.cc -- see access_log.h.
#include "worker/access_log.h"

#include <cstring>
#include <ctime>
#include <utility>

#include "worker/header_field.h"
#include "worker/http_session.h"
#include "worker/log.h"

namespace sluice {
namespace {

// The clock of the loop, and finer: a request may be answered within the millisecond it came in.
uint64_t now_us() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

uint64_t began(uint64_t since_ms) noexcept { return since_ms == 0 ? now_us() : since_ms * 1000; }

}  // namespace

AccessLog::AccessLog(shm::Fd fd, bool json, uint32_t worker, Counters& counters, Retries& retries)
    : file_(std::move(fd)), json_(json), worker_(worker), counters_(counters), retries_(retries) {}

std::unique_ptr<AccessRecord> AccessLog::begin(const RequestHead& head, uint64_t since_ms) {
  std::string_view referer, user_agent;
  for (const HeaderField& field : head.headers) {
    if (field.name.size() == 7 && equals_lower(field.name, "referer")) referer = field.value;
    if (field.name.size() == 10 && equals_lower(field.name, "user-agent")) user_agent = field.value;
  }
  std::unique_ptr<AccessRecord> record = records_.take();
  record->began_us = began(since_ms);
  record->line.minor_version = head.minor_version;
  record->line.received = head.bytes;
  record->keep(head.method, head.target, referer, user_agent);
  return record;
}

std::unique_ptr<AccessRecord> AccessLog::begin(std::string_view line, uint64_t since_ms) {
  std::unique_ptr<AccessRecord> record = records_.take();
  record->began_us = began(since_ms);
  record->keep({}, line, {}, {});
  return record;
}

void AccessLog::end(std::unique_ptr<AccessRecord> record, std::string_view client,
                    int64_t unix_seconds) noexcept {
  AccessLine& line = record->line;
  const uint64_t now = now_us();
  line.duration_us = now > record->began_us ? now - record->began_us : 0;
  if (line.client.empty()) line.client = client;
  line.worker = worker_;
  tell_time(unix_seconds);
  if (char* const place = file_.begin_line(); place != nullptr) {
    const AccessLineSpace space(place, limits::kAccessLineBytes);
    file_.end_line(json_ ? write_json(line, time_.view(), space)
                         : write_combined(line, time_.view(), space));
  }
  records_.give_back(std::move(record));
}

void AccessLog::tell_time(int64_t unix_seconds) noexcept {
  if (unix_seconds == time_of_) return;
  time_of_ = unix_seconds;
  const time_t seconds = unix_seconds;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  time_ = json_ ? json_time(local) : combined_time(local);
}

void AccessLog::flush(uint64_t now_ms) noexcept {
  // What waits for room is tried by retry(), not in every turn.
  if (!file_.empty() && !file_.waits() && !file_.flush()) retries_.add(*this);
  if (file_.lost() != told_) tell_losses(now_ms);
}

void AccessLog::finish(uint64_t now_ms) noexcept {
  file_.finish();
  if (file_.lost() != told_) tell_losses(now_ms);
}

void AccessLog::tell_losses(uint64_t now_ms) noexcept {
  counters_.add(Counter::kAccessLinesLost, file_.lost() - counted_);
  counted_ = file_.lost();
  if (now_ms < tell_at_ms_) return;
  log_event(LogLevel::kWarning, "access_log_lines_lost",
            {{"lines", counted_ - told_}, {"why", ::strerror(file_.error())}});
  told_ = counted_;
  tell_at_ms_ = now_ms + static_cast<uint64_t>(std::chrono::milliseconds(limits::kAccessComplaint).count());
}

}  // namespace sluice
