// tests/unit/worker/websocket_deflate_test.cc -- compressed messages, in and out: RFC 7692 sections 6 and
// 7.2, and what families 12 and 13 of the Autobahn suite ask of a server.
#include "protocol/limits.h"
#include "tests/unit/worker/websocket_client.h"
#include "worker/deflate.h"
#include "worker/shared_frame.h"

#include <random>

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

constexpr DeflateTerms kShared = {};
constexpr DeflateTerms kOwn = {.server_keeps_context = true, .client_keeps_context = true};
const std::string kBye = close(1000);
constexpr const char* kByeLines = "close 1000\nclosed 1000\n";
constexpr uint8_t kRsv1 = 4;

std::string deflated(uint8_t opcode, std::string_view payload, bool fin = true) {
  return frame(opcode, payload, {.fin = fin, .reserved = kRsv1});
}
std::string said(std::string_view line) { return std::string(line) + "\n"; }
std::string talk_deflated(std::string_view bytes, const DeflateTerms& terms = kShared,
                          const WebSocketLimits& limits = kRoomy) {
  return talk(bytes, limits, 0, terms);
}
// Does not deflate to less.
std::string noise(size_t size) {
  std::minstd_rand random(7);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random() >> 8);
  return out;
}
// As it is sent back: deflated where that is worth it.
std::string echo_of(const std::string& kind, const std::string& content) {
  const bool short_one = content.size() < limits::kDeflateLeastBytes;
  return said((short_one ? "" : "deflated ") + kind + " " + content);
}

TEST_CASE("a deflated message of any length comes back as it was") {
  for (const size_t size : {0, 1, 2, 125, 255, 256, 1000, 16384, 65535, 65536, 300000}) {
    CAPTURE(size);
    Zlib client;
    const std::string letters(size, '*');
    const std::string bytes = noise(size / 2) + letters.substr(size / 2);
    const std::string first_one = client.deflate(letters);
    client.forget();

    CHECK(talk_deflated(deflated(1, first_one) + deflated(2, client.deflate(bytes)) + kBye) ==
          echo_of("text", letters) + echo_of("binary", bytes) + kByeLines);
  }
}

TEST_CASE("the examples of RFC 7692 section 7.2.3") {
  const std::string hello = said("text Hello") + kByeLines;
  CHECK(talk_deflated(deflated(1, from_hex("f248cdc9c90700")) + kBye) == hello);
  CHECK(talk_deflated(deflated(1, from_hex("f248cd"), false) + last(from_hex("c9c90700")) + kBye) == hello);
  CHECK(talk_deflated(deflated(1, from_hex("000500faff48656c6c6f00")) + kBye) == hello);    // stored
  CHECK(talk_deflated(deflated(1, from_hex("f348cdc9c9070000")) + kBye) == hello);          // BFINAL
  CHECK(talk_deflated(deflated(1, from_hex("f24805000000ffffcac9c90700")) + kBye) == hello);  // two blocks
  CHECK(talk_deflated(deflated(1, from_hex("00")) + kBye) == said("text ") + kByeLines);
  // Twice the same, the second by what the first was.
  CHECK(talk_deflated(deflated(1, from_hex("f248cdc9c90700")) + deflated(1, from_hex("f200110000")) + kBye, kOwn) ==
        said("text Hello") + hello);
}

TEST_CASE("a last block in the middle: what follows still knows what came before") {
  // "Hello" in a last block, then "Hello" by reference to it.
  CHECK(talk_deflated(deflated(1, from_hex("f348cdc9c90700") + from_hex("f200110000")) + kBye, kOwn) ==
        said("text HelloHello") + kByeLines);
  // A message that ends with its last block.
  CHECK(talk_deflated(deflated(1, from_hex("f348cdc9c90700")) + deflated(1, from_hex("f200110000")) + kBye, kOwn) ==
        said("text Hello") + said("text Hello") + kByeLines);
}

