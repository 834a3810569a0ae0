// shm/room.cc -- senders that wait for room in a queue, and who rings them (decisions.md 19).
//
// The sender says that it is asleep, then that it waits, then tries once more; a reader takes, then
// looks whether anybody waits. Who takes a sender's bit away rings it: its sleep is over, whatever it
// has come to. A ring for each message would cost a reader that is slower than its senders a system call a
// message: so all of them are rung, once, when the queue is down to half.
#include <bit>

#include "shm/channel_layer.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

bool is_half_empty(uint32_t depth, uint32_t capacity) noexcept { return depth <= capacity / 2; }

}  // namespace

void ChannelLayer::wait_for_room(WaitingSenders& senders) noexcept {
  senders.who.words[me_.index / 64].fetch_or(uint64_t{1} << (me_.index % 64), seq_cst);
  senders.any.store(1, seq_cst);  // behind the bit: who takes it away finds the bit
}

void ChannelLayer::stop_waiting_for_room(WaitingSenders& senders) noexcept {
  senders.who.words[me_.index / 64].fetch_and(~(uint64_t{1} << (me_.index % 64)), seq_cst);
}

void ChannelLayer::made_room(uint32_t channel) noexcept {
  ChannelRecord* record = segment_.channel(channel);
  // No fence behind the pop: its exchanges are one on x86-64, and elsewhere a sender that is not seen
  // looks again at the end of a bounded sleep.
  if (record == nullptr || record->senders.any.load(relaxed) == 0) [[likely]] return;
  const uint32_t depth = segment_.channel_queue(channel).depth();
  if (is_half_empty(depth, record->capacity.load(relaxed))) ring_senders(record->senders);
}

bool ChannelLayer::take_from_inbox(Taken& taken) noexcept {
  ProcessRecord& record = *segment_.process(me_.index);
  const bool found = take(inbox_, nullptr, 0, record.poisoned, &record.inbox_counts, taken);
  if (record.senders.any.load(relaxed) != 0 &&  // as in made_room()
      is_half_empty(inbox_.depth(), segment_.geometry().inbox_cells)) [[unlikely]] {
    ring_senders(record.senders);
  }
  return found;
}

void ChannelLayer::ring_senders(WaitingSenders& senders) noexcept {
  senders.any.store(0, seq_cst);  // before the bits: who comes later sets it again
  const uint32_t words = (segment_.geometry().processes + 63) / 64;
  for (uint32_t w = 0; w < words; ++w) {
    for (uint64_t bits = senders.who.words[w].exchange(0, seq_cst); bits != 0; bits &= bits - 1) {
      CRASH_POINT(sender_unmarked);  // nobody rings them: they look again
      const auto process = static_cast<ProcessIndex>(w * 64 + std::countr_zero(bits));
      if (process != me_.index) doorbell_.ring(process);
    }
  }
}

}  // namespace sluice::shm
