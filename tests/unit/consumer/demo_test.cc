// tests/unit/consumer/demo_test.cc -- the demo program itself, served by a worker driven by hand.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "consumer/demo/json.h"
#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace sluice;
using sluice::tests::FakeGateway;
using sluice::tests::SeenReply;

namespace {

// build/tests/unit/consumer/unit_consumer -> build/consumer/demo/sluice-demo
std::string demo_program() {
  const auto build = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "../../..";
  return (build / "consumer/demo/sluice-demo").lexically_normal();
}

// One demo process, the `number`-th of its gateway; ready when it reads the shared channels.
class DemoProcess {
 public:
  DemoProcess(FakeGateway& gateway, uint32_t number) : gateway_(gateway), number_(number) {
    std::string program = demo_program();
    std::string path = gateway.path();
    char* argv[] = {program.data(), path.data(), nullptr};
    REQUIRE(posix_spawn(&pid_, program.c_str(), nullptr, nullptr, argv, environ) == 0);
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (readers() < number) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      std::this_thread::yield();
    }
  }
  ~DemoProcess() {
    if (pid_ > 0) die();
  }
  void die() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    gateway_.bury(number_);
  }
  int end(int signal) {
    ::kill(pid_, signal);
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  int wait() {
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  [[nodiscard]] uint32_t readers() const {
    const auto channel = gateway_.worker().channels().find("websocket.disconnect");
    if (!channel) return 0;
    uint32_t bits = 0;
    for (const auto& word : gateway_.segment().channel(*channel)->readers.words) {
      bits += static_cast<uint32_t>(std::popcount(word.load()));
    }
    return bits;
  }

  FakeGateway& gateway_;
  uint32_t number_;
  pid_t pid_ = -1;
};

ReplyAddress ask(FakeGateway& gateway, std::string_view method, std::string_view path,
                 std::span<const Value> query = {}) {
  const ReplyAddress exchange = gateway.open_connection(1);
  gateway.send("http.request", exchange,
               {{"method", method}, {"path", path}, {"path_info", path}, {"GET", query}});
  return exchange;
}

int64_t status_of(FakeGateway& gateway, std::string_view method, std::string_view path) {
  ask(gateway, method, path);
  return gateway.reply().fields().integer("status_code");
}

}  // namespace

TEST_CASE("JSON is written with its commas and its escapes") {
  std::string text;
  demo::Json json(text);

  json.begin_object()
      .key("a")
      .begin_array()
      .integer(-1)
      .text("q\"\\\n\x01\xc3\xa9")
      .null()
      .end_array();
  json.key("b")
      .boolean(true)
      .key("c")
      .latin1(as_bytes("\xe9z"))
      .key("d")
      .begin_object()
      .end_object()
      .end_object();

  CHECK(text ==
        "{\"a\":[-1,\"q\\\"\\\\\\u000a\\u0001\xc3\xa9\",null],\"b\":true,\"c\":\"\xc3\xa9z\",\"d\":"
        "{}}");
}

TEST_CASE("the demo answers its routes") {
  FakeGateway gateway;
  DemoProcess demo(gateway, 1);

  ask(gateway, "GET", "/");
  const SeenReply hello = gateway.reply();
  CHECK(hello.fields().integer("status_code") == 200);
  CHECK(hello.fields().text("content") == "Hello, World!");
  CHECK(hello.fields().text("content_type") == "text/plain");
  CHECK(status_of(gateway, "HEAD", "/") == 200);
  CHECK(status_of(gateway, "POST", "/") == 405);
  CHECK(status_of(gateway, "DELETE", "/stream") == 405);
  CHECK(status_of(gateway, "GET", "/nowhere") == 404);
  CHECK(status_of(gateway, "GET", "/ws") == 426);
  ask(gateway, "GET", "/chat");
  const SeenReply page = gateway.reply();
  CHECK(page.fields().text("content_type") == "text/html; charset=utf-8");
  CHECK(page.fields().text("content").starts_with("<!doctype html>"));
}

TEST_CASE("the demo shows its number where ps looks") {
  FakeGateway gateway;
  DemoProcess demo(gateway, 1);

  std::ifstream file("/proc/" + std::to_string(demo.pid()) + "/cmdline");
  std::string title;
  std::getline(file, title, '\0');

  CHECK(title == "sluice: demo consumer 1");
}

