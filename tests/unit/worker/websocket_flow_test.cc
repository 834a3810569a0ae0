// tests/unit/worker/websocket_flow_test.cc -- bounds, pausing, what is kept and for how long.
#include "tests/unit/worker/allocations.h"
#include "tests/unit/worker/websocket_client.h"
#include "worker/frame_writer.h"

#include <doctest/doctest.h>

#include <array>
#include <memory>

namespace sluice::test {
namespace {

TEST_CASE("a message beyond its bound fails with 1009, in one frame or in fragments") {
  const WebSocketLimits limits = {.message_bytes = 1000, .fragments = 10, .control_backlog = 1000};
  const std::string most(1000, 'm');

  CHECK(talk(text(most), limits) == "text " + most + "\n");
  CHECK(talk(text(most + "m"), limits) == "close 1009\nclosed 1009\n");
  CHECK(talk(first(most.substr(1)) + last("m"), limits) == "text " + most + "\n");
  CHECK(talk(first(most.substr(1)) + last("mm"), limits) == "close 1009\nclosed 1009\n");
}

TEST_CASE("a frame beyond the bound is refused by its header, before its bytes come") {
  EchoServer server;

  server.feed(text(std::string((1 << 20) + 1, 'm')).substr(0, 20));

  CHECK(server.lines() == "close 1009\nclosed 1009\n");
}

TEST_CASE("more fragments than allowed fail with 1009, empty ones too") {
  const WebSocketLimits limits = {.message_bytes = 1000, .fragments = 3, .control_backlog = 1000};

  CHECK(talk(first("a") + more("b") + last("c"), limits) == "text abc\n");
  CHECK(talk(first("a") + more("b") + more("c") + last("d"), limits) ==
        "close 1009\nclosed 1009\n");
  CHECK(talk(first("") + more("") + more("") + more(""), limits) == "close 1009\nclosed 1009\n");
}

TEST_CASE("each message has the whole bound to itself") {
  const WebSocketLimits limits = {.message_bytes = 4, .fragments = 2, .control_backlog = 1000};

  CHECK(talk(first("ab") + last("cd") + text("efgh") + first("ij") + last("kl"), limits) ==
        "text abcd\ntext efgh\ntext ijkl\n");
}

TEST_CASE("pongs that the socket does not take are counted until it does") {
  const WebSocketLimits limits = {.message_bytes = 100, .fragments = 3, .control_backlog = 100};
  EchoServer server(limits);

  for (int i = 0; i < 10; ++i) server.feed(ping("12345678"));
  CHECK_FALSE(server.session.congested());
  server.feed(ping("12345678"));
  CHECK(server.session.congested());

  server.session.drained();
  CHECK_FALSE(server.session.congested());
}

TEST_CASE("a paused session keeps what it was fed, and goes on where it stopped") {
  EchoServer server;
  server.pause_after = 2;

  server.feed(text("one") + text("two") + ping("three") + text("four") + close(1000));
  CHECK(server.lines() == "text one\ntext two\n");
  CHECK(server.session.buffered() == (ping("three") + text("four") + close(1000)).size());

  server.session.resume();
  CHECK(server.lines() == "pong three\ntext four\nclose 1000\nclosed 1000\n");
  CHECK(server.session.buffered() == 0);
}

TEST_CASE("pausing at every message, whatever the pieces, loses and doubles nothing") {
  std::string sent, expected;
  for (int i = 0; i < 40; ++i) {
    const std::string content = std::to_string(i) + std::string(static_cast<size_t>(i) * 37, 'x');
    sent += i % 3 == 0 ? first(content) + last("!") : text(content + "!");
    expected += "text " + content + "!\n";
  }

  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, size_t{5000}, sent.size()}) {
    EchoServer server;
    for (size_t at = 0; at < sent.size(); at += piece) {
      server.pause_after = server.messages.size() + 1;
      server.feed(std::string_view(sent).substr(at, piece));
      while (server.session.paused()) {
        server.pause_after = server.messages.size() + 1;
        server.session.resume();
      }
    }
    CHECK(server.lines() == expected);
    CHECK(server.session.buffered() == 0);
  }
}

TEST_CASE("what is fed while paused waits its turn") {
  EchoServer server;
  server.pause_after = 1;

  server.feed(text("one") + text("two").substr(0, 3));
  server.feed(text("two").substr(3) + text("three"));
  CHECK(server.lines() == "text one\n");

  server.session.resume();
  CHECK(server.lines() == "text two\ntext three\n");
}

TEST_CASE("a session paused from outside delivers nothing until resumed") {
  EchoServer server;

  server.session.pause();
  server.feed(text("one") + ping("two"));
  CHECK(server.lines().empty());

  server.session.resume();
  CHECK(server.lines() == "text one\npong two\n");
}

