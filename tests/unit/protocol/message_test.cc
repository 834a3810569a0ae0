// tests/unit/protocol/message_test.cc -- reading messages, the malformed and the hostile above
// all.
#include "protocol/message.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace sluice {
namespace {

using namespace std::string_view_literals;

std::string sample() {
  std::string space(2000, '\0');
  Encoder encoder(std::as_writable_bytes(std::span(space.data(), space.size())));
  const Value list[] = {1, "two", nullptr, true};
  const Pair map[] = {{"inner", "value"}, {"number", -5}};
  encode(encoder, {{"content", "Hello"},
                   {"body", as_bytes("\x01\x02\x03")},
                   {"status_code", 200},
                   {"list", std::span<const Value>(list)},
                   {"map", std::span<const Pair>(map)},
                   {"long", std::string(400, 'x')},
                   {"none", nullptr}});
  return std::string(as_text(encoder.finish().value()));
}

// Reads everything a message offers. The bytes lie at the end of an allocation of their own, so
// that a sanitizer sees a read past them.
size_t read_all(std::string_view bytes) {
  const auto own = std::make_unique<std::byte[]>(bytes.size());
  std::copy_n(as_bytes(bytes).begin(), bytes.size(), own.get());
  const Bytes span(own.get(), bytes.size());
  size_t seen = 0;
  const auto visit = [&seen](auto& self, const ValueView& value, int depth) -> void {
    seen += value.text().value_or("").size() + value.bytes().value_or(Bytes{}).size();
    seen += value.integer().has_value() + value.boolean().has_value() + value.size();
    if (depth == 0) return;
    for (const ValueView inner : value) self(self, inner, depth - 1);
  };
  visit(visit, ValueView(span), 4);
  for (const char* key : {"content", "map", "none", "missing"}) {
    seen += ValueView(span).find(key).has_value();
  }
  seen += ValueView(span).encoded_size() + MessageView::parse(span).ok();
  return seen;
}

TEST_CASE("fields are found by name and asked for by type") {
  const std::string bytes = sample();

  const Result<MessageView> message = MessageView::parse(as_bytes(bytes));

  REQUIRE(message.ok());
  CHECK_EQ(message->text("content"), "Hello");
  CHECK_EQ(as_text(message->bytes("body")), "\x01\x02\x03");
  CHECK_EQ(as_text(message->text_or_bytes("content")), "Hello");
  CHECK_EQ(message->integer("status_code"), 200);
  CHECK_EQ(message->map().size(), 7);
  CHECK_EQ(message->find("map")->find("number")->integer(), -5);
  CHECK_EQ(message->find("list")->size(), 4);
  CHECK(message->has("none"));
  CHECK_FALSE(message->has("nothing"));
  CHECK_EQ(message->integer("content", 7), 7);
  CHECK_EQ(message->text("status_code", "other"), "other");
}

TEST_CASE("of two fields with one name the first counts") {
  const std::string bytes = "\x82\xa1k\x01\xa1k\x02";

  CHECK_EQ(MessageView::parse(as_bytes(bytes))->integer("k"), 1);
}

TEST_CASE("a message cut short anywhere is malformed") {
  const std::string bytes = sample();

  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK_EQ(MessageView::parse(as_bytes(bytes.substr(0, size))).error(), Error::kMessageMalformed);
    read_all(std::string_view(bytes).substr(0, size));
  }
}

TEST_CASE("bytes after a message make it malformed") {
  const std::string bytes = sample() + '\xc0';

  CHECK_FALSE(MessageView::parse(as_bytes(bytes)).ok());
}

TEST_CASE("any byte may be changed to any other, and nothing is read outside") {
  const std::string bytes = sample();
  size_t still_messages = 0;

  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; value += at < 100 ? 1 : 15) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      read_all(changed);
      still_messages += MessageView::parse(as_bytes(changed)).ok();
    }
  }

  CHECK_GT(still_messages, bytes.size());  // each byte written as itself, at least
}

TEST_CASE("random bytes are read without harm") {
  std::mt19937 random(20261123);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 256);
    read_all(bytes);
    read_all("\x8f" + bytes);
  }
}

