// tests/unit/worker/websocket_frames_test.cc -- frames, pings, reserved bits, opcodes and
// fragments: what families 1 to 5, 9 and 10 of the Autobahn suite ask of a server.
#include "tests/unit/worker/websocket_client.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace sluice::test {
namespace {

const std::string kBye = close(1000);
constexpr const char* kByeLines = "close 1000\nclosed 1000\n";
constexpr const char* kFailedLines = "close 1002\nclosed 1002\n";

std::string said(std::string_view line) { return std::string(line) + "\n"; }

TEST_CASE("a message of any length comes back as it was") {
  for (const size_t size : {0, 1, 125, 126, 127, 128, 1024, 1025, 65535, 65536, 300000}) {
    const std::string letters(size, '*');
    const std::string bytes(size, '\xfe');

    CHECK(talk(text(letters) + kBye) == said("text " + letters) + kByeLines);
    CHECK(talk(binary(bytes) + kBye) == said("binary " + bytes) + kByeLines);
  }
}

TEST_CASE("many messages in one read come back in order") {
  std::string sent, expected;
  for (int i = 0; i < 300; ++i) {
    const std::string content = "message " + std::to_string(i) + std::string(100, '.');
    sent += text(content);
    expected += said("text " + content);
  }

  CHECK(talk(sent + kBye) == expected + kByeLines);
}

TEST_CASE("a ping is answered with its own payload") {
  for (const std::string& payload :
       {std::string(), std::string("Hello, world!"),
        std::string("\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 8), std::string(125, '\xfe')}) {
    CHECK(talk(ping(payload) + kBye) == said("pong " + payload) + kByeLines);
  }
}

TEST_CASE("every ping is answered, in order") {
  std::string sent, expected;
  for (int i = 0; i < 10; ++i) {
    sent += ping("payload-" + std::to_string(i));
    expected += said("pong payload-" + std::to_string(i));
  }

  CHECK(talk(sent + kBye) == expected + kByeLines);
}

TEST_CASE("a pong nobody asked for is ignored") {
  CHECK(talk(pong("") + kBye) == kByeLines);
  CHECK(talk(pong("unsolicited") + ping("asked") + kBye) == said("pong asked") + kByeLines);
}

TEST_CASE("a long or fragmented control frame breaks the protocol") {
  for (const auto opcode : std::initializer_list<uint8_t>{0x8, 0x9, 0xa}) {
    CHECK(talk(frame(opcode, std::string(126, '*'))) == kFailedLines);
    CHECK(talk(frame(opcode, std::string(70000, '*'))) == kFailedLines);
    CHECK(talk(frame(opcode, "part", {.fin = false}) + last("rest")) == kFailedLines);
  }
}

TEST_CASE("reserved bits break the protocol, after what came before was answered") {
  for (uint8_t bits = 1; bits < 8; ++bits) {
    for (const auto opcode : std::initializer_list<uint8_t>{0x0, 0x1, 0x2, 0x8, 0x9, 0xa}) {
      CHECK(talk(text("good") + frame(opcode, "bad", {.reserved = bits}) + ping("late")) ==
            said("text good") + kFailedLines);
    }
  }
}

TEST_CASE("an unknown opcode breaks the protocol, after what came before was answered") {
  for (const auto opcode : std::initializer_list<uint8_t>{3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    for (const std::string& payload : {std::string(), std::string("payload")}) {
      CHECK(talk(text("good") + frame(opcode, payload) + ping("late")) ==
            said("text good") + kFailedLines);
    }
  }
}

TEST_CASE("a frame without a mask breaks the protocol") {
  for (const auto opcode : std::initializer_list<uint8_t>{0x1, 0x2, 0x8, 0x9, 0xa}) {
    CHECK(talk(frame(opcode, "", {.masked = false})) == kFailedLines);
    CHECK(talk(frame(opcode, "payload", {.masked = false})) == kFailedLines);
  }
}

TEST_CASE("a length must be in its shortest form and below 2^63") {
  const std::string mask_and_payload = "\x01\x02\x03\x04";

  CHECK(talk(from_hex("82fe0000") + mask_and_payload) == kFailedLines);
  CHECK(talk(from_hex("82fe007d") + mask_and_payload) == kFailedLines);
  CHECK(talk(from_hex("82ff0000000000000000") + mask_and_payload) == kFailedLines);
  CHECK(talk(from_hex("82ff000000000000ffff") + mask_and_payload) == kFailedLines);
  CHECK(talk(from_hex("82ff8000000000000000") + mask_and_payload) == kFailedLines);
  CHECK(talk(from_hex("82ffffffffffffffffff") + mask_and_payload) == kFailedLines);
}

TEST_CASE("fragments become one message, with pings answered between them") {
  CHECK(talk(first("frag") + last("ment") + kBye) == said("text fragment") + kByeLines);
  CHECK(talk(frame(0x2, "\xff", {.fin = false}) + last("\xfe") + kBye) ==
        said("binary \xff\xfe") + kByeLines);
  CHECK(talk(first("one ") + ping("p1") + last("two") + kBye) ==
        said("pong p1") + said("text one two") + kByeLines);
  CHECK(talk(first("1") + more("2") + ping("p1") + more("3") + more("4") + ping("p2") +
             last("5")) == said("pong p1") + said("pong p2") + said("text 12345"));
}

TEST_CASE("a ping between fragments is answered before the message is whole") {
  EchoServer server;

  server.feed(first("one") + more("two") + ping("p1"));

  CHECK(server.lines() == said("pong p1"));
}

TEST_CASE("fragments may be empty") {
  CHECK(talk(first("") + more("") + last("") + kBye) == said("text ") + kByeLines);
  CHECK(talk(first("") + more("middle") + last("") + kBye) == said("text middle") + kByeLines);
  CHECK(talk(first("") + more("") + last("end") + kBye) == said("text end") + kByeLines);
}

TEST_CASE("a continuation of nothing breaks the protocol") {
  CHECK(talk(last("orphan") + text("late")) == kFailedLines);
  CHECK(talk(more("orphan") + text("late")) == kFailedLines);
  CHECK(talk(last("")) == kFailedLines);
  CHECK(talk(first("one") + last("two") + more("orphan") + text("late")) ==
        said("text onetwo") + kFailedLines);
}

TEST_CASE("a message cannot begin inside another") {
  CHECK(talk(first("one") + text("two")) == kFailedLines);
  CHECK(talk(first("one") + binary("two")) == kFailedLines);
  CHECK(talk(first("one") + first("two")) == kFailedLines);
}

TEST_CASE("a large message may come in many fragments") {
  for (const size_t size : {64, 1024, 1300, 65536}) {
    std::string sent = first(""), whole;
    while (whole.size() < 65536) {
      sent += more(std::string(size, static_cast<char>('a' + whole.size() % 26)));
      whole += std::string(size, static_cast<char>('a' + whole.size() % 26));
    }

    CHECK(talk(sent + last("") + kBye,
               {.message_bytes = 1 << 20, .fragments = 1026, .control_backlog = 0}) ==
          said("text " + whole) + kByeLines);
  }
}

}  // namespace
}  // namespace sluice::test