TEST_CASE("contexts are kept from message to message where that was agreed, and forgotten where not") {
  const std::string content = noise(400);
  Zlib client;
  const std::string once = client.deflate(content);
  const std::string again = client.deflate(content);
  REQUIRE(again.size() < 30);

  EchoServer server(kRoomy, kOwn);
  server.feed(deflated(2, once) + deflated(2, again));
  CHECK(server.lines() == said("deflated binary " + content) + said("deflated binary " + content));
  CHECK(talk_deflated(deflated(2, once) + deflated(2, again) + kBye, kShared) ==
        said("binary " + content) + "close 1007\nclosed 1007\n");  // it is noise: plain is shorter
}

TEST_CASE("plain and deflated messages alternate") {
  Zlib client;
  const std::string content(1000, 'a');
  const std::string packed = client.deflate(content);

  CHECK(talk_deflated(text("plain") + deflated(1, packed) + text("plain") + kBye) ==
        said("text plain") + said("deflated text " + content) + said("text plain") + kByeLines);
}

TEST_CASE("fragments of a deflated message, a ping between, cut anywhere") {
  Zlib client;
  std::string content;
  for (int i = 0; i < 2000; ++i) content += std::to_string(i * 7919) + ",";
  const std::string packed = client.deflate(content);
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{256}, packed.size() - 1}) {
    std::string sent = deflated(1, packed.substr(0, piece), false) + ping("between");
    size_t fragments = 1;
    for (size_t at = piece; at < packed.size(); at += piece, ++fragments) sent += more(packed.substr(at, piece));
    sent += last("") + kBye;
    WebSocketLimits limits = kRoomy;
    limits.fragments = fragments + 1;

    CHECK(talk_deflated(sent, kShared, limits) == said("pong between") + echo_of("text", content) + kByeLines);
  }
}

TEST_CASE("reserved bits are for the first frame of a message, and only where deflate was agreed") {
  const std::string failed = "close 1002\nclosed 1002\n";
  const std::string packed = from_hex("f248cdc9c90700");
  CHECK(talk(deflated(1, packed) + ping("late")) == failed);
  for (const std::initializer_list<uint8_t> bits = {1, 2, 3, 5, 6, 7}; const uint8_t each : bits) {
    CHECK(talk_deflated(frame(1, packed, {.reserved = each}) + ping("late")) == failed);
  }
  CHECK(talk_deflated(deflated(1, packed, false) + deflated(0, "") + ping("late")) == failed);
  for (const std::initializer_list<uint8_t> control = {8, 9, 10}; const uint8_t opcode : control) {
    CHECK(talk_deflated(deflated(opcode, "") + ping("late")) == failed);
  }
}

TEST_CASE("what is malformed, or ends inside a block, fails with 1007") {
  const std::string failed = "close 1007\nclosed 1007\n";
  for (const std::string_view hex :
       {"ff", "07", "f248cd", "f248cdc9", "000500fbff48656c6c6f00", "000500faff4865", "f20011", "f24805000000ff"}) {
    CAPTURE(hex);
    CHECK(talk_deflated(deflated(1, from_hex(hex)) + ping("late")) == failed);
  }
  CHECK(talk_deflated(deflated(1, "") + ping("late")) == failed);  // not even a block
  CHECK(talk_deflated(deflated(1, noise(1000)) + ping("late")) == failed);
}

TEST_CASE("text is checked after it is inflated, as it arrives") {
  Zlib client;
  const std::string packed = client.deflate("good " + std::string(100, 'x') + "\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80");
  CHECK(talk_deflated(deflated(1, packed) + ping("late")) == "close 1007\nclosed 1007\n");
  CHECK(talk_deflated(deflated(1, packed, false)) == "close 1007\nclosed 1007\n");  // before its end
  client.forget();
  CHECK(talk_deflated(deflated(1, client.deflate("\xe2\x82")) + ping("late")) == "close 1007\nclosed 1007\n");
}

