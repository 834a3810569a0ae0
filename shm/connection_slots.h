// shm/connection_slots.h -- a worker's connections as others see them: state, owner, reply ring, and
// the ready bitmap that tells the worker which rings to look at.
//
// C1  A slot's generation grows by one each time it is opened; a reply for another is refused.
// C2  Producers set ready bits after publishing, from the lowest level up, each level whatever the
//     others hold; the worker clears from the top down and then looks. A set bit may be false, a
//     published reply is never without one (recovery sets all bits after a death).
#pragma once

#include <optional>
#include <vector>

#include "protocol/channel_name.h"
#include "shm/process_table.h"
#include "shm/ready_bitmap.h"
#include "shm/segment.h"

namespace sluice::shm {

// The worker's side.
class ConnectionSlots {
 public:
  ConnectionSlots(const Segment& segment, ProcessName me);

  // A free slot, opened: its number and generation. Nothing when all are in use.
  struct Opened {
    uint32_t slot;
    uint32_t generation;
  };
  [[nodiscard]] std::optional<Opened> open() noexcept;
  // Ends this generation. The caller has drained the ring; what comes later is refused or dropped.
  void close(uint32_t slot) noexcept;

  // -- WebSockets
  // Before the connect is published: the block that holds the constant keys and will carry the
  // disconnect. A slot with constants and an owner owes one even if we die before announce().
  void set_constants(uint32_t slot, BlockIndex constants) noexcept;
  // The connect was taken: from now on a disconnect is owed.
  void announce(uint32_t slot) noexcept;
  void set_order(uint32_t slot, uint32_t order) noexcept;
  void disconnect_sent(uint32_t slot) noexcept;  // nothing is owed any more
  // Who owns it, as the slot says now; nothing if nobody, or one that is not living.
  [[nodiscard]] std::optional<ProcessName> owner(uint32_t slot) const noexcept;
  void clear_owner(uint32_t slot) noexcept;

  // -- after a scribbler
  // The slot's words as they must be, written again where they are not. After a death.
  void repair(uint32_t slot) noexcept;
  void repair_count() noexcept;  // the same of the number of slots ever opened
  // Whether its reply ring can still be used; close() keeps a slot whose ring cannot.
  [[nodiscard]] bool ring_sound(uint32_t slot) const noexcept;
  // Somebody found it broken and said so; takes that back if it is not so.
  [[nodiscard]] bool ring_broken(uint32_t slot) noexcept;
  // Slots that are given up for good.
  [[nodiscard]] uint32_t lost() const noexcept { return lost_; }

  // -- flow
  void set_high_water(uint32_t slot, bool high) noexcept;
  // The process waiting for room, if any; forgets it.
  [[nodiscard]] ProcessIndex take_waiter(uint32_t slot) noexcept;

  // -- replies
  // The next slot with a ready bit, which is cleared; nothing when no bit is set. Look at its ring
  // until it is empty or set_ready() it again.
  [[nodiscard]] std::optional<uint32_t> next_ready() noexcept;
  [[nodiscard]] bool any_ready() const noexcept;
  void set_ready(uint32_t slot) noexcept;

 private:
  const Segment& segment_;
  ProcessName me_;
  ReadyBitmap& ready_;
  std::vector<uint32_t> free_;         // slots closed before; taken last in, first out
  // What the words of every slot opened once must say: ours, not shared memory's.
  struct Kept {
    uint32_t generation = 0;
    SlotState state = SlotState::kFree;
    uint32_t constants = 0;
    bool high_water = false;
  };
  void write_state(uint32_t slot, SlotState state) noexcept;
  std::vector<Kept> kept_;
  uint32_t lost_ = 0;
  ReadyScan scan_;
};

// Anybody's side.
// Marks a slot ready (C2). The caller published before and rings after.
void set_ready(ReadyBitmap& ready, uint32_t slot) noexcept;
// Takes the connection for `me` if nobody living owns it and the address is still good.
[[nodiscard]] bool take_connection(const Segment& segment, const ReplyAddress& address,
                                   ProcessName me) noexcept;
// kConnectionGone when the worker, the incarnation or the generation is over.
[[nodiscard]] Result<ConnectionRecord*> find_connection(const Segment& segment,
                                                        const ReplyAddress& address) noexcept;

}  // namespace sluice::shm
