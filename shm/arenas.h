// shm/arenas.h -- the payload memory this process has mapped: its own to write, others' to read.
//
// An arena belongs to one incarnation of one process. It is mapped when a block of it is first met,
// and unmapped when that incarnation is over and its row is used again or retire() is called.
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
  // Unmaps the arenas of incarnations that are over.
  void retire_gone() noexcept;

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
  };
  const Segment& segment_;
  ProcessIndex me_;
  ArenaSource* source_;
  std::vector<Mapping> mappings_;  // by process index
};

}  // namespace sluice::shm
