// tests/model/stepper.cc -- the explorer, and the ghost that watches what the accesses mean.
#include "tests/model/stepper.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/model/states_met.h"

namespace sluice::model {
namespace {

using shm::BlockIndex;
using shm::BlockState;
using shm::Stamp;

constexpr uint32_t kHead = 0;  // + 2 * queue; tail follows
constexpr uint32_t kCells = 4;  // + 8 * queue
constexpr uint32_t kStamps = 20;
constexpr uint32_t kQueueOf = 28;  // the envelope's `queue`, + 1

std::array<Atomic, kWords> memory;  // only addresses: the values are in the state

enum class Access : uint8_t { kLoad, kStore, kExchange };

// The step under way.
struct Step {
  State* state = nullptr;
  uint32_t process = 0;
  uint32_t budget = 0;  // accesses it may still make
  uint32_t cursor = 0;  // accesses of the operation already replayed
  std::jmp_buf out;
  const Scenario* scenario = nullptr;
  std::string violation;
  std::string* trace = nullptr;  // where to say what it did, if anywhere
};
Step step;

[[noreturn]] void leave() { std::longjmp(step.out, 1); }

void violate(const char* what) {
  if (step.violation.empty()) step.violation = what;
}

std::string name_of(uint32_t address) {
  const auto with = [](const char* kind, uint32_t n) { return kind + std::to_string(n); };
  if (address >= kQueueOf) return with("queue of ", address - kQueueOf);
  if (address >= kStamps) return with("stamp ", address - kStamps);
  if (address >= kCells) {
    return with("cell ", (address - kCells) % 8) + with(" of queue ", (address - kCells) / 8);
  }
  return with(address % 2 == 0 ? "head " : "tail ", address / 2);
}

std::string show(uint32_t address, uint64_t value) {
  char text[64];
  if (address >= kStamps && address < kQueueOf) {
    const Stamp stamp{value};
    static constexpr const char* kStates[] = {"free", "owned", "queued", "withdrawn", "linked"};
    std::snprintf(text, sizeof text, "%s by %d (%llu)", kStates[static_cast<int>(stamp.state()) % 5],
                  stamp.owner() - 1, static_cast<unsigned long long>(stamp.generation()));
  } else if (address >= kCells && address < kStamps) {
    std::snprintf(text, sizeof text, "lap %u block %u", static_cast<uint32_t>(value >> 32),
                  static_cast<uint32_t>(value));
  } else {
    std::snprintf(text, sizeof text, "%llu", static_cast<unsigned long long>(value));
  }
  return text;
}

// ---- the ghost ----------------------------------------------------------------------------------

void waiting_changed(uint32_t queue) {
  State& s = *step.state;
  for (ProcessState& process : s.processes) {
    if (process.accesses == 0 || process.queue != queue) continue;
    process.least_waiting = std::min(process.least_waiting, s.ghost.waiting[queue]);
    process.most_waiting = std::max(process.most_waiting, s.ghost.waiting[queue]);
  }
}

void note_published(uint32_t queue, BlockIndex block) {
  Ghost& ghost = step.state->ghost;
  if (block >= kBlocks || Stamp{step.state->words[kStamps + block]}.state() != BlockState::kQueued) {
    return violate("published a block that is not queued");
  }
  if (ghost.published[block] != kNowhere) return violate("published a message twice");
  if (ghost.waiting[queue] >= step.scenario->capacity[queue]) return violate("more messages than capacity");
  ghost.published[block] = static_cast<uint8_t>(queue);
  ghost.order[queue][ghost.waiting[queue]++] = ghost.message[block];
  waiting_changed(queue);
}

void note_stamp(BlockIndex block, Access access, Stamp before, Stamp after) {
  Ghost& ghost = step.state->ghost;
  ProcessState& me = step.state->processes[step.process];
  if (access == Access::kStore) {
    if (ghost.published[block] != kNowhere) return violate("stamped a block that waits in a queue");
    if (before.owner() != step.process + 1) return violate("stamped a block of somebody else");
    if (after.state() == BlockState::kQueued) {
      ghost.message[block] = static_cast<uint8_t>(step.process << 4 | me.pushes++);
    }
    return;
  }
  if (after.state() != BlockState::kOwned) return;  // withdrawn: it waits on
  if (me.operation != Operation::kPop) {
    if (ghost.published[block] != kNowhere) violate("recovery took a message that waits in a queue");
    return;
  }
  const uint32_t queue = me.queue;
  if (ghost.published[block] != queue) return violate("took a block from a queue it does not wait in");
  auto& order = ghost.order[queue];
  if (order[0] != ghost.message[block]) return violate("took a message before an older one");
  std::memmove(order.data(), order.data() + 1, order.size() - 1);
  order.back() = 0;
  --ghost.waiting[queue];
  ghost.published[block] = kNowhere;
  waiting_changed(queue);
}

// ---- one access ---------------------------------------------------------------------------------

uint64_t make_access(Access access, uint32_t address, uint64_t expected, uint64_t desired) {
  State& s = *step.state;
  ProcessState& me = s.processes[step.process];
  if (step.cursor < me.accesses) return me.seen[step.cursor++];
  if (step.budget == 0) leave();
  --step.budget;
  if (me.accesses == kAccesses) {
    violate("an operation does not end");
    leave();
  }
  if (me.accesses == 0) me.least_waiting = me.most_waiting = s.ghost.waiting[me.queue];
  const uint64_t before = s.words[address];
  const bool writes = access == Access::kStore || (access == Access::kExchange && before == expected);
  me.seen[me.accesses++] = before;
  ++step.cursor;
  if (writes) s.words[address] = desired;
  if (step.trace != nullptr) {
    *step.trace = name_of(address) + ": " + show(address, before);
    if (writes) *step.trace += " -> " + show(address, desired);
    if (access == Access::kExchange && !writes) *step.trace += ", not as expected";
  }
  if (!writes) return before;
  if (address >= kStamps && address < kQueueOf) {
    note_stamp(address - kStamps, access, Stamp{before}, Stamp{desired});
  } else if (address >= kCells && address < kStamps) {
    note_published((address - kCells) / 8, static_cast<BlockIndex>(desired));
  }
  return before;
}

}  // namespace

uint32_t Atomic::address() const noexcept { return static_cast<uint32_t>(this - memory.data()); }

uint64_t Atomic::load(std::memory_order) const noexcept {
  return make_access(Access::kLoad, address(), 0, 0);
}

void Atomic::store(uint64_t value, std::memory_order) noexcept {
  make_access(Access::kStore, address(), 0, value);
}

bool Atomic::compare_exchange_strong(uint64_t& expected, uint64_t desired, std::memory_order,
                                     std::memory_order) noexcept {
  const uint64_t seen = make_access(Access::kExchange, address(), expected, desired);
  if (seen == expected) return true;
  expected = seen;
  return false;
}

Atomic* Stamps::stamp(BlockIndex block) const noexcept {
  return block < kBlocks ? &memory[kStamps + block] : nullptr;
}

// ---- programs -----------------------------------------------------------------------------------

Queue Process::queue(uint32_t index) const {
  return {memory[kHead + 2 * index], memory[kHead + 2 * index + 1], &memory[kCells + 8 * index],
          step.scenario->size[index], step.scenario->capacity[index], Stamps{}};
}

template <class Body>
uint64_t Process::operation(Operation kind, uint32_t queue, Body body) {
  ProcessState& me = state_.processes[index_];
  if (replayed_ < me.operations) return me.results[replayed_++];
  step.cursor = 0;
  me.operation = kind;
  me.queue = static_cast<uint8_t>(queue);
  const uint64_t result = body();
  me.operation = Operation::kNone;
  me.results[me.operations++] = result;
  me.accesses = 0;
  ++replayed_;
  return result;
}

bool Process::push(uint32_t queue_index, BlockIndex block) {
  return operation(Operation::kPush, queue_index, [&]() -> uint64_t {
    if (step.scenario->size[1] != 0) memory[kQueueOf + block].store(queue_index + 1, std::memory_order_relaxed);
    ProcessState& process = state_.processes[index_];
    uint64_t head_seen = process.head_seen[queue_index];  // a step begins the operation anew
    const shm::PushOutcome outcome = queue(queue_index).try_push(block, me(), &head_seen);
    process.head_seen[queue_index] = head_seen;
    switch (outcome) {
      case shm::PushOutcome::kPushed: return 1;
      case shm::PushOutcome::kCorrupt: violate("an honest queue was called corrupt"); return 0;
      case shm::PushOutcome::kFull: break;
    }
    if (process.most_waiting < step.scenario->capacity[queue_index]) violate("full, and never was");
    return 0;
  });
}

BlockIndex Process::pop(uint32_t queue_index) {
  return static_cast<BlockIndex>(operation(Operation::kPop, queue_index, [&]() -> uint64_t {
    BlockIndex block = shm::kNoBlock;
    bool withdrawn = false;
    switch (queue(queue_index).try_pop(me(), block, withdrawn)) {
      case shm::PopOutcome::kTaken: return block;
      case shm::PopOutcome::kCorrupt:
      case shm::PopOutcome::kBroken: violate("an honest queue was called corrupt"); break;
      case shm::PopOutcome::kEmpty:
        if (state_.processes[index_].least_waiting != 0) violate("empty, and never was");
        break;
    }
    return shm::kNoBlock;
  }));
}

bool Process::withdraw(BlockIndex block) {
  return operation(Operation::kOther, 0, [&]() -> uint64_t {
    Atomic& word = memory[kStamps + block];
    uint64_t seen = word.load(std::memory_order_acquire);
    const Stamp stamp{seen};
    if (stamp.owner() != me() || stamp.state() != BlockState::kQueued) return 0;
    return word.compare_exchange_strong(seen, stamp.next(me(), BlockState::kWithdrawn).word,
                                        std::memory_order_acq_rel, std::memory_order_relaxed);
  });
}

uint64_t Process::recover(uint32_t dead) {
  uint64_t taken = 0;
  uint64_t published[kQueues] = {};
  bool gathered[kQueues] = {};
  for (BlockIndex block = 0; block < kBlocks; ++block) {
    if (Stamp{state_.words[kStamps + block]}.word == 0) continue;  // no such block in this scenario
    Atomic& word = memory[kStamps + block];
    uint64_t seen = operation(Operation::kOther, 0, [&] { return word.load(std::memory_order_acquire); });
    const Stamp stamp{seen};
    if (stamp.owner() != dead + 1) continue;
    uint64_t id = 1;
    if (step.scenario->size[1] != 0) {
      id = operation(Operation::kOther, 0,
                     [&] { return memory[kQueueOf + block].load(std::memory_order_relaxed); });
    }
    if (stamp.state() == BlockState::kOwned) {
      if (id != 0) {
        operation(Operation::kOther, 0, [&]() -> uint64_t { return queue(static_cast<uint32_t>(id - 1)).settle_head(), 0; });
      }
    } else {
      const auto from = static_cast<uint32_t>(id - 1);
      if (!gathered[from]) {
        published[from] = operation(Operation::kOther, 0, [&] {
          uint64_t bits = 0;
          queue(from).for_each([&](BlockIndex b) { bits |= uint64_t{1} << b; });
          return bits;
        });
        gathered[from] = true;
      }
      if ((published[from] >> block & 1) != 0) continue;
    }
    taken |= operation(Operation::kOther, 0, [&] {
      const bool ours = word.compare_exchange_strong(seen, stamp.next(me(), BlockState::kOwned).word,
                                                     std::memory_order_acq_rel, std::memory_order_relaxed);
      return uint64_t{ours} << block;
    });
  }
  return taken;
}

// ---- exploring ----------------------------------------------------------------------------------

namespace {

// One access of a process; finishes its program if that was the last.
void advance(State& state, uint32_t process, Program program, uint32_t budget) {
  step.state = &state;
  step.process = process;
  step.budget = budget;
  step.cursor = 0;
  if (setjmp(step.out) != 0) return;
  Process self(process, state);
  program(self);
  state.processes[process].finished = true;
}

Hash hash_of(const State& state) {
  Hash hash;
  hash.add(state.words);
  for (const ProcessState& p : state.processes) {
    hash.add(uint64_t{p.finished} | uint64_t{p.dead} << 1 | uint64_t{p.operations} << 8 |
             uint64_t{p.accesses} << 16 | uint64_t{p.pushes} << 24 | uint64_t{p.queue} << 32 |
             uint64_t{p.least_waiting} << 40 | uint64_t{p.most_waiting} << 48 |
             uint64_t(p.operation) << 56);
    hash.add(p.results, p.operations);
    hash.add(p.seen, p.accesses);
    hash.add(p.head_seen);
  }
  hash.add(state.ghost.message);
  hash.add(state.ghost.published);
  for (const auto& order : state.ghost.order) hash.add(order);
  return hash;
}

// Everybody is done: is each block somewhere, is what waits taken in order, does the queue still go?
void look_at_end(State state) {
  const Scenario& scenario = *step.scenario;
  for (BlockIndex block = 0; block < scenario.owners.size(); ++block) {
    const Stamp stamp{state.words[kStamps + block]};
    const bool waits = state.ghost.published[block] != kNowhere;
    if (waits) continue;
    if (stamp.state() != BlockState::kOwned) return violate("a block is queued in no queue");
    if (state.processes[stamp.owner() - 1u].dead) return violate("a block is in the hands of the dead");
  }
  for (uint32_t queue = 0; queue < kQueues && scenario.size[queue] != 0; ++queue) {
    const uint32_t waiting = state.ghost.waiting[queue];
    for (uint32_t i = 0; i <= waiting && step.violation.empty(); ++i) {
      const BlockIndex block = do_pop(state, kTester, queue);
      if ((block == shm::kNoBlock) != (i == waiting)) violate("what waits cannot all be taken");
    }
    uint32_t pushed = 0;
    for (BlockIndex block = 0; block < scenario.owners.size() && step.violation.empty(); ++block) {
      if (state.ghost.published[block] != kNowhere) continue;
      Stamp stamp{state.words[kStamps + block]};
      state.words[kStamps + block] = stamp.next(kTester + 1, BlockState::kOwned).word;
      const bool room = pushed < scenario.capacity[queue];
      if (do_push(state, kTester, queue, block) != room) violate("the queue's capacity has changed");
      pushed += room;
    }
    for (uint32_t i = 0; i < pushed && step.violation.empty(); ++i) {
      if (do_pop(state, kTester, queue) == shm::kNoBlock) violate("what waits cannot all be taken");
    }
  }
}

class Explorer {
 public:
  explicit Explorer(const Scenario& scenario) : scenario_(scenario) {}

