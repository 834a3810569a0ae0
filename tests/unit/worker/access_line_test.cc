// tests/unit/worker/access_line_test.cc -- what a line of the access log looks like, whatever bytes a client sent.
#include "worker/access_line.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace sluice {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kTime = "27/Nov/2026:14:03:05 +0000";

AccessLine answered() {
  return {.client = "127.0.0.1",
          .method = "GET",
          .target = "/a?b=c",
          .referer = "http://here/",
          .user_agent = "curl/7.88.1",
          .channel = "http.request",
          .received = 84,
          .sent = 13,
          .duration_us = 1'000'213,
          .consumer = 4711,
          .worker = 2,
          .status = 200};
}

using Write = size_t (*)(const AccessLine&, std::string_view, AccessLineSpace) noexcept;
std::string written(Write write, const AccessLine& line) {
  std::vector<char> space(limits::kAccessLineBytes);
  const size_t size = write(line, kTime, AccessLineSpace(space.data(), limits::kAccessLineBytes));
  return {space.data(), size};
}
std::string combined(const AccessLine& line) { return written(write_combined, line); }
std::string json(const AccessLine& line) { return written(write_json, line); }

// The text between the first `begin` and the `end` behind it.
std::string between(const std::string& line, std::string_view begin, std::string_view end) {
  const size_t from = line.find(begin) + begin.size();
  return line.substr(from, line.find(end, from) - from);
}
std::string target_in_json(std::string_view target) {
  AccessLine line = answered();
  line.target = target;
  return between(json(line), "\"target\":", ",\"protocol\"");
}
std::string target_in_combined(std::string_view target) {
  AccessLine line = answered();
  line.target = target;
  return between(combined(line), "\"GET ", " HTTP/1.1\"");
}

TEST_CASE("a combined line is what nginx and Apache write, then our own fields") {
  CHECK(combined(answered()) ==
        "127.0.0.1 - - [27/Nov/2026:14:03:05 +0000] \"GET /a?b=c HTTP/1.1\" 200 13 \"http://here/\" "
        "\"curl/7.88.1\" 1.000213 84 http.request 4711 2 -\n");
}

TEST_CASE("what is not known is a dash in a combined line") {
  CHECK(combined({.status = 400, .complete = true}) ==
        "unix: - - [27/Nov/2026:14:03:05 +0000] \"-\" 400 0 \"-\" \"-\" 0.000000 0 - - 0 -\n");
}

TEST_CASE("a json line is one object with every key, null where nothing is known") {
  AccessLine line = answered();
  line.minor_version = 0;
  CHECK(json(line) ==
        "{\"time\":\"27/Nov/2026:14:03:05 +0000\",\"client\":\"127.0.0.1\",\"method\":\"GET\","
        "\"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.0\",\"status\":200,\"sent\":13,"
        "\"referer\":\"http://here/\",\"user_agent\":\"curl/7.88.1\",\"duration\":1.000213,"
        "\"received\":84,\"channel\":\"http.request\",\"consumer\":4711,\"worker\":2,"
        "\"close_code\":null,\"complete\":true}\n");
  CHECK(json({.status = 408}) ==
        "{\"time\":\"27/Nov/2026:14:03:05 +0000\",\"client\":\"unix:\",\"method\":null,"
        "\"target\":null,\"protocol\":null,\"status\":408,\"sent\":0,\"referer\":null,"
        "\"user_agent\":null,\"duration\":0.000000,\"received\":0,\"channel\":null,\"consumer\":null,"
        "\"worker\":0,\"close_code\":null,\"complete\":true}\n");
}

TEST_CASE("an answer that was cut and a WebSocket's close code stand at the end") {
  AccessLine line = answered();
  line.complete = false;
  CHECK(combined(line).ends_with(" 4711 2 cut\n"));
  CHECK(json(line).ends_with("\"close_code\":null,\"complete\":false}\n"));
  line.status = 101;
  line.close_code = 1006;
  CHECK(combined(line).ends_with(" 4711 2 1006\n"));
  CHECK(json(line).ends_with("\"close_code\":1006,\"complete\":false}\n"));
}

TEST_CASE("of a head that was refused the first line is shown as it came, escaped") {
  const AccessLine line{.target = "\x16\x03\x01\x02\"\\", .status = 400};

  CHECK(between(combined(line), "] ", " 400") == "\"\\x16\\x03\\x01\\x02\\x22\\x5C\"");
  CHECK(between(json(line), "\"target\":", ",") == "\"\\u0016\\u0003\\u0001\\u0002\\\"\\\\\"");
}

TEST_CASE("quotes, backslashes, control bytes and bytes from 0x7f on are escaped in a combined line") {
  CHECK(target_in_combined("/\"\\\r\n\t\0\x7f\x80\xff~"sv) ==
        "/\\x22\\x5C\\x0D\\x0A\\x09\\x00\\x7F\\x80\\xFF~");
}

