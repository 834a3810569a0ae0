// tests/unit/worker/log_test.cc -- what a log line looks like, whatever bytes a client sent.
#include "worker/log.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

std::string line_of(std::vector<LogField> fields, size_t room = kLogLineBytes) {
  std::string out(room, '\0');
  out.resize(format_log_line(out, LogLevel::kWarning, "worker 3", 42, "client_cut", fields));
  return out;
}

TEST_CASE("a line is level, role, pid, event and its fields") {
  CHECK(line_of({{"slot", 7}, {"why", "timeout"}}) ==
        "warning worker 3[42] client_cut slot=7 why=timeout\n");
}

TEST_CASE("a value with a newline cannot begin a line of its own") {
  CHECK(line_of({{"path", "/a\r\nerror master[1] forged"}}) ==
        "warning worker 3[42] client_cut path=\"/a\\x0d\\x0aerror master[1] forged\"\n");
}

TEST_CASE("quotes, backslashes, bytes above ASCII and emptiness are escaped") {
  CHECK(line_of({{"value", "a\"b\\c\xff"}, {"none", ""}}) ==
        "warning worker 3[42] client_cut value=\"a\\\"b\\\\c\\xff\" none=\"\"\n");
}

TEST_CASE("a value that looks like another field is quoted") {
  CHECK(line_of({{"path", "a=b"}}) == "warning worker 3[42] client_cut path=\"a=b\"\n");
}

TEST_CASE("a line too long is cut, says so, and still ends in one newline") {
  const std::string line = line_of({{"path", std::string(5000, 'x')}});

  CHECK(line.size() == kLogLineBytes);
  CHECK(line.ends_with("x...\n"));
  CHECK(line.find('\n') == line.size() - 1);
}

}  // namespace
}  // namespace sluice
