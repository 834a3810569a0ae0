// tests/crash/steps/row_test.cc -- names, rows, connections, ringing, recovery: stepped.
#include "tests/crash/steps/each_instruction.h"

#include <doctest/doctest.h>
#include <poll.h>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::Report;
using sluice::tests::Scene;
using sluice::tests::Stage;
using sluice::tests::try_all;

constexpr const char* kName = "made.by.the.victim";
constexpr uint32_t kNumber = 77;  // of the process a victim reserves a row for

TEST_CASE("opening a channel is killed and frozen at each of its instructions") {
  Scene alone;
  alone.name = "open a channel";
  alone.operate = [](Stage&, Member& me, Report& report) { report.number = me.layer.channels().open(kName).value(); };
  alone.judge = [](Stage& stage, const Report& report) {
    Stage::expect(stage.reader.layer.channels().find(kName) == report.number, "a channel has another number");
  };
  alone.after_recovery = [](Stage& stage) {
    const auto opened = stage.reader.layer.channels().open(kName);
    Stage::expect(opened.ok() && stage.worker.layer.channels().find(kName) == *opened, "the name is lost for ever");
  };
  Scene raced = alone;
  raced.name = "open a channel, and so does another";
  raced.meanwhile = [](Stage& stage) {
    Stage::expect(stage.reader.layer.channels().open(kName).ok(), "a living process cannot open the name");
  };

  try_all({alone, raced});
}

TEST_CASE("joining and leaving the readers of a channel is killed and frozen at each of its instructions") {
  Scene joining;
  joining.name = "start reading";
  joining.operate = [](Stage& stage, Member& me, Report&) {
    me.layer.start_reading(stage.channel);
    me.layer.wait_on_channels();
  };
  Scene leaving;
  leaving.name = "stop reading";
  leaving.ready = [](Stage& stage, Member& me) {
    me.layer.start_reading(stage.channel);
    me.layer.wait_on_channels();
  };
  leaving.operate = [](Stage&, Member& me, Report&) { me.layer.stop_reading(); };

  try_all({joining, leaving});
}

// The row a victim reserved and did not live to give to anybody.
std::optional<ProcessName> orphan(Stage& stage) {
  for (ProcessIndex row = 1; row < stage.segment.geometry().processes; ++row) {
    const ProcessState state = stage.world.table().state(row);
    const bool known = row == stage.victim.index || row == stage.other.index || row == stage.reader.layer.me().index;
    if (known || stage.segment.is_worker(row) || row == kMasterRow) continue;
    if (state == ProcessState::kJoining || state == ProcessState::kLive) {
      return ProcessName{row, stage.world.table().incarnation(row)};
    }
  }
  return std::nullopt;
}

TEST_CASE("giving out a row is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "reserve a row and give it life";
  scene.operate = [](Stage&, Member& me, Report& report) {
    const ProcessName name = me.layer.processes().reserve(Role::kConsumer, kNumber).value();
    me.layer.processes().set_live(name, 1, 1);
    report.number = name.index;
  };
  scene.judge = [](Stage& stage, const Report& report) {
    const auto name = stage.world.table().living(static_cast<ProcessIndex>(report.number));
    Stage::expect(name.has_value(), "a row is not living");
    stage.bury(*name);
    Stage::expect(stage.world.table().state(name->index) == ProcessState::kFree, "a row does not come back");
  };
  scene.after_recovery = [](Stage& stage) {
    if (const auto name = orphan(stage)) {
      stage.bury(*name);
      Stage::expect(stage.world.table().state(name->index) == ProcessState::kFree, "a row does not come back");
    }
  };

  try_all({scene});
}

