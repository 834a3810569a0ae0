// shm/shares.h -- one payload that many workers read: who still holds it, and who frees it.
//
// H1  Holders are bits, set by the sender before the stamp says kShared and before the first notice.
//     Each is taken away once: by its worker when it has read the payload, before it frees the notice;
//     by the sender when a notice found no room; by recovery when the worker is dead, or when the
//     sender is and no living notice names the payload. Taking one away twice is harmless.
// H2  Who finds no bit left makes the block its own by one compare-exchange of the stamp, and frees it.
//     A shared block without holders is nobody's: anybody may do so.
// H3  A notice is a block of the sender's like any message to a worker; its header names the payload's
//     block and the generation in the payload's own header.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "shm/delivery.h"
#include "shm/segment.h"

namespace sluice::shm {

// What each worker is told beside where the payload is: the logical channel, and a message's bytes.
struct GroupNotice {
  uint32_t channel = kNoChannel;
  std::span<const std::byte> fields;
};

// What a group send came to.
struct GroupSent {
  uint32_t pushes = 0;         // notices published: one for each worker, whatever its members
  uint32_t workers_full = 0;   // workers whose inbox had no room: their members were skipped
  uint32_t channels = 0;       // plain channels that got a copy
  uint32_t channels_full = 0;  // plain channels that were full, and were skipped
};

// A shared payload being read, as a notice named it.
struct SharedMessage {
  Taken message;  // not ours: the block is shared
  Stamp stamp{};  // as it was found
};

// Takes away the bit of `worker` from a block whose stamp is `shared`; then free_if_unheld(). Nothing
// happens where the stamp is another by now.
void drop_holder(const Segment& segment, BlockPool& pool, ProcessIndex me, BlockIndex block,
                 Stamp shared, ProcessIndex worker) noexcept;
// H2. True if it was freed.
bool free_if_unheld(const Segment& segment, BlockPool& pool, ProcessIndex me, BlockIndex block,
                    Stamp shared) noexcept;
[[nodiscard]] bool holds(const Segment& segment, BlockIndex block, ProcessIndex worker) noexcept;

}  // namespace sluice::shm
