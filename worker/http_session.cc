// worker/http_session.cc -- see the header. llhttp is given a message in pieces that end where the
// scans say its parts end, so it calls back at most once per piece and is never stopped inside.
#include "worker/http_session.h"

#include <llhttp.h>

#include <algorithm>
#include <string>
#include <vector>

#include "worker/chunk_scan.h"
#include "worker/head_scan.h"
#include "worker/recycled.h"

namespace sluice {
namespace {

enum class State : uint8_t {
  kHead,
  kLengthBody,
  kChunkedBody,
  kComplete,  // on_complete is due
  kClosed,    // the client's last request is over
  kSwitched,
  kRefused,
};

// What llhttp said of the last piece.
struct Said {
  bool head = false;
  bool complete = false;
  Bytes body{};
};

Said& said(llhttp_t* parser) noexcept { return *static_cast<Said*>(parser->data); }

int said_head(llhttp_t* parser) {
  said(parser).head = true;
  parser->upgrade = 0;  // else it stops behind any Upgrade, ours or not; H5 compares the rest
  return 0;
}
int said_body(llhttp_t* parser, const char* at, size_t size) {
  said(parser).body = as_bytes({at, size});
  return 0;
}
int said_complete(llhttp_t* parser) {
  said(parser).complete = true;
  return 0;
}

constexpr llhttp_settings_t kSettings = [] {
  llhttp_settings_t settings{};
  settings.on_headers_complete = said_head;
  settings.on_body = said_body;
  settings.on_message_complete = said_complete;
  return settings;
}();

// A head that did not come in one read. Made when that happens: an idle connection holds none.
struct Gathering {
  std::string bytes;
  HeadScan scan;
};

// Where heads that come whole are scanned, and the fields of any head while on_head runs.
thread_local HeadScan whole_scan;
thread_local std::vector<HeaderField> fields;

}  // namespace

struct HttpSession::Parser : Recycled<HttpSession::Parser> {
  Parser(Events& events_of, const HttpLimits& limits_of) : events(events_of), limits(limits_of) {
    llhttp_init(&llhttp, HTTP_REQUEST, &kSettings);
  }

  size_t read_head(Bytes bytes) noexcept;
  size_t read_length_body(Bytes bytes) noexcept;
  size_t read_chunked_body(Bytes bytes) noexcept;
  void take_head(HeadScan& scan, std::string_view bytes) noexcept;
  [[nodiscard]] bool parse(Bytes piece) noexcept;
  [[nodiscard]] bool agrees(const RequestHead& head) const noexcept;
  void refuse(Refusal refusal, std::string_view head = {}) noexcept;

