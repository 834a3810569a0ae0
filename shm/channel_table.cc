// shm/channel_table.cc -- open addressing over names; see channel_table.h.
#include "shm/channel_table.h"

#include <algorithm>
#include <string>

#include "protocol/channel_name.h"
#include "protocol/limits.h"
#include "shm/clock.h"
#include "shm/name_hash.h"
#include "shm/shared_text.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint32_t kTries = 64;  // of makers that take the record from one another (C2)

// directory word: tag:16 | generation:16 | record + 1:32
constexpr uint64_t pack(uint64_t hash, const OpenChannel& channel) noexcept {
  return hash >> 48 << 48 | uint64_t{channel.generation & 0xffff} << 32 | (channel.index + 1);
}
constexpr uint32_t record_in(uint64_t entry) noexcept { return static_cast<uint32_t>(entry) - 1; }

// truth word: generation:32 | owner:16 | ChannelState:16
constexpr uint64_t truth_of(uint64_t generation, ProcessIndex owner, ChannelState state) noexcept {
  return generation << 32 | uint64_t{owner} << 16 | static_cast<uint64_t>(state);
}
constexpr uint32_t generation_in(uint64_t truth) noexcept {
  return static_cast<uint32_t>(truth >> 32);
}
constexpr ChannelState state_in(uint64_t truth) noexcept {
  return static_cast<ChannelState>(truth & 0xffff);
}

// The newest value, ordered with what everybody else does to the word.
uint64_t latest(Word& word) noexcept { return word.fetch_add(0, acq_rel); }  // [M] with itself

std::string_view copy_name(const ChannelRecord& record, std::array<char, kMaxNameBytes>& copy) {
  return load_text(record.name, record.name_length.load(relaxed), copy);
}

bool any_process(ProcessSet& set) noexcept {
  for (Word& word : set.words) {
    if (latest(word) != 0) return true;
  }
  return false;
}

}  // namespace

struct ChannelTable::Name {
  explicit Name(std::string_view name) noexcept : text(name), hash(hash_of_name(name)) {}
  std::string_view text;
  uint64_t hash;
};

// ---- finding ------------------------------------------------------------------------------------

// Whether a directory word is that of a live channel of the name.
bool ChannelTable::counts(uint64_t entry, const Name& name, OpenChannel& found) const noexcept {
  if (entry >> 48 != name.hash >> 48) return false;
  const ChannelRecord* record = segment_.channel(record_in(entry));
  if (record == nullptr) return false;
  const uint64_t truth = record->truth.load(acquire);  // [N]
  if (!is_live(truth) || (generation_in(truth) & 0xffff) != (entry >> 32 & 0xffff)) return false;
  std::array<char, kMaxNameBytes> copy;
  if (copy_name(*record, copy) != name.text) return false;
  std::atomic_thread_fence(acquire);  // [N] a name written since came with another truth
  if (generation_in(record->truth.load(relaxed)) != generation_in(truth)) return false;
  found = {record_in(entry), generation_in(truth)};
  return true;
}

std::optional<OpenChannel> ChannelTable::find_now(std::string_view text) const noexcept {
  const Name name(text);
  const uint32_t size = segment_.directory_size();
  for (uint32_t step = 0; step < size; ++step) {
    const uint64_t entry = segment_.directory()[(name.hash + step) & (size - 1)].load(acquire);  // [D]
    if (entry == 0) return std::nullopt;
    OpenChannel found;
    if (counts(entry, name, found)) return found;
  }
  return std::nullopt;
}

std::optional<uint32_t> ChannelTable::find(std::string_view name) const noexcept {
  const std::optional<OpenChannel> found = find_now(name);
  if (!found) return std::nullopt;
  return found->index;
}

bool ChannelTable::lives(const OpenChannel& channel) const noexcept {
  const ChannelRecord* record = segment_.channel(channel.index);
  if (record == nullptr) return false;
  const uint64_t truth = record->truth.load(acquire);  // [N]
  return is_live(truth) && generation_in(truth) == channel.generation;
}

std::optional<ProcessName> ChannelTable::inbox_of(const OpenChannel& channel) const noexcept {
  const ChannelRecord* record = segment_.channel(channel.index);
  if (record == nullptr || record->reader.load(relaxed) == 0) return std::nullopt;
  std::array<char, kMaxNameBytes> copy;
  const bool addressed = parse_channel_name(copy_name(*record, copy)) == ChannelKind::kProcessSpecific;
  const uint64_t maker = record->reader.load(relaxed);  // as the name: it stands while it lives
  if (!addressed || !lives(channel)) return std::nullopt;
  return ProcessName{static_cast<ProcessIndex>(maker), static_cast<uint32_t>(maker >> 32)};
}

