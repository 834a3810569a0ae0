// tests/crash/steps/block_test.cc -- claiming, freeing, chaining: stepped.
#include "tests/crash/steps/each_instruction.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::Report;
using sluice::tests::Scene;
using sluice::tests::Stage;
using sluice::tests::try_all;

constexpr size_t kBytes = 20;
constexpr size_t kLargest = kClassBytes[kClasses - 1];
constexpr size_t kChained = kLargest + 5000;  // a block of the largest class and one of the next

void claim_all(Stage& stage, Member& me, size_t bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) stage.claims.push_back(std::move(me.layer.claim(bytes).value()));
}

Scene claiming(const char* state, size_t bytes) {
  Scene scene;
  scene.name = std::string("claim ") + state;
  scene.operate = [bytes](Stage& stage, Member& me, Report& report) {
    Result<Claim> claim = me.layer.claim(bytes);
    report.refused = !claim.ok();
    if (claim.ok()) stage.claim = std::move(*claim);
  };
  scene.judge = [](Stage&, const Report& report) { Stage::expect(!report.refused, "a claim finds no block"); };
  return scene;
}

TEST_CASE("a claim is killed and frozen at each of its instructions, wherever its block comes from") {
  Scene fresh = claiming("never used", kBytes);

  Scene stock = claiming("from the stock, and write", kBytes);
  stock.ready = [](Stage&, Member& me) { static_cast<void>(me.layer.claim(kBytes).value()); };
  stock.operate = [](Stage& stage, Member& me, Report&) {
    stage.claim = me.layer.claim(kBytes).value();
    std::memset(stage.claim.space().data(), 'x', kBytes);
  };

  // Three of its blocks were sent, read and freed by others; the rest it holds.
  Scene returned = claiming("from the free queue", kBytes);
  returned.set = [](Stage& stage) {
    for (int i = 0; i < 3; ++i) stage.name_message('v', kBytes, false);
  };
  returned.ready = [](Stage& stage, Member& me) {
    claim_all(stage, me, kBytes, stage.segment.blocks_of(stage.victim.index)[0] - 3);
    for (const char* name : {"v1", "v2", "v3"}) {
      Stage::expect(me.send(stage.channel, stage.bytes_of(name)).ok(), "cannot send");
    }
  };
  returned.then = [](Stage& stage) { stage.drain(); };

  try_all({fresh, stock, returned});
}

Scene freeing(const char* what, size_t bytes) {
  Scene scene;
  scene.name = std::string("free ") + what;
  scene.set = [bytes](Stage& stage) {
    const std::string name = stage.name_message('w', bytes, false);
    Stage::expect(stage.worker.send(stage.channel, stage.bytes_of(name)).ok(), "cannot send");
  };
  scene.ready = [](Stage& stage, Member& me) {
    me.layer.start_reading(stage.channel);
    stage.delivery = std::move(me.layer.try_receive().value());
  };
  scene.operate = [](Stage& stage, Member&, Report&) { stage.delivery.release(); };
  return scene;
}

TEST_CASE("giving back a block or a chain is killed and frozen at each of its instructions") {
  Scene own;
  own.name = "free one's own block, of a class that was used up";
  own.ready = [](Stage& stage, Member& me) { stage.claim = me.layer.claim(kBytes).value(); };
  own.operate = [](Stage& stage, Member& me, Report&) {
    stage.claim.abandon();
    stage.claim = me.layer.claim(kBytes).value();
    std::memset(stage.claim.space().data(), 'x', 1);
    stage.claim.abandon();
  };

  try_all({own, freeing("another's block", kBytes), freeing("another's chain", kChained)});
}

// A chain whose reader died when it had freed the link: recovery has the head, which still names a block
// that its sender may use in another chain by now.
TEST_CASE("a chain that the dead had freed in part takes no link out of a living sender's new chain") {
  Scene scene;
  scene.name = "free a chain whose link went home before";
  scene.set = [](Stage& stage) {
    const std::string name = stage.name_message('w', kChained, false);
    Stage::expect(stage.worker.send(stage.channel, stage.bytes_of(name)).ok(), "cannot send");
  };
  scene.ready = [](Stage& stage, Member& me) {
    me.layer.start_reading(stage.channel);
    stage.delivery = std::move(me.layer.try_receive().value());
    const BlockIndex link = stage.segment.envelope(stage.delivery.block())->next.load() - 1;
    Word& stamp = stage.segment.envelope(link)->stamp;
    stamp = Stamp{stamp.load()}.next(stage.victim.index, BlockState::kOwned).word;
    me.layer.free_block(link);
  };
  scene.operate = [](Stage& stage, Member&, Report&) { stage.delivery.release(); };
  scene.meanwhile = [](Stage& stage) {
    stage.drain();
    stage.worker_sends(2, kChained);  // the link is in one of them
  };

  try_all({scene});
}

// The others send chains too.
void chain_meanwhile(Stage& stage) {
  stage.drain();
  stage.worker_sends(1, kChained);
  stage.drain();
  stage.worker_sends(1);
}

TEST_CASE("sending a chain is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "send a chain";
  scene.set = [](Stage& stage) { stage.name_message('v', kChained, false); };
  scene.ready = [](Stage& stage, Member& me) { stage.claim = me.write(stage.bytes_of("v1")).value(); };
  scene.operate = [](Stage& stage, Member& me, Report& report) {
    report.refused = !me.layer.send(stage.channel, stage.claim, kChained, {}).ok();
  };
  scene.meanwhile = chain_meanwhile;
  scene.judge = [](Stage& stage, const Report& report) {
    Stage::expect(!report.refused, "a chain is refused");
    stage.must_arrive("v1");
  };

  Scene full = scene;
  full.name = "send a chain, full";
  full.set = [](Stage& stage) {
    stage.worker_sends(8);
    stage.name_message('v', kChained, false);
  };
  full.judge = [](Stage& stage, const Report& report) {
    report.refused ? stage.never_sent("v1") : stage.must_arrive("v1");
  };

  try_all({scene, full});
}

TEST_CASE("receiving a chain is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "receive a chain";
  scene.set = [](Stage& stage) { stage.worker_sends(1, kChained); };
  scene.ready = [](Stage& stage, Member& me) { me.layer.start_reading(stage.channel); };
  scene.operate = [](Stage& stage, Member& me, Report&) {
    if (auto found = me.layer.try_receive()) stage.delivery = std::move(*found);
  };
  scene.tell = [](Stage& stage, Member&, Report& report) {
    Stage::tell(report, stage.delivery);
    stage.delivery.release();
  };
  scene.meanwhile = chain_meanwhile;

  try_all({scene});
}

}  // namespace