TEST_CASE("a session closed while paused sees the client's close when resumed") {
  EchoServer server;
  server.pause_after = 1;
  server.feed(text("one") + text("dropped"));

  server.session.close(1013, "no consumer");
  server.feed(close(1013));
  CHECK(server.lines() == "text one\nclose 1013\n");

  server.session.resume();
  CHECK(server.lines() == "closed 1013\n");
  CHECK(server.messages.size() == 1);
}

TEST_CASE("buffered() counts an unfinished message and an unfinished frame") {
  EchoServer server;
  CHECK(server.session.buffered() == 0);

  server.feed(first("12345"));
  CHECK(server.session.buffered() == 5);
  server.feed(more("6789").substr(0, 8));  // six bytes of header, two of content
  CHECK(server.session.buffered() == 7);
  server.feed(more("6789").substr(8) + last("!").substr(0, 5));
  CHECK(server.session.buffered() == 9 + 5);
  server.feed(last("!").substr(5));
  CHECK(server.session.buffered() == 0);
}

TEST_CASE("nothing is buffered after a message of any length") {
  for (const size_t size : {0, 125, 126, 65535, 65536, 100000}) {
    EchoServer server;
    server.feed(binary(std::string(size, 'b')));

    CHECK(server.messages.size() == 1);
    CHECK(server.session.buffered() == 0);
  }
}

TEST_CASE("heard_from() tells once that something came") {
  EchoServer server;
  CHECK_FALSE(server.session.heard_from());

  server.feed(ping("").substr(0, 1));

  CHECK(server.session.heard_from());
  CHECK_FALSE(server.session.heard_from());
}

TEST_CASE("a small frame is one output, a large one two") {
  EchoServer server;

  server.session.send(as_bytes(std::string(128, 's')), false);
  CHECK(server.outputs == 1);
  server.session.send(as_bytes(std::string(100000, 'l')), true);
  CHECK(server.outputs == 3);
  server.session.ping();
  CHECK(server.outputs == 4);

  CHECK(server.lines() ==
        "text " + std::string(128, 's') + "\nbinary " + std::string(100000, 'l') + "\nping \n");
}

TEST_CASE("a frame's header is the shortest there is") {
  const auto header = [](size_t size, bool is_binary, bool deflated = false) {
    std::array<std::byte, 10> out{};
    const Opcode opcode = is_binary ? Opcode::kBinary : Opcode::kText;
    const size_t length = write_frame_header(opcode, deflated, size, out);
    return std::string(as_text(Bytes(out).first(length)));
  };

  CHECK(header(0, false) == from_hex("8100"));
  CHECK(header(125, true) == from_hex("827d"));
  CHECK(header(126, false) == from_hex("817e007e"));
  CHECK(header(65535, false) == from_hex("817effff"));
  CHECK(header(65536, true) == from_hex("827f0000000000010000"));
  CHECK(header(125, false, true) == from_hex("c17d"));
}

// Takes messages without keeping anything.
struct Counting : WebSocketSession::Events {
  void on_message(Bytes content, bool binary) noexcept override {
    ++messages;
    session->send(content, binary);
  }
  void on_output(Bytes bytes) noexcept override { output += bytes.size(); }
  void on_closed(uint16_t, std::string_view) noexcept override {}
  WebSocketSession* session = nullptr;
  size_t messages = 0;
  size_t output = 0;
};

TEST_CASE("in the steady state no message allocates, whole, split or fragmented") {
  Counting events;
  WebSocketSession session(events, kRoomy);
  events.session = &session;
  const std::string sent = text(std::string(128, 's')) + first("frag") + ping("p") + last("ment") +
                           binary(std::string(5000, 'l'));
  const auto feed_in = [&](size_t piece) {
    for (size_t at = 0; at < sent.size(); at += piece) {
      session.feed(as_bytes(std::string_view(sent).substr(at, piece)));
    }
  };
  feed_in(1);
  feed_in(sent.size());

  const size_t before = allocations();
  for (int i = 0; i < 100; ++i) {
    feed_in(1 + static_cast<size_t>(i) * 53);
    feed_in(sent.size());
  }

  CHECK(allocations() - before == 0);
  CHECK(events.messages == 3 * 202);
}

TEST_CASE("sessions between messages hold no buffer, so their number costs nothing") {
  Counting events;
  const std::string message = text(std::string(2000, 's'));
  std::vector<std::unique_ptr<WebSocketSession>> sessions;
  sessions.reserve(1000);
  const auto talk_once = [&] {
    sessions.push_back(std::make_unique<WebSocketSession>(events, kRoomy));
    events.session = sessions.back().get();
    events.session->feed(as_bytes(message));
  };
  talk_once();

  const size_t before = allocations();
  for (int i = 0; i < 999; ++i) talk_once();

  CHECK(events.messages == 1000);
  CHECK(allocations() - before == 999);  // the sessions themselves
  CHECK(sizeof(WebSocketSession) <= 56);
}

}  // namespace
}  // namespace sluice::test
