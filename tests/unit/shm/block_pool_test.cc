// tests/unit/shm/block_pool_test.cc -- blocks are claimed once and all come back.
#include "shm/block_pool.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>

#include <set>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::small_geometry;
using sluice::tests::World;

constexpr size_t kLargestClass = kClasses - 1;

struct Bench {
  World world;
  Member worker{world, world.join(Role::kWorker)};
  Member consumer{world, world.join(Role::kConsumer)};
  BlockPool& pool = worker.layer.pool();
  const ClassCounts& counts = world.segment().geometry().worker_blocks;

  uint8_t class_of(BlockIndex block) {
    BlockPlace place;
    REQUIRE(world.segment().place_of(block, place));
    REQUIRE(place.arena == worker.layer.me().index);
    return place.size_class;
  }
  // The block, sent to the consumer and taken there.
  void hand_over(BlockIndex block) {
    PayloadHeader header{};
    header.generation = 1;
    std::memcpy(worker.arenas.own(block).data(), &header, sizeof header);
    REQUIRE(worker.layer.send_block_to(consumer.layer.me(), block).ok());
    auto delivery = consumer.layer.try_receive();
    REQUIRE(delivery);
    REQUIRE(delivery->keep() == block);
  }
};

TEST_CASE("a claim is of the smallest class that fits, ours by its stamp") {
  Bench b;
  const std::pair<size_t, uint8_t> sizes[] = {{0, 0},     {1, 0},     {512, 0},   {513, 1},    {1024, 1},
                                              {1025, 2},  {1536, 2},  {1537, 3},  {2048, 3},   {2049, 4},
                                              {4096, 4},  {4097, 5},  {73728, 5}, {73729, 6},  {262144, 6},
                                              {262145, 7}, {1u << 20, 7}};
  for (const auto& size : sizes) {
    const size_t bytes = size.first;
    CAPTURE(bytes);
    const BlockIndex block = b.pool.try_claim(bytes).value();
    CHECK(b.class_of(block) == size.second);
    const Stamp stamp{b.world.segment().envelope(block)->stamp.load()};
    CHECK(stamp.owner() == b.worker.layer.me().index);
    CHECK(stamp.state() == BlockState::kOwned);
  }
  CHECK_FALSE(b.pool.try_claim((1u << 20) + 1));
}

TEST_CASE("a class used up borrows from the larger ones, and then there is nothing") {
  Bench b;
  std::set<BlockIndex> all;
  uint32_t total = 0;
  for (const uint32_t count : b.counts) total += count;

  for (uint32_t i = 0; i < total; ++i) {
    const auto block = b.pool.try_claim(1);
    REQUIRE(block);
    CHECK(all.insert(*block).second);
  }

  CHECK_FALSE(b.pool.try_claim(1));
  b.pool.free(*all.rbegin());
  CHECK(b.pool.try_claim(1) == *all.rbegin());
}

TEST_CASE("blocks given back by others come home through the free queue") {
  Bench b;
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < b.counts[kLargestClass]; ++i) {
      const auto block = b.pool.try_claim(1u << 20);
      REQUIRE(block);
      b.hand_over(*block);
      b.consumer.layer.free_block(*block);
    }
  }
  CHECK(b.pool.try_claim(1u << 20).has_value());
}

TEST_CASE("a held block that comes back is not claimed again before it is released") {
  Bench b;
  std::vector<BlockIndex> large;
  for (uint32_t i = 0; i < b.counts[kLargestClass]; ++i) large.push_back(b.pool.try_claim(1u << 20).value());
  b.pool.hold(large[0]);
  b.hand_over(large[0]);
  b.consumer.layer.free_block(large[0]);

  CHECK_FALSE(b.pool.try_claim(1u << 20));
  b.pool.release_hold(large[0]);
  CHECK(b.pool.try_claim(1u << 20) == large[0]);
}

