// shm/channel_layer.cc -- claim, send, watch; receiving is in receive.cc.
#include "shm/channel_layer.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "protocol/limits.h"
#include "shm/queue_soundness.h"
#include "shm/seconds.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr size_t kHeaderBytes = sizeof(PayloadHeader);
constexpr size_t kLargestBlock = kClassBytes[kClasses - 1];
// Withdrawn messages cleared away in one call, so that a scribbler cannot make it go on for ever.
constexpr uint32_t kWithdrawnAtOnce = 1024;

// What a payload says its message is: zero while one is being written, so that a reader that was
// handed the block behind our back can tell (Delivery::intact()).
std::atomic_ref<uint64_t> generation_in(std::byte* payload) noexcept {
  return std::atomic_ref<uint64_t>(reinterpret_cast<PayloadHeader*>(payload)->generation);
}

void count_full(ChannelCounts& counts, std::array<Word, 2>& by_second, uint64_t now) noexcept {
  Word& full = count_of(counts, ChannelCount::kFull);
  note_second(by_second, now, full);
  full.fetch_add(1, relaxed);  // a counter
}

template <class T>
void add_once(std::vector<T>& list, T one) {
  if (std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
}

}  // namespace

// ---- Claim --------------------------------------------------------------------------------------

void Claim::give_up() noexcept {
  if (block_ != kNoBlock) pool_->free(block_);
  pool_ = nullptr;
  block_ = kNoBlock;
  buffer_.clear();
}

// ---- ChannelLayer: writing ----------------------------------------------------------------------

ChannelLayer::ChannelLayer(const Segment& segment, Arenas& arenas, Doorbell& doorbell,
                           ProcessName me)
    : segment_(segment),
      arenas_(arenas),
      doorbell_(doorbell),
      me_(me),
      processes_(segment),
      groups_(segment, me.index),
      pool_(segment, me.index),
      generation_(uint64_t{me.incarnation} << 32),
      channels_(segment, me.index, &pool_),
      drop_mode_(segment.header(), me.index),
      inbox_(segment.inbox(me.index)),
      even_share_bytes_(limits::kChannelBytes / segment.geometry().channel_cells),
      heads_seen_(segment.geometry().channels) {
  ring_processes_.reserve(segment.geometry().processes);
  ring_channels_.reserve(64);
}

Result<Claim> ChannelLayer::claim(size_t bytes) noexcept {
  if (bytes > kLargestMessageBytes) return Error::kMessageTooLarge;
  if (bytes + kHeaderBytes > kLargestBlock) {
    return Result<Claim>(std::in_place, pool_, std::vector<std::byte>(bytes));
  }
  const std::optional<BlockIndex> block = pool_.try_claim(bytes + kHeaderBytes);
  if (!block) return Error::kOutOfBlocks;
  const std::span<std::byte> payload = arenas_.own(*block);
  generation_in(payload.data()).store(0, relaxed);
  std::atomic_thread_fence(release);  // [I] pairs with [I] in Delivery::intact(): before any content
  return Result<Claim>(std::in_place, pool_, *block, payload.subspan(kHeaderBytes));
}

void ChannelLayer::describe(Claim& claim, size_t length, const Route& route) noexcept {
  CHECK(claim && claim.block_ != kNoBlock && length <= claim.space().size());
  PayloadHeader header{};  // generation 0: not a message yet
  header.length = static_cast<uint32_t>(length);
  header.worker = route.about.worker;
  header.sender = me_.index;
  header.incarnation = route.about.incarnation;
  header.slot = route.about.slot;
  header.slot_generation = route.about.generation;
  std::memcpy(arenas_.own(claim.block_).data(), &header, sizeof header);
}

