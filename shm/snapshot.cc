// shm/snapshot.cc -- see snapshot.h. Orders: acquire where a word shows others; a count stands alone.
#include "shm/snapshot.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "shm/clock.h"
#include "shm/shared_text.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint32_t kTries = 4;  // to read the age of a message that others take meanwhile

uint64_t since(uint64_t then_ms) noexcept {
  const uint64_t now = now_ms();
  return now > then_ms ? now - then_ms : 0;
}

// What waits in a queue, by its cells; `id` as the blocks name it.
class QueueLook {
 public:
  QueueLook(const Segment& segment, const OwnerQueue& queue, uint32_t id) {
    queue.for_each([&](BlockIndex block) {
      const Envelope* envelope = segment.envelope(block);
      if (envelope == nullptr) {
        found_.impossible = true;
        return;
      }
      const Stamp stamp{envelope->stamp.load(acquire)};  // [S] pairs with the push
      if (envelope->queue.load(relaxed) != id) return;   // taken, and elsewhere by now
      if (stamp.state() == BlockState::kWithdrawn) ++found_.withdrawn;
      if (stamp.state() != BlockState::kQueued) return;
      if (found_.waiting++ == 0) {
        first_ = block;
        first_stamp_ = stamp;
      }
    });
  }
  [[nodiscard]] const QueueSnapshot& found() const noexcept { return found_; }

  // The age of the first that waits; nothing when it was taken meanwhile or cannot be read.
  [[nodiscard]] std::optional<uint64_t> age(const Segment& segment, Arenas& arenas) const {
    if (first_ == kNoBlock) return std::nullopt;
    const std::span<const std::byte> payload = arenas.payload(first_);
    if (payload.empty()) return std::nullopt;
    PayloadHeader header{};
    std::memcpy(&header, payload.data(), sizeof header);
    std::atomic_thread_fence(acquire);  // the bytes were read before the stamp is looked at again
    const Stamp stamp{segment.envelope(first_)->stamp.load(relaxed)};  // ordered by the fence
    if (stamp != first_stamp_) return std::nullopt;
    return since(header.published_ms);
  }

 private:
  QueueSnapshot found_;
  BlockIndex first_ = kNoBlock;
  Stamp first_stamp_;
};

QueueSnapshot look_at(const Segment& segment, const OwnerQueue& queue, uint32_t id,
                      Arenas& arenas) {
  for (uint32_t tries = 1;; ++tries) {
    const QueueLook look(segment, queue, id);
    QueueSnapshot found = look.found();
    found.oldest_ms = look.age(segment, arenas);
    if (found.waiting == 0 || found.oldest_ms || tries == kTries) return found;
  }
}

std::vector<ProcessIndex> members(const ProcessSet& set, const Geometry& geometry) {
  std::vector<ProcessIndex> rows;
  for (uint32_t w = 0; w < (geometry.processes + 63) / 64; ++w) {
    for (uint64_t bits = set.words[w].load(acquire); bits != 0; bits &= bits - 1) {
      const uint32_t row = w * 64 + static_cast<uint32_t>(std::countr_zero(bits));
      if (row < geometry.processes) rows.push_back(static_cast<ProcessIndex>(row));
    }
  }
  return rows;
}

ProcessSnapshot look_at_process(const Segment& segment, ProcessIndex row, Arenas& arenas) {
  const ProcessRecord& record = *segment.process(row);
  ProcessSnapshot process;
  const uint64_t life = record.life.load(acquire);  // [L] pairs with ProcessTable
  process.row = row;
  process.incarnation = static_cast<uint32_t>(life >> 32);
  process.state = static_cast<uint32_t>(life);
  process.role = record.role.load(relaxed);  // [L] published these
  process.number = record.number.load(relaxed);
  process.pid = record.pid.load(relaxed);
  const uint32_t doorbell = record.doorbell.load(acquire);
  process.asleep_in_poll = (doorbell & kAsleepInPoll) != 0;
  process.asleep_in_futex = (doorbell & kAsleepInFutex) != 0;
  process.poisoned = record.poisoned.load(relaxed) != 0;  // a flag that stands alone
  process.stuck = record.stuck.load(relaxed) != 0;        // another
  if (const uint64_t beat = record.heartbeat_ms.load(relaxed); beat != 0) {
    process.heartbeat_ms = since(beat);
  }
  process.seen_deaths = record.seen_deaths.load(acquire);
  process.settled_deaths = record.settled_deaths.load(acquire);
  process.counted = counted_of_inbox(segment, row);
  process.inbox = look_at(segment, segment.inbox(row), queue_id(QueueKind::kInbox, row), arenas);
  return process;
}

