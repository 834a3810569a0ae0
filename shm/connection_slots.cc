// shm/connection_slots.cc -- opening and closing slots, owners, ready bits.
#include "shm/connection_slots.h"

#include "shm/queue_soundness.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint64_t state_of(uint32_t generation, SlotState state) noexcept {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(state);
}
constexpr uint64_t owner_word(ProcessName name) noexcept {
  return uint64_t{name.incarnation} << 32 | name.index;
}
constexpr ProcessName owner_in(uint64_t word) noexcept {
  return {static_cast<ProcessIndex>(word), static_cast<uint32_t>(word >> 32)};
}

}  // namespace

ConnectionSlots::ConnectionSlots(const Segment& segment, ProcessName me)
    : segment_(segment), me_(me), ready_(*segment.ready(me.index)) {}

void ConnectionSlots::write_state(uint32_t slot, SlotState state) noexcept {
  kept_[slot].state = state;
  segment_.connection(me_.index, slot)
      ->state.store(state_of(kept_[slot].generation, state), release);  // [G]
}

std::optional<ConnectionSlots::Opened> ConnectionSlots::open() noexcept {
  uint32_t slot = 0;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else {
    slot = static_cast<uint32_t>(kept_.size());
    if (slot >= segment_.geometry().connections_per_worker) return std::nullopt;
    // A predecessor in this row may have used the slot: go on from its generation.
    const uint64_t before = segment_.connection(me_.index, slot)->state.load(acquire);
    kept_.push_back({.generation = static_cast<uint32_t>(before >> 32)});
    repair_count();
  }
  ConnectionRecord& record = *segment_.connection(me_.index, slot);
  const uint32_t generation = ++kept_[slot].generation;
  kept_[slot].constants = 0;
  kept_[slot].high_water = false;
  record.owner.store(0, relaxed);  // relaxed: the state below publishes all of these
  record.constants.store(0, relaxed);
  record.order.store(0, relaxed);
  record.high_water.store(0, relaxed);
  record.waiter.store(0, relaxed);
  record.poisoned.store(0, relaxed);
  write_state(slot, SlotState::kOpen);
  return Opened{slot, generation};
}

void ConnectionSlots::close(uint32_t slot) noexcept {
  write_state(slot, SlotState::kFree);
  kept_[slot].constants = 0;
  segment_.connection(me_.index, slot)->constants.store(0, relaxed);  // nobody reads a free slot's
  if (ring_sound(slot)) {
    free_.push_back(slot);
  } else {
    ++lost_;
  }
}

void ConnectionSlots::set_constants(uint32_t slot, BlockIndex constants) noexcept {
  kept_[slot].constants = constants + 1;
  segment_.connection(me_.index, slot)->constants.store(constants + 1, release);
}

void ConnectionSlots::announce(uint32_t slot) noexcept { write_state(slot, SlotState::kAnnounced); }

void ConnectionSlots::set_order(uint32_t slot, uint32_t order) noexcept {
  segment_.connection(me_.index, slot)->order.store(order, relaxed);  // read only after our death
}

void ConnectionSlots::disconnect_sent(uint32_t slot) noexcept {
  kept_[slot].constants = 0;
  segment_.connection(me_.index, slot)->constants.store(0, release);
  write_state(slot, SlotState::kOpen);
}

void ConnectionSlots::repair(uint32_t slot) noexcept {
  ConnectionRecord& record = *segment_.connection(me_.index, slot);
  const Kept& kept = kept_[slot];
  if (record.state.load(relaxed) != state_of(kept.generation, kept.state)) {
    write_state(slot, kept.state);
  }
  if (record.constants.load(relaxed) != kept.constants) {
    record.constants.store(kept.constants, release);
  }
  if ((record.high_water.load(relaxed) != 0) != kept.high_water) {
    record.high_water.store(kept.high_water ? 1 : 0, seq_cst);
  }
}

void ConnectionSlots::repair_count() noexcept {
  HalfWord& used = segment_.process(me_.index)->used_slots;
  const auto opened = static_cast<uint32_t>(kept_.size());
  if (used.load(relaxed) != opened) used.store(opened, release);
}

bool ConnectionSlots::ring_sound(uint32_t slot) const noexcept {
  return segment_.reply_ring(me_.index, slot).sound();
}

bool ConnectionSlots::ring_broken(uint32_t slot) noexcept {
  HalfWord& poisoned = segment_.connection(me_.index, slot)->poisoned;
  if (poisoned.load(acquire) == 0) return false;  // [P]
  if (!ring_sound(slot)) return true;
  poisoned.store(0, relaxed);
  return false;
}

std::optional<ProcessName> ConnectionSlots::owner(uint32_t slot) const noexcept {
  const uint64_t word = segment_.connection(me_.index, slot)->owner.load(acquire);  // [O]
  if (word == 0) return std::nullopt;
  const ProcessName name = owner_in(word);
  if (!ProcessTable::says_live(segment_, name)) return std::nullopt;
  return name;
}

void ConnectionSlots::clear_owner(uint32_t slot) noexcept {
  segment_.connection(me_.index, slot)->owner.store(0, release);  // [O]
}

void ConnectionSlots::set_high_water(uint32_t slot, bool high) noexcept {
  kept_[slot].high_water = high;
  segment_.connection(me_.index, slot)->high_water.store(high ? 1 : 0, seq_cst);
}

ProcessIndex ConnectionSlots::take_waiter(uint32_t slot) noexcept {
  HalfWord& waiter = segment_.connection(me_.index, slot)->waiter;
  if (waiter.load(seq_cst) == 0) return kNobody;
  return static_cast<ProcessIndex>(waiter.exchange(0, seq_cst));
}

std::optional<uint32_t> ConnectionSlots::next_ready() noexcept {
  return shm::next_ready(ready_, scan_, static_cast<uint32_t>(kept_.size()));
}

bool ConnectionSlots::any_ready() const noexcept { return shm::any_ready(ready_, scan_); }

void ConnectionSlots::set_ready(uint32_t slot) noexcept { shm::set_ready(ready_, slot); }

void set_ready(ReadyBitmap& ready, uint32_t slot) noexcept { set_ready_bits(ready, slot); }

Result<ConnectionRecord*> find_connection(const Segment& segment,
                                          const ReplyAddress& address) noexcept {
  ConnectionRecord* record = segment.connection(address.worker, address.slot);
  if (record == nullptr || !ProcessTable::says_live(segment, {address.worker, address.incarnation})) {
    return Error::kConnectionGone;
  }
  const uint64_t state = record->state.load(acquire);  // [G]
  if (state >> 32 != address.generation ||
      static_cast<SlotState>(static_cast<uint32_t>(state)) == SlotState::kFree) {
    return Error::kConnectionGone;
  }
  return record;
}

bool take_connection(const Segment& segment, const ReplyAddress& address, ProcessName me) noexcept {
  Result<ConnectionRecord*> record = find_connection(segment, address);
  if (!record.ok()) return false;
  Word& owner = (*record)->owner;
  uint64_t seen = owner.load(acquire);  // [O]
  if (seen == owner_word(me)) return true;
  if (seen != 0 && ProcessTable::says_live(segment, owner_in(seen))) return false;
  if (!owner.compare_exchange_strong(seen, owner_word(me), acq_rel, acquire)) return false;  // [O]
  CRASH_POINT(connection_taken);
  if (find_connection(segment, address).ok()) return true;
  // The slot went on to another generation meanwhile: it was not ours to take.
  uint64_t mine = owner_word(me);
  owner.compare_exchange_strong(mine, 0, acq_rel, relaxed);
  return false;
}

}  // namespace sluice::shm
