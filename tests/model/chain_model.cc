// tests/model/chain_model.cc -- the links of a chain: none lost, none doubled, none taken out of
// another's chain, whoever dies while linking or freeing.
#include "shm/chain.h"
#include "tests/model/weak_queues.h"

namespace {

using namespace sluice::weak;
using sluice::shm::BlockIndex;
using sluice::shm::kNoBlock;

constexpr uint8_t kChaining = 30;  // operation

Envelope* find(BlockIndex block) { return block < kBlocks ? &envelope_at(block) : nullptr; }

void link(Process& p, BlockIndex head, BlockIndex last, BlockIndex block) {
  p.operation(kChaining, 0, [&] {
    p.touch(kPayload + block);
    sluice::shm::link_block(find, head, last, block, name_of(p.index()));
    return uint64_t{0};
  });
}

// As BlockPool::free() does it; `give_back` is for a block in our hands.
template <class GiveBack>
void free_whole(Process& p, BlockIndex head, GiveBack give_back) {
  p.operation(kChaining, 1, [&] {
    const auto touch_and_give_back = [&](BlockIndex block) {
      p.touch(kPayload + block);
      give_back(block);
    };
    sluice::shm::free_chain_links(find, head, name_of(p.index()), touch_and_give_back);
    touch_and_give_back(head);
    return uint64_t{0};
  });
}
// Blocks of another's arena: its free queue is queue 1.
void free_home(Process& p, BlockIndex head) {
  free_whole(p, head, [&](BlockIndex block) {
    envelope_at(block).queue.store(2, std::memory_order::relaxed);
    if (queue_at(1).try_push(block, name_of(p.index())) != sluice::shm::PushOutcome::kPushed) {
      violate("the free queue has no cell for a block");
    }
  });
}
// Of one's own: they stay in one's stock.
void free_own(Process& p, BlockIndex head) {
  free_whole(p, head, [](BlockIndex) {});
}

// As ChannelLayer::gather() reads it.
void read_chain(Process& p, BlockIndex head, uint32_t links) {
  p.operation(kChaining, 2, [&] {
    BlockIndex next = find(head)->next.load(std::memory_order::relaxed);
    for (uint32_t i = 0; i < links; ++i) {
      if (next == 0 || !sluice::shm::stamp_of_link(find, head, next - 1)) {
        violate("a chain in hand is not whole");
        break;
      }
      p.touch(kPayload + next - 1);
      next = find(next - 1)->next.load(std::memory_order::relaxed);
    }
    return uint64_t{0};
  });
}

void receive_chain(Process& p) {
  const BlockIndex head = pop(p, 0);
  if (head == kNoBlock) return;
  read_chain(p, head, 1);
  free_home(p, head);
}
void send_chain(Process& p) {
  link(p, 0, 0, 1);
  push(p, 0, 0);
}
void send_two_links(Process& p) {
  link(p, 0, 0, 1);
  link(p, 0, 1, 2);
  push(p, 0, 0);
}
// Its own chain came back, or was refused.
void take_two_links_back(Process& p) {
  const BlockIndex head = pop(p, 0);
  if (head == kNoBlock) return;
  read_chain(p, head, 2);
  free_own(p, head);
}
// What comes back is linked again, behind another head.
void link_again(Process& p) {
  const BlockIndex block = pop(p, 1);
  if (block == kNoBlock || block == 2) return;
  link(p, 2, 2, block);
  push(p, 0, 2);
}
void link_again_and_take_it(Process& p) {
  const BlockIndex block = pop(p, 1);
  if (block == kNoBlock) return;
  link(p, 2, 2, block);
  push(p, 0, 2);
  const BlockIndex head = pop(p, 0);
  if (head != 2) return;
  read_chain(p, head, 1);
  free_own(p, head);
}
template <uint32_t kDead>
void recovery(Process& p) {
  recover(p, kDead, free_home);
}
template <uint32_t kDead>
void recovery_to_stock(Process& p) {
  recover(p, kDead, free_own);
}
template <uint32_t kDead, uint32_t kOther>
void recovery_of_both(Process& p) {
  recover(p, kDead, free_home);
  recover(p, kOther, free_home);
}

void two_in_hand(State& state) { set_blocks(state, {0, 0}); }
void three_in_hand(State& state) { set_blocks(state, {0, 0, 0}); }
void chain_waits(State& state) {
  set_blocks(state, {0, 0, 0});
  run_alone(state, 0, send_chain);
}
void two_links_wait(State& state) {
  set_blocks(state, {0, 0, 0});
  run_alone(state, 0, send_two_links);
}
void short_chain_waits(State& state) {
  set_blocks(state, {0, 0});
  run_alone(state, 0, send_chain);
}

const Model kModel{.words = kChainWords,
                   .watched_from = kCellWords,
                   .watched_to = kQueueOf,
                   .note = note_queues,
                   .look_at_end = look_at_queues,
                   .name = name_word};

const std::vector<Scenario> kScenarios = {
    {.name = "a chain is sent and received, and either dies",
     .members = {{send_chain, true},
                 {receive_chain, true},
                 {recovery<0>, false, 0},
                 {recovery<1>, false, 1}},
     .prepare = two_in_hand},
    {.name = "a chain is sent and received, and both die",
     .members = {{send_chain, true},
                 {receive_chain, true},
                 {recovery<0>, false, 0},
                 {recovery<1>, false, 1}},
     .prepare = two_in_hand,
     .deaths = 2},
    {.name = "a chain of two links is sent and comes back, and either dies",
     .members = {{send_two_links, true},
                 {take_two_links_back, true},
                 {recovery_to_stock<0>, false, 0},
                 {recovery_to_stock<1>, false, 1}},
     .prepare = three_in_hand},
    {.name = "two recoveries free a chain of two links at once",
     .members = {{take_two_links_back, true},
                 {recovery_to_stock<0>, false, 0},
                 {recovery_to_stock<0>, false, 0}},
     .prepare = two_links_wait},
    {.name = "what a receiver had freed when it died is linked again",
     .members = {{link_again}, {receive_chain, true}, {recovery<1>, false, 1}},
     .prepare = chain_waits},
    {.name = "what a receiver had freed when it died is linked again, and that chain is received",
     .members = {{link_again_and_take_it}, {receive_chain, true}, {recovery<1>, false, 1}},
     .prepare = chain_waits},
    {.name = "recovery dies while it frees a chain, and another takes over",
     .members = {{receive_chain, true}, {recovery<0>, true, 0}, {recovery_of_both<0, 1>, false, 1}},
     .prepare = short_chain_waits,
     .deaths = 2},
    {.name =
         "recovery dies while it frees a chain whose link is linked again, and another takes over",
     .members = {{link_again},
                 {receive_chain, true},
                 {recovery<1>, true, 1},
                 {recovery_of_both<1, 2>, false, 2}},
     .prepare = chain_waits,
     .deaths = 2},
    {.name = "two recoveries free a chain at once",
     .members = {{receive_chain, true}, {recovery<0>, false, 0}, {recovery<0>, false, 0}},
     .prepare = short_chain_waits},
};

}  // namespace

int main(int argc, char** argv) { return run(kModel, kScenarios, argc, argv); }
