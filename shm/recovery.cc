// shm/recovery.cc -- returns what a dead process held.
#include "shm/recovery.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "shm/clock.h"
#include "shm/sweep.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint32_t kAhead = 16;  // envelopes, each last written by another CPU perhaps

constexpr QueueKind kind_of(uint32_t queue) noexcept { return static_cast<QueueKind>(queue >> 28); }

// The blocks published in each queue met, gathered once per sweep: a bit for every block there is. Reply
// rings are short and many: they are looked through each time.
class Published {
 public:
  explicit Published(const Segment& segment) : segment_(segment) {}

  [[nodiscard]] bool holds(uint32_t queue, BlockIndex block) {
    if (kind_of(queue) == QueueKind::kReply) return is_in_ring(queue, block);
    if (bits_ == nullptr || queue != last_) gather(queue);
    return block / 64 < bits_->size() && ((*bits_)[block / 64] >> block % 64 & 1) != 0;
  }

 private:
  [[nodiscard]] bool is_in_ring(uint32_t queue, BlockIndex block) const {
    bool found = false;
    if (const std::optional<OwnerQueue> ring = queue_of(segment_, queue)) {
      ring->for_each([&](BlockIndex b) { found |= b == block; });
    }
    return found;
  }
  void gather(uint32_t queue) {
    const auto met = queues_.try_emplace(queue);
    last_ = queue;
    bits_ = &met.first->second;
    if (!met.second) return;
    const std::optional<OwnerQueue> found = queue_of(segment_, queue);
    if (!found || found->empty()) return;
    bits_->resize(segment_.block_count() / 64 + 1);
    found->for_each([this](BlockIndex b) {
      if (b / 64 < bits_->size()) (*bits_)[b / 64] |= uint64_t{1} << b % 64;
    });
  }

  const Segment& segment_;
  std::unordered_map<uint32_t, std::vector<uint64_t>> queues_;  // by queue_id()
  uint32_t last_ = 0;                                           // the queue of bits_
  std::vector<uint64_t>* bits_ = nullptr;
};

// The queues as sweep_block() asks for them.
struct SweptQueues {
  void settle(uint32_t queue) {
    if (std::optional<OwnerQueue> from = queue_of(segment, queue)) from->settle_head();
  }
  [[nodiscard]] bool holds(uint32_t queue, BlockIndex block) { return published.holds(queue, block); }
  // A dead worker's unread request: its client is gone.
  [[nodiscard]] bool is_request_of_dead(uint32_t queue) const {
    return withdraws_requests && kind_of(queue) == QueueKind::kChannel;
  }

  const Segment& segment;
  Published published{segment};
  bool withdraws_requests = false;  // in the arena walked now
};

}  // namespace

std::optional<OwnerQueue> queue_of(const Segment& segment, uint32_t queue) noexcept {
  const Geometry& g = segment.geometry();
  const uint32_t index = queue & 0x0fffffff;
  switch (kind_of(queue)) {
    case QueueKind::kNone:
      return std::nullopt;
    case QueueKind::kChannel:
      if (index >= g.channels) return std::nullopt;
      return segment.channel_queue(index);
    case QueueKind::kInbox:
      if (index >= g.processes) return std::nullopt;
      return segment.inbox(index);
    case QueueKind::kReply:
      if (index / g.connections_per_worker >= g.worker_processes) return std::nullopt;
      return segment.reply_ring(static_cast<ProcessIndex>(2 + index / g.connections_per_worker),
                                index % g.connections_per_worker);
    case QueueKind::kFree:
      if (index / 8 >= g.processes || index % 8 >= kClasses) return std::nullopt;
      return segment.free_queue(index / 8, index % 8);
  }
  return std::nullopt;
}

