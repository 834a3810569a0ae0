// tests/unit/worker/websocket_close_test.cc -- the closing handshake from either side, and the
// codes it may carry: family 7 of the Autobahn suite.
#include "tests/unit/worker/websocket_client.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace sluice::test {
namespace {

constexpr const char* kFailedLines = "close 1002\nclosed 1002\n";

TEST_CASE("a close is answered with its own code, and its reason told") {
  EchoServer server;

  server.feed(close(1001, "going away"));

  CHECK(server.lines() == "close 1001\nclosed 1001\n");
  CHECK(server.close_frame_reason.empty());
  CHECK(server.closed_reason == "going away");
}

TEST_CASE("every code a close may carry is answered in kind") {
  for (const auto code :
       std::initializer_list<uint16_t>{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
                                       1013, 1014, 3000, 3999, 4000, 4999}) {
    const std::string number = std::to_string(code);

    CHECK(talk(close(code)) == "close " + number + "\nclosed " + number + "\n");
    CHECK(talk(close(code, std::string(123, 'r'))) ==
          "close " + number + "\nclosed " + number + "\n");
  }
}

TEST_CASE("a code that no close may carry breaks the protocol") {
  for (const auto code : std::initializer_list<uint16_t>{1, 999, 1004, 1005, 1006, 1015, 1016, 1100,
                                                         2000, 2999, 5000, 65535}) {
    CAPTURE(code);
    CHECK(talk(close(code)) == kFailedLines);
  }
  CHECK(talk(frame(0x8, std::string(2, '\0'))) == kFailedLines);
}

TEST_CASE("a close without a code is answered without one and told as 1005") {
  CHECK(talk(close(0)) == "close\nclosed 1005\n");
}

TEST_CASE("half a code breaks the protocol, and is not made whole from an older frame") {
  CHECK(talk(frame(0x8, "\x03")) == kFailedLines);
  CHECK(talk(ping("\x03\xe8") + frame(0x8, "\x03")) ==
        "pong \x03\xe8\nclose 1002\nclosed 1002\n");
}

TEST_CASE("a reason must be UTF-8") {
  CHECK(talk(close(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")) ==
        "close 1007\nclosed 1007\n");
  CHECK(talk(close(1000, "cut \xe2\x82")) == "close 1007\nclosed 1007\n");
}

TEST_CASE("a reason too long for a control frame breaks the protocol") {
  CHECK(talk(close(1000, std::string(124, 'r'))) == kFailedLines);
}

TEST_CASE("nothing after a close is looked at") {
  for (const std::string& late :
       {close(1000), close(3000), ping("late"), text("late"), last("late"), frame(0xf, "late")}) {
    CHECK(talk(close(1000) + late) == "close 1000\nclosed 1000\n");
  }
  CHECK(talk(first("begun") + close(1000) + last("late")) == "close 1000\nclosed 1000\n");
}

TEST_CASE("messages and pings before a close are answered before it") {
  CHECK(
      talk(text(std::string(5000, 'l')) + text("short") + ping("p") + close(1000) + ping("late")) ==
      "text " + std::string(5000, 'l') + "\ntext short\npong p\nclose 1000\nclosed 1000\n");
}

TEST_CASE("our close is sent once and ends with the client's") {
  EchoServer server;

  server.session.close(1001, "restarting");
  server.session.close(1011, "again");
  CHECK(server.lines() == "close 1001\n");
  CHECK(server.close_frame_reason == "restarting");
  CHECK(server.session.close_sent());
  CHECK_FALSE(server.session.closed());

  server.feed(close(1001));
  CHECK(server.lines() == "closed 1001\n");
  CHECK(server.session.closed());

  server.session.close(1000, "too late");
  server.feed(close(1000) + text("too late"));
  CHECK(server.lines().empty());
}

TEST_CASE("after our close, nothing is sent and no message delivered") {
  EchoServer server;
  server.session.close(1000, "");
  server.lines();

  server.session.send(as_bytes("late"), false);
  server.session.ping();
  server.feed(text("late") + first("late") + ping("late") + last("late") + text("late"));
  CHECK(server.lines().empty());
  CHECK(server.messages.empty());

  server.feed(close(0));
  CHECK(server.lines() == "closed 1005\n");
}

TEST_CASE("the fragments of a message we closed in the middle of break nothing") {
  EchoServer server;
  server.feed(first("begun"));

  server.session.close(1000, "");
  server.feed(more("late") + last("late") + text("late") + close(1000));

  CHECK(server.lines() == "close 1000\nclosed 1000\n");
  CHECK(server.messages.empty());
}

TEST_CASE("a protocol broken after our close ends without a second close frame") {
  EchoServer server;
  server.session.close(1000, "");

  server.feed(text("late") + frame(0xf, ""));

  CHECK(server.lines() == "close 1000\nclosed 1002\n");
}

TEST_CASE("a code that no frame may carry is sent as 1011, and 1005 as none") {
  for (const auto code : std::initializer_list<uint16_t>{0, 999, 1004, 1006, 1015, 2999, 5000}) {
    EchoServer server;
    server.session.close(code, "");
    CHECK(server.lines() == "close 1011\n");
  }
  EchoServer server;
  server.session.close(1005, "ignored");
  CHECK(server.lines() == "close\n");
}

TEST_CASE("our reason is cut between characters and left out when it is no text") {
  EchoServer cut;
  std::string reason(122, 'r');
  cut.session.close(1000, reason + "\xe2\x82\xac and more");
  CHECK(cut.lines() == "close 1000\n");
  CHECK(cut.close_frame_reason == reason);

  EchoServer whole;
  whole.session.close(1000, reason + "s");
  CHECK(whole.lines() == "close 1000\n");
  CHECK(whole.close_frame_reason == reason + "s");

  EchoServer broken;
  broken.session.close(1000, "\xff");
  CHECK(broken.lines() == "close 1000\n");
  CHECK(broken.close_frame_reason.empty());
}

TEST_CASE("a close says what was wrong") {
  EchoServer server;

  server.feed(frame(0x1, "payload", {.masked = false}));

  CHECK(server.lines() == kFailedLines);
  CHECK(server.close_frame_reason == "frame not masked");
  CHECK(server.closed_reason == "frame not masked");
}

}  // namespace
}  // namespace sluice::test