bool ChannelLayer::write_header(Claim& claim, size_t length, const Route& route, uint32_t channel,
                                uint64_t expires_ms, uint64_t now_ms, Sent& sent) noexcept {
  CHECK(claim && length <= claim.space().size());
  sent.block = claim.block_;
  std::byte* payload = nullptr;
  if (claim.buffer_.empty()) {
    payload = claim.space_.data() - kHeaderBytes;
  } else {
    const std::span<const std::byte> bytes(claim.buffer_.data(), length);
    const std::optional<BlockIndex> first = write_chain(bytes);
    if (!first) return false;
    sent.block = *first;
    payload = arenas_.own(*first).data();
  }
  Envelope& envelope = *segment_.envelope(sent.block);
  envelope.returned.store(0, relaxed);  // ours until it is pushed
  sent.payload_generation = ++generation_;  // by our own count: stamps can be scribbled on
  // Field by field, in place: a copy of one just written would wait for its parts to arrive.
  PayloadHeader& header = *reinterpret_cast<PayloadHeader*>(payload);
  header.length = static_cast<uint32_t>(length);
  header.channel = channel;
  header.expires_ms = expires_ms;
  header.published_ms = now_ms;
  header.worker = route.about.worker;
  header.sender = me_.index;
  header.incarnation = route.about.incarnation;
  header.slot = route.about.slot;
  header.slot_generation = route.about.generation;
  header.ordinal = route.about.ordinal;
  header.answered_block = route.answered_block;
  header.answered_generation = route.answered_generation;
  generation_in(payload).store(sent.payload_generation, release);  // [I] content and header are whole
  return true;
}

std::optional<BlockIndex> ChannelLayer::write_chain(std::span<const std::byte> bytes) noexcept {
  const std::optional<BlockIndex> head = pool_.try_claim(kLargestBlock);
  if (!head) return std::nullopt;
  generation_in(arenas_.own(*head).data()).store(0, relaxed);
  std::atomic_thread_fence(release);  // [I]
  size_t taken = std::min(bytes.size(), kLargestBlock - kHeaderBytes);
  std::memcpy(arenas_.own(*head).data() + kHeaderBytes, bytes.data(), taken);
  for (BlockIndex last = *head; taken < bytes.size();) {
    const size_t piece = std::min(bytes.size() - taken, kLargestBlock - kLinkHeaderBytes);
    const std::optional<BlockIndex> link = pool_.try_claim(piece + kLinkHeaderBytes);
    if (!link) {
      pool_.free(*head);
      return std::nullopt;
    }
    std::byte* const payload = arenas_.own(*link).data();
    generation_in(payload).store(0, relaxed);  // no message, and none that is still told by an old stamp
    std::atomic_thread_fence(release);         // [I]
    std::memcpy(payload + kLinkHeaderBytes, bytes.data() + taken, piece);
    pool_.link(*head, last, *link);
    CRASH_POINT(chain_linked);
    last = *link;
    taken += piece;
  }
  return head;
}

PushOutcome ChannelLayer::push(OwnerQueue& queue, uint32_t id, Sent& sent,
                               uint64_t* head_seen) noexcept {
  Envelope& envelope = *segment_.envelope(sent.block);
  envelope.queue.store(id, relaxed);  // ordered by the stamp that follows
  const auto try_once = [&] {
    // Ours until it is pushed; the push stamps it with the next generation, a refused one too.
    sent.queued_generation = Stamp{envelope.stamp.load(relaxed)}.next(me_.index, {}).generation();
    return queue.try_push(sent.block, me_.index, head_seen);
  };
  PushOutcome outcome = try_once();
  // What was withdrawn leaves at the head: a full writer may clear it away and try once more.
  if (outcome == PushOutcome::kFull && free_withdrawn(queue)) outcome = try_once();
  if (outcome == PushOutcome::kPushed) pool_.went_out(sent.block);
  return outcome;
}

bool ChannelLayer::free_withdrawn(OwnerQueue queue) noexcept {
  BlockIndex block = kNoBlock;
  bool withdrawn = false;
  bool any = false;
  for (uint32_t i = 0; i < kWithdrawnAtOnce; ++i) {
    if (queue.try_pop(me_.index, block, withdrawn, OwnerQueue::Which::kWithdrawn) !=
        PopOutcome::kTaken) {
      break;
    }
    pool_.free_taken(block);
    any = true;
  }
  return any;
}

// ---- ChannelLayer: sending ----------------------------------------------------------------------

Result<Sent> ChannelLayer::finish(PushOutcome outcome, Claim& claim, const Sent& sent) noexcept {
  if (outcome == PushOutcome::kPushed) {
    claim.pool_ = nullptr;  // spent
    claim.block_ = kNoBlock;
    claim.buffer_.clear();
    return sent;
  }
  if (sent.block != claim.block_) pool_.free(sent.block);  // a chain: the claim keeps its buffer
  return outcome == PushOutcome::kFull ? Error::kChannelFull : Error::kSegmentCorrupt;
}

