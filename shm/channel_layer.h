// shm/channel_layer.h -- the face of this folder: claim, send, receive, for one attached process.
//
// One ChannelLayer per process and thread. It moves bytes and cannot tell HTTP from anything else.
// Sending and receiving allocate nothing and make no system call but a ring (chained messages,
// longer than a block, are the exception: they pass through a buffer on the heap).
//
//   claim -> write into claim.space() -> send | send_to | reply -> ring()    (once per loop turn)
//   try_receive -> delivery.content() -> the delivery is released -> the block is free
//
// Errors  values, never exceptions.   Thread  one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/channel_name.h"
#include "protocol/limits.h"
#include "protocol/result.h"
#include "shm/arenas.h"
#include "shm/block_pool.h"
#include "shm/channel_table.h"
#include "shm/claim.h"
#include "shm/clock.h"
#include "shm/connection_slots.h"
#include "shm/delivery.h"
#include "shm/doorbell.h"
#include "shm/drop_mode.h"
#include "shm/group_table.h"
#include "shm/process_table.h"
#include "shm/reading.h"
#include "shm/segment.h"
#include "shm/shares.h"

namespace sluice::shm {

class ChannelLayer {
 public:
  // Segment, arenas and doorbell outlive us. Our own arena is mapped already.
  ChannelLayer(const Segment& segment, Arenas& arenas, Doorbell& doorbell, ProcessName me);

  [[nodiscard]] ProcessName me() const noexcept { return me_; }
  [[nodiscard]] ChannelTable& channels() noexcept { return channels_; }
  [[nodiscard]] GroupTable& groups() noexcept { return groups_; }
  [[nodiscard]] ProcessTable& processes() noexcept { return processes_; }
  [[nodiscard]] BlockPool& pool() noexcept { return pool_; }
  [[nodiscard]] Doorbell& doorbell() noexcept { return doorbell_; }
  [[nodiscard]] Arenas& arenas() noexcept { return arenas_; }
  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }

  // -- writing. Room for `bytes` message bytes, up to limits::kMessageBytes + slack; kOutOfBlocks,
  // kMessageTooLarge.
  [[nodiscard]] Result<Claim> claim(size_t bytes) noexcept;
  // Says in the claim's own payload what it is about, long before it is sent: for recovery, which
  // takes nobody's word but its writer's. `length` bytes are meant; a claim of one block.
  void describe(Claim& claim, size_t length, const Route& route) noexcept;

  // -- sending. On success the claim is spent; on an error it is still the caller's. `length` bytes
  // of its space are the message.
  // To whoever reads the channel next. kChannelFull, kSegmentCorrupt. With the generation of an
  // OpenChannel in `route.answered_generation`: kReaderGone when the record is another channel's by
  // now, or to be; open it anew.
  [[nodiscard]] Result<Sent> send(uint32_t channel, Claim& claim, size_t length, const Route& route) noexcept;
  // The same on a channel of consumers' own, or with `!` to its maker's inbox. kReaderGone: it ended,
  // or is another's by now.
  [[nodiscard]] Result<Sent> send_on(const OpenChannel& channel, Claim& claim, size_t length) noexcept;
  // To one process alone. kReaderGone, kChannelFull.
  [[nodiscard]] Result<Sent> send_to(ProcessName reader, Claim& claim, size_t length, const Route& route) noexcept;
  // A block of ours whose payload (header and all) is written already, or one being handed back.
  [[nodiscard]] Result<Sent> send_block_to(ProcessName reader, BlockIndex block) noexcept;
  // To the connection `route.about` names. kConnectionGone, kChannelFull (slow client or full ring:
  // then `me` is noted as waiting there and rung when there is room).
  [[nodiscard]] Result<Sent> reply(Claim& claim, size_t length, const Route& route) noexcept;
  // To every member of a group: one payload that all workers share, one notice of it to each living
  // worker, a copy for each plain channel. Who has no room is skipped and counted.
  // kChannelNameInvalid, kOutOfBlocks: nothing was sent.
  [[nodiscard]] Result<GroupSent> send_to_group(std::string_view group, Claim& claim, size_t length,
                                                const GroupNotice& notice) noexcept;
  // Says that we wait for room in a queue, a channel's or an inbox's, and takes it back. Fall asleep,
  // say it, try once more, then sleep: whoever reads the queue down to half of it rings us. The sleep
  // is to be bounded, for the reader that stops before that, or dies.
  void wait_for_room(WaitingSenders& senders) noexcept;
  void stop_waiting_for_room(WaitingSenders& senders) noexcept;
  // To be called by whoever took messages out of a channel otherwise than by receiving.
  void made_room(uint32_t channel) noexcept;
  // Rings every process that sleeps on what was sent since the last call: one reader per channel.
  void ring() noexcept;
  // Those it is about to ring one reader of.
  [[nodiscard]] std::span<const uint32_t> channels_to_ring() const noexcept { return ring_channels_; }
  // That reader may stand still: rings another of a channel where something lies. False: nothing does, or
  // nobody sleeps for it; who comes to sleep looks first.
  [[nodiscard]] bool ring_for_unread(uint32_t channel) noexcept;

