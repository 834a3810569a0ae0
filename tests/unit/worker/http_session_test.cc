// tests/unit/worker/http_session_test.cc -- what the case documents (tests/cases/http) cannot show:
// where bytes lie, what is allocated, pausing at a chosen event, where a session says it stands.
#include "worker/http_session.h"

#include <doctest/doctest.h>
#include <llhttp.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/worker/allocations.h"

namespace sluice {
namespace {

constexpr HttpLimits kLimits{16384, 8192, 100, 1 << 20};
constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kPost = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

// Notes events as words, and does what a test wants done inside of one.
struct Listener : HttpSession::Events {
  std::vector<std::string> events;
  std::vector<Bytes> pieces;
  std::function<void(std::string_view event, const RequestHead* head)> inside;
  int status = 0;
  std::string line;  // of what was refused

  void note(std::string event, const RequestHead* head = nullptr) {
    events.push_back(std::move(event));
    if (inside) inside(events.back(), head);
  }
  void on_head(const RequestHead& head) noexcept override { note("head", &head); }
  void on_body(Bytes piece) noexcept override {
    pieces.push_back(piece);
    note("body " + std::string(as_text(piece)));
  }
  void on_complete() noexcept override { note("complete"); }
  void on_refused(const Refusal& refusal) noexcept override {
    status = refusal.status;
    line = refusal.line;
    note("refused");
  }
};

using Events = std::vector<std::string>;

struct Idle : HttpSession::Events {
  void on_head(const RequestHead&) noexcept override {}
  void on_body(Bytes) noexcept override {}
  void on_complete() noexcept override { ++requests; }
  void on_refused(const Refusal&) noexcept override { ++refusals; }
  int requests = 0, refusals = 0;
};

bool lies_in(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

TEST_CASE("a head that comes whole is told where it lies") {
  const std::string bytes = "GET /x?y HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\n\r\n";
  Listener listener;
  listener.inside = [&](std::string_view event, const RequestHead* head) {
    if (event != "head") return;
    CHECK(lies_in(head->method, bytes));
    CHECK(lies_in(head->raw_path, bytes));
    CHECK(lies_in(head->query, bytes));
    CHECK(lies_in(head->authority, bytes));
    CHECK(head->bytes == bytes.size());
    REQUIRE(head->headers.size() == 2);
    CHECK(lies_in(head->headers[1].value, bytes));
  };
  HttpSession session(listener, kLimits);

  CHECK(session.feed(as_bytes(bytes)) == bytes.size());

  CHECK(listener.events == Events{"head", "complete"});
}

TEST_CASE("of a refused head its first line is told, however the bytes came, and of a body none") {
  struct Case {
    std::string_view bytes;
    std::string_view line;
  };
  for (const Case& c : {Case{"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a b HTTP/1.1"},
                        Case{"\r\nGET / HTTP/1.1\r\nbad\r\n\r\n", "GET / HTTP/1.1"},
                        Case{"\x16\x03\x01", "\x16\x03\x01"},
                        Case{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", ""}}) {
    for (const size_t step : {c.bytes.size(), size_t{1}}) {
      Listener listener;
      HttpSession session(listener, kLimits);
      for (size_t at = 0; at < c.bytes.size(); at += step) {
        static_cast<void>(session.feed(as_bytes(c.bytes.substr(at, step))));
      }

      CAPTURE(std::string(c.bytes));
      CAPTURE(step);
      CHECK(session.refused());
      CHECK(listener.line.empty() == c.line.empty());
      // Byte by byte it is refused as soon as it can be.
      CHECK((step == 1 ? c.line.starts_with(listener.line) : c.line == listener.line));
    }
  }
}

TEST_CASE("a body is passed on where it lies, by length and chunked") {
  for (std::string_view framed : {"Content-Length: 5\r\n\r\nhello",
                                  "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    const std::string bytes = "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(framed);
    Listener listener;
    HttpSession session(listener, kLimits);

    CHECK(session.feed(as_bytes(bytes)) == bytes.size());

    REQUIRE(listener.pieces.size() == 1);
    CHECK(lies_in(as_text(listener.pieces[0]), bytes));
    CHECK(as_text(listener.pieces[0]) == "hello");
  }
}

TEST_CASE("requests that come whole allocate nothing after the first") {
  Idle counts;
  HttpSession session(counts, kLimits);
  const std::string bytes = std::string(kGet) + std::string(kPost) +
                            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                            "chunked\r\n\r\n5;a\r\nhello\r\n0\r\nA: b\r\n\r\n";
  CHECK(session.feed(as_bytes(bytes)) == bytes.size());

  const size_t before = test::allocations();
  for (int i = 0; i < 100; ++i) CHECK(session.feed(as_bytes(bytes)) == bytes.size());

  CHECK(test::allocations() == before);
  CHECK(counts.requests == 303);
}

TEST_CASE("paused in on_head, the end of a request without a body waits for a feed of nothing") {
  Listener listener;
  HttpSession session(listener, kLimits);
  listener.inside = [&](std::string_view event, const RequestHead*) {
    if (event == "head") session.pause();
  };

  CHECK(session.feed(as_bytes(kGet)) == kGet.size());
  CHECK(listener.events == Events{"head"});
  CHECK_FALSE(session.idle());
  session.resume();
  CHECK(session.feed({}) == 0);

  CHECK(listener.events == Events{"head", "complete"});
  CHECK(session.idle());
}

TEST_CASE("paused at the end of a request, the next one is left with the caller") {
  Listener listener;
  HttpSession session(listener, kLimits);
  listener.inside = [&](std::string_view event, const RequestHead*) {
    if (event == "complete") session.pause();
  };
  const std::string bytes = std::string(kPost) + std::string(kGet);

  CHECK(session.feed(as_bytes(bytes)) == kPost.size());
  CHECK(session.feed(as_bytes(kGet)) == 0);
  CHECK(listener.events == Events{"head", "body hello", "complete"});
  session.resume();
  CHECK(session.feed(as_bytes(kGet)) == kGet.size());

  CHECK(listener.events == Events{"head", "body hello", "complete", "head", "complete"});
}

TEST_CASE("paused in a piece of a body, no more of it is told") {
  const std::string_view bytes =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
  Listener listener;
  HttpSession session(listener, kLimits);
  listener.inside = [&](std::string_view event, const RequestHead*) {
    if (event == "body a") session.pause();
  };

  const size_t taken = session.feed(as_bytes(bytes));
  CHECK(listener.events == Events{"head", "body a"});
  CHECK(bytes.substr(taken) == "\r\n1\r\nb\r\n0\r\n\r\n");
  session.resume();
  CHECK(session.feed(as_bytes(bytes.substr(taken))) == bytes.size() - taken);

  CHECK(listener.events == Events{"head", "body a", "body b", "complete"});
}

TEST_CASE("a session says where it stands after each byte") {
  Listener listener;
  HttpSession session(listener, kLimits);
  const size_t head = kPost.size() - 5;
  CHECK(session.idle());

  for (size_t i = 0; i < kPost.size(); ++i) {
    CHECK(session.feed(as_bytes(kPost.substr(i, 1))) == 1);
    CHECK(session.in_head() == (i + 1 < head));
    CHECK(session.in_body() == (i + 1 >= head && i + 1 < kPost.size()));
    CHECK(session.idle() == (i + 1 == kPost.size()));
  }
}

TEST_CASE("switched inside on_head, the bytes behind the head stay with the caller") {
  const std::string bytes =
      "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\n\r\n\x81\x05hello";
  Listener listener;
  HttpSession session(listener, kLimits);
  listener.inside = [&](std::string_view, const RequestHead* head) {
    CHECK(head->wants_websocket);
    session.switch_protocol();
  };

  CHECK(session.feed(as_bytes(bytes)) == bytes.size() - 7);
  CHECK(session.feed(as_bytes(std::string_view(bytes).substr(bytes.size() - 7))) == 0);

  CHECK(listener.events == Events{"head"});
}

TEST_CASE("behind a request that is said to be the last, bytes are taken and nothing is told") {
  for (const std::string_view last : {kGet, kPost}) {
    Listener listener;
    HttpSession session(listener, kLimits);
    listener.inside = [&](std::string_view event, const RequestHead*) {
      if (event == "head") session.expect_no_more();
    };
    const std::string bytes = std::string(last) + std::string(kGet);

    CHECK(session.feed(as_bytes(bytes)) == bytes.size());
    CHECK(session.feed(as_bytes(kGet)) == kGet.size());

    CHECK(listener.events == (last == kGet ? Events{"head", "complete"}
                                           : Events{"head", "body hello", "complete"}));
    CHECK(session.idle());
  }
}

TEST_CASE("after a refusal bytes are taken and nothing is told") {
  Listener listener;
  HttpSession session(listener, kLimits);

  CHECK(session.feed(as_bytes("GET /\r\n")) == 7);
  CHECK(session.feed(as_bytes(kGet)) == kGet.size());

  CHECK(listener.events == Events{"refused"});
  CHECK(listener.status == 400);
  CHECK(session.refused());
}

TEST_CASE("every method of HTTP that llhttp knows is taken, but CONNECT and SOURCE") {
  for (int method = HTTP_DELETE; method <= HTTP_SOURCE; ++method) {
    const std::string name = llhttp_method_name(static_cast<llhttp_method_t>(method));
    CAPTURE(name);
    Listener listener;
    HttpSession session(listener, kLimits);
    const std::string bytes = name + " / HTTP/1.1\r\nHost: a\r\n\r\n";

    CHECK(session.feed(as_bytes(bytes)) == bytes.size());

    CHECK(listener.status == (name == "CONNECT" ? 405 : name == "SOURCE" ? 501 : 0));
  }
}

TEST_CASE("every byte in a target is either taken or refused with 400, alike in path and query") {
  for (int c = 0; c < 256; ++c) {
    CAPTURE(c);
    int statuses[2] = {};
    for (int i = 0; i < 2; ++i) {
      Listener listener;
      HttpSession session(listener, kLimits);
      std::string bytes = i == 0 ? "GET /a" : "GET /a?b";
      bytes += static_cast<char>(c);
      bytes += "c HTTP/1.1\r\nHost: a\r\n\r\n";
      CHECK(session.feed(as_bytes(bytes)) == bytes.size());
      statuses[i] = listener.status;
    }
    CHECK(statuses[0] == statuses[1]);
    CHECK(statuses[0] == (c > ' ' && c < 0x7f && c != '#' ? 0 : 400));
  }
}

}  // namespace
}  // namespace sluice
