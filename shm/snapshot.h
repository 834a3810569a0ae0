// shm/snapshot.h -- what stands in a segment, read once by somebody who changes nothing.
//
// S1  It only loads: the segment may be mapped for reading only, and nobody notices it was looked at.
// S2  It is not of one moment: the others go on meanwhile. Each word was there when it was read.
// S3  Whatever stands in the segment, each value is checked before it is used as an index, and each
//     walk ends after as many steps as the geometry says.
// S4  Pages nobody has used yet are left alone: reading them would cost the gateway memory.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shm/arenas.h"
#include "shm/segment.h"
#include "shm/statistics.h"

namespace sluice::shm {

struct QueueSnapshot {
  uint32_t waiting = 0;               // messages published and not taken
  uint32_t withdrawn = 0;             // taken back by their sender and still in a cell
  std::optional<uint64_t> oldest_ms;  // age of the first that waits, where it could be read
  bool impossible = false;            // a cell names a block that is none
};

// How many blocks are whose: of one owner, over all arenas.
struct HeldBlocks {
  uint64_t own = 0;        // of its own arena, in its hands or its private stock
  uint64_t taken = 0;      // of another's arena, in its hands: messages it took
  uint64_t queued = 0;     // pushed by it and not taken
  uint64_t withdrawn = 0;  // pushed by it, taken back, still in a cell
  uint64_t linked = 0;     // links of chains it wrote
  uint64_t shared = 0;     // groups' messages it sent that workers have not all let go of
};

struct ProcessSnapshot {
  ProcessIndex row = kNobody;
  uint32_t incarnation = 0;
  uint32_t state = 0;  // ProcessState, or a number that is none
  uint32_t role = 0;   // Role, or a number that is none
  uint32_t number = 0;
  uint32_t pid = 0;
  bool asleep_in_poll = false;
  bool asleep_in_futex = false;
  bool poisoned = false;                 // its inbox is corrupt
  std::optional<uint64_t> heartbeat_ms;  // ago; nothing of who keeps none
  uint64_t seen_deaths = 0;
  uint64_t settled_deaths = 0;
  QueueSnapshot inbox;
  ChannelStatistics counted;  // at the inbox, but what waits there
  bool stuck = false;                    // takes nothing of what waits for it; gets no new work
  HeldBlocks blocks;
};

struct ChannelSnapshot {
  uint32_t index = 0;
  uint32_t state = 0;  // ChannelState, or a number that is none
  std::string name;    // any bytes
  uint32_t capacity = 0;
  uint32_t expiry_ms = 0;
  bool poisoned = false;
  uint64_t bytes = 0;  // of longer messages that wait, about
  QueueSnapshot queue;
  std::vector<ProcessIndex> readers;
  std::vector<ProcessIndex> waiters;
  ChannelStatistics counted;  // but what waits: that is `queue`
};

// Blocks of one class of one arena. The states are those of the stamps; `other` is none of them.
struct ClassSnapshot {
  uint32_t blocks = 0;
  uint32_t used = 0;  // since the row was given out; the states count these
  uint32_t free = 0, owned = 0, queued = 0, withdrawn = 0, linked = 0, shared = 0, other = 0;
  uint32_t returned = 0;  // of the queued: in the arena's free queue, to be claimed again
  uint32_t taken = 0;     // of the owned: in another process's hands
};

struct ArenaSnapshot {
  ProcessIndex row = kNobody;
  std::array<ClassSnapshot, kClasses> classes;
};

// A worker's connections.
struct ConnectionsSnapshot {
  ProcessIndex worker = kNobody;
  uint32_t used_slots = 0;  // ever
  uint32_t open = 0;        // HTTP, and WebSockets not announced
  uint32_t announced = 0;   // WebSockets a consumer knows of
  uint32_t ownerless = 0;   // of the announced: nobody owns them now
  uint32_t slow = 0;        // the client reads slowly: senders are refused
  uint32_t ready = 0;       // bits set in the bottom level of the ready bitmap
  uint32_t rings_in_use = 0;
  uint64_t replies = 0;  // waiting in all rings
  uint32_t deepest_ring = 0;
  std::map<ProcessIndex, uint32_t> owned_by;  // WebSockets, by the row that owns them
};

struct Snapshot {
  uint32_t version = 0;
  uint64_t instance = 0;
  uint64_t bytes = 0;
  uint64_t age_ms = 0;
  uint64_t deaths = 0;
  bool corrupt = false;
  bool draining = false;
  Geometry geometry{};
  std::vector<ProcessSnapshot> processes;  // rows in use, or used before
  std::vector<ChannelSnapshot> channels;
  std::vector<ArenaSnapshot> arenas;  // with blocks ever used
  std::vector<ConnectionsSnapshot> connections;
  HeldBlocks strays;  // whose owner is no row of the table
};

// `arenas` may be without a source or lose it: then ages are missing. Throws std::bad_alloc.
[[nodiscard]] Snapshot take_snapshot(const Segment& segment, Arenas& arenas);

}  // namespace sluice::shm
