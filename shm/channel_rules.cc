// shm/channel_rules.cc -- see channel_rules.h.
#include "shm/channel_rules.h"

#include <algorithm>
#include <optional>

#include "protocol/channel_name.h"
#include "protocol/limits.h"
#include "shm/shared_text.h"

namespace sluice::shm {
namespace {

using enum std::memory_order;

constexpr uint32_t kTries = 64;  // a rule or channel that changes so often while we look is let be

constexpr uint64_t truth_of(uint64_t rank, ProcessIndex owner, ChannelState state) noexcept {
  return rank << 32 | uint64_t{owner} << 16 | static_cast<uint64_t>(state);
}
constexpr ChannelState state_in(uint64_t truth) noexcept {
  return static_cast<ChannelState>(truth & 0xffff);
}

// What a rule says, copied whole.
struct Rule {
  uint32_t rank = 0;
  uint32_t capacity = 0;
  uint32_t expiry_ms = 0;
  size_t glob_length = 0;
  std::array<char, kMaxNameBytes> glob;
  [[nodiscard]] std::string_view view() const noexcept { return {glob.data(), glob_length}; }
};

// False: there is no live rule, or it changes all the time.
bool read(const RuleRecord& record, Rule& rule) noexcept {
  for (uint32_t i = 0; i < kTries; ++i) {
    const uint64_t truth = record.truth.load(acquire);  // [U]
    if (state_in(truth) != ChannelState::kLive) return false;
    rule.rank = static_cast<uint32_t>(truth >> 32);
    rule.capacity = record.capacity.load(relaxed);  // checked by the second look at truth
    rule.expiry_ms = record.expiry_ms.load(relaxed);
    rule.glob_length = load_text(record.glob, record.glob_length.load(relaxed), rule.glob).size();
    std::atomic_thread_fence(acquire);  // [U] what we read was written before the next truth
    if (record.truth.load(relaxed) == truth) return true;
  }
  return false;
}

void write(RuleRecord& record, std::string_view glob, const ChannelLimits& limits) noexcept {
  store_text(record.glob, glob);  // ours until it is shown
  record.glob_length.store(static_cast<uint32_t>(glob.size()), relaxed);
  record.capacity.store(limits.capacity, relaxed);
  record.expiry_ms.store(static_cast<uint32_t>(limits.expiry.count()), relaxed);
}

// The newest value, ordered with what everybody else does to the word.
uint64_t latest(Word& word) noexcept { return word.fetch_add(0, acq_rel); }  // [R] with itself

}  // namespace

std::optional<uint32_t> ChannelRules::claim() noexcept {
  for (uint32_t i = 0; i < kChannelRules; ++i) {
    uint64_t truth = segment_.rules()[i].truth.load(acquire);
    if (state_in(truth) != ChannelState::kFree) continue;
    const uint64_t mine = truth_of(truth >> 32, me_, ChannelState::kOwned);
    if (segment_.rules()[i].truth.compare_exchange_strong(truth, mine, acq_rel, relaxed)) {
      // [U] who reads a word we write from here on finds the rule owned when it looks again.
      std::atomic_thread_fence(release);
      return i;
    }
  }
  return std::nullopt;
}

Result<void> ChannelRules::set(std::string_view glob, const ChannelLimits& limits) noexcept {
  if (!valid_channel_glob(glob)) return Error::kChannelNameInvalid;
  if (limits.capacity > segment_.geometry().channel_cells) return Error::kLimitOutOfRange;
  if (limits.expiry.count() != 0 &&
      (limits.expiry < limits::kExpiryLeast || limits.expiry > limits::kExpiryMost)) {
    return Error::kLimitOutOfRange;
  }
  const std::optional<uint32_t> mine = claim();
  if (!mine) return Error::kChannelTableFull;
  CRASH_POINT(rule_owned);  // recovery frees it
  RuleRecord& record = segment_.rules()[*mine];
  write(record, glob, limits);
  Word& changes = segment_.header().rule_changes;
  const uint64_t rank = changes.fetch_add(1, acq_rel) + 1;                             // [R]
  record.truth.store(truth_of(rank, kNobody, ChannelState::kLive), release);  // [U]
  CRASH_POINT(rule_shown);  // recovery goes through the channels
  changes.fetch_add(1, acq_rel);                                              // [R]
  take_away_others(glob, *mine);
  apply_to_all();
  return {};
}

// Of two that set the same glob at once the younger rule stays, whoever of them comes last here.
void ChannelRules::take_away_others(std::string_view glob, uint32_t but_not) noexcept {
  Rule ours;
  if (!read(segment_.rules()[but_not], ours)) return;
  for (uint32_t i = 0; i < kChannelRules; ++i) {
    Rule other;
    if (i == but_not || !read(segment_.rules()[i], other)) continue;
    if (other.view() != glob || other.rank > ours.rank) continue;
    uint64_t truth = truth_of(other.rank, kNobody, ChannelState::kLive);
    segment_.rules()[i].truth.compare_exchange_strong(
        truth, truth_of(other.rank, kNobody, ChannelState::kFree), acq_rel, relaxed);
  }
}

ChannelLimits ChannelRules::limits_of(std::string_view name) const noexcept {
  Rule best;
  for (uint32_t i = 0; i < kChannelRules; ++i) {
    Rule rule;
    if (read(segment_.rules()[i], rule) && rule.rank > best.rank &&
        glob_matches(rule.view(), name)) {
      best = rule;
    }
  }
  ChannelLimits limits{best.capacity, std::chrono::milliseconds(best.expiry_ms)};
  if (limits.capacity == 0) limits.capacity = limits::kChannelCapacity;
  limits.capacity = std::min(limits.capacity, segment_.geometry().channel_cells);
  if (limits.expiry.count() == 0) limits.expiry = limits::kMessageExpiry;
  return limits;
}

void ChannelRules::apply(uint32_t channel) const noexcept {
  ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return;
  Word& changes = segment_.header().rule_changes;
  for (uint32_t i = 0; i < kTries; ++i) {
    const uint64_t truth = latest(record->truth);
    if (!is_live(truth)) return;
    const uint64_t change = latest(changes);
    std::array<char, kMaxNameBytes> name;
    // It stands while the channel lives.
    const ChannelLimits limits =
        limits_of(load_text(record->name, record->name_length.load(relaxed), name));
    const auto expiry_ms = static_cast<uint32_t>(limits.expiry.count());
    // Before the expiry itself: nothing sent outlives it.
    if (expiry_ms > record->longest_expiry_ms.load(relaxed)) {
      record->longest_expiry_ms.store(expiry_ms, relaxed);
    }
    record->capacity.store(limits.capacity, relaxed);  // plain settings, ordered by the [R]s
    record->expiry_ms.store(expiry_ms, relaxed);
    if (latest(record->truth) == truth && latest(changes) == change) return;
  }
}

void ChannelRules::apply_to_all() const noexcept {
  for (uint32_t channel = 0; channel < segment_.geometry().channels; ++channel) {
    if (segment_.channel(channel)->truth.load(acquire) != 0) apply(channel);
  }
}

void ChannelRules::recover(ProcessIndex dead) noexcept {
  for (uint32_t i = 0; i < kChannelRules; ++i) {
    Word& word = segment_.rules()[i].truth;
    uint64_t truth = word.load(acquire);
    if (truth != truth_of(truth >> 32, dead, ChannelState::kOwned)) continue;
    word.compare_exchange_strong(truth, truth_of(truth >> 32, kNobody, ChannelState::kFree),
                                 acq_rel, relaxed);
  }
  if (segment_.header().rule_changes.load(acquire) != 0) apply_to_all();
}

}  // namespace sluice::shm
