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
    return count_of(counts, which).load(relaxed);  // counters
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

bool is_on(const PayloadHeader& header, const OpenChannel& channel) noexcept {
  return header.channel == channel.index && header.answered_generation == channel.generation;
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
  const uint64_t in_inbox = record.inbox_sent.load(relaxed);
  const Word& before = count_of(record.counts, ChannelCount::kBefore);
  counted.messages_count += record.ends.tail.load(acquire) - before.load(relaxed) + in_inbox;  // [T]
  counted.messages_count_per_second = counted_last_second(
      record.sent_by_second, now, in_inbox != 0 ? record.inbox_sent : record.ends.tail);
  counted.channel_full_count_per_second = counted_last_second(
      record.full_by_second, now, count_of(record.counts, ChannelCount::kFull));
  return counted;
}

ChannelStatistics counted_of_inbox(const Segment& segment, ProcessIndex row) noexcept {
  const ProcessRecord& record = *segment.process(row);
  const Word& tail = segment.inbox_ends(row).tail;
  ChannelStatistics counted = in(record.inbox_counts);
  const uint64_t now = now_ms();
  counted.messages_count += tail.load(acquire);  // [T]
  counted.messages_count_per_second = counted_last_second(record.inbox_sent_by_second, now, tail);
  counted.channel_full_count_per_second =
      counted_last_second(record.inbox_full_by_second, now,
                          count_of(record.inbox_counts, ChannelCount::kFull));
  return counted;
}

// What waits in a queue and is not expired; `of` nothing: all of it, else what was sent on that channel.
void Statistics::look(const OwnerQueue& queue, const OpenChannel* of,
                      ChannelStatistics& statistics) const noexcept {
  const Segment& segment = layer_.segment();
  const uint64_t now = now_ms();
  // The oldest come first: once one is not expired no payload need be looked at, but for its channel.
  bool found = false;
  queue.for_each([&](BlockIndex block) {
    const Envelope* envelope = segment.envelope(block);
    if (envelope == nullptr) return;
    const uint64_t stamp = envelope->stamp.load(acquire);  // [S]
    if (Stamp{stamp}.state() != BlockState::kQueued) return;
    if (!found || of != nullptr) {
      const std::span<const std::byte> payload = layer_.arenas().payload(block);
      PayloadHeader header{};
      if (payload.size() < sizeof header) return;
      std::memcpy(&header, payload.data(), sizeof header);
      std::atomic_thread_fence(acquire);
      if (envelope->stamp.load(relaxed) != stamp) return;  // taken while we looked
      if (header.expires_ms != 0 && is_over(header.expires_ms)) return;
      if (of != nullptr && !is_on(header, *of)) return;
      found = true;
      const auto age = std::chrono::milliseconds(now - std::min(header.published_ms, now));
      statistics.messages_max_age = std::max(statistics.messages_max_age, age);
    }
    ++statistics.messages_pending;
  });
}

ChannelStatistics Statistics::of_record(const OpenChannel& channel) const noexcept {
  const Segment& segment = layer_.segment();
  ChannelStatistics statistics = counted_of(*segment.channel(channel.index));
  if (const auto maker = layer_.channels().inbox_of(channel); !maker) {
    look(segment.channel_queue(channel.index), nullptr, statistics);
  } else if (segment.process(maker->index) != nullptr) {
    look(segment.inbox(maker->index), &channel, statistics);
  }
  return statistics;
}

ChannelStatistics Statistics::of(std::string_view channel) const noexcept {
  const auto found = layer_.channels().find_now(channel);
  return found ? of_record(*found) : ChannelStatistics{};
}

ChannelStatistics Statistics::total() const noexcept {
  const ChannelCounts& ended = layer_.segment().header().ended;
  ChannelStatistics sum = in(ended);
  sum.messages_count += ended[static_cast<size_t>(ChannelCount::kBefore)].load(relaxed);
  const Segment& segment = layer_.segment();
  for (uint32_t index = 0; index < segment.geometry().channels; ++index) {
    const uint64_t truth = segment.channel(index)->truth.load(acquire);  // [N]
    const OpenChannel channel{index, static_cast<uint32_t>(truth >> 32)};
    if (is_live(truth) && !layer_.channels().inbox_of(channel)) sum += of_record(channel);
  }
  for (uint32_t row = kMasterRow; row < segment.geometry().processes; ++row) {
    const auto process = static_cast<ProcessIndex>(row);
    if (segment.process(row)->life.load(acquire) == 0) continue;  // never used
    ChannelStatistics inbox = counted_of_inbox(segment, process);
    look(segment.inbox(row), nullptr, inbox);
    sum += inbox;
  }
  return sum;
}

