// worker/second_ring.h -- for requests whose reader was rung and does not come.
//
// One ring wakes one reader of a channel, and that one wakes the next if it leaves something. If it stands
// still (SIGSTOP, a debugger, a machine that swaps) its inbox is empty, so it never counts as stuck, and
// what was pushed with its ring would lie there until something else is, though others sleep. So a
// channel is looked at again a while after it was rung for, until nothing lies there or nobody sleeps for it.
#pragma once

#include <algorithm>
#include <vector>

#include "protocol/limits.h"
#include "shm/channel_layer.h"
#include "worker/deadlines.h"

namespace sluice {

class SecondRing final : public Timed {
 public:
  SecondRing(shm::ChannelLayer& layer, Deadlines& deadlines) noexcept : layer_(layer), deadlines_(deadlines) {}

  // Rings for all that was sent. The second ring follows by itself.
  void ring(uint64_t now_ms) noexcept {
    for (const uint32_t channel : layer_.channels_to_ring()) {
      if (std::ranges::find(rung_, channel) != rung_.end()) continue;
      if (rung_.empty()) wait(now_ms);
      rung_.push_back(channel);  // a worker sends on a handful
    }
    layer_.ring();
  }

  void on_deadline(uint64_t now_ms) noexcept override {
    std::erase_if(rung_, [this](uint32_t channel) { return !layer_.ring_for_unread(channel); });
    if (!rung_.empty()) wait(now_ms);
  }

 private:
  void wait(uint64_t now_ms) noexcept {
    deadlines_.set(*this, now_ms + static_cast<uint64_t>(limits::kSecondRing.count()));
  }

  shm::ChannelLayer& layer_;
  Deadlines& deadlines_;
  std::vector<uint32_t> rung_;  // and not looked at since; the deadline is set while there are any
};

}  // namespace sluice
