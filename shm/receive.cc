// shm/receive.cc -- the reading half of ChannelLayer.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <memory>

#include "shm/chain.h"
#include "shm/channel_layer.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr size_t kHeaderBytes = sizeof(PayloadHeader);
constexpr uint32_t kReopenings = 64;   // of a channel that is given back whenever we look
constexpr uint32_t kDropsInARow = 64;  // expired or broken messages stepped over in one call

uint64_t generation_now(const PayloadHeader* place) noexcept {
  // Never written through: an atomic_ref of a constant is for a later C++.
  return std::atomic_ref<uint64_t>(const_cast<uint64_t&>(place->generation)).load(relaxed);
}

void set_bit(ProcessSet& set, ProcessIndex process, bool on) noexcept {
  const uint64_t mask = uint64_t{1} << (process % 64);
  Word& word = set.words[process / 64];
  if (on) {
    word.fetch_or(mask, seq_cst);
  } else {
    word.fetch_and(~mask, seq_cst);
  }
}

}  // namespace

bool is_intact(const Taken& taken) noexcept {
  std::atomic_thread_fence(acquire);  // [I]
  return generation_now(taken.place) == taken.header.generation;
}

// ---- Delivery -----------------------------------------------------------------------------------

Delivery& Delivery::operator=(Delivery&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  block_ = std::exchange(other.block_, kNoBlock);
  header_ = other.header_;
  place_ = other.place_;
  returned_ = other.returned_;
  content_ = std::exchange(other.content_, {});
  gathered_ = std::move(other.gathered_);
  return *this;
}

bool Delivery::intact() const noexcept {
  std::atomic_thread_fence(acquire);  // [I]
  return place_ == nullptr || generation_now(place_) == header_.generation;  // null: made up
}

Delivery Delivery::made_up(const ReplyAddress& about, std::vector<std::byte> content) noexcept {
  Delivery delivery;
  delivery.header_.worker = about.worker;
  delivery.header_.incarnation = about.incarnation;
  delivery.header_.slot = about.slot;
  delivery.header_.slot_generation = about.generation;
  delivery.header_.ordinal = about.ordinal;
  delivery.header_.length = static_cast<uint32_t>(content.size());
  delivery.gathered_ = std::move(content);
  delivery.content_ = delivery.gathered_;
  return delivery;
}

BlockIndex Delivery::keep() noexcept {
  pool_ = nullptr;
  return block_;
}

// ---- taking -------------------------------------------------------------------------------------

bool ChannelLayer::take(OwnerQueue& queue, ChannelRecord* channel, uint32_t generation,
                        HalfWord& poisoned, ChannelCounts* counts, Taken& taken) noexcept {
  for (uint32_t dropped = 0; dropped < kDropsInARow; ++dropped) {
    bool withdrawn = false;
    switch (queue.try_pop(me_.index, taken.block, withdrawn)) {
      case PopOutcome::kEmpty:
        return false;
      case PopOutcome::kCorrupt:
        ++drops_.corrupt;
        continue;
      case PopOutcome::kBroken:  // decisions.md 13: its users are refused from now on
        ++drops_.corrupt;
        found_broken(poisoned);
        return false;
      case PopOutcome::kTaken:
        break;
    }
    if (segment_.arena_of(taken.block) == me_.index && !pool_.came_back(taken.block)) {
      ++drops_.corrupt;  // ours, and never sent: not to be read or freed
      continue;
    }
    const bool whole = fill(taken);
    if (channel != nullptr) uncount_bytes(*channel, taken.header.length);
    const uint64_t expires = taken.header.expires_ms;
    const uint64_t sent_to = taken.header.answered_generation;
    ChannelCount why = ChannelCount::kExpired;
    if (withdrawn) {
      ++drops_.withdrawn;
      why = ChannelCount::kWithdrawn;  // its sender counted it for the channel
    } else if (!whole) {               // counted for us
      why = ChannelCount::kCorrupt;
    } else if (channel != nullptr && sent_to != 0 && sent_to != generation) {
      ++drops_.stray;  // C3
      why = ChannelCount::kStray;
    } else if (expires == 0 || taken.returned != Returned::kNo || !is_over(expires)) {
      return true;
    } else {
      ++drops_.expired;
    }
    pool_.free(taken.block);
    if (counts == nullptr || withdrawn) continue;
    count_of(*counts, why).fetch_add(1, relaxed);  // a counter
    if (channel == nullptr && whole) count_for_inbox_channel(taken.header, why);
  }
  return false;
}

