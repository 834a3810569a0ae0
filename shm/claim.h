// shm/claim.h -- a message being written, where it is to go, and what its sender remembers of it.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "protocol/channel_name.h"
#include "protocol/limits.h"
#include "shm/block_pool.h"
#include "shm/layout.h"

namespace sluice::shm {

inline constexpr size_t kLargestMessageBytes = limits::kMessageBytes + limits::kEncodingSlackBytes;

// A block, or a heap buffer for a chain, that is being written. Abandoned unless it is sent.
class Claim {
 public:
  Claim() noexcept = default;
  Claim(BlockPool& pool, BlockIndex block, std::span<std::byte> space) noexcept
      : pool_(&pool), block_(block), space_(space) {}
  Claim(BlockPool& pool, std::vector<std::byte> buffer) noexcept
      : pool_(&pool), buffer_(std::move(buffer)) {}
  Claim(Claim&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        block_(other.block_),
        space_(other.space_),
        buffer_(std::move(other.buffer_)) {}
  Claim& operator=(Claim&& other) noexcept {
    if (this == &other) return *this;
    abandon();
    pool_ = std::exchange(other.pool_, nullptr);
    block_ = other.block_;
    space_ = other.space_;
    buffer_ = std::move(other.buffer_);
    return *this;
  }
  ~Claim() { abandon(); }
  // Where the message's bytes go; may be larger than asked for.
  [[nodiscard]] std::span<std::byte> space() noexcept {
    return buffer_.empty() ? space_ : std::span<std::byte>(buffer_);
  }
  // The block written to; kNoBlock for a chain.
  [[nodiscard]] BlockIndex block() const noexcept { return block_; }
  [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }
  // Forgets its block, which its claimer keeps by number: to be freed, or made a claim again by the
  // constructor. kNoBlock where it was sent.
  [[nodiscard]] BlockIndex put_aside() noexcept {
    pool_ = nullptr;
    return std::exchange(block_, kNoBlock);
  }
  void abandon() noexcept {
    if (pool_ != nullptr) give_up();
  }

 private:
  void give_up() noexcept;
  friend class ChannelLayer;
  BlockPool* pool_ = nullptr;
  BlockIndex block_ = kNoBlock;  // kNoBlock while pool_ is set: a chain, gathered in buffer_
  std::span<std::byte> space_{};
  std::vector<std::byte> buffer_;
};

// What goes into the payload's header beside the bytes.
struct Route {
  uint32_t channel = kNoChannel;  // the logical channel
  ReplyAddress about{};           // the exchange or connection it is about or meant for
  uint64_t expires_ms = 0;        // monotonic; 0: send() uses the channel's expiry, others never
  BlockIndex answered_block = kNoBlock;  // of a reply: which request block it answers, as received
  bool may_drop = false;  // drop mode may lose it
  uint64_t answered_generation = 0;      // of a message on a channel: OpenChannel::generation
};

// A message on its way, as its sender remembers it.
struct Sent {
  BlockIndex block = kNoBlock;
  uint64_t payload_generation = 0;  // PayloadHeader::generation: an answer must echo it
  uint64_t queued_generation = 0;   // the stamp's when it was pushed
};

enum class Progress : uint8_t {
  kUnread,  // still queued
  kTaken,   // in the hands of `taker`
  kOver,    // freed, withdrawn or handed back
};

}  // namespace sluice::shm