TEST_CASE("echo tells the length and digest of a body that came in pieces") {
  FakeGateway gateway;
  DemoProcess demo(gateway, 1);
  const ReplyAddress exchange = gateway.open_connection(1);

  const shm::Sent sent = gateway.send("http.request", exchange,
                                      {{"method", "POST"},
                                       {"path_info", "/echo/x"},
                                       {"body", as_bytes("a")},
                                       {"more_content", true}});
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (gateway.progress(sent) != shm::Progress::kTaken) {  // no chunk is sent before
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    std::this_thread::yield();
  }
  gateway.send_to(1, "http.request.body", exchange,
                  {{"content", as_bytes("b")}, {"more_content", true}});
  gateway.send_to(1, "http.request.body", exchange,
                  {{"content", as_bytes("c")}, {"more_content", false}});
  const SeenReply reply = gateway.reply();

  const std::string content(reply.fields().text("content"));
  CHECK(content.find("\"method\":\"POST\"") != std::string::npos);
  CHECK(content.find("\"body_len\":3,\"body_sha1\":\"a9993e364706816aba3e25717850c26c9cd0d89d\"") !=
        std::string::npos);
}

TEST_CASE("a stream of lines and a late answer leave the demo free for others") {
  FakeGateway gateway;
  DemoProcess demo(gateway, 1);
  const Value lines[] = {"lines", "3"};
  const Value sleep[] = {"ms", "150"};
  const Value stream_query[] = {std::span<const Value>(lines)};
  const Value sleep_query[] = {std::span<const Value>(sleep)};

  const ReplyAddress stream = ask(gateway, "GET", "/stream", stream_query);
  const ReplyAddress late = ask(gateway, "GET", "/sleep", sleep_query);
  const ReplyAddress quick = ask(gateway, "GET", "/");
  std::vector<std::string> order;
  std::string streamed;
  for (int i = 0; i < 5; ++i) {
    const SeenReply reply = gateway.reply();
    if (reply.about == stream) {
      streamed += reply.fields().text("content");
      CHECK(reply.fields().boolean("more_content") == (streamed.size() < 21));
      order.emplace_back("stream");
    }
    if (reply.about == late) order.emplace_back("late");
    if (reply.about == quick) order.emplace_back("quick");
  }

  CHECK(streamed == "line 1\nline 2\nline 3\n");
  CHECK(order == std::vector<std::string>{"stream", "quick", "stream", "late", "stream"});
}

TEST_CASE("a WebSocket's messages are echoed in kind, and all of a flood in order") {
  FakeGateway gateway;
  DemoProcess demo(gateway, 1);
  const ReplyAddress connection = gateway.open_connection(0);

  gateway.send_to(1, "websocket.receive", connection, {{"path_info", "/ws"}, {"content", "text"}});
  CHECK(gateway.reply().fields().text("content") == "text");
  gateway.send_to(1, "websocket.receive", connection,
                  {{"path_info", "/ws"}, {"content", as_bytes("bin")}});
  CHECK(as_text(gateway.reply().fields().bytes("content")) == "bin");

  // More than the reply ring has cells, none of them drained until all are sent.
  for (int i = 0; i < 40; ++i) {
    gateway.send("websocket.receive", connection,
                 {{"path_info", "/ws"}, {"content", std::to_string(i)}});
  }
  for (int i = 0; i < 40; ++i) CHECK(gateway.reply().fields().text("content") == std::to_string(i));
}

// What a worker does with messages to a group: everybody added hears them.
class Listeners {
 public:
  explicit Listeners(FakeGateway& gateway) : gateway_(gateway) {}