  // -- what became of it
  [[nodiscard]] Progress progress(const Sent& sent, ProcessIndex& taker) const noexcept;
  // Takes back a message nobody took yet. False: somebody did, or it is over.
  [[nodiscard]] bool withdraw(const Sent& sent) noexcept;
  void free_block(BlockIndex block) noexcept { pool_.free(block); }  // kept of a Delivery
  // Frees what was withdrawn and has come to the head of a queue; true if anything was.
  bool free_withdrawn(OwnerQueue queue) noexcept;

  // -- reading
  // From now on try_receive() looks at this channel too, and senders see a reader. Of a
  // single-reader channel: kChannelHasReader while another living process reads it.
  // kChannelNameInvalid, kChannelTableFull. Throws std::bad_alloc.
  [[nodiscard]] Result<OpenChannel> start_reading(std::string_view name);
  // The same, of one that is kept for good and has any number of readers.
  void start_reading(uint32_t channel);
  void stop_reading() noexcept;                                    // all of them
  // A living one that is not stuck.
  [[nodiscard]] bool has_reader(uint32_t channel) const noexcept;
  // The next message of the inbox or of a channel read, each in turn; nothing when none waits.
  [[nodiscard]] std::optional<Delivery> try_receive() noexcept;
  // The next message of the inbox alone.
  [[nodiscard]] std::optional<Delivery> try_receive_from_inbox() noexcept;
  // The payload that a notice names, for us to read until let_go(); nothing when it is over.
  [[nodiscard]] std::optional<SharedMessage> read_shared(const Delivery& notice) noexcept;
  // Before the notice is released. False: what was read is of another message, and not to be used.
  [[nodiscard]] bool let_go(const SharedMessage& message) noexcept;
  // The next reply on a ring of ours (a worker's); perhaps to an earlier connection there: compare its about().
  [[nodiscard]] std::optional<Delivery> try_receive_reply(uint32_t slot) noexcept;
  [[nodiscard]] bool anything_waiting() const noexcept;  // in the inbox or a channel read
  // A woken reader that leaves messages behind passes the wake-up on: rings one more per channel.
  void pass_on() noexcept;
  // Says in every channel read that we sleep, before Doorbell::fall_asleep_*; and takes it back.
  void wait_on_channels() noexcept;
  void stop_waiting() noexcept;

  // A message of that length left the channel's queue.
  void uncount_bytes(ChannelRecord& record, size_t length) const noexcept {
    if (length <= even_share_bytes_) return;
    record.bytes_queued.fetch_sub(length, std::memory_order::relaxed);  // an estimate
  }

  [[nodiscard]] const Drops& drops() const noexcept { return drops_; }