uint32_t ChannelTable::expiry_ms(const OpenChannel& channel) const noexcept {
  const ChannelRecord* record = segment_.channel(channel.index);
  return record == nullptr ? 0 : record->expiry_ms.load(relaxed);  // a plain setting
}

std::string ChannelTable::name_of(uint32_t channel) const {
  const ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return {};
  std::array<char, kMaxNameBytes> copy;
  return std::string(copy_name(*record, copy));
}

// ---- making -------------------------------------------------------------------------------------

Result<OpenChannel> ChannelTable::open_now(std::string_view name) noexcept {
  const std::optional<ChannelKind> kind = parse_channel_name(name);
  if (!kind || *kind == ChannelKind::kProcessSpecific) return Error::kChannelNameInvalid;
  if (const std::optional<OpenChannel> found = find_now(name)) return *found;
  return make(Name(name), 0);
}

Result<uint32_t> ChannelTable::open(std::string_view name) noexcept {
  for (uint32_t i = 0; i < kTries; ++i) {
    const Result<OpenChannel> found = open_now(name);
    if (!found.ok()) return found.error();
    Word& word = segment_.channel(found->index)->truth;
    uint64_t truth = truth_of(found->generation, kNobody, ChannelState::kLive);
    const uint64_t kept = truth_of(found->generation, kNobody, ChannelState::kKept);
    if (word.compare_exchange_strong(truth, kept, acq_rel, acquire) || truth == kept) {
      return found->index;  // [N]
    }
  }
  return Error::kChannelTableFull;
}

Result<OpenChannel> ChannelTable::make_inbox_channel(std::string_view name,
                                                     ProcessName maker) noexcept {
  if (parse_channel_name(name) != ChannelKind::kProcessSpecific || find_now(name)) {
    return Error::kChannelNameInvalid;
  }
  return make(Name(name), uint64_t{maker.incarnation} << 32 | maker.index);
}

Result<OpenChannel> ChannelTable::make(const Name& name, uint64_t inbox) noexcept {
  for (uint32_t i = 0; i < kTries; ++i) {
    const std::optional<OpenChannel> built = build(name, inbox);
    if (!built) return Error::kChannelTableFull;
    CRASH_POINT(channel_built);  // owned by the dead, in no directory word: recovery frees it
    if (!place(name, *built)) {
      unbuild(*built);
      return Error::kChannelTableFull;
    }
    CRASH_POINT(channel_placed);  // a word whose record does not live counts for nothing
    if (const std::optional<OpenChannel> other = rival(name, *built)) {
      unbuild(*built);
      if (inbox != 0) return Error::kChannelNameInvalid;
      return *other;
    }
    Word& word = segment_.channel(built->index)->truth;
    uint64_t truth = truth_of(built->generation, me_, ChannelState::kOwned);
    // [N] who sees it live sees the record. It fails when a rival was quicker.
    if (word.compare_exchange_strong(
            truth, truth_of(built->generation, kNobody, ChannelState::kLive), acq_rel, acquire)) {
      rules_.apply(built->index);  // U3: a rule made since it was built
      return *built;
    }
    if (const std::optional<OpenChannel> found = find_now(name.text); found && inbox == 0) {
      return *found;
    }
  }
  return Error::kChannelTableFull;
}

