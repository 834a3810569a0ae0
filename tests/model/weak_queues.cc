// tests/model/weak_queues.cc -- operations on the queues, and what they must not do.
#include "tests/model/weak_queues.h"

#include <cstring>

#include "shm/sweep.h"

namespace sluice::weak {
namespace {

using shm::BlockIndex;
using shm::BlockState;
using shm::Stamp;

enum Operation : uint8_t { kNone, kPush, kPop, kOther };

template <uint32_t kFirst, uint32_t kCount>
struct Words {
  std::array<Atomic<uint64_t>, kCount> words;
  Words() {
    for (uint32_t i = 0; i < kCount; ++i) words[i] = Atomic<uint64_t>(kFirst + i);
  }
};
Words<kEnds, 2 * kQueues> ends;
Words<kCellWords, kCells * kQueues> cells;

struct Envelopes {
  std::array<Envelope, kBlocks> lines;
  Envelopes() {
    for (uint32_t b = 0; b < kBlocks; ++b) {
      lines[b] = {Atomic<uint64_t>(kStamps + b), Atomic<uint32_t>(kQueueOf + b),
                  Atomic<uint32_t>(kNext + b), Atomic<uint32_t>(kHeadOf + b)};
    }
  }
};
Envelopes envelopes;

void note_published(State& state, uint32_t queue, BlockIndex block) {
  auto& ghost = state.ghost<QueuesGhost>();
  if (block >= kBlocks ||
      Stamp{state.memory.newest(kStamps + block)}.state() != BlockState::kQueued) {
    return violate("published a block that is not queued");
  }
  if (ghost.published[block] != 0) return violate("published a message twice");
  if (ghost.waiting[queue] >= kCells) return violate("more messages than capacity");
  ghost.published[block] = static_cast<uint8_t>(queue + 1);
  ghost.order[queue][ghost.waiting[queue]++] = ghost.message[block];
}

void note_stamp(State& state, const Write& write) {
  auto& ghost = state.ghost<QueuesGhost>();
  const BlockIndex block = write.word - kStamps;
  const Stamp before{write.before};
  const Stamp after{write.after};
  const ProcessState& me = state.processes[write.process];
  if (after.state() == BlockState::kLinked) {
    ghost.linked[block] = static_cast<uint8_t>(state.memory.newest(kHeadOf + block) + 1);
  } else if (before.state() == BlockState::kLinked) {
    const Stamp head{state.memory.newest(kStamps + ghost.linked[block] - 1u)};
    if (head.state() != BlockState::kOwned || head.owner() != name_of(write.process)) {
      return violate("took a link of somebody else's chain");
    }
    ghost.linked[block] = 0;
  }
  if (write.plain) {
    if (ghost.published[block] != 0) return violate("stamped a block that waits in a queue");
    if (before.owner() != name_of(write.process))
      return violate("stamped a block of somebody else");
    if (after.state() == BlockState::kQueued) {
      ghost.message[block] =
          static_cast<uint8_t>(write.process << 4 | ghost.pushes[write.process]++);
    }
    return;
  }
  if (after.state() != BlockState::kOwned) return;  // withdrawn: it waits on
  if (me.operation != kPop) {
    if (ghost.published[block] != 0) violate("recovery took a message that waits in a queue");
    return;
  }
  const uint32_t queue = me.about;
  if (ghost.published[block] != queue + 1)
    return violate("took a block from a queue it does not wait in");
  auto& order = ghost.order[queue];
  if (order[0] != ghost.message[block]) return violate("took a message before an older one");
  std::memmove(order.data(), order.data() + 1, order.size() - 1);
  order.back() = 0;
  --ghost.waiting[queue];
  ghost.published[block] = 0;
}

// The queues as the sweep asks for them: each gathered once.
struct Gathered {
  std::array<uint64_t, kQueues> blocks{};
  std::array<bool, kQueues> gathered{};

