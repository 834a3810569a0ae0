// tests/unit/protocol/websocket_constants_test.cc -- messages made of keys encoded once, and the disconnect
// written into their own block.
#include "protocol/websocket_constants.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/message.h"

namespace sluice {
namespace {

// A block's message space that holds the constants and whatever was there before.
struct Block {
  explicit Block(size_t room = 4096) : space(room, std::byte{0xc1}) {
    Encoder encoder(std::span<std::byte>(space).first(room - kDisconnectTailBytes));
    encode(encoder, {{"path", "/ws"}, {"reply_channel", "websocket.send.2-1!3.4"}, {"scheme", "ws"}});
    bytes = encoder.finish()->size();
  }
  [[nodiscard]] Constants constants() const {
    const std::optional<Constants> found = find_constants(space);
    REQUIRE(found.has_value());
    return *found;
  }
  std::vector<std::byte> space;
  size_t bytes = 0;
};

TEST_CASE("the constants are found by their own length, whatever lies behind them") {
  const Block block;

  const Constants constants = block.constants();

  CHECK(constants.elements == 6);
  CHECK(constants.keys.size() == block.bytes - 3);
}

TEST_CASE("a receive has the constants, its content by its kind, and its order") {
  const Block block;
  std::vector<std::byte> out(1024);

  const auto text = encode_receive(out, block.constants(), as_bytes("hi"), false, 7);
  REQUIRE(text.ok());
  const auto as_message = MessageView::parse(*text);
  REQUIRE(as_message.ok());
  CHECK(as_message->text("path") == "/ws");
  CHECK(as_message->text("content") == "hi");
  CHECK_FALSE(as_message->boolean("binary", true));
  CHECK(as_message->integer("order") == 7);

  const auto bytes = encode_receive(out, block.constants(), as_bytes("\xff\xfe"), true, 8);
  REQUIRE(bytes.ok());
  const auto as_binary = MessageView::parse(*bytes);
  REQUIRE(as_binary.ok());
  CHECK(as_text(as_binary->bytes("content")) == "\xff\xfe");
  CHECK(as_binary->boolean("binary"));
}

TEST_CASE("a receive's keys never take more than their allowance") {
  const Block block;
  const std::string content(70'000, 'x');
  std::vector<std::byte> out(kReceiveKeysBytes + block.bytes + content.size());

  CHECK(encode_receive(out, block.constants(), as_bytes(content), true, 0xffffffff).ok());
  CHECK(encode_receive(out, block.constants(), as_bytes(content), false, 0xffffffff).ok());
}

TEST_CASE("a disconnect is written behind the constants in their own block") {
  Block block;
  const std::string reason(limits::kCloseReasonBytes, 'r');

  const auto message = encode_disconnect(block.space, block.constants(), 4999, reason, 0xffffffff);

  REQUIRE(message.ok());
  CHECK(message->data() == block.space.data());
  const auto parsed = MessageView::parse(*message);
  REQUIRE(parsed.ok());
  CHECK(parsed->text("reply_channel") == "websocket.send.2-1!3.4");
  CHECK(parsed->integer("code") == 4999);
  CHECK(parsed->text("reason") == reason);
  CHECK(parsed->integer("order") == 0xffffffff);
}

TEST_CASE("the constants of a block whose writer died while it wrote the disconnect are found again") {
  Block block;
  const Constants before = block.constants();
  const size_t elements = before.elements;
  const size_t size = before.keys.size();
  const std::vector<std::byte> untouched = block.space;
  const size_t written = encode_disconnect(block.space, before, 1001, "bye", 5)->size();

  // It died before the count: the tail lies there and does not count. Or after it.
  std::vector<std::byte> half = block.space;
  half[2] = untouched[2];
  for (const std::vector<std::byte>& space : {half, block.space}) {
    const std::optional<Constants> found = find_constants(space);
    REQUIRE(found.has_value());
    CHECK(found->elements == elements);
    CHECK(found->keys.size() == size);

    std::vector<std::byte> out(written + 64);
    const auto message = encode_disconnect(out, *found, 1006, "", 6);
    REQUIRE(message.ok());
    const auto parsed = MessageView::parse(*message);
    REQUIRE(parsed.ok());
    CHECK(parsed->integer("code") == 1006);
    CHECK(parsed->map().size() == 6);
  }
}

TEST_CASE("a disconnect can be written again while nobody took it") {
  Block block;
  const Constants constants = block.constants();

  REQUIRE(encode_disconnect(block.space, constants, 1000, "a long reason first", 2).ok());
  const auto again = encode_disconnect(block.space, constants, 1013, "", 3);

  REQUIRE(again.ok());
  const auto parsed = MessageView::parse(*again);
  REQUIRE(parsed.ok());
  CHECK(parsed->integer("code") == 1013);
  CHECK(parsed->text("reason").empty());
  CHECK(parsed->map().size() == 6);
}

TEST_CASE("a reason that is not UTF-8 or too long is left out") {
  Block block;
  const std::string long_reason(limits::kCloseReasonBytes + 1, 'x');
  for (const std::string_view reason : {std::string_view("\xff\xfe"), std::string_view(long_reason)}) {
    const auto message = encode_disconnect(block.space, block.constants(), 1000, reason, 1);
    REQUIRE(message.ok());
    CHECK(MessageView::parse(*message)->text("reason", "absent").empty());
  }
}

TEST_CASE("what is no map of constants is not taken for one") {
  CHECK_FALSE(find_constants({}).has_value());
  const std::vector<std::byte> zeros(64);
  CHECK_FALSE(find_constants(zeros).has_value());
  const Block block;
  CHECK_FALSE(find_constants(Bytes(block.space).first(block.bytes - 1)).has_value());
}

}  // namespace
}  // namespace sluice
