// shm/block_pool.cc -- claiming from our own arena, giving back to anybody's.
#include "shm/block_pool.h"

#include <algorithm>

#include "shm/chain.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint32_t kRefillBatch = 32;  // blocks taken from the free queue at once

}  // namespace

BlockPool::BlockPool(const Segment& segment, ProcessIndex me)
    : segment_(segment),
      me_(me),
      heads_seen_(segment.geometry().processes * kClasses),
      first_own_(segment.block_at(me, 0, 0)) {
  const ClassCounts& counts = segment.blocks_of(me);
  for (uint32_t c = 0; c < kClasses; ++c) {
    // None, but what a predecessor in this row used of a class that recovery could not renew.
    fresh_[c] = std::min(segment.process(me)->used_blocks[c].load(relaxed), counts[c]);
    homes_.resize(homes_.size() + fresh_[c], Home{Where::kOut});
    homes_.resize(homes_.size() + counts[c] - fresh_[c]);
  }
}

BlockIndex BlockPool::claim_or_none(size_t bytes) noexcept {
  for (uint32_t c = 0; c < kClasses; ++c) {
    if (kClassBytes[c] < bytes) continue;
    if (stock_[c].empty()) refill(c);
    if (!stock_[c].empty()) {
      const BlockIndex block = stock_[c].back();
      stock_[c].pop_back();
      home_of(block).where = Where::kHands;
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
    if (!segment_.place_of(block, place) || place.arena != me_ || place.size_class != size_class ||
        !came_back(block)) {
      continue;
    }
    put_in_stock(block, size_class);
  }
  if (!stock_[size_class].empty()) return;
  // Blocks never used: the record's count is for recovery; ours is the one we go by.
  HalfWord& used = segment_.process(me_)->used_blocks[size_class];
  uint32_t& fresh = fresh_[size_class];
  const uint32_t end = std::min(fresh + kRefillBatch, segment_.blocks_of(me_)[size_class]);
  if (fresh == end) return;
  used.store(end, release);  // before the first stamp: recovery walks this far
  // Popped last, used first: keep the low numbers on top.
  for (uint32_t number = end; number-- > fresh;) {
    const BlockIndex block = segment_.block_at(me_, size_class, number);
    Word& word = segment_.envelope(block)->stamp;
    word.store(Stamp{word.load(relaxed)}.next(me_, BlockState::kOwned).word, release);
    home_of(block).where = Where::kStock;
    stock_[size_class].push_back(block);
  }
  fresh = end;
}

void BlockPool::went_out(BlockIndex block) noexcept {
  if (is_own(block)) home_of(block).where = Where::kOut;
}

bool BlockPool::came_back(BlockIndex block) noexcept {
  Home& home = home_of(block);
  if (home.where != Where::kOut) {  // B1
    ++refused_;
    return false;
  }
  home.where = Where::kHands;
  return true;
}

// A block in our hands.
void BlockPool::put_in_stock(BlockIndex block, uint32_t size_class) noexcept {
  Home& home = home_of(block);
  if (home.held) {
    home.where = Where::kSetAside;  // B2
    return;
  }
  home.where = Where::kStock;
  stock_[size_class].push_back(block);
  if (!chains_.empty()) chains_.erase(block);
}

void BlockPool::give_back(BlockIndex block) noexcept {
  BlockPlace place;
  if (!segment_.place_of(block, place)) return;
  if (place.arena == me_) {
    if (home_of(block).where != Where::kHands) {  // B1: we were handed it, or never had it
      ++refused_;
      return;
    }
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
  const Envelope* head = segment_.envelope(block);
  if (head == nullptr) return;
  if (head->next.load(relaxed) != 0) free_links(block);  // ours: who linked it pushed it
  give_back(block);
}

void BlockPool::free_links(BlockIndex block) noexcept {
  const auto find = [this](BlockIndex b) { return segment_.envelope(b); };
  free_chain_links(find, block, me_, [this](BlockIndex link) {
    if (!is_own(link) || came_back(link)) give_back(link);
  });
}

void BlockPool::retire(BlockIndex block) noexcept {
  const auto find = [this](BlockIndex b) { return segment_.envelope(b); };
  const auto retire_one = [&](BlockIndex b) {
    Word& word = find(b)->stamp;
    word.store(Stamp{word.load(relaxed)}.next(kNobody, BlockState::kFree).word, release);  // [S] ours
  };
  if (find(block)->next.load(relaxed) != 0) free_chain_links(find, block, me_, retire_one);
  CRASH_POINT(links_retired);
  retire_one(block);
}

void BlockPool::link(BlockIndex head, BlockIndex last, BlockIndex link) {
  CHECK(segment_.envelope(link) != nullptr && segment_.envelope(last) != nullptr);
  chains_[head].push_back(link);
  link_block([this](BlockIndex b) { return segment_.envelope(b); }, head, last, link, me_);
  went_out(link);  // whoever frees the chain gives it back
}

void BlockPool::hold(BlockIndex block) { set_hold(block, true); }

void BlockPool::release_hold(BlockIndex block) noexcept { set_hold(block, false); }

void BlockPool::set_hold(BlockIndex block, bool held) noexcept {
  const auto set_one = [&](BlockIndex each) {
    Home& home = home_of(each);
    home.held = held;
    BlockPlace place;
    if (held || home.where != Where::kSetAside || !segment_.place_of(each, place)) return;
    put_in_stock(each, place.size_class);
  };
  if (!is_own(block)) return;
  if (!chains_.empty()) {
    const auto chain = chains_.find(block);
    if (chain != chains_.end()) std::for_each(chain->second.begin(), chain->second.end(), set_one);
  }
  set_one(block);
}

}  // namespace sluice::shm
