// tests/crash/crash_points_test.cc -- a process dies at every named point of the layer, at its first,
// second, third, fifth… time there; recovery runs; nothing is lost, doubled or stuck.
#include "shm/recovery.h"

#include "crash_points.h"
#include "tests/support/shm_world.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>

#include <string_view>

namespace {

const char* chosen_point = nullptr;
uint32_t times_left = 0;

}  // namespace

namespace sluice::shm {

void reached_crash_point(const char* name) noexcept {
  if (chosen_point == nullptr || std::string_view(name) != chosen_point) return;
  if (--times_left == 0) kill(getpid(), SIGKILL);
}

}  // namespace sluice::shm

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::blocks_used;
using sluice::tests::blocks_waiting_free;
using sluice::tests::Member;
using sluice::tests::small_geometry;
using sluice::tests::World;

constexpr uint32_t kMiB = 1u << 20;

// The worker's side stays alive, in this process; a consumer lives through everything the layer can
// do, in a child, and is to die at the chosen point.
struct Stage {
  World world;
  Member master{world, world.join(Role::kMaster)};
  Member worker{world, world.join(Role::kWorker, 0)};
  Member sleeper{world, world.join(Role::kWorker, 1)};  // asleep in its futex all the time
  Recovery recovery{master.layer};
  ConnectionSlots slots{world.segment(), worker.layer.me()};
  uint32_t channel = worker.layer.channels().open("http.request").value();
  uint32_t notices = worker.layer.channels().open("group.send").value();
  uint32_t lives = 0;

  // Returns true when the child was killed, false when it came to the end of its life.
  bool live_and_die(const char* point, uint32_t times) {
    ++lives;
    const ProcessName earlier = leave_something_behind();
    const ProcessName with_nothing_out = leave_an_arena_behind();
    const ConnectionSlots::Opened opened = slots.open().value();
    const ReplyAddress about{worker.layer.me().index, worker.layer.me().incarnation, opened.slot,
                             opened.generation, 0};
    for (int i = 0; i < 3; ++i) REQUIRE(worker.send(channel, "request").ok());
    REQUIRE(worker.send(channel, std::string(3 * kMiB, 'c')).ok());
    const Sent withdrawn = worker.send(channel, "withdrawn").value();
    REQUIRE(worker.layer.withdraw(withdrawn));
    worker.bell.fall_asleep_in_poll();
    sleeper.bell.fall_asleep_in_futex();

    const ProcessName victim = world.join(Role::kConsumer, lives);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      chosen_point = point;
      times_left = times;
      whole_life(victim, earlier, with_nothing_out, about);
      _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE((WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0));
    worker.bell.wake_up(true);

    recovery.on_death(earlier);
    recovery.on_death(with_nothing_out);
    recovery.on_death(victim);
    settle(opened.slot);
    slots.close(opened.slot);
    return WIFSIGNALED(status);
  }

  // A consumer that died with a request in hand and one in its inbox: for the victim to recover.
  ProcessName leave_something_behind() {
    const ProcessName name = world.join(Role::kConsumer, 99);
    REQUIRE(worker.send(channel, "left in hand").ok());
    REQUIRE(worker.send_to(name, "left unread").ok());
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      Member me(world, name);
      me.layer.start_reading(channel);
      std::vector<Delivery> kept;
      for (int i = 0; i < 2; ++i) kept.push_back(std::move(me.layer.try_receive().value()));
      static_cast<void>(me.layer.claim(100).value());
      if (!say(me, "one that some will hear").ok()) std::abort();
      if (!me.send_to(name, "to itself").ok()) std::abort();
      chosen_point = "shared_stamped";  // with a message to a group that nobody was told of
      times_left = 1;
      static_cast<void>(say(me, "one that nobody will hear"));
      std::abort();
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return name;
  }

  // A consumer that died with nothing out: what it sent was read and came home.
  ProcessName leave_an_arena_behind() {
    const ProcessName name = world.join(Role::kConsumer, 98);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      Member me(world, name);
      for (int i = 0; i < 3; ++i) {
        if (!me.send_to(worker.layer.me(), "comes home").ok()) std::abort();
      }
      _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    while (const auto delivery = worker.layer.try_receive_from_inbox()) take(worker, *delivery);
    return name;
  }

  Result<GroupSent> say(Member& me, std::string_view text) {
    Result<Claim> claim = me.write(text);
    if (!claim.ok()) return claim.error();
    return me.layer.send_to_group("everybody", *claim, text.size(), {notices, {}});
  }

