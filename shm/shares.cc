// shm/shares.cc -- bits of holders; see shares.h.
#include "shm/shares.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

struct HolderBit {
  size_t word;
  uint64_t mask;
};

constexpr HolderBit bit_of(ProcessIndex worker) noexcept {
  const uint32_t number = worker - 2u;
  return {number / 64, uint64_t{1} << number % 64};
}

}  // namespace

bool holds(const Segment& segment, BlockIndex block, ProcessIndex worker) noexcept {
  const Envelope* envelope = segment.envelope(block);
  if (envelope == nullptr || !segment.is_worker(worker)) return false;
  const HolderBit bit = bit_of(worker);
  return (envelope->holders[bit.word].load(acquire) & bit.mask) != 0;  // [U]
}

void drop_holder(const Segment& segment, BlockPool& pool, ProcessIndex me, BlockIndex block,
                 Stamp shared, ProcessIndex worker) noexcept {
  Envelope* envelope = segment.envelope(block);
  if (envelope == nullptr || !segment.is_worker(worker)) return;
  if (envelope->stamp.load(acquire) != shared.word) return;  // [S]
  const HolderBit bit = bit_of(worker);
  // [U] pairs with [U] in free_if_unheld(): who sees the bit gone has what we read behind him.
  envelope->holders[bit.word].fetch_and(~bit.mask, acq_rel);
  CRASH_POINT(holder_dropped);  // perhaps the last: recovery frees what it finds unheld
  free_if_unheld(segment, pool, me, block, shared);
}

bool free_if_unheld(const Segment& segment, BlockPool& pool, ProcessIndex me, BlockIndex block,
                    Stamp shared) noexcept {
  Envelope* envelope = segment.envelope(block);
  if (envelope == nullptr) return false;
  const uint32_t words = (segment.geometry().worker_processes + 63) / 64;
  for (uint32_t w = 0; w < words; ++w) {
    // A read that also writes, so that of two who take the last bits of two words one sees both gone.
    if (envelope->holders[w].fetch_or(0, acq_rel) != 0) return false;  // [U]
  }
  uint64_t expected = shared.word;
  if (!envelope->stamp.compare_exchange_strong(
          expected, shared.next(me, BlockState::kOwned).word, acq_rel, relaxed)) {
    return false;
  }
  CRASH_POINT(share_taken);  // owned by the dead, of no queue: recovery frees it
  pool.free_taken(block);
  return true;
}

}  // namespace sluice::shm
