// shm/group_table.h -- which plain channels are members of which group. Connections are not here:
// their worker keeps them (worker/groups.h).
//
// G1  A membership is one word, at the place of its channel: adding twice is adding once, and nobody
//     who dies leaves half of one.
// G2  A record is built while its maker owns it, then shown by one store. Who finds none of that name
//     makes one; where two do so at once, both records are the group, and each call sees both.
// G3  Names stay. A membership ends when it is discarded, when its time is over, or when its channel's
//     record is another channel's.
#pragma once

#include <functional>
#include <string_view>

#include "protocol/result.h"
#include "shm/channel_table.h"
#include "shm/segment.h"

namespace sluice::shm {

class GroupTable {
 public:
  GroupTable(const Segment& segment, ProcessIndex me) noexcept : segment_(segment), me_(me) {}

  // From now until `expires_ms` (monotonic; rounded up to a tenth of a second) the channel is a
  // member. kChannelNameInvalid: no group's name, or no channel. kChannelTableFull.
  [[nodiscard]] Result<void> add(std::string_view group, const OpenChannel& channel,
                                 uint64_t expires_ms) noexcept;
  // No member any more, if it was one.
  void discard(std::string_view group, uint32_t channel) noexcept;
  // Ends every membership there is.
  void clear() noexcept;
  // Calls `visit(OpenChannel)` once for each member at `now_ms`.
  template <class Visit>
  void for_each_member(std::string_view group, uint64_t now_ms, Visit visit) const noexcept {
    std::array<uint32_t, kMostRecords> records{};
    const size_t count = find(group, records);
    if (count == 0) return;
    for (uint32_t channel = 0; channel < segment_.geometry().channels; ++channel) {
      const auto truth = segment_.channel(channel)->truth.load(std::memory_order::acquire);  // [N]
      const OpenChannel open{channel, static_cast<uint32_t>(truth >> 32)};
      if (is_live(truth) && is_member(std::span(records).first(count), open, now_ms)) visit(open);
    }
  }
  // Frees what a dead process was building. For recovery.
  void recover(ProcessIndex dead) noexcept;

 private:
  static constexpr size_t kMostRecords = 4;  // of one name; as many makers would have to meet
  [[nodiscard]] size_t find(std::string_view group,
                            std::span<uint32_t, kMostRecords> records) const noexcept;
  [[nodiscard]] Result<uint32_t> make(std::string_view group) noexcept;
  [[nodiscard]] bool is_member(std::span<const uint32_t> records, const OpenChannel& channel,
                               uint64_t now_ms) const noexcept;

  const Segment& segment_;
  ProcessIndex me_;
};

}  // namespace sluice::shm
