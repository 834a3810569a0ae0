// tests/crash/steps/queue_test.cc -- sending, receiving, replying, withdrawing: stepped.
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

// A message of the victim's, written before it is stepped.
void write_one(Stage& stage, Member& me) { stage.claim = me.write(stage.bytes_of("v1")).value(); }
void say(Report& report, const Result<Sent>& sent) {
  report.refused = !sent.ok();
  if (report.refused) report.error = sent.error();
}
// Sent means that it arrives; refused, that there was no room.
void judge_sent(Stage& stage, const Report& report) {
  if (!report.refused) return stage.must_arrive("v1");
  Stage::expect(report.error == Error::kChannelFull, "refused for another reason than a full queue");
  stage.never_sent("v1");
}
void receive_one(Stage& stage, Member& me, Report&) {
  if (auto found = me.layer.try_receive()) stage.delivery = std::move(*found);
}
void tell_received(Stage& stage, Member&, Report& report) {
  if (stage.delivery.block() == kNoBlock) return;
  Stage::tell(report, stage.delivery);
  stage.delivery.release();
}

struct Fill {
  const char* name;
  std::function<void(Stage&)> set;
};

// How a queue of eight stands, by what `send` sends into it.
std::vector<Fill> fills(const std::function<void(Stage&, uint32_t)>& send) {
  return {{"empty", [](Stage&) {}},
          {"partly full", [send](Stage& stage) { send(stage, 3); }},
          {"full", [send](Stage& stage) { send(stage, 8); }},
          {"wrapping round", [send](Stage& stage) {
             for (int lap = 0; lap < 2; ++lap) {
               send(stage, 7);
               stage.drain();
             }
             send(stage, 4);
           }}};
}
std::vector<Fill> channel_fills() {
  return fills([](Stage& stage, uint32_t count) { stage.worker_sends(count); });
}
void withdraw_at_head(Stage& stage) {
  const std::string name = stage.name_message('w');
  const Sent sent = stage.worker.send(stage.channel, stage.bytes_of(name)).value();
  Stage::expect(stage.worker.layer.withdraw(sent), "cannot withdraw");
  stage.withdrawn(name);
}

TEST_CASE("a push is killed and frozen at each of its instructions, whatever the queue holds") {
  std::vector<Fill> states = channel_fills();
  states.push_back({"full, its head withdrawn", [](Stage& stage) {
                      withdraw_at_head(stage);
                      stage.worker_sends(7);
                    }});
  std::vector<Scene> scenes;
  for (const Fill& fill : states) {
    Scene scene;
    scene.name = std::string("push, ") + fill.name;
    scene.set = [&fill](Stage& stage) {
      fill.set(stage);
      stage.name_message('v', kBytes, false);
    };
    scene.ready = write_one;
    scene.operate = [](Stage& stage, Member& me, Report& report) {
      say(report, me.layer.send(stage.channel, stage.claim, kBytes, {}));
    };
    scene.judge = judge_sent;
    scenes.push_back(scene);
  }
  try_all(scenes);
}

TEST_CASE("a pop is killed and frozen at each of its instructions, whatever the queue holds") {
  std::vector<Fill> states = channel_fills();
  states.erase(states.begin());  // from an empty queue it takes nothing, and changes nothing
  states.push_back({"its head withdrawn", [](Stage& stage) {
                      withdraw_at_head(stage);
                      stage.worker_sends(2);
                    }});
  states.push_back({"its head expired", [](Stage& stage) {
                      const std::string name = stage.name_message('w', kBytes, false);
                      Stage::expect(stage.worker.send(stage.channel, stage.bytes_of(name), {.expires_ms = 1}).ok(),
                                    "cannot send");
                      stage.worker_sends(2);
                    }});
  std::vector<Scene> scenes;
  for (const Fill& fill : states) {
    Scene scene;
    scene.name = std::string("pop, ") + fill.name;
    scene.set = fill.set;
    scene.ready = [](Stage& stage, Member& me) { me.layer.start_reading(stage.channel); };
    scene.operate = receive_one;
    scene.tell = tell_received;
    scene.judge = [](Stage&, const Report& report) {
      Stage::expect(report.received == 1, "a pop finds nothing where there is always something");
    };
    scenes.push_back(scene);
  }
  try_all(scenes);
}

