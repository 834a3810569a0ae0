// shm/group_table.cc -- probing over names, one word a membership; see group_table.h.
#include "shm/group_table.h"

#include <algorithm>
#include <cstring>

#include "protocol/channel_name.h"
#include "shm/name_hash.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint64_t kTickMs = 100;

// truth word: generation:32 | owner:16 | GroupState:16
constexpr uint64_t truth_of(uint64_t generation, ProcessIndex owner, GroupState state) noexcept {
  return generation << 32 | uint64_t{owner} << 16 | static_cast<uint64_t>(state);
}

constexpr GroupState state_in(uint64_t truth) noexcept {
  return static_cast<GroupState>(truth & 0xffff);
}

bool is_named(const GroupRecord& record, std::string_view name) noexcept {
  const uint32_t length = record.name_length.load(relaxed);  // ordered by its truth
  return length == name.size() && length <= kMaxNameBytes &&
         std::memcmp(record.name.data(), name.data(), length) == 0;
}

}  // namespace

size_t GroupTable::find(std::string_view group,
                        std::span<uint32_t, kMostRecords> records) const noexcept {
  const uint64_t hash = hash_of_name(group);
  const uint32_t count = segment_.geometry().groups;
  size_t found = 0;
  for (uint32_t step = 0; step < count && found < records.size(); ++step) {
    const auto index = static_cast<uint32_t>((hash + step) & (count - 1));
    const GroupRecord& record = *segment_.group(index);
    const uint64_t truth = record.truth.load(acquire);  // [G] pairs with [G] in make()
    if (truth == 0) break;
    if (state_in(truth) == GroupState::kLive && is_named(record, group)) records[found++] = index;
  }
  return found;
}

Result<uint32_t> GroupTable::make(std::string_view group) noexcept {
  const uint64_t hash = hash_of_name(group);
  const uint32_t count = segment_.geometry().groups;
  for (uint32_t step = 0; step < count; ++step) {
    const auto index = static_cast<uint32_t>((hash + step) & (count - 1));
    GroupRecord& record = *segment_.group(index);
    uint64_t truth = record.truth.load(acquire);  // [G]
    if (state_in(truth) != GroupState::kFree) continue;
    const uint64_t generation = (truth >> 32) + 1;
    if (!record.truth.compare_exchange_strong(
            truth, truth_of(generation, me_, GroupState::kOwned), acq_rel, relaxed)) {
      continue;
    }
    CRASH_POINT(group_owned);  // owned by the dead, not shown: recovery frees it
    std::memcpy(record.name.data(), group.data(), group.size());
    record.name_length.store(static_cast<uint32_t>(group.size()), relaxed);  // ours until shown
    record.truth.store(truth_of(generation, kNobody, GroupState::kLive), release);  // [G]
    CRASH_POINT(group_shown);
    return index;
  }
  return Error::kChannelTableFull;
}

Result<void> GroupTable::add(std::string_view group, const OpenChannel& channel,
                             uint64_t expires_ms) noexcept {
  if (!valid_group_name(group) || segment_.channel(channel.index) == nullptr || channel.generation == 0) {
    return Error::kChannelNameInvalid;
  }
  std::array<uint32_t, kMostRecords> records{};
  if (find(group, records) == 0) {
    const Result<uint32_t> made = make(group);
    if (!made.ok()) return made.error();
    records[0] = *made;
  }
  const uint64_t boot_ms = segment_.header().boot_ms;
  const uint64_t ticks =
      std::min<uint64_t>((expires_ms - std::min(expires_ms, boot_ms) + kTickMs - 1) / kTickMs,
                         UINT32_MAX);
  // Relaxed: the word is all there is of a membership (G1).
  segment_.group_member(records[0], channel.index)->store(uint64_t{channel.generation} << 32 | ticks, relaxed);
  return {};
}

void GroupTable::discard(std::string_view group, uint32_t channel) noexcept {
  std::array<uint32_t, kMostRecords> records{};
  const size_t count = find(group, records);
  for (size_t i = 0; i < count; ++i) {
    if (Word* member = segment_.group_member(records[i], channel)) member->store(0, relaxed);
  }
}

bool GroupTable::is_member(std::span<const uint32_t> records, const OpenChannel& channel,
                           uint64_t now_ms) const noexcept {
  return std::any_of(records.begin(), records.end(), [&](uint32_t index) {
    const uint64_t member = segment_.group_member(index, channel.index)->load(relaxed);  // G1
    if (member == 0) return false;
    const uint64_t ends_ms = segment_.header().boot_ms + (member & UINT32_MAX) * kTickMs;
    return now_ms < ends_ms && member >> 32 == channel.generation;
  });
}

void GroupTable::clear() noexcept {
  for (uint32_t index = 0; index < segment_.geometry().groups; ++index) {
    if (segment_.group(index)->truth.load(acquire) == 0) continue;  // never used: leave its pages alone
    for (uint32_t channel = 0; channel < segment_.geometry().channels; ++channel) {
      Word& member = *segment_.group_member(index, channel);
      if (member.load(relaxed) != 0) member.store(0, relaxed);  // G1
    }
  }
}

void GroupTable::recover(ProcessIndex dead) noexcept {
  for (uint32_t index = 0; index < segment_.geometry().groups; ++index) {
    Word& word = segment_.group(index)->truth;
    uint64_t truth = word.load(acquire);  // [G]
    if ((truth & UINT32_MAX) !=
        (uint64_t{dead} << 16 | static_cast<uint64_t>(GroupState::kOwned))) {
      continue;
    }
    word.compare_exchange_strong(truth, truth_of(truth >> 32, kNobody, GroupState::kFree), acq_rel,
                                 relaxed);  // [G]
  }
}

}  // namespace sluice::shm
