// shm/process_table.cc -- rows of the process table: `life` is incarnation:32 | state:32.
#include "shm/process_table.h"

namespace sluice::shm {
namespace {

constexpr uint64_t life(uint32_t incarnation, ProcessState state) noexcept {
  return uint64_t{incarnation} << 32 | static_cast<uint32_t>(state);
}
constexpr uint32_t incarnation_in(uint64_t life) noexcept { return static_cast<uint32_t>(life >> 32); }
// What nobody honest wrote counts as dead: its row is neither used nor given out.
constexpr ProcessState state_in(uint64_t life) noexcept {
  const auto state = static_cast<uint32_t>(life);
  return state <= static_cast<uint32_t>(ProcessState::kDead) ? static_cast<ProcessState>(state)
                                                             : ProcessState::kDead;
}

struct Rows {
  uint32_t first;
  uint32_t end;
};

Rows rows_of(Role role, const Geometry& geometry) noexcept {
  const uint32_t consumers = 2 + geometry.worker_processes;
  switch (role) {
    case Role::kMaster: return {kMasterRow, kMasterRow + 1u};
    case Role::kWorker: return {2, consumers};
    case Role::kConsumer: return {consumers, geometry.processes};
    case Role::kNone: break;
  }
  return {0, 0};
}

}  // namespace

void ProcessTable::keep_account() {
  std::vector<uint64_t> account;
  for (uint32_t row = 0; row < segment_.geometry().processes; ++row) account.push_back(life_of(row));
  account_ = std::move(account);
}

bool ProcessTable::repair() noexcept {
  bool any = false;
  for (uint32_t row = 0; row < account_.size(); ++row) {
    Word& word = segment_.process(row)->life;
    if (word.load(std::memory_order::acquire) == account_[row]) continue;  // [L]
    word.store(account_[row], std::memory_order::release);                 // [L]
    any = true;
  }
  return any;
}

uint64_t ProcessTable::life_of(uint32_t index) const noexcept {
  if (index < account_.size()) return account_[index];
  const ProcessRecord* record = segment_.process(index);
  return record == nullptr ? 0 : record->life.load(std::memory_order::acquire);  // [L]
}

bool ProcessTable::change(uint32_t index, uint64_t from, uint64_t to) noexcept {
  using enum std::memory_order;
  ProcessRecord* record = segment_.process(index);
  if (record == nullptr) return false;
  if (account_.empty()) return record->life.compare_exchange_strong(from, to, acq_rel, acquire);  // [L]
  if (account_[index] != from) return false;
  account_[index] = to;
  record->life.store(to, release);  // [L]
  return true;
}

std::optional<ProcessName> ProcessTable::reserve(Role role, uint32_t number) noexcept {
  using enum std::memory_order;
  const Rows rows = rows_of(role, segment_.geometry());
  for (uint32_t row = rows.first; row < rows.end; ++row) {
    ProcessRecord* record = segment_.process(row);
    const uint64_t seen = life_of(row);
    if (state_in(seen) != ProcessState::kFree) continue;
    uint32_t incarnation = incarnation_in(seen) + 1;
    if (incarnation == 0) incarnation = 1;  // 0 stays nobody's
    if (!change(row, seen, life(incarnation, ProcessState::kJoining))) continue;
    // Relaxed: [L] in set_live() publishes them.
    record->role.store(static_cast<uint32_t>(role), relaxed);
    record->number.store(number, relaxed);
    record->pid.store(0, relaxed);
    record->start_time.store(0, relaxed);
    record->poisoned.store(0, relaxed);
    record->stuck.store(0, relaxed);
    record->heartbeat_ms.store(0, relaxed);
    // It was not there for the deaths so far: nothing of theirs is its to act on.
    const uint64_t deaths = segment_.header().deaths.load(acquire);
    record->seen_deaths.store(deaths, relaxed);
    record->settled_deaths.store(deaths, relaxed);
    // A sleep of the incarnation before; the count goes on (doorbell.h D5).
    record->doorbell.fetch_and(~(kAsleepInPoll | kAsleepInFutex), relaxed);
    return ProcessName{static_cast<ProcessIndex>(row), incarnation};
  }
  return std::nullopt;
}

void ProcessTable::set_live(ProcessName name, uint32_t pid, uint64_t start_time) noexcept {
  using enum std::memory_order;
  ProcessRecord* record = segment_.process(name.index);
  if (record == nullptr) return;
  record->pid.store(pid, relaxed);  // [L] publishes both
  record->start_time.store(start_time, relaxed);
  change(name.index, life(name.incarnation, ProcessState::kJoining),
         life(name.incarnation, ProcessState::kLive));
}

void ProcessTable::set_dead(ProcessName name) noexcept {
  const uint64_t dead = life(name.incarnation, ProcessState::kDead);
  change(name.index, life(name.incarnation, ProcessState::kLive), dead);
  change(name.index, life(name.incarnation, ProcessState::kJoining), dead);
}

void ProcessTable::set_free(ProcessName name) noexcept {
  change(name.index, life(name.incarnation, ProcessState::kDead),
         life(name.incarnation, ProcessState::kFree));
}

bool ProcessTable::is_live(ProcessName name) const noexcept {
  return name.incarnation != 0 && life_of(name.index) == life(name.incarnation, ProcessState::kLive);
}

bool ProcessTable::says_live(const Segment& segment, ProcessName name) noexcept {
  const ProcessRecord* record = segment.process(name.index);
  return record != nullptr && name.incarnation != 0 &&
         record->life.load(std::memory_order::acquire) ==  // [L]
             life(name.incarnation, ProcessState::kLive);
}

std::optional<ProcessName> ProcessTable::living(ProcessIndex index) const noexcept {
  const uint64_t seen = life_of(index);
  if (state_in(seen) != ProcessState::kLive) return std::nullopt;
  return ProcessName{index, incarnation_in(seen)};
}

ProcessState ProcessTable::state(ProcessIndex index) const noexcept { return state_in(life_of(index)); }

uint32_t ProcessTable::incarnation(ProcessIndex index) const noexcept {
  return incarnation_in(life_of(index));
}

}  // namespace sluice::shm
