// tests/model/weak_explorer.h -- small programs on weak memory: every order of their accesses, every
// store each load may still see, and a process dying between any two accesses.
//
// E1  A process is its program and what it has seen: a step replays the program from its start with
//     the values it saw before, makes one access more, and leaves by longjmp at the next. So a state
//     can be copied and compared, and programs must have no local with a destructor. An operation
//     done is remembered by its result alone.
// E2  States are told apart by a 128-bit hash; one met before is not entered again.
// E3  Sleep sets: a step tried in a state is not tried again below its siblings until something
//     happened that it depends on: a store to its word, a fence for a fence, and, between accesses
//     that the ghost watches, any.
// E4  An outdated value is seen for a bounded number of times: one operation reads at most
//     `outdated` times a store that is not the newest and that it could read before. Stores do become
//     visible in the end; without a bound a retry on stale values would never end.
// E5  Whoever starts when another is dead knows all that the dead knew: the kernel has told it.
// E6  The ghost sees every write as it happens; no program can see it.
#pragma once

#include <csetjmp>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/model/weak_memory.h"

namespace sluice::weak {

inline constexpr uint32_t kProcesses = 6;
inline constexpr uint32_t kTester = 5;     // of these, the one that prepares and looks at the end
inline constexpr uint32_t kAccesses = 72;  // of one operation; more: it does not end
inline constexpr uint32_t kOperations = 40;
inline constexpr uint32_t kGhostBytes = 64;

struct ProcessState {
  bool finished = false;
  bool dead = false;
  bool death_sleeps = false;  // E3: its death was tried here
  bool asleep_in_load = false;
  uint8_t sleep_word = 0;   // E3: its next access is to this word, and
  uint8_t sleep_below = 0;  // the choices on stores below this one sleep
  uint8_t operations = 0;   // completed
  uint8_t accesses = 0;     // of the operation under way
  uint8_t outdated = 0;     // E4, of the operation under way
  uint8_t operation = 0;    // what kind is under way: the model's word for it, 0 none
  uint8_t about = 0;        // and what it is about: the model's
  Knowledge knows;
  std::array<uint64_t, 2> kept{};  // the model's: what the process remembers between operations
  std::array<uint64_t, kOperations> results{};
  std::array<uint64_t, kAccesses> seen{};
};

struct State {
  Memory memory;
  std::array<ProcessState, kProcesses> processes{};
  alignas(8) std::array<uint8_t, kGhostBytes> ghost_bytes{};
  uint8_t deaths = 0;

  // The model's own view of the ghost.
  template <class Ghost>
  [[nodiscard]] Ghost& ghost() {
    static_assert(std::is_trivially_copyable_v<Ghost> && sizeof(Ghost) <= kGhostBytes);
    return *reinterpret_cast<Ghost*>(ghost_bytes.data());
  }
};

enum class Access : uint8_t { kLoad, kStore, kModify, kCompare, kFence, kWait };

struct Write {
  uint32_t process;
  uint32_t word;
  bool plain;  // a store, not a read-modify-write
  uint64_t before;
  uint64_t after;
};

// What a program sees of its process.
class Process {
 public:
  Process(uint32_t index, State& state) : index_(index), state_(state) {}
  [[nodiscard]] uint32_t index() const { return index_; }
  [[nodiscard]] State& state() const { return state_; }

  // Runs `body`, whose result is remembered. `kind` and `about` are the model's.
  template <class Body>
  uint64_t operation(uint8_t kind, uint8_t about, Body body) {
    ProcessState& me = state_.processes[index_];
    if (replayed_ < me.operations) return me.results[replayed_++];
    begin(kind, about);
    const uint64_t result = body();
    end(result);
    return result;
  }
  void touch(uint32_t word);  // payload; inside an operation
  // Waits until the newest value of `word` is not `value`, and sees that. Inside an operation.
  void wait_until_not(uint32_t word, uint64_t value);

 private:
  void begin(uint8_t kind, uint8_t about);
  void end(uint64_t result);

  uint32_t index_;
  State& state_;
  uint32_t replayed_ = 0;
};

// A word of the model's memory, in place of std::atomic<T>.
template <class T>
class Atomic {
 public:
  constexpr explicit Atomic(uint32_t word = 0) noexcept : word_(static_cast<uint8_t>(word)) {}
  [[nodiscard]] uint32_t word() const noexcept { return word_; }

  T load(std::memory_order order) const noexcept;
  void store(T value, std::memory_order order) noexcept;
  T exchange(T value, std::memory_order order) noexcept;
  T fetch_or(T value, std::memory_order order) noexcept;
  T fetch_and(T value, std::memory_order order) noexcept;
  T fetch_add(T value, std::memory_order order) noexcept;
  bool compare_exchange_strong(T& expected, T desired, std::memory_order order,
                               std::memory_order failure) noexcept;
  bool compare_exchange_weak(T& expected, T desired, std::memory_order order,
                             std::memory_order failure) noexcept {
    return compare_exchange_strong(expected, desired, order, failure);
  }

 private:
  uint8_t word_;
};
void fence() noexcept;  // seq_cst
template <class T>
void full_fence(const Atomic<T>&) noexcept {  // shm/full_fence.h
  fence();
}

// Called in a step: the promise `what` is broken.
void violate(const char* what);

using Program = void (*)(Process&);
constexpr int kNobody = -1;

// What the programs share, and what is promised about it.
struct Model {
  uint32_t words = kWords;                       // of memory in use
  uint32_t watched_from = 0, watched_to = 0;     // words whose writes the ghost takes in (E3)
  void (*note)(State&, const Write&) = nullptr;  // the ghost: called after each write
  void (*look_at_end)(State&) = nullptr;         // when nobody can go on; `state` is a copy
  std::string (*name)(uint32_t word) = nullptr;  // for the trace
};

struct Scenario {
  struct Member {
    Program program;
    bool may_die = false;
    int recovers = kNobody;  // starts when that process is dead; idle for ever if it never dies
  };
  const char* name;
  std::vector<Member> members;
  void (*prepare)(State&) = nullptr;
  uint32_t deaths = 1;    // at most
  uint32_t outdated = 3;  // E4
  uint32_t setting = 0;   // the model's
  bool longer = false;    // only with --longer, or by its name
};

// The scenario under way.
[[nodiscard]] const Scenario& scenario() noexcept;
// Runs one program at a stretch as `process`, which knows everything: to prepare, to look at an end.
void run_alone(State& state, uint32_t process, Program program);
// True when `process` is not finished, not dead and not idle: at an end, it waits for ever.
[[nodiscard]] bool is_stuck(const State& state, uint32_t process);

// A model's main(): no scenario may break a promise; with `--expect-violation`, as mutants are run, one
// must. `--sequential`: loads see the newest store only. `--every-order`: without E3, to check that
// it loses no end. `--outdated N`: N more of E4. `--longer`: the minutes-long
// ones as well. A name: that one alone.
int run(const Model& model, const std::vector<Scenario>& scenarios, int argc, char** argv);

}  // namespace sluice::weak
