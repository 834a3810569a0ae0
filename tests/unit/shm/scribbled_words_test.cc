// tests/unit/shm/scribbled_words_test.cc -- what a word that somebody scribbled on can do at most, one
// by one. README.md of shm/ has the table.
#include "shm/channel_layer.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <set>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::World;

struct Bench {
  World world;
  Member master{world, world.join(Role::kMaster)};
  Recovery recovery{master.layer};
  Member worker{world, world.join(Role::kWorker)};
  Member consumer{world, world.join(Role::kConsumer, 1)};
  ConnectionSlots slots{world.segment(), worker.layer.me()};
  uint32_t channel = worker.layer.channels().open("http.request").value();

  Bench() { consumer.layer.start_reading(channel); }
  Segment& segment() { return world.segment(); }
  ProcessRecord& row(const Member& member) { return *segment().process(member.layer.me().index); }
  ReplyAddress address(ConnectionSlots::Opened slot) const {
    return {worker.layer.me().index, worker.layer.me().incarnation, slot.slot, slot.generation, 0};
  }
  // A block goes home while its reader still reads it.
  void push_home(BlockIndex block) {
    OwnerQueue home = segment().free_queue(worker.layer.me().index, 0);
    REQUIRE(home.try_push(block, consumer.layer.me().index) == PushOutcome::kPushed);
  }
  // Everything of the smallest class, so that the next claim takes what came home.
  std::vector<Claim> claim_all() {
    std::vector<Claim> all;
    for (uint32_t i = 0; i < segment().blocks_of(worker.layer.me().index)[0]; ++i) {
      Result<Claim> claim = worker.layer.claim(1);
      if (claim.ok()) all.push_back(std::move(*claim));
    }
    return all;
  }
};

// ---- payloads and stamps ------------------------------------------------------------------------

TEST_CASE("a message whose block is claimed again under its reader is not intact from that moment on") {
  Bench b;
  REQUIRE(b.worker.send(b.channel, "the first client's").ok());
  const auto delivery = b.consumer.layer.try_receive();
  REQUIRE(delivery);
  CHECK(delivery->intact());

  b.push_home(delivery->block());
  const std::vector<Claim> all = b.claim_all();

  CHECK_FALSE(delivery->intact());
}

TEST_CASE("a block that is being written is no message, whoever queues it") {
  Bench b;
  Result<Claim> claim = b.worker.write("half of it");
  REQUIRE(claim.ok());
  REQUIRE(b.segment().channel_queue(b.channel).try_push(claim->block(), 5) == PushOutcome::kPushed);

  CHECK_FALSE(b.consumer.layer.try_receive().has_value());
  CHECK(b.consumer.layer.drops().corrupt == 1);
}

TEST_CASE("a link of a chain is no message, whatever a client wrote into it and whoever queues it") {
  Bench b;
  PayloadHeader forged{};
  forged.generation = 7;
  forged.length = 5;
  std::string bytes(kClassBytes[kClasses - 1] - sizeof forged, 'x');  // fills the head
  bytes.append(reinterpret_cast<const char*>(&forged), sizeof forged).append("hello");
  const Sent sent = b.worker.send(b.channel, bytes).value();
  const BlockIndex link = b.segment().envelope(sent.block)->next.load() - 1;
  REQUIRE(b.segment().inbox(b.consumer.layer.me().index).try_push(link, 5) == PushOutcome::kPushed);

  CHECK_FALSE(b.consumer.layer.try_receive().has_value());
  CHECK(b.consumer.layer.drops().corrupt == 2);  // the link, and the chain that it was taken out of
}

TEST_CASE("no two messages of a process carry the same generation, whatever the stamps are made to say") {
  Bench b;
  std::set<uint64_t> generations;
  for (int i = 0; i < 200; ++i) {
    const Sent sent = b.worker.send(b.channel, "x").value();
    CHECK(generations.insert(sent.payload_generation).second);
    REQUIRE(b.consumer.receive() == "x");
    for (BlockIndex block = 0; block < 4; ++block) {
      Word& stamp = b.segment().envelope(b.segment().block_at(b.worker.layer.me().index, 0, block))->stamp;
      stamp = Stamp::of(3, Stamp{stamp}.owner(), Stamp{stamp}.state()).word;
    }
  }
}

// ---- queues -------------------------------------------------------------------------------------

TEST_CASE("a channel whose queue is broken is poisoned by whoever meets it, and refused from then on") {
  Bench b;
  REQUIRE(b.worker.send(b.channel, "x").ok());
  ChannelRecord& record = *b.segment().channel(b.channel);
  CHECK(b.worker.layer.is_sound(b.channel));

  SUBCASE("its reader") {
    record.ends.head = 1000;
    CHECK_FALSE(b.consumer.layer.try_receive().has_value());
  }
  SUBCASE("its writer") {
    REQUIRE(b.consumer.receive() == "x");
    record.ends.tail = 1000;
    CHECK(b.worker.send(b.channel, "y").error() == Error::kSegmentCorrupt);
  }

  CHECK(record.poisoned.load() == 1);
  CHECK_FALSE(b.worker.layer.is_sound(b.channel));
  for (int i = 0; i < 3; ++i) {
    CHECK(b.worker.send(b.channel, "z").error() == Error::kSegmentCorrupt);
    CHECK_FALSE(b.consumer.layer.try_receive().has_value());
    CHECK_FALSE(b.consumer.layer.anything_waiting());  // nobody spins for it
  }
}

