// shm/delivery.h -- a message received, and the counts of those that were found but not delivered.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "protocol/channel_name.h"
#include "shm/block_pool.h"
#include "shm/layout.h"

namespace sluice::shm {

// A message as a queue gave it, its block ours: what a Delivery is made of.
struct Taken {
  Taken() noexcept {}  // not zeroed as a whole
  BlockIndex block = kNoBlock;
  Returned returned = Returned::kNo;
  PayloadHeader header{};
  const PayloadHeader* place = nullptr;  // of the header, in the sender's arena
  std::span<const std::byte> content{};
  std::vector<std::byte> gathered;  // the content of a chain
};

// What was read of it until now is of this message: see Delivery::intact().
[[nodiscard]] bool is_intact(const Taken& taken) noexcept;

// A message received. Its block is freed when the delivery ends, unless kept.
class Delivery {
 public:
  Delivery() noexcept = default;
  Delivery(BlockPool& pool, Taken&& taken) noexcept
      : pool_(&pool),
        block_(taken.block),
        header_(taken.header),
        place_(taken.place),
        returned_(taken.returned),
        content_(taken.content),
        gathered_(std::move(taken.gathered)) {}
  Delivery(Delivery&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        block_(other.block_),
        header_(other.header_),
        place_(other.place_),
        returned_(other.returned_),
        content_(std::exchange(other.content_, {})),
        gathered_(std::move(other.gathered_)) {}
  Delivery& operator=(Delivery&& other) noexcept;
  ~Delivery() { release(); }

  // The payload's header, copied once and checked against the segment.
  [[nodiscard]] const PayloadHeader& header() const noexcept { return header_; }
  [[nodiscard]] ReplyAddress about() const noexcept {
    return {header_.worker, header_.incarnation, header_.slot, header_.slot_generation,
            header_.ordinal};
  }
  // The message's bytes, in place (or gathered, for a chain). Their writer may be hostile. Of a
  // chain that came back as kTaken, perhaps only what its first block holds.
  [[nodiscard]] std::span<const std::byte> content() const noexcept { return content_; }
  [[nodiscard]] BlockIndex block() const noexcept { return block_; }
  // What was read of content() until now is of this message. False: its sender was given the block
  // back behind our back and writes another message into it; what was read is not to be used.
  [[nodiscard]] bool intact() const noexcept;
  // Not kNo: the block is our own, handed back because its taker died.
  [[nodiscard]] Returned returned() const noexcept { return returned_; }
  // One that no process sent: content of our own, and no block.
  [[nodiscard]] static Delivery made_up(const ReplyAddress& about,
                                        std::vector<std::byte> content) noexcept;
  // Frees the block now.
  void release() noexcept {
    if (pool_ == nullptr) return;
    std::exchange(pool_, nullptr)->free(block_);
    content_ = {};
  }
  // Keeps the block in our hands; the caller frees it with ChannelLayer::free_block().
  [[nodiscard]] BlockIndex keep() noexcept;

 private:
  BlockPool* pool_ = nullptr;
  BlockIndex block_ = kNoBlock;
  PayloadHeader header_{};
  const PayloadHeader* place_ = nullptr;  // of header_, in the sender's arena
  Returned returned_ = Returned::kNo;
  std::span<const std::byte> content_{};
  std::vector<std::byte> gathered_;
};

// Why a message that was found was not delivered; counted by ChannelLayer::drops().
struct Drops {
  uint64_t expired = 0;    // past its deadline when read
  uint64_t withdrawn = 0;  // taken back by its sender
  uint64_t corrupt = 0;    // header, index or length that cannot be
  uint64_t unmapped = 0;   // its arena could not be had
  uint64_t on_purpose = 0;  // drop mode: sent by us
  uint64_t stray = 0;      // its channel ended before it was sent
};

}  // namespace sluice::shm
