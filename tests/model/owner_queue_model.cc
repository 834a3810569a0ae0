// tests/model/owner_queue_model.cc -- small programs on the owner queue, in every interleaving.
//
// Run without arguments: no scenario may break a promise. With `--expect-violation`, as the mutants
// are: at least one must. With a scenario's name: that one alone.
#include <chrono>
#include <cstdio>
#include <cstring>

#include "tests/model/stepper.h"

namespace {

using namespace sluice::model;
using sluice::shm::BlockIndex;
using sluice::shm::kNoBlock;

void push_0(Process& p) { p.push(0, 0); }
void push_1(Process& p) { p.push(0, 1); }
void push_0_1(Process& p) {
  p.push(0, 0);
  p.push(0, 1);
}
void pop_once(Process& p) { p.pop(0); }
void pop_twice(Process& p) {
  p.pop(0);
  p.pop(0);
}
// Takes a message and sends the block round again: the block's own ABA.
void pop_and_push(Process& p) {
  const BlockIndex block = p.pop(0);
  if (block != kNoBlock) p.push(0, block);
}
// Takes a message and gives its block back, as a reader frees what it read.
void pop_and_free(Process& p) {
  const BlockIndex block = p.pop(0);
  if (block != kNoBlock) p.push(1, block);
}
// A writer that claims a freed block and sends it.
void claim_and_push(Process& p) {
  const BlockIndex block = p.pop(1);
  if (block != kNoBlock) p.push(0, block);
}
void push_and_withdraw_0(Process& p) {
  if (p.push(0, 0)) p.withdraw(0);
}
template <uint32_t kDead>
void recover(Process& p) {
  p.recover(kDead);
}
// Recovery that gives back at once what it took, as the real one does.
template <uint32_t kDead>
void recover_and_free(Process& p) {
  const uint64_t taken = p.recover(kDead);
  for (BlockIndex block = 0; block < kBlocks; ++block) {
    if ((taken >> block & 1) != 0) p.push(1, block);
  }
}
// The second recovery takes over from one that died at its work.
template <uint32_t kDead, uint32_t kRecovery>
void recover_both(Process& p) {
  p.recover(kDead);
  p.recover(kRecovery);
}

// One message, or several, waiting already; a lap behind, so cells have been used.
void one_lap(State& state) {
  for (int i = 0; i < 2; ++i) {
    do_push(state, 0, 0, 0);
    do_pop(state, 0, 0);
  }
}
void one_waits(State& state) {
  one_lap(state);
  do_push(state, 0, 0, 0);
}
void two_wait(State& state) {
  one_waits(state);
  do_push(state, 0, 0, 1);
}
void one_free(State& state) { do_push(state, 0, 1, 0); }

const Scenario kScenarios[] = {
    {.name = "two writers, one reader, any of them dies",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{push_0, true}, {push_1, true}, {pop_twice, true}, {recover<0>, false, 0},
                 {recover<1>, false, 1}, {recover<2>, false, 2}},
     .owners = {0, 1}},
    {.name = "one writer, two readers, a reader dies",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{push_1}, {pop_once, true}, {pop_once}, {recover<1>, false, 1}},
     .owners = {0, 0},
     .prepare = one_waits},
    {.name = "writers at a full queue while it is read",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{[](Process& p) { p.push(0, 2); }, true}, {[](Process& p) { p.push(0, 3); }},
                 {pop_once}, {recover<0>, false, 0}},
     .owners = {0, 0, 0, 1},
     .prepare = two_wait},
    {.name = "capacity below the size, dying reader and writer at the edge",
     .size = {4, 0},
     .capacity = {1, 0},
     .members = {{push_0_1, true}, {pop_once, true}, {recover<0>, false, 0}, {recover<1>, false, 1}},
     .owners = {0, 0}},
    {.name = "the same block goes round",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{pop_and_push}, {pop_and_push}, {pop_once}},
     .owners = {0, 0},
     .deaths = 0,
     .prepare = one_waits},
    {.name = "the same block goes round, and who sends it dies",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{pop_and_push, true}, {pop_and_push}, {recover<0>, false, 0}},
     .owners = {0, 0},
     .prepare = two_wait},
    {.name = "a message withdrawn while it is taken",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{push_and_withdraw_0, true}, {pop_once}, {push_1}, {recover<0>, false, 0}},
     .owners = {0, 2}},
    {.name = "a freed block is claimed and sent again beside its last reader",
     .size = {2, 2},
     .capacity = {2, 2},
     .members = {{pop_and_free, true}, {claim_and_push}, {pop_once}, {recover<0>, false, 0}},
     .owners = {0, 0},
     .prepare = one_waits},
    {.name = "recovery frees what a reader took before it moved head on",
     .size = {2, 2},
     .capacity = {2, 2},
     .members = {{pop_and_free, true}, {claim_and_push}, {recover_and_free<0>, false, 0}},
     .owners = {0, 0},
     .prepare = one_waits},
    {.name = "recovery frees what a writer never published, beside another writer",
     .size = {2, 2},
     .capacity = {2, 2},
     .members = {{claim_and_push, true}, {pop_and_free}, {recover_and_free<0>, false, 0}},
     .owners = {0, 0},
     .prepare = one_free},
    {.name = "recovery looks for a message while the queue goes a lap on",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{push_1, true},
                 {[](Process& p) {
                   for (int i = 0; i < 2; ++i) {
                     const BlockIndex block = p.pop(0);
                     if (block != kNoBlock) p.push(0, block);
                   }
                 }},
                 {recover<0>, false, 0}},
     .owners = {0, 0},
     .prepare = one_waits},
    {.name = "recovery dies at its work and another takes over",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{pop_and_push, true}, {pop_once}, {recover<0>, true, 0}, {recover_both<0, 2>, false, 2}},
     .owners = {0, 0},
     .deaths = 2,
     .prepare = two_wait},
    {.name = "two recoveries of one death run side by side",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{pop_and_push, true}, {pop_once}, {recover<0>, false, 0}, {recover<0>, false, 0}},
     .owners = {0, 0},
     .prepare = one_waits},
    // The long ones last: the mutants need not reach them.
    {.name = "two writers, one of them twice, one reader of two, who dies",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{push_0_1}, {[](Process& p) { p.push(0, 2); }}, {pop_twice, true},
                 {recover<2>, false, 2}},
     .owners = {0, 0, 1}},
    {.name = "two that take and send round, the first of them dies, and one that reads",
     .size = {2, 0},
     .capacity = {2, 0},
     .members = {{pop_and_push, true}, {pop_and_push}, {pop_once}, {recover<0>, false, 0}},
     .owners = {0, 0},
     .prepare = one_waits},
};

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const bool expect_violation = argc > 1 && std::strcmp(argv[1], "--expect-violation") == 0;
  const char* only = argc > 1 && !expect_violation ? argv[1] : nullptr;
  for (const Scenario& scenario : kScenarios) {
    if (only != nullptr && std::strcmp(only, scenario.name) != 0) continue;
    const auto begin = std::chrono::steady_clock::now();
    const Outcome outcome = explore(scenario);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%-75s %9llu states %8llu ends %5.1f s\n", scenario.name,
                static_cast<unsigned long long>(outcome.states),
                static_cast<unsigned long long>(outcome.ends), took.count());
    if (outcome.violation.empty()) continue;
    std::printf("broken: %s\n", outcome.violation.c_str());
    for (const std::string& line : outcome.trace) std::printf("  %s\n", line.c_str());
    return expect_violation ? 0 : 1;
  }
  return expect_violation ? 1 : 0;
}