std::vector<OwedDisconnect> Recovery::owed_by(ProcessName worker) {
  std::vector<OwedDisconnect> owed;
  const Segment& segment = layer_.segment();
  const ProcessRecord* process = segment.process(worker.index);
  if (process == nullptr || !segment.is_worker(worker.index)) return owed;
  const uint32_t slots =
      std::min(process->used_slots.load(acquire), segment.geometry().connections_per_worker);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const ConnectionRecord& record = *segment.connection(worker.index, slot);
    const uint64_t state = record.state.load(acquire);
    const uint64_t owner = record.owner.load(acquire);
    const uint32_t constants = record.constants.load(acquire);
    const auto slot_state = static_cast<SlotState>(static_cast<uint32_t>(state));
    if (constants == 0 || slot_state == SlotState::kFree) continue;
    if (slot_state != SlotState::kAnnounced && owner == 0) continue;
    const Envelope* envelope = segment.envelope(constants - 1);
    if (envelope == nullptr) continue;
    const Stamp stamp{envelope->stamp.load(acquire)};
    // Once it was pushed the block is no longer the worker's: the disconnect is on its way.
    if (stamp.state() != BlockState::kOwned || stamp.owner() != worker.index) continue;
    OwedDisconnect one;
    one.about = {worker.index, worker.incarnation, slot, static_cast<uint32_t>(state >> 32), 0};
    one.order = record.order.load(relaxed);  // its writer is dead
    if (owner != 0) {
      one.owner = {static_cast<ProcessIndex>(owner), static_cast<uint32_t>(owner >> 32)};
    }
    // Whose constants they are, their worker wrote where nobody else can (decisions.md 9).
    BlockPlace place;
    if (!segment.place_of(constants - 1, place) || place.arena != worker.index) continue;
    const std::span<const std::byte> payload = layer_.arenas().payload(constants - 1);
    if (payload.size() < sizeof(PayloadHeader)) continue;
    PayloadHeader header;
    std::memcpy(&header, payload.data(), sizeof header);
    const ReplyAddress about{header.worker, header.incarnation, header.slot, header.slot_generation, 0};
    const size_t bytes = sizeof header + size_t{header.length};
    if (about != one.about || bytes > payload.size()) continue;
    one.constants.assign(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(bytes));
    owed.push_back(std::move(one));
  }
  return owed;
}

void Recovery::on_death(ProcessName dead) {
  const Segment& segment = layer_.segment();
  if (segment.process(dead.index) == nullptr) return;
  layer_.processes().set_dead(dead);
  Death death;
  death.name = dead;
  death.number = segment.header().deaths.fetch_add(1, acq_rel) + 1;  // pairs with seen_deaths
  ++totals_.deaths;
  for (uint32_t row = 2; segment.is_worker(row); ++row) {  // they see it while we walk
    const auto worker = static_cast<ProcessIndex>(row);
    if (layer_.processes().living(worker)) static_cast<void>(layer_.doorbell().ring(worker));
  }
  layer_.channels().recover(dead.index);
  layer_.groups().recover(dead.index);
  const uint64_t bit = uint64_t{1} << (dead.index % 64);
  for (uint32_t channel = 0; channel < segment.geometry().channels; ++channel) {
    ChannelRecord& record = *segment.channel(channel);
    if (record.truth.load(acquire) == 0) continue;  // never used
    if ((record.readers.words[dead.index / 64].load(acquire) & bit) != 0) {
      record.touched_ms.store(now_ms(), relaxed);  // not idle before its time
      record.readers.words[dead.index / 64].fetch_and(~bit, acq_rel);
    }
    record.waiters.words[dead.index / 64].fetch_and(~bit, acq_rel);
    record.senders.who.words[dead.index / 64].fetch_and(~bit, acq_rel);
  }
  for (uint32_t row = 0; row < segment.geometry().processes; ++row) {
    segment.process(row)->senders.who.words[dead.index / 64].fetch_and(~bit, acq_rel);
  }
  if (segment.is_worker(dead.index)) close_connections(dead);
  sweep(death);
  drop_holders(death);  // behind the sweep: what is no notice any more is none by its stamp
  deaths_.push_back(std::move(death));
  ring_all();
}

// A dead worker's connections are over: replies still in their rings go back to their arenas.
void Recovery::close_connections(ProcessName dead) {
  const Segment& segment = layer_.segment();
  const uint32_t slots = std::min(segment.process(dead.index)->used_slots.load(acquire),
                                  segment.geometry().connections_per_worker);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    ConnectionRecord* record = segment.connection(dead.index, slot);
    if (record == nullptr) return;  // not a worker
    const uint64_t state = record->state.load(acquire);
    record->state.store(state >> 32 << 32 | static_cast<uint32_t>(SlotState::kFree), release);
    record->constants.store(0, relaxed);  // nobody reads them of a free slot
    free_all_in(segment.reply_ring(dead.index, slot), kReplyCells);
  }
}