// What was sent on a channel with `!`, and dropped in its maker's inbox, counts there, too.
void ChannelLayer::count_for_inbox_channel(const PayloadHeader& header,
                                           ChannelCount why) const noexcept {
  ChannelRecord* record = segment_.channel(header.channel);
  if (record == nullptr || record->inbox_sent.load(relaxed) == 0) return;
  if (record->truth.load(relaxed) >> 32 != header.answered_generation) return;  // it ended
  count_of(record->counts, why).fetch_add(1, relaxed);
}

// Copies and checks the header, finds or gathers the content. False: counted, and to be dropped.
bool ChannelLayer::fill(Taken& taken) noexcept {
  const std::span<const std::byte> payload = arenas_.payload(taken.block);
  if (payload.empty()) {
    ++drops_.unmapped;
    taken.header.length = 0;
    return false;
  }
  std::memcpy(&taken.header, payload.data(), sizeof(PayloadHeader));
  taken.place = reinterpret_cast<const PayloadHeader*>(payload.data());
  if (taken.header.generation == 0 || !is_intact(taken)) {  // being written: not a message
    ++drops_.corrupt;
    taken.header.length = 0;
    return false;
  }
  taken.returned = Returned::kNo;
  const uint32_t returned = segment_.envelope(taken.block)->returned.load(relaxed);  // ours by now
  if (segment_.arena_of(taken.block) == me_.index &&
      returned <= static_cast<uint32_t>(Returned::kUnread)) {
    taken.returned = static_cast<Returned>(returned);
  }
  const size_t length = taken.header.length;
  if (length <= payload.size() - kHeaderBytes) {
    taken.content = payload.subspan(kHeaderBytes, length);
    return true;
  }
  const std::span<const std::byte> first = payload.subspan(kHeaderBytes);
  const uint64_t corrupt = drops_.corrupt;
  if (gather(taken, first)) return true;
  if (taken.returned != Returned::kTaken) return false;
  drops_.corrupt = corrupt;  // its taker died while it freed the links: only the head is whole
  taken.content = first;
  return true;
}

// A chain: its links are checked one by one, and the whole copied to the heap.
bool ChannelLayer::gather(Taken& taken, std::span<const std::byte> first) noexcept {
  const size_t length = taken.header.length;
  if (length > kLargestMessageBytes) {
    ++drops_.corrupt;
    return false;
  }
  taken.gathered.reserve(length);
  taken.gathered.assign(first.begin(), first.end());
  const auto find = [this](BlockIndex block) { return segment_.envelope(block); };
  BlockIndex link = find(taken.block)->next.load(relaxed);  // ours
  while (taken.gathered.size() < length) {
    if (link == 0 || !stamp_of_link(find, taken.block, link - 1)) {
      ++drops_.corrupt;
      return false;
    }
    const std::span<const std::byte> payload = arenas_.payload(link - 1);
    if (payload.empty()) {
      ++drops_.unmapped;
      return false;
    }
    const std::span<const std::byte> piece = payload.subspan(kLinkHeaderBytes);
    const size_t wanted = std::min(piece.size(), length - taken.gathered.size());
    taken.gathered.insert(taken.gathered.end(), piece.begin(),
                          piece.begin() + static_cast<std::ptrdiff_t>(wanted));
    link = find(link - 1)->next.load(relaxed);
  }
  if (!is_intact(taken)) {
    ++drops_.corrupt;
    return false;
  }
  taken.content = taken.gathered;
  return true;
}

