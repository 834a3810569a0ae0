// tests/model/weak_explorer.cc -- the choices, deaths and sleep sets of weak_explorer.h.
#include "tests/model/weak_explorer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/model/states_met.h"
#include "tests/model/weak_step.h"

namespace sluice::weak {
namespace {

using model::Hash;
using model::Met;

bool is_idle(const State& state, uint32_t p) {
  const int of = exploration.scenario->members[p].recovers;
  return of != kNobody && !state.processes[static_cast<uint32_t>(of)].dead;
}

bool can_step(const State& state, uint32_t p) {
  return !state.processes[p].dead && !state.processes[p].finished && !is_idle(state, p);
}

// Might it ever make an access?
bool may_read(const State& state, uint32_t p) {
  const ProcessState& process = state.processes[p];
  if (process.dead || process.finished) return false;
  if (!is_idle(state, p)) return true;
  const auto of = static_cast<uint32_t>(exploration.scenario->members[p].recovers);
  return exploration.scenario->members[of].may_die && !state.processes[of].finished &&
         state.deaths < exploration.scenario->deaths;
}

Hash hash_of(const State& state) {
  Hash hash;
  state.memory.add_to(hash, exploration.model->words);
  for (const ProcessState& p : state.processes) {
    uint64_t bits = 0;
    for (const uint8_t part :
         {uint8_t(p.finished | p.dead << 1 | p.death_sleeps << 2 | p.asleep_in_load << 3),
          p.sleep_word, p.sleep_below, p.operations, p.accesses, p.outdated, p.operation,
          p.about}) {
      bits = bits << 8 | part;
    }
    hash.add(bits);
    if (p.finished || p.dead) continue;
    Memory::add_view(hash, p.knows.view);
    Memory::add_view(hash, p.knows.acquired);
    Memory::add_view(hash, p.knows.released);
    hash.add(p.kept);
    hash.add(p.results, p.operations);
    hash.add(p.seen, p.accesses);
  }
  for (uint32_t i = 0; i < kGhostBytes; i += 8) {
    uint64_t eight = 0;
    std::memcpy(&eight, &state.ghost_bytes[i], 8);
    hash.add(eight);
  }
  hash.add(state.deaths);
  return hash;
}

class Explorer {
 public:
  void visit(const State& from) {
    if (!met_.insert(hash_of(from))) return;
    ++states;
    State state = from;  // what its siblings have tried is put to sleep here
    const auto count = static_cast<uint32_t>(exploration.scenario->members.size());
    for (uint32_t p = 0; p < count && state.deaths < exploration.scenario->deaths; ++p) {
      ProcessState& process = state.processes[p];
      if (!exploration.scenario->members[p].may_die || process.death_sleeps || !can_step(state, p))
        continue;
      State next = state;
      kill(next, p);
      if (!proceed(state, next, p, kDies)) return;
      process.death_sleeps = !exploration.every_order;
    }
    bool ended = true;
    for (uint32_t p = 0; p < count; ++p) {
      if (!can_step(state, p)) continue;
      bool any = false;
      if (!visit_choices(state, p, any)) return;
      ended = ended && !any;
    }
    if (!ended) return;
    ++ends;
    exploration.model->look_at_end(state);
    if (!step.violation.empty()) violation = std::exchange(step.violation, {});
  }

  uint64_t states = 0;
  uint64_t ends = 0;
  std::string violation;
  std::vector<std::string> trace;  // last step first

 private:
  static constexpr uint8_t kDies = 0xff;

  // All that `p` can do next. `any`: it can do something, though it may have been tried elsewhere.
  bool visit_choices(State& state, uint32_t p, bool& any) {  // false: a promise was broken
    for (uint8_t choice = 0;; ++choice) {
      State next = state;
      advance(next, p, exploration.scenario->members[p].program, 1, choice);
      const bool made_no_access = step.enabled == 0 && next.processes[p].finished;
      any = any || step.enabled != 0 || made_no_access;
      if (!made_no_access && choice >= step.awake) {
        put_to_sleep(state, p);
        return true;
      }
      wake(next, p);
      if (!proceed(state, next, p, choice)) return false;
      if (made_no_access) return true;
    }
  }

  static void kill(State& state, uint32_t p) {
    for (uint32_t r = 0; r < exploration.scenario->members.size(); ++r) {  // E5
      if (exploration.scenario->members[r].recovers != static_cast<int>(p)) continue;
      Knowledge& knows = state.processes[r].knows;
      join(knows.view, state.processes[p].knows.view);
      join(knows.acquired, knows.view);
    }
    state.processes[p] = ProcessState{};  // what it knew is of no more account
    state.processes[p].dead = true;
    ++state.deaths;
  }

