// tests/unit/consumer/consumer_test.cc -- a real consumer against a worker's side driven by hand.
#include "consumer/consumer.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace sluice;
using sluice::tests::FakeGateway;
using sluice::tests::SeenReply;

namespace {

Consumer attach(FakeGateway& gateway, std::initializer_list<std::string_view> channels) {
  auto consumer = Consumer::attach(gateway.path(), channels);
  REQUIRE(consumer.ok());
  return std::move(*consumer);
}

bool readable(int fd, int timeout_ms) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, timeout_ms) == 1;
}

}  // namespace

TEST_CASE("attaching where nobody listens is an error value") {
  CHECK(Consumer::attach("/tmp/sluice-nobody-listens-here", {"http.request"}).error() ==
        Error::kDetached);
  CHECK(Consumer::attach("", {}).error() == Error::kDetached);
  CHECK(Consumer::attach(std::string(300, 'x'), {}).error() == Error::kDetached);
}

TEST_CASE("a gateway that refuses says why") {
  FakeGateway gateway;

  gateway.refuse(shm::RefusedWhy::kDraining);
  CHECK(Consumer::attach(gateway.path(), {}).error() == Error::kRefused);
  gateway.refuse(shm::RefusedWhy::kVersion);
  CHECK(Consumer::attach(gateway.path(), {}).error() == Error::kLayoutMismatch);
}

TEST_CASE("reading a channel whose name is invalid is refused") {
  FakeGateway gateway;

  CHECK(Consumer::attach(gateway.path(), {"no spaces"}).error() == Error::kChannelNameInvalid);
}

TEST_CASE("a request is received in place and its answer finds the exchange") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  CHECK(consumer.number() == 1);
  const ReplyAddress exchange = gateway.open_connection(7);
  const shm::Sent sent =
      gateway.send("http.request", exchange, {{"path", "/x"}, {"method", "GET"}});

  auto message = consumer.receive(5s);

  REQUIRE(message.ok());
  CHECK(message->kind() == MessageKind::kHttpRequest);
  CHECK(message->channel() == "http.request");
  CHECK(message->fields().text("path") == "/x");
  CHECK(message->address() == exchange);
  CHECK(consumer.reply(*message, {{"status_code", 200}, {"content", "Hello"}}).ok());
  const SeenReply reply = gateway.reply();
  CHECK(reply.about == exchange);
  CHECK(reply.answered_block == sent.block);
  CHECK(reply.answered_generation == sent.payload_generation);
  CHECK(reply.fields().integer("status_code") == 200);
  CHECK(reply.fields().text("content") == "Hello");
}

TEST_CASE("a request's block stays taken until the last message of the answer is published") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  const ReplyAddress exchange = gateway.open_connection(1);
  const shm::Sent sent = gateway.send("http.request", exchange, {{"path", "/"}});

  {
    auto message = consumer.receive(5s);
    REQUIRE(message.ok());
  }
  CHECK(gateway.progress(sent) ==
        shm::Progress::kTaken);  // the message is gone, the request is not
  CHECK(consumer.open_requests() == 1);
  CHECK(consumer.send(exchange, {{"status_code", 200}, {"content", "a"}, {"more_content", true}})
            .ok());
  CHECK(gateway.progress(sent) == shm::Progress::kTaken);
  CHECK(consumer.send(exchange, {{"content", "b"}, {"more_content", false}}).ok());

  CHECK(gateway.progress(sent) == shm::Progress::kOver);
  CHECK(consumer.open_requests() == 0);
}

TEST_CASE("what a message shows stays in place after its answer was published") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  const shm::Sent sent =
      gateway.send("http.request", gateway.open_connection(1), {{"path", "/kept"}});
  auto message = consumer.receive(5s);
  REQUIRE(message.ok());

  CHECK(consumer.reply(*message, {{"status_code", 204}}).ok());

  CHECK(gateway.progress(sent) == shm::Progress::kTaken);
  CHECK(message->fields().text("path") == "/kept");
  message = Error::kTimedOut;  // the message ends here
  CHECK(gateway.progress(sent) == shm::Progress::kOver);
}