TEST_CASE("an inbox that is broken is poisoned by its reader, and its writers are refused") {
  Bench b;
  REQUIRE(b.consumer.layer.own_queues_sound());
  QueueEnds& ends = reinterpret_cast<QueueEnds*>(reinterpret_cast<std::byte*>(&b.segment().header()) +
                                                 b.segment().offsets().inbox_ends)[b.consumer.layer.me().index];
  ends.head = 77;

  CHECK_FALSE(b.consumer.layer.try_receive().has_value());

  CHECK(b.row(b.consumer).poisoned.load() == 1);
  CHECK(b.worker.send_to(b.consumer.layer.me(), "x").error() == Error::kSegmentCorrupt);
  CHECK_FALSE(b.consumer.layer.own_queues_sound());
}

TEST_CASE("a reply ring that is broken is told to its worker, and its slot is not used again") {
  Bench b;
  const auto opened = b.slots.open().value();
  ConnectionRecord& record = *b.segment().connection(b.worker.layer.me().index, opened.slot);
  CHECK(b.slots.ring_sound(opened.slot));

  SUBCASE("by a sender") {
    record.tail = 40;
    CHECK(b.consumer.reply(b.address(opened), "x").error() == Error::kSegmentCorrupt);
    CHECK(b.slots.next_ready() == opened.slot);
  }
  SUBCASE("by the worker") {
    record.head = 40;
    CHECK_FALSE(b.worker.layer.try_receive_reply(opened.slot).has_value());
  }

  CHECK(b.slots.ring_broken(opened.slot));
  b.slots.close(opened.slot);
  CHECK(b.slots.lost() == 1);
  CHECK(b.slots.open()->slot != opened.slot);
}

TEST_CASE("a reply ring that is only said to be broken is not") {
  Bench b;
  const auto opened = b.slots.open().value();
  ConnectionRecord& record = *b.segment().connection(b.worker.layer.me().index, opened.slot);

  record.poisoned = 1;

  CHECK_FALSE(b.slots.ring_broken(opened.slot));
  CHECK(record.poisoned.load() == 0);
}

TEST_CASE("a channel that its name no longer leads to is not sound") {
  Bench b;
  for (uint32_t i = 0; i < b.segment().directory_size(); ++i) b.segment().directory()[i] = 0;

  CHECK_FALSE(b.worker.layer.is_sound(b.channel));
}

// ---- connections --------------------------------------------------------------------------------

TEST_CASE("what a slot must say is written again where somebody wrote over it") {
  Bench b;
  const auto opened = b.slots.open().value();
  b.slots.set_constants(opened.slot, 5);
  b.slots.announce(opened.slot);
  ConnectionRecord& record = *b.segment().connection(b.worker.layer.me().index, opened.slot);
  const uint64_t state = record.state;
  record.state = 0;
  record.constants = 99;
  record.high_water = 1;
  b.row(b.worker).used_slots = 0;
  CHECK(b.consumer.reply(b.address(opened), "x").error() == Error::kConnectionGone);

  b.slots.repair(opened.slot);
  b.slots.repair_count();

  CHECK(record.state.load() == state);
  CHECK(record.constants.load() == 6);
  CHECK(record.high_water.load() == 0);
  CHECK(b.row(b.worker).used_slots.load() == 1);
  CHECK(b.consumer.reply(b.address(opened), "x").ok());
}

TEST_CASE("ready bits of slots that are none cost one look, and lead nowhere") {
  Bench b;
  const auto opened = b.slots.open().value();
  ReadyBitmap& ready = *b.segment().ready(b.worker.layer.me().index);
  for (Word& word : ready.bottom) word = ~uint64_t{0};
  for (Word& word : ready.middle) word = ~uint64_t{0};
  ready.top = ~uint64_t{0};

  CHECK(b.slots.next_ready() == opened.slot);
  CHECK_FALSE(b.slots.next_ready().has_value());
  CHECK_FALSE(b.slots.any_ready());
}

// ---- processes ----------------------------------------------------------------------------------

TEST_CASE("the master gives out no row twice and no incarnation twice, whatever the words say") {
  World world;
  ProcessTable table(world.segment());
  table.keep_account();
  const ProcessName first = table.reserve(Role::kConsumer, 1).value();
  table.set_live(first, 1, 1);
  Word& life = world.segment().process(first.index)->life;

  for (const uint64_t scribbled : {uint64_t{0}, uint64_t{first.incarnation - 1} << 32, ~uint64_t{0}}) {
    life = scribbled;
    const auto next = table.reserve(Role::kConsumer, 2);
    REQUIRE(next);
    CHECK(next->index != first.index);
    table.set_dead(*next);
    table.set_free(*next);
    CHECK(table.is_live(first));
    CHECK(table.living(first.index) == first);
  }
  table.set_dead(first);
  table.set_free(first);
  life = 0;  // as if it had never been used
  const ProcessName second = table.reserve(Role::kConsumer, 1).value();
  CHECK(second.index == first.index);
  CHECK(second.incarnation == first.incarnation + 1);
}

