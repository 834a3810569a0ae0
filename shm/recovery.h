// shm/recovery.h -- returns what a dead process held. Run by the master for every proven death; when
// the master is dead, by the lowest living worker.
//
// R1  It touches only what a stamp or a record says is the dead one's, by compare-exchange from that
//     very word: it may run beside the living, again, or twice at once, and be killed at any step.
// R2  What the dead held in hand goes back to the worker whose arena it lies in (Returned::kTaken),
//     which knows what it was for. What lay in the dead inbox goes back as kUnread, after each worker
//     has seen the death (decisions.md 4), so nothing newer overtakes it: a worker acts on a death,
//     stores Header::deaths in its seen_deaths, and has everything back at settled_deaths.
// R3  The row of the dead is given out again only when no stamp names it and no block of its arena
//     is in anybody's hands. What a stamp says is in the hands of nobody there is, or in no queue it
//     names, was scribbled: it is made free.
// R4  Whatever the words of others say, each call ends: what it walks is bounded by the geometry, and
//     what it keeps by the number of blocks.
// R5  Of shared payloads it takes away the bits of dead workers, and of a dead sender's those that no
//     living notice names (shares.h).
// R6  The arena of a row given out again is as if never used: what the dead had in stock or in hand of it
//     goes nowhere but to `free`, and what came home is taken from its free queues at the end. That is before
//     the row is free: only the master gives rows out, and nobody recovers beside it.
#pragma once

#include <utility>
#include <vector>

#include "shm/channel_layer.h"

namespace sluice::shm {

// A WebSocket of a dead worker whose consumer was told of it and not yet of its end.
struct OwedDisconnect {
  ReplyAddress about{};
  std::optional<ProcessName> owner;  // may be dead by now
  uint32_t order = 0;                // the last order its worker sent
  std::vector<std::byte> constants;  // the payload of its constants block, header and all
};

// The queue of a queue_id(); nothing for an id that is none.
[[nodiscard]] std::optional<OwnerQueue> queue_of(const Segment& segment, uint32_t queue) noexcept;

class Recovery {
 public:
  // `layer` is the running process's own: what is handed back is pushed and rung through it.
  explicit Recovery(ChannelLayer& layer) : layer_(layer) {}

  // What a dead worker's connections still owe: ask before on_death(), which closes them.
  [[nodiscard]] std::vector<OwedDisconnect> owed_by(ProcessName worker);

  // A process was proven dead: marks it so, counts the death, rings the workers to see it, and
  // takes back what it held in hand. Call once per death.
  void on_death(ProcessName dead);
  // Carries on with what has to wait: call every few milliseconds while busy() and after each
  // death. Gives the rows that became free; their arenas' memfds may be closed.
  [[nodiscard]] std::vector<ProcessName> advance();
  [[nodiscard]] bool busy() const noexcept { return !deaths_.empty(); }
  // Blocks of the master's own arena that lay unread in dead inboxes, in our hands since the last
  // call: the caller sends them again, or frees them. For the master; a worker's go back to it.
  [[nodiscard]] std::vector<BlockIndex> unread_of_ours() { return std::exchange(unread_of_ours_, {}); }
  // Sleepers with work waiting, everywhere: a ringer may have died before it rang.
  void ring_all();

  struct Totals {
    uint64_t deaths = 0;
    uint64_t freed = 0;     // blocks made free again
    uint64_t returned = 0;  // blocks handed back to their workers
  };
  [[nodiscard]] const Totals& totals() const noexcept { return totals_; }

 private:
  struct Death {
    ProcessName name;
    uint64_t number = 0;             // Header::deaths when it was counted
    std::vector<BlockIndex> unread;  // of the dead inbox, in our hands until their worker has seen
    std::vector<BlockIndex> unreturned;  // taken by the dead; their worker's inbox was full
    std::vector<BlockIndex> shared;      // payloads it sent to groups, and workers still hold
  };
  void sweep(Death& death);
  void take_back(Death& death, BlockIndex block, uint32_t arena, QueueKind from);
  void close_connections(ProcessName dead);
  void free_all_in(OwnerQueue queue, uint32_t most);
  // True when every living worker has its own back.
  [[nodiscard]] bool settle_inbox(Death& death, std::vector<bool>& blocked);
  [[nodiscard]] bool nothing_left(Death& death);
  void renew_arena(ProcessIndex row);
  [[nodiscard]] bool is_stray(const Envelope& envelope, Stamp stamp, bool published,
                              ProcessIndex dead) const;
  [[nodiscard]] bool hand_back(BlockIndex block, Returned why);  // false: the inbox is full
  // -- shared payloads, in recovery_shares.cc
  void drop_holders(Death& death);
  void drop_bit_of_notice(BlockIndex block, ProcessIndex worker);

  ChannelLayer& layer_;
  std::vector<Death> deaths_;
  std::vector<bool> kept_;  // by block: in some death's `unread`; a scribbler may put it into an inbox again
  std::vector<BlockIndex> unread_of_ours_;
  Totals totals_;
};

}  // namespace sluice::shm