TEST_CASE("a disconnect ends an open request, and an answer that comes later is no harm") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  const ReplyAddress exchange = gateway.open_connection(1);
  const shm::Sent sent = gateway.send("http.request", exchange, {{"path", "/"}});
  REQUIRE(consumer.receive(5s).ok());

  gateway.send_to(1, "http.disconnect", exchange, {{"path", "/"}});
  auto message = consumer.receive(5s);

  REQUIRE(message.ok());
  CHECK(message->kind() == MessageKind::kHttpDisconnect);
  CHECK(gateway.progress(sent) == shm::Progress::kOver);
  gateway.slots().close(exchange.slot);
  CHECK(consumer.send(exchange, {{"status_code", 200}}).error() == Error::kConnectionGone);
}

TEST_CASE("an answer to a message that was written over meanwhile is not sent") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"websocket.receive"});
  const ReplyAddress connection = gateway.open_connection(0);
  const shm::Sent sent = gateway.send("websocket.receive", connection, {{"text", "mine"}});
  auto message = consumer.receive(5s);
  REQUIRE(message.ok());
  CHECK(message->intact());

  const uint64_t another = sent.payload_generation + 1;  // as if the block were free, and claimed anew
  std::memcpy(gateway.worker().arenas().own(sent.block).data(), &another, sizeof another);

  CHECK_FALSE(message->intact());
  CHECK(consumer.send(*message, {{"text", "perhaps another's"}}).error() == Error::kSegmentCorrupt);
  CHECK_FALSE(gateway.try_reply());
}

TEST_CASE("body chunks come under the name of their own channel") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  const ReplyAddress exchange = gateway.open_connection(3);

  gateway.send_to(1, "http.request.body", exchange,
                  {{"content", as_bytes("xyz")}, {"more_content", false}});
  auto message = consumer.receive(5s);

  REQUIRE(message.ok());
  CHECK(message->kind() == MessageKind::kHttpRequestBody);
  CHECK(message->channel() == ReplyChannelName::http_request_body(exchange).view());
}

TEST_CASE("whoever takes a connect owns the connection, and its worker is told") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"websocket.connect", "websocket.receive"});
  ReplyAddress connection = gateway.open_connection(0);
  gateway.send("websocket.connect", connection, {{"path", "/ws"}});
  CHECK_FALSE(gateway.slots().owner(connection.slot));

  auto message = consumer.receive(5s);

  REQUIRE(message.ok());
  REQUIRE(gateway.slots().owner(connection.slot));
  CHECK(gateway.any_reply());  // the ready bit that makes the worker look
}

TEST_CASE("the connection of a dead consumer goes to whoever takes its next receive") {
  FakeGateway gateway;
  Consumer first = attach(gateway, {"websocket.connect"});
  const ReplyAddress connection = gateway.open_connection(0);
  gateway.send("websocket.connect", connection, {{"path", "/ws"}});
  REQUIRE(first.receive(5s).ok());
  const auto before = gateway.slots().owner(connection.slot);

  gateway.bury(1);
  Consumer second = attach(gateway, {"websocket.receive"});
  gateway.send("websocket.receive", connection, {{"content", "hi"}});
  REQUIRE(second.receive(5s).ok());

  const auto after = gateway.slots().owner(connection.slot);
  REQUIRE(after);
  CHECK(*after != *before);
}

TEST_CASE("a reply channel's name leads to the connection, a plain name to the channel") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});
  const ReplyAddress connection = gateway.open_connection(0);

  CHECK(
      consumer.send(ReplyChannelName::websocket_send(connection).view(), {{"content", "hi"}}).ok());
  CHECK(gateway.reply().fields().text("content") == "hi");

  CHECK(consumer.send("demo.own", {{"n", 1}}).ok());
  auto message = consumer.receive(5s);
  REQUIRE(message.ok());
  CHECK(message->channel() == "demo.own");
  CHECK(message->kind() == MessageKind::kOther);
  CHECK(message->address().worker == 0);
  CHECK(message->fields().integer("n") == 1);
}

