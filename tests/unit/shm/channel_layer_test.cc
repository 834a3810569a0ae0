// tests/unit/shm/channel_layer_test.cc -- what is sent is received: once, whole, in order, or counted.
#include "shm/channel_layer.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>

#include <set>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::World;

std::string pattern(size_t length) {
  std::string bytes(length, '\0');
  uint32_t state = 12345;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

struct Bench {
  World world;
  Member worker{world, world.join(Role::kWorker)};
  Member consumer{world, world.join(Role::kConsumer, 1)};
  Member second{world, world.join(Role::kConsumer, 2)};
  uint32_t channel = worker.layer.channels().open("http.request").value();

  Bench() { consumer.layer.start_reading(channel); }
  void check_sound() {
    std::string problem;
    CHECK_MESSAGE(world.segment().verify(problem), problem);
  }
};

TEST_CASE("a message of any length arrives as it was sent") {
  Bench b;
  constexpr size_t kMiB = 1 << 20;
  for (const size_t length :
       {size_t{0}, size_t{1}, size_t{447}, size_t{448}, size_t{449}, size_t{4096}, size_t{65536},
        kMiB - 65, kMiB - 64, kMiB - 63, kMiB - 1, kMiB, kMiB + 1, 2 * kMiB, 16 * kMiB,
        kLargestMessageBytes}) {
    CAPTURE(length);
    const std::string sent = pattern(length);

    REQUIRE(b.worker.send(b.channel, sent).ok());

    const auto received = b.consumer.receive();
    REQUIRE(received);
    CHECK((*received == sent));
    CHECK_FALSE(b.consumer.receive());
  }
  CHECK(b.worker.layer.claim(kLargestMessageBytes + 1).error() == Error::kMessageTooLarge);
  b.check_sound();
}

TEST_CASE("the largest message fits in an inbox") {
  Bench b;
  const std::string sent = pattern(kLargestMessageBytes);

  REQUIRE(b.worker.send_to(b.consumer.layer.me(), sent).ok());

  const auto received = b.consumer.receive();
  REQUIRE(received);
  CHECK((*received == sent));
  b.check_sound();
}

TEST_CASE("chains give their blocks back: the largest message goes through again and again") {
  Bench b;
  const std::string sent = pattern(16 << 20);

  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    REQUIRE(b.worker.send(b.channel, sent).ok());
    CHECK(b.consumer.layer.try_receive().has_value());
  }
  for (int i = 0; i < 5; ++i) {
    auto claim = b.worker.layer.claim(sent.size());
    REQUIRE(claim.ok());  // abandoned
  }
  b.check_sound();
}

TEST_CASE("messages of one channel come in the order they were sent") {
  Bench b;
  for (int i = 0; i < 50; ++i) REQUIRE(b.worker.send(b.channel, std::to_string(i)).ok());

  for (int i = 0; i < 50; ++i) CHECK(b.consumer.receive() == std::to_string(i));
  CHECK_FALSE(b.consumer.receive());
}

TEST_CASE("a message reaches exactly one of the channel's readers") {
  Bench b;
  b.second.layer.start_reading(b.channel);
  for (int i = 0; i < 40; ++i) REQUIRE(b.worker.send(b.channel, std::to_string(i)).ok());

  std::multiset<std::string> seen;
  for (int i = 0; i < 40; ++i) seen.insert((i % 3 == 0 ? b.second : b.consumer).receive().value());

  CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == 40);
  CHECK_FALSE(b.second.receive());
}

TEST_CASE("a full channel refuses, the message stays the sender's, and one taken makes room for one") {
  Bench b;
  const uint32_t capacity = b.world.segment().geometry().channel_cells;
  for (uint32_t i = 0; i < capacity; ++i) REQUIRE(b.worker.send(b.channel, "x").ok());

  auto claim = b.worker.write("last");
  CHECK(b.worker.layer.send(b.channel, *claim, 4, {}).error() == Error::kChannelFull);
  CHECK(static_cast<bool>(*claim));
  CHECK(count_of(b.world.segment().channel(b.channel)->counts, ChannelCount::kFull).load() == 1);
  CHECK(b.consumer.receive() == "x");
  CHECK(b.worker.layer.send(b.channel, *claim, 4, {}).ok());
  CHECK_FALSE(static_cast<bool>(*claim));
  CHECK(b.worker.send(b.channel, "no").error() == Error::kChannelFull);
  b.check_sound();
}

