// shm/connection_slots.cc -- opening and closing slots, owners, ready bits.
#include "shm/connection_slots.h"

#include <bit>

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

void set_bit(Word& word, uint32_t bit) noexcept {
  const uint64_t mask = uint64_t{1} << bit;
  // C2: tested and set on its own; seq_cst orders it after the publish and against the clearing.
  if ((word.load(seq_cst) & mask) == 0) word.fetch_or(mask, seq_cst);
}

}  // namespace

ConnectionSlots::ConnectionSlots(const Segment& segment, ProcessName me)
    : segment_(segment), me_(me), ready_(*segment.ready(me.index)) {}

std::optional<ConnectionSlots::Opened> ConnectionSlots::open() noexcept {
  uint32_t slot = 0;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else {
    slot = static_cast<uint32_t>(generations_.size());
    if (slot >= segment_.geometry().connections_per_worker) return std::nullopt;
    // A predecessor in this row may have used the slot: go on from its generation.
    const uint64_t before = segment_.connection(me_.index, slot)->state.load(acquire);
    generations_.push_back(static_cast<uint32_t>(before >> 32));
    segment_.process(me_.index)->used_slots.store(slot + 1, release);
  }
  ConnectionRecord& record = *segment_.connection(me_.index, slot);
  const uint32_t generation = ++generations_[slot];
  record.owner.store(0, relaxed);  // relaxed: the state below publishes all of these
  record.constants.store(0, relaxed);
  record.order.store(0, relaxed);
  record.high_water.store(0, relaxed);
  record.waiter.store(0, relaxed);
  record.state.store(state_of(generation, SlotState::kOpen), release);  // [G]
  return Opened{slot, generation};
}

void ConnectionSlots::close(uint32_t slot) noexcept {
  ConnectionRecord& record = *segment_.connection(me_.index, slot);
  record.state.store(state_of(generations_[slot], SlotState::kFree), release);  // [G]
  record.constants.store(0, relaxed);  // nobody reads them of a free slot
  free_.push_back(slot);
}

void ConnectionSlots::set_constants(uint32_t slot, BlockIndex constants) noexcept {
  segment_.connection(me_.index, slot)->constants.store(constants + 1, release);
}

void ConnectionSlots::announce(uint32_t slot) noexcept {
  segment_.connection(me_.index, slot)
      ->state.store(state_of(generations_[slot], SlotState::kAnnounced), release);  // [G]
}

void ConnectionSlots::set_order(uint32_t slot, uint32_t order) noexcept {
  segment_.connection(me_.index, slot)->order.store(order, relaxed);  // read only after our death
}

void ConnectionSlots::disconnect_sent(uint32_t slot) noexcept {
  ConnectionRecord& record = *segment_.connection(me_.index, slot);
  record.constants.store(0, release);
  record.state.store(state_of(generations_[slot], SlotState::kOpen), release);  // [G]
}

std::optional<ProcessName> ConnectionSlots::owner(uint32_t slot) const noexcept {
  const uint64_t word = segment_.connection(me_.index, slot)->owner.load(acquire);  // [O]
  if (word == 0) return std::nullopt;
  const ProcessName name = owner_in(word);
  if (!ProcessTable(segment_).is_live(name)) return std::nullopt;
  return name;
}

void ConnectionSlots::clear_owner(uint32_t slot) noexcept {
  segment_.connection(me_.index, slot)->owner.store(0, release);  // [O]
}

void ConnectionSlots::set_high_water(uint32_t slot, bool high) noexcept {
  segment_.connection(me_.index, slot)->high_water.store(high ? 1 : 0, seq_cst);
}

ProcessIndex ConnectionSlots::take_waiter(uint32_t slot) noexcept {
  HalfWord& waiter = segment_.connection(me_.index, slot)->waiter;
  if (waiter.load(seq_cst) == 0) return kNobody;
  return static_cast<ProcessIndex>(waiter.exchange(0, seq_cst));
}

std::optional<uint32_t> ConnectionSlots::next_ready() noexcept {
  for (;;) {
    if (bottom_bits_ != 0) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(bottom_bits_));
      bottom_bits_ &= bottom_bits_ - 1;
      const uint32_t slot = bottom_index_ * 64 + bit;
      if (slot < generations_.size()) return slot;  // else scribbled: no such connection
      continue;
    }
    if (middle_bits_ != 0) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(middle_bits_));
      middle_bits_ &= middle_bits_ - 1;
      bottom_index_ = middle_index_ * 64 + bit;
      bottom_bits_ = ready_.bottom[bottom_index_].exchange(0, seq_cst);
      continue;
    }
    if (top_bits_ != 0) {
      middle_index_ = static_cast<uint32_t>(std::countr_zero(top_bits_));
      top_bits_ &= top_bits_ - 1;
      middle_bits_ = ready_.middle[middle_index_].exchange(0, seq_cst);
      continue;
    }
    if (ready_.top.load(seq_cst) == 0) return std::nullopt;
    top_bits_ = ready_.top.exchange(0, seq_cst);
  }
}

bool ConnectionSlots::any_ready() const noexcept {
  return (bottom_bits_ | middle_bits_ | top_bits_) != 0 || ready_.top.load(seq_cst) != 0;
}

void ConnectionSlots::set_ready(uint32_t slot) noexcept { shm::set_ready(ready_, slot); }

void set_ready(ReadyBitmap& ready, uint32_t slot) noexcept {
  // C2: the reply was published before we look at the bits; pairs with the worker's exchange, after
  // which it looks at the ring.
  std::atomic_thread_fence(seq_cst);
  set_bit(ready.bottom[slot / 64], slot % 64);
  CRASH_POINT(ready_bottom_set);  // recovery sets the levels above
  set_bit(ready.middle[slot / 4096], slot / 64 % 64);
  set_bit(ready.top, slot / 4096);
}

Result<ConnectionRecord*> find_connection(const Segment& segment,
                                          const ReplyAddress& address) noexcept {
  ConnectionRecord* record = segment.connection(address.worker, address.slot);
  if (record == nullptr || !ProcessTable(segment).is_live({address.worker, address.incarnation})) {
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
  if (seen != 0 && ProcessTable(segment).is_live(owner_in(seen))) return false;
  if (!owner.compare_exchange_strong(seen, owner_word(me), acq_rel, acquire)) return false;  // [O]
  CRASH_POINT(connection_taken);
  if (find_connection(segment, address).ok()) return true;
  // The slot went on to another generation meanwhile: it was not ours to take.
  uint64_t mine = owner_word(me);
  owner.compare_exchange_strong(mine, 0, acq_rel, relaxed);
  return false;
}

}  // namespace sluice::shm