void Recovery::free_all_in(OwnerQueue queue, uint32_t most) {
  BlockIndex block = kNoBlock;
  bool withdrawn = false;
  for (uint32_t i = 0; i < most; ++i) {  // R4
    if (queue.try_pop(layer_.me().index, block, withdrawn) != PopOutcome::kTaken) return;
    layer_.pool().free_taken(block);
    ++totals_.freed;
  }
}

void Recovery::sweep(Death& death) {
  const Segment& segment = layer_.segment();
  const ProcessIndex dead = death.name.index;
  const ProcessIndex me = layer_.me().index;
  SweptQueues queues{.segment = segment};
  for (uint32_t arena = 0; arena < segment.geometry().processes; ++arena) {
    const ClassCounts& counts = segment.blocks_of(arena);
    queues.withdraws_requests = arena == dead && segment.is_worker(dead);
    for (uint32_t c = 0; c < kClasses; ++c) {
      const uint32_t used =
          std::min(segment.process(arena)->used_blocks[c].load(acquire), counts[c]);
      if (used == 0) continue;
      const BlockIndex first = segment.block_at(static_cast<ProcessIndex>(arena), c, 0);
      Envelope* const envelopes = segment.envelope(first);
      for (uint32_t number = 0; number < used; ++number) {
        Envelope& envelope = envelopes[number];
        __builtin_prefetch(&envelopes[number + kAhead]);
        const Stamp stamp{envelope.stamp.load(relaxed)};  // looked at again below
        const BlockIndex block = first + number;
        if (stamp.state() == BlockState::kShared) {
          death.shared.push_back(block);
          continue;
        }
        if (stamp.owner() != dead) continue;
        uint32_t from = 0;
        if (sweep_block(envelope, block, dead, me, queues, from) == Swept::kTaken) {
          take_back(death, block, arena, kind_of(from));
        }
      }
    }
    layer_.ring();  // who was handed back something of that arena begins with it
  }
}

// A block of the dead, in our hands now: back to the worker whose it is, or free. Only what came from
// a channel or an inbox is a message: links, and blocks that were on their way home, are not.
void Recovery::take_back(Death& death, BlockIndex block, uint32_t arena, QueueKind from) {
  const bool message = from == QueueKind::kChannel || from == QueueKind::kInbox;
  if (message && arena != death.name.index && layer_.segment().is_worker(arena) &&
      layer_.processes().living(static_cast<ProcessIndex>(arena))) {
    if (!hand_back(block, Returned::kTaken)) death.unreturned.push_back(block);
    return;
  }
  ++totals_.freed;
  if (arena == death.name.index) return layer_.pool().retire(block);
  layer_.pool().free_taken(block);
}

// False: the worker's inbox is full, and the block stays in our hands.
bool Recovery::hand_back(BlockIndex block, Returned why) {
  const Segment& segment = layer_.segment();
  BlockPlace place;
  if (!segment.place_of(block, place)) return true;
  const std::optional<ProcessName> worker = layer_.processes().living(place.arena);
  if (!worker) {
    layer_.pool().free_taken(block);
    ++totals_.freed;
    return true;
  }
  segment.envelope(block)->returned.store(static_cast<uint32_t>(why), relaxed);  // ours
  const Result<Sent> sent = layer_.send_block_to(*worker, block);
  if (sent.ok()) {
    ++totals_.returned;
    return true;
  }
  if (sent.error() == Error::kChannelFull) return false;
  layer_.pool().free_taken(block);
  ++totals_.freed;
  return true;
}

std::vector<ProcessName> Recovery::advance() {
  const Segment& segment = layer_.segment();
  std::vector<ProcessName> freed;
  layer_.processes().repair();
  std::vector<bool> blocked(segment.geometry().processes);
  for (auto death = deaths_.begin(); death != deaths_.end();) {
    std::erase_if(death->unreturned,
                  [this](BlockIndex block) { return hand_back(block, Returned::kTaken); });
    drop_holders(*death);
    const bool settled = settle_inbox(*death, blocked) && death->unreturned.empty();
    if (settled && nothing_left(*death)) {
      renew_arena(death->name.index);
      layer_.processes().set_free(death->name);
      freed.push_back(death->name);
      death = deaths_.erase(death);
    } else {
      ++death;
    }
  }
  layer_.ring();
  return freed;
}