  // What a worker does with one message, a group's or another.
  static void take(Member& me, const Delivery& delivery) {
    const std::optional<SharedMessage> message = me.layer.read_shared(delivery);
    if (!message) return;
    CHECK(Member::text(message->message.content).starts_with("one that "));
    CHECK(me.layer.let_go(*message));
  }

  // To the end, as when the workers see the death at once.
  void recover_wholly(Recovery& helper, ProcessName dead) {
    helper.on_death(dead);
    for (Member* each : {&worker, &sleeper}) {
      world.segment().process(each->layer.me().index)->seen_deaths = world.segment().header().deaths.load();
    }
    for (int turn = 0; turn < 3; ++turn) static_cast<void>(helper.advance());
  }

  // In the child: every way through the layer, twice.
  void whole_life(ProcessName name, ProcessName earlier, ProcessName with_nothing_out, const ReplyAddress& about) {
    Member me(world, name);
    Recovery helper(me.layer);
    helper.on_death(earlier);
    static_cast<void>(helper.advance());
    recover_wholly(helper, with_nothing_out);
    for (int round = 0; round < 2; ++round) {
      const uint32_t own = make_channels(me, round);
      me.layer.start_reading(channel);
      me.layer.start_reading(own);
      while (auto delivery = me.layer.try_receive()) {
        if (delivery->header().sender == worker.layer.me().index) {
          static_cast<void>(me.reply(about, "answer"));
        }
      }
      static_cast<void>(take_connection(world.segment(), about, name));
      static_cast<void>(me.send_to(worker.layer.me(), "hello"));
      sleeper.bell.fall_asleep_in_futex();  // again: recovery woke it, whatever its word said
      static_cast<void>(me.send_to(sleeper.layer.me(), "hello"));
      static_cast<void>(me.send(own, std::string(2 * kMiB, 'o')));
      const auto taken_back = me.send(own, "taken back");
      if (taken_back.ok()) static_cast<void>(me.layer.withdraw(*taken_back));
      me.layer.ring();
      me.layer.wait_for_room(world.segment().channel(own)->senders);
      while (me.layer.try_receive()) {
      }
      // Names stay, of groups too: at most as many as there is room for, and for the dead's.
      const std::string group = "group." + std::to_string((lives + round) % 3);
      const uint64_t truth = world.segment().channel(own)->truth.load();
      const OpenChannel named{own, static_cast<uint32_t>(truth >> 32)};
      static_cast<void>(me.layer.groups().add(group, named, now_ms() + 60'000));
      // Until no worker has room: then the sender takes its own bits away.
      for (int i = 0; i < 20; ++i) static_cast<void>(say(me, "one that somebody hears"));
    }
  }

  // More names than there is room for: those nobody uses any more make way. Gives the last one.
  uint32_t make_channels(Member& me, int round) {
    ChannelTable& channels = me.layer.channels();
    const std::string name = "made." + std::to_string(lives) + "." + std::to_string(round) + ".";
    static_cast<void>(channels.rules().set("made.*", {50, std::chrono::seconds(60)}));
    const auto inbox = channels.make_inbox_channel("to!" + std::to_string(round), me.layer.me());
    if (inbox.ok() && round == 0) channels.end_inbox_channel(*inbox, me.layer.me());
    uint32_t last = kNoChannel;
    for (uint32_t i = 0; i <= world.segment().geometry().channels; ++i) {
      for (uint32_t c = 0; c < world.segment().geometry().channels; ++c) {
        ChannelRecord& record = *world.segment().channel(c);  // as if time had passed
        record.touched_ms = 0;
        record.longest_expiry_ms = 0;
        for (Word& sample : record.sent_by_second) sample = 0;
      }
      last = channels.open_now(name + std::to_string(i)).value().index;
    }
    return last;
  }

  // The worker goes on with its life; then everything of the dead must have come to rest.
  void settle(uint32_t slot) {
    for (int turn = 0; turn < 20; ++turn) {
      for (Member* each : {&worker, &sleeper}) {
        world.segment().process(each->layer.me().index)->seen_deaths = world.segment().header().deaths.load();
        while (const auto delivery = each->layer.try_receive()) take(*each, *delivery);
      }
      while (worker.layer.try_receive_reply(slot)) {
      }
      // What nobody reads any more, a living consumer takes away.
      worker.layer.start_reading(channel);
      for (uint32_t c = 0; c < world.segment().geometry().channels; ++c) worker.layer.start_reading(c);
      while (const auto delivery = worker.layer.try_receive()) take(worker, *delivery);
      worker.layer.stop_reading();
      static_cast<void>(recovery.advance());
    }
    CHECK_FALSE(recovery.busy());
    std::string problem;
    CHECK_MESSAGE(world.segment().verify(problem), problem);
    for (ProcessIndex row = 2 + 2; row < world.segment().geometry().processes; ++row) {
      CAPTURE(row);
      CHECK(world.table().state(row) == ProcessState::kFree);
      CHECK(blocks_waiting_free(world.segment(), row) == blocks_used(world.segment(), row));
    }
  }

  // Every block of the living can still be claimed.
  void check_nothing_lost() {
    for (Member* each : {&worker, &sleeper}) {
      for (uint32_t c = 0; c < kClasses; ++c) {
        CAPTURE(c);
        std::vector<Claim> claims;
        const size_t bytes = kClassBytes[c] - sizeof(PayloadHeader);
        for (uint32_t i = 0; i < small_geometry().worker_blocks[c]; ++i) {
          auto claim = each->layer.claim(bytes);
          REQUIRE(claim.ok());
          CHECK(claim->space().size() == bytes);
          claims.push_back(std::move(*claim));
        }
      }
    }
  }
};

TEST_CASE("a life without death leaves nothing behind") {
  Stage stage;

  CHECK_FALSE(stage.live_and_die(nullptr, 0));

  stage.check_nothing_lost();
}

TEST_CASE("a process may die at every named point, any time it comes there") {
  for (const char* point : kCrashPoints) {
    CAPTURE(std::string(point));
    Stage stage;
    uint32_t killed = 0;
    uint32_t times = 1;
    uint32_t next = 2;
    while (stage.live_and_die(point, times)) {
      CAPTURE(times);
      ++killed;
      times = std::exchange(next, times + next);  // 1, 2, 3, 5, 8, …
    }
    CHECK(killed > 0);  // else the life above never comes there
    stage.check_nothing_lost();
  }
}

// A consumer speaks to a group; a worker that hears it is to die at the chosen point.
struct Hall {
  World world;
  Member master{world, world.join(Role::kMaster)};
  Member worker{world, world.join(Role::kWorker, 0)};
  Member speaker{world, world.join(Role::kConsumer, 1)};
  Recovery recovery{master.layer};
  uint32_t notices = worker.layer.channels().open("group.send").value();

  bool hear_and_die(const char* point, uint32_t times) {
    const ProcessName victim = world.join(Role::kWorker, 1);
    for (int i = 0; i < 4; ++i) {
      Result<Claim> claim = speaker.write("one that two hear");
      REQUIRE(claim.ok());
      REQUIRE(speaker.layer.send_to_group("all", *claim, 17, {notices, {}}).value().pushes == 2);
    }
    // The victim is the last to let go of half of them.
    for (int i = 0; i < 2; ++i) Stage::take(worker, worker.layer.try_receive_from_inbox().value());
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      chosen_point = point;
      times_left = times;
      Member me(world, victim);
      while (const auto delivery = me.layer.try_receive_from_inbox()) Stage::take(me, *delivery);
      _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    recovery.on_death(victim);
    for (int i = 0; i < 2; ++i) Stage::take(worker, worker.layer.try_receive_from_inbox().value());
    for (int turn = 0; turn < 5; ++turn) {
      world.segment().process(worker.layer.me().index)->seen_deaths = world.segment().header().deaths.load();
      static_cast<void>(recovery.advance());
    }
    CHECK_FALSE(recovery.busy());
    std::string problem;
    CHECK_MESSAGE(world.segment().verify(problem), problem);
    for (BlockIndex block = 0; block < world.segment().block_count(); ++block) {
      const Stamp stamp{world.segment().envelope(block)->stamp.load()};
      CHECK(stamp.state() != BlockState::kShared);
    }
    return WIFSIGNALED(status);
  }
};

TEST_CASE("a worker may die at every point where it hears a group, and holds nothing afterwards") {
  for (const char* point : {"pop_taken", "holder_dropped", "share_taken", "push_stamped", "push_published"}) {
    CAPTURE(std::string(point));
    Hall hall;
    uint32_t times = 1;
    while (hall.hear_and_die(point, times)) ++times;
    CHECK(times > 2);
  }
}

}  // namespace
