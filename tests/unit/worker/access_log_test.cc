// tests/unit/worker/access_log_test.cc -- records in, lines out, and what that costs.
#include "worker/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/nameless_file.h"
#include "tests/unit/worker/allocations.h"
#include "worker/http_session.h"

// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

namespace {

using namespace sluice;
using shm::Fd;

struct Bench {
  explicit Bench(const char* path = nullptr, bool json = false) {
    file = path == nullptr ? tests::NamelessFile().another() : Fd(::open(path, O_RDWR | O_APPEND));
    REQUIRE(static_cast<bool>(file));
    log = std::make_unique<AccessLog>(Fd(::dup(file.get())), json, 3, counters, retries);
  }
  void request(std::string_view target, uint64_t since_ms = 0) {
    const HeaderField fields[] = {
        {"Host", "here"}, {"USER-AGENT", "test/1"}, {"Referer", "http://there/"}, {"Accept", "*/*"}};
    RequestHead head;
    head.method = "GET";
    head.target = target;
    head.headers = fields;
    head.bytes = 77;
    auto record = log->begin(head, since_ms);
    record->line.status = 200;
    log->end(std::move(record), "10.0.0.1", 1'000'000'000);
  }
  [[nodiscard]] std::string text() const { return tests::NamelessFile::text_of(file); }
  Fd file;
  Counters counters;
  Retries retries;
  std::unique_ptr<AccessLog> log;
};

TEST_CASE("a line shows the request, its headers whatever their case, its bytes and its worker") {
  Bench bench;

  bench.request("/one");
  bench.log->flush(1);

  const std::string text = bench.text();
  CHECK(text.starts_with("10.0.0.1 - - ["));
  CHECK(text.find("] \"GET /one HTTP/1.1\" 200 0 \"http://there/\" \"test/1\" 0.0") != std::string::npos);
  CHECK(text.ends_with(" 77 - - 3 -\n"));
}

TEST_CASE("a head that came slowly is counted from its first byte") {
  Bench bench;

  bench.request("/slow", 1);  // the monotonic clock's first millisecond
  bench.log->flush(1);

  const std::string text = bench.text();
  const std::string seconds = text.substr(text.find("\"test/1\" ") + 9);
  CHECK(std::stod(seconds) > 1.0);
}

TEST_CASE("what was not understood has a line too") {
  Bench bench(nullptr, true);
  auto record = bench.log->begin("GET /a b HTTP/1.1", 0);
  record->line.status = 400;
  bench.log->end(std::move(record), "", 1'000'000'000);
  bench.log->flush(1);

  CHECK(bench.text().find("\"method\":null,\"target\":\"GET /a b HTTP/1.1\",\"protocol\":null,\"status\":400") !=
        std::string::npos);
}

TEST_CASE("in steady state nothing is allocated") {
  Bench bench;
  const std::string longest(limits::kAccessTargetBytes, 'x');
  for (int i = 0; i < 4; ++i) bench.request(longest);
  bench.log->flush(1);
  const size_t before = test::allocations();

  for (int i = 0; i < 1000; ++i) {
    bench.request(longest);
    if (i % 10 == 0) bench.log->flush(1);
  }

  CHECK(test::allocations() == before);
}

TEST_CASE("lines lost are counted, and spoken of once in a while") {
  Bench bench("/dev/full");
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd reads(ends[0]);
  const Fd stderr_before(::dup(STDERR_FILENO));
  REQUIRE(::dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
  ::close(ends[1]);

  for (uint64_t now_ms = 100'000; now_ms < 100'000 + 15'000; now_ms += 1000) {
    bench.request("/a");
    bench.request("/b");
    bench.log->flush(now_ms);
  }

  ::dup2(stderr_before.get(), STDERR_FILENO);
  char said[4096];
  const ssize_t got = ::read(reads.get(), said, sizeof said);
  const std::string text(said, got < 0 ? 0 : static_cast<size_t>(got));
  CHECK(bench.counters[Counter::kAccessLinesLost] == 30);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(text.find("access_log_lines_lost lines=2 why=\"No space left on device\"\n") != std::string::npos);
  CHECK(text.find("access_log_lines_lost lines=20 why=") != std::string::npos);
}

TEST_CASE("at the end what still waits for room is lost, and counted") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd reads(ends[0]);
  Counters counters;
  Retries retries;
  AccessLog log(Fd(ends[1]), false, 0, counters, retries);
  const std::string filler(4096, 'x');
  while (::write(ends[1], filler.data(), filler.size()) > 0) {
  }
  for (int i = 0; i < 2; ++i) log.end(log.begin("line", 0), "", 1'000'000'000);
  log.flush(1);
  CHECK(counters[Counter::kAccessLinesLost] == 0);

  log.finish(2);

  CHECK(counters[Counter::kAccessLinesLost] == 2);
}

TEST_CASE("a pipe with no room is tried again by the retries, and no more often") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd reads(ends[0]);
  Counters counters;
  Retries retries;
  AccessLog log(Fd(ends[1]), false, 0, counters, retries);
  const std::string filler(1 << 20, 'x');
  while (::write(ends[1], filler.data(), 4096) > 0) {
  }
  auto record = log.begin("line", 0);
  record->line.status = 400;
  log.end(std::move(record), "", 1'000'000'000);

  log.flush(1);
  CHECK_FALSE(retries.empty());
  std::string got(filler.size(), '\0');
  REQUIRE(::read(reads.get(), got.data(), got.size()) > 0);
  log.flush(2);
  CHECK_FALSE(retries.empty());
  retries.run();

  CHECK(retries.empty());
  got.resize(static_cast<size_t>(std::max<ssize_t>(::read(reads.get(), got.data(), got.size()), 0)));
  CHECK(got.ends_with("\"line\" 400 0 \"-\" \"-\" " + got.substr(got.find("0.0"))));
  CHECK(counters[Counter::kAccessLinesLost] == 0);
}

}  // namespace
