// shm/block_layout.h -- a block: the stamp that says whose it is, its line in the control segment,
// and what its payload begins with. The rest of the segment: layout.h.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sluice::shm {

using Word = std::atomic<uint64_t>;
using HalfWord = std::atomic<uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);
static_assert(HalfWord::is_always_lock_free && sizeof(HalfWord) == 4);
inline constexpr size_t kLine = 64;

// ---- whose a block is ---------------------------------------------------------------------------

using ProcessIndex = uint16_t;  // row of the process table; 0 is nobody
using BlockIndex = uint32_t;    // arena << block_bits(geometry) | number within it
inline constexpr ProcessIndex kNobody = 0;
inline constexpr ProcessIndex kMasterRow = 1;
inline constexpr BlockIndex kNoBlock = 0xffffffff;

enum class BlockState : uint8_t {
  kFree = 0,       // not yet claimed in the life of its arena's process
  kOwned = 1,      // in the hands of the owner: being written, being read, or in its private stock
  kQueued = 2,     // pushed by the owner: in a cell of its queue, or about to be
  kWithdrawn = 3,  // taken back while queued; whoever meets it at the head frees it
  kLinked = 4,     // part of a chain: whoever owns the chain's head owns it
  kShared = 5,     // a group's message, sent by the owner: workers read it until `holders` is empty
};

// generation:40 | owner:16 | state:8
struct Stamp {
  uint64_t word = 0;
  static constexpr Stamp of(uint64_t generation, ProcessIndex owner, BlockState state) noexcept {
    return {generation << 24 | uint64_t{owner} << 8 | static_cast<uint64_t>(state)};
  }
  [[nodiscard]] constexpr uint64_t generation() const noexcept { return word >> 24; }
  [[nodiscard]] constexpr ProcessIndex owner() const noexcept {
    return static_cast<ProcessIndex>(word >> 8);
  }
  [[nodiscard]] constexpr BlockState state() const noexcept {
    return static_cast<BlockState>(word & 0xff);
  }
  // The next stamp of the same block: another owner or state, one generation on.
  [[nodiscard]] constexpr Stamp next(ProcessIndex owner, BlockState state) const noexcept {
    return of(generation() + 1, owner, state);
  }
  friend constexpr bool operator==(Stamp, Stamp) = default;
};

// Which queue a block was last pushed to: kind:4 | index:28. Recovery asks it.
enum class QueueKind : uint32_t { kNone = 0, kChannel = 1, kInbox = 2, kReply = 3, kFree = 4 };
constexpr uint32_t queue_id(QueueKind kind, uint32_t index) noexcept {
  return static_cast<uint32_t>(kind) << 28 | (index & 0x0fffffff);
}

// Workers that can hold one shared payload: a bit each.
inline constexpr uint32_t kMostHolders = 5 * 64;

// A block's line in the control segment; the payload lies in its arena.
struct alignas(kLine) Envelope {
  Word stamp;         // L1
  HalfWord queue;     // queue_id(); written by the owner before it stamps kQueued
  HalfWord next;      // the next link of a chain + 1, or 0; written by the owner
  HalfWord head;      // of a link: the chain's head
  HalfWord returned;  // set by recovery when it hands the block back: see Returned
  // Of a shared block: the workers (row - 2) that have not let go of it; bits of a word, never a
  // count, so letting go twice is harmless. Written before the stamp says kShared.
  std::array<Word, kMostHolders / 64> holders;
};
static_assert(sizeof(Envelope) == kLine);

// Why recovery handed a block back to the process whose arena it lies in.
enum class Returned : uint32_t {
  kNo = 0,
  kTaken = 1,   // its taker died with it in hand: not to be delivered again
  kUnread = 2,  // it lay unread in the inbox of the dead: may be sent again
};

// ---- what a payload begins with -----------------------------------------------------------------

// First bytes of every head block's payload, in the sender's arena, where only the sender writes:
// identity is checked here, because stamps and cells can be scribbled on by anyone (decisions.md
// 9).
struct alignas(8) PayloadHeader {
  uint64_t generation;    // of this message, by its sender's own count; 0 while it is written
  uint32_t length;        // message bytes behind this header, through all links of the chain
  uint32_t channel;       // index in the channel table: the logical channel
  uint64_t expires_ms;    // monotonic; 0 never
  uint64_t published_ms;  // monotonic
  uint16_t worker;        // the reply address the message is about or meant for; 0 none
  uint16_t sender;        // process that wrote this
  uint32_t incarnation;   // of `worker`
  uint32_t slot;
  uint32_t slot_generation;
  uint32_t ordinal;         // the request's; 0 of a WebSocket
  uint32_t answered_block;  // of a reply: the request's block and its generation, as the consumer
                            // saw them; of a notice: the shared payload's
  uint64_t answered_generation;  // of a message on a channel that may be given back: that channel's
};
static_assert(sizeof(PayloadHeader) == 64);

// First bytes of a link's payload: zero, where a head has its generation. So a link is no message of its own
// when somebody scribbles it into a queue, whatever a client wrote into it.
inline constexpr size_t kLinkHeaderBytes = sizeof(PayloadHeader::generation);

}  // namespace sluice::shm
