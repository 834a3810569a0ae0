// worker/second_ring.h -- for requests whose reader was rung and does not come.
//
// One ring wakes one reader of a channel, and that one wakes the next if it leaves something. If it stands
// still (SIGSTOP, a debugger, a machine that swaps) its inbox is empty, so it never counts as stuck, and
// what was pushed with its ring would lie there until something else is, though others sleep. So a
// channel is looked at again a while after it was rung for, until it was seen empty.
#pragma once

#include "protocol/limits.h"
#include "shm/channel_layer.h"
#include "worker/deadlines.h"

namespace sluice {

class SecondRing final : public Timed {
 public:
  SecondRing(shm::ChannelLayer& layer, Deadlines& deadlines) noexcept : layer_(layer), deadlines_(deadlines) {}

  // Rings for all that was sent. The second ring follows by itself.
  void ring(uint64_t now_ms) noexcept {
    layer_.ring();
    if (!waits_ && layer_.may_be_unread()) wait(now_ms);
  }

  void on_deadline(uint64_t now_ms) noexcept override {
    waits_ = false;
    if (layer_.ring_for_unread()) wait(now_ms);
  }

 private:
  void wait(uint64_t now_ms) noexcept {
    waits_ = true;
    deadlines_.set(*this, now_ms + static_cast<uint64_t>(limits::kSecondRing.count()));
  }

  shm::ChannelLayer& layer_;
  Deadlines& deadlines_;
  bool waits_ = false;  // the deadline is set
};

}  // namespace sluice
