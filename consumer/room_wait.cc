// consumer/room_wait.cc -- see room_wait.h.
#include "consumer/room_wait.h"

#include <algorithm>

#include "consumer/attachment.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {

RoomWait::~RoomWait() {
  if (deadline_ns_ == 0) return;
  attachment_.doorbell_.stay_awake();
  if (queue_ != nullptr) attachment_.layer_.stop_waiting_for_room(*queue_);
}

bool RoomWait::next(Error missing, shm::WaitingSenders* queue) noexcept {
  const bool full = missing == Error::kChannelFull || missing == Error::kOutOfBlocks;
  if (!full || wait_.count() <= 0) return false;
  attachment_.ring();  // what fills it may be what we did not ring for
  const uint64_t now = shm::now_ns();
  const bool waits = deadline_ns_ != 0;
  if (!waits) deadline_ns_ = now + static_cast<uint64_t>(wait_.count());
  if (now >= deadline_ns_) return false;
  const bool rung = missing == Error::kChannelFull && queue_ != nullptr;
  const std::chrono::nanoseconds most = rung ? limits::kBoundedSleep : limits::kLookForRoom;
  if (waits) {
    attachment_.doorbell_.sleep_in_futex(
        std::min(most, std::chrono::nanoseconds(deadline_ns_ - now)));
    ++attachment_.sleeps_;
  }
  if (queue_ != nullptr && queue_ != queue) attachment_.layer_.stop_waiting_for_room(*queue_);
  queue_ = queue;
  attachment_.doorbell_.fall_asleep_in_futex();
  if (queue_ != nullptr) attachment_.layer_.wait_for_room(*queue_);
  return true;
}

}  // namespace sluice
