// tests/model/doorbell_model.cc -- nobody sleeps while a message waits for him, whoever dies.
#include "tests/model/sleeper.h"

namespace {

using namespace sluice::weak;
using sluice::shm::kAsleepInFutex;
using sluice::shm::kAsleepInPoll;

constexpr uint32_t kReader = 0;

template <uint32_t kBit, uint32_t kMessages>
void reader(Process& p) {
  receive<kBit>(p, kMessages);
}
template <sluice::shm::BlockIndex kBlock>
void writer(Process& p) {
  send(p, kBlock);
}
void writer_of_two(Process& p) {
  send(p, 0);
  send(p, 1);
}
// Two messages, one ring: as a loop turn does it.
void writer_of_a_batch(Process& p) {
  push(p, 0, 0);
  send(p, 1);
}
template <uint32_t kDead>
void recovery(Process& p) {
  recover(p, kDead);
  ring_surely(p);
}

void three_blocks(State& state) { set_blocks(state, {1, 1, 2}); }

// A process that dies where nobody recovers is one that freezes for ever. What it sent may lie until
// the belt's time; what another sent may not.
constexpr uint32_t kFreezes = 1;  // a scenario's setting
constexpr uint32_t kOther = 2;    // the writer that does not

bool message_of(const QueuesGhost& ghost, uint32_t process) {
  for (uint32_t i = 0; i < ghost.waiting[0]; ++i) {
    if (ghost.order[0][i] >> 4 == process) return true;
  }
  return false;
}

void look_at_end(State& state) {
  const auto& ghost = state.ghost<QueuesGhost>();
  const bool freezes = scenario().setting == kFreezes;
  const bool waits = freezes ? message_of(ghost, kOther) : ghost.waiting[0] != 0;
  if (waits && is_stuck(state, kReader)) violate("sleeps while a message waits");
  if (!freezes) look_at_queues(state);
}

std::string name(uint32_t word) {
  constexpr const char* kNames[] = {"doorbell", "datagram", "futex"};
  return word >= kMoreWords ? kNames[word - kMoreWords] : name_word(word);
}

const Model kModel{.words = kMoreWords + 3,
                   .watched_from = kCellWords,
                   .watched_to = kQueueOf,
                   .note = note_queues,
                   .look_at_end = look_at_end,
                   .name = name};

const std::vector<Scenario> kScenarios = {
    {.name = "asleep in poll, a writer that dies",
     .members = {{reader<kAsleepInPoll, 1>}, {writer<0>, true}, {recovery<1>, false, 1}},
     .prepare = three_blocks},
    {.name = "asleep in a futex, a writer that dies",
     .members = {{reader<kAsleepInFutex, 1>}, {writer<0>, true}, {recovery<1>, false, 1}},
     .prepare = three_blocks},
    {.name = "asleep in poll, one writer sends twice",
     .members = {{reader<kAsleepInPoll, 2>}, {writer_of_two}},
     .prepare = three_blocks},
    {.name = "asleep in a futex, one writer sends twice",
     .members = {{reader<kAsleepInFutex, 2>}, {writer_of_two}},
     .prepare = three_blocks},
    {.name = "asleep in poll, a writer of two messages and one ring dies",
     .members = {{reader<kAsleepInPoll, 2>}, {writer_of_a_batch, true}, {recovery<1>, false, 1}},
     .prepare = three_blocks},
    {.name = "asleep in a futex, a writer of two messages and one ring dies",
     .members = {{reader<kAsleepInFutex, 2>}, {writer_of_a_batch, true}, {recovery<1>, false, 1}},
     .prepare = three_blocks},
    {.name = "asleep in poll, a writer freezes and another sends",
     .members = {{reader<kAsleepInPoll, 2>}, {writer<0>, true}, {writer<2>}},
     .prepare = three_blocks,
     .setting = kFreezes},
    {.name = "asleep in poll, two writers",
     .members = {{reader<kAsleepInPoll, 2>}, {writer<0>}, {writer<2>}},
     .prepare = three_blocks},
    {.name = "asleep in a futex, two writers",
     .members = {{reader<kAsleepInFutex, 2>}, {writer<0>}, {writer<2>}},
     .prepare = three_blocks},
    {.name = "asleep in poll, two writers, one of whom dies, and one message wanted",
     .members =
         {{reader<kAsleepInPoll, 1>}, {writer<0>, true}, {writer<2>}, {recovery<1>, false, 1}},
     .prepare = three_blocks},
    {.name = "asleep in poll, two writers, one of whom dies, and both messages wanted",
     .members =
         {{reader<kAsleepInPoll, 2>}, {writer<0>, true}, {writer<2>}, {recovery<1>, false, 1}},
     .prepare = three_blocks,
     .longer = true},
};

}  // namespace

int main(int argc, char** argv) { return run(kModel, kScenarios, argc, argv); }
