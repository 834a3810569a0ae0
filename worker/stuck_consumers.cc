// worker/stuck_consumers.cc -- see stuck_consumers.h.
#include "worker/stuck_consumers.h"

#include <algorithm>

#include "worker/log.h"

namespace sluice {
namespace {

using enum std::memory_order;

constexpr uint64_t kLooks = 4;  // within the time-out: it is exceeded by a quarter at most

// How much was ever taken from an inbox.
uint64_t taken_by(const shm::Segment& segment, shm::ProcessIndex consumer) noexcept {
  return segment.inbox_ends(consumer).head.load(relaxed);  // a count
}

}  // namespace

StuckConsumers::StuckConsumers(shm::ChannelLayer& layer, Deadlines& deadlines,
                               std::chrono::milliseconds timeout)
    : layer_(layer),
      deadlines_(deadlines),
      timeout_ms_(static_cast<uint64_t>(timeout.count())),
      every_ms_(std::max<uint64_t>(timeout_ms_ / kLooks, 1)) {}

void StuckConsumers::sent_to(shm::ProcessName consumer, uint64_t now_ms) noexcept {
  for (const Watched& watched : watched_) {
    if (watched.name == consumer) return;
  }
  watched_.push_back({consumer, taken_by(layer_.segment(), consumer.index), now_ms, false});
  if (watched_.size() == 1) deadlines_.set(*this, now_ms + every_ms_);
}

bool StuckConsumers::is_stuck(shm::ProcessName consumer) const noexcept {
  const shm::ProcessRecord* record = layer_.segment().process(consumer.index);
  return record != nullptr && record->stuck.load(relaxed) != 0;  // a hint, looked at again and again
}

void StuckConsumers::on_deadline(uint64_t now_ms) noexcept {
  std::erase_if(watched_, [&](Watched& watched) { return !look(watched, now_ms); });
  if (!watched_.empty()) deadlines_.set(*this, now_ms + every_ms_);
}

bool StuckConsumers::look(Watched& watched, uint64_t now_ms) noexcept {
  const shm::Segment& segment = layer_.segment();
  if (!layer_.processes().is_live(watched.name)) return false;
  shm::ProcessRecord& record = *segment.process(watched.name.index);
  const uint64_t head = taken_by(segment, watched.name.index);
  const bool empty = segment.inbox(watched.name.index).empty();
  if (empty || head != watched.head) {
    if (std::exchange(watched.stuck, false)) {
      log_event(LogLevel::kInfo, "consumer_takes_again", {{"row", watched.name.index}});
    }
    record.stuck.store(0, relaxed);
    watched.head = head;
    watched.since_ms = now_ms;
    return !empty;
  }
  if (watched.stuck || now_ms < watched.since_ms + timeout_ms_) return true;
  watched.stuck = news_ = true;
  uint32_t expected = 0;
  if (record.stuck.compare_exchange_strong(expected, 1, relaxed)) {  // a hint: nothing hangs on its order
    log_event(LogLevel::kWarning, "consumer_stuck",
              {{"row", watched.name.index},
               {"pid", record.pid.load(relaxed)},
               {"unread", segment.inbox(watched.name.index).depth()}});
  }
  return true;
}

}  // namespace sluice