  // Waits until a message to the member, or to a group it is in, has `what` in it.
  [[nodiscard]] bool heard(const ReplyAddress& member, std::string_view what) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < until) {
      if (const auto reply = gateway_.try_reply(); reply && reply->about == member && has(reply->fields(), what)) {
        return true;
      }
      if (const auto message = gateway_.worker().try_receive(); message && take(*message, member, what)) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }

 private:
  static bool has(const MessageView& message, std::string_view what) {
    return message.text("content").find(what) != std::string_view::npos;
  }
  bool take(const shm::Delivery& message, const ReplyAddress& member, std::string_view what) {
    const std::string channel = gateway_.worker().channels().name_of(message.header().channel);
    if (channel == "group.add") members_.push_back(message.about());
    if (channel != "group.send" || std::find(members_.begin(), members_.end(), member) == members_.end()) {
      return false;
    }
    const auto shared = gateway_.worker().read_shared(message);
    if (!shared) return false;
    const bool found = has(MessageView::parse(shared->message.content).value(), what);
    return gateway_.worker().let_go(*shared) && found;
  }

  FakeGateway& gateway_;
  std::vector<ReplyAddress> members_;
};

TEST_CASE("what one says in the chat reaches members taken by any process, and by a dead one") {
  FakeGateway gateway;
  DemoProcess first(gateway, 1);
  const Value ann[] = {"name", "Ann"};
  const Value ann_query[] = {std::span<const Value>(ann)};
  const Value bob[] = {"name", "Bob"};
  const Value bob_query[] = {std::span<const Value>(bob)};
  const auto fields_of = [&](std::span<const Value> query) { return Value(query); };
  const ReplyAddress a = gateway.open_connection(0);
  const ReplyAddress b = gateway.open_connection(0);
  Listeners listeners(gateway);
  const auto heard = [&](const ReplyAddress& member, std::string_view what) {
    return listeners.heard(member, what);
  };

  gateway.send_to(1, "websocket.connect", a,
                  {{"path_info", "/chat/ws"}, {"GET", fields_of(ann_query)}});
  CHECK(heard(a, R"("type":"welcome","name":"Ann","by":1,"id":"websocket.send.)"));
  CHECK(heard(a, R"("names":["Ann"],"count":1)"));

  // The second process starts when somebody is there already, and asks.
  DemoProcess second(gateway, 2);
  gateway.send_to(2, "websocket.connect", b,
                  {{"path_info", "/chat/ws"}, {"GET", fields_of(bob_query)}});
  CHECK(heard(a, R"("names":["Ann","Bob"],"count":2)"));
  gateway.send_to(
      2, "websocket.receive", b,
      {{"path_info", "/chat/ws"}, {"GET", fields_of(bob_query)}, {"content", "hi Ann"}});
  CHECK(heard(a, R"("text":"hi Ann")"));

  first.die();
  gateway.send_to(
      2, "websocket.receive", b,
      {{"path_info", "/chat/ws"}, {"GET", fields_of(bob_query)}, {"content", "still there?"}});
  CHECK(heard(a, R"("text":"still there?")"));
  gateway.send_to(2, "websocket.receive", a,
                  {{"path_info", "/chat/ws"}, {"GET", fields_of(ann_query)}, {"content", "yes"}});
  CHECK(heard(b, R"("text":"yes")"));

  gateway.send_to(2, "websocket.disconnect", b, {{"path_info", "/chat/ws"}});
  CHECK(heard(a, R"("names":["Ann"],"count":1)"));
}

TEST_CASE("the demo finishes what it took when it is told to end, and ends when the gateway does") {
  FakeGateway gateway;
  DemoProcess first(gateway, 1);
  const Value sleep[] = {"ms", "100"};
  const Value sleep_query[] = {std::span<const Value>(sleep)};
  const Value lines[] = {"lines", "2"};
  const Value stream_query[] = {std::span<const Value>(lines)};
  ask(gateway, "GET", "/stream", stream_query);
  ask(gateway, "GET", "/sleep", sleep_query);
  CHECK(gateway.reply().fields().text("content") == "line 1\n");  // and the other is taken with it
  ask(gateway, "GET", "/");
  CHECK(gateway.reply().fields().text("content") == "Hello, World!");

  CHECK(first.end(SIGTERM) == 0);
  std::set<std::string> finished;
  for (int i = 0; i < 2; ++i) finished.emplace(gateway.reply().fields().text("content"));
  CHECK(finished == std::set<std::string>{"line 2\n", "slept 100 ms\n"});

  gateway.bury(1);
  FakeGateway other;
  DemoProcess second(other, 1);
  other.hang_up();
  CHECK(second.wait() == 0);
}
