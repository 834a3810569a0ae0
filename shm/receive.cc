// shm/receive.cc -- the reading half of ChannelLayer.
#include <algorithm>
#include <cstring>

#include "shm/channel_layer.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr size_t kHeaderBytes = sizeof(PayloadHeader);
constexpr uint32_t kDropsInARow = 64;  // expired or broken messages stepped over in one call

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

// ---- Delivery -----------------------------------------------------------------------------------

Delivery& Delivery::operator=(Delivery&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  block_ = std::exchange(other.block_, kNoBlock);
  header_ = other.header_;
  returned_ = other.returned_;
  content_ = std::exchange(other.content_, {});
  gathered_ = std::move(other.gathered_);
  return *this;
}

void Delivery::release() noexcept {
  if (pool_ == nullptr) return;
  pool_->free(block_);
  pool_ = nullptr;
  content_ = {};
}

BlockIndex Delivery::keep() noexcept {
  pool_ = nullptr;
  return block_;
}

// ---- taking -------------------------------------------------------------------------------------

std::optional<Delivery> ChannelLayer::take(OwnerQueue queue, ChannelRecord* channel) noexcept {
  for (uint32_t dropped = 0; dropped < kDropsInARow; ++dropped) {
    BlockIndex block = kNoBlock;
    bool withdrawn = false;
    switch (queue.try_pop(me_.index, block, withdrawn)) {
      case PopOutcome::kEmpty:
        return std::nullopt;
      case PopOutcome::kCorrupt:
        ++drops_.corrupt;
        continue;
      case PopOutcome::kTaken:
        break;
    }
    Delivery delivery;
    delivery.pool_ = &pool_;
    delivery.block_ = block;  // freed with the delivery, whatever becomes of it
    const bool whole = fill(delivery);
    if (channel != nullptr) channel->bytes_queued.fetch_sub(delivery.header_.length, relaxed);
    if (withdrawn) {
      ++drops_.withdrawn;
      continue;
    }
    if (!whole) continue;  // counted
    const uint64_t expires = delivery.header_.expires_ms;
    if (expires != 0 && now_ms() >= expires && delivery.returned_ == Returned::kNo) {
      ++drops_.expired;
      if (channel != nullptr) channel->expired.fetch_add(1, relaxed);
      continue;
    }
    return delivery;
  }
  return std::nullopt;
}

// Copies and checks the header, finds or gathers the content. False: dropped and counted.
bool ChannelLayer::fill(Delivery& delivery) noexcept {
  const std::span<const std::byte> payload = arenas_.payload(delivery.block_);
  if (payload.empty()) {
    ++drops_.unmapped;
    return false;
  }
  std::memcpy(&delivery.header_, payload.data(), sizeof(PayloadHeader));
  Envelope* envelope = segment_.envelope(delivery.block_);
  const bool own = arenas_.is_own(delivery.block_);
  const uint32_t returned = envelope->returned.load(relaxed);  // ours since we took it
  if (own && returned <= static_cast<uint32_t>(Returned::kUnread)) {
    delivery.returned_ = static_cast<Returned>(returned);
  }
  const size_t length = delivery.header_.length;
  const size_t inside = payload.size() - kHeaderBytes;
  if (length <= inside) {
    delivery.content_ = payload.subspan(kHeaderBytes, length);
    return true;
  }
  return gather(delivery, payload.subspan(kHeaderBytes));
}

// A chain: its links are checked one by one, and the whole copied to the heap.
bool ChannelLayer::gather(Delivery& delivery, std::span<const std::byte> first) noexcept {
  const size_t length = delivery.header_.length;
  if (length > kLargestMessageBytes) {
    ++drops_.corrupt;
    return false;
  }
  delivery.gathered_.reserve(length);
  delivery.gathered_.assign(first.begin(), first.end());
  BlockIndex link = segment_.envelope(delivery.block_)->next.load(acquire);
  while (delivery.gathered_.size() < length) {
    const Envelope* envelope = link == 0 ? nullptr : segment_.envelope(link - 1);
    if (envelope == nullptr || envelope->head.load(relaxed) != delivery.block_ ||
        Stamp{envelope->stamp.load(acquire)}.state() != BlockState::kLinked) {
      ++drops_.corrupt;
      return false;
    }
    const std::span<const std::byte> piece = arenas_.payload(link - 1);
    if (piece.empty()) {
      ++drops_.unmapped;
      return false;
    }
    const size_t wanted = std::min(piece.size(), length - delivery.gathered_.size());
    delivery.gathered_.insert(delivery.gathered_.end(), piece.begin(),
                              piece.begin() + static_cast<std::ptrdiff_t>(wanted));
    link = envelope->next.load(relaxed);
  }
  delivery.content_ = delivery.gathered_;
  return true;
}

std::optional<Delivery> ChannelLayer::try_receive() noexcept {
  // Turn 0 is the inbox, turn n the n-th channel read; each call starts where the last one found.
  const size_t turns = reading_.size() + 1;
  for (size_t i = 0; i < turns; ++i) {
    const size_t turn = (next_reading_ + i) % turns;
    std::optional<Delivery> delivery = turn == 0 ? take(segment_.inbox(me_.index), nullptr)
                                                 : take(segment_.channel_queue(reading_[turn - 1]),
                                                        segment_.channel(reading_[turn - 1]));
    if (delivery) {
      next_reading_ = (turn + 1) % turns;
      return delivery;
    }
  }
  return std::nullopt;
}

std::optional<Delivery> ChannelLayer::try_receive_reply(uint32_t slot) noexcept {
  if (slot >= segment_.geometry().connections_per_worker) return std::nullopt;
  return take(segment_.reply_ring(me_.index, slot), nullptr);
}

// ---- reading and waiting ------------------------------------------------------------------------

void ChannelLayer::start_reading(uint32_t channel) {
  ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return;
  if (std::find(reading_.begin(), reading_.end(), channel) != reading_.end()) return;
  reading_.push_back(channel);
  set_bit(record->readers, me_.index, true);
}

void ChannelLayer::stop_reading() noexcept {
  stop_waiting();
  for (const uint32_t channel : reading_)
    set_bit(segment_.channel(channel)->readers, me_.index, false);
  reading_.clear();
  next_reading_ = 0;
}

bool ChannelLayer::has_reader(uint32_t channel) const noexcept {
  const ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return false;
  const uint32_t words = (segment_.geometry().processes + 63) / 64;
  for (uint32_t w = 0; w < words; ++w) {
    if (record->readers.words[w].load(relaxed) != 0)
      return true;  // recovery clears the dead's bits
  }
  return false;
}

bool ChannelLayer::anything_waiting() const noexcept {
  if (!segment_.inbox(me_.index).empty()) return true;
  return std::any_of(reading_.begin(), reading_.end(),
                     [this](uint32_t channel) { return !segment_.channel_queue(channel).empty(); });
}

void ChannelLayer::wait_on_channels() noexcept {
  for (const uint32_t channel : reading_)
    set_bit(segment_.channel(channel)->waiters, me_.index, true);
}

void ChannelLayer::stop_waiting() noexcept {
  for (const uint32_t channel : reading_)
    set_bit(segment_.channel(channel)->waiters, me_.index, false);
}

void ChannelLayer::pass_on() noexcept {
  for (const uint32_t channel : reading_) {
    if (!segment_.channel_queue(channel).empty()) ring_one_waiter(channel);
  }
}

}  // namespace sluice::shm
