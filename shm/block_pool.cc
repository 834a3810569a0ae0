// shm/block_pool.cc -- claiming from our own arena, giving back to anybody's.
#include "shm/block_pool.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint8_t kHeld = 1;
constexpr uint8_t kHeldAndBack = 2;
constexpr uint32_t kRefillBatch = 32;  // blocks taken from the free queue at once
constexpr uint32_t kMaxLinks = 64;     // of one chain: four times what the largest message needs

}  // namespace

BlockPool::BlockPool(const Segment& segment, ProcessIndex me)
    : segment_(segment),
      me_(me),
      heads_seen_(segment.geometry().processes * kClasses),
      first_own_(segment.block_at(me, 0, 0)) {
  uint32_t blocks = 0;
  for (const uint32_t count : segment.blocks_of(me)) blocks += count;
  held_.resize(blocks);
}

BlockIndex BlockPool::claim_or_none(size_t bytes) noexcept {
  for (uint32_t c = 0; c < kClasses; ++c) {
    if (kClassBytes[c] < bytes) continue;
    if (stock_[c].empty()) refill(c);
    if (!stock_[c].empty()) {
      const BlockIndex block = stock_[c].back();
      stock_[c].pop_back();
      return block;
    }
  }
  return kNoBlock;
}

void BlockPool::refill(uint32_t size_class) noexcept {
  OwnerQueue queue = segment_.free_queue(me_, size_class);
  for (uint32_t i = 0; i < kRefillBatch; ++i) {
    BlockIndex block = kNoBlock;
    bool withdrawn = false;
    if (queue.try_pop(me_, block, withdrawn) != PopOutcome::kTaken) break;
    BlockPlace place;
    // L3: a cell anybody may have scribbled; only our own block of this class can be used.
    if (!segment_.place_of(block, place) || place.arena != me_ || place.size_class != size_class) {
      continue;
    }
    put_in_stock(block, size_class);
  }
  if (!stock_[size_class].empty()) return;
  // Blocks never used: the record's count is for recovery; ours is the one we go by.
  HalfWord& used = segment_.process(me_)->used_blocks[size_class];
  uint32_t& fresh = fresh_[size_class];
  if (fresh == 0) fresh = std::min(used.load(relaxed), segment_.blocks_of(me_)[size_class]);
  const uint32_t end = std::min(fresh + kRefillBatch, segment_.blocks_of(me_)[size_class]);
  if (fresh == end) return;
  used.store(end, release);  // before the first stamp: recovery walks this far
  // Popped last, used first: keep the low numbers on top.
  for (uint32_t number = end; number-- > fresh;) {
    const BlockIndex block = segment_.block_at(me_, size_class, number);
    Word& word = segment_.envelope(block)->stamp;
    word.store(Stamp{word.load(relaxed)}.next(me_, BlockState::kOwned).word, release);
    stock_[size_class].push_back(block);
  }
  fresh = end;
}

void BlockPool::put_in_stock(BlockIndex block, uint32_t size_class) noexcept {
  uint8_t& held = held_[block - first_own_];
  if (held == 0) {
    stock_[size_class].push_back(block);
  } else {
    held = kHeldAndBack;
  }
}

void BlockPool::give_back(BlockIndex block) noexcept {
  BlockPlace place;
  if (!segment_.place_of(block, place)) return;
  if (place.arena == me_) {
    put_in_stock(block, place.size_class);
    return;
  }
  segment_.envelope(block)->queue.store(
      queue_id(QueueKind::kFree, place.arena * 8u + place.size_class),
      relaxed);  // before the stamp
  // The queue has a cell for every block: full or corrupt means scribbled, and the block stays ours
  // until recovery takes it.
  static_cast<void>(
      segment_.free_queue(place.arena, place.size_class)
          .try_push(block, me_, &heads_seen_[place.arena * kClasses + place.size_class]));
}

void BlockPool::free(BlockIndex block) noexcept {
  Envelope* head = segment_.envelope(block);
  if (head == nullptr) return;
  if (head->next.load(relaxed) != 0) free_links(block, *head);  // ours: who linked it pushed it
  give_back(block);
}

void BlockPool::free_links(BlockIndex block, Envelope& head) noexcept {
  std::array<BlockIndex, kMaxLinks> links;
  uint32_t count = 0;
  for (BlockIndex link = head.next.load(acquire); link != 0 && count < kMaxLinks; ++count) {
    const Envelope* envelope = segment_.envelope(link - 1);
    if (envelope == nullptr || envelope->head.load(relaxed) != block) break;
    if (Stamp{envelope->stamp.load(acquire)}.state() != BlockState::kLinked) break;
    links[count] = link - 1;
    link = envelope->next.load(relaxed);
  }
  // The last link first, the head last: killed in between, all that is left hangs from the head.
  while (count > 0) {
    Envelope* envelope = segment_.envelope(links[--count]);
    const Stamp stamp{envelope->stamp.load(acquire)};
    if (stamp.state() != BlockState::kLinked) break;
    uint64_t expected = stamp.word;
    if (!envelope->stamp.compare_exchange_strong(expected, stamp.next(me_, BlockState::kOwned).word,
                                                 acq_rel, relaxed)) {
      break;
    }
    CRASH_POINT(link_taken);  // ours by stamp, of no queue: recovery frees it
    envelope->next.store(0, relaxed);  // ours now
    give_back(links[count]);
    CRASH_POINT(link_freed);
  }
  head.next.store(0, relaxed);  // ours
}

void BlockPool::link(BlockIndex head, BlockIndex last, BlockIndex link) noexcept {
  Envelope* envelope = segment_.envelope(link);
  Envelope* before = segment_.envelope(last);
  CHECK(envelope != nullptr && before != nullptr);
  envelope->head.store(head, relaxed);  // relaxed: the stamp below publishes these
  envelope->next.store(0, relaxed);
  envelope->queue.store(queue_id(QueueKind::kNone, 0), relaxed);  // no message of its own: recovery
  before->next.store(link + 1, relaxed);
  CRASH_POINT(link_named);  // in hand and named: recovery frees it as what it is, owned by the dead
  const Stamp stamp{envelope->stamp.load(relaxed)};  // ours
  envelope->stamp.store(stamp.next(me_, BlockState::kLinked).word, release);
}

void BlockPool::hold(BlockIndex block) { held_[block - first_own_] = kHeld; }

void BlockPool::release_hold(BlockIndex block) noexcept {
  uint8_t& held = held_[block - first_own_];
  const bool back = held == kHeldAndBack;
  held = 0;
  BlockPlace place;
  if (back && segment_.place_of(block, place)) put_in_stock(block, place.size_class);
}

}  // namespace sluice::shm