// Takes everything out of the dead inbox, and gives each worker its own back, in order, once it has
// seen the death. `blocked` names workers that still wait for an earlier death's messages.
bool Recovery::settle_inbox(Death& death, std::vector<bool>& blocked) {
  const Segment& segment = layer_.segment();
  // Who has seen the death, asked before the inbox is emptied: what such a worker sent to the dead it
  // sent before it saw, so it comes out now, and nothing of it later.
  std::vector<bool> saw(segment.geometry().processes);
  for (uint32_t row = 2; row < 2 + segment.geometry().worker_processes; ++row) {
    saw[row] = segment.process(row)->seen_deaths.load(acquire) >= death.number;
  }
  kept_.resize(segment.block_count());
  OwnerQueue inbox = segment.inbox(death.name.index);
  BlockIndex block = kNoBlock;
  bool withdrawn = false;
  for (uint32_t i = 0; i < segment.geometry().inbox_cells; ++i) {  // R4: what is left, the next time
    if (inbox.try_pop(layer_.me().index, block, withdrawn) != PopOutcome::kTaken) break;
    BlockPlace place;
    const bool back = !withdrawn && segment.place_of(block, place) &&
                      place.arena != death.name.index && segment.is_worker(place.arena);
    if (back) {
      if (!kept_[block]) death.unread.push_back(block);
      kept_[block] = true;
    } else if (!withdrawn && layer_.arenas().is_own(block)) {  // its sender is running this
      if (layer_.pool().came_back(block)) unread_of_ours_.push_back(block);
    } else {
      drop_bit_of_notice(block, death.name.index);
      layer_.pool().free_taken(block);
      ++totals_.freed;
    }
  }
  bool all = true;
  Word& deaths = segment.header().deaths;
  uint64_t counted = deaths.load(acquire);
  if (counted < death.number) deaths.compare_exchange_strong(counted, death.number, acq_rel, relaxed);
  for (uint32_t row = 2; row < 2 + segment.geometry().worker_processes; ++row) {
    const auto worker = static_cast<ProcessIndex>(row);
    const bool living = layer_.processes().living(worker).has_value();
    ProcessRecord& record = *segment.process(worker);
    if (living && (blocked[worker] || !saw[worker])) {
      blocked[worker] = true;
      all = false;
      continue;
    }
    bool room = true;
    std::erase_if(death.unread, [&](BlockIndex b) {
      BlockPlace place;
      if (!room || !segment.place_of(b, place) || place.arena != worker) return false;
      room = hand_back(b, Returned::kUnread);
      if (room) kept_[b] = false;
      return room;
    });
    if (!room) {
      blocked[worker] = true;
      all = false;
    } else if (living && record.settled_deaths.load(relaxed) < death.number) {
      // Release: who sees the number finds every message handed back in its inbox.
      record.settled_deaths.store(death.number, release);
      static_cast<void>(layer_.doorbell().ring(worker));
    }
  }
  return all && inbox.empty();
}

// R3: a state or an owner that is none, or a queue it does not stand in.
bool Recovery::is_stray(const Envelope& envelope, Stamp stamp, bool published,
                        ProcessIndex dead) const {
  const Segment& segment = layer_.segment();
  const ProcessIndex owner = stamp.owner();
  // One whose row is not free may be on its way: about to publish, or not yet proven dead.
  const bool somebodys = owner != kNobody && owner != dead && owner < segment.geometry().processes &&
                         layer_.processes().state(owner) != ProcessState::kFree;
  switch (stamp.state()) {
    case BlockState::kFree:
      return false;
    case BlockState::kLinked: {
      const Envelope* head = segment.envelope(envelope.head.load(relaxed));
      if (head == nullptr) return true;
      const auto state = Stamp{head->stamp.load(acquire)}.state();
      return !somebodys && (state == BlockState::kFree || state == BlockState::kLinked);
    }
    case BlockState::kOwned:
      return !somebodys;
    case BlockState::kQueued:
    case BlockState::kWithdrawn:
      return !somebodys && !published;
    case BlockState::kShared:
      return false;  // drop_holders() decides
  }
  return true;
}