TEST_CASE("taking a connection is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "take a connection";
  scene.operate = [](Stage& stage, Member& me, Report& report) {
    report.refused = !take_connection(stage.segment, stage.about(), me.layer.me());
    set_ready(*stage.segment.ready(stage.about().worker), stage.about().slot);
  };
  scene.judge = [](Stage& stage, const Report& report) {
    Stage::expect(!report.refused && stage.slots.owner(stage.connection.slot) == stage.victim, "it is not the owner");
  };
  scene.after_recovery = [](Stage& stage) {
    Stage::expect(!stage.slots.owner(stage.connection.slot).has_value(), "a dead process owns a connection");
    Stage::expect(take_connection(stage.segment, stage.about(), stage.reader.layer.me()), "nobody can own it any more");
  };
  Scene raced = scene;
  raced.name = "take a connection, and so does another";
  raced.meanwhile = [](Stage& stage) {
    const bool taken = take_connection(stage.segment, stage.about(), stage.reader.layer.me());
    Stage::expect(taken || stage.slots.owner(stage.connection.slot) == stage.victim, "nobody owns it");
  };
  raced.judge = [](Stage& stage, const Report& report) {
    const auto owner = stage.slots.owner(stage.connection.slot);
    Stage::expect(owner == (report.refused ? stage.reader.layer.me() : stage.victim), "the wrong one owns it");
  };

  try_all({scene, raced});
}

TEST_CASE("a worker's connection is killed and frozen at each instruction from its opening to its end") {
  Scene scene;
  scene.name = "open, announce and close a connection";
  scene.victim = Role::kWorker;
  scene.ready = [](Stage& stage, Member& me) {
    stage.own_slots.emplace(stage.segment, me.layer.me());
    stage.claim = me.write("constants").value();
    PayloadHeader header{};  // its first connection
    header.length = 9;
    header.worker = stage.victim.index;
    header.incarnation = stage.victim.incarnation;
    header.slot_generation = 1;
    std::memcpy(me.arenas.own(stage.claim.block()).data(), &header, sizeof header);
  };
  scene.operate = [](Stage& stage, Member&, Report& report) {
    report.number = stage.own_slots->open().value().slot;
    stage.own_slots->set_constants(report.number, stage.claim.block());
    stage.own_slots->announce(report.number);
    stage.own_slots->set_order(report.number, 1);
    stage.own_slots->set_high_water(report.number, true);
    static_cast<void>(stage.own_slots->take_waiter(report.number));
    stage.own_slots->disconnect_sent(report.number);
    stage.own_slots->close(report.number);
  };
  scene.before_recovery = [](Stage& stage) {
    const auto state = static_cast<uint32_t>(stage.segment.connection(stage.victim.index, 0)->state);
    const bool announced = static_cast<SlotState>(state) == SlotState::kAnnounced;
    const bool constants = stage.segment.connection(stage.victim.index, 0)->constants != 0;
    Stage::expect(stage.recovery.owed_by(stage.victim).size() == (announced && constants ? 1 : 0),
                  "not exactly the disconnects that are owed");
  };

  try_all({scene});
}

TEST_CASE("ringing a sleeper is killed and frozen at each of its instructions, and nobody sleeps on") {
  Scene scene;
  scene.name = "send and ring";
  scene.set = [](Stage& stage) {
    stage.name_message('v', 20, false);
    stage.reader_sleeps = true;
    stage.reader.layer.wait_on_channels();
    stage.reader.bell.fall_asleep_in_poll();
  };
  scene.ready = [](Stage& stage, Member& me) { stage.claim = me.write(stage.bytes_of("v1")).value(); };
  scene.operate = [](Stage& stage, Member& me, Report& report) {
    report.refused = !me.layer.send(stage.channel, stage.claim, 20, {}).ok();
    me.layer.ring();
  };
  scene.judge = [](Stage& stage, const Report& report) {
    Stage::expect(!report.refused, "a message is refused");
    stage.must_arrive("v1");
    pollfd bell{stage.reader.bell.poll_fd(), POLLIN, 0};
    Stage::expect(poll(&bell, 1, 0) == 1, "a sleeper is not rung");
  };

  try_all({scene});
}

TEST_CASE("recovery is killed and frozen at each of its instructions, and another completes it") {
  Scene scene;
  scene.name = "recovery";
  scene.set = [](Stage& stage) {
    stage.worker_sends(2);
    stage.other_is_victims = true;
  };
  scene.operate = [](Stage& stage, Member& me, Report&) {
    Recovery recovery(me.layer);
    recovery.on_death(stage.other);
    static_cast<void>(recovery.advance());
    // What its worker does when it sees the death.
    stage.segment.process(stage.worker.layer.me().index)->seen_deaths.store(stage.segment.header().deaths.load());
    static_cast<void>(recovery.advance());
    static_cast<void>(recovery.advance());
  };
  scene.judge = [](Stage& stage, const Report&) { stage.bury(stage.other); };

  try_all({scene});
}

}  // namespace
