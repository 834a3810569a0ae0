// shm/layout.h -- every byte of the control segment and of a block: structs, sizes, version.
//
// Little-endian, fixed-width, 64-byte cache lines. Three kinds of memory (README.md draws them):
//   control  one memfd, written by everybody attached: this file's records
//   arenas   one memfd per process: its payloads; written by that process alone, sealed so
//
// L1  Ownership of a block stands in one 64-bit word, its stamp, and changes by one compare-exchange.
// L2  Everything else is a hint that anybody may repair, or was written by a process we need not trust.
// L3  No pointer is stored; an index is checked against the reader's private copy of the geometry.
// L4  Zeroed memory is a valid empty segment: a fresh block is free, a fresh queue empty.
#pragma once

#include <atomic>
#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::shm {

using Word = std::atomic<uint64_t>;
using HalfWord = std::atomic<uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);
static_assert(HalfWord::is_always_lock_free && sizeof(HalfWord) == 4);

inline constexpr uint64_t kMagic = 0x00314543'49554c53ull;  // "SLUICE1" in little-endian bytes
inline constexpr uint32_t kLayoutVersion = 1;
inline constexpr size_t kLine = 64;

// ---- whose a block is ---------------------------------------------------------------------------

using ProcessIndex = uint16_t;  // row of the process table; 0 is nobody
using BlockIndex = uint32_t;    // arena << block_bits(geometry) | number within it
inline constexpr ProcessIndex kNobody = 0;
inline constexpr ProcessIndex kMasterRow = 1;
inline constexpr BlockIndex kNoBlock = 0xffffffff;

enum class BlockState : uint8_t {
  kFree = 0,       // never claimed yet (only before a block's first use)
  kOwned = 1,      // in the hands of the owner: being written, being read, or in its private stock
  kQueued = 2,     // pushed by the owner: in a cell of its queue, or about to be
  kWithdrawn = 3,  // taken back while queued; whoever meets it at the head frees it
  kLinked = 4,     // part of a chain: whoever owns the chain's head owns it
};

// generation:40 | owner:16 | state:8
struct Stamp {
  uint64_t word = 0;
  static constexpr Stamp of(uint64_t generation, ProcessIndex owner, BlockState state) noexcept {
    return {generation << 24 | uint64_t{owner} << 8 | static_cast<uint64_t>(state)};
  }
  [[nodiscard]] constexpr uint64_t generation() const noexcept { return word >> 24; }
  [[nodiscard]] constexpr ProcessIndex owner() const noexcept { return static_cast<ProcessIndex>(word >> 8); }
  [[nodiscard]] constexpr BlockState state() const noexcept { return static_cast<BlockState>(word & 0xff); }
  // The next stamp of the same block: another owner or state, one generation on.
  [[nodiscard]] constexpr Stamp next(ProcessIndex owner, BlockState state) const noexcept {
    return of(generation() + 1, owner, state);
  }
  friend constexpr bool operator==(Stamp, Stamp) = default;
};

// Which queue a block was last pushed to: kind:4 | index:28. Recovery asks it.
enum class QueueKind : uint32_t { kNone = 0, kChannel = 1, kInbox = 2, kReply = 3, kFree = 4 };
constexpr uint32_t queue_id(QueueKind kind, uint32_t index) noexcept {
  return static_cast<uint32_t>(kind) << 28 | (index & 0x0fffffff);
}

// A block's line in the control segment; the payload lies in its arena.
struct alignas(kLine) Envelope {
  Word stamp;         // L1
  HalfWord queue;     // queue_id(); written by the owner before it stamps kQueued
  HalfWord next;      // the next link of a chain + 1, or 0; written by the owner
  HalfWord head;      // of a link: the chain's head
  HalfWord returned;  // set by recovery when it hands the block back: see Returned
  uint64_t unused[5];
};
static_assert(sizeof(Envelope) == kLine);

// Why recovery handed a block back to the process whose arena it lies in.
enum class Returned : uint32_t {
  kNo = 0,
  kTaken = 1,   // its taker died with it in hand: not to be delivered again
  kUnread = 2,  // it lay unread in the inbox of the dead: may be sent again
};

// ---- what a payload begins with -----------------------------------------------------------------

