// tests/crash/steps/attach_test.cc -- coming and leaving, as a consumer does it: stepped. The row is the
// master's to give: row_test.cc. The words on the control socket are not shared memory.
#include "tests/crash/steps/each_instruction.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <optional>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::Report;
using sluice::tests::Scene;
using sluice::tests::Stage;
using sluice::tests::try_all;
using sluice::tests::WorldArenas;

// Everything a process has of a gateway, made of the descriptors that it was given.
struct Attached {
  Attached(Stage& stage, int control, int arena, DoorbellSockets sockets)
      : source(stage.world),
        segment(Segment::attach(Fd(control)).value()),
        arenas(segment, stage.victim.index, &source),
        bell(segment, stage.victim.index, std::move(sockets)),
        layer(segment, mapped(arenas, arena), bell, stage.victim) {}

  WorldArenas source;
  Segment segment;
  Arenas arenas;
  Doorbell bell;
  ChannelLayer layer;

 private:
  static Arenas& mapped(Arenas& arenas, int memfd) {
    arenas.map_own(memfd);
    return arenas;
  }
};

int copy_of(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

TEST_CASE("attaching and joining a channel is killed and frozen at each of its instructions") {
  std::optional<Attached> attached;
  DoorbellSockets sockets;
  int control = -1;
  Scene scene;
  scene.name = "attach";
  scene.ready = [&](Stage& stage, Member& me) {
    control = copy_of(stage.segment.memfd());
    sockets = {Fd(copy_of(me.bell.poll_fd())), Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))};
  };
  scene.operate = [&](Stage& stage, Member&, Report& report) {
    attached.emplace(stage, control, stage.world.arena(stage.victim.index), std::move(sockets));
    const Result<uint32_t> channel = attached->layer.channels().open("http.request");
    report.refused = !channel.ok();
    if (!channel.ok()) return;
    report.number = *channel;
    attached->layer.start_reading(*channel);
    attached->layer.wait_on_channels();
    attached->layer.stop_waiting();
  };
  scene.tell = [&](Stage&, Member&, Report& report) {
    if (const std::optional<Delivery> found = attached->layer.try_receive()) Stage::tell(report, *found);
  };
  scene.judge = [](Stage& stage, const Report& report) {
    Stage::expect(!report.refused && report.number == stage.channel, "who attaches finds another channel");
    Stage::expect(report.received == 1, "who attaches receives nothing");
  };

  try_all({scene});
}

// As consumer/attachment.cc does it: nothing new is taken, what is in hand is answered and given back, and
// who sleeps on that is rung. Its row is then the master's to bury, as if it had died.
TEST_CASE("detaching with a request in hand is killed and frozen at each of its instructions") {
  Scene scene;
  scene.name = "detach";
  scene.set = [](Stage& stage) {
    const std::string request = stage.name_message('w', 20, false);
    Stage::expect(stage.worker.send(stage.channel, stage.bytes_of(request)).ok(), "cannot send");
    stage.worker_sends(1);
    stage.name_message('v', 20, false);
  };
  scene.ready = [](Stage& stage, Member& me) {
    me.layer.start_reading(stage.channel);
    stage.delivery = std::move(me.layer.try_receive().value());
  };
  scene.operate = [](Stage& stage, Member& me, Report& report) {
    me.layer.stop_reading();
    report.refused = !me.reply(stage.about(), stage.bytes_of("v1")).ok();
    stage.delivery.release();
    me.layer.ring();
  };
  scene.judge = [](Stage& stage, const Report& report) {
    Stage::expect(!report.refused, "an answer is refused");
    stage.must_arrive("v1");
  };

  try_all({scene});
}

}  // namespace
