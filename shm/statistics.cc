// shm/statistics.cc -- see statistics.h.
#include "shm/statistics.h"

#include <algorithm>
#include <cstring>

#include "shm/clock.h"
#include "shm/seconds.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

// The counters, from a record or as those of ended channels were added up: all but messages_count.
ChannelStatistics in(const ChannelCounts& counts) noexcept {
  const auto count = [&](ChannelCount which) {
    return counts[static_cast<size_t>(which)].load(relaxed);  // counters
  };
  return {.messages_count = count(ChannelCount::kOnPurpose),  // sent, too, and in no queue
          .channel_full_count = count(ChannelCount::kFull),
          .drops = {.expired = count(ChannelCount::kExpired),
                    .withdrawn = count(ChannelCount::kWithdrawn),
                    .on_purpose = count(ChannelCount::kOnPurpose),
                    .flushed = count(ChannelCount::kFlushed),
                    .corrupt = count(ChannelCount::kCorrupt),
                    .stray = count(ChannelCount::kStray)}};
}

}  // namespace

ChannelStatistics& ChannelStatistics::operator+=(const ChannelStatistics& other) noexcept {
  messages_count += other.messages_count;
  messages_count_per_second += other.messages_count_per_second;
  messages_pending += other.messages_pending;
  messages_max_age = std::max(messages_max_age, other.messages_max_age);
  channel_full_count += other.channel_full_count;
  channel_full_count_per_second += other.channel_full_count_per_second;
  drops.expired += other.drops.expired;
  drops.withdrawn += other.drops.withdrawn;
  drops.on_purpose += other.drops.on_purpose;
  drops.flushed += other.drops.flushed;
  drops.corrupt += other.drops.corrupt;
  drops.stray += other.drops.stray;
  return *this;
}

ChannelStatistics counted_of(const ChannelRecord& record) noexcept {
  ChannelStatistics counted = in(record.counts);
  const uint64_t now = now_ms();
  const Word& full = record.counts[static_cast<size_t>(ChannelCount::kFull)];
  const Word& before = record.counts[static_cast<size_t>(ChannelCount::kBefore)];
  counted.messages_count += record.ends.tail.load(acquire) - before.load(relaxed);  // [T]
  counted.messages_count_per_second =
      counted_last_second(record.sent_by_second, now, record.ends.tail);
  counted.channel_full_count_per_second = counted_last_second(record.full_by_second, now, full);
  return counted;
}

ChannelStatistics Statistics::of_record(uint32_t channel) const noexcept {
  const Segment& segment = layer_.segment();
  ChannelStatistics statistics = counted_of(*segment.channel(channel));
  const uint64_t now = now_ms();
  // The oldest come first. Once one is not expired we look at no more payloads.
  bool found = false;
  segment.channel_queue(channel).for_each([&](BlockIndex block) {
    const Envelope* envelope = segment.envelope(block);
    if (envelope == nullptr) return;
    const uint64_t stamp = envelope->stamp.load(acquire);  // [S]
    if (Stamp{stamp}.state() != BlockState::kQueued) return;
    if (!found) {
      const std::span<const std::byte> payload = layer_.arenas().payload(block);
      PayloadHeader header{};
      if (payload.size() < sizeof header) return;
      std::memcpy(&header, payload.data(), sizeof header);
      std::atomic_thread_fence(acquire);
      if (envelope->stamp.load(relaxed) != stamp) return;  // taken while we looked
      if (header.expires_ms != 0 && is_over(header.expires_ms)) return;
      found = true;
      const uint64_t age = now - std::min(header.published_ms, now);
      statistics.messages_max_age = std::chrono::milliseconds(age);
    }
    ++statistics.messages_pending;
  });
  return statistics;
}

ChannelStatistics Statistics::of(std::string_view channel) const noexcept {
  const auto found = layer_.channels().find_now(channel);
  return found ? of_record(found->index) : ChannelStatistics{};
}

ChannelStatistics Statistics::total() const noexcept {
  const ChannelCounts& ended = layer_.segment().header().ended;
  ChannelStatistics sum = in(ended);
  sum.messages_count += ended[static_cast<size_t>(ChannelCount::kBefore)].load(relaxed);
  for (uint32_t channel = 0; channel < layer_.segment().geometry().channels; ++channel) {
    if (is_live(layer_.segment().channel(channel)->truth.load(acquire))) sum += of_record(channel);
  }
  return sum;
}

uint64_t Statistics::flush(uint32_t channel) noexcept {
  const Segment& segment = layer_.segment();
  ChannelRecord* record = segment.channel(channel);
  if (record == nullptr || !is_live(record->truth.load(acquire))) return 0;
  OwnerQueue queue = segment.channel_queue(channel);
  uint64_t flushed = 0;
  // At most what there is room for: senders go on, and need not keep us here.
  for (uint32_t i = 0; i < segment.geometry().channel_cells; ++i) {
    BlockIndex block = kNoBlock;
    bool withdrawn = false;
    if (queue.try_pop(layer_.me().index, block, withdrawn) != PopOutcome::kTaken) break;
    PayloadHeader header{};
    const std::span<const std::byte> payload = layer_.arenas().payload(block);
    if (payload.size() >= sizeof header) std::memcpy(&header, payload.data(), sizeof header);
    layer_.uncount_bytes(*record, header.length);
    layer_.pool().free_taken(block);
    if (!withdrawn) ++flushed;
  }
  count_of(*record, ChannelCount::kFlushed).fetch_add(flushed, relaxed);  // a counter
  layer_.made_room(channel);
  return flushed;
}

uint64_t Statistics::flush_all() noexcept {
  uint64_t flushed = 0;
  for (uint32_t channel = 0; channel < layer_.segment().geometry().channels; ++channel) {
    flushed += flush(channel);
  }
  return flushed;
}

}  // namespace sluice::shm