TEST_CASE("a channel's capacity may be smaller than its cells") {
  Bench b;
  b.world.segment().channel(b.channel)->capacity = 3;
  for (int i = 0; i < 3; ++i) REQUIRE(b.worker.send(b.channel, "x").ok());

  CHECK(b.worker.send(b.channel, "x").error() == Error::kChannelFull);
}

TEST_CASE("a channel is full of bytes, too, and an empty one forgets a wrong count") {
  Bench b;
  const std::string big = pattern(6 << 20);
  REQUIRE(b.worker.send(b.channel, big).ok());
  REQUIRE(b.worker.send(b.channel, big).ok());

  CHECK(b.worker.send(b.channel, big).error() == Error::kChannelFull);
  CHECK(b.consumer.receive());
  CHECK(b.consumer.receive());
  b.world.segment().channel(b.channel)->bytes_queued = ~0ull - 7;  // a death left it wrong
  CHECK(b.worker.send(b.channel, "small").ok());
  CHECK(b.consumer.receive() == "small");
}

TEST_CASE("a full inbox refuses, and one of another incarnation is gone") {
  Bench b;
  const ProcessName reader = b.consumer.layer.me();
  for (uint32_t i = 0; i < b.world.segment().geometry().inbox_cells; ++i) {
    REQUIRE(b.worker.send_to(reader, "x").ok());
  }

  CHECK(b.worker.send_to(reader, "x").error() == Error::kChannelFull);
  CHECK(b.worker.send_to({reader.index, reader.incarnation + 1}, "x").error() == Error::kReaderGone);
  CHECK(b.worker.send_to({999, 1}, "x").error() == Error::kReaderGone);
  b.world.table().set_dead(reader);
  CHECK(b.worker.send_to(reader, "x").error() == Error::kReaderGone);
}