// First bytes of every head block's payload, in the sender's arena, where only the sender writes:
// identity is checked here, because stamps and cells can be scribbled on by anyone (decisions.md 9).
struct alignas(8) PayloadHeader {
  uint64_t generation;      // of the block's stamp when it was claimed
  uint32_t length;          // message bytes behind this header, through all links of the chain
  uint32_t channel;         // index in the channel table: the logical channel
  uint64_t expires_ms;      // monotonic; 0 never
  uint64_t published_ms;    // monotonic
  uint16_t worker;          // the reply address the message is about or meant for; 0 none
  uint16_t sender;          // process that wrote this
  uint32_t incarnation;     // of `worker`
  uint32_t slot;
  uint32_t slot_generation;
  uint32_t ordinal;         // the request's; of a WebSocket receive its order
  uint32_t answered_block;  // of a reply: the request's block and its generation, as the consumer saw them
  uint64_t answered_generation;
};
static_assert(sizeof(PayloadHeader) == 64);

// ---- sizes --------------------------------------------------------------------------------------

inline constexpr size_t kClasses = 6;
inline constexpr std::array<uint32_t, kClasses> kClassBytes = {512,       1u << 10, 2u << 10,
                                                               4u << 10, 64u << 10, 1u << 20};
using ClassCounts = std::array<uint32_t, kClasses>;  // blocks of each class, each at most 2^20

inline constexpr uint32_t kReplyCells = 16;
inline constexpr uint32_t kMaxProcesses = 1024;
inline constexpr uint32_t kMaxConnections = 64 * 64 * 64;  // per worker: three levels of ready words

// Fixed when the segment is made; every process checks and copies it once, and trusts the copy.
struct Geometry {
  uint32_t processes;               // rows of the process table: nobody, master, workers, consumers
  uint32_t worker_processes;        // rows 2 .. 2 + worker_processes; more than workers, see README.md
  uint32_t connections_per_worker;  // a multiple of 64
  uint32_t channels;                // power of two
  uint32_t channel_cells;           // power of two; no channel's capacity can exceed it
  uint32_t inbox_cells;             // power of two
  ClassCounts worker_blocks;
  ClassCounts other_blocks;         // of the master's arena and of a consumer's
  friend bool operator==(const Geometry&, const Geometry&) = default;
};
static_assert(sizeof(Geometry) == 72);

// ---- queues -------------------------------------------------------------------------------------

// Head and tail of a queue; only grow. Its cells, `lap:32 | block:32`, lie elsewhere.
struct alignas(kLine) QueueEnds {
  alignas(kLine) Word head;
  alignas(kLine) Word tail;
};
static_assert(sizeof(QueueEnds) == 2 * kLine);

// ---- processes ----------------------------------------------------------------------------------

enum class ProcessState : uint32_t { kFree = 0, kJoining = 1, kLive = 2, kDead = 3 };
enum class Role : uint32_t { kNone = 0, kMaster = 1, kWorker = 2, kConsumer = 3 };

// doorbell word: two bits, and above them a count of sleeps; see doorbell.h
inline constexpr uint32_t kAsleepInPoll = 1;
inline constexpr uint32_t kAsleepInFutex = 2;

struct alignas(kLine) ProcessRecord {
  Word life;              // incarnation:32 | ProcessState:32
  HalfWord role;          // Role
  HalfWord pid;
  Word start_time;        // of pid, field 22 of /proc/<pid>/stat
  HalfWord number;        // worker 0.., consumer 0..: what `ps` shows
  HalfWord poisoned;      // its inbox is corrupt
  Word seen_deaths;       // a worker's: Header::deaths it has acted on (decisions.md 4)
  Word settled_deaths;    // a worker's: deaths whose unread messages of its were all handed back to it
  HalfWord used_slots;    // a worker's: connection slots ever opened; bounds recovery's walk
  HalfWord reserved;
  Word heartbeat_ms;
  // its own line: sleepers and ringers write it
  alignas(kLine) HalfWord doorbell;  // kAsleep bits; also the futex
  HalfWord doorbell_reserved;
  // blocks of each class ever used in its arena: bounds recovery's walk; written by the arena's process
  alignas(kLine) std::array<HalfWord, 8> used_blocks;
};
static_assert(sizeof(ProcessRecord) == 3 * kLine);

// A set of processes, one bit each.
struct ProcessSet {
  std::array<Word, kMaxProcesses / 64> words;
};
static_assert(sizeof(ProcessSet) == 2 * kLine);

// ---- channels -----------------------------------------------------------------------------------

inline constexpr uint32_t kNoChannel = 0xffffffff;
inline constexpr size_t kMaxNameBytes = 200;

enum class ChannelState : uint32_t { kFree = 0, kOwned = 1, kLive = 2 };