// A message within its even share of the channel's bytes is not counted: the capacity bounds those.
bool ChannelLayer::count_bytes(ChannelRecord& record, size_t length,
                               const OwnerQueue& queue) noexcept {
  if (length <= even_share_bytes_) return true;
  // Bytes waiting are an estimate that a death can leave too high: an empty queue corrects it.
  if (record.bytes_queued.load(relaxed) + length > limits::kChannelBytes) {
    if (!queue.empty()) return false;
    record.bytes_queued.store(0, relaxed);
  }
  record.bytes_queued.fetch_add(length, relaxed);  // before the push: the reader subtracts
  return true;
}

// As if its reader had died with it: sent, and gone.
Sent ChannelLayer::drop_on_purpose(ChannelCounts& counts, Claim& claim) noexcept {
  claim.abandon();
  count_of(counts, ChannelCount::kOnPurpose).fetch_add(1, relaxed);  // a counter
  ++drops_.on_purpose;
  return {};
}

Result<Sent> ChannelLayer::send(uint32_t channel, Claim& claim, size_t length,
                                const Route& route) noexcept {
  ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return Error::kChannelNameInvalid;
  if (route.answered_generation != 0 &&
      !channels_.lives({channel, static_cast<uint32_t>(route.answered_generation)})) {
    return Error::kReaderGone;
  }
  if (record->poisoned.load(relaxed) != 0) {
    ++broken_queues_;
    return Error::kSegmentCorrupt;
  }
  if (route.may_drop && drop_mode_.next()) return drop_on_purpose(record->counts, claim);
  OwnerQueue queue = segment_.channel_queue(channel);
  const uint64_t now = now_ms();
  if (!count_bytes(*record, length, queue)) {
    count_full(record->counts, record->full_by_second, now);
    return Error::kChannelFull;
  }
  const uint64_t expires = route.expires_ms != 0
                               ? route.expires_ms
                               : deadline_after(now, record->expiry_ms.load(relaxed));
  note_second(record->sent_by_second, now, record->ends.tail);
  Sent sent;
  const bool written = write_header(claim, length, route, channel, expires, now, sent);
  PushOutcome outcome = PushOutcome::kFull;
  if (written) {
    outcome = push(queue, queue_id(QueueKind::kChannel, channel), sent, &heads_seen_[channel]);
  }
  if (outcome == PushOutcome::kPushed) {
    will_ring_channel(channel);
  } else {
    uncount_bytes(*record, length);
    if (!written) return Error::kOutOfBlocks;
    if (outcome == PushOutcome::kFull) count_full(record->counts, record->full_by_second, now);
    if (outcome == PushOutcome::kCorrupt) found_broken(record->poisoned);
  }
  return finish(outcome, claim, sent);
}

Result<Sent> ChannelLayer::send_on(const OpenChannel& channel, Claim& claim,
                                   size_t length) noexcept {
  Route route{.channel = channel.index,
              .may_drop = true,
              .answered_generation = channel.generation};
  const std::optional<ProcessName> maker = channels_.inbox_of(channel);
  if (!maker) return send(channel.index, claim, length, route);
  route.expires_ms = deadline_after(now_ms(), channels_.expiry_ms(channel));
  return send_to(*maker, claim, length, route);
}

Result<Sent> ChannelLayer::send_to(ProcessName reader, Claim& claim, size_t length,
                                   const Route& route) noexcept {
  ProcessRecord* record = segment_.process(reader.index);
  if (record == nullptr || !processes_.is_live(reader)) return Error::kReaderGone;
  if (record->poisoned.load(relaxed) != 0) return Error::kSegmentCorrupt;
  // One with `!`: it counts, too, what is sent on it.
  ChannelRecord* channel = route.may_drop ? segment_.channel(route.channel) : nullptr;
  const uint64_t now = now_ms();
  if (channel != nullptr && drop_mode_.next()) {
    count_of(channel->counts, ChannelCount::kOnPurpose).fetch_add(1, relaxed);  // a counter
    return drop_on_purpose(record->inbox_counts, claim);
  }
  Sent sent;
  if (!write_header(claim, length, route, route.channel, route.expires_ms, now, sent)) {
    return Error::kOutOfBlocks;
  }
  note_second(record->inbox_sent_by_second, now, segment_.inbox_ends(reader.index).tail);
  if (channel != nullptr) note_second(channel->sent_by_second, now, channel->inbox_sent);
  OwnerQueue queue = segment_.inbox(reader.index);
  const PushOutcome outcome = push(queue, queue_id(QueueKind::kInbox, reader.index), sent);
  if (outcome == PushOutcome::kPushed) {
    if (channel != nullptr) channel->inbox_sent.fetch_add(1, relaxed);  // a counter
    will_ring_process(reader.index);
  }
  if (outcome == PushOutcome::kFull) {
    count_full(record->inbox_counts, record->inbox_full_by_second, now);
    if (channel != nullptr) count_full(channel->counts, channel->full_by_second, now);
  }
  if (outcome == PushOutcome::kCorrupt) found_broken(record->poisoned);
  return finish(outcome, claim, sent);
}

