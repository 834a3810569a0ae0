// worker/deadlines.cc -- the wheel's buckets are doubly linked lists, by tick; see deadlines.h.
#include "worker/deadlines.h"

#include <algorithm>

#include "protocol/limits.h"

namespace sluice {

uint64_t Deadlines::tick_for(uint64_t due_ms) const noexcept {
  // Rounded up, so that the tick has wholly passed when it is run (T1).
  const uint64_t tick = due_ms / kTickMs + 1;
  return std::clamp(tick, done_ + 1, done_ + kBuckets - 1);
}

void Deadlines::link(Timed& timed, uint64_t tick) noexcept {
  Timed*& head = buckets_[tick % kBuckets];
  timed.tick_ = tick;
  timed.previous_ = nullptr;
  timed.next_ = head;
  if (head != nullptr) head->previous_ = &timed;
  head = &timed;
  ++count_;
  first_ = std::min(first_, tick);
}

void Deadlines::unlink(Timed& timed) noexcept {
  if (walking_ == &timed) walking_ = timed.next_;
  if (timed.previous_ != nullptr) {
    timed.previous_->next_ = timed.next_;
  } else {
    buckets_[timed.tick_ % kBuckets] = timed.next_;
  }
  if (timed.next_ != nullptr) timed.next_->previous_ = timed.previous_;
  timed.previous_ = timed.next_ = nullptr;
  timed.tick_ = kNever;
  --count_;
}

void Deadlines::set(Timed& timed, uint64_t due_ms) noexcept {
  if (due_ms == kNever) return clear(timed);
  timed.due_ms_ = due_ms;
  const uint64_t tick = tick_for(due_ms);
  if (timed.tick_ != kNever) {
    if (timed.tick_ <= tick) return;  // T2
    unlink(timed);
  }
  link(timed, tick);
}

void Deadlines::clear(Timed& timed) noexcept {
  timed.due_ms_ = kNever;
  if (timed.tick_ != kNever) unlink(timed);
}

void Deadlines::run(uint64_t now_ms) noexcept {
  const uint64_t now = now_ms / kTickMs;
  uint32_t acted_on = 0;
  while (done_ < now) {
    if (count_ == 0 || first_ > now) {
      done_ = now;
      break;
    }
    done_ = std::max(done_ + 1, std::min(first_, now));
    const uint64_t tick = done_;
    walking_ = buckets_[tick % kBuckets];
    while (walking_ != nullptr) {
      Timed& timed = *walking_;
      walking_ = timed.next_;
      const uint64_t due_ms = timed.due_ms_;
      unlink(timed);
      if (due_ms > now_ms) {
        link(timed, tick_for(due_ms));
      } else {
        timed.due_ms_ = kNever;
        timed.on_deadline(now_ms);
        if (++acted_on < limits::kDeadlinesPerTurn || walking_ == nullptr) continue;
        walking_ = nullptr;
        done_ = tick - 1;  // the others of this tick are due still
        return;
      }
    }
    if (first_ <= tick) first_ = count_ == 0 ? kNever : tick + 1;
  }
}

uint64_t Deadlines::next_run_ms() noexcept {
  if (count_ == 0) return kNever;
  first_ = std::max(first_, done_ + 1);
  while (first_ < done_ + kBuckets && buckets_[first_ % kBuckets] == nullptr) ++first_;
  return first_ * kTickMs;
}

}  // namespace sluice