TEST_CASE("sending to an invalid name, and to nobody, is an error value") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {});

  CHECK(consumer.send("a\nb", {}).error() == Error::kChannelNameInvalid);
  CHECK(consumer.send("", {}).error() == Error::kChannelNameInvalid);
  CHECK(consumer.send(ReplyAddress{2, 99, 0, 1, 1}, {}).error() == Error::kConnectionGone);
}

TEST_CASE("a message that did not fit its first block is written again in a larger one") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});

  for (const size_t size :
       {size_t{0}, size_t{500}, size_t{5000}, size_t{70'000}, size_t{2'000'000}}) {
    const std::string content(size, 'x');
    const auto write = [&](Encoder& encoder) { encoder.key("content").text(content); };
    REQUIRE(consumer.send("demo.own", write).ok());
    auto message = consumer.receive(5s);
    REQUIRE(message.ok());
    CHECK(message->fields().text("content") == content);
  }
}

TEST_CASE("a message beyond the largest is refused and nothing of it is sent") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});
  const std::string content(limits::kMessageBytes + limits::kEncodingSlackBytes, 'x');

  CHECK(consumer.send("demo.own", {{"content", content}}).error() == Error::kMessageTooLarge);
  CHECK(consumer.try_receive().error() == Error::kTimedOut);
}

TEST_CASE("a full channel is an outcome at once, and after the wait when one is given") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {});
  Result<void> sent;
  int room = 0;
  while ((sent = consumer.try_send("demo.full", {{"n", room}})).ok()) ++room;

  CHECK(sent.error() == Error::kChannelFull);
  CHECK(room > 0);
  const auto start = std::chrono::steady_clock::now();
  CHECK(consumer.send("demo.full", {{"n", 0}}, 30ms).error() == Error::kChannelFull);
  CHECK(std::chrono::steady_clock::now() - start >= 30ms);
}

TEST_CASE("a send that waits goes through when a reader makes room") {
  FakeGateway gateway;
  Consumer sender = attach(gateway, {});
  Consumer reader = attach(gateway, {"demo.full"});
  while (sender.try_send("demo.full", {{"n", 1}}).ok()) {
  }

  std::thread reading([&] { static_cast<void>(reader.receive(5s)); });
  const auto sent = sender.send("demo.full", {{"n", 2}}, 5s);
  reading.join();

  CHECK(sent.ok());
}

TEST_CASE("bytes that are no message are dropped and counted, and the next message comes") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});
  const uint32_t channel = gateway.worker().channels().open("demo.own").value();
  shm::Claim claim = std::move(gateway.worker().claim(10)).value();
  claim.space()[0] = std::byte{0xc1};
  REQUIRE(gateway.worker().send(channel, claim, 1, {}).ok());
  gateway.send("demo.own", {}, {{"n", 5}});

  auto message = consumer.receive(5s);

  REQUIRE(message.ok());
  CHECK(message->fields().integer("n") == 5);
  CHECK(consumer.counts().malformed == 1);
}

TEST_CASE("receive gives up at its time, and wakes when something is sent") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});

  CHECK(consumer.try_receive().error() == Error::kTimedOut);
  const auto start = std::chrono::steady_clock::now();
  CHECK(consumer.receive(250ms).error() == Error::kTimedOut);  // through light sleep into deep
  CHECK(std::chrono::steady_clock::now() - start >= 250ms);

  std::thread sending([&] { gateway.send("demo.own", {}, {{"n", 1}}); });
  CHECK(consumer.receive(5s).ok());
  sending.join();
}

