// tests/unit/shm/group_test.cc -- groups: who is a member, one payload for all, who lets go of it.
#include "shm/channel_layer.h"
#include "shm/recovery.h"
#include "tests/support/shm_world.h"  // before doctest: both have a CHECK

#include <doctest/doctest.h>

#include <set>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::blocks_used;
using sluice::tests::Member;
using sluice::tests::World;

using Channels = std::set<uint32_t>;

struct Hall {
  World world;
  Member master{world, world.join(Role::kMaster)};
  Member first{world, world.join(Role::kWorker, 0)};
  Member second{world, world.join(Role::kWorker, 1)};
  Member speaker{world, world.join(Role::kConsumer, 1)};
  Member listener{world, world.join(Role::kConsumer, 2)};
  Recovery recovery{master.layer};
  uint32_t notices = first.layer.channels().open("group.send").value();

  Result<GroupSent> say(std::string_view group, std::string_view bytes) {
    Result<Claim> claim = speaker.write(bytes);
    if (!claim.ok()) return claim.error();
    return speaker.layer.send_to_group(group, *claim, bytes.size(), {notices, {}});
  }
  // What a worker hears of the next notice in its inbox; empty when there is none, or it is over.
  static std::string hear(Member& worker) {
    const std::optional<Delivery> notice = worker.layer.try_receive_from_inbox();
    if (!notice) return {};
    const std::optional<SharedMessage> message = worker.layer.read_shared(*notice);
    if (!message) return {};
    std::string text = Member::text(message->message.content);
    return worker.layer.let_go(*message) ? text : std::string();
  }
  [[nodiscard]] uint64_t pushes() {
    uint64_t tails = 0;
    const Segment& segment = world.segment();
    for (uint32_t row = 0; row < segment.geometry().processes; ++row) tails += segment.inbox(row).depth();
    return tails;
  }
  // A channel of that index, as it is now.
  [[nodiscard]] OpenChannel named(uint32_t channel) {
    return {channel, static_cast<uint32_t>(world.segment().channel(channel)->truth.load() >> 32)};
  }
  [[nodiscard]] Channels members(std::string_view group, uint64_t now) {
    Channels channels;
    listener.layer.groups().for_each_member(group, now, [&](const OpenChannel& channel) {
      CHECK(channels.insert(channel.index).second);
    });
    return channels;
  }
  // Blocks of the speaker's arena that are shared with somebody.
  [[nodiscard]] uint32_t shared() {
    uint32_t count = 0;
    for (BlockIndex block = 0; block < world.segment().block_count(); ++block) {
      const Stamp stamp{world.segment().envelope(block)->stamp.load()};
      if (stamp.state() == BlockState::kShared) ++count;
    }
    return count;
  }
  void check_sound() {
    std::string problem;
    CHECK_MESSAGE(world.segment().verify(problem), problem);
  }
  void die(Member& member) { recovery.on_death(member.layer.me()); }
  void settle() {
    for (int turn = 0; turn < 5; ++turn) {
      for (Member* each : {&first, &second}) {
        world.segment().process(each->layer.me().index)->seen_deaths =
            world.segment().header().deaths.load();
      }
      static_cast<void>(recovery.advance());
    }
  }
};

// ---- plain channels as members ------------------------------------------------------------------

TEST_CASE("a channel is a member of a group once, however often it is added") {
  Hall hall;
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  const uint32_t b = hall.listener.layer.channels().open("b").value();

  CHECK(hall.speaker.layer.groups().add("news", hall.named(a), now_ms() + 1000).ok());
  CHECK(hall.listener.layer.groups().add("news", hall.named(a), now_ms() + 2000).ok());
  CHECK(hall.listener.layer.groups().add("news", hall.named(b), now_ms() + 1000).ok());
  CHECK(hall.speaker.layer.groups().add("other", hall.named(b), now_ms() + 1000).ok());

  CHECK(hall.members("news", now_ms()) == Channels{a, b});
  CHECK(hall.members("other", now_ms()) == Channels{b});
  CHECK(hall.members("none", now_ms()).empty());
}

TEST_CASE("discarding ends a membership, and says nothing where there was none") {
  Hall hall;
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  CHECK(hall.speaker.layer.groups().add("news", hall.named(a), now_ms() + 1000).ok());

  hall.listener.layer.groups().discard("news", a);
  hall.listener.layer.groups().discard("news", a);
  hall.listener.layer.groups().discard("none", a);

  CHECK(hall.members("news", now_ms()).empty());
}