Result<Sent> ChannelLayer::send_block_to(ProcessName reader, BlockIndex block) noexcept {
  if (!processes_.is_live(reader)) return Error::kReaderGone;
  Envelope* envelope = segment_.envelope(block);
  CHECK(envelope != nullptr);
  Sent sent{block, Stamp{envelope->stamp.load(relaxed)}.generation(), 0};  // ours
  OwnerQueue queue = segment_.inbox(reader.index);
  switch (push(queue, queue_id(QueueKind::kInbox, reader.index), sent)) {
    case PushOutcome::kPushed:
      break;
    case PushOutcome::kFull:
      return Error::kChannelFull;
    case PushOutcome::kCorrupt:
      return Error::kSegmentCorrupt;
  }
  will_ring_process(reader.index);
  return sent;
}

Result<Sent> ChannelLayer::reply(Claim& claim, size_t length, const Route& route) noexcept {
  const Result<ConnectionRecord*> found = find_connection(segment_, route.about);
  if (!found.ok()) return found.error();
  ConnectionRecord& record = **found;
  if (record.high_water.load(acquire) != 0) {
    record.waiter.store(me_.index, seq_cst);  // pairs with set_high_water and take_waiter
    if (record.high_water.load(seq_cst) != 0) return Error::kChannelFull;
  }
  Sent sent;
  if (!write_header(claim, length, route, route.channel, route.expires_ms, now_ms(), sent)) {
    return Error::kOutOfBlocks;
  }
  const uint32_t ring =
      (route.about.worker - 2u) * segment_.geometry().connections_per_worker + route.about.slot;
  OwnerQueue queue = segment_.reply_ring(route.about.worker, route.about.slot);
  PushOutcome outcome = push(queue, queue_id(QueueKind::kReply, ring), sent);
  if (outcome == PushOutcome::kFull) {
    record.waiter.store(me_.index, seq_cst);
    // The worker may have drained it before it could see us waiting.
    outcome = push(queue, queue_id(QueueKind::kReply, ring), sent);
  }
  if (outcome == PushOutcome::kCorrupt) record.poisoned.store(1, release);  // [P]: its worker looks
  if (outcome != PushOutcome::kFull) {
    CRASH_POINT(reply_published);  // recovery sets the bits of every ring that is not empty
    set_ready(*segment_.ready(route.about.worker), route.about.slot);
    will_ring_process(route.about.worker);
  }
  return finish(outcome, claim, sent);
}

// ---- ChannelLayer: what is beyond repair ---------------------------------------------------------

void ChannelLayer::found_broken(HalfWord& poisoned) noexcept {
  ++broken_queues_;
  poisoned.store(1, relaxed);  // a plain sign: nothing hangs on it
}

bool ChannelLayer::is_sound(uint32_t channel) const noexcept {
  const ChannelRecord* record = segment_.channel(channel);
  return record != nullptr && record->poisoned.load(relaxed) == 0 &&
         is_live(record->truth.load(acquire)) &&
         channels_.find(channels_.name_of(channel)) == channel &&
         segment_.channel_queue(channel).sound();
}

bool ChannelLayer::own_queues_sound() const noexcept {
  if (!segment_.inbox(me_.index).sound()) return false;
  for (uint32_t c = 0; c < kClasses; ++c) {
    if (!segment_.free_queue(me_.index, c).sound()) return false;
  }
  return segment_.process(me_.index)->poisoned.load(relaxed) == 0;
}

