// tests/unit/shm/recovery_chains_test.cc -- the links of a chain whose holder died: freed, or back whole.
#include "tests/unit/shm/recovery_bench.h"

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::blocks_used;
using sluice::tests::blocks_waiting_free;
using sluice::tests::Member;
using sluice::tests::RecoveryBench;

TEST_CASE("a chain whose taker died while freeing it comes back as taken, and nothing of it is called corrupt") {
  RecoveryBench b;
  const std::string bytes(kClassBytes[kClasses - 1] + 1000, 'c');
  REQUIRE(b.worker.send(b.channel, bytes).ok());

  const ProcessName dead = b.dies([&](Member& me) {
    me.layer.start_reading(b.channel);
    const BlockIndex head = me.layer.try_receive()->keep();
    me.layer.free_block(b.world.segment().envelope(head)->next - 1);  // its only link, as free_block(head) begins
  });
  b.recovery.on_death(dead);

  const auto back = b.worker.layer.try_receive();
  REQUIRE(back);
  CHECK(back->returned() == Returned::kTaken);
  CHECK(back->header().length == bytes.size());
  CHECK(back->content().size() == kClassBytes[kClasses - 1] - sizeof(PayloadHeader));
  CHECK(b.worker.layer.drops().corrupt == 0);
}

TEST_CASE("a chain in the hands of the dead comes back whole") {
  RecoveryBench b;
  const std::string big(3 << 20, 'x');
  const Sent sent = b.worker.send(b.channel, big).value();
  const ProcessName dead = b.dies([&](Member& me) {
    me.layer.start_reading(b.channel);
    static_cast<void>(me.layer.try_receive()->keep());
  });

  b.recovery.on_death(dead);

  {
    const auto back = b.worker.layer.try_receive();
    REQUIRE(back);
    CHECK(back->block() == sent.block);
    CHECK(back->content().size() == big.size());
  }
  CHECK_FALSE(b.worker.layer.try_receive());
  for (int i = 0; i < 5; ++i) {
    REQUIRE(b.worker.send(b.channel, big).ok());  // five times three of twenty blocks: all came back
  }
  b.check_sound();
}

TEST_CASE("a link that the dead was just freeing is freed, not handed to the worker as a message") {
  RecoveryBench b;
  const Sent sent = b.worker.send(b.channel, std::string(2 << 20, 'x')).value();
  const Segment& segment = b.world.segment();
  const BlockIndex first = segment.envelope(sent.block)->next.load() - 1;
  const BlockIndex last = segment.envelope(first)->next.load() - 1;
  const ProcessName dead = b.dies([&](Member& me) {
    me.layer.start_reading(b.channel);
    static_cast<void>(me.layer.try_receive()->keep());
    // As free() leaves it between taking the last link and pushing it.
    Word& stamp = segment.envelope(last)->stamp;
    stamp = Stamp{stamp.load()}.next(me.layer.me().index, BlockState::kOwned).word;
  });

  b.recovery.on_death(dead);

  CHECK(b.recovery.totals().returned == 1);
  CHECK(b.recovery.totals().freed == 1);
  static_cast<void>(b.worker.layer.try_receive());  // the rest of the chain: part of it is gone
  CHECK_FALSE(b.worker.layer.try_receive());
  b.check_sound();
  Member reader(b.world, b.world.join(Role::kConsumer, 2));
  reader.layer.start_reading(b.channel);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(b.worker.send(b.channel, std::string(2 << 20, 'y')).ok());
    REQUIRE(reader.receive()->size() == 2 << 20);
  }
}

TEST_CASE("a chain's last link, claimed but not yet named by anybody, is not lost with the process") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    const BlockIndex head = me.layer.pool().try_claim(1 << 20).value();
    const BlockIndex first = me.layer.pool().try_claim(1 << 20).value();
    static_cast<void>(me.layer.pool().try_claim(1 << 20).value());
    me.layer.pool().link(head, head, first);
  });

  b.recovery.on_death(dead);
  b.workers_see_deaths();

  CHECK(b.settle().size() == 1);
  b.check_all_free(dead.index);
  b.check_sound();
}

}  // namespace