// The bytes change under the view, as another process can make them: between two calls here, which
// is as much as one thread can show.
TEST_CASE("a view over bytes that change never gives more than its bytes") {
  const std::string bytes = sample();
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    const auto own = std::make_unique<std::byte[]>(bytes.size());
    std::copy_n(as_bytes(bytes).begin(), bytes.size(), own.get());
    const Bytes span(own.get(), bytes.size());
    const Result<MessageView> message = MessageView::parse(span);
    REQUIRE(message.ok());
    for (int change = 0; change < 8; ++change) {
      own[random() % bytes.size()] = static_cast<std::byte>(random() % 256);
      for (const ValueView value : message->map()) {
        const Bytes content = value.text_or_bytes().value_or(span.first(0));
        CHECK_GE(content.data(), span.data());
        CHECK_LE(content.data() + content.size(), span.data() + span.size());
      }
      (void)message->find("none");
    }
  }
}

TEST_CASE("a length or count claimed beyond the bytes is malformed, and found at once") {
  for (const std::string_view claim :
       {"\xdb\xff\xff\xff\xff"
        "abc"sv,
        "\xc6\xff\xff\xff\xff"
        "abc"sv,
        "\xdd\xff\xff\xff\xff\x01"sv, "\xdf\xff\xff\xff\xff\x01\x01"sv,
        "\xda\xff\xff"
        "a"sv,
        "\xd9\x05"
        "abcd"sv,
        "\xc4\x02"
        "a"sv,
        "\xdc\x00\x02\x01"sv, "\x92\x01"sv,
        "\x81\xa1"
        "a"sv,
        "\xdf\x80\x00\x00\x00\x01\x01"sv}) {
    const ValueView value(as_bytes(claim));
    CHECK_EQ(value.encoded_size(), 0);
    CHECK_FALSE(value.text_or_bytes().has_value());
    size_t elements = 0;
    for ([[maybe_unused]] const ValueView inner : value) ++elements;
    CHECK_LE(elements, claim.size());
  }
}

TEST_CASE("nesting is followed as deep as the limit and no deeper") {
  for (size_t depth = 1; depth <= 40; ++depth) {
    const std::string lists = std::string(depth, '\x91') + '\xc0';

    CHECK_EQ(ValueView(as_bytes(lists)).encoded_size() == lists.size(),
             depth <= limits::kDecodeDepth);
  }
  const std::string abyss(1 << 20, '\x91');
  CHECK_EQ(ValueView(as_bytes(abyss)).encoded_size(), 0);
}

TEST_CASE("what is no message is refused: other types, other keys, floats, extensions, bad text") {
  for (const std::string_view bytes :
       {"\xc0"sv, "\x91\x01"sv,
        "\xa1"
        "a"sv,
        ""sv, "\x81\x01\x01"sv, "\x81\xc4\x01k\x01"sv, "\x81\xa1k\xc1"sv,
        "\x81\xa1k\xca\x00\x00\x00\x00"sv, "\x81\xa1k\xd4\x01\x00"sv, "\x81\xa1k\xa1\xff"sv,
        "\x81\xa1\xff\x01"sv, "\x81\xa1k\x81\x01\x02"sv, "\x81\xa1k\x91\xa1\x80"sv,
        "\x81\xa1k\xcf\xff\xff\xff\xff\xff\xff\xff\xff"sv}) {
    CHECK_FALSE(MessageView::parse(as_bytes(bytes)).ok());
  }
  CHECK(MessageView::parse(as_bytes("\x80")).ok());
}

TEST_CASE("wide forms of short values are read as well as the shortest") {
  using namespace std::string_literals;
  const std::string wide =
      "\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01k\xdd\x00\x00\x00\x02\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xce\x00\x00\x00\x05"s;

  const Result<MessageView> message = MessageView::parse(as_bytes(wide));

  REQUIRE(message.ok());
  auto value = message->find("k")->begin();
  CHECK_EQ((*value++).integer(), -1);
  CHECK_EQ((*value++).integer(), 5);
  CHECK_EQ(value, message->find("k")->end());
}

}  // namespace
}  // namespace sluice
