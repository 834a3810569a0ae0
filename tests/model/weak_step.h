// tests/model/weak_step.h -- one access of one process: what weak_explorer.cc asks of weak_step.cc.
#pragma once

#include <string>

#include "tests/model/weak_explorer.h"

namespace sluice::weak {

inline constexpr uint32_t kFenceWord = kWords;  // what a fence "accesses"

// The step under way, and what it was.
struct Step {
  State* state = nullptr;
  uint32_t process = 0;
  uint32_t budget = 0;              // accesses it may still make
  uint32_t cursor = 0;              // accesses of the operation already replayed
  uint32_t choice = 0;              // which of the choices awake
  uint32_t enabled = 0, awake = 0;  // how many there were
  uint32_t word = 0;
  bool wrote = false, loads = false;
  std::jmp_buf out{};
  std::string violation;
  std::string* trace = nullptr;  // where to say what it did, if anywhere
};
extern Step step;

// What is explored, and how.
struct Exploration {
  const Model* model = nullptr;
  const Scenario* scenario = nullptr;
  bool sequential = false;
  bool every_order = false;
  uint32_t more_outdated = 0;
};
extern Exploration exploration;

// One access of a process, or `budget`; finishes its program if that was the last.
void advance(State& state, uint32_t process, Program program, uint32_t budget, uint32_t choice);

}  // namespace sluice::weak