TEST_CASE("a bomb is stopped at the message's bound while it is inflated") {
  const WebSocketLimits limits = {.message_bytes = 100000, .fragments = 1024, .control_backlog = 65536};
  Zlib client;
  const std::string just(100000, '\0');
  const std::string packed = client.deflate(just);
  client.forget();
  const std::string beyond = client.deflate(just + '\0');
  client.forget();
  const std::string bomb = client.deflate(std::string(50'000'000, '\0'));
  REQUIRE(bomb.size() < 100000);

  CHECK(talk_deflated(deflated(2, packed) + kBye, kShared, limits) == echo_of("binary", just) + kByeLines);
  CHECK(talk_deflated(deflated(2, beyond), kShared, limits) == "close 1009\nclosed 1009\n");
  EchoServer server(limits, kShared);
  server.feed(deflated(2, bomb, false));
  CHECK(server.lines() == "close 1009\nclosed 1009\n");
  // Blocks that hold nothing, without an end, in one frame and in many.
  std::string empty_blocks;
  while (empty_blocks.size() < 3 * limits.message_bytes) empty_blocks += std::string("\0\0\0\xff\xff", 5);
  CHECK(talk_deflated(deflated(2, empty_blocks), kShared, limits) == "close 1009\nclosed 1009\n");
  std::string in_many = deflated(2, "", false);
  for (int i = 0; i < 60; ++i) in_many += more(empty_blocks.substr(0, 5000));
  CHECK(talk_deflated(in_many, kShared, limits) == "close 1009\nclosed 1009\n");
}

TEST_CASE("a message broken off leaves nothing to the next connection") {
  Zlib client;
  const std::string content(70000, 'q');
  const std::string packed = client.deflate(content);
  for (int i = 0; i < 3; ++i) {
    EchoServer broken_off(kRoomy, kShared);
    broken_off.feed(deflated(1, packed.substr(0, packed.size() / 2), false));
    broken_off.feed(deflated(9, ""));
    EchoServer next(kRoomy, kShared);
    next.feed(deflated(1, packed));
    CHECK(next.lines() == echo_of("text", content));
    CHECK(next.session.buffered() == 0);
  }
}

TEST_CASE("what we deflate holds to the window the client asked for") {
  // Noise that repeats farther apart than a small window reaches must not be found in it.
  const std::string piece = noise(2000);
  for (uint8_t bits = 9; bits <= 15; ++bits) {
    DeflateTerms terms = kShared;
    terms.server_window_bits = bits;
    EchoServer server(kRoomy, terms);
    server.session.send(as_bytes(std::string(2000, 'z') + piece + piece), true);
    CHECK(server.lines() == said("deflated binary " + std::string(2000, 'z') + piece + piece));
    const Bytes packed = Deflater::deflate_alone(as_bytes(piece + piece), bits);
    CHECK((packed.size() < 3000) == (bits >= 12));
  }
}

TEST_CASE("short messages, and those that do not get shorter, are sent as they are") {
  EchoServer server(kRoomy, kShared);
  server.session.send(as_bytes(std::string(limits::kDeflateLeastBytes - 1, 'a')), false);
  server.session.send(as_bytes(noise(5000)), true);
  CHECK(server.lines() == said("text " + std::string(limits::kDeflateLeastBytes - 1, 'a')) + said("binary " + noise(5000)));
}

TEST_CASE("a frame for many is deflated once for each form, and each gets its own") {
  const std::string content(3000, 'g');
  SharedFrame shared;
  REQUIRE(shared.assign(as_bytes(content), false));
  DeflateTerms small = kShared;
  small.server_window_bits = 9;
  EchoServer plain, wide(kRoomy, kShared), narrow(kRoomy, small), own(kRoomy, kOwn);
  for (EchoServer* each : {&plain, &wide, &narrow, &own}) each->session.send(shared);

  CHECK(plain.lines() == said("text " + content));
  for (EchoServer* each : {&wide, &narrow, &own}) CHECK(each->lines() == said("deflated text " + content));
  const Bytes once = shared.deflated(15);
  CHECK(shared.deflated(15).data() == once.data());
  CHECK(shared.deflated(9).data() != once.data());
  CHECK_FALSE(shared.assign(as_bytes("\xff"), false));
  CHECK(shared.assign(as_bytes("\xff"), true));
}

}  // namespace
}  // namespace sluice::test
