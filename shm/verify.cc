// shm/verify.cc -- Segment::verify(): is everything where it should be, while nobody is at work?
#include <algorithm>
#include <unordered_map>

#include "shm/recovery.h"
#include "shm/segment.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

std::string name_block(BlockIndex block) { return "block " + std::to_string(block); }

// Counts how often each block stands in a queue of that id, and checks that its stamp agrees.
bool count_queue(const Segment& segment, uint32_t id,
                 std::unordered_map<BlockIndex, uint32_t>& queued, std::string& problem) {
  const std::optional<OwnerQueue> queue = queue_of(segment, id);
  bool sound = true;
  queue->for_each([&](BlockIndex block) {
    const Envelope* envelope = segment.envelope(block);
    if (envelope == nullptr) {
      problem = "queue " + std::to_string(id) + " names a block that is none";
      sound = false;
      return;
    }
    const BlockState state = Stamp{envelope->stamp.load(acquire)}.state();
    if (state != BlockState::kQueued && state != BlockState::kWithdrawn)
      return;  // head lags: taken
    if (envelope->queue.load(relaxed) != id) {
      problem = name_block(block) + " stands in queue " + std::to_string(id) + " and names another";
      sound = false;
    }
    ++queued[block];
  });
  return sound;
}

bool lives(const Segment& segment, uint32_t row) {
  const ProcessRecord* process = segment.process(row);
  return process != nullptr && static_cast<ProcessState>(static_cast<uint32_t>(
                                   process->life.load(acquire))) == ProcessState::kLive;
}

// A shared payload is held by somebody, and only by living workers (shares.h).
std::string problem_of_shared(const Segment& segment, BlockIndex block) {
  uint32_t holders = 0;
  for (uint32_t row = 2; segment.is_worker(row); ++row) {
    if (!holds(segment, block, static_cast<ProcessIndex>(row))) continue;
    if (!lives(segment, row)) return name_block(block) + " is shared with nobody living";
    ++holders;
  }
  return holders == 0 ? name_block(block) + " is shared with nobody" : std::string();
}

}  // namespace

bool Segment::verify(std::string& problem) const {
  std::unordered_map<BlockIndex, uint32_t> queued;
  const auto count = [&](QueueKind kind, uint32_t index) {
    return count_queue(*this, queue_id(kind, index), queued, problem);
  };
  for (uint32_t c = 0; c < geometry_.channels; ++c) {
    if (channel(c)->truth.load(acquire) != 0 && !count(QueueKind::kChannel, c)) return false;
  }
  for (uint32_t p = 0; p < geometry_.processes; ++p) {
    if (!count(QueueKind::kInbox, p)) return false;
    for (uint32_t c = 0; c < kClasses; ++c) {
      if (!count(QueueKind::kFree, p * 8 + c)) return false;
    }
    if (!is_worker(p)) continue;
    const uint32_t slots =
        std::min(process(p)->used_slots.load(acquire), geometry_.connections_per_worker);
    for (uint32_t s = 0; s < slots; ++s) {
      if (!count(QueueKind::kReply, (p - 2) * geometry_.connections_per_worker + s)) return false;
    }
  }
  for (const auto& [block, times] : queued) {
    if (times != 1) {
      problem = name_block(block) + " is queued " + std::to_string(times) + " times";
      return false;
    }
  }
  for (BlockIndex block = 0; block < block_count_; ++block) {
    BlockPlace place;
    if (!place_of(block, place)) continue;
    const Envelope& line = *envelope(block);
    const Stamp stamp{line.stamp.load(acquire)};
    if (place.number >= process(place.arena)->used_blocks[place.size_class].load(acquire)) {
      if (stamp.state() == BlockState::kFree) continue;
      problem = name_block(block) + " is in use, and its arena does not count it";
      return false;
    }
    switch (stamp.state()) {
      case BlockState::kFree:
        break;
      case BlockState::kOwned:
        if (!lives(*this, stamp.owner())) problem = name_block(block) + " is in the hands of nobody living";
        break;
      case BlockState::kQueued:
      case BlockState::kWithdrawn:
        if (!queued.contains(block)) problem = name_block(block) + " is queued in no queue";
        break;
      case BlockState::kLinked: {
        const Envelope* head = envelope(line.head.load(relaxed));
        const bool headed = head != nullptr && head->next.load(relaxed) != 0;
        if (!headed) problem = name_block(block) + " is a link without a head";
        break;
      }
      case BlockState::kShared:
        problem = problem_of_shared(*this, block);
        break;
      default:
        problem = name_block(block) + " has a state that is none";
    }
    if (!problem.empty()) return false;
  }
  return true;
}

}  // namespace sluice::shm