ChannelSnapshot look_at_channel(const Segment& segment, uint32_t index, Arenas& arenas) {
  const ChannelRecord& record = *segment.channel(index);
  ChannelSnapshot channel;
  channel.index = index;
  channel.state = static_cast<uint32_t>(record.truth.load(acquire) & 0xffff);
  std::array<char, kMaxNameBytes> name;
  channel.name = load_text(record.name, record.name_length.load(relaxed), name);
  channel.capacity = record.capacity.load(relaxed);  // settings and counters stand alone
  channel.expiry_ms = record.expiry_ms.load(relaxed);
  channel.poisoned = record.poisoned.load(relaxed) != 0;
  channel.bytes = record.bytes_queued.load(relaxed);
  channel.counted = counted_of(record);
  channel.readers = members(record.readers, segment.geometry());
  channel.waiters = members(record.waiters, segment.geometry());
  channel.queue =
      look_at(segment, segment.channel_queue(index), queue_id(QueueKind::kChannel, index), arenas);
  return channel;
}

// The channels the directory names, but for those that ended: a record that is not in it was never
// used (S4), or is being made.
std::vector<ChannelSnapshot> look_at_channels(const Segment& segment, Arenas& arenas) {
  std::vector<bool> named(segment.geometry().channels);
  for (uint32_t place = 0; place < segment.directory_size(); ++place) {
    const uint64_t entry = segment.directory()[place].load(acquire);  // [D] pairs with ChannelTable
    const auto index = static_cast<uint32_t>(entry) - 1;
    if (entry != 0 && index < named.size()) named[index] = true;
  }
  std::vector<ChannelSnapshot> channels;
  for (uint32_t index = 0; index < named.size(); ++index) {
    if (!named[index]) continue;
    ChannelSnapshot channel = look_at_channel(segment, index, arenas);
    if (channel.state != static_cast<uint32_t>(ChannelState::kFree)) channels.push_back(std::move(channel));
  }
  return channels;
}

// Adds one block to its class and to its owner.
void count_block(const Envelope& envelope, ProcessIndex arena, ClassSnapshot& blocks,
                 std::vector<HeldBlocks>& held, HeldBlocks& strays) {
  const Stamp stamp{envelope.stamp.load(acquire)};  // [S]
  const uint32_t kind = envelope.queue.load(relaxed) >> 28;
  HeldBlocks& owner = stamp.owner() < held.size() ? held[stamp.owner()] : strays;
  switch (stamp.state()) {
    case BlockState::kFree:
      ++blocks.free;
      return;
    case BlockState::kOwned:
      ++blocks.owned;
      if (stamp.owner() != arena) ++blocks.taken;
      ++(stamp.owner() == arena ? owner.own : owner.taken);
      return;
    case BlockState::kQueued:
      ++blocks.queued;
      if (kind == static_cast<uint32_t>(QueueKind::kFree)) {
        ++blocks.returned;
      } else {
        ++owner.queued;
      }
      return;
    case BlockState::kWithdrawn:
      ++blocks.withdrawn;
      ++owner.withdrawn;
      return;
    case BlockState::kLinked:
      ++blocks.linked;
      ++owner.linked;
      return;
    case BlockState::kShared:
      ++blocks.shared;
      ++owner.shared;
      return;
  }
  ++blocks.other;
}