  void visit(const State& state) {
    if (!met_.insert(hash_of(state))) return;
    ++outcome.states;
    const size_t count = scenario_.members.size();
    bool ended = true;
    for (uint32_t p = 0; p < count; ++p) {
      if (!can_step(state, p)) continue;
      ended = false;
      State next = state;
      path_.push_back(static_cast<uint8_t>(p));
      advance(next, p, scenario_.members[p].program, 1);
      if (!proceed(next)) return;
    }
    if (ended) {
      ++outcome.ends;
      look_at_end(state);
      if (!step.violation.empty()) return tell();
    }
    for (uint32_t p = 0; p < count && state.deaths < scenario_.deaths; ++p) {
      if (!scenario_.members[p].may_die || state.processes[p].dead || is_idle(state, p)) continue;
      State next = state;
      const uint8_t pushes = next.processes[p].pushes;
      next.processes[p] = ProcessState{};  // what it knew is of no more account
      next.processes[p].pushes = pushes;
      next.processes[p].dead = true;
      ++next.deaths;
      path_.push_back(static_cast<uint8_t>(p | kDies));
      if (!proceed(next)) return;
    }
  }

  Outcome outcome;

 private:
  static constexpr uint8_t kDies = 0x80;

  [[nodiscard]] bool is_idle(const State& state, uint32_t p) const {
    const int of = scenario_.members[p].recovers;
    return of != kNobody && !state.processes[static_cast<uint32_t>(of)].dead;
  }
  [[nodiscard]] bool can_step(const State& state, uint32_t p) const {
    return !state.processes[p].dead && !state.processes[p].finished && !is_idle(state, p);
  }
  bool proceed(const State& next) {  // false: a promise was broken
    if (!step.violation.empty()) return tell(), false;
    visit(next);
    if (!outcome.violation.empty()) return false;
    path_.pop_back();
    return true;
  }
  // Runs the path again, saying what each step did.
  void tell() {
    outcome.violation = std::move(step.violation);
    step.violation.clear();
    State state = first;
    for (const uint8_t turn : path_) {
      const uint32_t p = turn & ~kDies;
      std::string did = "dies";
      if ((turn & kDies) != 0) {
        state.processes[p].dead = true;
      } else {
        step.trace = &did;
        advance(state, p, scenario_.members[p].program, 1);
        step.trace = nullptr;
      }
      outcome.trace.push_back("process " + std::to_string(p) + "  " + did);
    }
  }