uint64_t Statistics::flush(uint32_t index) noexcept {
  const Segment& segment = layer_.segment();
  ChannelRecord* record = segment.channel(index);
  if (record == nullptr) return 0;
  const uint64_t truth = record->truth.load(acquire);  // [N]
  if (!is_live(truth)) return 0;
  const OpenChannel channel{index, static_cast<uint32_t>(truth >> 32)};
  const auto maker = layer_.channels().inbox_of(channel);
  const uint64_t flushed = maker ? flush_inbox_channel(channel, *maker) : empty(index);
  count_of(record->counts, ChannelCount::kFlushed).fetch_add(flushed, relaxed);  // a counter
  layer_.made_room(index);
  return flushed;
}

uint64_t Statistics::empty(uint32_t channel) noexcept {
  const Segment& segment = layer_.segment();
  OwnerQueue queue = segment.channel_queue(channel);
  uint64_t flushed = 0;
  // At most what waits now: a sender that finds room meanwhile has not sent for nothing, nor keeps us here.
  uint32_t waiting = 0;
  queue.for_each([&](BlockIndex) { ++waiting; });
  for (uint32_t i = 0; i < waiting; ++i) {
    BlockIndex block = kNoBlock;
    bool withdrawn = false;
    if (queue.try_pop(layer_.me().index, block, withdrawn) != PopOutcome::kTaken) break;
    PayloadHeader header{};
    const std::span<const std::byte> payload = layer_.arenas().payload(block);
    if (payload.size() >= sizeof header) std::memcpy(&header, payload.data(), sizeof header);
    layer_.uncount_bytes(*segment.channel(channel), header.length);
    if (withdrawn || !give_back(block)) layer_.pool().free_taken(block);
    if (!withdrawn) ++flushed;
  }
  return flushed;
}

// To the worker whose it is, as what a dead process had taken: it alone knows who waits for an answer.
bool Statistics::give_back(BlockIndex block) noexcept {
  const Segment& segment = layer_.segment();
  const ProcessIndex worker = segment.arena_of(block);
  const auto living = segment.is_worker(worker) ? layer_.processes().living(worker) : std::nullopt;
  if (!living) return false;
  segment.envelope(block)->returned.store(static_cast<uint32_t>(Returned::kTaken), relaxed);  // ours
  return layer_.send_block_to(*living, block).ok();
}

// Its messages stand among others: they are withdrawn, and leave when their reader meets them.
uint64_t Statistics::flush_inbox_channel(const OpenChannel& channel, ProcessName maker) noexcept {
  const Segment& segment = layer_.segment();
  ProcessRecord* inbox = segment.process(maker.index);
  if (inbox == nullptr) return 0;
  uint64_t flushed = 0;
  segment.inbox(maker.index).for_each([&](BlockIndex block) {
    Envelope* envelope = segment.envelope(block);
    if (envelope == nullptr) return;
    const Stamp stamp{envelope->stamp.load(acquire)};  // [S]
    const std::span<const std::byte> payload = layer_.arenas().payload(block);
    PayloadHeader header{};
    if (stamp.state() != BlockState::kQueued || payload.size() < sizeof header) return;
    std::memcpy(&header, payload.data(), sizeof header);
    if (!is_on(header, channel)) return;
    uint64_t expected = stamp.word;  // [S] what we looked at is what it still is
    if (envelope->stamp.compare_exchange_strong(
            expected, stamp.next(stamp.owner(), BlockState::kWithdrawn).word, acq_rel, relaxed)) {
      ++flushed;
    }
  });
  count_of(inbox->inbox_counts, ChannelCount::kFlushed).fetch_add(flushed, relaxed);  // a counter
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