TEST_CASE("a sender out of blocks is told, and goes on when its messages were read") {
  Bench b;
  const std::string big = pattern(60'000);
  uint32_t sent = 0;
  while (b.worker.send(b.channel, big).ok()) ++sent;

  CHECK(sent >= 16);
  auto claim = b.worker.layer.claim(big.size());
  CHECK(claim.error() == Error::kOutOfBlocks);
  CHECK(b.worker.layer.claim(10).ok());  // other classes have theirs
  CHECK(b.consumer.receive());
  CHECK(b.worker.send(b.channel, big).ok());
  b.check_sound();
}

TEST_CASE("what the header says comes with the message") {
  Bench b;
  Route route{};
  route.about = {2, 3, 4, 5, 6};
  route.answered_block = 77;
  route.answered_generation = 1;  // the channel's: its record was never another's

  const auto sent = b.worker.send(b.channel, "x", route);
  const auto delivery = b.consumer.layer.try_receive();

  REQUIRE(delivery);
  CHECK(delivery->about() == route.about);
  CHECK(delivery->header().channel == b.channel);
  CHECK(delivery->header().sender == b.worker.layer.me().index);
  CHECK(delivery->header().answered_block == 77);
  CHECK(delivery->header().answered_generation == 1);
  CHECK(delivery->header().generation == sent->payload_generation);
  CHECK(delivery->block() == sent->block);
  CHECK(delivery->returned() == Returned::kNo);
}

TEST_CASE("a message past its deadline is dropped and counted, the next one delivered") {
  Bench b;
  Route past{};
  past.expires_ms = 1;
  Route later{};
  later.expires_ms = now_ms() + 60'000;
  REQUIRE(b.worker.send(b.channel, "old", past).ok());
  REQUIRE(b.worker.send(b.channel, "new", later).ok());
  b.world.segment().channel(b.channel)->expiry_ms = 0;
  REQUIRE(b.worker.send(b.channel, "at once").ok());
  const uint64_t at_once = now_ms() + kTickMs;

  CHECK(b.consumer.receive() == "new");
  while (!is_over(at_once)) {
  }
  CHECK_FALSE(b.consumer.receive());
  CHECK(b.consumer.layer.drops().expired == 2);
  CHECK(count_of(b.world.segment().channel(b.channel)->counts, ChannelCount::kExpired).load() == 2);
  b.check_sound();
}

TEST_CASE("an inbox message without a deadline never expires") {
  Bench b;

  REQUIRE(b.worker.send_to(b.consumer.layer.me(), "x").ok());

  const auto delivery = b.consumer.layer.try_receive();
  REQUIRE(delivery);
  CHECK(delivery->header().expires_ms == 0);
}

TEST_CASE("its sender sees a message unread, then taken and by whom, then over") {
  Bench b;
  const Sent sent = b.worker.send(b.channel, "x").value();
  ProcessIndex taker = kNobody;
  CHECK(b.worker.layer.progress(sent, taker) == Progress::kUnread);

  auto delivery = b.consumer.layer.try_receive();
  CHECK(b.worker.layer.progress(sent, taker) == Progress::kTaken);
  CHECK(taker == b.consumer.layer.me().index);

  delivery->release();
  CHECK(b.worker.layer.progress(sent, taker) == Progress::kOver);
  CHECK_FALSE(b.worker.layer.withdraw(sent));
}

TEST_CASE("a message kept by its reader stays taken until it is freed") {
  Bench b;
  const Sent sent = b.worker.send(b.channel, "x").value();
  ProcessIndex taker = kNobody;
  const BlockIndex kept = b.consumer.layer.try_receive()->keep();

  CHECK(b.worker.layer.progress(sent, taker) == Progress::kTaken);
  b.consumer.layer.free_block(kept);
  CHECK(b.worker.layer.progress(sent, taker) == Progress::kOver);
  b.check_sound();
}

TEST_CASE("a withdrawn message is not delivered, and counted") {
  Bench b;
  const Sent first = b.worker.send(b.channel, "first").value();
  REQUIRE(b.worker.send(b.channel, "second").ok());
  ProcessIndex taker = kNobody;

  CHECK(b.worker.layer.withdraw(first));
  CHECK_FALSE(b.worker.layer.withdraw(first));
  CHECK(b.worker.layer.progress(first, taker) == Progress::kOver);
  CHECK(b.consumer.receive() == "second");
  CHECK_FALSE(b.consumer.receive());
  CHECK(b.consumer.layer.drops().withdrawn == 1);
  b.check_sound();
}

TEST_CASE("a full channel whose head was withdrawn takes the next message, which can be followed") {
  Bench b;
  const Sent first = b.worker.send(b.channel, "first").value();
  for (uint32_t i = 1; i < b.world.segment().geometry().channel_cells; ++i) {
    REQUIRE(b.worker.send(b.channel, "x").ok());
  }
  REQUIRE(b.worker.layer.withdraw(first));
  ProcessIndex taker = kNobody;

  const auto sent = b.worker.send(b.channel, "last");

  REQUIRE(sent.ok());
  CHECK(b.worker.layer.progress(*sent, taker) == Progress::kUnread);
  CHECK(b.worker.layer.withdraw(*sent));
  b.check_sound();
}

TEST_CASE("a reader takes from its inbox and its channels in turn") {
  Bench b;
  const uint32_t other = b.worker.layer.channels().open("websocket.connect").value();
  b.consumer.layer.start_reading(other);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(b.worker.send(b.channel, "request").ok());
    REQUIRE(b.worker.send(other, "connect").ok());
    REQUIRE(b.worker.send_to(b.consumer.layer.me(), "inbox").ok());
  }

  for (int i = 0; i < 10; ++i) {
    std::set<std::string> round;
    for (int j = 0; j < 3; ++j) round.insert(b.consumer.receive().value());
    CHECK(round.size() == 3);
  }
}

TEST_CASE("a channel has a reader from start_reading to stop_reading") {
  Bench b;
  CHECK(b.worker.layer.has_reader(b.channel));
  const uint32_t other = b.worker.layer.channels().open("websocket.connect").value();
  CHECK_FALSE(b.worker.layer.has_reader(other));

  b.consumer.layer.stop_reading();

  CHECK_FALSE(b.worker.layer.has_reader(b.channel));
  REQUIRE(b.worker.send(b.channel, "x").ok());
  CHECK_FALSE(b.consumer.receive());
}

struct Replying : Bench {
  ConnectionSlots slots{world.segment(), worker.layer.me()};
  ConnectionSlots::Opened opened = slots.open().value();
  ReplyAddress about{worker.layer.me().index, worker.layer.me().incarnation, opened.slot,
                     opened.generation, 1};

  std::optional<std::string> next_reply() {
    const auto delivery = worker.layer.try_receive_reply(opened.slot);
    if (!delivery) return std::nullopt;
    return Member::text(*delivery);
  }
};

TEST_CASE_FIXTURE(Replying, "replies come back to the connection, in order, with its ready bit set") {
  CHECK_FALSE(slots.any_ready());

  REQUIRE(consumer.reply(about, "one").ok());
  REQUIRE(consumer.reply(about, "two").ok());

  CHECK(slots.any_ready());
  CHECK(slots.next_ready() == opened.slot);
  CHECK_FALSE(slots.next_ready());
  CHECK(next_reply() == "one");
  CHECK(next_reply() == "two");
  CHECK_FALSE(next_reply());
  check_sound();
}

