// tests/unit/shm/ring_test.cc -- who is rung for a message in a channel that several read.
#include "shm/channel_layer.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::World;

struct Bench {
  World world;
  Member worker{world, world.join(Role::kWorker)};
  Member consumer{world, world.join(Role::kConsumer, 1)};
  Member second{world, world.join(Role::kConsumer, 2)};
  uint32_t channel = worker.layer.channels().open("http.request").value();

  Bench() { consumer.layer.start_reading(channel); }
  void both_sleep() {
    second.layer.start_reading(channel);
    for (Member* reader : {&consumer, &second}) {
      reader->layer.wait_on_channels();
      reader->bell.fall_asleep_in_poll();
    }
  }
};

TEST_CASE("one ring wakes one reader of a channel, and each process that got something of its own") {
  Bench b;
  b.both_sleep();

  for (int i = 0; i < 3; ++i) REQUIRE(b.worker.send(b.channel, "x").ok());
  b.worker.layer.ring();
  CHECK(b.worker.bell.rings() == 1);

  b.worker.layer.ring();  // nothing was sent since
  CHECK(b.worker.bell.rings() == 1);

  REQUIRE(b.worker.send_to(b.consumer.layer.me(), "x").ok());
  REQUIRE(b.worker.send_to(b.second.layer.me(), "x").ok());
  b.worker.layer.ring();
  CHECK(b.worker.bell.rings() == 2);  // the one that still sleeps
}

TEST_CASE("a woken reader that leaves messages behind wakes the next") {
  Bench b;
  b.both_sleep();
  for (int i = 0; i < 2; ++i) REQUIRE(b.worker.send(b.channel, "x").ok());
  b.worker.layer.ring();
  const bool first_rung = (b.world.segment().process(b.consumer.layer.me().index)->doorbell.load() & 1) == 0;
  Member& woken = first_rung ? b.consumer : b.second;
  Member& asleep = first_rung ? b.second : b.consumer;

  woken.bell.wake_up();
  woken.layer.stop_waiting();
  REQUIRE(woken.receive());
  woken.layer.pass_on();

  CHECK((b.world.segment().process(asleep.layer.me().index)->doorbell.load() & 1) == 0);
  CHECK(asleep.layer.anything_waiting());
}

TEST_CASE("a rung reader that does not come is not waited for: the next is rung for what lies unread") {
  Bench b;
  b.both_sleep();
  CHECK_FALSE(b.worker.layer.ring_for_unread(b.channel));
  REQUIRE(b.worker.send(b.channel, "x").ok());
  REQUIRE(b.worker.layer.channels_to_ring().size() == 1);
  CHECK(b.worker.layer.channels_to_ring().front() == b.channel);
  b.worker.layer.ring();
  REQUIRE(b.worker.bell.rings() == 1);

  CHECK(b.worker.layer.ring_for_unread(b.channel));
  CHECK(b.worker.bell.rings() == 2);
  CHECK(b.worker.layer.ring_for_unread(b.channel));
  CHECK(b.worker.bell.rings() == 2);  // both are awake by now, if they can be

  REQUIRE(b.second.receive());
  CHECK_FALSE(b.worker.layer.ring_for_unread(b.channel));
}

TEST_CASE("what lies in a channel that nobody sleeps for is nobody's to be rung for") {
  Bench b;
  const Result<Sent> sent = b.worker.send(b.channel, "x");
  REQUIRE(sent.ok());
  b.worker.layer.ring();

  CHECK_FALSE(b.worker.layer.ring_for_unread(b.channel));
  CHECK(b.worker.layer.withdraw(*sent));
  CHECK_FALSE(b.worker.layer.ring_for_unread(b.channel));  // it still stands in its cell

  b.consumer.layer.wait_on_channels();
  CHECK(b.worker.layer.ring_for_unread(b.channel));
}

}  // namespace
