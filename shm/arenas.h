// shm/arenas.h -- the payload memory this process has mapped: its own to write, others' to read.
//
// An arena belongs to one incarnation of one process. It is mapped when a block of it is first met,
// and unmapped when that incarnation is over: its row is used again, or retire() is called. Whose
// turn a row's word says it is may be scribbled: a mapping that another took the place of stays until
// forget_replaced(), because somebody may be reading there.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <memory>
#include <span>
#include <vector>

#include "shm/process_table.h"
#include "shm/segment.h"

namespace sluice::shm {

// Where a missing arena's memfd comes from: the master, over a socket.
class ArenaSource {
 public:
  virtual ~ArenaSource() = default;
  // The arena of that incarnation, or nothing when the process is gone. May block on the master
  // briefly.
  [[nodiscard]] virtual Fd fetch(ProcessIndex process, uint32_t incarnation) noexcept = 0;
};

class Arenas {
 public:
  // `source` may be null: then only what was put in is there. It outlives us.
  Arenas(const Segment& segment, ProcessIndex me, ArenaSource* source);

  // Maps our own arena for writing (before it is sealed). Throws std::system_error.
  void map_own(int memfd);
  // Maps another's read-only. kSegmentCorrupt when the memfd is not what it must be.
  [[nodiscard]] Result<void> map(ProcessIndex process, uint32_t incarnation, Fd memfd) noexcept;
  // Unmaps that incarnation's; its row may have another by now, whose arena stays.
  void retire(ProcessName name) noexcept;
  // Unmaps what others took the place of. Call it while no Delivery is read.
  void forget_replaced() noexcept { replaced_.clear(); }
  // Unmaps all, our own too: in a forked child that is no part of it.
  void forget() noexcept {
    mappings_.clear();
    replaced_.clear();
  }

  // The payload of a block of ours, to write; CHECKs that it is ours.
  [[nodiscard]] std::span<std::byte> own(BlockIndex block) const noexcept;
  [[nodiscard]] bool is_own(BlockIndex block) const noexcept;
  // The payload of any block; empty when its arena cannot be had. Another process may be writing
  // it.
  [[nodiscard]] std::span<const std::byte> payload(BlockIndex block) noexcept;

 private:
  struct Mapping {
    uint32_t incarnation = 0;
    std::unique_ptr<boost::interprocess::mapped_region> region;
    [[nodiscard]] std::byte* start() const noexcept {
      return static_cast<std::byte*>(region->get_address());
    }
  };
  [[nodiscard]] static uint32_t incarnation_of(const ProcessRecord& record) noexcept {
    return static_cast<uint32_t>(record.life.load(std::memory_order_acquire) >> 32);
  }
  // The start of an arena not mapped yet, mapped now; null when it cannot be had.
  [[nodiscard]] const std::byte* fetch(ProcessIndex process, uint32_t incarnation) noexcept;

  const Segment& segment_;
  const ProcessRecord* rows_;  // one for each arena there can be
  ProcessIndex me_;
  ArenaSource* source_;
  std::vector<Mapping> mappings_;  // by process index
  std::vector<std::unique_ptr<boost::interprocess::mapped_region>> replaced_;
};

// Every message passes through these: the compiler sees them.

inline std::span<std::byte> Arenas::own(BlockIndex block) const noexcept {
  BlockPlace place;
  CHECK(segment_.place_of(block, place) && place.arena == me_ && mappings_[me_].region != nullptr);
  return {mappings_[me_].start() + place.offset, place.bytes()};
}

inline bool Arenas::is_own(BlockIndex block) const noexcept {
  BlockPlace place;
  return segment_.place_of(block, place) && place.arena == me_;
}

inline std::span<const std::byte> Arenas::payload(BlockIndex block) noexcept {
  BlockPlace place;
  if (!segment_.place_of(block, place)) return {};
  const Mapping& mapping = mappings_[place.arena];
  const std::byte* start = mapping.region != nullptr ? mapping.start() : nullptr;
  if (place.arena != me_) {
    const uint32_t incarnation = incarnation_of(rows_[place.arena]);
    if (start == nullptr || mapping.incarnation != incarnation) {
      start = fetch(place.arena, incarnation);
    }
  }
  if (start == nullptr) return {};
  return {start + place.offset, place.bytes()};
}

}  // namespace sluice::shm