TEST_CASE_FIXTURE(Replying, "a reply for another generation, incarnation or worker is refused") {
  const auto refused = [&](auto change) {
    ReplyAddress wrong = about;
    change(wrong);
    const auto outcome = consumer.reply(wrong, "x");
    return !outcome.ok() && outcome.error() == Error::kConnectionGone;
  };

  CHECK(refused([](ReplyAddress& a) { ++a.generation; }));
  CHECK(refused([](ReplyAddress& a) { ++a.incarnation; }));
  CHECK(refused([](ReplyAddress& a) { a.worker = 3; }));
  CHECK(refused([](ReplyAddress& a) { a.worker = 999; }));
  CHECK(refused([](ReplyAddress& a) { a.worker = 0; }));
  CHECK(refused([](ReplyAddress& a) { a.slot = 1; }));
  CHECK(refused([](ReplyAddress& a) { a.slot = 1u << 31; }));
  slots.close(opened.slot);
  CHECK(refused([](ReplyAddress&) {}));
  const auto again = slots.open().value();
  CHECK(again.slot == opened.slot);
  CHECK(again.generation == opened.generation + 1);
  CHECK(refused([](ReplyAddress&) {}));
  CHECK_FALSE(slots.any_ready());
  check_sound();
}

TEST_CASE_FIXTURE(Replying, "a full reply ring refuses, and the worker learns who waits for room") {
  for (uint32_t i = 0; i < kReplyCells; ++i) REQUIRE(consumer.reply(about, "x").ok());

  CHECK(consumer.reply(about, "x").error() == Error::kChannelFull);
  CHECK(slots.take_waiter(opened.slot) == consumer.layer.me().index);
  CHECK(slots.take_waiter(opened.slot) == kNobody);
  CHECK(next_reply() == "x");
  CHECK(consumer.reply(about, "x").ok());
}

TEST_CASE_FIXTURE(Replying, "a slow client's senders are refused until it has caught up") {
  slots.set_high_water(opened.slot, true);
  CHECK(consumer.reply(about, "x").error() == Error::kChannelFull);
  CHECK(slots.take_waiter(opened.slot) == consumer.layer.me().index);

  slots.set_high_water(opened.slot, false);
  CHECK(consumer.reply(about, "x").ok());
}

TEST_CASE("a message whose arena cannot be had is dropped and counted") {
  Bench b;
  b.consumer.source.silent = true;
  REQUIRE(b.worker.send(b.channel, "lost").ok());

  CHECK_FALSE(b.consumer.receive());
  CHECK(b.consumer.layer.drops().unmapped == 1);
  b.consumer.source.silent = false;
  REQUIRE(b.worker.send(b.channel, "found").ok());
  CHECK(b.consumer.receive() == "found");
  b.check_sound();
}

TEST_CASE("a length beyond the block, a link that is none: dropped and counted, never read") {
  Bench b;
  const auto scribble = [&](uint32_t length, BlockIndex next) {
    const Sent sent = b.worker.send(b.channel, "x").value();
    auto bytes = b.worker.arenas.own(sent.block);
    std::memcpy(bytes.data() + offsetof(PayloadHeader, length), &length, sizeof length);
    b.world.segment().envelope(sent.block)->next = next;
  };
  for (const uint32_t length : {449u, 1u << 20, 16u << 20, 17u << 20, 0xffffffffu}) {
    for (const BlockIndex next : {0u, 1u, 2u, 0x7fffffffu, 0xffffffffu}) {
      CAPTURE(length);
      CAPTURE(next);
      const uint64_t before = b.consumer.layer.drops().corrupt;
      scribble(length, next);
      CHECK_FALSE(b.consumer.receive());
      CHECK(b.consumer.layer.drops().corrupt == before + 1);
    }
  }
  REQUIRE(b.worker.send(b.channel, "whole").ok());
  CHECK(b.consumer.receive() == "whole");
}

TEST_CASE("a chain that bites its own tail ends") {
  Bench b;
  const Sent sent = b.worker.send(b.channel, pattern(3 << 20)).value();
  const BlockIndex first = b.world.segment().envelope(sent.block)->next.load() - 1;
  b.world.segment().envelope(first)->next = first + 1;

  static_cast<void>(b.consumer.receive());

  CHECK_FALSE(b.consumer.receive());
}

}  // namespace
