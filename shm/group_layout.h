// shm/group_layout.h -- groups that have plain channels as members, as they lie in the control segment.
// Connections as members stand in their workers' own tables.
#pragma once

#include "shm/layout.h"

namespace sluice::shm {

enum class GroupState : uint32_t { kFree = 0, kOwned = 1, kLive = 2 };

// Found by probing from the hash of its name, up to the first record never used. A name may stand in
// two records, where two made it at once: they count as one group (group_table.h).
struct alignas(kLine) GroupRecord {
  Word truth;  // generation:32 | owner:16 | GroupState:16; 0: never used
  HalfWord name_length;
  HalfWord reserved;
  std::array<char, kMaxNameBytes> name;
};
static_assert(sizeof(GroupRecord) == 4 * kLine);

// Beside a record one word for each channel there can be: 0 for no member, else
// `channel's generation:32 | the membership's end:32`, in tenths of a second since Header::boot_ms.
// One store adds, renews or discards; nothing has to be repaired.

}  // namespace sluice::shm
