// worker/head_scan.cc -- see the header. One pass finds the ends of lines eight bytes at a time; a
// second one over each line checks its grammar.
#include "worker/head_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "protocol/limits.h"
#include "worker/header_field.h"
#include "worker/request_target.h"

namespace sluice {
namespace {

constexpr bool is_control(char c) noexcept {
  return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
}

// The first control character in [at, end), else `end`.
size_t find_control(const char* bytes, size_t at, size_t end) noexcept {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  while (end - at >= 8) {
    uint64_t word;
    std::memcpy(&word, bytes + at, 8);
    // A byte's high bit is set where it is below ' ' or is DEL; borrows can only set it wrongly
    // above a byte where it is set rightly, so the lowest one is true.
    uint64_t deletes = word ^ (kOnes * 0x7f);
    uint64_t found = (((word - kOnes * ' ') & ~word) | ((deletes - kOnes) & ~deletes)) & kHighs;
    if (found != 0) {
      if constexpr (std::endian::native == std::endian::little)
        return at + static_cast<size_t>(std::countr_zero(found)) / 8;
      break;  // the other order of bytes: the loop below finds it
    }
    at += 8;
  }
  while (at < end && !is_control(bytes[at])) ++at;
  return at;
}

// The methods that llhttp knows and a server without RTSP, ICE or tunnels can take.
constexpr auto kMethods = std::to_array<std::string_view>(
    {"GET",      "POST",   "HEAD",       "PUT",       "DELETE", "OPTIONS",   "PATCH",
     "TRACE",    "COPY",   "LOCK",       "MKCOL",     "MOVE",   "PROPFIND",  "PROPPATCH",
     "SEARCH",   "UNLOCK", "BIND",       "REBIND",    "UNBIND", "ACL",       "REPORT",
     "CHECKOUT", "MERGE",  "MKACTIVITY", "M-SEARCH",  "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE",
     "PURGE",    "LINK",   "UNLINK",     "MKCALENDAR"});

// What a 405 has to tell (RFC 9110 section 15.5.6): the methods of that document but CONNECT, and
// PATCH. Which of them a path allows only a consumer knows.
constexpr std::string_view kAllow =
    "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH\r\n";

// The first byte of a TLS connection: a record of type handshake (RFC 8446 section 5.1).
constexpr char kTlsHandshake = '\x16';

}  // namespace

void HeadScan::begin(const HttpLimits& limits) noexcept {
  limits_ = &limits;
  start_ = line_ = at_ = 0;
  fields_.clear();
  method_ = target_ = unwanted_ = {};
  content_length_.reset();
  empty_lines_ = 0;
  minor_version_ = 1;
  in_fields_ = head_method_ = has_host_ = chunked_ = false;
  close_ = keep_alive_ = upgrade_ = websocket_ = continue_ = other_expectation_ = false;
}

HeadScan::Progress HeadScan::scan(std::string_view bytes) noexcept {
  for (;;) {
    // S1: the first byte too many and the first bad one race; whichever comes first rules.
    const size_t line_end = line_ + limits_->line_bytes + 1;
    const size_t stop = std::min({bytes.size(), line_end, limits_->head_bytes});
    do {
      at_ = find_control(bytes.data(), at_, stop);
    } while (at_ < stop && bytes[at_] == '\t' && ++at_ < stop);

    if (at_ >= stop) {
      if (at_ >= line_end || at_ >= limits_->head_bytes) {
        if (!in_fields_) return refuse(414, "request line too long");
        return refuse(431, at_ >= line_end ? "header line too long" : "head too long");
      }
      return Progress::kMore;
    }
    if (bytes[at_] == '\n') return refuse(400, "bare LF in the head");
    if (bytes[at_] != '\r') {
      const bool first = !in_fields_ && at_ == line_;
      return refuse(400, first && bytes[at_] == kTlsHandshake
                             ? "TLS on a port of plain HTTP: use http://"
                             : "control character in the head");
    }
    if (at_ + 2 > limits_->head_bytes)
      return in_fields_ ? refuse(431, "head too long") : refuse(414, "request line too long");
    if (at_ + 1 == bytes.size()) return Progress::kMore;
    if (bytes[at_ + 1] != '\n') return refuse(400, "bare CR in the head");

    const std::string_view line = bytes.substr(line_, at_ - line_);
    line_ = at_ = at_ + 2;
    if (!in_fields_) {
      if (line.empty()) {
        if (++empty_lines_ > limits::kLeadingEmptyLines)
          return refuse(400, "empty lines before the request line");
        start_ = line_;
        continue;
      }
      in_fields_ = true;
      if (!request_line(bytes, line)) return Progress::kRefused;
    } else if (line.empty()) {
      return whole() ? Progress::kWhole : Progress::kRefused;
    } else if (!field_line(bytes, line)) {
      return Progress::kRefused;
    }
  }
}

// method SP target SP HTTP/1.x, with exactly these spaces.
bool HeadScan::request_line(std::string_view bytes, std::string_view line) noexcept {
  auto no = [&](int status, std::string_view reason) {
    refuse(status, reason);
    return false;
  };
  size_t at = 0;
  while (at < line.size() && is_token_character(line[at])) ++at;
  if (at == 0 || at == line.size() || line[at] != ' ') return no(400, "malformed method");
  const std::string_view method = line.substr(0, at);
  head_method_ = method == "HEAD";
  const size_t target_at = ++at;
  while (at < line.size() && is_target_character(line[at])) ++at;
  if (at == target_at) return no(400, "no request target");
  if (at == line.size()) return no(400, "HTTP/0.9, or no version");
  if (line[at] != ' ') return no(400, "malformed request target");
  const std::string_view target = line.substr(target_at, at - target_at);
  if (method == "PRI") return no(400, "HTTP/2 on a connection of HTTP/1.1");
  if (!version(line.substr(at + 1))) return false;
  if (method == "CONNECT") {
    refuse(405, "no tunnels here");
    refusal_.extra = kAllow;
    return false;
  }
  if (std::find(kMethods.begin(), kMethods.end(), method) == kMethods.end())
    return no(501, "unknown method");
  method_ = piece(bytes, method);
  target_ = piece(bytes, target);
  return true;
}

bool HeadScan::version(std::string_view text) noexcept {
  if (text == "HTTP/1.1" || text == "HTTP/1.0") {
    minor_version_ = text.back() - '0';
    return true;
  }
  const bool http = text.starts_with("HTTP/") && text.size() > 5;
  if (text == "HTTP/0.9")
    refuse(400, "HTTP/0.9");
  else if (http && text.find_first_not_of("0123456789.", 5) == std::string_view::npos)
    refuse(505, "HTTP version not supported");
  else
    refuse(400, "malformed HTTP version");
  return false;
}

bool HeadScan::field_line(std::string_view bytes, std::string_view line) noexcept {
  auto no = [&](int status, std::string_view reason) {
    refuse(status, reason);
    return false;
  };
  if (is_blank(line.front())) return no(400, "folded header line");
  size_t colon = 0;
  while (colon < line.size() && is_token_character(line[colon])) ++colon;
  if (colon == line.size()) return no(400, "header line without a colon");
  if (line[colon] != ':') return no(400, "malformed header name");
  if (colon == 0) return no(400, "empty header name");
  if (fields_.size() == limits_->header_count) return no(431, "too many header lines");
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim_blanks(line.substr(colon + 1));
  fields_.push_back({piece(bytes, name), piece(bytes, value)});
  if (!known_field(name, value)) return false;
  // Behind a length or a coding llhttp takes spaces, but no tab. One head has one of them at most.
  const std::string_view behind =
      line.substr(static_cast<size_t>(value.data() + value.size() - line.data()));
  if (!behind.empty() &&
      (equals_lower(name, "content-length") || equals_lower(name, "transfer-encoding")))
    unwanted_ = piece(bytes, behind);
  return true;
}

bool HeadScan::known_field(std::string_view name, std::string_view value) noexcept {
  switch (name.size()) {
    case 4:
      if (!equals_lower(name, "host")) break;
      if (has_host_) {
        refuse(400, "two Host lines");
        return false;
      }
      has_host_ = true;
      host_ = fields_.size() - 1;
      break;
    case 6:
      if (!equals_lower(name, "expect")) break;
      (equals_lower(value, "100-continue") ? continue_ : other_expectation_) = true;
      break;
    case 7:
      if (equals_lower(name, "upgrade") && list_has(value, "websocket")) websocket_ = true;
      break;
    case 10:
      if (!equals_lower(name, "connection")) break;
      for_each_element(value, [&](std::string_view option) {
        if (equals_lower(option, "close")) close_ = true;
        if (equals_lower(option, "keep-alive")) keep_alive_ = true;
        if (equals_lower(option, "upgrade")) upgrade_ = true;
      });
      break;
    case 14:
      if (equals_lower(name, "content-length")) return content_length(value);
      break;
    case 17:
      if (equals_lower(name, "transfer-encoding")) return transfer_encoding(value);
      break;
    default:
      break;
  }
  return true;
}

// Digits only: a list, a sign or a second line could mean something else to somebody else.
bool HeadScan::content_length(std::string_view value) noexcept {
  constexpr size_t kDigits = 19;  // any number of 19 digits fits in 64 bits
  uint64_t length = 0;
  bool valid = !value.empty() && value.size() <= kDigits && !content_length_;
  for (char c : value) {
    valid = valid && is_digit(c);
    if (valid) length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  if (!valid) {
    refuse(400, content_length_ ? "two Content-Length lines" : "malformed Content-Length");
    return false;
  }
  content_length_ = length;
  return true;
}

bool HeadScan::transfer_encoding(std::string_view value) noexcept {
  if (minor_version_ == 0) {
    refuse(400, "Transfer-Encoding in HTTP/1.0");
  } else if (chunked_) {
    refuse(400, "two Transfer-Encoding lines");
  } else if (equals_lower(value, "chunked")) {
    chunked_ = true;
    return true;
  } else {
    bool tokens = true, other = false;
    for_each_element(value, [&](std::string_view coding) {
      tokens = tokens && is_token(coding);
      other = other || !equals_lower(coding, "chunked");
    });
    if (tokens && other)
      refuse(501, "transfer coding other than chunked");
    else
      refuse(400, "malformed Transfer-Encoding");
  }
  return false;
}

// The rules about several lines together.
bool HeadScan::whole() noexcept {
  if (chunked_ && content_length_)
    refuse(400, "Content-Length with Transfer-Encoding");
  else if (minor_version_ == 1 && !has_host_)
    refuse(400, "no Host");
  else if (minor_version_ == 1 && other_expectation_)
    refuse(417, "unknown expectation");
  else if (content_length_.value_or(0) > limits_->body_bytes)
    refuse(413, "body too large");
  else
    return true;
  return false;
}

bool HeadScan::describe(std::string_view bytes, std::vector<HeaderField>& fields,
                        RequestHead& head) noexcept {
  head.method = method_.in(bytes);
  head.target = target_.in(bytes);
  const std::string_view host = has_host_ ? fields_[host_].value.in(bytes) : std::string_view();
  if (has_host_ && !valid_host(host)) {
    refuse(400, "invalid Host");
    return false;
  }
  const std::optional<RequestTarget> target = split_target(head.method, head.target);
  if (!target) {
    refuse(400, "malformed request target");
    return false;
  }
  head.raw_path = target->raw_path;
  head.query = target->query;
  head.authority = target->authority.empty() ? host : target->authority;

  fields.clear();
  for (const Field& field : fields_)
    fields.push_back({field.name.in(bytes), field.value.in(bytes)});
  if (has_host_) fields[host_].value = head.authority;
  head.headers = fields;
  head.minor_version = minor_version_;
  head.content_length = content_length_;
  head.chunked = chunked_;
  head.keep_alive = !close_ && (minor_version_ == 1 || keep_alive_);
  head.expects_continue = minor_version_ == 1 && continue_ && head.has_body();
  head.wants_websocket = websocket_ && upgrade_;
  return true;
}

}  // namespace sluice