  // E3. After a step of `p`: who depended on it is awake.
  static void wake(State& state, uint32_t p) {
    const auto watched = [](uint32_t word) {
      return word >= exploration.model->watched_from && word < exploration.model->watched_to;
    };
    ProcessState& me = state.processes[p];
    me.death_sleeps = false;
    me.sleep_word = me.sleep_below = 0;
    me.asleep_in_load = false;
    for (ProcessState& other : state.processes) {
      const bool both_fences = step.word == kFenceWord && other.sleep_word == kFenceWord;
      const bool both_watched =
          step.wrote && watched(step.word) && watched(other.sleep_word) && !other.asleep_in_load;
      if (!both_fences && !both_watched) continue;
      other.sleep_word = other.sleep_below = 0;
      other.asleep_in_load = false;
    }
  }

  static void put_to_sleep(State& state, uint32_t p) {
    if (step.enabled == 0 || exploration.every_order) return;  // it waits
    ProcessState& me = state.processes[p];
    const bool fence = step.word == kFenceWord;
    me.sleep_word = static_cast<uint8_t>(step.word);
    me.sleep_below = static_cast<uint8_t>(fence ? 1 : state.memory.stores_of(step.word));
    me.asleep_in_load = step.loads;
  }

  // Stores that nobody can read any more are forgotten, so that equal states look equal.
  static void forget_unreadable(State& state) {
    for (uint32_t word = 0; word < exploration.model->words; ++word) {
      uint32_t oldest = state.memory.stores_of(word) - 1;
      for (uint32_t p = 0; p < exploration.scenario->members.size() && oldest != 0; ++p) {
        if (may_read(state, p))
          oldest = std::min<uint32_t>(oldest, state.processes[p].knows.view[word]);
      }
      if (oldest == 0) continue;
      const auto move = [oldest](uint8_t& store) {
        store = static_cast<uint8_t>(store - std::min<uint32_t>(store, oldest));
      };
      state.memory.forget(word, oldest);
      for (ProcessState& p : state.processes) {
        for (View* view : {&p.knows.view, &p.knows.acquired, &p.knows.released})
          move((*view)[word]);
        if (p.sleep_word == word) move(p.sleep_below);
      }
    }
  }

  bool proceed(const State& state, State& next, uint32_t p, uint8_t choice) {  // false: broken
    if (next.memory.overflown()) violate("the model's memory is too small");
    if (step.violation.empty()) {
      forget_unreadable(next);
      visit(next);
    } else {
      violation = std::exchange(step.violation, {});
    }
    if (violation.empty()) return true;
    std::string did = "dies";
    if (choice != kDies) {  // again, saying what it did
      next = state;
      step.trace = &did;
      advance(next, p, exploration.scenario->members[p].program, 1, choice);
      step.trace = nullptr;
      step.violation.clear();
    }
    trace.push_back("process " + std::to_string(p) + "  " + did);
    return false;
  }

  Met met_;
};

}  // namespace

const Scenario& scenario() noexcept { return *exploration.scenario; }

bool is_stuck(const State& state, uint32_t process) { return can_step(state, process); }

void run_alone(State& state, uint32_t process, Program program) {
  state.memory.settle();
  for (ProcessState& p : state.processes) p.knows = {};
  state.processes[process] = {};
  advance(state, process, program, UINT32_MAX, 0);
  if (!state.processes[process].finished) violate("alone, it does not come to its end");
  state.memory.settle();
  state.processes[process] = {};
}

int run(const Model& model, const std::vector<Scenario>& scenarios, int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  exploration.model = &model;
  bool expect_violation = false;
  bool longer = false;
  const char* only = nullptr;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--expect-violation") == 0) {
      expect_violation = true;
    } else if (std::strcmp(argv[i], "--longer") == 0) {
      longer = true;
    } else if (std::strcmp(argv[i], "--sequential") == 0) {
      exploration.sequential = true;
    } else if (std::strcmp(argv[i], "--every-order") == 0) {
      exploration.every_order = true;
    } else if (std::strcmp(argv[i], "--outdated") == 0 && i + 1 < argc) {
      exploration.more_outdated = static_cast<uint32_t>(std::atoi(argv[++i]));
    } else {
      only = argv[i];
    }
  }
  for (const Scenario& each : scenarios) {
    if (only != nullptr ? std::strcmp(only, each.name) != 0 : each.longer && !longer) continue;
    const auto begin = std::chrono::steady_clock::now();
    exploration.scenario = &each;
    State first;
    if (each.prepare != nullptr) each.prepare(first);
    Explorer explorer;
    explorer.violation = std::exchange(step.violation, {});
    if (explorer.violation.empty()) explorer.visit(first);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%-84s %9llu states %7llu ends %5.1f s\n", each.name,
                static_cast<unsigned long long>(explorer.states),
                static_cast<unsigned long long>(explorer.ends), took.count());
    if (explorer.violation.empty()) continue;
    std::printf("broken: %s\n", explorer.violation.c_str());
    for (auto line = explorer.trace.rbegin(); line != explorer.trace.rend(); ++line) {
      std::printf("  %s\n", line->c_str());
    }
    return expect_violation ? 0 : 1;
  }
  return expect_violation ? 1 : 0;
}

}  // namespace sluice::weak