std::optional<Delivery> ChannelLayer::try_receive() noexcept {
  // Turn 0 is the inbox, turn n the n-th channel read; each call starts where the last one found.
  Taken taken;
  const size_t turns = reading_.size() + 1;
  size_t turn = next_reading_;
  for (size_t i = 0; i < turns; ++i) {
    const bool of_inbox = turn == 0;
    const bool found = of_inbox ? take_from_inbox(taken) : take_from(reading_[turn - 1], taken);
    if (++turn == turns) turn = 0;
    if (!found) continue;
    if (of_inbox && is_stuck(me_.index)) {
      segment_.process(me_.index)->stuck.store(0, relaxed);  // a hint: not any more
    }
    next_reading_ = turn;
    return std::optional<Delivery>(std::in_place, pool_, std::move(taken));
  }
  return std::nullopt;
}

std::optional<Delivery> ChannelLayer::try_receive_from_inbox() noexcept {
  Taken taken;
  if (!take_from_inbox(taken)) return std::nullopt;
  return std::optional<Delivery>(std::in_place, pool_, std::move(taken));
}

bool ChannelLayer::take_from(Reading& reading, Taken& taken) noexcept {
  if (!reading.still_there() && !find_again(reading)) [[unlikely]] return false;
  const bool found = take(reading.queue, reading.record, reading.channel.generation,
                          reading.record->poisoned, &reading.record->counts, taken);
  made_room(reading.channel.index);
  return found;
}

std::optional<Delivery> ChannelLayer::try_receive_reply(uint32_t slot) noexcept {
  if (slot >= segment_.geometry().connections_per_worker) return std::nullopt;
  OwnerQueue ring = segment_.reply_ring(me_.index, slot);
  Taken taken;
  if (!take(ring, nullptr, 0, segment_.connection(me_.index, slot)->poisoned, nullptr, taken)) {
    return std::nullopt;
  }
  return std::optional<Delivery>(std::in_place, pool_, std::move(taken));
}

// ---- reading and waiting ------------------------------------------------------------------------

// Says that we read it, then looks whether it still is what was opened: who gives it to another name
// looks for readers after it took it (ChannelTable::claim_idle). False: it is not, or has a reader.
bool ChannelLayer::note_reader(const OpenChannel& channel, bool single) noexcept {
  ChannelRecord& record = *segment_.channel(channel.index);
  if (single) {
    const uint64_t mine = uint64_t{me_.incarnation} << 32 | me_.index;
    uint64_t reader = record.reader.load(acquire);  // [G]
    while (reader != mine) {
      const ProcessName other{static_cast<ProcessIndex>(reader), static_cast<uint32_t>(reader >> 32)};
      if (reader != 0 && processes_.is_live(other)) return false;
      if (record.reader.compare_exchange_weak(reader, mine, acq_rel, acquire)) break;  // [G]
    }
  }
  record.touched_ms.store(now_ms(), relaxed);  // a hint
  set_bit(record.readers, me_.index, true);
  const uint64_t truth = record.truth.fetch_add(0, acq_rel);  // [M] with claim_idle's
  if (truth >> 32 == channel.generation && is_live(truth)) return true;
  forget_reader(channel);
  return false;
}

void ChannelLayer::forget_reader(const OpenChannel& channel) noexcept {
  ChannelRecord& record = *segment_.channel(channel.index);
  record.touched_ms.store(now_ms(), relaxed);  // a hint; before nobody reads it
  uint64_t mine = uint64_t{me_.incarnation} << 32 | me_.index;
  if (record.reader.load(relaxed) == mine) {
    record.reader.compare_exchange_strong(mine, 0, acq_rel, relaxed);  // [G]
  }
  set_bit(record.readers, me_.index, false);
}

