// tests/unit/consumer/group_test.cc -- groups through a real consumer, its worker's side driven by hand.
#include "consumer/consumer.h"

#include <algorithm>
#include <thread>

#include "protocol/group.h"
#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace sluice;
using sluice::tests::FakeGateway;

namespace {

struct Told {
  std::string channel;
  std::string group;
  ReplyAddress about{};
  int64_t request = 0;
  shm::ProcessName asker{};
  std::string content;  // of the payload a notice names
};

// The next message in the worker's inbox.
Told hear(FakeGateway& gateway) {
  const auto delivery = gateway.worker().try_receive();
  REQUIRE(delivery);
  const auto fields = MessageView::parse(delivery->content());
  REQUIRE(fields.ok());
  Told told;
  told.channel = gateway.worker().channels().name_of(delivery->header().channel);
  const bool lists = told.channel == "group.list";
  CHECK_FALSE(check(*fields, lists ? std::span<const Field>(kGroupList) : kGroupChange));
  told.group = fields->text("group");
  told.about = delivery->about();
  told.request = fields->integer("request");
  told.asker = {delivery->header().sender, static_cast<uint32_t>(fields->integer("incarnation"))};
  if (const auto shared = gateway.worker().read_shared(*delivery)) {
    const MessageView payload = MessageView::parse(shared->message.content).value();
    if (payload.has("content")) CHECK_FALSE(check(payload, kGroupMessage));
    told.content = payload.text("content");
    CHECK(gateway.worker().let_go(*shared));
  }
  return told;
}

void answer(FakeGateway& gateway, const Told& question, std::initializer_list<std::string_view> names,
            bool more = false) {
  auto claim = gateway.worker().claim(1000);
  REQUIRE(claim.ok());
  Encoder encoder(claim->space());
  encoder.begin_map().key("group").text(question.group).key("request").integer(question.request);
  encoder.key("members").begin_list();
  for (const std::string_view name : names) encoder.text(name);
  encoder.end_list().key("more_content").boolean(more).end_map();
  const uint32_t channel = gateway.worker().channels().open("group.list").value();
  REQUIRE(gateway.worker()
              .send_to(question.asker, *claim, encoder.finish()->size(), {.channel = channel})
              .ok());
  gateway.worker().ring();
}

Consumer attach(FakeGateway& gateway) {
  auto consumer = Consumer::attach(gateway.path(), std::initializer_list<std::string_view>{});
  REQUIRE(consumer.ok());
  return std::move(*consumer);
}

}  // namespace

TEST_CASE("a connection's worker is told what a consumer adds, sends and discards, in that order") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  const ReplyAddress socket = gateway.open_connection(0);
  const ReplyChannelName name = ReplyChannelName::websocket_send(socket);

  CHECK(consumer.group_add("chat", name.view()).ok());
  const auto sent = consumer.group_send("chat", {{"content", "hello"}});
  CHECK(consumer.group_discard("chat", socket).ok());

  REQUIRE(sent.ok());
  CHECK(sent->pushes == 1);
  CHECK(sent->workers_full == 0);
  const Told added = hear(gateway);
  CHECK(added.channel == "group.add");
  CHECK(added.group == "chat");
  CHECK(added.about == socket);
  const Told said = hear(gateway);
  CHECK(said.channel == "group.send");
  CHECK(said.content == "hello");
  const Told discarded = hear(gateway);
  CHECK(discarded.channel == "group.discard");
  CHECK(discarded.about == socket);
}

TEST_CASE("what cannot be a member, or a group, is refused; a connection that is gone is said to be") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  const ReplyAddress socket = gateway.open_connection(0);

  CHECK(consumer.group_add("no spaces", socket).error() == Error::kChannelNameInvalid);
  CHECK(consumer.group_add("a!b", socket).error() == Error::kChannelNameInvalid);
  CHECK(consumer.group_add("chat", "no spaces").error() == Error::kChannelNameInvalid);
  CHECK(consumer.group_send("a?b", {{"content", "x"}}).error() == Error::kChannelNameInvalid);
  CHECK(consumer.group_members("").error() == Error::kChannelNameInvalid);
  ReplyAddress request = socket;
  request.ordinal = 1;
  CHECK(consumer.group_add("chat", request).error() == Error::kChannelNameInvalid);
  gateway.slots().close(socket.slot);
  CHECK(consumer.group_add("chat", socket).error() == Error::kConnectionGone);
  CHECK(consumer.group_discard("chat", socket).ok());
}

TEST_CASE("a plain channel that is a member gets its own copy, once, until it is discarded") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  REQUIRE(consumer.read("mine").ok());
  CHECK(consumer.group_add("chat", "mine").ok());
  CHECK(consumer.group_add("chat", "mine").ok());

  const auto sent = consumer.group_send("chat", {{"any", "map"}});
  REQUIRE(sent.ok());
  CHECK(sent->channels == 1);
  CHECK(sent->pushes == 1);
  auto message = consumer.receive(5s);
  REQUIRE(message.ok());
  CHECK(message->channel() == "mine");
  CHECK(message->fields().text("any") == "map");
  CHECK(consumer.group_discard("chat", "mine").ok());
  CHECK(consumer.group_send("chat", {{"any", "map"}})->channels == 0);
  CHECK(consumer.try_receive().error() == Error::kTimedOut);
}

TEST_CASE("the members of a group are what all workers answer, and the plain channels") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  CHECK(consumer.group_add("chat", "mine").ok());
  std::thread worker([&] {
    while (!gateway.worker().anything_waiting()) std::this_thread::yield();
    const Told question = hear(gateway);
    CHECK(question.channel == "group.list");
    CHECK(question.group == "chat");
    answer(gateway, question, {"a", "b"}, true);
    answer(gateway, question, {"c"});
  });

  auto members = consumer.group_members("chat", 10s);
  worker.join();

  REQUIRE(members.ok());
  std::sort(members->begin(), members->end());
  CHECK(*members == std::vector<std::string>{"a", "b", "c", "mine"});
}

TEST_CASE("messages that come in while the members are asked for are there afterwards, in order") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  const ReplyAddress socket = gateway.open_connection(0);
  std::thread worker([&] {
    while (!gateway.worker().anything_waiting()) std::this_thread::yield();
    const Told question = hear(gateway);
    gateway.send_to(1, "websocket.receive", socket, {{"content", "first"}});
    gateway.send_to(1, "websocket.receive", socket, {{"content", "second"}});
    answer(gateway, question, {});
  });

  const auto members = consumer.group_members("chat", 10s);
  worker.join();
  gateway.send_to(1, "websocket.receive", socket, {{"content", "third"}});

  REQUIRE(members.ok());
  CHECK(members->empty());
  CHECK_FALSE(consumer.arm());
  for (const char* content : {"first", "second", "third"}) {
    const auto message = consumer.receive(5s);
    REQUIRE(message.ok());
    CHECK(message->fields().text("content") == content);
  }
}

TEST_CASE("a worker that does not answer in time is an outcome, and its late answer is nobody's") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);

  CHECK(consumer.group_members("chat", 20ms).error() == Error::kTimedOut);

  const Told question = hear(gateway);
  answer(gateway, question, {"late"});
  CHECK(consumer.try_receive().error() == Error::kTimedOut);
  answer(gateway, question, {"later"});
  std::thread worker([&] {
    while (!gateway.worker().anything_waiting()) std::this_thread::yield();
    answer(gateway, hear(gateway), {"in time"});
  });
  CHECK(consumer.group_members("chat", 10s).value() == std::vector<std::string>{"in time"});
  worker.join();
}
