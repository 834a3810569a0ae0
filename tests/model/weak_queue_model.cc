// tests/model/weak_queue_model.cc -- small programs on the owner queue, on weak memory: what acquire and
// release of shm/owner_queue.h are for. Exact full and empty: owner_queue_model.cc.
#include "tests/model/weak_queues.h"

namespace {

using namespace sluice::weak;
using sluice::shm::BlockIndex;
using sluice::shm::kNoBlock;

template <BlockIndex kBlock>
void push_one(Process& p) {
  push(p, 0, kBlock);
}
void pop_once(Process& p) { pop(p, 0); }
void pop_twice(Process& p) {
  pop(p, 0);
  pop(p, 0);
}
void pop_and_push(Process& p) {
  const BlockIndex block = pop(p, 0);
  if (block != kNoBlock) push(p, 0, block);
}
void pop_and_free(Process& p) {
  const BlockIndex block = pop(p, 0);
  if (block != kNoBlock) push(p, 1, block);
}
void claim_and_push(Process& p) {
  const BlockIndex block = pop(p, 1);
  if (block != kNoBlock) push(p, 0, block);
}
template <uint32_t kDead>
void recover_dead(Process& p) {
  recover(p, kDead);
}

// One lap done, so cells have been used; block 0 in the first process's hands.
void one_lap(Process& p) {
  for (int i = 0; i < 2; ++i) {
    push(p, 0, 0);
    pop(p, 0);
  }
}
void one_waits(State& state) {
  set_blocks(state, {0, 0});
  run_alone(state, 0, [](Process& p) {
    one_lap(p);
    push(p, 0, 0);
  });
}
void two_wait(State& state) {
  set_blocks(state, {0, 0, 1});
  run_alone(state, 0, [](Process& p) {
    one_lap(p);
    push(p, 0, 0);
    push(p, 0, 1);
  });
}
void one_each(State& state) {
  set_blocks(state, {0, 1});
  run_alone(state, 0, [](Process& p) { one_lap(p); });
}
const Model kModel{.words = kMoreWords,
                   .watched_from = kCellWords,
                   .watched_to = kQueueOf,
                   .note = note_queues,
                   .look_at_end = look_at_queues,
                   .name = name_word};

const std::vector<Scenario> kScenarios = {
    {.name = "two writers and a reader, any of them dies",
     .members = {{push_one<0>, true},
                 {push_one<1>, true},
                 {pop_once, true},
                 {recover_dead<0>, false, 0},
                 {recover_dead<1>, false, 1},
                 {recover_dead<2>, false, 2}},
     .prepare = one_each},
    {.name = "two writers and a reader of two",
     .members = {{push_one<0>}, {push_one<1>}, {pop_twice}},
     .prepare = one_each},
    {.name = "a message goes round between two, the first of them dies",
     .members = {{pop_and_push, true}, {pop_and_push}, {recover_dead<0>, false, 0}},
     .prepare = one_waits},
    {.name = "two messages go round between two, the first of them dies",
     .members = {{pop_and_push, true}, {pop_and_push}, {recover_dead<0>, false, 0}},
     .prepare = two_wait},
    {.name = "a message goes round between two and a reader",
     .members = {{pop_and_push}, {pop_and_push}, {pop_once}},
     .prepare = one_waits},
    {.name = "a full queue, a reader and a writer, who die",
     .members = {{pop_once, true},
                 {push_one<2>, true},
                 {recover_dead<0>, false, 0},
                 {recover_dead<1>, false, 1}},
     .prepare = two_wait},
    {.name = "a freed block is claimed and sent again beside its last reader",
     .members = {{pop_and_free, true}, {claim_and_push}, {pop_once}, {recover_dead<0>, false, 0}},
     .prepare = one_waits},
};

}  // namespace

int main(int argc, char** argv) { return run(kModel, kScenarios, argc, argv); }