// ---- ChannelLayer: what became of it ------------------------------------------------------------

Progress ChannelLayer::progress(const Sent& sent, ProcessIndex& taker) const noexcept {
  const Envelope* envelope = segment_.envelope(sent.block);
  if (envelope == nullptr) return Progress::kOver;
  const Stamp stamp{envelope->stamp.load(acquire)};  // [S]
  const uint64_t queued = sent.queued_generation;
  if (stamp.generation() == queued && stamp.state() == BlockState::kQueued)
    return Progress::kUnread;
  if (stamp.generation() == Stamp::of(queued + 1, 0, {}).generation() && stamp.state() == BlockState::kOwned) {
    taker = stamp.owner();
    return Progress::kTaken;
  }
  return Progress::kOver;
}

// What is counted of the queue a block names; null of one that counts nothing.
ChannelCounts* ChannelLayer::counts_of(uint32_t queue) const noexcept {
  const uint32_t index = queue & 0x0fffffff;
  if (queue >> 28 == static_cast<uint32_t>(QueueKind::kChannel)) {
    ChannelRecord* record = segment_.channel(index);
    return record == nullptr ? nullptr : &record->counts;
  }
  if (queue >> 28 != static_cast<uint32_t>(QueueKind::kInbox)) return nullptr;
  ProcessRecord* record = segment_.process(index);
  return record == nullptr ? nullptr : &record->inbox_counts;
}

bool ChannelLayer::withdraw(const Sent& sent) noexcept {
  Envelope* envelope = segment_.envelope(sent.block);
  if (envelope == nullptr) return false;
  const Stamp stamp{envelope->stamp.load(acquire)};  // [S]
  if (stamp.generation() != sent.queued_generation || stamp.state() != BlockState::kQueued) {
    return false;
  }
  uint64_t expected = stamp.word;
  const bool ours = envelope->stamp.compare_exchange_strong(
      expected, stamp.next(stamp.owner(), BlockState::kWithdrawn).word, acq_rel, relaxed);  // [S]
  if (ours) {
    const uint32_t id = envelope->queue.load(relaxed);
    ChannelCounts* counts = counts_of(id);
    if (counts != nullptr) count_of(*counts, ChannelCount::kWithdrawn).fetch_add(1, relaxed);
  }
  return ours;
}

// ---- ChannelLayer: ringing ----------------------------------------------------------------------

bool ChannelLayer::is_stuck(ProcessIndex process) const noexcept {
  const ProcessRecord* record = segment_.process(process);
  return record == nullptr || record->stuck.load(relaxed) != 0;  // a hint
}

void ChannelLayer::will_ring_process(ProcessIndex process) noexcept { add_once(ring_processes_, process); }

void ChannelLayer::will_ring_channel(uint32_t channel) noexcept { add_once(ring_channels_, channel); }

void ChannelLayer::ring() noexcept {
  for (const ProcessIndex process : ring_processes_) doorbell_.ring(process);
  ring_processes_.clear();
  for (const uint32_t channel : ring_channels_) ring_one_waiter(channel);
  ring_channels_.clear();
}

bool ChannelLayer::ring_for_unread(uint32_t channel) noexcept {
  const ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr || segment_.channel_queue(channel).empty()) return false;
  const auto& waiters = record->waiters.words;
  if (std::ranges::all_of(waiters, [](const Word& word) { return word.load(relaxed) == 0; })) return false;
  ring_one_waiter(channel);
  return true;
}

// Wake-one: the first process that waits on the channel and is asleep. Waiters take their own bits
// away; one that is awake looks at the channel again before it sleeps. A stuck one would not wake.
void ChannelLayer::ring_one_waiter(uint32_t channel) noexcept {
  ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return;
  std::atomic_thread_fence(seq_cst);  // the message was published; pairs with wait_on_channels()
  const uint32_t words = (segment_.geometry().processes + 63) / 64;
  for (uint32_t w = 0; w < words; ++w) {
    for (uint64_t bits = record->waiters.words[w].load(relaxed); bits != 0; bits &= bits - 1) {
      const auto process = static_cast<ProcessIndex>(w * 64 + std::countr_zero(bits));
      if (process == me_.index || is_stuck(process)) continue;
      if (doorbell_.ring(process)) return;
    }
  }
}

}  // namespace sluice::shm