std::optional<OpenChannel> ChannelTable::build(const Name& name, uint64_t inbox) noexcept {
  const uint32_t count = segment_.geometry().channels;
  OpenChannel built;
  const auto claim_any = [&](auto claim) {
    for (uint32_t step = 0; step < count; ++step) {
      if ((this->*claim)(static_cast<uint32_t>((name.hash + step) & (count - 1)), built)) return true;
    }
    return false;
  };
  if (!claim_any(&ChannelTable::claim_free) && !claim_any(&ChannelTable::claim_idle)) {
    return std::nullopt;
  }
  CRASH_POINT(channel_owned);
  ChannelRecord& record = *segment_.channel(built.index);
  std::atomic_thread_fence(release);  // [N] who sees the name we write finds the truth ours
  store_text(record.name, name.text);
  record.name_length.store(static_cast<uint32_t>(name.text.size()), relaxed);  // ours until shown
  const ChannelLimits limits = rules_.limits_of(name.text);
  record.capacity.store(limits.capacity, relaxed);
  record.expiry_ms.store(static_cast<uint32_t>(limits.expiry.count()), relaxed);
  record.longest_expiry_ms.store(static_cast<uint32_t>(limits.expiry.count()), relaxed);
  const bool counted_in_inbox = record.reader.load(relaxed) != 0;  // one with `!` that ended
  record.reader.store(inbox, relaxed);
  record.inbox_sent.store(0, relaxed);
  record.touched_ms.store(now_ms(), relaxed);
  record.bytes_queued.store(0, relaxed);
  const uint64_t tail = record.ends.tail.load(relaxed);  // counters; a death between counts twice
  for (size_t which = 0; which < record.counts.size(); ++which) {
    Word& word = record.counts[which];
    const bool before = which == static_cast<size_t>(ChannelCount::kBefore);
    const uint64_t counted = word.load(relaxed);
    if (!counted_in_inbox) {
      segment_.header().ended[which].fetch_add(before ? tail - counted : counted, relaxed);
    }
    word.store(before ? tail : 0, relaxed);
  }
  return built;
}

bool ChannelTable::claim_free(uint32_t index, OpenChannel& claimed) noexcept {
  Word& word = segment_.channel(index)->truth;
  uint64_t truth = word.load(acquire);  // [N]
  if (state_in(truth) != ChannelState::kFree) return false;
  claimed = {index, generation_in(truth) + 1};
  const uint64_t mine = truth_of(claimed.generation, me_, ChannelState::kOwned);
  if (!word.compare_exchange_strong(truth, mine, acq_rel, relaxed)) return false;  // [N]
  return empty_out(index);
}

// Puts our word over the first that does not count. False: there is none.
bool ChannelTable::place(const Name& name, const OpenChannel& built) noexcept {
  const uint32_t size = segment_.directory_size();
  for (uint32_t step = 0; step < size; ++step) {
    Word& word = segment_.directory()[(name.hash + step) & (size - 1)];
    uint64_t entry = word.load(acquire);  // [D]
    for (;;) {
      const ChannelRecord* record = entry == 0 ? nullptr : segment_.channel(record_in(entry));
      if (record != nullptr) {
        const uint64_t truth = record->truth.load(acquire);  // [N]
        const bool current = (generation_in(truth) & 0xffff) == (entry >> 32 & 0xffff);
        if (current && state_in(truth) != ChannelState::kFree) break;
      }
      // [D] who sees the word sees the record.
      if (word.compare_exchange_strong(entry, pack(name.hash, built), acq_rel, acquire)) return true;
    }
  }
  return false;
}

// Looks through every word of the name (C2). A live one: that channel. One being built: its record
// is taken away from its maker.
std::optional<OpenChannel> ChannelTable::rival(const Name& name,
                                               const OpenChannel& built) noexcept {
  const uint32_t size = segment_.directory_size();
  for (uint32_t step = 0; step < size; ++step) {
    const uint64_t entry = latest(segment_.directory()[(name.hash + step) & (size - 1)]);  // [M]
    if (entry == 0) return std::nullopt;
    const uint32_t index = record_in(entry);
    ChannelRecord* record = segment_.channel(index);
    if (entry >> 48 != name.hash >> 48 || record == nullptr || index == built.index) continue;
    for (uint64_t truth = latest(record->truth);
         (generation_in(truth) & 0xffff) == (entry >> 32 & 0xffff);
         truth = latest(record->truth)) {
      std::array<char, kMaxNameBytes> copy;
      if (state_in(truth) == ChannelState::kFree || copy_name(*record, copy) != name.text) break;
      if (is_live(truth)) return OpenChannel{index, generation_in(truth)};
      record->truth.compare_exchange_strong(
          truth, truth_of(uint64_t{generation_in(truth)} + 1, kNobody, ChannelState::kFree), acq_rel,
          relaxed);
    }
  }
  return std::nullopt;
}

void ChannelTable::unbuild(const OpenChannel& built) noexcept {
  uint64_t truth = truth_of(built.generation, me_, ChannelState::kOwned);
  segment_.channel(built.index)
      ->truth.compare_exchange_strong(
          truth, truth_of(uint64_t{built.generation} + 1, kNobody, ChannelState::kFree), acq_rel,
          relaxed);  // [N]
}

// ---- giving back --------------------------------------------------------------------------------

