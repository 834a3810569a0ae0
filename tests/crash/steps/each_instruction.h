// tests/crash/steps/each_instruction.h -- one operation, ended or held up before each of its
// instructions and after the last, while the others go on.
//
//   killed           SIGKILL, recovery at once, then the others go on
//   killed, unseen   SIGKILL, the others go on, then recovery
//   frozen           it stands; the others go on, bury somebody else; then it goes on to its end, and
//                    what it says of its operation must be true; then it is killed and buried
//
// A death leaves nothing but what is shared. So where an instruction changed nothing shared, a kill
// behind it is the same to everybody as the one before it, and is not tried again; a process frozen
// there does know something new, and each instruction is tried.
#pragma once

#include <functional>
#include <string>

#include "tests/crash/steps/stage.h"

namespace sluice::tests {

struct Scene {
  std::string name;
  shm::Role victim = shm::Role::kConsumer;
  std::function<void(Stage&)> set = [](Stage&) {};
  // In the victim: up to its operation; the operation, which is stepped; what it says of it.
  std::function<void(Stage&, Member&)> ready = [](Stage&, Member&) {};
  std::function<void(Stage&, Member&, Report&)> operate;
  std::function<void(Stage&, Member&, Report&)> tell = [](Stage&, Member&, Report&) {};
  // The living, when the victim is ready.
  std::function<void(Stage&)> then = [](Stage&) {};
  // The living, while the victim stands frozen, when they went on for a while.
  std::function<void(Stage&)> meanwhile = [](Stage&) {};
  // The living, when the frozen one has come to its end: its report is true.
  std::function<void(Stage&, const Report&)> judge = [](Stage&, const Report&) {};
  // The living, after a kill: before recovery, and after it.
  std::function<void(Stage&)> before_recovery = [](Stage&) {};
  std::function<void(Stage&)> after_recovery = [](Stage&) {};
};

struct Tried {
  uint32_t instructions = 0;
  uint32_t kills = 0;
  uint32_t freezes = 0;
  uint32_t failures = 0;  // each is told on stderr
};
[[nodiscard]] Tried at_each_instruction(const Scene& scene);
// Checks that no scene fails, and that each was tried at many instructions.
void try_all(const std::vector<Scene>& scenes);

}  // namespace sluice::tests