  void settle(uint32_t queue) {
    if (queue != 0) queue_at(queue - 1).settle_head();
  }
  bool holds(uint32_t queue, BlockIndex block) {
    if (queue == 0) return false;
    if (!gathered[queue - 1]) {
      gathered[queue - 1] = true;
      queue_at(queue - 1).for_each([&](BlockIndex b) { blocks[queue - 1] |= uint64_t{1} << b; });
    }
    return (blocks[queue - 1] >> block & 1) != 0;
  }
  static bool is_request_of_dead(uint32_t) { return false; }

  // To and from an operation's result.
  [[nodiscard]] uint64_t pack() const {
    return blocks[0] | blocks[1] << 8 | uint64_t{gathered[0]} << 16 | uint64_t{gathered[1]} << 17;
  }
  void unpack(uint64_t result) {
    blocks = {result & 0xff, result >> 8 & 0xff};
    gathered = {(result >> 16 & 1) != 0, (result >> 17 & 1) != 0};
  }
};

}  // namespace

Atomic<uint64_t>* Stamps::stamp(BlockIndex block) const noexcept {
  return block < kBlocks ? &envelopes.lines[block].stamp : nullptr;
}

Queue queue_at(uint32_t index) noexcept {
  return {ends.words[2 * index],
          ends.words[2 * index + 1],
          &cells.words[kCells * index],
          kCells,
          kCells,
          Stamps{}};
}

Envelope& envelope_at(BlockIndex block) noexcept { return envelopes.lines[block]; }

// ---- operations ---------------------------------------------------------------------------------

bool push(Process& p, uint32_t queue, BlockIndex block) {
  return p.operation(kPush, static_cast<uint8_t>(queue), [&]() -> uint64_t {
    p.touch(kPayload + block);
    envelope_at(block).queue.store(queue + 1, std::memory_order::relaxed);
    uint64_t& kept = p.state().processes[p.index()].kept[queue];
    uint64_t head_seen = kept;  // a step begins the operation anew
    const shm::PushOutcome outcome =
        queue_at(queue).try_push(block, name_of(p.index()), &head_seen);
    kept = head_seen;
    if (outcome == shm::PushOutcome::kCorrupt) violate("an honest queue was called corrupt");
    return outcome == shm::PushOutcome::kPushed;
  });
}

BlockIndex pop(Process& p, uint32_t queue) {
  return static_cast<BlockIndex>(p.operation(kPop, static_cast<uint8_t>(queue), [&]() -> uint64_t {
    BlockIndex block = shm::kNoBlock;
    bool withdrawn = false;
    const shm::PopOutcome outcome = queue_at(queue).try_pop(name_of(p.index()), block, withdrawn);
    if (outcome == shm::PopOutcome::kEmpty) return shm::kNoBlock;
    if (outcome != shm::PopOutcome::kTaken) {
      violate("an honest queue was called corrupt");
      return shm::kNoBlock;
    }
    p.touch(kPayload + block);
    return block;
  }));
}

bool withdraw(Process& p, BlockIndex block) {
  return p.operation(kOther, 0, [&]() -> uint64_t {
    Atomic<uint64_t>& word = envelope_at(block).stamp;
    uint64_t seen = word.load(std::memory_order::acquire);
    const Stamp stamp{seen};
    if (stamp.owner() != name_of(p.index()) || stamp.state() != BlockState::kQueued) return 0;
    return word.compare_exchange_strong(seen,
                                        stamp.next(stamp.owner(), BlockState::kWithdrawn).word,
                                        std::memory_order::acq_rel, std::memory_order::relaxed);
  });
}

uint64_t recover(Process& p, uint32_t dead, void (*then)(Process&, BlockIndex)) {
  uint64_t taken = 0;
  Gathered queues;
  for (BlockIndex block = 0; block < kBlocks; ++block) {
    if (p.state().memory.newest(kStamps + block) == 0) continue;  // no such block in this scenario
    const uint64_t result = p.operation(kOther, 0, [&]() -> uint64_t {
      uint32_t from = 0;
      const shm::Swept swept = shm::sweep_block(envelope_at(block), block, name_of(dead),
                                                name_of(p.index()), queues, from);
      if (swept == shm::Swept::kTaken) p.touch(kPayload + block);
      return queues.pack() | uint64_t{swept == shm::Swept::kTaken} << 32;
    });
    queues.unpack(result);
    taken |= result >> 32 << block;
    if (result >> 32 != 0 && then != nullptr) then(p, block);
  }
  return taken;
}

// ---- before and after ---------------------------------------------------------------------------

void set_blocks(State& state, const std::vector<uint32_t>& owners) {
  for (BlockIndex block = 0; block < owners.size(); ++block) {
    state.memory.set(kStamps + block,
                     Stamp::of(1, name_of(owners[block]), BlockState::kOwned).word);
  }
}

void note_queues(State& state, const Write& write) {
  if (write.word >= kStamps && write.word < kStamps + kBlocks) {
    note_stamp(state, write);
  } else if (write.word >= kCellWords && write.word < kStamps) {
    note_published(state, (write.word - kCellWords) / kCells, static_cast<BlockIndex>(write.after));
  }
}

// The head is published or in somebody's hands, and the chain leads from it to the link.
static bool hangs_from_its_head(State& state, BlockIndex link) {
  const auto& ghost = state.ghost<QueuesGhost>();
  const BlockIndex head = ghost.linked[link] - 1u;
  if (ghost.published[head] == 0 && Stamp{state.memory.newest(kStamps + head)}.state() != BlockState::kOwned) {
    return false;
  }
  uint64_t next = state.memory.newest(kNext + head);
  for (uint32_t i = 0; i < kBlocks && next != 0 && next != link + 1; ++i) {
    next = state.memory.newest(kNext + static_cast<uint32_t>(next) - 1);
  }
  return next == link + 1;
}

void look_at_queues(State& state) {
  auto& ghost = state.ghost<QueuesGhost>();
  uint32_t free_blocks = 0;
  for (BlockIndex block = 0; block < kBlocks; ++block) {
    const Stamp stamp{state.memory.newest(kStamps + block)};
    if (stamp.word == 0 || ghost.published[block] != 0) continue;
    if (stamp.state() == BlockState::kLinked) {
      if (!hangs_from_its_head(state, block)) return violate("a link hangs from nothing");
      continue;
    }
    if (stamp.state() != BlockState::kOwned) return violate("a block is queued in no queue");
    if (state.processes[stamp.owner() - 1u].dead)
      return violate("a block is in the hands of the dead");
    ++free_blocks;
  }
  // The tester takes what waits, then pushes what there is and takes it again.
  run_alone(state, kTester, [](Process& p) {
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      const uint8_t waiting = p.state().ghost<QueuesGhost>().waiting[queue];
      for (uint32_t i = 0; i <= waiting; ++i) {
        if ((pop(p, queue) == shm::kNoBlock) != (i == waiting))
          violate("what waits cannot all be taken");
      }
    }
  });
  for (BlockIndex block = 0; block < kBlocks; ++block) {
    const Stamp stamp{state.memory.newest(kStamps + block)};
    if (stamp.word == 0) continue;
    state.memory.set(kStamps + block, stamp.next(name_of(kTester), BlockState::kOwned).word);
  }
  run_alone(state, kTester, [](Process& p) {
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      uint32_t pushed = 0;
      for (BlockIndex block = 0; block < kBlocks; ++block) {
        if (p.state().memory.newest(kStamps + block) == 0) continue;
        if (push(p, queue, block) != (pushed < kCells)) violate("the queue's capacity has changed");
        pushed += pushed < kCells;
      }
      for (uint32_t i = 0; i < pushed; ++i) {
        if (pop(p, queue) == shm::kNoBlock) violate("what was pushed cannot be taken");
      }
    }
  });
}

std::string name_word(uint32_t word) {
  const auto with = [](const char* kind, uint32_t n) { return kind + std::to_string(n); };
  if (word >= kMoreWords) return with("word ", word);
  if (word >= kPayload) return with("payload ", word - kPayload);
  if (word >= kQueueOf) return with("queue of ", word - kQueueOf);
  if (word >= kStamps) return with("stamp ", word - kStamps);
  if (word >= kCellWords)
    return with("cell ", (word - kCellWords) % kCells) +
           with(" of queue ", (word - kCellWords) / kCells);
  return with(word % 2 == 0 ? "head " : "tail ", word / 2);
}

}  // namespace sluice::weak