  const Scenario& scenario_;
  Met met_;
  std::vector<uint8_t> path_;

 public:
  State first;
};

}  // namespace

bool do_push(State& state, uint32_t process, uint32_t queue, BlockIndex block) {
  state.processes[process].operations = 0;
  step.state = &state;
  step.process = process;
  step.budget = kAccesses;
  if (setjmp(step.out) != 0) return false;
  Process self(process, state);
  const bool pushed = self.push(queue, block);
  state.processes[process].operations = 0;
  return pushed;
}

BlockIndex do_pop(State& state, uint32_t process, uint32_t queue) {
  state.processes[process].operations = 0;
  step.state = &state;
  step.process = process;
  step.budget = kAccesses;
  if (setjmp(step.out) != 0) return shm::kNoBlock;
  Process self(process, state);
  const BlockIndex block = self.pop(queue);
  state.processes[process].operations = 0;
  return block;
}

Outcome explore(const Scenario& scenario) {
  Explorer explorer(scenario);
  step.scenario = &scenario;
  step.violation.clear();
  State& state = explorer.first;
  state.ghost.published.fill(kNowhere);
  for (BlockIndex block = 0; block < scenario.owners.size(); ++block) {
    state.words[kStamps + block] =
        Stamp::of(1, static_cast<shm::ProcessIndex>(scenario.owners[block] + 1), BlockState::kOwned).word;
  }
  if (scenario.prepare != nullptr) scenario.prepare(state);
  if (!step.violation.empty()) {
    explorer.outcome.violation = "while preparing: " + step.violation;
    return explorer.outcome;
  }
  explorer.visit(state);
  return explorer.outcome;
}

}  // namespace sluice::model
