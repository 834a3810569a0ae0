// shm/process_table.h -- who is attached: the master gives out rows and takes them back.
//
// A row goes free -> joining -> live -> dead -> free, each step one compare-exchange of its `life`
// from the incarnation meant; asked for another incarnation, or out of turn, a step does nothing.
#pragma once

#include <optional>

#include "shm/segment.h"

namespace sluice::shm {

struct ProcessName {
  ProcessIndex index = kNobody;
  uint32_t incarnation = 0;
  friend bool operator==(const ProcessName&, const ProcessName&) = default;
};

class ProcessTable {
 public:
  explicit ProcessTable(const Segment& segment) noexcept : segment_(segment) {}

  // -- the master's
  // A free row for the role, marked joining, its incarnation one on; nothing when all are taken.
  // What its blocks and queues held, recovery has emptied before set_free().
  [[nodiscard]] std::optional<ProcessName> reserve(Role role, uint32_t number) noexcept;
  void set_live(ProcessName name, uint32_t pid, uint64_t start_time) noexcept;
  void set_dead(ProcessName name) noexcept;  // of one joining, too
  void set_free(ProcessName name) noexcept;

  // -- anybody's
  [[nodiscard]] bool is_live(ProcessName name) const noexcept;
  // The incarnation living in a row now, if one is.
  [[nodiscard]] std::optional<ProcessName> living(ProcessIndex index) const noexcept;
  [[nodiscard]] ProcessState state(ProcessIndex index) const noexcept;
  [[nodiscard]] uint32_t incarnation(ProcessIndex index) const noexcept;

 private:
  const Segment& segment_;
};

}  // namespace sluice::shm
