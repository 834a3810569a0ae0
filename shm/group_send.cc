// shm/group_send.cc -- the group half of ChannelLayer: one payload, a notice for each worker.
#include <algorithm>
#include <cstring>

#include "protocol/channel_name.h"
#include "protocol/limits.h"
#include "shm/channel_layer.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

}  // namespace

// ---- the sender's side --------------------------------------------------------------------------

Result<GroupSent> ChannelLayer::send_to_group(std::string_view group, Claim& claim, size_t length,
                                              const GroupNotice& notice) noexcept {
  if (!valid_group_name(group)) return Error::kChannelNameInvalid;
  const uint64_t now = now_ms();
  const uint64_t expires = now + std::chrono::milliseconds(limits::kMessageExpiry).count();
  Sent payload;
  if (!write_header(claim, length, {}, notice.channel, expires, now, payload)) return Error::kOutOfBlocks;
  const BlockIndex head = payload.block;
  // Copies first: once it is shared the payload may be free, and claimed again for one of them.
  GroupSent outcome;
  const std::span<const std::byte> bytes = claim.space().first(length);
  groups_.for_each_member(group, now, [&](const OpenChannel& channel) {
    Result<Claim> copy = this->claim(length);
    if (copy.ok()) std::memcpy(copy->space().data(), bytes.data(), length);
    const Result<Sent> sent = copy.ok() ? send_on(channel, *copy, length) : copy.error();
    if (sent.ok()) {
      ++outcome.channels;
    } else if (sent.error() != Error::kReaderGone) {  // else its maker died, and recovery is about to end it
      ++outcome.channels_full;
    }
  });
  claim.pool_ = nullptr;  // spent
  claim.block_ = kNoBlock;
  claim.buffer_.clear();
  Stamp shared;
  if (!share(head, shared)) return outcome;
  for (uint32_t row = 2; row < 2 + segment_.geometry().worker_processes; ++row) {
    const auto worker = static_cast<ProcessIndex>(row);
    // A worker that comes only now knows of no member yet. Our word for who holds it is the mask: a
    // bit that recovery took away meanwhile is of a dead one.
    if (!holds(segment_, head, worker)) continue;
    const std::optional<ProcessName> living = processes_.living(worker);
    if (living && notify(*living, payload, notice).ok()) {
      CRASH_POINT(notice_pushed);
      ++outcome.pushes;
      continue;
    }
    if (living) ++outcome.workers_full;
    drop_holder(segment_, pool_, me_.index, head, shared, worker);
  }
  return outcome;
}

// Hands our block to all living workers (H1). False: there is none, and the block is free.
bool ChannelLayer::share(BlockIndex head, Stamp& shared) noexcept {
  Envelope& envelope = *segment_.envelope(head);
  bool anybody = false;
  for (uint32_t w = 0; w < envelope.holders.size(); ++w) {
    uint64_t bits = 0;
    for (uint32_t i = 0; i < 64 && w * 64 + i < segment_.geometry().worker_processes; ++i) {
      if (processes_.living(static_cast<ProcessIndex>(2 + w * 64 + i))) bits |= uint64_t{1} << i;
    }
    envelope.holders[w].store(bits, relaxed);  // ours until the stamp says kShared
    anybody = anybody || bits != 0;
  }
  if (!anybody) {
    pool_.free(head);
    return false;
  }
  envelope.queue.store(queue_id(QueueKind::kNone, 0), relaxed);  // in no queue: recovery
  CRASH_POINT(holders_named);  // still in hand: recovery frees it as that
  shared = Stamp{envelope.stamp.load(relaxed)}.next(me_.index, BlockState::kShared);  // ours
  // [S] pairs with [S] in read_shared(): who sees the stamp sees holders and payload.
  envelope.stamp.store(shared.word, release);
  pool_.went_out(head);
  CRASH_POINT(shared_stamped);  // nobody was told: recovery takes every bit away
  return true;
}

Result<Sent> ChannelLayer::notify(ProcessName worker, const Sent& payload,
                                  const GroupNotice& notice) noexcept {
  Result<Claim> claimed = claim(notice.fields.size());
  if (!claimed.ok()) return claimed.error();
  std::copy(notice.fields.begin(), notice.fields.end(), claimed->space().begin());
  const Route route{.channel = notice.channel,
                    .answered_block = payload.block,
                    .answered_generation = payload.payload_generation};
  return send_to(worker, *claimed, notice.fields.size(), route);
}

// ---- the worker's side --------------------------------------------------------------------------

std::optional<SharedMessage> ChannelLayer::read_shared(const Delivery& notice) noexcept {
  const PayloadHeader& named = notice.header();
  const BlockIndex block = named.answered_block;
  BlockPlace place;
  if (!segment_.place_of(block, place) || place.arena != named.sender ||
      !holds(segment_, block, me_.index)) {
    return std::nullopt;
  }
  SharedMessage shared;
  shared.stamp = Stamp{segment_.envelope(block)->stamp.load(acquire)};  // [S]
  if (shared.stamp.state() != BlockState::kShared) return std::nullopt;
  shared.message.block = block;
  const bool whole = fill(shared.message);
  if (whole && shared.message.header.generation != named.answered_generation) return std::nullopt;
  const uint64_t expires = shared.message.header.expires_ms;
  const bool expired = whole && expires != 0 && now_ms() >= expires;
  if (whole && !expired) return shared;
  if (expired) ++drops_.expired;
  drop_holder(segment_, pool_, me_.index, block, shared.stamp, me_.index);
  return std::nullopt;
}

bool ChannelLayer::let_go(const SharedMessage& shared) noexcept {
  const BlockIndex block = shared.message.block;
  // Asked before the bit is gone: until then an honest sender writes nothing else there.
  const bool still = is_intact(shared.message) && holds(segment_, block, me_.index) &&
                     Stamp{segment_.envelope(block)->stamp.load(acquire)} == shared.stamp;
  drop_holder(segment_, pool_, me_.index, block, shared.stamp, me_.index);
  return still;
}

}  // namespace sluice::shm
