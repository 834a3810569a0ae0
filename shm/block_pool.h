// shm/block_pool.h -- claims blocks of our own arena, and gives back any block we own.
//
// Only an arena's own process claims from it, so one flood cannot take another process's last
// block. Freed blocks come back through the arena's free queues; our own go straight onto a private
// stock (their stamps say owned-by-us, so recovery finds them). Blocks never used yet are counted,
// not listed.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "shm/segment.h"

namespace sluice::shm {

class BlockPool {
 public:
  BlockPool(const Segment& segment, ProcessIndex me);

  // A block of the smallest class that holds `bytes` (at most 1 MiB), owned by us; a larger class
  // where the fitting one is used up. Nothing when the arena is exhausted.
  [[nodiscard]] std::optional<BlockIndex> try_claim(size_t bytes) noexcept {
    const BlockIndex block = claim_or_none(bytes);
    return block == kNoBlock ? std::nullopt : std::optional(block);
  }
  // Gives back a block we own, with the links of the chain it heads.
  void free(BlockIndex block) noexcept;

  // While held, a block of ours that comes back is set aside, not claimed again: its worker still
  // tells an open exchange by it (decisions.md 9).
  void hold(BlockIndex block);
  void release_hold(BlockIndex block) noexcept;

  // Makes `link` (ours) the next link after `last` of the chain headed by `head` (ours).
  void link(BlockIndex head, BlockIndex last, BlockIndex link) noexcept;

 private:
  [[nodiscard]] BlockIndex claim_or_none(size_t bytes) noexcept;
  void free_links(BlockIndex block, Envelope& head) noexcept;
  void give_back(BlockIndex block) noexcept;  // one block, owned by us
  void put_in_stock(BlockIndex block, uint32_t size_class) noexcept;
  void refill(uint32_t size_class) noexcept;  // from the free queue, then from blocks never used

  const Segment& segment_;
  ProcessIndex me_;
  std::array<std::vector<BlockIndex>, kClasses> stock_;
  std::array<uint32_t, kClasses> fresh_{};  // blocks from here on were never used
  std::vector<uint8_t> held_;               // by number in our arena: 1 held, 2 held and set aside
  std::vector<uint64_t> heads_seen_;        // of others' free queues: see OwnerQueue::try_push()
  BlockIndex first_own_ = 0;
};

}  // namespace sluice::shm
