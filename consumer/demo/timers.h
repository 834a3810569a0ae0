// consumer/demo/timers.h -- what is to be done later: answers that wait for their time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "protocol/channel_name.h"

namespace sluice::demo {

struct Later {
  enum class What : uint8_t { kStreamLine, kSleepAnswer };
  uint64_t due_ns = 0;
  What what{};
  ReplyAddress address{};
  uint32_t line = 0;   // stream: the next one, from 1
  uint32_t total = 0;  // stream: lines; sleep: milliseconds slept
  friend bool operator>(const Later& a, const Later& b) noexcept { return a.due_ns > b.due_ns; }
};

// A heap, the earliest on top.
class Timers {
 public:
  void add(const Later& later) {
    heap_.push_back(later);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
  }
  // The exchange is over.
  void cancel(const ReplyAddress& address) {
    if (std::erase_if(heap_, [&](const Later& later) { return later.address == address; }) != 0) {
      std::make_heap(heap_.begin(), heap_.end(), std::greater<>{});
    }
  }
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] uint64_t next_due_ns() const noexcept { return heap_.front().due_ns; }
  [[nodiscard]] Later take() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
    const Later later = heap_.back();
    heap_.pop_back();
    return later;
  }

 private:
  std::vector<Later> heap_;
};

}  // namespace sluice::demo