TEST_CASE("a membership ends with its time, never before, and adding again renews it") {
  Hall hall;
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  const uint64_t start = now_ms();

  CHECK(hall.speaker.layer.groups().add("news", hall.named(a), start + 5000).ok());

  CHECK(hall.members("news", start + 4999) == Channels{a});
  CHECK(hall.members("news", start + 5100).empty());
  CHECK(hall.speaker.layer.groups().add("news", hall.named(a), start + 9000).ok());
  CHECK(hall.members("news", start + 5100) == Channels{a});
}

TEST_CASE("what is no group's name, and what is no channel, is refused") {
  Hall hall;
  GroupTable& groups = hall.speaker.layer.groups();
  const uint32_t a = hall.speaker.layer.channels().open("a").value();

  for (const char* name : {"", "a!b", "a?b", "a b", "\n"}) {
    CAPTURE(name);
    CHECK(groups.add(name, hall.named(a), now_ms() + 1000).error() == Error::kChannelNameInvalid);
    CHECK(hall.say(name, "x").error() == Error::kChannelNameInvalid);
  }
  CHECK(groups.add("news", hall.named(15), now_ms() + 1000).error() == Error::kChannelNameInvalid);
  CHECK(groups.add("news", {1u << 20, 1}, now_ms() + 1000).error() == Error::kChannelNameInvalid);
}

TEST_CASE("the table of groups is bounded, and a full one refuses only new names") {
  Hall hall;
  GroupTable& groups = hall.speaker.layer.groups();
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  for (int i = 0; i < 4; ++i) CHECK(groups.add("g" + std::to_string(i), hall.named(a), now_ms() + 1000).ok());

  CHECK(groups.add("g4", hall.named(a), now_ms() + 1000).error() == Error::kChannelTableFull);
  CHECK(groups.add("g3", hall.named(a), now_ms() + 1000).ok());
}

TEST_CASE("a group's record whose maker died is used again, and names behind it are still found") {
  Hall hall;
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  for (int i = 0; i < 3; ++i) {
    CHECK(hall.listener.layer.groups().add("g" + std::to_string(i), hall.named(a), now_ms() + 1000).ok());
  }
  for (uint32_t i = 0; i < 4; ++i) {  // as if it had died between owning and showing
    GroupRecord& record = *hall.world.segment().group(i);
    if (record.truth == 0) {
      record.truth = uint64_t{1} << 32 | uint64_t{hall.speaker.layer.me().index} << 16 | 1;
    }
  }
  CHECK(hall.listener.layer.groups().add("late", hall.named(a), now_ms() + 1000).error() ==
        Error::kChannelTableFull);

  hall.die(hall.speaker);

  CHECK(hall.listener.layer.groups().add("late", hall.named(a), now_ms() + 1000).ok());
  for (const char* name : {"g0", "g1", "g2", "late"}) CHECK(hall.members(name, now_ms()) == Channels{a});
}

TEST_CASE("each plain channel that is a member gets a copy, and a full one is skipped and counted") {
  Hall hall;
  const uint32_t a = hall.listener.layer.channels().open("a").value();
  const uint32_t b = hall.listener.layer.channels().open("b").value();
  for (const uint32_t channel : {a, b}) {
    CHECK(hall.speaker.layer.groups().add("news", hall.named(channel), now_ms() + 10000).ok());
  }
  while (hall.speaker.send(b, "filling").ok()) {
  }

  const GroupSent sent = hall.say("news", "hello").value();

  CHECK(sent.channels == 1);
  CHECK(sent.channels_full == 1);
  hall.listener.layer.start_reading(a);
  CHECK(hall.listener.receive() == "hello");
  CHECK(hall.listener.receive() == std::nullopt);
}

// ---- one payload --------------------------------------------------------------------------------

TEST_CASE("a group send stores its payload once and pushes once for each worker") {
  Hall hall;
  const uint64_t before = hall.pushes();

  const GroupSent sent = hall.say("news", std::string(3000, 'x')).value();

  CHECK(sent.pushes == 2);
  CHECK(hall.pushes() - before == 2);
  CHECK(hall.shared() == 1);
  hall.check_sound();
  CHECK(Hall::hear(hall.first) == std::string(3000, 'x'));
  CHECK(hall.shared() == 1);
  CHECK(Hall::hear(hall.second) == std::string(3000, 'x'));
  CHECK(hall.shared() == 0);
  hall.check_sound();
}