TEST_CASE("an interrupted receive gives up, whether it slept already or not") {
  FakeGateway gateway;
  static Consumer* interrupted = nullptr;
  Consumer consumer = attach(gateway, {"demo.own"});
  interrupted = &consumer;
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted->interrupt(); };
  sigaction(SIGUSR1, &action, nullptr);

  ::raise(SIGUSR1);
  CHECK(consumer.receive().error() == Error::kTimedOut);

  const pthread_t self = pthread_self();
  const uint64_t sleeps = consumer.counts().sleeps;
  std::thread signalling([&] { pthread_kill(self, SIGUSR1); });
  CHECK(consumer.receive().error() == Error::kTimedOut);
  signalling.join();
  CHECK(consumer.counts().sleeps - sleeps <= 2);
}

TEST_CASE("the descriptor is readable when something was sent to an armed consumer") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});

  REQUIRE(consumer.arm());
  CHECK_FALSE(readable(consumer.poll_fd(), 0));
  gateway.send("demo.own", {}, {{"n", 1}});
  CHECK(readable(consumer.poll_fd(), 5000));
  CHECK(consumer.try_receive().ok());
  CHECK_FALSE(readable(consumer.poll_fd(), 0));
}

TEST_CASE("arming is refused while something waits") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});

  gateway.send("demo.own", {}, {{"n", 1}});

  CHECK_FALSE(consumer.arm());
  CHECK(consumer.try_receive().ok());
  CHECK(consumer.arm());
}

TEST_CASE("when the gateway hangs up, what is left is received and then it is said") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});
  gateway.send("demo.own", {}, {{"n", 1}});
  REQUIRE(consumer.receive(5s).ok());  // now the arena it came from is mapped
  gateway.send("demo.own", {}, {{"n", 2}});

  gateway.hang_up();

  CHECK(consumer.receive().ok());
  CHECK(consumer.receive().error() == Error::kDetached);
  CHECK(readable(consumer.poll_fd(), 0));
}

TEST_CASE("a consumer that leaves answers 502 to what it had not begun to answer") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  const ReplyAddress exchange = gateway.open_connection(1);
  gateway.send("http.request", exchange, {{"path", "/"}});
  REQUIRE(consumer.receive(5s).ok());

  consumer.detach();

  CHECK(gateway.reply().fields().integer("status_code") == 502);
  CHECK_FALSE(consumer.attached());
  CHECK(consumer.receive().error() == Error::kDetached);
  CHECK(consumer.send("demo.own", {}).error() == Error::kDetached);
}

TEST_CASE("a message may outlive its consumer and be read") {
  FakeGateway gateway;
  std::optional<Consumer> consumer = attach(gateway, {"demo.own"});
  gateway.send("demo.own", {}, {{"text", "still here"}});
  auto message = consumer->receive(5s);
  REQUIRE(message.ok());

  consumer.reset();

  CHECK(message->fields().text("text") == "still here");
}

TEST_CASE("one that stopped reading takes nothing new but still gets what is its own") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"http.request"});
  const ReplyAddress exchange = gateway.open_connection(1);

  consumer.stop_reading();
  gateway.send("http.request", exchange, {{"path", "/"}});
  gateway.send_to(1, "http.disconnect", exchange, {{"path", "/"}});

  auto message = consumer.receive(5s);
  REQUIRE(message.ok());
  CHECK(message->kind() == MessageKind::kHttpDisconnect);
  CHECK(consumer.try_receive().error() == Error::kTimedOut);
  CHECK_FALSE(consumer.has_reader("http.request"));
  CHECK(consumer.read("http.request").ok());
  CHECK(consumer.try_receive().ok());
}

TEST_CASE("a forked child has no part in the attachment") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway, {"demo.own"});
  gateway.send("demo.own", {}, {{"n", 1}});
  auto message = consumer.receive(5s);
  REQUIRE(message.ok());

  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = consumer.receive().error() == Error::kDetached &&
                         consumer.send("demo.own", {}).error() == Error::kDetached &&
                         !consumer.attached();
    message = Error::kTimedOut;
    consumer.detach();
    ::_exit(refused ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);

  CHECK(status == 0);
  CHECK(consumer.send("demo.own", {{"n", 2}}).ok());
  CHECK(consumer.receive(5s).ok());
}
