// shm/channel_layout.h -- channels in the control segment: what they are bounded by, their records.
// The rest of the segment: layout.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "shm/block_layout.h"

namespace sluice::shm {

inline constexpr uint32_t kMaxProcesses = 1024;

// ---- queues -------------------------------------------------------------------------------------

// Head and tail of a queue. Its cells, `lap:32 | block:32`, lie elsewhere.
struct alignas(kLine) QueueEnds {
  alignas(kLine) Word head;
  alignas(kLine) Word tail;
};

// A set of processes, one bit each.
struct ProcessSet {
  std::array<Word, kMaxProcesses / 64> words;
};

// Who waits for room in a queue: `any` is set after their bits and taken away before them, so one look
// tells that nobody does (room.cc).
struct alignas(kLine) WaitingSenders {
  HalfWord any;
  std::array<uint32_t, 15> unused;
  ProcessSet who;
};
static_assert(sizeof(WaitingSenders) == 3 * kLine);

// ---- channels -----------------------------------------------------------------------------------

inline constexpr uint32_t kNoChannel = 0xffffffff;
inline constexpr size_t kMaxNameBytes = 200;

enum class ChannelState : uint32_t {
  kFree = 0,
  kOwned = 1,  // being built, or looked at to be given back
  kLive = 2,
  kKept = 3,  // live, and never given back: the gateway's own
};

// By a record's truth word.
[[nodiscard]] constexpr bool is_live(uint64_t truth) noexcept {
  const auto state = static_cast<ChannelState>(truth & 0xffff);
  return state == ChannelState::kLive || state == ChannelState::kKept;
}

// What capacity and expiry channels get whose name the glob matches: channel_rules.h.
inline constexpr uint32_t kChannelRules = 64;

struct alignas(kLine) RuleRecord {
  Word truth;           // rank:32 | owner:16 | ChannelState:16; the live one of the highest rank counts
  HalfWord capacity;    // messages; 0 the default
  HalfWord expiry_ms;   // 0 the default
  HalfWord glob_length;
  HalfWord reserved;
  std::array<Word, kMaxNameBytes / 8> glob;  // its bytes, eight to a word
};
static_assert(sizeof(RuleRecord) == 4 * kLine);

// What is counted of a channel, and of an inbox.
enum class ChannelCount : uint8_t {
  kBefore,     // what the queue's tail was when the channel was made: sent is what it grew by
  kFull,       // refused because it was full
  kExpired,    // dropped because nobody read them in time
  kWithdrawn,  // taken back by their sender
  kOnPurpose,  // dropped by drop mode
  kFlushed,    // dropped when it was emptied
  kCorrupt,    // found broken, and dropped
  kStray,      // sent to a channel that had ended, and dropped
};
using ChannelCounts = std::array<Word, 8>;

// The directory maps names to records: open addressing over
// `tag:16 | generation:16 | record + 1:32`, 0 empty; a word whose record is of another generation, or
// not live, counts for nothing (channel_table.h).
struct alignas(kLine) ChannelRecord {
  Word truth;         // generation:32 | owner:16 | ChannelState:16
  HalfWord capacity;  // messages
  HalfWord expiry_ms;
  HalfWord poisoned;  // nonzero: something impossible was found in its queue
  HalfWord name_length;
  std::array<Word, 2> sent_by_second;        // seconds.h: of the queue's tail
  std::array<Word, kMaxNameBytes / 8> name;  // its bytes, eight to a word
  alignas(kLine) ChannelCounts counts;
  // Of messages longer than their even share of the channel's bytes; a death may leave it too high.
  alignas(kLine) Word bytes_queued;
  std::array<Word, 2> full_by_second;  // of full
  Word reader;                  // incarnation:32 | row:32: of a single-reader channel its reader, of
                                // one with `!` its maker; 0 nobody
  Word touched_ms;              // when somebody last began or ended reading it; monotonic
  HalfWord longest_expiry_ms;   // it ever had: messages it holds may have been given that
  HalfWord reserved;
  Word inbox_sent;              // of one with `!`: messages sent on it, to its maker's inbox
  alignas(kLine) ProcessSet readers;  // who reads it at all
  ProcessSet waiters;                 // who sleeps and wants to be rung
  QueueEnds ends;
  WaitingSenders senders;
};
static_assert(sizeof(ChannelRecord) == (4 + 1 + 1 + 2 + 2 + 2 + 3) * kLine);

[[nodiscard]] inline Word& count_of(ChannelCounts& counts, ChannelCount which) noexcept {
  return counts[static_cast<size_t>(which)];
}
[[nodiscard]] inline const Word& count_of(const ChannelCounts& counts, ChannelCount which) noexcept {
  return counts[static_cast<size_t>(which)];
}

}  // namespace sluice::shm
