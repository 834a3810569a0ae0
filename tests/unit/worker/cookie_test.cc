// tests/unit/worker/cookie_test.cc -- the cookies of messages.md, and their edges.
#include "worker/cookie.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "tests/support/show.h"

namespace sluice {
namespace {

std::string parsed(std::string_view header) {
  return test::shown([&](Encoder& encoder) { encode_cookies(header, encoder); });
}

TEST_CASE("chunks end at ; and split at the first =, no = meaning no name") {
  CHECK_EQ(parsed(""), "{}");
  CHECK_EQ(parsed("x"), R"({"":"x"})");
  CHECK_EQ(parsed("=y"), R"({"":"y"})");
  CHECK_EQ(parsed(";; ;=; = ;"), "{}");
  CHECK_EQ(parsed("a=b=c; d"), R"({"a":"b=c","":"d"})");
  CHECK_EQ(parsed("a=%20b"), R"({"a":"%20b"})");
}

TEST_CASE("of cookies with one name the last counts, few or many") {
  CHECK_EQ(parsed("a=1; a=2"), R"({"a":"2"})");
  std::string many;
  for (int i = 0; i < 5000; ++i)
    many += "a" + std::to_string(i % 40) + "=" + std::to_string(i) + ";";
  const std::string all = parsed(many);
  CHECK_NE(all.find(R"("a0":"4960")"), std::string::npos);
  CHECK_NE(all.find(R"("a39":"4999")"), std::string::npos);
  CHECK_EQ(std::count(all.begin(), all.end(), ':'), 40);
}

TEST_CASE("a value is unquoted only when it begins and ends with a quote") {
  CHECK_EQ(parsed(R"(a="b;c")"), R"({"a":""b","":"c""})");
  CHECK_EQ(parsed(R"(a="b\054c")"), R"({"a":"b,c"})");
  CHECK_EQ(parsed(R"(a="b\"c")"), R"({"a":"b"c"})");
  CHECK_EQ(parsed(R"(a="\777")"), R"({"a":"777"})");
  CHECK_EQ(parsed(R"(a="\377")"), "{\"a\":\"\u00ff\"}");
  CHECK_EQ(parsed(R"(a="\\x\")"), R"({"a":"\x\"})");
  CHECK_EQ(parsed(R"(a=")"), R"({"a":"""})");
  CHECK_EQ(parsed(R"(a="")"), R"({"a":""})");
  CHECK_EQ(parsed(R"(a=b\054c)"), R"({"a":"b\054c"})");
}

TEST_CASE("white space is stripped from both sides, Unicode's as well") {
  CHECK_EQ(parsed(" a = b \t; c= d e "), R"({"a":"b","c":"d e"})");
  CHECK_EQ(parsed("a\xc2\xa0=\xe3\x80\x80 b\xc2\x85"), R"({"a":"b"})");
}

TEST_CASE("bytes that are no UTF-8 are replaced before names are compared") {
  CHECK_EQ(parsed("\xff=1; \xfe=2; a=\xc3"), "{\"\ufffd\":\"2\",\"a\":\"\ufffd\"}");
}

TEST_CASE("all Cookie fields of a head count, and no others") {
  const HeaderField headers[] = {
      {"Host", "h=1"}, {"Cookie", "a=1; b=2"}, {"COOKIE", "a=3"}, {"Set-Cookie", "c=4"}};

  CHECK_EQ(test::shown([&](Encoder& encoder) { encode_cookies(headers, encoder); }),
           R"({"b":"2","a":"3"})");
}

}  // namespace
}  // namespace sluice