TEST_CASE("a json line is ASCII: characters are escaped as such, and what is no UTF-8 is replaced") {
  CHECK(target_in_json("/\"\\\r\n\0\x7f"sv) == "\"/\\\"\\\\\\u000D\\u000A\\u0000\\u007F\"");
  CHECK(target_in_json("\u00e4\u20ac\U0001f600") == "\"\\u00E4\\u20AC\\uD83D\\uDE00\"");
  CHECK(target_in_json("\u009b") == "\"\\u009B\"");  // a terminal would take it for an escape
  struct Case {
    const char* what;
    std::string_view bytes;
    size_t replaced;
  };
  const Case cases[] = {{"a lone continuation", "\x80", 1},
                        {"a character cut short", "\xe2\x82", 2},
                        {"an end within a character", "\xf0\x9f\x98", 3},
                        {"a slash written long", "\xc0\xaf", 2},
                        {"the same in three bytes", "\xe0\x80\xaf", 3},
                        {"a surrogate", "\xed\xa0\x80", 3},
                        {"beyond the last character", "\xf4\x90\x80\x80", 4},
                        {"bytes that are never UTF-8", "\xfe\xff", 2}};
  for (const Case& c : cases) {
    CAPTURE(c.what);
    std::string expected = "\"";
    for (size_t i = 0; i < c.replaced; ++i) expected += "\\uFFFD";
    CHECK(target_in_json(std::string(c.bytes) + "a") == expected + "a\"");
  }
}

TEST_CASE("no client can forge a line or a field, whichever byte it sends") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string theirs(3, static_cast<char>(byte));
    for (Write write : {write_combined, write_json}) {
      AccessLine line = answered();
      line.target = line.referer = line.user_agent = theirs;
      const std::string text = written(write, line);

      CAPTURE(byte);
      CHECK(text.find('\n') == text.size() - 1);
      CHECK(std::all_of(text.begin(), text.end() - 1, [](char c) { return c >= 0x20 && c < 0x7f; }));
    }
    AccessLine line = answered();
    line.user_agent = theirs;
    const std::string text = combined(line);
    CHECK(std::count(text.begin(), text.end(), '"') == 6);
  }
}

TEST_CASE("a long text is cut, marked, and never within an escape; the line stays bounded") {
  AccessLine line = answered();
  const std::string plain(10'000, 'x');
  const std::string hostile(10'000, '\xff');
  line.target = line.referer = line.user_agent = plain;
  CHECK(between(combined(line), "\"GET ", " HTTP/1.1") ==
        std::string(limits::kAccessTargetBytes, 'x') + "...");
  CHECK(combined(line).find(" \"" + std::string(limits::kAccessHeaderBytes, 'x') + "...\" \"") !=
        std::string::npos);

  line.target = line.referer = line.user_agent = hostile;
  CHECK(combined(line).size() <= limits::kAccessLineBytes);
  CHECK(json(line).size() <= limits::kAccessLineBytes);
  CHECK(between(combined(line), "\"GET ", " HTTP/1.1").ends_with("\\xFF..."));
  CHECK(target_in_json(hostile).ends_with("\\uFFFD...\""));
  CHECK(target_in_json(std::string(341, '\xff') + "ab").ends_with("\\uFFFDab\""));  // 6 * 341 + 2 = 2048
}

TEST_CASE("a text of just the length that is shown is not cut, and one of a byte more is") {
  AccessRecord record;
  record.keep("GET", std::string(limits::kAccessTargetBytes, 'x'), "r", "u");
  CHECK(combined(record.line).find("xx HTTP/1.1") != std::string::npos);
  record.keep("GET", std::string(limits::kAccessTargetBytes + 1, 'x'), "r", "u");
  CHECK(combined(record.line).find("xx... HTTP/1.1") != std::string::npos);
}

TEST_CASE("the largest numbers fit") {
  AccessLine line = answered();
  line.client = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
  line.method = std::string_view("MKCALENDARMKCALENDARMKCALENDARMKCALENDAR");
  line.received = line.sent = line.duration_us = UINT64_MAX;
  line.consumer = line.worker = UINT32_MAX;
  line.close_code = UINT16_MAX;
  const std::string long_text(10'000, '\x01');
  line.target = line.referer = line.user_agent = long_text;

  CHECK(combined(line).ends_with(" 4294967295 65535\n"));
  CHECK(json(line).find("\"duration\":18446744073709.551615,") != std::string::npos);
}

TEST_CASE("a record copies what it keeps, and is used again without allocating") {
  AccessRecord record;
  {
    const std::string gone = "/somewhere/rather/far/away";
    record.keep("POST", gone, gone, gone);
  }
  CHECK(record.line.method == "POST");
  CHECK(record.line.target == "/somewhere/rather/far/away");
  CHECK(record.line.user_agent == "/somewhere/rather/far/away");
  record.reset();
  CHECK(record.line.target.empty());
  CHECK(record.line.status == 0);
}

TEST_CASE("times are local, with their offset") {
  std::tm local{};
  local.tm_year = 126;
  local.tm_mon = 10;
  local.tm_mday = 7;
  local.tm_hour = 4;
  local.tm_min = 3;
  local.tm_sec = 59;
  local.tm_gmtoff = -(3 * 60 + 30) * 60;

  CHECK(combined_time(local).view() == "07/Nov/2026:04:03:59 -0330");
  CHECK(json_time(local).view() == "2026-11-07T04:03:59-03:30");
}

}  // namespace
}  // namespace sluice
