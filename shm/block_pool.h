// shm/block_pool.h -- claims blocks of our own arena, and gives back any block we own.
//
// Only an arena's own process claims from it, so one flood cannot take another process's last
// block. Freed blocks come back through the arena's free queues; our own go straight onto a private
// stock (their stamps say owned-by-us, so recovery finds them). Blocks never used yet are counted,
// not listed.
//
// B1  Where each block of our arena is, our own table says, not its stamp: in stock, in our hands, or
//     out. Only one that is out comes home, so that no scribbled stamp, cell or link makes us claim a
//     block twice, or one that we are writing.
// B2  A block that is held does not go into stock, nor do the links of its chain, whoever gives them
//     back (decisions.md 9).
#pragma once

#include <array>
#include <optional>
#include <unordered_map>
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
  // Gives back a block in our hands, with the links of the chain it heads.
  void free(BlockIndex block) noexcept;
  // The same of a block that we took out of a queue, or from the dead.
  void free_taken(BlockIndex block) noexcept {
    if (!is_own(block) || came_back(block)) free(block);
  }

  // Gives back a block of an arena whose process is dead, in our hands, with its links: as if never
  // used. For recovery.
  void retire(BlockIndex block) noexcept;

  // While held, a block of ours that comes back is set aside, not claimed again: its worker still
  // tells an open exchange by it.
  void hold(BlockIndex block);
  void release_hold(BlockIndex block) noexcept;

  // Makes `link` (ours) the next link after `last` of the chain headed by `head` (ours).
  void link(BlockIndex head, BlockIndex last, BlockIndex link);

  // A block of our arena was published: whoever takes it may give it back from now on.
  void went_out(BlockIndex block) noexcept;
  // A block of our arena stood in a queue of ours, and is in our hands by its stamp. False: it was
  // not out, somebody scribbled; it is not to be used or freed (B1).
  [[nodiscard]] bool came_back(BlockIndex block) noexcept;
  // Blocks that came home and were not out.
  [[nodiscard]] uint64_t refused() const noexcept { return refused_; }

 private:
  [[nodiscard]] BlockIndex claim_or_none(size_t bytes) noexcept;
  void free_links(BlockIndex block) noexcept;
  void give_back(BlockIndex block) noexcept;  // one block, owned by us
  enum class Where : uint8_t { kUnused, kStock, kHands, kOut, kSetAside };
  struct Home {
    Where where = Where::kUnused;
    bool held = false;  // kSetAside: it is back, and held
  };
  [[nodiscard]] Home& home_of(BlockIndex block) noexcept { return homes_[block - first_own_]; }
  [[nodiscard]] bool is_own(BlockIndex block) const noexcept {
    return block - first_own_ < homes_.size();
  }
  void put_in_stock(BlockIndex block, uint32_t size_class) noexcept;
  void set_hold(BlockIndex block, bool held) noexcept;
  void refill(uint32_t size_class) noexcept;  // from the free queue, then from blocks never used

  const Segment& segment_;
  ProcessIndex me_;
  std::array<std::vector<BlockIndex>, kClasses> stock_;
  std::array<uint32_t, kClasses> fresh_{};  // blocks from here on were never used
  std::vector<Home> homes_;                 // by number in our arena
  std::unordered_map<BlockIndex, std::vector<BlockIndex>> chains_;  // links by head, until it is back
  uint64_t refused_ = 0;
  std::vector<uint64_t> heads_seen_;  // of others' free queues: see OwnerQueue::try_push()
  BlockIndex first_own_ = 0;
};

}  // namespace sluice::shm
