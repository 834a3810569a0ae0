// tests/model/stepper.h -- runs small programs of processes one atomic access at a time, in every
// order, with a process dying between any two accesses.
//
// M1  A process is its program and what it has seen: a step replays the program from its start with
//     the values it saw before, makes one access more, and leaves by longjmp at the next. So a state
//     can be copied and compared, and programs must have no local with a destructor.
// M2  States are told apart by a 128-bit hash; one met before is not entered again.
// M3  Accesses are sequentially consistent. What weaker orders allow is another test's matter.
// M4  The ghost knows which message was published where and who took it; no program can see it.
#pragma once

#include <array>
#include <atomic>
#include <csetjmp>
#include <cstdint>
#include <string>
#include <vector>

#include "shm/owner_queue.h"

namespace sluice::model {

inline constexpr uint32_t kWords = 40;      // of shared memory
inline constexpr uint32_t kProcesses = 7;
inline constexpr uint32_t kTester = 6;      // of these, the one that looks at the end
inline constexpr uint32_t kBlocks = 6;
inline constexpr uint32_t kQueues = 2;
inline constexpr uint32_t kAccesses = 100;  // of one operation; more: it does not end
inline constexpr uint32_t kOperations = 20;

// A word of the model's memory, in place of std::atomic<uint64_t>.
class Atomic {
 public:
  uint64_t load(std::memory_order) const noexcept;
  void store(uint64_t value, std::memory_order) noexcept;
  bool compare_exchange_strong(uint64_t& expected, uint64_t desired, std::memory_order,
                               std::memory_order) noexcept;
  [[nodiscard]] uint32_t address() const noexcept;
};

struct Stamps {
  [[nodiscard]] Atomic* stamp(shm::BlockIndex block) const noexcept;
};
using Queue = shm::BasicOwnerQueue<Atomic, Stamps>;

enum class Operation : uint8_t { kNone, kPush, kPop, kOther };

struct ProcessState {
  bool finished = false;
  bool dead = false;
  Operation operation = Operation::kNone;  // the one under way
  uint8_t queue = 0;                       // of that operation
  uint8_t least_waiting = 0;               // in that queue since it began
  uint8_t most_waiting = 0;
  uint8_t pushes = 0;
  uint8_t operations = 0;  // completed
  uint8_t accesses = 0;    // of the operation under way
  std::array<uint64_t, kQueues> head_seen{};  // kept from push to push, as a process's layer keeps it
  std::array<uint64_t, kOperations> results{};
  std::array<uint64_t, kAccesses> seen{};
};

constexpr uint8_t kNowhere = 0xff;

struct Ghost {
  std::array<uint8_t, kBlocks> message{};    // process << 4 | number of its push
  std::array<uint8_t, kBlocks> published{};  // the queue, or kNowhere
  std::array<std::array<uint8_t, 16>, kQueues> order{};
  std::array<uint8_t, kQueues> waiting{};    // messages in `order`
};

struct State {
  std::array<uint64_t, kWords> words{};
  std::array<ProcessState, kProcesses> processes{};
  Ghost ghost{};
  uint8_t deaths = 0;
};

// What a program sees of its process.
class Process {
 public:
  Process(uint32_t index, State& state) : index_(index), state_(state) {}
  // The process's name in stamps.
  [[nodiscard]] shm::ProcessIndex me() const { return static_cast<shm::ProcessIndex>(index_ + 1); }

  bool push(uint32_t queue, shm::BlockIndex block);  // false: full
  shm::BlockIndex pop(uint32_t queue);               // kNoBlock: empty
  bool withdraw(shm::BlockIndex block);              // the push of ours whose stamp stands there now
  // Takes back what process `dead` held, step by step as Recovery::sweep(). A bit for each block.
  uint64_t recover(uint32_t dead);

 private:
  template <class Body>
  uint64_t operation(Operation kind, uint32_t queue, Body body);
  Queue queue(uint32_t index) const;

  uint32_t index_;
  State& state_;
  uint32_t replayed_ = 0;
};

using Program = void (*)(Process&);
constexpr int kNobody = -1;

struct Scenario {
  struct Member {
    Program program;
    bool may_die = false;
    int recovers = kNobody;  // starts when that process is dead; idle for ever if it never dies
  };
  const char* name;
  std::array<uint32_t, kQueues> size{};      // 0: no such queue
  std::array<uint32_t, kQueues> capacity{};
  std::vector<Member> members;
  std::vector<uint32_t> owners;              // of each block at first
  uint32_t deaths = 1;                       // at most
  void (*prepare)(State&) = nullptr;         // with do_push() and do_pop()
};

struct Outcome {
  uint64_t states = 0;
  uint64_t ends = 0;
  std::string violation;           // empty: none
  std::vector<std::string> trace;  // the steps that led to it
};

// Every interleaving of a scenario, or the first that breaks a promise of the queue.
[[nodiscard]] Outcome explore(const Scenario& scenario);

// One operation at a stretch, as `process`: to prepare a state, or to look at its end.
bool do_push(State& state, uint32_t process, uint32_t queue, shm::BlockIndex block);
shm::BlockIndex do_pop(State& state, uint32_t process, uint32_t queue);

}  // namespace sluice::model