TEST_CASE("a message longer than the largest block is shared like any other") {
  Hall hall;
  const std::string long_text(3u << 20, 'y');

  CHECK(hall.say("news", long_text).value().pushes == 2);

  CHECK(Hall::hear(hall.first) == long_text);
  CHECK(Hall::hear(hall.second) == long_text);
  CHECK(hall.shared() == 0);
  hall.check_sound();
}

TEST_CASE("a payload nobody holds any more is claimed again: thousands of sends need few blocks") {
  Hall hall;
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(hall.say("news", std::string(100, 'x')).ok());
    CHECK(Hall::hear(hall.first).size() == 100);
    CHECK(Hall::hear(hall.second).size() == 100);
  }

  CHECK(blocks_used(hall.world.segment(), hall.speaker.layer.me().index) <= 256);
  hall.check_sound();
}

TEST_CASE("a worker whose inbox is full is skipped, counted, and holds nothing") {
  Hall hall;
  while (hall.speaker.send_to(hall.first.layer.me(), "filling").ok()) {
  }

  const GroupSent sent = hall.say("news", "hello").value();

  CHECK(sent.pushes == 1);
  CHECK(sent.workers_full == 1);
  CHECK(Hall::hear(hall.second) == "hello");
  CHECK(hall.shared() == 0);
  while (hall.first.receive()) {
  }
  hall.check_sound();
}

TEST_CASE("where no worker lives, a group send is heard by nobody and keeps nothing") {
  Hall hall;
  hall.die(hall.first);
  hall.die(hall.second);

  const GroupSent sent = hall.say("news", "hello").value();

  CHECK(sent.pushes == 0);
  CHECK(hall.shared() == 0);
}

TEST_CASE("letting go twice, and of what is over, harms nobody") {
  Hall hall;
  REQUIRE(hall.say("news", "hello").ok());
  const std::optional<Delivery> notice = hall.first.layer.try_receive_from_inbox();
  REQUIRE(notice);
  const std::optional<SharedMessage> message = hall.first.layer.read_shared(*notice);
  REQUIRE(message);

  CHECK(hall.first.layer.let_go(*message));
  CHECK_FALSE(hall.first.layer.let_go(*message));
  CHECK_FALSE(hall.first.layer.read_shared(*notice));
  CHECK(Hall::hear(hall.second) == "hello");
  CHECK_FALSE(hall.first.layer.let_go(*message));

  CHECK(hall.shared() == 0);
  hall.check_sound();
}

TEST_CASE("a notice that names what is not its sender's, not shared, or another message, is nothing") {
  Hall hall;
  const Sent plain = hall.speaker.send_to(hall.second.layer.me(), "plain").value();
  REQUIRE(hall.say("news", "hello").ok());
  BlockIndex payload = kNoBlock;
  for (BlockIndex block = 0; block < hall.world.segment().block_count(); ++block) {
    const Stamp stamp{hall.world.segment().envelope(block)->stamp.load()};
    if (stamp.state() == BlockState::kShared) payload = block;
  }
  REQUIRE(hall.first.layer.try_receive_from_inbox());  // the true notice, dropped
  const Route wrong[] = {{.answered_block = kNoBlock, .answered_generation = 1},
                         {.answered_block = 1u << 31, .answered_generation = 1},
                         {.answered_block = plain.block, .answered_generation = plain.payload_generation},
                         {.answered_block = payload, .answered_generation = 1u << 30}};
  for (const Route& route : wrong) REQUIRE(hall.speaker.send_to(hall.first.layer.me(), "n", route).ok());
  REQUIRE(hall.listener.send_to(hall.first.layer.me(), "n", {.answered_block = payload}).ok());

  for (int i = 0; i < 5; ++i) {
    const std::optional<Delivery> notice = hall.first.layer.try_receive_from_inbox();
    REQUIRE(notice);
    CHECK_FALSE(hall.first.layer.read_shared(*notice));
  }
}

// ---- deaths -------------------------------------------------------------------------------------

TEST_CASE("a worker that dies with a notice unread, or in hand, holds the payload no longer") {
  for (const bool in_hand : {false, true}) {
    CAPTURE(in_hand);
    Hall hall;
    REQUIRE(hall.say("news", "hello").ok());
    std::optional<Delivery> notice;
    if (in_hand) notice = hall.first.layer.try_receive_from_inbox();

    hall.die(hall.first);

    if (notice) static_cast<void>(notice->keep());
    CHECK(Hall::hear(hall.second) == "hello");
    CHECK(hall.shared() == 0);
    hall.settle();
    CHECK_FALSE(hall.recovery.busy());
    hall.check_sound();
  }
}

