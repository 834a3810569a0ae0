// shm/sweep.h -- what recovery does with one block after a death: by its stamp, and by nothing else.
//
// Recovery::sweep() walks every block's stamp through here; tests/model walks it beside the living,
// twice at once, and dying on the way (recovery.h R1).
#pragma once

#include <atomic>

#include "shm/block_layout.h"
#include "shm/crash_point.h"

namespace sluice::shm {

enum class Swept : uint8_t {
  kLeft,       // not the dead one's, or published and the living's to take
  kTaken,      // in our hands now; `from` says which queue it last was for
  kWithdrawn,  // published, and to be delivered to nobody any more
};

// Queues: settle(queue) moves its head past what was taken; holds(queue, block): published there, asked
// after the stamp was read; is_request_of_dead(queue): published for nobody, now that its sender is dead.
template <class Envelope, class Queues>
[[nodiscard]] Swept sweep_block(Envelope& envelope, BlockIndex block, ProcessIndex dead,
                                ProcessIndex me, Queues& queues, uint32_t& from) {
  using enum std::memory_order;
  const Stamp stamp{envelope.stamp.load(acquire)};  // [S]
  uint64_t expected = stamp.word;
  const auto take = [&] {
    return envelope.stamp.compare_exchange_strong(expected, stamp.next(me, BlockState::kOwned).word,
                                                  acq_rel, relaxed)
               ? Swept::kTaken
               : Swept::kLeft;
  };
  from = queue_id(QueueKind::kNone, 0);
  if (stamp.owner() != dead) return Swept::kLeft;
  from = envelope.queue.load(relaxed);  // written before the stamp
  if (stamp.state() == BlockState::kOwned) {
    queues.settle(from);  // Q5: it may have taken this and died before moving head on
    CRASH_POINT(sweep_settled);
    return take();
  }
  if (stamp.state() != BlockState::kQueued) return Swept::kLeft;
  if (!queues.holds(from, block)) return take();  // never published
  if (!queues.is_request_of_dead(from)) return Swept::kLeft;
  return envelope.stamp.compare_exchange_strong(
             expected, stamp.next(dead, BlockState::kWithdrawn).word, acq_rel, relaxed)
             ? Swept::kWithdrawn
             : Swept::kLeft;
}

}  // namespace sluice::shm
