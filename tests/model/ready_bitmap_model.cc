// tests/model/ready_bitmap_model.cc -- no reply lies in a ring that its worker does not look at.
#include "tests/model/ready_worker.h"

namespace {

using namespace sluice::weak;

constexpr uint32_t kWorker = 0;

template <uint32_t kReplies>
void worker(Process& p) {
  work(p, kReplies);
}
template <uint32_t kQueue, sluice::shm::BlockIndex kBlock>
void replier(Process& p) {
  reply(p, kQueue, kBlock);
}
void replier_of_two(Process& p) {
  reply(p, 0, 0);
  reply(p, 0, 1);
}
template <uint32_t kDead>
void recovery(Process& p) {
  recover(p, kDead);
  ring_all(p);
}

void three_blocks(State& state) { set_blocks(state, {1, 1, 2}); }

void look_at_end(State& state) {
  const auto& waiting = state.ghost<QueuesGhost>().waiting;
  if (waiting[0] + waiting[1] != 0 && is_stuck(state, kWorker))
    violate("a reply waits and its worker sleeps");
  look_at_queues(state);
}

std::string name(uint32_t word) {
  constexpr const char* kNames[] = {"doorbell", "datagram", "futex",    "top",      "middle 0",
                                    "middle 1", "bottom 0", "bottom 1", "bottom 64"};
  return word >= kMoreWords ? kNames[word - kMoreWords] : name_word(word);
}

const Model kModel{.words = kReadyWords + 6,
                   .watched_from = kCellWords,
                   .watched_to = kQueueOf,
                   .note = note_queues,
                   .look_at_end = look_at_end,
                   .name = name};

// The second ring's slot: in the same bottom word as the first, in the same middle word, in none.
constexpr uint32_t kSameWord = 1, kNextWord = 64, kOtherMiddle = 4096;

const std::vector<Scenario> kScenarios = {
    {.name = "one replies and dies",
     .members = {{worker<1>}, {replier<0, 0>, true}, {recovery<1>, false, 1}},
     .prepare = three_blocks,
     .setting = kSameWord},
    {.name = "one replies twice to one connection",
     .members = {{worker<2>}, {replier_of_two}},
     .prepare = three_blocks,
     .setting = kSameWord},
    {.name = "two reply to two connections of one word",
     .members = {{worker<2>}, {replier<0, 0>}, {replier<1, 2>}},
     .prepare = three_blocks,
     .setting = kSameWord},
    {.name = "two reply to two connections of one middle word",
     .members = {{worker<2>}, {replier<0, 0>}, {replier<1, 2>}},
     .prepare = three_blocks,
     .setting = kNextWord},
    {.name = "two reply to connections far apart",
     .members = {{worker<2>}, {replier<0, 0>}, {replier<1, 2>}},
     .prepare = three_blocks,
     .setting = kOtherMiddle},
    {.name = "two reply to one connection, one dies",
     .members = {{worker<1>}, {replier<0, 0>, true}, {replier<0, 2>}, {recovery<1>, false, 1}},
     .prepare = three_blocks,
     .setting = kSameWord,
     .longer = true},
};

}  // namespace

int main(int argc, char** argv) { return run(kModel, kScenarios, argc, argv); }
