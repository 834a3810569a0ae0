// tests/unit/worker/query_test.cc -- the query strings of messages.md, and their edges.
#include "worker/query.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/show.h"

namespace sluice {
namespace {

std::string parsed(std::string_view query) {
  return test::shown([&](Encoder& encoder) { return encode_query(query, encoder); });
}

TEST_CASE("pieces end at &, split at the first =, and empty ones are skipped") {
  CHECK_EQ(parsed(""), "[]");
  CHECK_EQ(parsed("a=1;b=2"), R"([["a","1;b=2"]])");
  CHECK_EQ(parsed("a"), R"([["a",""]])");
  CHECK_EQ(parsed("=b"), R"([["","b"]])");
  CHECK_EQ(parsed("="), R"([["",""]])");
  CHECK_EQ(parsed("&&a=1"), R"([["a","1"]])");
  CHECK_EQ(parsed("a=b=c"), R"([["a","b=c"]])");
  CHECK_EQ(parsed("b=2&a=1&b=3&"), R"([["b","2"],["a","1"],["b","3"]])");
}

TEST_CASE("+ is a space and escapes are decoded once, malformed ones not at all") {
  CHECK_EQ(parsed("a=+b%2B"), R"([["a"," b+"]])");
  CHECK_EQ(parsed("a=%zz%4%"), R"([["a","%zz%4%"]])");
  CHECK_EQ(parsed("a=%2541"), R"([["a","%41"]])");
  CHECK_EQ(parsed("%61%3D%26=%e2%82%ac"), "[[\"a=&\",\"\u20ac\"]]");
  CHECK_EQ(parsed("a%00=1"), std::string("[[\"a\0\",\"1\"]]", 12));
}

TEST_CASE("escaped bytes that are no UTF-8 are replaced, one mark for each broken beginning") {
  CHECK_EQ(parsed("a=%C3%28"), "[[\"a\",\"\ufffd(\"]]");
  CHECK_EQ(parsed("a=%ff%fe"), "[[\"a\",\"\ufffd\ufffd\"]]");
  CHECK_EQ(parsed("a=%e2%82x"), "[[\"a\",\"\ufffdx\"]]");
  CHECK_EQ(parsed("a=%ed%a0%80"), "[[\"a\",\"\ufffd\ufffd\ufffd\"]]");
  CHECK_EQ(parsed("a=%e2%82&b=%ac"), "[[\"a\",\"\ufffd\"],[\"b\",\"\ufffd\"]]");
}

TEST_CASE("raw bytes are UTF-8, or ISO 8859-1 for the whole string") {
  CHECK_EQ(parsed("a=\xc3\xa9"), "[[\"a\",\"\u00e9\"]]");
  CHECK_EQ(parsed("a=\xc3\xa9&b=\xe9"), "[[\"a\",\"\u00c3\u00a9\"],[\"b\",\"\u00e9\"]]");
  CHECK_EQ(parsed("a=%c3\xc3\xa9"), "[[\"a\",\"\ufffd\u00e9\"]]");
}

TEST_CASE("1000 fields are taken and 1001 refused, empty ones counted") {
  CHECK_NE(parsed(std::string(999, '&')), "error: too many form fields");
  CHECK_EQ(parsed(std::string(1000, '&')), "error: too many form fields");
}

TEST_CASE("a refused query leaves the encoder as it was") {
  std::vector<std::byte> space(100);
  Encoder encoder(space);

  CHECK_FALSE(encode_query(std::string(1000, '&'), encoder).ok());

  CHECK_EQ(encoder.size(), 0);
}

TEST_CASE("what does not stand for itself is found wherever it stands") {
  const struct {
    const char* said;
    const char* utf8;    // where all of it is UTF-8
    const char* latin1;  // where a byte elsewhere makes it ISO 8859-1
  } pieces[] = {{"%41", "A", "A"}, {"+", " ", " "}, {"%$", "%$", "%$"}, {"+*", " *", " *"}, {"%", "%", "%"},
                {"%c3%a9", "\u00e9", "\u00e9"}, {"%c3x", "\ufffdx", "\ufffdx"}, {"\u00e9", "\u00e9", "\u00c3\u00a9"}};
  for (const auto& piece : pieces) {
    for (size_t before = 0; before < 18; ++before) {
      for (size_t behind = 0; behind < 18; ++behind) {
        CAPTURE(piece.said);
        CAPTURE(before);
        CAPTURE(behind);
        const std::string front(before, 'a');
        const std::string back(behind, 'z');
        const auto fields = [&](const char* middle, const char* more) {
          return "[[\"n\",\"" + front + middle + back + "\"]" + more + "]";
        };
        CHECK_EQ(parsed("n=" + front + piece.said + back), fields(piece.utf8, ""));
        CHECK_EQ(parsed("n=" + front + piece.said + back + "&b=\xff"), fields(piece.latin1, ",[\"b\",\"\u00ff\"]"));
      }
    }
  }
}

TEST_CASE("with too little room nothing is written past it and the encoder says so") {
  const std::string query = "name=%C3%A9+x&other=%ff%ff&third=" + std::string(300, '%');
  const std::string whole = parsed(query);
  for (size_t size = 0; size < 420; ++size) {
    std::vector<std::byte> space(size + 8, std::byte{0xee});
    Encoder encoder(std::span<std::byte>(space).first(size));

    REQUIRE(encode_query(query, encoder).ok());

    if (const Result<Bytes> bytes = encoder.finish(); bytes.ok()) {
      CHECK_EQ(test::show(ValueView(*bytes)), whole);
    }
    for (size_t i = size; i < space.size(); ++i) CHECK_EQ(space[i], std::byte{0xee});
  }
}

}  // namespace
}  // namespace sluice
