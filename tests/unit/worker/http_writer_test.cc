// tests/unit/worker/http_writer_test.cc -- response messages to the bytes a client gets.
#include "worker/http_writer.h"

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "protocol/limits.h"
#include "tests/unit/worker/allocations.h"

namespace sluice {
namespace {

// An encoded message that lives as long as its view is used.
class Message {
 public:
  Message(Fields fields) : space_(1 << 18) {
    Encoder encoder(space_);
    encode(encoder, fields);
    view_ = MessageView::parse(encoder.finish().value()).value();
  }
  operator const MessageView&() const { return view_; }

 private:
  std::vector<std::byte> space_;
  MessageView view_;
};

using Pairs = std::vector<Pair>;
using Values = std::vector<Value>;
std::span<const Pair> map(const Pairs& pairs) { return pairs; }
std::span<const Value> list(const Values& values) { return values; }

// One exchange as a client sees it.
struct Exchange {
  AnswerTo to{};
  AnswerState state{};
  std::string bytes{};  // all that went to the socket
  std::string out{};

  AnswerError write(const Message& message) {
    WireAnswer wire;
    const size_t before = out.size();
    const AnswerError error = write_answer(message, to, state, out, wire);
    if (error != AnswerError::kNone) CHECK(out.size() == before);
    bytes.append(wire.before).append(as_text(wire.content)).append(wire.after);
    return error;
  }
};

constexpr AnswerTo kHead{.head_method = true};
constexpr AnswerTo kOld{.minor_version = 0, .keep_alive = false};

TEST_CASE("a small answer has its status, type and length") {
  Exchange exchange;

  CHECK(
      exchange.write({{"status_code", 200}, {"content", "Hello"}, {"content_type", "text/css"}}) ==
      AnswerError::kNone);

  CHECK(exchange.bytes ==
        "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 5\r\n\r\nHello");
  CHECK(exchange.state.complete);
  CHECK_FALSE(exchange.state.close_after);
}

TEST_CASE("content without a type is plain text, or octets where it is bytes") {
  Exchange text, octets, header, none;
  const Pairs type = {{"content-type", "a/b"}};

  CHECK(text.write({{"status_code", 200}, {"content", "x"}}) == AnswerError::kNone);
  CHECK(octets.write({{"status_code", 200}, {"content", as_bytes("x")}}) == AnswerError::kNone);
  CHECK(header.write({{"status_code", 200}, {"content", "x"}, {"headers", map(type)}}) ==
        AnswerError::kNone);
  CHECK(none.write({{"status_code", 302}, {"content", ""}}) == AnswerError::kNone);

  CHECK(text.bytes.find("Content-Type: text/plain; charset=utf-8\r\n") != std::string::npos);
  CHECK(octets.bytes.find("Content-Type: application/octet-stream\r\n") != std::string::npos);
  CHECK(header.bytes == "HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nContent-Length: 1\r\n\r\nx");
  CHECK(none.bytes == "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("the content_type key rules over a header") {
  Exchange exchange;
  const Pairs headers = {{"Content-Type", "a/b"}, {"X", "y"}};

  CHECK(exchange.write({{"headers", map(headers)},
                        {"content_type", "c/d"},
                        {"status_code", 200},
                        {"content", "x"}}) == AnswerError::kNone);

  CHECK(exchange.bytes ==
        "HTTP/1.1 200 OK\r\nContent-Type: c/d\r\nX: y\r\nContent-Length: 1\r\n\r\nx");
}

TEST_CASE("a header may be text, bytes or a list of them, in a map or a list of pairs") {
  Exchange of_map, of_pairs;
  const Values cookies = {"a=1", as_bytes("b=2")};
  const Pairs headers = {{"Set-Cookie", list(cookies)}, {"X-A", as_bytes("\xe4")}};
  const Values first = {"Set-Cookie", "a=1"}, second = {as_bytes("Set-Cookie"), as_bytes("b=2")};
  const Values pairs = {list(first), list(second)};

  CHECK(of_map.write({{"status_code", 200}, {"headers", map(headers)}}) == AnswerError::kNone);
  CHECK(of_pairs.write({{"status_code", 200}, {"headers", list(pairs)}}) == AnswerError::kNone);

  CHECK(of_map.bytes ==
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: \xe4\r\nContent-Length: "
        "0\r\n\r\n");
  CHECK(of_pairs.bytes ==
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("what a consumer says of framing and of the connection is left out") {
  Exchange exchange;
  const Pairs headers = {{"Transfer-Encoding", "chunked"},
                         {"CONNECTION", "close"},
                         {"keep-alive", "timeout=5"},
                         {"Content-Length", "2"}};

  CHECK(exchange.write({{"status_code", 404},
                        {"content", "ab"},
                        {"content_type", "t/t"},
                        {"headers", map(headers)}}) == AnswerError::kNone);

  CHECK(exchange.bytes ==
        "HTTP/1.1 404 Not Found\r\nContent-Type: t/t\r\nContent-Length: 2\r\n\r\nab");
}

TEST_CASE("CR, LF and NUL in a name, a value or a type are an injection, and nothing is written") {
  for (std::string_view bad : {std::string_view("a\r\nb: c"), std::string_view("a\rb"),
                               std::string_view("a\nb"), std::string_view("a\0b", 3)}) {
    CAPTURE(bad);
    const Values values = {"good", bad};
    const Pairs value = {{"X", bad}}, name = {{bad, "y"}}, in_list = {{"X", list(values)}};
    for (const Pairs& headers : {value, name, in_list}) {
      Exchange exchange;
      CHECK(exchange.write({{"status_code", 200}, {"headers", map(headers)}}) ==
            AnswerError::kInjection);
      CHECK_FALSE(exchange.state.started);
    }
    Exchange type;
    CHECK(type.write({{"status_code", 200}, {"content_type", bad}}) == AnswerError::kInjection);
  }
}

TEST_CASE("a message of the wrong shape is malformed, and nothing is written") {
  const Pairs space = {{"a b", "c"}}, empty = {{"", "c"}}, number = {{"a", 1}},
              bell = {{"a", "\a"}}, length = {{"Content-Length", "+1"}},
              two = {{"Content-Length", "1"}, {"content-length", "1"}};
  const Values three = {"a", "b", "c"}, in_list = {list(three)}, flat = {"a", "b"};
  for (const Message& message : {
           Message{{"content", "x"}},
           Message{{"status_code", "200"}},
           Message{{"status_code", 99}},
           Message{{"status_code", 100}},
           Message{{"status_code", 101}},
           Message{{"status_code", 600}},
           Message{{"status_code", -200}},
           Message{{"status_code", 4294967496}},
           Message{{"status_code", 200}, {"content", 1}},
           Message{{"status_code", 200}, {"content_type", 1}},
           Message{{"status_code", 200}, {"more_content", 1}},
           Message{{"status_code", 200}, {"headers", "a: b"}},
           Message{{"status_code", 200}, {"headers", map(space)}},
           Message{{"status_code", 200}, {"headers", map(empty)}},
           Message{{"status_code", 200}, {"headers", map(number)}},
           Message{{"status_code", 200}, {"headers", map(bell)}},
           Message{{"status_code", 200}, {"content", "x"}, {"headers", map(length)}},
           Message{{"status_code", 200}, {"content", "x"}, {"headers", map(two)}},
           Message{{"status_code", 200}, {"headers", list(in_list)}},
           Message{{"status_code", 200}, {"headers", list(flat)}},
       }) {
    Exchange exchange;
    CHECK(exchange.write(message) == AnswerError::kMalformed);
    CHECK_FALSE(exchange.state.started);
    CHECK(exchange.bytes.empty());
  }
}

TEST_CASE("a head of more lines or bytes than the limits is malformed") {
  Exchange lines, bytes, at_limit;
  const Values many(limits::kResponseHeaderFields + 1, Value("v")),
      most(limits::kResponseHeaderFields, Value("v"));
  const Pairs too_many = {{"A", list(many)}}, enough = {{"A", list(most)}};
  const std::string long_value(limits::kResponseHeadBytes, 'x');
  const Pairs too_long = {{"A", long_value}};

  CHECK(lines.write({{"status_code", 200}, {"headers", map(too_many)}}) == AnswerError::kMalformed);
  CHECK(bytes.write({{"status_code", 200}, {"headers", map(too_long)}}) == AnswerError::kMalformed);
  CHECK(at_limit.write({{"status_code", 200}, {"headers", map(enough)}}) == AnswerError::kNone);
}

TEST_CASE("HEAD keeps the length and drops the content") {
  Exchange given{.to = kHead}, declared{.to = kHead}, streamed{.to = kHead};
  const Pairs length = {{"Content-Length", "7"}};

  CHECK(given.write({{"status_code", 200}, {"content", "Hello"}, {"content_type", "a/b"}}) ==
        AnswerError::kNone);
  CHECK(declared.write({{"status_code", 200}, {"headers", map(length)}}) == AnswerError::kNone);
  CHECK(
      streamed.write({{"status_code", 200}, {"content", as_bytes("ab")}, {"more_content", true}}) ==
      AnswerError::kNone);
  CHECK_FALSE(streamed.state.complete);
  CHECK(streamed.write({{"content", "cd"}}) == AnswerError::kNone);

  CHECK(given.bytes == "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n");
  CHECK(declared.bytes == "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
  CHECK(streamed.bytes ==
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: "
        "chunked\r\n\r\n");
  CHECK(streamed.state.complete);
}

TEST_CASE("204 and 304 have no content, and 204 no length") {
  const Pairs length = {{"Content-Length", "5"}};
  Exchange no_content, not_modified, with_length;

  CHECK(no_content.write({{"status_code", 204}, {"content", "Hello"}, {"headers", map(length)}}) ==
        AnswerError::kNone);
  CHECK(not_modified.write({{"status_code", 304}, {"content", ""}}) == AnswerError::kNone);
  CHECK(with_length.write({{"status_code", 304}, {"headers", map(length)}}) == AnswerError::kNone);

  CHECK(no_content.bytes == "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(not_modified.bytes == "HTTP/1.1 304 Not Modified\r\n\r\n");
  CHECK(with_length.bytes == "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
}

TEST_CASE("content in pieces is chunked, and an empty piece ends nothing") {
  Exchange exchange;
  const std::string long_piece(26, 'x');

  CHECK(exchange.write({{"status_code", 200},
                        {"content_type", "a/b"},
                        {"content", "ab"},
                        {"more_content", true}}) == AnswerError::kNone);
  CHECK(exchange.write({{"content", ""}, {"more_content", true}}) == AnswerError::kNone);
  CHECK(exchange.write({{"content", long_piece}, {"more_content", true}}) == AnswerError::kNone);
  CHECK_FALSE(exchange.state.complete);
  CHECK(exchange.write({{"content", "c"}, {"more_content", false}}) == AnswerError::kNone);

  CHECK(exchange.bytes ==
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nab\r\n1a\r\n" +
            long_piece + "\r\n1\r\nc\r\n0\r\n\r\n");
  CHECK(exchange.state.complete);
  CHECK(exchange.write({{"content", "d"}}) == AnswerError::kAfterEnd);
}

TEST_CASE("the last piece may be empty") {
  Exchange exchange;

  CHECK(exchange.write({{"status_code", 200}, {"more_content", true}}) == AnswerError::kNone);
  CHECK(exchange.write({}) == AnswerError::kNone);

  CHECK(exchange.bytes == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST_CASE("pieces of a declared length go as they are, and must come to it") {
  const Pairs length = {{"Content-Length", "4"}};
  const Message first{{"status_code", 200},
                      {"content_type", "a/b"},
                      {"content", "ab"},
                      {"headers", map(length)},
                      {"more_content", true}};
  Exchange exact, more, fewer;

  CHECK(exact.write(first) == AnswerError::kNone);
  CHECK(exact.write({{"content", "cd"}}) == AnswerError::kNone);
  CHECK(more.write(first) == AnswerError::kNone);
  CHECK(more.write({{"content", "cde"}}) == AnswerError::kLengthMismatch);
  CHECK(fewer.write(first) == AnswerError::kNone);
  CHECK(fewer.write({{"content", "c"}}) == AnswerError::kLengthMismatch);

  CHECK(exact.bytes == "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\nabcd");
  CHECK(more.state.started);
  CHECK(fewer.state.started);
  CHECK_FALSE(fewer.state.complete);
}

TEST_CASE("content that is not as long as its length is refused before anything is written") {
  for (const char* declared : {"3", "5", "0"}) {
    const Pairs length = {{"Content-Length", declared}};
    Exchange exchange;
    CHECK(exchange.write({{"status_code", 200}, {"content", "abcd"}, {"headers", map(length)}}) ==
          AnswerError::kLengthMismatch);
    CHECK_FALSE(exchange.state.started);
  }
}

TEST_CASE("a second head for one exchange is malformed") {
  Exchange exchange;

  CHECK(exchange.write({{"status_code", 200}, {"more_content", true}}) == AnswerError::kNone);

  CHECK(exchange.write({{"status_code", 200}, {"content", "x"}}) == AnswerError::kMalformed);
}

TEST_CASE("HTTP/1.0 gets pieces until close, and keep-alive where it asked") {
  Exchange pieces{.to = {.minor_version = 0, .keep_alive = true}},
      kept{.to = {.minor_version = 0, .keep_alive = true}}, closed{.to = kOld};

  CHECK(pieces.write({{"status_code", 200},
                      {"content_type", "a/b"},
                      {"content", "ab"},
                      {"more_content", true}}) == AnswerError::kNone);
  CHECK(pieces.write({{"content", "cd"}}) == AnswerError::kNone);
  CHECK(kept.write({{"status_code", 200}}) == AnswerError::kNone);
  CHECK(closed.write({{"status_code", 200}}) == AnswerError::kNone);

  CHECK(pieces.bytes == "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nConnection: close\r\n\r\nabcd");
  CHECK(pieces.state.close_after);
  CHECK(kept.bytes == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  CHECK_FALSE(kept.state.close_after);
  CHECK(closed.bytes == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  CHECK(closed.state.close_after);
}

TEST_CASE("early hints go out and leave the exchange as it was") {
  Exchange exchange, old{.to = kOld};
  const Pairs headers = {{"Link", "</a.css>; rel=preload"}, {"Content-Length", "5"}};

  CHECK(exchange.write({{"status_code", 103}, {"headers", map(headers)}}) == AnswerError::kNone);
  CHECK_FALSE(exchange.state.started);
  CHECK(exchange.bytes == "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
  CHECK(exchange.write({{"status_code", 200}, {"content", ""}}) == AnswerError::kNone);
  CHECK(exchange.state.complete);

  CHECK(old.write({{"status_code", 103}, {"headers", map(headers)}}) == AnswerError::kNone);
  CHECK(old.bytes.empty());
}

TEST_CASE("Date is the caller's clock, unless the consumer gives one") {
  Exchange ours{.to = {.unix_seconds = 1795415400}}, theirs{.to = {.unix_seconds = 1795415400}};
  const Pairs headers = {{"date", "Thu, 01 Jan 1970 00:00:00 GMT"}};

  CHECK(ours.write({{"status_code", 200}}) == AnswerError::kNone);
  CHECK(theirs.write({{"status_code", 200}, {"headers", map(headers)}}) == AnswerError::kNone);

  CHECK(ours.bytes ==
        "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 06:30:00 GMT\r\nContent-Length: 0\r\n\r\n");
  CHECK(theirs.bytes ==
        "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("Server is the caller's line, unless the consumer gives one") {
  const AnswerTo to{.server_line = "Server: edge\r\n"};
  Exchange ours{.to = to}, theirs{.to = to}, own{.to = to}, hints{.to = to};
  const Pairs headers = {{"server", "mine"}};

  CHECK(ours.write({{"status_code", 200}}) == AnswerError::kNone);
  CHECK(theirs.write({{"status_code", 200}, {"headers", map(headers)}}) == AnswerError::kNone);
  CHECK(hints.write({{"status_code", 103}}) == AnswerError::kNone);
  write_own_answer(502, "", "", own.to, own.state, own.out);

  CHECK(ours.bytes == "HTTP/1.1 200 OK\r\nServer: edge\r\nContent-Length: 0\r\n\r\n");
  CHECK(theirs.bytes == "HTTP/1.1 200 OK\r\nserver: mine\r\nContent-Length: 0\r\n\r\n");
  CHECK(hints.bytes == "HTTP/1.1 103 Early Hints\r\n\r\n");
  CHECK(own.out.find("\r\nServer: edge\r\n") != std::string::npos);
}

TEST_CASE("date lines are those of RFC 9110") {
  CHECK(date_line(0) == "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
  CHECK(date_line(784111777) == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
  CHECK(date_line(951827696) == "Date: Tue, 29 Feb 2000 12:34:56 GMT\r\n");
  CHECK(date_line(4102444799) == "Date: Thu, 31 Dec 2099 23:59:59 GMT\r\n");
  CHECK(date_line(0) == "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
}

TEST_CASE("an answer of our own is its status line in plain text") {
  Exchange plain, head{.to = kHead}, reasoned, started;

  write_own_answer(503, "", "Retry-After: 1\r\n", plain.to, plain.state, plain.out);
  write_own_answer(400, "no Host", "", kHead, head.state, head.out);
  write_own_answer(400, "no Host", "", reasoned.to, reasoned.state, reasoned.out);
  CHECK(started.write({{"status_code", 200}, {"more_content", true}}) == AnswerError::kNone);
  const std::string before = started.out;
  write_own_answer(502, "", "", started.to, started.state, started.out);

  CHECK(plain.out ==
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Retry-After: 1\r\nContent-Length: 24\r\n\r\n503 Service Unavailable\n");
  CHECK(plain.state.complete);
  CHECK_FALSE(plain.state.close_after);
  CHECK(head.out ==
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
        "25\r\n\r\n");
  CHECK(reasoned.out ==
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
        "25\r\n\r\n400 Bad Request: no Host\n");
  CHECK(started.out == before);
  CHECK(started.state.complete);
  CHECK(started.state.close_after);
}

TEST_CASE("every registered status has its phrase, others have none") {
  CHECK(reason_phrase(200) == "OK");
  CHECK(reason_phrase(103) == "Early Hints");
  CHECK(reason_phrase(511) == "Network Authentication Required");
  CHECK(reason_phrase(431) == "Request Header Fields Too Large");
  for (int status : {0, 99, 104, 209, 306, 309, 419, 420, 427, 430, 452, 509, 512, 600})
    CHECK(reason_phrase(status).empty());
  Exchange exchange;
  CHECK(exchange.write({{"status_code", 299}}) == AnswerError::kNone);
  CHECK(exchange.bytes == "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("a small answer allocates nothing where there is room") {
  const Message message{{"status_code", 200}, {"content", "Hello"}, {"content_type", "text/plain"}};
  std::string out;
  out.reserve(1024);
  const AnswerTo to{.unix_seconds = 1795415400};
  WireAnswer wire;
  int good = 0;

  const size_t before = test::allocations();
  for (int i = 0; i < 100; ++i) {
    AnswerState state;
    out.clear();
    if (write_answer(message, to, state, out, wire) == AnswerError::kNone) ++good;
  }

  CHECK(test::allocations() == before);
  CHECK(good == 100);
}

}  // namespace
}  // namespace sluice