TEST_CASE("a hold released before the block is back does not keep it") {
  Bench b;
  std::vector<BlockIndex> large;
  for (uint32_t i = 0; i < b.counts[kLargestClass]; ++i) large.push_back(b.pool.try_claim(1u << 20).value());
  b.pool.hold(large[0]);
  b.hand_over(large[0]);

  b.pool.release_hold(large[0]);
  CHECK_FALSE(b.pool.try_claim(1u << 20));
  b.consumer.layer.free_block(large[0]);
  CHECK(b.pool.try_claim(1u << 20) == large[0]);
}

TEST_CASE("a chain is freed with its links, by whoever owns its head") {
  Bench b;
  const BlockIndex head = b.pool.try_claim(1u << 20).value();
  BlockIndex last = head;
  for (uint32_t i = 1; i < b.counts[kLargestClass]; ++i) {
    const BlockIndex link = b.pool.try_claim(1u << 20).value();
    b.pool.link(head, last, link);
    CHECK(Stamp{b.world.segment().envelope(link)->stamp.load()}.state() == BlockState::kLinked);
    last = link;
  }
  CHECK_FALSE(b.pool.try_claim(1u << 20));
  b.hand_over(head);
  b.consumer.layer.free_block(head);

  std::set<BlockIndex> back;
  for (uint32_t i = 0; i < b.counts[kLargestClass]; ++i) back.insert(b.pool.try_claim(1u << 20).value());
  CHECK(back.size() == b.counts[kLargestClass]);
  std::string problem;
  CHECK_MESSAGE(b.world.segment().verify(problem), problem);
}

TEST_CASE("links that lead in a circle or to others' blocks are not followed") {
  Bench b;
  const BlockIndex head = b.pool.try_claim(1u << 20).value();
  const BlockIndex link = b.pool.try_claim(1u << 20).value();
  const BlockIndex other = b.pool.try_claim(1).value();
  b.pool.link(head, head, link);

  SUBCASE("a circle") { b.world.segment().envelope(link)->next = link + 1; }
  SUBCASE("back to the head") { b.world.segment().envelope(link)->next = head + 1; }
  SUBCASE("to no block") { b.world.segment().envelope(link)->next = 0xfffffff0; }
  SUBCASE("to a block in other hands") { b.world.segment().envelope(link)->next = other + 1; }
  b.pool.free(head);

  CHECK(Stamp{b.world.segment().envelope(other)->stamp.load()}.owner() == b.worker.layer.me().index);
  std::set<BlockIndex> claimed;
  while (const auto block = b.pool.try_claim(1u << 20)) CHECK(claimed.insert(*block).second);
  CHECK(claimed.size() <= b.counts[kLargestClass]);
  b.pool.free(0xffffffff);
}

// What somebody does who maps the control segment and knows how an honest process pushes.
struct Scribbler {
  Bench& b;
  ProcessIndex me = b.consumer.layer.me().index;
  Word& stamp(BlockIndex block) const { return b.world.segment().envelope(block)->stamp; }
  void push(BlockIndex block) const {
    OwnerQueue queue = b.world.segment().free_queue(b.worker.layer.me().index, b.class_of(block));
    REQUIRE(queue.try_push(block, me) == PushOutcome::kPushed);
  }
  void link_to(BlockIndex block, BlockIndex head) const {
    Envelope& envelope = *b.world.segment().envelope(block);
    envelope.head = head;
    envelope.next = 0;
    envelope.stamp = Stamp{envelope.stamp}.next(me, BlockState::kLinked).word;
    b.world.segment().envelope(head)->next = block + 1;
  }
  // Everything there is of the largest class, claimed.
  std::multiset<BlockIndex> claim_all() const {
    std::multiset<BlockIndex> all;
    while (const auto block = b.pool.try_claim(1u << 20)) {
      all.insert(*block);
      REQUIRE(all.size() <= 4 * b.counts[kLargestClass]);
    }
    return all;
  }
};