// Nobody reads it, and nobody has used it for so long that what lies in it is expired.
bool ChannelTable::is_idle(const ChannelRecord& record) const noexcept {
  if (record.poisoned.load(relaxed) != 0 || record.reader.load(relaxed) != 0) return false;
  for (const Word& word : record.readers.words) {
    if (word.load(relaxed) != 0) return false;
  }
  // The second in which somebody last sent, to its end; and when somebody last began or ended
  // reading.
  uint64_t used = record.touched_ms.load(relaxed);
  for (const Word& sample : record.sent_by_second) {
    used = std::max(used, ((sample.load(relaxed) >> 32) + 1) * 1000);
  }
  return now_ms() > used + record.longest_expiry_ms.load(relaxed);
}

// Ours in the record's old generation first: whoever meanwhile begins to read either is seen here, or
// finds it not live and opens it anew (start_reading). Then ours in a new one.
bool ChannelTable::claim_idle(uint32_t index, OpenChannel& claimed) noexcept {
  ChannelRecord& record = *segment_.channel(index);
  uint64_t truth = record.truth.load(acquire);  // [N]
  if (state_in(truth) != ChannelState::kLive || !is_idle(record)) return false;
  const uint64_t live = truth;
  const uint64_t held = truth_of(generation_in(live), me_, ChannelState::kOwned);
  if (!record.truth.compare_exchange_strong(truth, held, acq_rel, relaxed)) return false;  // [M]
  CRASH_POINT(channel_held);  // recovery frees it: nobody uses it
  truth = held;
  if (any_process(record.readers) || !is_idle(record)) {
    record.truth.compare_exchange_strong(truth, live, acq_rel, relaxed);
    return false;
  }
  claimed = {index, generation_in(live) + 1};
  const uint64_t mine = truth_of(claimed.generation, me_, ChannelState::kOwned);
  if (!record.truth.compare_exchange_strong(truth, mine, acq_rel, relaxed)) return false;  // [N]
  return empty_out(index);
}

// Frees what lies in a channel that ended: ours, in a new generation. False: it cannot be emptied,
// and is let go of.
bool ChannelTable::empty_out(uint32_t index) noexcept {
  OwnerQueue queue = segment_.channel_queue(index);
  BlockIndex block = kNoBlock;
  bool withdrawn = false;
  for (uint32_t i = 0; pool_ != nullptr && i < segment_.geometry().channel_cells; ++i) {
    if (queue.try_pop(me_, block, withdrawn) != PopOutcome::kTaken) break;
    pool_->free_taken(block);
  }
  if (queue.empty()) return true;
  unbuild({index, generation_in(segment_.channel(index)->truth.load(relaxed))});
  return false;
}

void ChannelTable::end_inbox_channel(const OpenChannel& channel, ProcessName maker) noexcept {
  ChannelRecord* record = segment_.channel(channel.index);
  if (record == nullptr) return;
  if (record->reader.load(relaxed) != (uint64_t{maker.incarnation} << 32 | maker.index)) return;
  uint64_t truth = truth_of(channel.generation, kNobody, ChannelState::kLive);
  record->truth.compare_exchange_strong(
      truth, truth_of(uint64_t{channel.generation} + 1, kNobody, ChannelState::kFree), acq_rel,
      relaxed);  // [N]
}

void ChannelTable::recover(ProcessIndex dead) noexcept {
  for (uint32_t index = 0; index < segment_.geometry().channels; ++index) {
    ChannelRecord& record = *segment_.channel(index);
    uint64_t truth = record.truth.load(acquire);  // [N]
    if (truth == 0) continue;                     // never used
    const uint64_t generation = generation_in(truth);
    const bool built = truth == truth_of(generation, dead, ChannelState::kOwned);
    const bool read = static_cast<ProcessIndex>(record.reader.load(acquire)) == dead;
    const bool inbox =
        read && parse_channel_name(name_of(index)) == ChannelKind::kProcessSpecific;
    if (built || (is_live(truth) && inbox)) {
      record.truth.compare_exchange_strong(
          truth, truth_of(generation + 1, kNobody, ChannelState::kFree), acq_rel, relaxed);  // [N]
    } else if (is_live(truth) && read) {
      uint64_t reader = record.reader.load(acquire);
      if (static_cast<ProcessIndex>(reader) == dead) {
        record.touched_ms.store(now_ms(), relaxed);
        record.reader.compare_exchange_strong(reader, 0, acq_rel, relaxed);  // [G]
      }
    }
  }
  rules_.recover(dead);
}

}  // namespace sluice::shm
