// worker/http_session.h -- HTTP/1.1 as a server reads it: bytes in, requests out. Knows no socket,
// clock or message. One parser per byte stream: llhttp, behind a scan of the raw head.
//
// A head is gathered until its blank line (in place when one read holds it all), scanned for what
// llhttp lets through (worker/head_scan.h), then parsed whole, so every view in a RequestHead
// points into one piece of memory. Bodies are passed on as they come, decoded, without a copy.
//
// H1  Events come in order: on_head, on_body*, on_complete for each request, and at most one
//     on_refused, after which nothing more is parsed and nothing more is called.
// H2  Nothing of a refused head reaches on_head.
// H3  feed() may be stopped from inside a callback by pause(); it returns how much it took.
// H4  What events there are depends on the bytes alone, never on how they were cut.
// H5  Scan and llhttp must agree on method, version and framing; where they don't it is a 400.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/codec.h"
#include "worker/header_field.h"

namespace sluice {

// What stands in a request's head. Views are valid until on_head() returns.
struct RequestHead {
  std::string_view method;               // as sent; upper case (others are refused)
  std::string_view target;               // as sent
  std::string_view raw_path;             // of the target, absolute form split; "*" for OPTIONS *
  std::string_view query;                // without its '?'
  std::string_view authority;            // Host, or the authority of an absolute target
  // Names as sent, values trimmed; at most HttpLimits::header_count. Host's value is `authority`: that of
  // an absolute target replaces it (RFC 9112 section 3.2.2).
  std::span<const HeaderField> headers;
  size_t bytes = 0;                      // of the head, its blank line included
  int minor_version = 1;                 // HTTP/1.<minor>
  std::optional<uint64_t> content_length;  // none when absent or chunked
  bool chunked = false;
  bool keep_alive = true;         // what the client asked for
  bool expects_continue = false;  // Expect: 100-continue, on HTTP/1.1, with a body to come
  bool wants_websocket = false;   // Upgrade and Connection ask; worker/upgrade.h decides
  [[nodiscard]] bool has_body() const noexcept { return chunked || content_length.value_or(0) > 0; }
};

// Why a request was not taken: the status to answer with, then close. `reason` is for the log and a
// short text body; it never holds client bytes. `line` holds nothing else: what came of a refused
// head's first line, until on_refused() returns; empty of a body.
struct Refusal {
  int status;  // 400 405 413 414 417 431 501 505
  std::string_view reason;
  bool head_method = false;  // of a HEAD: its answer has no body (RFC 9112 section 6.3)
  std::string_view extra{};  // header lines that the status asks for, each ending in CRLF
  std::string_view line = {};
};

struct HttpLimits {
  size_t head_bytes;    // whole head; 431 beyond (414 when the request line alone passes it)
  size_t line_bytes;    // request line: 414; one header line: 431
  size_t header_count;  // 431
  uint64_t body_bytes;  // declared: 413 at the head; chunked: 413 when passed
};

class HttpSession {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_head(const RequestHead& head) noexcept = 0;
    virtual void on_body(Bytes piece) noexcept = 0;  // never empty
    virtual void on_complete() noexcept = 0;
    virtual void on_refused(const Refusal& refusal) noexcept = 0;
  };

  // `events` and `limits` outlive the session.
  HttpSession(Events& events, const HttpLimits& limits);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // Parses what the client sent; gives how many bytes were taken: fewer than given only when paused
  // or switched. The caller keeps the rest and feeds it after resume(), even where nothing is left:
  // an on_complete may be due. Bytes behind a refusal, or behind a request that asked for close,
  // are taken and ignored. Not from inside a callback, and the session must outlive its callbacks;
  // one worker's sessions share what on_head's views lie in, so feed no other one from inside
  // on_head.
  [[nodiscard]] size_t feed(Bytes bytes) noexcept;
  void pause() noexcept;  // from inside a callback: stop after this event
  void resume() noexcept;
  // From inside on_head: the bytes after this head are not HTTP (a WebSocket was accepted). Nothing
  // is called after it, on_complete neither.
  void switch_protocol() noexcept;

  // Until a head's on_complete was called: its request is the last, as if its client had said so.
  void expect_no_more() noexcept;

  [[nodiscard]] bool refused() const noexcept;
  // Between requests: nothing of a next request was received.
  [[nodiscard]] bool idle() const noexcept;
  [[nodiscard]] bool in_head()
      const noexcept;  // part of a head was received: the header clock runs
  [[nodiscard]] bool in_body() const noexcept;

 private:
  struct Parser;  // llhttp and where we are
  std::unique_ptr<Parser> parser_;
};

}  // namespace sluice
