// shm/recovery_shares.cc -- shared payloads after a death: whose bits nobody will take away any more.
#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "shm/recovery.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

// The bytes before a message, copied; zeros where its arena cannot be had.
PayloadHeader header_of(Arenas& arenas, BlockIndex block) noexcept {
  PayloadHeader header{};
  const std::span<const std::byte> payload = arenas.payload(block);
  if (!payload.empty()) std::memcpy(&header, payload.data(), sizeof header);
  return header;
}

// The notices of a dead sender that a worker has in its inbox or in hand: which payload they name.
// One that is neither will never be again, and its worker took its bit away first (H1).
class LivingNotices {
 public:
  LivingNotices(const Segment& segment, Arenas& arenas, ProcessIndex sender)
      : segment_(segment), arenas_(arenas), sender_(sender) {}

  [[nodiscard]] bool names(BlockIndex payload, uint64_t generation, ProcessIndex worker) {
    if (!gathered_) gather();
    return notices_.contains({payload, generation, worker});
  }

 private:
  void gather() {
    gathered_ = true;
    const ClassCounts& counts = segment_.blocks_of(sender_);
    for (uint32_t c = 0; c < kClasses; ++c) {
      const uint32_t used =
          std::min(segment_.process(sender_)->used_blocks[c].load(acquire), counts[c]);
      const BlockIndex first = segment_.block_at(sender_, c, 0);
      for (uint32_t number = 0; number < used; ++number) look_at(first + number);
    }
  }

  void look_at(BlockIndex block) {
    const Envelope& envelope = *segment_.envelope(block);
    const Stamp stamp{envelope.stamp.load(acquire)};  // [S]
    const uint32_t queue = envelope.queue.load(relaxed);
    ProcessIndex worker = kNobody;
    if (stamp.state() == BlockState::kOwned) {
      worker = stamp.owner();
    } else if (stamp.state() == BlockState::kQueued &&
               queue >> 28 == static_cast<uint32_t>(QueueKind::kInbox)) {
      worker = static_cast<ProcessIndex>(queue);
    }
    if (!segment_.is_worker(worker)) return;
    const PayloadHeader header = header_of(arenas_, block);
    notices_.insert({header.answered_block, header.answered_generation, worker});
  }

  const Segment& segment_;
  Arenas& arenas_;
  ProcessIndex sender_;
  bool gathered_ = false;
  std::set<std::tuple<BlockIndex, uint64_t, ProcessIndex>> notices_;
};

}  // namespace

// Called again and again while the death is not over: a sender that stood still meanwhile may have
// shared with a worker that died, and a worker may have let go.
void Recovery::drop_holders(Death& death) {
  const Segment& segment = layer_.segment();
  const ProcessIndex dead = death.name.index;
  LivingNotices notices(segment, layer_.arenas(), dead);
  std::erase_if(death.shared, [&](BlockIndex block) {
    BlockPlace place;
    const Stamp stamp{segment.envelope(block)->stamp.load(acquire)};  // [S]
    if (stamp.state() != BlockState::kShared || !segment.place_of(block, place)) return true;
    if (segment.is_worker(dead)) {
      drop_holder(segment, layer_.pool(), layer_.me().index, block, stamp, dead);
    }
    if (place.arena != dead) {
      free_if_unheld(segment, layer_.pool(), layer_.me().index, block, stamp);
      return true;
    }
    const uint64_t generation = header_of(layer_.arenas(), block).generation;
    for (uint32_t row = 2; segment.is_worker(row); ++row) {
      const auto worker = static_cast<ProcessIndex>(row);
      if (holds(segment, block, worker) && !notices.names(block, generation, worker)) {
        CRASH_POINT(holder_forgotten);
        drop_holder(segment, layer_.pool(), layer_.me().index, block, stamp, worker);
      }
    }
    free_if_unheld(segment, layer_.pool(), layer_.me().index, block, stamp);
    return Stamp{segment.envelope(block)->stamp.load(acquire)} != stamp;
  });
}

// A block that came out of a dead worker's inbox: if it is a notice, nobody will act on it.
void Recovery::drop_bit_of_notice(BlockIndex block, ProcessIndex worker) {
  const Segment& segment = layer_.segment();
  if (!segment.is_worker(worker)) return;
  const PayloadHeader header = header_of(layer_.arenas(), block);
  const Envelope* payload = segment.envelope(header.answered_block);
  if (payload == nullptr) return;
  const Stamp stamp{payload->stamp.load(acquire)};  // [S]
  if (stamp.state() != BlockState::kShared) return;
  if (header_of(layer_.arenas(), header.answered_block).generation != header.answered_generation) {
    return;
  }
  drop_holder(segment, layer_.pool(), layer_.me().index, header.answered_block, stamp, worker);
}

}  // namespace sluice::shm
