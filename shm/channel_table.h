// shm/channel_table.h -- name to channel record; names are checked, made once, and stay.
//
// A record is built whole while its maker owns it, then one compare-exchange of a directory word
// shows it to everybody; the loser of that race frees its record and uses the winner's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "shm/channel_rules.h"
#include "shm/segment.h"

namespace sluice::shm {

class ChannelTable {
 public:
  ChannelTable(const Segment& segment, ProcessIndex me) noexcept : segment_(segment), rules_(segment, me), me_(me) {}

  // The channel of that name, made if there is none. kChannelNameInvalid (also for a name with `!`:
  // those are addresses, not channels), kChannelTableFull.
  [[nodiscard]] Result<uint32_t> open(std::string_view name) noexcept;
  // The channel of that name, if it was made.
  [[nodiscard]] std::optional<uint32_t> find(std::string_view name) const noexcept;
  // The name of a record, copied; empty for an index that is none.
  [[nodiscard]] std::string name_of(uint32_t channel) const;
  // Capacity and expiry by name or glob.
  [[nodiscard]] ChannelRules& rules() noexcept { return rules_; }
  // Finishes or frees what a dead process was building, channels and rules. For recovery.
  void recover(ProcessIndex dead) noexcept;

 private:
  [[nodiscard]] bool names(uint64_t entry, uint32_t tag, std::string_view name) const noexcept;
  [[nodiscard]] std::optional<uint32_t> build(std::string_view name, uint64_t hash) noexcept;
  void unbuild(uint32_t channel) noexcept;

  const Segment& segment_;
  ChannelRules rules_;
  ProcessIndex me_;
};

}  // namespace sluice::shm