TEST_CASE("what a dead sender told workers of is heard; of what it did not, nobody is waited for") {
  Hall hall;
  REQUIRE(hall.say("news", "heard by both").ok());
  REQUIRE(hall.say("news", "heard by one").ok());
  CHECK(Hall::hear(hall.first) == "heard by both");
  // As if it had died before it told the first worker of the second message.
  REQUIRE(hall.first.layer.try_receive_from_inbox());

  hall.die(hall.speaker);

  CHECK(Hall::hear(hall.second) == "heard by both");
  CHECK(hall.shared() == 1);
  hall.settle();
  CHECK(hall.recovery.busy());  // the second worker is still to read it
  CHECK(Hall::hear(hall.second) == "heard by one");
  CHECK(hall.shared() == 0);
  hall.settle();
  CHECK_FALSE(hall.recovery.busy());
  hall.check_sound();
}

TEST_CASE("sender and worker dead, in either order, leave no shared payload behind") {
  for (const bool sender_first : {false, true}) {
    CAPTURE(sender_first);
    Hall hall;
    REQUIRE(hall.say("news", "hello").ok());
    CHECK(Hall::hear(hall.first) == "hello");

    hall.die(sender_first ? hall.speaker : hall.second);
    hall.die(sender_first ? hall.second : hall.speaker);

    hall.settle();
    CHECK(hall.shared() == 0);
    CHECK_FALSE(hall.recovery.busy());
    hall.check_sound();
  }
}

TEST_CASE("verify names a shared payload that nobody, or nobody living, holds") {
  Hall hall;
  REQUIRE(hall.say("news", "hello").ok());
  std::string problem;
  REQUIRE(hall.world.segment().verify(problem));

  hall.world.table().set_dead(hall.first.layer.me());
  CHECK_FALSE(hall.world.segment().verify(problem));
  CHECK(problem.ends_with("is shared with nobody living"));

  problem.clear();
  for (BlockIndex block = 0; block < hall.world.segment().block_count(); ++block) {
    Envelope& envelope = *hall.world.segment().envelope(block);
    if (Stamp{envelope.stamp.load()}.state() == BlockState::kShared) envelope.holders[0] = 0;
  }
  CHECK_FALSE(hall.world.segment().verify(problem));
  CHECK(problem.ends_with("is shared with nobody"));
}

TEST_CASE("a channel with ! is a member until it ends, and its copy comes to its maker's inbox") {
  Hall hall;
  ChannelTable& channels = hall.listener.layer.channels();
  const ProcessName maker = hall.listener.layer.me();
  const OpenChannel mine = channels.make_inbox_channel("mine!x", maker).value();
  CHECK(hall.speaker.layer.groups().add("news", mine, now_ms() + 10'000).ok());

  CHECK(hall.say("news", "heard")->channels == 1);
  const std::optional<Delivery> heard = hall.listener.layer.try_receive_from_inbox();
  REQUIRE(heard);
  CHECK(Member::text(*heard) == "heard");
  CHECK(heard->header().channel == mine.index);

  channels.end_inbox_channel(mine, maker);
  const GroupSent later = hall.say("news", "not heard").value();
  CHECK(later.channels == 0);
  CHECK(later.channels_full == 0);
}

TEST_CASE("a channel whose record is another's by now is no member") {
  Hall hall;
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  OpenChannel earlier = hall.named(a);
  --earlier.generation;

  CHECK(hall.speaker.layer.groups().add("news", earlier, now_ms() + 10'000).error() ==
        Error::kChannelNameInvalid);
  earlier.generation += 2;
  CHECK(hall.speaker.layer.groups().add("news", earlier, now_ms() + 10'000).ok());

  CHECK(hall.members("news", now_ms()).empty());
}

TEST_CASE("clearing ends every membership, and groups can be used as before") {
  Hall hall;
  const uint32_t a = hall.speaker.layer.channels().open("a").value();
  CHECK(hall.speaker.layer.groups().add("news", hall.named(a), now_ms() + 10'000).ok());
  CHECK(hall.speaker.layer.groups().add("more", hall.named(a), now_ms() + 10'000).ok());

  hall.listener.layer.groups().clear();

  CHECK(hall.members("news", now_ms()).empty());
  CHECK(hall.members("more", now_ms()).empty());
  CHECK(hall.speaker.layer.groups().add("news", hall.named(a), now_ms() + 10'000).ok());
  CHECK(hall.members("news", now_ms()) == Channels{a});
}

}  // namespace
