// tests/model/weak_queues.h -- blocks and two owner queues on weak memory, and the ghost that knows
// which message was published where and who took it.
#pragma once

#include "shm/owner_queue.h"
#include "tests/model/weak_explorer.h"

namespace sluice::weak {

inline constexpr uint32_t kQueues = 2;  // 0 carries messages; 1 takes freed blocks home
inline constexpr uint32_t kCells = 2;   // of each
inline constexpr uint32_t kBlocks = 4;

// Where things lie. Words from kMoreWords on are another model's.
inline constexpr uint32_t kEnds = 0;
inline constexpr uint32_t kCellWords = kEnds + 2 * kQueues;
inline constexpr uint32_t kStamps = kCellWords + kCells * kQueues;
inline constexpr uint32_t kQueueOf = kStamps + kBlocks;
inline constexpr uint32_t kPayload = kQueueOf + kBlocks;
inline constexpr uint32_t kMoreWords = kPayload + kBlocks;
inline constexpr uint32_t kNext = kMoreWords;  // of blocks that are chained: the chains' model alone
inline constexpr uint32_t kHeadOf = kNext + kBlocks;
inline constexpr uint32_t kChainWords = kHeadOf + kBlocks;

// A block's line, by the names it has in shm/block_layout.h.
struct Envelope {
  Atomic<uint64_t> stamp;
  Atomic<uint32_t> queue;
  Atomic<uint32_t> next;
  Atomic<uint32_t> head;
};
struct Stamps {
  [[nodiscard]] Atomic<uint64_t>* stamp(shm::BlockIndex block) const noexcept;
};
using Queue = shm::BasicOwnerQueue<Atomic<uint64_t>, Stamps>;
[[nodiscard]] Queue queue_at(uint32_t index) noexcept;
[[nodiscard]] Envelope& envelope_at(shm::BlockIndex block) noexcept;

constexpr uint8_t kNowhere = 0xff;
struct QueuesGhost {
  std::array<uint8_t, kBlocks> message{};    // process << 4 | number of its push
  std::array<uint8_t, kBlocks> published{};  // the queue + 1, or 0
  std::array<std::array<uint8_t, 6>, kQueues> order{};
  std::array<uint8_t, kQueues> waiting{};  // messages in `order`
  std::array<uint8_t, kProcesses> pushes{};
  std::array<uint8_t, kBlocks> linked{};     // its chain's head + 1, or 0
};

// Operations, one step of a program each.
bool push(Process& p, uint32_t queue, shm::BlockIndex block);  // writes the payload; false: full
shm::BlockIndex pop(Process& p, uint32_t queue);               // reads the payload; kNoBlock: empty
bool withdraw(Process& p, shm::BlockIndex block);  // the push of ours that stands there now
// Takes back what the dead held, as Recovery::sweep() does, and does `then` with each block at once. A
// bit for each block taken.
uint64_t recover(Process& p, uint32_t dead, void (*then)(Process&, shm::BlockIndex) = nullptr);

constexpr shm::ProcessIndex name_of(uint32_t process) {
  return static_cast<shm::ProcessIndex>(process + 1);
}
// Puts `count` blocks there, in the hands of `owners`; sets up the ghost.
void set_blocks(State& state, const std::vector<uint32_t>& owners);
void note_queues(State& state, const Write& write);
// Each block is somewhere, what waits can be taken, and the queues still go.
void look_at_queues(State& state);
[[nodiscard]] std::string name_word(uint32_t word);

}  // namespace sluice::weak