  Events& events;
  const HttpLimits& limits;
  llhttp_t llhttp;
  Said last;
  std::unique_ptr<Gathering> gathering;
  ChunkScan chunks;
  uint64_t body_left = 0;   // of a body by length
  uint64_t body_bytes = 0;  // announced by chunk sizes
  State state = State::kHead;
  bool paused = false;
  bool keep_alive = true;  // after the request being read
};

// Gives llhttp a piece of the message; `last` then holds what it said. False where it objects.
bool HttpSession::Parser::parse(Bytes piece) noexcept {
  last = {};
  llhttp.data = &last;
  const std::string_view text = as_text(piece);
  return llhttp_execute(&llhttp, text.data(), text.size()) == HPE_OK;
}

bool HttpSession::Parser::agrees(const RequestHead& head) const noexcept {
  return last.head && last.complete == !head.has_body() && llhttp.http_major == 1 &&
         llhttp.http_minor == head.minor_version &&
         head.method == llhttp_method_name(static_cast<llhttp_method_t>(llhttp.method)) &&
         llhttp.content_length == head.content_length.value_or(0);
}

// `head` is what came of it; it may lie in `gathering`, as what `refusal` was copied from may.
void HttpSession::Parser::refuse(Refusal refusal, std::string_view head) noexcept {
  state = State::kRefused;
  const std::unique_ptr<Gathering> gathered = std::move(gathering);
  head.remove_prefix(std::min(head.find_first_not_of("\r\n"), head.size()));
  refusal.line = head.substr(0, head.find_first_of("\r\n"));
  events.on_refused(refusal);
}

size_t HttpSession::Parser::read_head(Bytes bytes) noexcept {
  const std::string_view text = as_text(bytes);
  if (gathering == nullptr) {
    whole_scan.begin(limits);
    switch (whole_scan.scan(text)) {
      case HeadScan::Progress::kWhole: {
        const size_t taken = whole_scan.end();
        take_head(whole_scan, text);
        return taken;
      }
      case HeadScan::Progress::kRefused:
        refuse(whole_scan.refusal(), text);
        return bytes.size();
      case HeadScan::Progress::kMore:
        gathering = std::make_unique<Gathering>();
        gathering->scan.begin(limits);
    }
  }
  const size_t before = gathering->bytes.size();
  const size_t room = limits.head_bytes - before;  // a head at its limit was refused
  gathering->bytes.append(text.substr(0, room));
  switch (gathering->scan.scan(gathering->bytes)) {
    case HeadScan::Progress::kWhole: {
      const size_t taken = gathering->scan.end() - before;
      take_head(gathering->scan, gathering->bytes);
      gathering.reset();
      return taken;
    }
    case HeadScan::Progress::kRefused:
      refuse(gathering->scan.refusal(), gathering->bytes);
      return bytes.size();
    case HeadScan::Progress::kMore:
      break;
  }
  return std::min(room, text.size());
}

void HttpSession::Parser::take_head(HeadScan& scan, std::string_view bytes) noexcept {
  RequestHead head;
  if (!scan.describe(bytes, fields, head)) return refuse(scan.refusal(), bytes);
  head.bytes = scan.end() - scan.start();
  llhttp_reset(&llhttp);
  const std::string_view all = bytes.substr(scan.start(), scan.end() - scan.start());
  const std::string_view unwanted = scan.unwanted(bytes);
  const auto before = static_cast<size_t>(unwanted.data() - all.data());
  const bool parsed = unwanted.empty() ? parse(as_bytes(all))
                                       : parse(as_bytes(all.substr(0, before))) &&
                                             parse(as_bytes(all.substr(before + unwanted.size())));
  if (!parsed || !agrees(head)) {
    return refuse({.status = 400, .reason = "malformed head", .head_method = head.method == "HEAD"}, bytes);
  }

  keep_alive = head.keep_alive;
  if (head.chunked) {
    chunks.begin();
    body_bytes = 0;
    state = State::kChunkedBody;
  } else if (head.has_body()) {
    body_left = *head.content_length;
    state = State::kLengthBody;
  } else {
    state = State::kComplete;
  }
  events.on_head(head);
}

size_t HttpSession::Parser::read_length_body(Bytes bytes) noexcept {
  const Bytes piece = bytes.first(static_cast<size_t>(std::min<uint64_t>(body_left, bytes.size())));
  body_left -= piece.size();
  if (!parse(piece) || last.body.size() != piece.size() || last.complete != (body_left == 0)) {
    refuse({400, "malformed body"});
    return bytes.size();
  }
  if (last.complete) state = State::kComplete;
  events.on_body(last.body);
  return piece.size();
}

size_t HttpSession::Parser::read_chunked_body(Bytes bytes) noexcept {
  size_t taken = 0;
  bool agreed = true;
  switch (chunks.next(bytes, taken)) {
    case ChunkScan::Step::kMore:
      break;
    case ChunkScan::Step::kSize:
      body_bytes += chunks.size();
      if (body_bytes > limits.body_bytes) {
        refuse({413, "body too large"});
        return bytes.size();
      }
      agreed = parse(as_bytes(chunks.size_line())) && llhttp.content_length == chunks.size();
      break;
    case ChunkScan::Step::kData:
      agreed = parse(bytes.first(taken)) && last.body.size() == taken;
      if (agreed) events.on_body(last.body);
      break;
    case ChunkScan::Step::kDataEnd:
      agreed = parse(as_bytes("\r\n")) && !last.complete;
      break;
    case ChunkScan::Step::kEnd:
      agreed = parse(as_bytes("\r\n")) && last.complete;
      state = State::kComplete;
      break;
    case ChunkScan::Step::kRefused:
      refuse(chunks.refusal());
      return bytes.size();
  }
  if (!agreed) {
    refuse({400, "malformed chunk"});
    return bytes.size();
  }
  return taken;
}

HttpSession::HttpSession(Events& events, const HttpLimits& limits)
    : parser_(std::make_unique<Parser>(events, limits)) {}
HttpSession::~HttpSession() = default;

size_t HttpSession::feed(Bytes bytes) noexcept {
  Parser& parser = *parser_;
  size_t taken = 0;
  while (!parser.paused) {
    const Bytes rest = bytes.subspan(taken);
    switch (parser.state) {
      case State::kHead:
        if (rest.empty()) return taken;
        taken += parser.read_head(rest);
        break;
      case State::kLengthBody:
        if (rest.empty()) return taken;
        taken += parser.read_length_body(rest);
        break;
      case State::kChunkedBody:
        if (rest.empty()) return taken;
        taken += parser.read_chunked_body(rest);
        break;
      case State::kComplete:
        parser.state = parser.keep_alive ? State::kHead : State::kClosed;
        parser.events.on_complete();
        break;
      case State::kClosed:
      case State::kRefused:
        return bytes.size();
      case State::kSwitched:
        return taken;
    }
  }
  return taken;
}

void HttpSession::pause() noexcept { parser_->paused = true; }
void HttpSession::resume() noexcept { parser_->paused = false; }
void HttpSession::switch_protocol() noexcept { parser_->state = State::kSwitched; }
void HttpSession::expect_no_more() noexcept { parser_->keep_alive = false; }

bool HttpSession::refused() const noexcept { return parser_->state == State::kRefused; }

bool HttpSession::idle() const noexcept {
  return parser_->state == State::kClosed || (parser_->state == State::kHead && !in_head());
}

bool HttpSession::in_head() const noexcept {
  const Gathering* gathering = parser_->gathering.get();
  return parser_->state == State::kHead && gathering != nullptr &&
         gathering->scan.begun(gathering->bytes.size());
}

bool HttpSession::in_body() const noexcept {
  return parser_->state == State::kLengthBody || parser_->state == State::kChunkedBody;
}

}  // namespace sluice