TEST_CASE("a block scribbled into its arena's free queue is never claimed while it is not out") {
  Bench b;
  const Scribbler scribbler{b};
  std::vector<BlockIndex> ours;
  for (uint32_t i = 0; i < 4; ++i) ours.push_back(b.pool.try_claim(1u << 20).value());
  const BlockIndex stocked = ours[3];
  b.pool.free(stocked);

  SUBCASE("in our hands") { scribbler.push(ours[0]); }
  SUBCASE("in our hands, many times") {
    for (int i = 0; i < 5; ++i) scribbler.push(ours[0]);
  }
  SUBCASE("in stock") { scribbler.push(stocked); }
  SUBCASE("never used") { scribbler.push(b.world.segment().block_at(b.worker.layer.me().index, kLargestClass, b.counts[kLargestClass] - 1)); }
  SUBCASE("as a link of the scribbler's own block, which we free") {
    const BlockIndex evil = b.consumer.layer.pool().try_claim(1).value();
    PayloadHeader header{};
    header.generation = 1;
    std::memcpy(b.consumer.arenas.own(evil).data(), &header, sizeof header);
    REQUIRE(b.consumer.layer.send_block_to(b.worker.layer.me(), evil).ok());
    scribbler.link_to(ours[0], evil);
    REQUIRE(b.worker.layer.try_receive().has_value());
  }
  const std::multiset<BlockIndex> all = scribbler.claim_all();

  for (const BlockIndex block : all) CHECK(all.count(block) == 1);
  for (int i = 0; i < 3; ++i) CHECK(all.count(ours[i]) == 0);
  CHECK(all.size() == b.counts[kLargestClass] - 3);
}

TEST_CASE("a block scribbled into the free queue again and again while it is out is claimed once") {
  Bench b;
  const Scribbler scribbler{b};
  const BlockIndex out = b.pool.try_claim(1u << 20).value();
  b.hand_over(out);

  scribbler.push(out);
  scribbler.push(out);
  const std::multiset<BlockIndex> all = scribbler.claim_all();
  CHECK(all.count(out) == 1);
  CHECK(all.size() == b.counts[kLargestClass]);

  scribbler.push(out);
  CHECK(scribbler.claim_all().empty());
  b.consumer.layer.free_block(out);  // its honest reader is done with it now
  CHECK(scribbler.claim_all().empty());
  CHECK(b.pool.refused() == 2);
}

TEST_CASE("a held block scribbled into the free queue is not claimed, nor are the links of its chain") {
  Bench b;
  const Scribbler scribbler{b};
  const BlockIndex head = b.pool.try_claim(1u << 20).value();
  const BlockIndex link = b.pool.try_claim(1u << 20).value();
  b.pool.link(head, head, link);
  b.hand_over(head);
  b.pool.hold(head);

  scribbler.push(head);
  scribbler.push(link);
  const std::multiset<BlockIndex> all = scribbler.claim_all();
  CHECK(all.count(head) + all.count(link) == 0);
  CHECK(all.size() == b.counts[kLargestClass] - 2);

  b.pool.release_hold(head);
  const std::multiset<BlockIndex> back = scribbler.claim_all();
  CHECK(back == std::multiset<BlockIndex>{head, link});
}

TEST_CASE("a block of ours that was never sent is not delivered to us, whoever puts it in our inbox") {
  Bench b;
  const BlockIndex ours = b.pool.try_claim(1u << 20).value();
  PayloadHeader header{};
  header.generation = 1;
  std::memcpy(b.worker.arenas.own(ours).data(), &header, sizeof header);
  OwnerQueue inbox = b.world.segment().inbox(b.worker.layer.me().index);
  REQUIRE(inbox.try_push(ours, b.consumer.layer.me().index) == PushOutcome::kPushed);

  CHECK_FALSE(b.worker.layer.try_receive().has_value());

  CHECK(b.worker.layer.drops().corrupt == 1);
  CHECK(Scribbler{b}.claim_all().count(ours) == 0);
}

TEST_CASE("a foreign block in our free queue is never claimed") {
  Bench b;
  const BlockIndex foreign = b.consumer.layer.pool().try_claim(1).value();
  REQUIRE(b.world.segment().free_queue(b.worker.layer.me().index, 0).try_push(foreign, b.consumer.layer.me().index) ==
          PushOutcome::kPushed);

  while (const auto block = b.pool.try_claim(1)) CHECK(*block != foreign);
}

}  // namespace