  // -- beyond repair: what honest processes cannot have left so (decisions.md 13). Ask after a death,
  //    and when a queue was found broken; a look at every cell.
  [[nodiscard]] uint64_t broken_queues() const noexcept { return broken_queues_; }  // times, not queues
  [[nodiscard]] bool is_sound(uint32_t channel) const noexcept;  // and found by its name
  [[nodiscard]] bool own_queues_sound() const noexcept;          // the inbox, the arena's free queues

 private:
  // `channel` and `expires_ms` in place of the route's. False: no blocks for a chain.
  [[nodiscard]] bool write_header(Claim& claim, size_t length, const Route& route, uint32_t channel,
                                  uint64_t expires_ms, uint64_t now_ms, Sent& sent) noexcept;
  [[nodiscard]] PushOutcome push(OwnerQueue& queue, uint32_t id, Sent& sent,
                                 uint64_t* head_seen = nullptr) noexcept;
  [[nodiscard]] bool share(BlockIndex head, Stamp& shared) noexcept;
  [[nodiscard]] Result<Sent> notify(ProcessName worker, const Sent& payload, const GroupNotice& notice) noexcept;
  [[nodiscard]] std::optional<BlockIndex> write_chain(std::span<const std::byte> bytes) noexcept;
  [[nodiscard]] Result<Sent> finish(PushOutcome outcome, Claim& claim, const Sent& sent) noexcept;
  // True: room for `length` bytes more, which count from now on.
  [[nodiscard]] bool count_bytes(ChannelRecord& record, size_t length, const OwnerQueue& queue) noexcept;
  // A queue that cannot be any more: its users are refused (decisions.md 13).
  void found_broken(HalfWord& poisoned) noexcept;
  // `poisoned` and `counts`: of the queue, which may count nothing; `generation`: of the channel,
  // null of another queue.
  [[nodiscard]] bool take(OwnerQueue& queue, ChannelRecord* channel, uint32_t generation,
                          HalfWord& poisoned, ChannelCounts* counts, Taken& taken) noexcept;
  void count_for_inbox_channel(const PayloadHeader& header, ChannelCount why) const noexcept;
  [[nodiscard]] bool take_from_inbox(Taken& taken) noexcept;
  void ring_senders(WaitingSenders& senders) noexcept;
  [[nodiscard]] bool fill(Taken& taken) noexcept;
  [[nodiscard]] bool gather(Taken& taken, std::span<const std::byte> first) noexcept;
  [[nodiscard]] bool is_stuck(ProcessIndex process) const noexcept;
  [[nodiscard]] Sent drop_on_purpose(ChannelCounts& counts, Claim& claim) noexcept;
  [[nodiscard]] ChannelCounts* counts_of(uint32_t queue) const noexcept;
  void ring_one_waiter(uint32_t channel) noexcept;
  void will_ring_process(ProcessIndex process) noexcept;
  void will_ring_channel(uint32_t channel) noexcept;

  [[nodiscard]] bool take_from(Reading& reading, Taken& taken) noexcept;
  [[nodiscard]] bool note_reader(const OpenChannel& channel, bool single) noexcept;
  void forget_reader(const OpenChannel& channel) noexcept;
  [[nodiscard]] bool find_again(Reading& reading) noexcept;

  const Segment& segment_;
  Arenas& arenas_;
  Doorbell& doorbell_;
  ProcessName me_;
  ProcessTable processes_;
  GroupTable groups_;
  BlockPool pool_;
  uint64_t generation_;        // of the last message we wrote: PayloadHeader::generation
  ChannelTable channels_;      // frees through pool_
  DropMode drop_mode_;
  OwnerQueue inbox_;           // ours
  size_t even_share_bytes_;    // of a channel's bytes: only longer messages are counted
  std::vector<uint64_t> heads_seen_;  // of every channel's queue: see OwnerQueue::try_push()
  std::vector<Reading> reading_;
  size_t next_reading_ = 0;
  std::vector<ProcessIndex> ring_processes_;
  std::vector<uint32_t> ring_channels_;
  Drops drops_;
  uint64_t broken_queues_ = 0;
};

}  // namespace sluice::shm
