// tests/unit/consumer/questions_test.cc -- which WebSockets there are, asked by a real consumer; its worker's
// side is driven by hand.
#include "consumer/consumer.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "protocol/websocket.h"
#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace sluice;
using sluice::tests::FakeGateway;

namespace {

struct Question {
  int64_t request = 0;
  shm::ProcessName asker{};
};

// The next message in the worker's inbox, waited for.
Question hear(FakeGateway& gateway) {
  const auto patience = std::chrono::steady_clock::now() + 30s;
  while (!gateway.worker().anything_waiting() && std::chrono::steady_clock::now() < patience) {
    std::this_thread::yield();
  }
  const auto delivery = gateway.worker().try_receive();
  REQUIRE(delivery);
  CHECK(gateway.worker().channels().name_of(delivery->header().channel) == kWebSocketListChannel);
  const auto fields = MessageView::parse(delivery->content());
  REQUIRE(fields.ok());
  CHECK_FALSE(check(*fields, kWebSocketList));
  return {fields->integer("request"),
          {delivery->header().sender, static_cast<uint32_t>(fields->integer("incarnation"))}};
}

void answer(FakeGateway& gateway, const Question& question, std::initializer_list<LivingConnection> all,
            bool more = false) {
  auto claim = gateway.worker().claim(1000);
  REQUIRE(claim.ok());
  Encoder encoder(claim->space());
  encoder.begin_map().key("request").integer(question.request).key("connections").begin_list();
  for (const LivingConnection& each : all) {
    encoder.begin_map().key("reply_channel").text(each.reply_channel);
    encoder.key("path").text(each.path).end_map();
  }
  encoder.end_list().key("more_content").boolean(more).end_map();
  const Result<Bytes> message = encoder.finish();
  REQUIRE(message.ok());
  CHECK_FALSE(check(MessageView::parse(*message).value(), kWebSocketListed));
  const uint32_t channel = gateway.worker().channels().open(kWebSocketListChannel).value();
  REQUIRE(gateway.worker().send_to(question.asker, *claim, message->size(), {.channel = channel}).ok());
  gateway.worker().ring();
}

Consumer attach(FakeGateway& gateway) {
  auto consumer = Consumer::attach(gateway.path(), std::initializer_list<std::string_view>{});
  REQUIRE(consumer.ok());
  return std::move(*consumer);
}

std::vector<std::string> shown(const Result<std::vector<LivingConnection>>& all) {
  REQUIRE(all.ok());
  std::vector<std::string> texts;
  for (const LivingConnection& each : *all) texts.push_back(each.reply_channel + " " + each.path);
  return texts;
}

}  // namespace

TEST_CASE("the WebSockets there are is what all workers answer, each in as many messages as it needs") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  const ReplyAddress socket = gateway.open_connection(0);
  std::thread worker([&] {
    const Question question = hear(gateway);
    gateway.send_to(1, "websocket.receive", socket, {{"content", "meanwhile"}});
    answer(gateway, question, {{"a", "/chat"}, {"b", "/"}}, true);
    answer(gateway, question, {{"c", "/chat"}});
  });

  const auto all = consumer.connections(10s);
  worker.join();

  CHECK(shown(all) == std::vector<std::string>{"a /chat", "b /", "c /chat"});
  const auto message = consumer.receive(5s);
  REQUIRE(message.ok());
  CHECK(message->fields().text("content") == "meanwhile");
}

TEST_CASE("a worker that does not say in time which WebSockets it has is an outcome; its late answer is nobody's") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);

  CHECK(consumer.connections(20ms).error() == Error::kTimedOut);

  const Question question = hear(gateway);
  answer(gateway, question, {{"late", "/"}});
  CHECK(consumer.try_receive().error() == Error::kTimedOut);
  answer(gateway, question, {{"later", "/"}});
  std::thread worker([&] { answer(gateway, hear(gateway), {{"in time", "/"}}); });
  CHECK(shown(consumer.connections(10s)) == std::vector<std::string>{"in time /"});
  worker.join();
}

TEST_CASE("an answer about WebSockets that is none of ours is taken as far as it can be") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  std::thread worker([&] {
    const Question question = hear(gateway);
    auto claim = gateway.worker().claim(1000);
    REQUIRE(claim.ok());
    Encoder encoder(claim->space());
    encoder.begin_map().key("request").integer(question.request).key("connections").begin_list();
    encoder.integer(1).text("x").begin_map().key("path").text("/").end_map();
    encoder.begin_map().key("reply_channel").integer(1).key("path").text("/").end_map().end_list().end_map();
    const uint32_t channel = gateway.worker().channels().open(kWebSocketListChannel).value();
    REQUIRE(gateway.worker()
                .send_to(question.asker, *claim, encoder.finish()->size(), {.channel = channel})
                .ok());
    gateway.worker().ring();
  });

  CHECK(shown(consumer.connections(10s)).empty());
  worker.join();
}