// The directory maps names to records: open addressing over `tag:32 | record + 1:32`, 0 empty.
struct alignas(kLine) ChannelRecord {
  Word truth;            // generation:32 | owner:16 | ChannelState:16
  HalfWord capacity;     // messages
  HalfWord expiry_ms;
  HalfWord poisoned;     // nonzero: something impossible was found in its queue
  HalfWord name_length;
  std::array<char, kMaxNameBytes> name;
  alignas(kLine) Word bytes_queued;   // approximate: a death may leave it too high
  Word messages;         // counters: sent
  Word full;             // refused because full
  Word expired;          // dropped because nobody read them in time
  Word dropped;          // dropped for another reason
  Word withdrawn;        // taken back by their sender
  alignas(kLine) ProcessSet readers;  // who reads it at all
  ProcessSet waiters;    // who sleeps and wants to be rung
  QueueEnds ends;
};
static_assert(sizeof(ChannelRecord) == (4 + 1 + 2 + 2 + 2) * kLine);

// ---- connections --------------------------------------------------------------------------------

enum class SlotState : uint32_t {
  kFree = 0,
  kOpen = 1,       // HTTP, or a WebSocket nobody was told of yet
  kAnnounced = 2,  // its connect was taken: exactly one disconnect is owed (decisions.md 3, 22)
};

// A worker's connection. 256 bytes: 100,000 of them in 25.6 MB.
struct alignas(kLine) ConnectionRecord {
  Word state;          // generation:32 | SlotState:32; written by the worker
  Word owner;          // incarnation:32 | ProcessIndex:32; 0 nobody. WebSockets only
  HalfWord constants;  // block with the constant keys, which will carry the disconnect, + 1; or 0
  HalfWord order;      // the last order sent: what an owed disconnect goes on from
  HalfWord high_water; // nonzero: the client reads slowly, senders are refused
  HalfWord waiter;     // a process that wants to be rung when high_water falls or the ring has room
  std::array<uint64_t, 4> unused;
  alignas(kLine) Word head;  // reply ring: one line for both ends, it is short
  Word tail;
  std::array<uint64_t, 6> unused_ends;
  alignas(kLine) std::array<Word, kReplyCells> cells;
};
static_assert(sizeof(ConnectionRecord) == 256);

// Which of a worker's connections have replies waiting: a bit a slot, a bit a word, a bit a word of
// words. Producers set from the lowest level up; the worker clears from the top down, then looks.
struct alignas(kLine) ReadyBitmap {
  alignas(kLine) Word top;
  alignas(kLine) std::array<Word, 64> middle;
  alignas(kLine) std::array<Word, 64 * 64> bottom;
};

// ---- the head of the segment --------------------------------------------------------------------

// Byte offsets of the tables, all multiples of kLine; recomputed and compared on attach.
struct Offsets {
  uint64_t processes;      // ProcessRecord[processes]
  uint64_t inbox_ends;     // QueueEnds[processes]
  uint64_t inbox_cells;    // Word[processes][inbox_cells]
  uint64_t directory;      // Word[2 * channels]
  uint64_t channels;       // ChannelRecord[channels]
  uint64_t channel_cells;  // Word[channels][channel_cells]
  uint64_t ready;          // ReadyBitmap[worker_processes]
  uint64_t connections;    // ConnectionRecord[worker_processes][connections_per_worker]
  uint64_t free_ends;      // QueueEnds[processes][kClasses]
  uint64_t free_cells;     // Word[processes][free_cells_per_process]: for each class of the arena, its
                           // block count rounded up to a power of two
  uint64_t envelopes;      // Envelope[processes << block_bits]
  uint64_t total;          // bytes of the segment
  friend bool operator==(const Offsets&, const Offsets&) = default;
};

struct alignas(kLine) Header {
  uint64_t magic;
  uint32_t version;
  uint32_t endian;         // 0x01020304 as the gateway writes it
  uint64_t total_bytes;
  uint64_t instance;       // random: names this gateway's doorbells
  uint64_t boot_ms;        // monotonic, when the segment was made
  uint32_t page_bytes;
  uint32_t class_count;
  alignas(kLine) Geometry geometry;
  alignas(kLine) Offsets offsets;
  // the only words of the header that change
  alignas(kLine) Word deaths;     // how many processes were found dead
  HalfWord corrupt;               // nonzero: recovery found the segment beyond repair
  HalfWord draining;              // nonzero: the gateway is leaving; attach no more
};
static_assert(sizeof(Header) == 6 * kLine);

// Bits of a block index that number the block within its arena: enough for the larger kind of arena.
[[nodiscard]] uint32_t block_bits(const Geometry& geometry) noexcept;
// Cells of a process's free queues, all classes together: of the larger kind of arena.
[[nodiscard]] uint64_t free_cells_per_process(const Geometry& geometry) noexcept;
[[nodiscard]] Offsets offsets_of(const Geometry& geometry) noexcept;
// Nothing zero, nothing beyond a maximum, powers of two where they must be, no overflow.
[[nodiscard]] bool valid(const Geometry& geometry) noexcept;

}  // namespace sluice::shm