// R3: no block of its arena is in anybody's hands or on its way.
bool Recovery::nothing_left(Death& death) {
  const ProcessName name = death.name;
  const Segment& segment = layer_.segment();
  for (uint32_t channel = 0; channel < segment.geometry().channels; ++channel) {
    if (segment.channel(channel)->truth.load(acquire) == 0) continue;  // never used
    static_cast<void>(layer_.free_withdrawn(segment.channel_queue(channel)));
  }
  Published published(segment);
  death.shared.clear();
  bool nothing = true;
  const ClassCounts& counts = segment.blocks_of(name.index);
  for (uint32_t c = 0; c < kClasses; ++c) {
    const uint32_t used =
        std::min(segment.process(name.index)->used_blocks[c].load(acquire), counts[c]);
    const BlockIndex first = segment.block_at(name.index, c, 0);
    for (uint32_t number = 0; number < used; ++number) {
      Envelope& envelope = *segment.envelope(first + number);
      const Stamp stamp{envelope.stamp.load(acquire)};
      if (stamp.state() == BlockState::kFree) continue;
      if (stamp.state() == BlockState::kShared) {  // one that advance() does not know was scribbled
        death.shared.push_back(first + number);
        nothing = false;
        continue;
      }
      const uint32_t queue = envelope.queue.load(relaxed);
      const bool waits = stamp.state() == BlockState::kQueued || stamp.state() == BlockState::kWithdrawn;
      const bool stands = waits && published.holds(queue, first + number);
      uint64_t expected = stamp.word;
      if (is_stray(envelope, stamp, stands, name.index)) {
        if (envelope.stamp.compare_exchange_strong(
                expected, stamp.next(layer_.me().index, BlockState::kOwned).word, acq_rel, relaxed)) {
          layer_.pool().free_taken(first + number);
          ++totals_.freed;
        }
        continue;
      }
      if (stamp.state() == BlockState::kLinked) continue;  // its head decides
      // A living process may be about to publish it in the free queue.
      nothing = nothing && stamp.state() == BlockState::kQueued && kind_of(queue) == QueueKind::kFree && stands;
    }
  }
  return nothing;
}

// R6: nothing of the arena is out, and what came home goes from its free queues. A class of which a
// scribbler keeps one block from being free stays as it is: its blocks are lost to the row.
void Recovery::renew_arena(ProcessIndex row) {
  const Segment& segment = layer_.segment();
  ProcessRecord& record = *segment.process(row);
  for (uint32_t c = 0; c < kClasses; ++c) {
    const uint32_t used = std::min(record.used_blocks[c].load(acquire), segment.blocks_of(row)[c]);
    if (used == 0) continue;
    OwnerQueue home = segment.free_queue(row, c);
    for (uint32_t i = 0; i < used; ++i) {
      BlockIndex block = kNoBlock;
      bool withdrawn = false;
      const PopOutcome outcome = home.try_pop(layer_.me().index, block, withdrawn);
      if (outcome == PopOutcome::kCorrupt) continue;
      if (outcome != PopOutcome::kTaken) break;
      if (segment.arena_of(block) == row) {
        layer_.pool().retire(block);
      } else {
        layer_.pool().free_taken(block);  // scribbled
      }
    }
    const Envelope* const envelopes = segment.envelope(segment.block_at(row, c, 0));
    const bool all = std::all_of(envelopes, envelopes + used, [](const Envelope& envelope) {
      return Stamp{envelope.stamp.load(acquire)}.state() == BlockState::kFree;  // [S]
    });
    CRASH_POINT(arena_renewed);
    if (all) record.used_blocks[c].store(0, release);
  }
}

void Recovery::ring_all() {
  const Segment& segment = layer_.segment();
  for (uint32_t row = 1; row < segment.geometry().processes; ++row) {
    const auto process = static_cast<ProcessIndex>(row);
    if (process == layer_.me().index || !layer_.processes().living(process)) continue;
    if (segment.is_worker(process)) {
      const uint32_t slots = std::min(segment.process(process)->used_slots.load(acquire),
                                      segment.geometry().connections_per_worker);
      for (uint32_t slot = 0; slot < slots; ++slot) {
        if (!segment.reply_ring(process, slot).empty()) set_ready(*segment.ready(process), slot);
      }
    }
    layer_.doorbell().ring_surely(process);
  }
  layer_.ring();
}

}  // namespace sluice::shm