TEST_CASE("the words of the process table are made right again, and others see it") {
  World world;
  ProcessTable masters(world.segment());
  masters.keep_account();
  const ProcessName consumer = masters.reserve(Role::kConsumer, 1).value();
  masters.set_live(consumer, 1, 1);
  const ProcessTable others(world.segment());
  CHECK_FALSE(masters.repair());

  world.segment().process(consumer.index)->life = 0;
  CHECK_FALSE(others.is_live(consumer));

  CHECK(masters.repair());
  CHECK(others.is_live(consumer));
}

TEST_CASE("a sleeper whose bit somebody wiped away is rung by recovery all the same") {
  Bench b;
  b.consumer.bell.fall_asleep_in_poll();
  b.row(b.consumer).doorbell = 0;
  pollfd bell{b.consumer.bell.poll_fd(), POLLIN, 0};
  b.worker.bell.ring(b.consumer.layer.me().index);
  REQUIRE(poll(&bell, 1, 0) == 0);

  b.recovery.ring_all();

  CHECK(poll(&bell, 1, 10'000) == 1);
}

TEST_CASE("a reader whose bit somebody wiped away says again that it reads, before it sleeps") {
  Bench b;
  for (Word& word : b.segment().channel(b.channel)->readers.words) word = 0;
  REQUIRE_FALSE(b.worker.layer.has_reader(b.channel));

  b.consumer.layer.wait_on_channels();

  CHECK(b.worker.layer.has_reader(b.channel));
}

TEST_CASE("a count of deaths that somebody wrote over keeps no row from being given back") {
  Bench b;
  const ProcessName dead = b.world.join(Role::kConsumer, 2);
  b.recovery.on_death(dead);
  b.segment().header().deaths = 0;

  bool freed = false;
  for (int i = 0; i < 8 && !freed; ++i) {
    b.row(b.worker).seen_deaths = b.segment().header().deaths.load();  // the worker acts on what it sees
    for (const ProcessName& name : b.recovery.advance()) freed = freed || name == dead;
  }

  CHECK(freed);
}

TEST_CASE("blocks of the dead that a scribbler gave to nobody, or to a state that is none, are freed") {
  Bench b;
  ProcessName dead{};
  std::vector<BlockIndex> blocks;
  {
    Member dying(b.world, b.world.join(Role::kConsumer, 2));
    dead = dying.layer.me();
    for (int i = 0; i < 8; ++i) {
      Result<Claim> claim = dying.write("x");
      blocks.push_back(claim->block());
    }
  }
  const ProcessIndex nobodys = 7;  // a row nobody sits in
  const auto scribble = [&](int which, ProcessIndex owner, BlockState state) {
    b.segment().envelope(blocks[which])->stamp = Stamp::of(500, owner, state).word;
  };
  scribble(0, nobodys, BlockState::kOwned);
  scribble(1, 60000, BlockState::kOwned);
  scribble(2, kNobody, BlockState::kQueued);
  scribble(3, nobodys, BlockState::kWithdrawn);
  scribble(4, nobodys, static_cast<BlockState>(77));
  b.segment().envelope(blocks[5])->head = 0xffffffff;
  scribble(5, nobodys, BlockState::kLinked);

  b.recovery.on_death(dead);
  bool freed = false;
  for (int i = 0; i < 8 && !freed; ++i) {
    b.row(b.worker).seen_deaths = b.segment().header().deaths.load();
    for (const ProcessName& name : b.recovery.advance()) freed = freed || name == dead;
  }

  CHECK(freed);
  CHECK(tests::blocks_waiting_free(b.segment(), dead.index) == tests::blocks_used(b.segment(), dead.index));
}

TEST_CASE("a block put into the dead inbox again and again is handed back once") {
  Bench b;
  const ProcessName dead = b.world.join(Role::kConsumer, 2);
  const Sent sent = b.worker.send_to(dead, "unread").value();
  b.recovery.on_death(dead);
  for (int i = 0; i < 10; ++i) {
    static_cast<void>(b.recovery.advance());  // the worker has not seen the death yet
    OwnerQueue inbox = b.segment().inbox(dead.index);
    REQUIRE(inbox.try_push(sent.block, 6) == PushOutcome::kPushed);
  }
  b.row(b.worker).seen_deaths = b.segment().header().deaths.load();
  for (int i = 0; i < 4; ++i) static_cast<void>(b.recovery.advance());

  const auto back = b.worker.layer.try_receive();
  REQUIRE(back);
  CHECK(back->returned() == Returned::kUnread);
  CHECK(Member::text(*back) == "unread");
  CHECK_FALSE(b.worker.layer.try_receive().has_value());
}

}  // namespace
