// tests/unit/protocol/codec_test.cc -- what the Encoder writes, byte by byte, and where it stops.
#include "protocol/codec.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {
namespace {

template <class Write>
std::string encoded(Write write) {
  std::array<std::byte, 200000> space;
  Encoder encoder(space);
  write(encoder);
  const Result<Bytes> bytes = encoder.finish();
  REQUIRE(bytes.ok());
  return std::string(as_text(*bytes));
}

std::string integer(int64_t value) {
  return encoded([&](Encoder& encoder) { encoder.integer(value); });
}

TEST_CASE("integers take their shortest form") {
  using namespace std::string_literals;

  CHECK_EQ(integer(0), "\x00"s);
  CHECK_EQ(integer(127), "\x7f"s);
  CHECK_EQ(integer(128), "\xcc\x80"s);
  CHECK_EQ(integer(255), "\xcc\xff"s);
  CHECK_EQ(integer(256), "\xcd\x01\x00"s);
  CHECK_EQ(integer(65536), "\xce\x00\x01\x00\x00"s);
  CHECK_EQ(integer(int64_t{1} << 32), "\xcf\x00\x00\x00\x01\x00\x00\x00\x00"s);
  CHECK_EQ(integer(-1), "\xff"s);
  CHECK_EQ(integer(-32), "\xe0"s);
  CHECK_EQ(integer(-33), "\xd0\xdf"s);
  CHECK_EQ(integer(-128), "\xd0\x80"s);
  CHECK_EQ(integer(-129), "\xd1\xff\x7f"s);
  CHECK_EQ(integer(-32769), "\xd2\xff\xff\x7f\xff"s);
  CHECK_EQ(integer(INT64_MIN), "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"s);
}

TEST_CASE("every integer near a change of form comes back as it was") {
  for (int shift = 0; shift < 63; ++shift) {
    for (int64_t near = -2; near <= 2; ++near) {
      for (int64_t sign : {-1, 1}) {
        const int64_t value = sign * ((int64_t{1} << shift) + near);

        const std::string bytes = integer(value);

        CHECK_EQ(ValueView(as_bytes(bytes)).integer(), value);
        CHECK_EQ(ValueView(as_bytes(bytes)).encoded_size(), bytes.size());
      }
    }
  }
}

TEST_CASE("text and bytes of every length class come back as they were, in the shortest form") {
  struct Length {
    size_t size, text_header, bytes_header;
  };
  for (const Length length :
       {Length{0, 1, 2}, Length{31, 1, 2}, Length{32, 2, 2}, Length{255, 2, 2}, Length{256, 3, 3},
        Length{65535, 3, 3}, Length{65536, 5, 5}}) {
    const std::string content(length.size, 'x');

    const std::string text = encoded([&](Encoder& encoder) { encoder.text(content); });
    const std::string bytes = encoded([&](Encoder& encoder) { encoder.bytes(as_bytes(content)); });

    CHECK_EQ(text.size(), length.text_header + length.size);
    CHECK_EQ(bytes.size(), length.bytes_header + length.size);
    CHECK_EQ(ValueView(as_bytes(text)).text(), content);
    CHECK_FALSE(ValueView(as_bytes(text)).bytes().has_value());
    CHECK_EQ(as_text(ValueView(as_bytes(bytes)).bytes().value()), content);
    CHECK_FALSE(ValueView(as_bytes(bytes)).text().has_value());
  }
}

TEST_CASE("a text written in place gets the header of the length it came to have") {
  for (const size_t most : {size_t{40}, size_t{300}, size_t{70000}}) {
    for (const size_t size : {size_t{0}, size_t{5}, size_t{31}, size_t{32}, most}) {
      const std::string content(std::min(size, most), 'x');

      const std::string in_place = encoded([&](Encoder& encoder) {
        const std::span<char> room = encoder.begin_text(most);
        REQUIRE_EQ(room.size(), most);
        std::copy(content.begin(), content.end(), room.begin());
        encoder.end_text(content.size());
      });

      CHECK_EQ(in_place, encoded([&](Encoder& encoder) { encoder.text(content); }));
    }
  }
}

TEST_CASE("a text in place may ask for more than there is, as long as it takes no more") {
  std::array<std::byte, 10> space;
  Encoder encoder(space);

  const std::span<char> room = encoder.begin_text(1000);
  room[0] = 'a';
  encoder.end_text(1);

  CHECK_LT(room.size(), 10);
  CHECK_EQ(ValueView(encoder.finish().value()).text(), "a");
}

TEST_CASE("a text in place that took more than there was is an overflow") {
  std::array<std::byte, 10> space;
  Encoder encoder(space);

  (void)encoder.begin_text(1000);
  encoder.end_text(20);

  CHECK_EQ(encoder.finish().error(), Error::kMessageTooLarge);
}

void write_everything(Encoder& encoder) {
  encoder.begin_map();
  encoder.key("null").null();
  encoder.key("yes").boolean(true);
  encoder.key("number").integer(-70000);
  encoder.key("text").text("grün");
  encoder.key("bytes").bytes(as_bytes("\xff\x00"));
  encoder.key("list").begin_list().integer(1).text("two").begin_list().end_list().end_list();
  encoder.key("map").begin_map().key("inner").text(std::string(300, 'i')).end_map();
  encoder.key("in place");
  const std::span<std::byte> room = encoder.bytes_in_place(3);
  for (std::byte& byte : room) byte = std::byte{7};
  encoder.end_map();
}

TEST_CASE("whatever the space, nothing is written past it, and it is either enough or too small") {
  const std::string whole = encoded(write_everything);

  for (size_t size = 0; size <= whole.size() + 1; ++size) {
    std::vector<std::byte> space(size + 16, std::byte{0xee});
    Encoder encoder(std::span<std::byte>(space).first(size));

    write_everything(encoder);

    const Result<Bytes> bytes = encoder.finish();
    CHECK_EQ(bytes.ok(), size >= whole.size());
    if (bytes.ok()) CHECK_EQ(as_text(*bytes), whole);
    for (size_t i = size; i < space.size(); ++i) CHECK_EQ(space[i], std::byte{0xee});
  }
}

TEST_CASE("a container holds 65,535 values and not one more") {
  for (const size_t count : {65535u, 65536u}) {
    std::array<std::byte, 70000> space;
    Encoder encoder(space);

    encoder.begin_list();
    for (size_t i = 0; i < count; ++i) encoder.null();
    encoder.end_list();

    CHECK_EQ(encoder.finish().ok(), count == 65535);
  }
}

TEST_CASE("elements encoded earlier can be appended to an open map") {
  std::array<std::byte, 100> prefix_space;
  Encoder prefix(prefix_space);
  prefix.key("a").integer(1).key("b").integer(2);
  REQUIRE_EQ(prefix.elements(), 4);

  const std::string message = encoded([&](Encoder& encoder) {
    encoder.begin_map();
    encoder.raw(prefix.finish().value(), prefix.elements());
    encoder.key("c").integer(3);
    encoder.end_map();
  });

  const ValueView map(as_bytes(message));
  CHECK_EQ(map.size(), 3);
  CHECK_EQ(map.find("a")->integer(), 1);
  CHECK_EQ(map.find("c")->integer(), 3);
}

TEST_CASE("UTF-8 is told from what only looks like it") {
  for (const std::string_view good :
       {"", "plain", "gr\xc3\xbcn", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf",
        "\xed\x9f\xbf", "\xee\x80\x80", "eight by\xc3\xbctes and more of them"}) {
    CHECK(valid_utf8(good));
  }
  for (const std::string_view bad :
       {"\x80", "\xff", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "plain te\xc3", "\xc3\x28"}) {
    CHECK_FALSE(valid_utf8(bad));
  }
}

TEST_CASE("a byte above ASCII is found wherever it stands") {
  for (size_t size = 0; size < 40; ++size) {
    std::string text(size, 'a');
    CHECK(is_ascii(text));
    for (size_t at = 0; at < size; ++at) {
      text[at] = '\x80';
      CHECK_FALSE(is_ascii(text));
      CHECK_FALSE(valid_utf8(text));
      text[at] = 'a';
    }
  }
}

}  // namespace
}  // namespace sluice
