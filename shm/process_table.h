// shm/process_table.h -- who is attached: the master gives out rows and takes them back.
//
// A row goes free -> joining -> live -> dead -> free, each step one compare-exchange of its `life`
// from the incarnation meant; asked for another incarnation, or out of turn, a step does nothing.
//
// T1  The master goes by an account of its own: a scribbled `life` neither gives a row out twice, nor
//     an incarnation, nor does it make anybody dead or alive. Others see the word, until repair().
#pragma once

#include <optional>
#include <vector>

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
  // From now on what the rows are is ours to say, and their words are only written (T1).
  void keep_account();
  // Writes again each word that is not what it must be; true if one was not.
  bool repair() noexcept;
  // A free row for the role, marked joining, its incarnation one on; nothing when all are taken.
  // What its blocks and queues held, recovery has emptied before set_free().
  [[nodiscard]] std::optional<ProcessName> reserve(Role role, uint32_t number) noexcept;
  void set_live(ProcessName name, uint32_t pid, uint64_t start_time) noexcept;
  void set_dead(ProcessName name) noexcept;  // of one joining, too
  void set_free(ProcessName name) noexcept;

  // -- anybody's
  [[nodiscard]] bool is_live(ProcessName name) const noexcept;
  // The same by the word in the segment alone.
  [[nodiscard]] static bool says_live(const Segment& segment, ProcessName name) noexcept;
  // The incarnation living in a row now, if one is.
  [[nodiscard]] std::optional<ProcessName> living(ProcessIndex index) const noexcept;
  [[nodiscard]] ProcessState state(ProcessIndex index) const noexcept;
  [[nodiscard]] uint32_t incarnation(ProcessIndex index) const noexcept;

 private:
  // The word as we go by it.
  [[nodiscard]] uint64_t life_of(uint32_t index) const noexcept;
  // From `from` to `to`, unless it is another by now.
  bool change(uint32_t index, uint64_t from, uint64_t to) noexcept;

  const Segment& segment_;
  std::vector<uint64_t> account_;  // by row; empty: the words in the segment are all we know
};

}  // namespace sluice::shm
