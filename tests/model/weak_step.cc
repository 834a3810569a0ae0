// tests/model/weak_step.cc -- replays a program and makes one access more: which stores it may read, and
// what it does to memory.
#include "tests/model/weak_step.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace sluice::weak {

Step step;
Exploration exploration;

namespace {

// The access asked for, its operands, and how a read-modify-write changes the value.
struct Request {
  Access access;
  uint32_t word;
  std::memory_order order;
  std::memory_order failure = std::memory_order::relaxed;
  uint64_t expected = 0;
  uint64_t operand = 0;
  uint64_t (*change)(uint64_t, uint64_t) = nullptr;
};

[[noreturn]] void leave() { std::longjmp(step.out, 1); }

void note(uint32_t word, bool plain, uint64_t before, uint64_t after) {
  step.wrote = true;
  if (exploration.model->note != nullptr)
    exploration.model->note(*step.state, {step.process, word, plain, before, after});
}

// The stores of the word that the access may read; of a plain store or a fence, the one choice.
uint32_t choices_of(const Request& request, const ProcessState& me,
                    std::array<uint8_t, kStores>& stores) {
  const Memory& memory = step.state->memory;
  if (request.access == Access::kFence) {
    stores[0] = 0;
    return 1;
  }
  const auto last = static_cast<uint8_t>(memory.stores_of(request.word) - 1);
  const uint8_t oldest = exploration.sequential ? last : me.knows.view[request.word];
  const bool may_be_outdated =
      me.outdated < exploration.scenario->outdated + exploration.more_outdated;
  uint32_t count = 0;
  switch (request.access) {
    case Access::kLoad:
      for (uint8_t store = oldest; store <= last; ++store) {
        if (store == oldest && store != last && !may_be_outdated) continue;
        stores[count++] = store;
      }
      break;
    case Access::kCompare:
      for (uint8_t store = oldest; store <= last; ++store) {
        if (store == last || memory.value(request.word, store) != request.expected) {
          if (store == oldest && store != last && !may_be_outdated) continue;
          stores[count++] = store;
        }
      }
      break;
    case Access::kWait:
      if (memory.newest(request.word) != request.operand) stores[count++] = last;
      break;
    default:
      stores[count++] = last;
  }
  return count;
}

uint64_t perform(const Request& request, uint8_t store) {
  Memory& memory = step.state->memory;
  ProcessState& me = step.state->processes[step.process];
  const uint32_t word = request.word;
  if (request.access == Access::kFence) {
    memory.fence(me.knows);
    return 0;
  }
  const uint32_t last = memory.stores_of(word) - 1;
  if (store != last && store == me.knows.view[word]) ++me.outdated;
  const uint64_t before = memory.value(word, store);
  uint64_t after = request.operand;
  switch (request.access) {
    case Access::kLoad:
      return memory.read(word, store, request.order, me.knows);
    case Access::kWait:
      return memory.read(word, store, std::memory_order::acquire, me.knows);
    case Access::kStore:
      if (!memory.write(word, after, request.order, me.knows))
        violate("a store races with another");
      note(word, true, before, after);
      return before;
    case Access::kCompare:
      if (before != request.expected) return memory.read(word, store, request.failure, me.knows);
      break;
    default:
      after = request.change(before, request.operand);
  }
  memory.modify(word, after, request.order, me.knows);
  note(word, false, before, after);
  return before;
}

void tell(const Request& request, uint64_t seen) {
  static constexpr const char* kAccesses[] = {"load",    "store", "modify",
                                              "compare", "fence", "wait"};
  char text[96];
  const std::string name =
      request.access == Access::kFence ? "" : exploration.model->name(request.word);
  std::snprintf(text, sizeof text, "%s %s: %llx", kAccesses[static_cast<int>(request.access)],
                name.c_str(), static_cast<unsigned long long>(seen));
  *step.trace = text;
  if (!step.wrote) return;
  std::snprintf(text, sizeof text, " -> %llx",
                static_cast<unsigned long long>(step.state->memory.newest(request.word)));
  *step.trace += text;
}

uint64_t make_access(const Request& request) {
  ProcessState& me = step.state->processes[step.process];
  if (step.cursor < me.accesses) return me.seen[step.cursor++];
  if (step.budget == 0) leave();
  step.word = request.word;
  step.loads = request.access == Access::kLoad;
  if (me.accesses == kAccesses) {
    violate("an operation does not end");
    leave();
  }
  std::array<uint8_t, kStores> stores;
  step.enabled = choices_of(request, me, stores);
  uint32_t asleep = 0;
  if (me.sleep_word == request.word) {
    while (asleep < step.enabled && stores[asleep] < me.sleep_below) ++asleep;
  }
  step.awake = step.enabled - asleep;
  if (step.choice >= step.awake) leave();
  --step.budget;
  const uint64_t seen = perform(request, stores[asleep + step.choice]);
  me.seen[me.accesses++] = seen;
  ++step.cursor;
  if (step.trace != nullptr) tell(request, seen);
  return seen;
}

}  // namespace

