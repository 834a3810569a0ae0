// tests/crash/steps/group_test.cc -- sending to a group, and hearing what it is sent: stepped.
#include "tests/crash/steps/each_instruction.h"

#include <doctest/doctest.h>

#include <cstring>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::Report;
using sluice::tests::Scene;
using sluice::tests::Stage;
using sluice::tests::try_all;

constexpr const char* kFirst = "g1";  // the first message to the group

Scene sending(const char* state) {
  Scene scene;
  scene.name = std::string("send to a group, ") + state;
  scene.set = [](Stage& stage) {
    stage.make_group();
    stage.name_group_message();
  };
  scene.operate = [](Stage& stage, Member& me, Report& report) {
    const GroupSent sent = stage.send_to_group(me, kFirst).value();
    report.pushes = sent.pushes;
    report.skipped = sent.workers_full + sent.channels_full;
    report.number = sent.channels;
  };
  scene.meanwhile = [](Stage& stage) { stage.group_round(); };
  // Sent means that it arrives; the second channel may have had room by then.
  scene.judge = [](Stage& stage, const Report& report) {
    const uint32_t members = static_cast<uint32_t>(stage.group.size()) + 1;  // and the worker
    Stage::expect(report.number + report.pushes + report.skipped == members, "not every member is counted");
    Stage::expect(report.number >= members - 2, "a channel with room is skipped");
    stage.must_arrive(Stage::at(kFirst, stage.group[0]));
    stage.must_arrive(Stage::at(kFirst, stage.group[2]));
    if (report.number == members - 1) stage.must_arrive(Stage::at(kFirst, stage.group[1]));
    if (report.pushes == 1) stage.must_arrive(Stage::at(kFirst, stage.worker));
  };
  scene.after_recovery = [](Stage& stage) { stage.group_round(); };
  return scene;
}

TEST_CASE("a group send to three channels, one of them full, is killed and frozen at each of its instructions") {
  Scene scene = sending("a channel full");
  const auto judge = scene.judge;
  scene.judge = [judge](Stage& stage, const Report& report) {
    Stage::expect(report.pushes == 1, "a worker with room is skipped");
    judge(stage, report);
  };

  Scene full = sending("a channel and the worker full");
  full.set = [set = full.set](Stage& stage) {
    set(stage);
    for (uint32_t i = 0; i < stage.segment.geometry().inbox_cells; ++i) {
      const std::string name = stage.name_message('c');
      Stage::expect(stage.reader.send_to(stage.worker.layer.me(), stage.bytes_of(name)).ok(), "cannot send");
    }
  };

  try_all({scene, full});
}

TEST_CASE("hearing what a group is sent is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "hear what a group is sent";
  scene.victim = Role::kWorker;
  scene.set = [](Stage& stage) {
    stage.make_group();
    const GroupSent sent = stage.send_to_group(stage.reader, stage.name_group_message()).value();
    Stage::expect(sent.pushes == 2, "not both workers are sent a notice");
    stage.must_arrive(Stage::at(kFirst, stage.worker));
  };
  scene.operate = [](Stage&, Member& me, Report& report) {
    const std::optional<Delivery> notice = me.layer.try_receive_from_inbox();
    const std::optional<SharedMessage> message = me.layer.read_shared(*notice);
    if (!message) return;
    std::memcpy(report.messages[0].name, message->message.content.data(), message->message.content.size());
    report.messages[0].bytes = message->message.content.size();
    report.received = me.layer.let_go(*message) ? 1 : 0;
  };
  scene.tell = [](Stage&, Member& me, Report& report) {
    Report::Message& heard = report.messages[0];
    const std::string text(heard.name, heard.bytes);
    heard.whole = text == std::string(kFirst) + std::string(18, '.');
    std::strcpy(heard.name, Stage::at(kFirst, me).c_str());
  };
  scene.meanwhile = [](Stage& stage) { stage.group_round(); };
  scene.judge = [](Stage&, const Report& report) {
    Stage::expect(report.received == 1, "a living worker does not hear what its group was sent");
  };
  scene.after_recovery = [](Stage& stage) { stage.group_round(); };

  try_all({scene});
}

}  // namespace
