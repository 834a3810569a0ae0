// shm/statistics.h -- what happened on a channel, and what waits there; one, or all together.
//
// Counters are counted where things happen; this only reads them. A rate is how many were counted in
// the last whole second of the monotonic clock (seconds.h): nothing runs to keep it, so an idle
// gateway stays idle. All of it is a picture of a moment while others go on.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "shm/channel_layer.h"

namespace sluice::shm {

// Messages that were sent and not delivered, by reason.
struct ChannelDrops {
  uint64_t expired = 0;     // nobody read them in time
  uint64_t withdrawn = 0;   // taken back by their sender
  uint64_t on_purpose = 0;  // drop mode
  uint64_t flushed = 0;     // the channel was emptied
  uint64_t corrupt = 0;     // found broken, or out of reach
  uint64_t stray = 0;       // sent to a channel that had ended
  friend bool operator==(const ChannelDrops&, const ChannelDrops&) = default;
};

struct ChannelStatistics {
  uint64_t messages_count = 0;             // sent since the channel was made
  uint64_t messages_count_per_second = 0;  // in the last whole second
  uint64_t messages_pending = 0;           // sent, and may still be read
  std::chrono::milliseconds messages_max_age{};  // of the oldest of them
  uint64_t channel_full_count = 0;         // refused because the channel was full
  uint64_t channel_full_count_per_second = 0;
  ChannelDrops drops{};
  // Of several together: the age is the oldest one's.
  ChannelStatistics& operator+=(const ChannelStatistics& other) noexcept;
};

// What a channel's record counted: all but what waits there, which it does not look at.
[[nodiscard]] ChannelStatistics counted_of(const ChannelRecord& record) noexcept;
// The same of the inbox of a row, since the row was first used. The row must be one.
[[nodiscard]] ChannelStatistics counted_of_inbox(const Segment& segment, ProcessIndex row) noexcept;

// What is sent on a channel with `!` counts there and in the inbox it goes to; in a total, once.
class Statistics {
 public:
  // The layer outlives us. May map other processes' arenas, for the age of what they sent.
  explicit Statistics(ChannelLayer& layer) noexcept : layer_(layer) {}

  // Of the channel of that name; all zero when there is none.
  [[nodiscard]] ChannelStatistics of(std::string_view channel) const noexcept;
  // Of all channels, counting those that ended, and all inboxes together.
  [[nodiscard]] ChannelStatistics total() const noexcept;
  // Drops what waits in a channel now, and in all. What is sent meanwhile stays, as long as nobody else
  // reads. Of what lies in inboxes only what was sent on channels with `!`. A worker is told that its
  // message was taken and lost: ring() afterwards. Gives how many.
  uint64_t flush(uint32_t channel) noexcept;
  uint64_t flush_all() noexcept;

 private:
  [[nodiscard]] ChannelStatistics of_record(const OpenChannel& channel) const noexcept;
  void look(const OwnerQueue& queue, const OpenChannel* of,
            ChannelStatistics& statistics) const noexcept;
  [[nodiscard]] uint64_t empty(uint32_t channel) noexcept;
  [[nodiscard]] bool give_back(BlockIndex block) noexcept;
  [[nodiscard]] uint64_t flush_inbox_channel(const OpenChannel& channel, ProcessName maker) noexcept;

  ChannelLayer& layer_;
};

}  // namespace sluice::shm