void violate(const char* what) {
  if (step.violation.empty()) step.violation = what;
}

// ---- Atomic -------------------------------------------------------------------------------------

template <class T>
T Atomic<T>::load(std::memory_order order) const noexcept {
  return static_cast<T>(make_access({Access::kLoad, word_, order}));
}
template <class T>
void Atomic<T>::store(T value, std::memory_order order) noexcept {
  make_access({Access::kStore, word_, order, {}, 0, value});
}
template <class T>
T Atomic<T>::exchange(T value, std::memory_order order) noexcept {
  return static_cast<T>(make_access(
      {Access::kModify, word_, order, {}, 0, value, [](uint64_t, uint64_t b) { return b; }}));
}
template <class T>
T Atomic<T>::fetch_or(T value, std::memory_order order) noexcept {
  return static_cast<T>(make_access(
      {Access::kModify, word_, order, {}, 0, value, [](uint64_t a, uint64_t b) { return a | b; }}));
}
template <class T>
T Atomic<T>::fetch_and(T value, std::memory_order order) noexcept {
  return static_cast<T>(make_access(
      {Access::kModify, word_, order, {}, 0, value, [](uint64_t a, uint64_t b) { return a & b; }}));
}
template <class T>
T Atomic<T>::fetch_add(T value, std::memory_order order) noexcept {
  return static_cast<T>(
      make_access({Access::kModify, word_, order, {}, 0, value, [](uint64_t a, uint64_t b) {
                     return uint64_t{T(a + b)};
                   }}));
}
template <class T>
bool Atomic<T>::compare_exchange_strong(T& expected, T desired, std::memory_order order,
                                        std::memory_order failure) noexcept {
  const auto seen =
      static_cast<T>(make_access({Access::kCompare, word_, order, failure, expected, desired}));
  if (seen == expected) return true;
  expected = seen;
  return false;
}
template class Atomic<uint32_t>;
template class Atomic<uint64_t>;

void fence() noexcept { make_access({Access::kFence, kFenceWord, std::memory_order::seq_cst}); }

// ---- Process ------------------------------------------------------------------------------------

void Process::begin(uint8_t kind, uint8_t about) {
  ProcessState& me = state_.processes[index_];
  step.cursor = 0;
  me.operation = kind;
  me.about = about;
}

void Process::end(uint64_t result) {
  ProcessState& me = state_.processes[index_];
  if (me.operations == kOperations) std::abort();
  me.operation = me.about = 0;
  me.results[me.operations++] = result;
  std::fill_n(me.seen.begin(), me.accesses, 0);
  me.accesses = me.outdated = 0;
  ++replayed_;
}

void Process::touch(uint32_t word) {
  ProcessState& me = state_.processes[index_];
  if (step.cursor < me.accesses) {
    ++step.cursor;
    return;
  }
  if (!state_.memory.touch(word, me.knows))
    violate("payload is touched by one who does not know of the last touch");
  for (uint32_t p = 0; p < kProcesses; ++p) {
    Knowledge& knows = state_.processes[p].knows;
    if (p != index_) knows.view[word] = knows.acquired[word] = knows.released[word] = 0;
  }
  me.seen[me.accesses++] = 0;
  ++step.cursor;
}

void Process::wait_until_not(uint32_t word, uint64_t value) {
  make_access({Access::kWait, word, std::memory_order::acquire, {}, 0, value});
}

void advance(State& state, uint32_t process, Program program, uint32_t budget, uint32_t choice) {
  step.state = &state;
  step.process = process;
  step.budget = budget;
  step.cursor = 0;
  step.choice = choice;
  step.enabled = step.awake = 0;
  step.wrote = false;
  if (setjmp(step.out) != 0) return;
  Process self(process, state);
  program(self);
  ProcessState& me = state.processes[process];
  me.finished = true;
  me.knows = {};
}

}  // namespace sluice::weak