TEST_CASE("a send to an inbox is killed and frozen at each of its instructions") {
  std::vector<Scene> scenes;
  const std::vector<Fill> states = fills([](Stage& stage, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      const std::string name = stage.name_message('c');
      Stage::expect(stage.reader.send_to(stage.worker.layer.me(), stage.bytes_of(name)).ok(), "cannot send");
    }
  });
  for (const Fill& fill : states) {
    Scene scene;
    scene.name = std::string("send to an inbox, ") + fill.name;
    scene.set = [&fill](Stage& stage) {
      fill.set(stage);
      stage.name_message('v', kBytes, false);
    };
    scene.ready = write_one;
    scene.operate = [](Stage& stage, Member& me, Report& report) {
      say(report, me.layer.send_to(stage.worker.layer.me(), stage.claim, kBytes, {}));
    };
    scene.judge = judge_sent;
    scenes.push_back(scene);
  }
  try_all(scenes);
}

TEST_CASE("a reply is killed and frozen at each of its instructions, ready bit and all") {
  const auto replies = [](uint32_t count) {
    return [count](Stage& stage) {
      for (uint32_t i = 0; i < count; ++i) {
        Stage::expect(stage.reader.reply(stage.about(), stage.bytes_of(stage.name_message('r'))).ok(), "cannot reply");
      }
    };
  };
  const std::vector<Fill> states = {
      {"empty", replies(0)},
      {"partly full", replies(3)},
      {"full", replies(kReplyCells)},
      {"held back", [](Stage& stage) { stage.slots.set_high_water(stage.connection.slot, true); }},
  };
  std::vector<Scene> scenes;
  for (const Fill& fill : states) {
    Scene scene;
    scene.name = std::string("reply, ") + fill.name;
    scene.set = [&fill](Stage& stage) {
      fill.set(stage);
      stage.name_message('v', kBytes, false);
    };
    scene.ready = write_one;
    scene.operate = [](Stage& stage, Member& me, Report& report) {
      Route route{};
      route.about = stage.about();
      say(report, me.layer.reply(stage.claim, kBytes, route));
    };
    scene.judge = judge_sent;
    scenes.push_back(scene);
  }
  Scene late = scenes[1];
  late.name = "reply, and its connection ends meanwhile";
  late.meanwhile = [](Stage& stage) {
    stage.slots.close(stage.connection.slot);
    stage.connection = stage.slots.open().value();
  };
  late.judge = [](Stage& stage, const Report& report) {
    const bool gone = report.refused && report.error == Error::kConnectionGone;
    Stage::expect(!report.refused || gone, "a late reply is refused for another reason");
    if (gone) stage.never_sent("v1");
  };
  scenes.push_back(late);
  try_all(scenes);
}

TEST_CASE("a worker taking a reply is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "taking a reply";
  scene.victim = Role::kWorker;
  scene.set = [](Stage& stage) { stage.name_message('v', kBytes, false); };
  scene.ready = [](Stage& stage, Member& me) {
    stage.own_slots.emplace(stage.segment, me.layer.me());
    static_cast<void>(stage.own_slots->open().value());
  };
  scene.then = [](Stage& stage) {
    const ReplyAddress about{stage.victim.index, stage.victim.incarnation, 0, 1, 0};
    Stage::expect(stage.reader.reply(about, stage.bytes_of("v1")).ok(), "cannot reply");
  };
  scene.operate = [](Stage& stage, Member& me, Report&) {
    const auto slot = stage.own_slots->next_ready();
    if (auto found = slot ? me.layer.try_receive_reply(*slot) : std::nullopt) stage.delivery = std::move(*found);
  };
  scene.tell = tell_received;
  scene.judge = [](Stage& stage, const Report&) { Stage::expect(stage.arrived("v1"), "a reply is not found"); };
  try_all({scene});
}

TEST_CASE("a withdrawal is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "withdraw";
  scene.set = [](Stage& stage) {
    stage.worker_sends(2);
    stage.name_message('v', kBytes, false);
  };
  scene.ready = [](Stage& stage, Member& me) { stage.sent = me.send(stage.channel, stage.bytes_of("v1")).value(); };
  scene.operate = [](Stage& stage, Member& me, Report& report) { report.refused = !me.layer.withdraw(stage.sent); };
  scene.judge = [](Stage& stage, const Report& report) {
    Stage::expect(stage.arrived("v1") == report.refused, "a message is withdrawn and read, or neither");
  };
  try_all({scene});
}

}  // namespace