ArenaSnapshot look_at_arena(const Segment& segment, ProcessIndex row, std::vector<HeldBlocks>& held,
                            HeldBlocks& strays) {
  ArenaSnapshot arena;
  arena.row = row;
  for (uint32_t c = 0; c < kClasses; ++c) {
    ClassSnapshot& blocks = arena.classes[c];
    blocks.blocks = segment.blocks_of(row)[c];
    blocks.used = std::min(segment.process(row)->used_blocks[c].load(acquire), blocks.blocks);
    for (uint32_t number = 0; number < blocks.used; ++number) {
      count_block(*segment.envelope(segment.block_at(row, c, number)), row, blocks, held, strays);
    }
  }
  return arena;
}

ConnectionsSnapshot look_at_connections(const Segment& segment, ProcessIndex worker) {
  const uint32_t per_worker = segment.geometry().connections_per_worker;
  ConnectionsSnapshot seen;
  seen.worker = worker;
  seen.used_slots = std::min(segment.process(worker)->used_slots.load(acquire), per_worker);
  for (uint32_t slot = 0; slot < seen.used_slots; ++slot) {
    const ConnectionRecord& record = *segment.connection(worker, slot);
    const auto state = static_cast<SlotState>(static_cast<uint32_t>(record.state.load(acquire)));
    if (state == SlotState::kOpen) ++seen.open;
    if (state == SlotState::kAnnounced) ++seen.announced;
    if (state != SlotState::kFree) {
      const auto owner = static_cast<ProcessIndex>(record.owner.load(acquire));  // [O]
      if (owner != kNobody) ++seen.owned_by[owner];
      if (owner == kNobody && state == SlotState::kAnnounced) ++seen.ownerless;
      if (record.high_water.load(relaxed) != 0) ++seen.slow;  // a flag that stands alone
    }
    const uint32_t ring = queue_id(QueueKind::kReply, (worker - 2u) * per_worker + slot);
    const uint32_t waiting =
        QueueLook(segment, segment.reply_ring(worker, slot), ring).found().waiting;
    seen.replies += waiting;
    seen.rings_in_use += waiting != 0 ? 1 : 0;
    seen.deepest_ring = std::max(seen.deepest_ring, waiting);
  }
  for (uint32_t word = 0; word < (seen.used_slots + 63) / 64; ++word) {
    seen.ready +=
        static_cast<uint32_t>(std::popcount(segment.ready(worker)->bottom[word].load(acquire)));
  }
  return seen;
}

}  // namespace

Snapshot take_snapshot(const Segment& segment, Arenas& arenas) {
  const Header& header = segment.header();
  Snapshot all;
  all.version = header.version;
  all.instance = segment.instance();
  all.bytes = segment.offsets().total;
  all.age_ms = since(header.boot_ms);
  all.deaths = header.deaths.load(acquire);
  all.corrupt = header.corrupt.load(relaxed) != 0;  // flags that stand alone
  all.draining = header.draining.load(relaxed) != 0;
  all.geometry = segment.geometry();
  all.channels = look_at_channels(segment, arenas);

  std::vector<HeldBlocks> held(segment.geometry().processes);
  for (ProcessIndex row = kMasterRow; row < segment.geometry().processes; ++row) {
    // Joining, living, dead, or free after it was used: a row never given out has no incarnation.
    if (segment.process(row)->life.load(acquire) == 0) continue;
    all.processes.push_back(look_at_process(segment, row, arenas));
    ArenaSnapshot arena = look_at_arena(segment, row, held, all.strays);
    const bool any = std::any_of(arena.classes.begin(), arena.classes.end(),
                                 [](const ClassSnapshot& c) { return c.used != 0; });
    if (any) all.arenas.push_back(std::move(arena));
    if (!segment.is_worker(row)) continue;
    ConnectionsSnapshot connections = look_at_connections(segment, row);
    if (connections.used_slots != 0) all.connections.push_back(std::move(connections));
  }
  for (ProcessSnapshot& process : all.processes) {
    process.blocks = std::exchange(held[process.row], HeldBlocks{});
  }
  for (const HeldBlocks& nobodys : held) {  // of rows that were never given out
    all.strays.own += nobodys.own;
    all.strays.taken += nobodys.taken;
    all.strays.queued += nobodys.queued;
    all.strays.withdrawn += nobodys.withdrawn;
    all.strays.linked += nobodys.linked;
    all.strays.shared += nobodys.shared;
  }
  return all;
}

}  // namespace sluice::shm
