// shm/channel_table.cc -- open addressing over names; insert-only.
#include "shm/channel_table.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "protocol/channel_name.h"
#include "protocol/limits.h"
#include "shm/name_hash.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

// directory word: tag:32 | record + 1:32
constexpr uint64_t pack(uint32_t tag, uint32_t channel) noexcept {
  return uint64_t{tag} << 32 | (channel + 1);
}

// truth word: generation:32 | owner:16 | ChannelState:16
constexpr uint64_t truth_of(uint64_t generation, ProcessIndex owner, ChannelState state) noexcept {
  return generation << 32 | uint64_t{owner} << 16 | static_cast<uint64_t>(state);
}

std::string_view copy_name(const ChannelRecord& record, std::array<char, kMaxNameBytes>& copy) {
  const uint32_t length = std::min<uint32_t>(record.name_length.load(relaxed), kMaxNameBytes);
  std::memcpy(copy.data(), record.name.data(), length);
  return {copy.data(), length};
}

}  // namespace

Result<uint32_t> ChannelTable::open(std::string_view name) noexcept {
  const std::optional<ChannelKind> kind = parse_channel_name(name);
  if (!kind || *kind == ChannelKind::kProcessSpecific) return Error::kChannelNameInvalid;
  const uint64_t hash = hash_of_name(name);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const uint32_t size = segment_.directory_size();
  std::optional<uint32_t> built;
  for (uint32_t step = 0; step < size; ++step) {
    Word& word = segment_.directory()[(hash + step) & (size - 1)];
    uint64_t entry = word.load(acquire);  // [D]
    if (entry == 0) {
      if (!built) built = build(name, hash);
      if (!built) return Error::kChannelTableFull;
      CRASH_POINT(channel_built);  // owned by the dead, in no directory word: recovery frees it
      // [D] who sees the word sees the record.
      if (word.compare_exchange_strong(entry, pack(tag, *built), acq_rel, acquire)) {
        Word& truth = segment_.channel(*built)->truth;
        truth.store(truth_of(truth.load(relaxed) >> 32, kNobody, ChannelState::kLive), release);
        rules_.apply(*built);  // U3: a rule made since it was built
        return *built;
      }
    }
    if (names(entry, tag, name)) {
      if (built) unbuild(*built);
      return static_cast<uint32_t>(entry) - 1;
    }
  }
  if (built) unbuild(*built);
  return Error::kChannelTableFull;
}

std::optional<uint32_t> ChannelTable::find(std::string_view name) const noexcept {
  const uint64_t hash = hash_of_name(name);
  const uint32_t size = segment_.directory_size();
  for (uint32_t step = 0; step < size; ++step) {
    const uint64_t entry = segment_.directory()[(hash + step) & (size - 1)].load(acquire);  // [D]
    if (entry == 0) return std::nullopt;
    if (names(entry, static_cast<uint32_t>(hash >> 32), name)) {
      return static_cast<uint32_t>(entry) - 1;
    }
  }
  return std::nullopt;
}

bool ChannelTable::names(uint64_t entry, uint32_t tag, std::string_view name) const noexcept {
  if (static_cast<uint32_t>(entry >> 32) != tag) return false;
  const ChannelRecord* record = segment_.channel(static_cast<uint32_t>(entry) - 1);
  if (record == nullptr) return false;
  std::array<char, kMaxNameBytes> copy;
  return copy_name(*record, copy) == name;
}

std::optional<uint32_t> ChannelTable::build(std::string_view name, uint64_t hash) noexcept {
  const uint32_t count = segment_.geometry().channels;
  for (uint32_t step = 0; step < count; ++step) {
    const auto index = static_cast<uint32_t>((hash + step) & (count - 1));
    ChannelRecord* record = segment_.channel(index);
    uint64_t truth = record->truth.load(acquire);  // [N]
    if (static_cast<ChannelState>(truth & 0xffff) != ChannelState::kFree) continue;
    const uint64_t mine = truth_of((truth >> 32) + 1, me_, ChannelState::kOwned);
    if (!record->truth.compare_exchange_strong(truth, mine, acq_rel, relaxed)) continue;  // [N]
    CRASH_POINT(channel_owned);
    std::memcpy(record->name.data(), name.data(), name.size());
    record->name_length.store(static_cast<uint32_t>(name.size()), relaxed);  // ours until shown
    const ChannelLimits limits = rules_.limits_of(name);
    record->capacity.store(limits.capacity, relaxed);
    record->expiry_ms.store(static_cast<uint32_t>(limits.expiry.count()), relaxed);
    return index;
  }
  return std::nullopt;
}

void ChannelTable::unbuild(uint32_t channel) noexcept {
  Word& truth = segment_.channel(channel)->truth;
  truth.store(truth_of(truth.load(relaxed) >> 32, kNobody, ChannelState::kFree), release);  // [N]
}

std::string ChannelTable::name_of(uint32_t channel) const {
  const ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return {};
  std::array<char, kMaxNameBytes> copy;
  return std::string(copy_name(*record, copy));
}

void ChannelTable::recover(ProcessIndex dead) noexcept {
  for (uint32_t index = 0; index < segment_.geometry().channels; ++index) {
    ChannelRecord* record = segment_.channel(index);
    uint64_t truth = record->truth.load(acquire);  // [N]
    if ((truth & 0xffffffff) !=
        (uint64_t{dead} << 16 | static_cast<uint64_t>(ChannelState::kOwned))) {
      continue;
    }
    // Shown in the directory before its maker died: finish; never shown: free.
    const std::string name = name_of(index);
    const bool shown = find(name) == index;
    const uint64_t settled =
        truth_of(truth >> 32, kNobody, shown ? ChannelState::kLive : ChannelState::kFree);
    record->truth.compare_exchange_strong(truth, settled, acq_rel, relaxed);  // [N]
  }
  rules_.recover(dead);
}

}  // namespace sluice::shm
