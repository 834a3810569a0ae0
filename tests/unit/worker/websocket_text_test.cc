// tests/unit/worker/websocket_text_test.cc -- UTF-8 in messages, whole and as it arrives: family 6
// of the Autobahn suite, and every short byte sequence against a decoder of another kind.
#include "tests/unit/worker/websocket_client.h"
#include "worker/utf8_stream.h"

#include <doctest/doctest.h>

#include <sstream>

namespace sluice::test {
namespace {

struct Family {
  std::string_view what;
  std::string_view hex;  // contents, separated by spaces
};

constexpr Family kValid[] = {
    {"one to four bytes",
     "68656c6c6f24776f726c64 68656c6c6fc2a2776f726c64 68656c6c6fe282ac776f726c64 "
     "68656c6c6ff0a4ada2776f726c64 cebae1bdb9cf83cebcceb5 ceba"},
    {"the lowest code point of each length", "00 c280 e0a080 f0908080"},
    {"the highest code point of each length", "7f dfbf efbfbf f48fbfbf"},
    {"beside the surrogates", "ed9fbf ee8080"},
    {"non-characters and specials", "efbfbe f09fbfbe f0afbfbf f18fbfbe f3bfbfbe efbfb9 efbfbd"},
};

constexpr Family kInvalid[] = {
    {"cut short", "ce cebae1 cebae1bd cebae1bdb9cf df efbf f7bfbf f0a4ad"},
    {"five and six bytes", "f888808080 fc8480808080 fbbfbfbfbf fdbfbfbfbfbf"},
    {"past U+10FFFF", "f4908080 f7bfbfbf"},
    {"nothing to continue", "80 bf 80bf 80bf80bf80bf"},
    {"not continued", "c020 df20 e020 ef20 f020 f720 fb20 fd20"},
    {"cut short and overlong", "c0 e080 f08080 f8808080 fbbfbfbf fdbfbfbfbf c0e080f08080dfefbf"},
    {"bytes of no character", "fe ff fefeffff"},
    {"a slash at length", "c0af e080af f08080af f8808080af fc80808080af"},
    {"overlong by one", "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf"},
    {"a NUL at length", "c080 e08080 f0808080 f880808080 fc8080808080"},
    {"surrogates", "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf cebaeda080656469746564"},
    {"pairs of surrogates", "eda080edb080 edadbfedbfbf edae80edb080 edafbfedbfbf"},
};

// Calls `check` with each content of these families.
template <size_t kCount, class Check>
void for_each_content(const Family (&families)[kCount], Check check) {
  for (const Family& family : families) {
    std::istringstream words{std::string(family.hex)};
    for (std::string hex; words >> hex;) {
      CAPTURE(family.what);
      CAPTURE(hex);
      check(from_hex(hex));
    }
  }
}

// `content` as one message in fragments of a byte each.
std::string in_single_bytes(std::string_view content) {
  std::string sent = first("");
  for (const char byte : content) sent += more(std::string(1, byte));
  return sent + last("");
}

TEST_CASE("valid text comes back, however it is cut") {
  CHECK(talk(text("") + text(std::string(1, '\0'))) == std::string("text \ntext \0\n", 13));
  for_each_content(kValid, [](const std::string& content) {
    const std::string expected = "text " + content + "\nclose 1000\nclosed 1000\n";

    CHECK(talk(text(content) + close(1000)) == expected);
    CHECK(talk(in_single_bytes(content) + close(1000)) == expected);
  });
}

TEST_CASE("invalid text fails the connection with 1007 and reaches nobody") {
  for_each_content(kInvalid, [](const std::string& content) {
    CHECK(talk(text(content)) == "close 1007\nclosed 1007\n");
    CHECK(talk(in_single_bytes(content)) == "close 1007\nclosed 1007\n");
    CHECK(talk(text(std::string(4000, 'a') + content)) == "close 1007\nclosed 1007\n");
  });
}

TEST_CASE("bytes that are no text may travel as binary") {
  for_each_content(kInvalid, [](const std::string& content) {
    CHECK(talk(binary(content)) == "binary " + content + "\n");
  });
}

TEST_CASE("text fails at the fragment that makes it invalid") {
  EchoServer server;

  server.feed(first(from_hex("cebae1bdb9cf83cebcceb5")));
  CHECK(server.lines().empty());
  server.feed(more(from_hex("f490")));

  CHECK(server.lines() == "close 1007\nclosed 1007\n");
}

TEST_CASE("text fails at the byte that makes it invalid, inside a frame") {
  const std::string before = from_hex("cebae1bdb9cf83cebcceb5f4");
  const std::string sent = text(before + from_hex("90") + "8080edited");
  const size_t header = 6;
  EchoServer server;

  server.feed(sent.substr(0, header + before.size()));
  CHECK(server.lines().empty());
  server.feed(sent.substr(header + before.size(), 1));

  CHECK(server.lines() == "close 1007\nclosed 1007\n");
}

// Whether `bytes` is one character in UTF-8, by decoding it and encoding it again.
bool is_one_character(const std::string& bytes) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i]));
  };
  uint32_t point = 0;
  switch (bytes.size()) {
    case 1:
      point = byte(0);
      break;
    case 2:
      point = (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f);
      break;
    case 3:
      point = (byte(0) & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
      break;
    default:
      point =
          (byte(0) & 7) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
  }
  if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
  std::string again;
  const auto add = [&](uint32_t value) { again.push_back(static_cast<char>(value)); };
  if (point < 0x80) {
    add(point);
  } else if (point < 0x800) {
    add(0xc0 | point >> 6), add(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    add(0xe0 | point >> 12), add(0x80 | (point >> 6 & 0x3f)), add(0x80 | (point & 0x3f));
  } else {
    add(0xf0 | point >> 18), add(0x80 | (point >> 12 & 0x3f)), add(0x80 | (point >> 6 & 0x3f)),
        add(0x80 | (point & 0x3f));
  }
  return again == bytes;
}

bool stream_takes(std::string_view bytes) {
  Utf8Stream stream;
  return stream.feed(as_bytes(bytes)) && stream.complete();
}

// Counts the sequences of `size` bytes, the first two any, the others from a few telling ones, that
// the stream judges otherwise than `is_one_character`. Sequences that begin with a whole character
// are left to the shorter sizes.
size_t misjudged(size_t size) {
  static constexpr unsigned char kTelling[] = {0x00, 0x7f, 0x80, 0x81, 0xa0,
                                               0xbe, 0xbf, 0xc0, 0xff};
  size_t wrong = 0;
  for (int lead = size == 1 ? 0 : 0x80; lead < 256; ++lead) {
    for (int second = 0; second < (size > 1 ? 256 : 1); ++second) {
      std::string bytes{static_cast<char>(lead)};
      if (size > 1) bytes.push_back(static_cast<char>(second));
      if (size > 2 && is_one_character(bytes)) continue;
      bytes.resize(size);
      for (const unsigned char third : kTelling) {
        for (const unsigned char fourth : kTelling) {
          if (size > 2) bytes[2] = static_cast<char>(third);
          if (size > 3 && is_one_character(bytes.substr(0, 3))) continue;
          if (size > 3) bytes[3] = static_cast<char>(fourth);
          if (stream_takes(bytes) != is_one_character(bytes)) ++wrong;
        }
      }
    }
  }
  return wrong;
}

TEST_CASE("a character is judged as decoding and encoding it again judges it") {
  for (const size_t size : {1, 2, 3, 4}) {
    CAPTURE(size);
    CHECK(misjudged(size) == 0);
  }
}

TEST_CASE("text is judged alike wherever runs of ASCII begin and end around a character") {
  for (size_t before = 0; before < 20; ++before) {
    for (size_t after = 0; after < 20; ++after) {
      const std::string lead(before, 'a');
      const std::string tail(after, 'z');

      CHECK(stream_takes(lead + from_hex("f0a4ada2") + tail));
      CHECK_FALSE(stream_takes(lead + from_hex("f0a4ad") + tail));
      CHECK_FALSE(stream_takes(lead + from_hex("80") + tail));
    }
  }
}

}  // namespace
}  // namespace sluice::test