Result<OpenChannel> ChannelLayer::start_reading(std::string_view name) {
  const bool single = parse_channel_name(name) == ChannelKind::kSingleReader;
  for (uint32_t i = 0; i < kReopenings; ++i) {
    const Result<OpenChannel> channel = channels_.open_now(name);
    if (!channel.ok()) return channel.error();
    const auto is_it = [&](const Reading& one) { return one.channel == *channel; };
    if (std::any_of(reading_.begin(), reading_.end(), is_it)) return *channel;
    reading_.push_back({*channel, segment_.channel(channel->index),
                        segment_.channel_queue(channel->index), std::string(name)});
    if (note_reader(*channel, single)) return *channel;
    reading_.pop_back();
    if (single && channels_.lives(*channel)) return Error::kChannelHasReader;
  }
  return Error::kChannelTableFull;
}

void ChannelLayer::start_reading(uint32_t channel) {
  ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return;
  const auto generation = static_cast<uint32_t>(record->truth.load(acquire) >> 32);  // kept
  const OpenChannel kept{channel, generation};
  const auto is_it = [&](const Reading& one) { return one.channel == kept; };
  if (std::any_of(reading_.begin(), reading_.end(), is_it)) return;
  reading_.push_back({kept, record, segment_.channel_queue(channel), channels_.name_of(channel)});
  set_bit(record->readers, me_.index, true);
}

// A record was taken from under us: between our look at it and our bit somebody began to give it
// back, and somebody else took it from him. The name leads to the one that lives.
bool ChannelLayer::find_again(Reading& reading) noexcept {
  const bool single = parse_channel_name(reading.name) == ChannelKind::kSingleReader;
  const Result<OpenChannel> channel = channels_.open_now(reading.name);
  if (!channel.ok() || !note_reader(*channel, single)) return false;  // the next look tries again
  set_bit(reading.record->readers, me_.index, false);
  reading.channel = *channel;
  reading.record = segment_.channel(channel->index);
  std::destroy_at(&reading.queue);  // it is made of references
  std::construct_at(&reading.queue, segment_.channel_queue(channel->index));
  return true;
}

void ChannelLayer::stop_reading() noexcept {
  stop_waiting();
  for (const Reading& one : reading_) forget_reader(one.channel);
  reading_.clear();
  next_reading_ = 0;
}

bool ChannelLayer::has_reader(uint32_t channel) const noexcept {
  const ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return false;
  const uint32_t words = (segment_.geometry().processes + 63) / 64;
  for (uint32_t w = 0; w < words; ++w) {
    // Recovery clears the dead's bits.
    for (uint64_t bits = record->readers.words[w].load(relaxed); bits != 0; bits &= bits - 1) {
      if (!is_stuck(static_cast<ProcessIndex>(w * 64 + std::countr_zero(bits)))) return true;
    }
  }
  return false;
}

bool ChannelLayer::anything_waiting() const noexcept {
  if (!inbox_.empty()) return true;
  return std::any_of(reading_.begin(), reading_.end(),
                     [](const Reading& one) { return one.still_there() && !one.queue.empty(); });
}

void ChannelLayer::wait_on_channels() noexcept {
  for (const Reading& one : reading_) {
    // Somebody scribbled: say again that we read.
    const uint64_t bit = uint64_t{1} << (me_.index % 64);
    if ((one.record->readers.words[me_.index / 64].load(relaxed) & bit) == 0) {
      set_bit(one.record->readers, me_.index, true);
    }
    set_bit(one.record->waiters, me_.index, true);
  }
}

void ChannelLayer::stop_waiting() noexcept {
  for (const Reading& one : reading_) set_bit(one.record->waiters, me_.index, false);
}

void ChannelLayer::pass_on() noexcept {
  for (const Reading& one : reading_) {
    if (one.still_there() && !one.queue.empty()) ring_one_waiter(one.channel.index);
  }
}

}  // namespace sluice::shm
