// tests/model/ready_worker.h -- a worker that looks at the reply rings its bitmap names, and a consumer
// that replies: as worker/dispatcher.cc and ChannelLayer::reply() do it. Each queue is a reply ring.
#pragma once

#include "shm/ready_bitmap.h"
#include "tests/model/sleeper.h"

namespace sluice::weak {

inline constexpr uint32_t kReadyWords = kMoreWords + 3;  // top, middle[2], bottom[3]

// As layout.h's, with the few words that the slots in use need.
struct Bitmap {
  Atomic<uint64_t> top{kReadyWords};
  struct Middle {
    std::array<Atomic<uint64_t>, 2> words{Atomic<uint64_t>(kReadyWords + 1),
                                          Atomic<uint64_t>(kReadyWords + 2)};
    Atomic<uint64_t>& operator[](uint32_t index) { return words[index]; }
  } middle;
  struct Bottom {
    std::array<Atomic<uint64_t>, 3> words{Atomic<uint64_t>(kReadyWords + 3),
                                          Atomic<uint64_t>(kReadyWords + 4),
                                          Atomic<uint64_t>(kReadyWords + 5)};
    Atomic<uint64_t>& operator[](uint32_t index) { return words[index == 64 ? 2 : index]; }
  } bottom;
};
inline Bitmap bitmap;

// The slots whose rings are queue 0 and queue 1; the second is the scenario's.
inline uint32_t slot_of(uint32_t queue) { return queue == 0 ? 0 : scenario().setting; }
constexpr uint8_t kReady = 20, kLooking = 21;  // operations

inline void set_ready(Process& p, uint32_t queue) {
  p.operation(kReady, 0, [&] {
    shm::set_ready_bits(bitmap, slot_of(queue));
    return uint64_t{0};
  });
}

inline void reply(Process& p, uint32_t queue, shm::BlockIndex block) {
  if (!push(p, queue, block)) return;
  set_ready(p, queue);
  ring(p);
}

// The queue of the next ready slot, or kQueues. What the scan holds goes through the result.
inline uint32_t next_ring(Process& p, shm::ReadyScan& scan) {
  const uint64_t result = p.operation(kLooking, 0, [&] {
    const std::optional<uint32_t> slot = shm::next_ready(bitmap, scan, UINT32_MAX);
    const uint64_t queue = !slot ? kQueues : *slot == slot_of(0) ? 0 : 1;
    return queue | scan.top_bits << 8 | scan.middle_bits << 16 | scan.bottom_bits << 24 |
           uint64_t{scan.middle_index} << 32 | uint64_t{scan.bottom_index} << 40;
  });
  scan = {result >> 8 & 0xff, result >> 16 & 0xff, result >> 24 & 0xff,
          static_cast<uint32_t>(result >> 32 & 0xff), static_cast<uint32_t>(result >> 40 & 0xff)};
  return static_cast<uint32_t>(result & 0xff);
}

inline void work(Process& p, uint32_t replies) {
  shm::ReadyScan scan;
  for (;;) {
    const uint32_t queue = next_ring(p, scan);
    if (queue != kQueues) {
      while (pop(p, queue) != shm::kNoBlock) --replies;
      continue;
    }
    if (replies == 0) return;
    say_asleep(p, shm::kAsleepInPoll);
    const bool anything =
        p.operation(kLooking, 1, [&] { return uint64_t{shm::any_ready(bitmap, scan)}; });
    sleep_in_poll(p, anything);
  }
}

// As Recovery::ring_all().
inline void ring_all(Process& p) {
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    if (!looks_empty(p, queue)) set_ready(p, queue);
  }
  ring_surely(p);
}

}  // namespace sluice::weak
