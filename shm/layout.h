// shm/layout.h -- every byte of the control segment: structs, sizes, version. block_layout.h: blocks;
// channel_layout.h: channels; group_layout.h: groups.
//
// Little-endian, fixed-width, 64-byte cache lines. Three kinds of memory (README.md draws them):
//   control  one memfd, written by everybody attached: this file's records
//   arenas   one memfd per process: its payloads; written by that process alone, sealed so
//
// L1  Ownership of a block stands in one word, its stamp, and changes by one compare-exchange.
// L2  Everything else is a hint that anybody may repair, or of a process we need not trust.
// L3  No pointer is stored; an index is checked against the reader's own copy of the geometry.
// L4  Zeroed memory is a valid empty segment: a fresh block is free, a fresh queue empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "shm/channel_layout.h"

namespace sluice::shm {

inline constexpr uint64_t kMagic = 0x00314543'49554c53ull;  // "SLUICE1" in little-endian bytes
inline constexpr uint32_t kLayoutVersion = 5;

// ---- sizes --------------------------------------------------------------------------------------

// A browser's head is 1 to 2 KiB, and a WebSocket keeps it; with a body of 64 KiB comes its head.
inline constexpr size_t kClasses = 8;
inline constexpr std::array<uint32_t, kClasses> kClassBytes = {
    512, 1u << 10, 3u << 9, 2u << 10, 4u << 10, 72u << 10, 256u << 10, 1u << 20};
using ClassCounts = std::array<uint32_t, kClasses>;  // blocks of each class, each at most 2^20

inline constexpr uint32_t kReplyCells = 16;
inline constexpr uint32_t kMaxConnections =
    64 * 64 * 64;  // per worker: three levels of ready words

// Fixed when the segment is made; every process checks and copies it once, and trusts the copy.
struct Geometry {
  uint32_t processes;         // rows of the process table: nobody, master, workers, consumers
  uint32_t worker_processes;  // rows 2 .. 2 + worker_processes; more than workers, see README.md
  uint32_t connections_per_worker;  // a multiple of 64
  uint32_t channels;                // power of two
  uint32_t channel_cells;           // power of two; no channel's capacity can exceed it
  uint32_t inbox_cells;             // power of two
  uint32_t groups;                  // power of two: groups with plain channels as members
  uint32_t group_expiry_ms;         // how long a membership lives
  ClassCounts worker_blocks;
  ClassCounts other_blocks;  // of the master's arena and of a consumer's
  friend bool operator==(const Geometry&, const Geometry&) = default;
};
static_assert(sizeof(Geometry) == 96);

// ---- processes ----------------------------------------------------------------------------------

enum class ProcessState : uint32_t { kFree = 0, kJoining = 1, kLive = 2, kDead = 3 };
enum class Role : uint32_t { kNone = 0, kMaster = 1, kWorker = 2, kConsumer = 3 };

// doorbell word: two bits, and above them a count of sleeps; see doorbell.h
inline constexpr uint32_t kAsleepInPoll = 1;
inline constexpr uint32_t kAsleepInFutex = 2;

struct alignas(kLine) ProcessRecord {
  Word life;      // incarnation:32 | ProcessState:32
  HalfWord role;  // Role
  HalfWord pid;
  Word start_time;    // of pid, field 22 of /proc/<pid>/stat
  HalfWord number;    // worker 0.., consumer 0..: what `ps` shows
  HalfWord poisoned;  // its inbox is corrupt
  Word seen_deaths;   // a worker's: Header::deaths it has acted on (decisions.md 4)
  Word settled_deaths;  // a worker's: deaths whose unread messages it was all handed back
  HalfWord used_slots;  // a worker's: connection slots ever opened; bounds recovery's walk
  HalfWord stuck;       // nonzero: takes nothing from its inbox; gets no new work (decisions.md 24)
  Word heartbeat_ms;
  alignas(kLine) HalfWord doorbell;  // kAsleep bits, and the futex; sleepers and ringers write it
  HalfWord doorbell_reserved;
  // blocks of each class that its own process has used in its arena: bounds recovery's walk
  alignas(kLine) std::array<HalfWord, 8> used_blocks;
  // At its inbox, since the row was first used, whoever sat in it. kBefore: 0.
  alignas(kLine) ChannelCounts inbox_counts;
  std::array<Word, 2> inbox_sent_by_second;  // seconds.h: of the queue's tail
  std::array<Word, 2> inbox_full_by_second;  // of full
  WaitingSenders senders;                    // for room there
};
static_assert(sizeof(ProcessRecord) == (3 + 1 + 1 + 3) * kLine);

// ---- connections --------------------------------------------------------------------------------

enum class SlotState : uint32_t {
  kFree = 0,
  kOpen = 1,       // HTTP, or a WebSocket nobody was told of yet
  kAnnounced = 2,  // its connect was taken: exactly one disconnect is owed (decisions.md 3, 22)
};

// A worker's connection. 256 bytes: 100,000 of them in 25.6 MB.
struct alignas(kLine) ConnectionRecord {
  Word state;           // generation:32 | SlotState:32; written by the worker
  Word owner;           // incarnation:32 | ProcessIndex:32; 0 nobody. WebSockets only
  HalfWord constants;   // block with the constant keys, which will carry the disconnect, + 1; or 0
  HalfWord order;       // the last order sent: what an owed disconnect goes on from
  HalfWord high_water;  // nonzero: the client reads slowly, senders are refused
  HalfWord waiter;  // a process that wants to be rung when high_water falls or the ring has room
  HalfWord poisoned;  // nonzero: its reply ring was found broken
  std::array<uint32_t, 7> unused;
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
  uint64_t rules;          // RuleRecord[kChannelRules]
  uint64_t directory;      // Word[2 * channels]
  uint64_t channels;       // ChannelRecord[channels]
  uint64_t channel_cells;  // Word[channels][channel_cells]
  uint64_t ready;          // ReadyBitmap[worker_processes]
  uint64_t connections;    // ConnectionRecord[worker_processes][connections_per_worker]
  uint64_t free_ends;      // QueueEnds[processes][kClasses]
  uint64_t free_cells;  // Word[processes][free_cells_per_process]: for each class of the arena, its
                        // block count rounded up to a power of two
  uint64_t envelopes;   // Envelope[processes << block_bits]
  uint64_t groups;         // GroupRecord[groups], see group_layout.h
  uint64_t group_members;  // Word[groups][channels]
  uint64_t total;          // bytes of the segment
  friend bool operator==(const Offsets&, const Offsets&) = default;
};

struct alignas(kLine) Header {
  uint64_t magic;
  uint32_t version;
  uint32_t endian;  // 0x01020304 as the gateway writes it
  uint64_t total_bytes;
  uint64_t instance;  // random: names this gateway's doorbells
  uint64_t boot_ms;   // monotonic, when the segment was made
  uint32_t page_bytes;
  uint32_t class_count;
  alignas(kLine) Geometry geometry;
  alignas(kLine) Offsets offsets;
  // the only words of the header that change
  alignas(kLine) Word deaths;  // how many processes were found dead
  HalfWord corrupt;            // nonzero: recovery found the segment beyond repair
  HalfWord draining;           // nonzero: the gateway is leaving; attach no more
  Word rule_changes;           // counts up when a channel rule was made or taken away
  Word drop_share;             // drop_mode.h; set before anybody attaches
  Word drop_seed;
  alignas(kLine) ChannelCounts ended;  // of channels that were given back
};
static_assert(sizeof(Header) == 7 * kLine);

// Bits of a block index that number the block within its arena: enough for the larger kind.
[[nodiscard]] uint32_t block_bits(const Geometry& geometry) noexcept;
// Cells of a process's free queues, all classes together: of the larger kind of arena.
[[nodiscard]] uint64_t free_cells_per_process(const Geometry& geometry) noexcept;
[[nodiscard]] Offsets offsets_of(const Geometry& geometry) noexcept;
// Nothing zero, nothing beyond a maximum, powers of two where they must be, no overflow.
[[nodiscard]] bool valid(const Geometry& geometry) noexcept;

}  // namespace sluice::shm
