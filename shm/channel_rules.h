// shm/channel_rules.h -- which capacity and expiry a channel gets, by its name: rules of globs.
//
// The rules stand in the segment, not in what a process is told when it attaches: a channel made
// later by anybody follows them, and one set at run time holds for all from then on.
//
//   truth  { rank:32 | owner:16 | state:16 } of a rule; ranks only grow
//
// U1  A rule is written whole while its maker owns it, then one store shows it. Who reads it reads
//     its truth before and after: a rule that changed meanwhile is read again.
// U2  The live rule of the highest rank whose glob matches is a channel's, alone: what it does not
//     say is the default's, not the next rule's. No rule matches: the defaults.
// U3  Rank, rule and channel meet in Header::rule_changes. Who made a rule counts it up and then goes
//     through all channels; who made a channel shows it and then looks whether it was counted up. One
//     of the two sees the other. A maker that dies between is made up for by recovery.
// U4  All of it is a hint to who reads it: capacity is bounded by the cells there are.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "protocol/result.h"
#include "shm/segment.h"

namespace sluice::shm {

// What a channel is bounded by; 0 stands for the default.
struct ChannelLimits {
  uint32_t capacity = 0;               // messages
  std::chrono::milliseconds expiry{};  // how long one lies unread
  friend bool operator==(const ChannelLimits&, const ChannelLimits&) = default;
};

class ChannelRules {
 public:
  ChannelRules(const Segment& segment, ProcessIndex me) noexcept : segment_(segment), me_(me) {}

  // From now on channels that `glob` matches, those there are too, have these limits; comes before
  // every rule made earlier, and takes the place of one of the same glob. A lowered capacity drops
  // nothing: the channel takes no more until it is below. A changed expiry holds for what is sent
  // from now on. kChannelNameInvalid (no glob), kLimitOutOfRange (a capacity beyond
  // Geometry::channel_cells, an expiry beyond kExpiryLeast .. kExpiryMost), kChannelTableFull
  // (kChannelRules globs).
  [[nodiscard]] Result<void> set(std::string_view glob, const ChannelLimits& limits) noexcept;
  // The limits of a channel of that name, defaults filled in.
  [[nodiscard]] ChannelLimits limits_of(std::string_view name) const noexcept;
  // Gives a channel the limits its name has now. Call after it was shown.
  void apply(uint32_t channel) const noexcept;
  void apply_to_all() const noexcept;
  // Frees what the dead was writing, and goes through all channels in its place (U3).
  void recover(ProcessIndex dead) noexcept;

 private:
  [[nodiscard]] std::optional<uint32_t> claim() noexcept;
  void take_away_others(std::string_view glob, uint32_t but_not) noexcept;

  const Segment& segment_;
  ProcessIndex me_;
};

}  // namespace sluice::shm
