// worker/http_writer.cc -- see the header. Everything before the content is appended to one string.
#include "worker/http_writer.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iterator>
#include <system_error>
#include <utility>

#include "protocol/limits.h"
#include "worker/header_field.h"

namespace sluice {
namespace {

constexpr std::string_view kEarlyHintsLine = "HTTP/1.1 103 Early Hints\r\n";
constexpr int kEarlyHints = 103;

struct Phrase {
  int status;
  std::string_view words;
};
constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a Teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
};
static_assert(std::ranges::is_sorted(kPhrases, {}, &Phrase::status));

// The keys of a Response or a chunk, each read once (W3).
struct Answer {
  std::optional<int64_t> status;
  Bytes content{};
  Type kind = Type::kNull;  // of the content; kNull where there is none
  std::string_view content_type;
  ValueView headers;
  bool has_headers = false;
  bool more = false;
};

// False where a value is of the wrong type. Keys of others' are passed over.
bool read(const MessageView& message, Answer& answer) noexcept {
  bool seen_content = false, seen_type = false, seen_headers = false, seen_more = false;
  const ValueView map = message.map();
  for (auto at = map.begin(); at != map.end();) {
    const std::optional<std::string_view> key = (*at).text();
    ++at;
    if (!key || at == map.end()) return false;
    const ValueView value = *at;
    ++at;
    if (*key == "status_code" && !answer.status) {
      answer.status = value.integer();
      if (!answer.status) return false;
    } else if (*key == "content" && !std::exchange(seen_content, true)) {
      answer.kind = value.type();
      if (answer.kind == Type::kNull) continue;
      const std::optional<Bytes> content = value.text_or_bytes();
      if (!content) return false;
      answer.content = *content;
    } else if (*key == "content_type" && !std::exchange(seen_type, true)) {
      const std::optional<std::string_view> text = value.text();
      if (!text && value.type() != Type::kNull) return false;
      answer.content_type = text.value_or("");
    } else if (*key == "headers" && !std::exchange(seen_headers, true)) {
      const Type type = value.type();
      if (type != Type::kMap && type != Type::kList && type != Type::kNull) return false;
      answer.headers = value;
      answer.has_headers = type != Type::kNull;
    } else if (*key == "more_content" && !std::exchange(seen_more, true)) {
      const std::optional<bool> more = value.boolean();
      if (!more) return false;
      answer.more = *more;
    }
  }
  return true;
}

void append_number(std::string& out, uint64_t number, int base = 10) noexcept {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
  out.append(digits, static_cast<size_t>(end - digits));
}

void append_status_line(std::string& out, int status) noexcept {
  if (status == 200) {
    out.append("HTTP/1.1 200 OK\r\n");
    return;
  }
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<uint64_t>(status));
  out.push_back(' ');
  out.append(reason_phrase(status));
  out.append("\r\n");
}

// What a value may not hold: line ends and NUL would make two headers of one.
AnswerError check_value(std::string_view value) noexcept {
  AnswerError error = AnswerError::kNone;
  for (char c : value) {
    if (static_cast<unsigned char>(c) >= ' ' && c != 0x7f) [[likely]]
      continue;
    if (c == '\r' || c == '\n' || c == '\0') return AnswerError::kInjection;
    if (c != '\t') error = AnswerError::kMalformed;
  }
  return error;
}

// The consumer's header lines, appended one by one; those that framing rules are left out.
class HeaderLines {
 public:
  explicit HeaderLines(std::string& out) noexcept : out_(out), begin_(out.size()) {}

  // From here on a Content-Type among the headers is left out.
  void skip_content_type() noexcept { skip_type_ = true; }

  // `headers` is a map or a list of pairs.
  [[nodiscard]] AnswerError add_all(const ValueView& headers) noexcept {
    const bool map = headers.type() == Type::kMap;
    for (auto at = headers.begin(); at != headers.end();) {
      ValueView name = *at;
      ValueView value;
      if (map) {
        ++at;
        if (at == headers.end()) return AnswerError::kMalformed;
        value = *at;
      } else {
        const ValueView pair = name;
        auto part = pair.begin();
        if (pair.type() != Type::kList || pair.size() != 2 || part == pair.end())
          return AnswerError::kMalformed;
        name = *part;
        if (++part == pair.end()) return AnswerError::kMalformed;
        value = *part;
      }
      ++at;
      const std::optional<Bytes> name_bytes = name.text_or_bytes();
      if (!name_bytes) return AnswerError::kMalformed;
      const AnswerError error = add_values(as_text(*name_bytes), value);
      if (error != AnswerError::kNone) return error;
    }
    return AnswerError::kNone;
  }

  // Copies first, then looks at the copy (W3).
  [[nodiscard]] AnswerError add(std::string_view name, std::string_view value) noexcept {
    if (++lines_ > limits::kResponseHeaderFields || name.size() > limits::kResponseHeadBytes ||
        value.size() > limits::kResponseHeadBytes ||
        out_.size() - begin_ + name.size() + value.size() > limits::kResponseHeadBytes)
      return AnswerError::kMalformed;
    const size_t at = out_.size();
    out_.append(name).append(": ").append(value).append("\r\n");
    name = std::string_view(out_).substr(at, name.size());
    value = std::string_view(out_).substr(at + name.size() + 2, value.size());
    if (!is_token(name)) {
      const AnswerError error = check_value(name);
      return error == AnswerError::kNone ? AnswerError::kMalformed : error;
    }
    const AnswerError error = check_value(value);
    if (error != AnswerError::kNone) return error;
    return known(name, value, at);
  }

  [[nodiscard]] bool has_date() const noexcept { return date_; }
  [[nodiscard]] bool has_server() const noexcept { return server_; }
  [[nodiscard]] bool has_content_type() const noexcept { return content_type_; }
  [[nodiscard]] std::optional<uint64_t> declared() const noexcept { return declared_; }

 private:
  // A value is text or bytes, or a list of them: a line each.
  AnswerError add_values(std::string_view name, const ValueView& value) noexcept {
    if (const std::optional<Bytes> one = value.text_or_bytes()) return add(name, as_text(*one));
    if (value.type() != Type::kList) return AnswerError::kMalformed;
    for (const ValueView element : value) {
      const std::optional<Bytes> one = element.text_or_bytes();
      if (!one) return AnswerError::kMalformed;
      const AnswerError error = add(name, as_text(*one));
      if (error != AnswerError::kNone) return error;
    }
    return AnswerError::kNone;
  }

  // Takes back the line begun at `at` where it is ours to write.
  AnswerError known(std::string_view name, std::string_view value, size_t at) noexcept {
    bool drop = false;
    switch (name.size()) {
      case 4:
        date_ = date_ || equals_lower(name, "date");
        break;
      case 6:
        server_ = server_ || equals_lower(name, "server");
        break;
      case 10:
        drop = equals_lower(name, "connection") || equals_lower(name, "keep-alive");
        break;
      case 12:
        if (!equals_lower(name, "content-type")) break;
        drop = skip_type_;
        content_type_ = true;
        break;
      case 14: {
        if (!equals_lower(name, "content-length")) break;
        value = trim_blanks(value);
        uint64_t length = 0;
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), length);
        if (declared_ || error != std::errc() || end != value.data() + value.size())
          return AnswerError::kMalformed;
        declared_ = length;
        drop = true;
        break;
      }
      case 17:
        drop = equals_lower(name, "transfer-encoding");
        break;
      default:
        break;
    }
    if (drop) out_.resize(at);
    return AnswerError::kNone;
  }

  std::string& out_;
  size_t begin_;
  size_t lines_ = 0;
  bool content_type_ = false;
  bool skip_type_ = false;
  bool date_ = false;
  bool server_ = false;
  std::optional<uint64_t> declared_;
};

void append_connection(std::string& out, const AnswerTo& to, bool close) noexcept {
  if (close)
    out.append("Connection: close\r\n");
  else if (to.minor_version == 0)
    out.append("Connection: keep-alive\r\n");
}

void append_length(std::string& out, uint64_t length) noexcept {
  out.append("Content-Length: ");
  append_number(out, length);
  out.append("\r\n");
}

// Decides how the answer is framed and writes the lines that say so (W2).
AnswerError append_framing(const Answer& answer, int status, const AnswerTo& to, AnswerState& state,
                           std::string& out) noexcept {
  const uint64_t size = answer.content.size();
  const bool bodiless = status == 204 || status == 304;
  state.drop_body = bodiless || to.head_method;
  if (bodiless) {
    state.framing = Framing::kNone;
    if (status == 304 && state.declared) append_length(out, *state.declared);
  } else if (state.declared || !answer.more) {
    state.framing = Framing::kLength;
    // For HEAD a consumer may tell the length and leave the content out.
    const bool left_out = to.head_method && size == 0;
    const uint64_t length = state.declared.value_or(size);
    if (size > length || (size < length && !answer.more && !left_out))
      return AnswerError::kLengthMismatch;
    append_length(out, length);
  } else if (to.minor_version >= 1) {
    state.framing = Framing::kChunked;
    out.append("Transfer-Encoding: chunked\r\n");
  } else {
    state.framing = Framing::kUntilClose;
  }
  state.close_after = !to.keep_alive || state.framing == Framing::kUntilClose;
  append_connection(out, to, state.close_after);
  return AnswerError::kNone;
}

AnswerError append_head(const Answer& answer, int status, const AnswerTo& to, AnswerState& state,
                        std::string& out) noexcept {
  append_status_line(out, status);
  HeaderLines lines(out);
  if (!answer.content_type.empty()) {  // the key rules over a header
    const AnswerError error = lines.add("Content-Type", answer.content_type);
    if (error != AnswerError::kNone) return error;
    lines.skip_content_type();
  }
  if (answer.has_headers) {
    const AnswerError error = lines.add_all(answer.headers);
    if (error != AnswerError::kNone) return error;
  }
  if (!lines.has_date() && to.unix_seconds != 0) out.append(date_line(to.unix_seconds));
  if (!lines.has_server()) out.append(to.server_line);
  const bool has_content = !answer.content.empty() || (answer.more && answer.kind != Type::kNull);
  if (!lines.has_content_type() && has_content && status != 204 && status != 304)
    out.append(answer.kind == Type::kText ? "Content-Type: text/plain; charset=utf-8\r\n"
                                          : "Content-Type: application/octet-stream\r\n");
  state.declared = lines.declared();
  const AnswerError error = append_framing(answer, status, to, state, out);
  if (error != AnswerError::kNone) return error;
  out.append("\r\n");
  return AnswerError::kNone;
}

AnswerError append_early_hints(const Answer& answer, const AnswerTo& to,
                               std::string& out) noexcept {
  const size_t mark = out.size();
  out.append(kEarlyHintsLine);
  HeaderLines lines(out);
  lines.skip_content_type();  // of what is to come, not of this
  if (answer.has_headers) {
    const AnswerError error = lines.add_all(answer.headers);
    if (error != AnswerError::kNone) return error;
  }
  out.append("\r\n");
  if (to.minor_version == 0) out.resize(mark);  // a client of 1.0 takes a 1xx for the answer
  return AnswerError::kNone;
}

// Frames the content of one message by what the head said.
AnswerError append_content(const Answer& answer, AnswerState& state, std::string& out,
                           WireAnswer& wire) noexcept {
  state.complete = !answer.more;
  if (state.drop_body) return AnswerError::kNone;
  const uint64_t size = answer.content.size();
  state.sent += size;
  wire.content = answer.content;
  if (state.framing == Framing::kLength) {
    const uint64_t due = state.declared.value_or(state.sent);
    if (state.sent > due || (state.complete && state.sent < due))
      return AnswerError::kLengthMismatch;
  } else if (state.framing == Framing::kChunked) {
    if (size != 0) {
      append_number(out, size, 16);
      out.append("\r\n");
      wire.after = answer.more ? "\r\n" : "\r\n0\r\n\r\n";
    } else if (!answer.more) {
      wire.after = "0\r\n\r\n";
    }
  }
  return AnswerError::kNone;
}

}  // namespace

AnswerError write_answer(const MessageView& message, const AnswerTo& to, AnswerState& state,
                         std::string& out, WireAnswer& wire) noexcept {
  wire = {};
  if (state.complete) return AnswerError::kAfterEnd;
  Answer answer;
  if (!read(message, answer)) return AnswerError::kMalformed;
  if (answer.status.has_value() == state.started) return AnswerError::kMalformed;

  const size_t mark = out.size();
  AnswerState next = state;
  AnswerError error = AnswerError::kNone;
  if (state.started) {
    error = append_content(answer, next, out, wire);
  } else if (*answer.status == kEarlyHints) {
    error = append_early_hints(answer, to, out);
  } else if (*answer.status < 200 || *answer.status > 599) {
    error = AnswerError::kMalformed;
  } else {
    next.started = true;
    next.status = static_cast<int>(*answer.status);
    error = append_head(answer, next.status, to, next, out);
    if (error == AnswerError::kNone) error = append_content(answer, next, out, wire);
  }
  if (error != AnswerError::kNone) {  // W1
    out.resize(mark);
    wire = {};
    return error;
  }
  state = next;
  wire.before = std::string_view(out).substr(mark);
  return AnswerError::kNone;
}

void write_own_answer(int status, std::string_view why, std::string_view extra, const AnswerTo& to,
                      AnswerState& state, std::string& out) noexcept {
  const bool started = std::exchange(state.started, true);
  state.complete = true;
  state.close_after = started || !to.keep_alive;
  if (started) return;
  state.framing = Framing::kLength;
  state.drop_body = to.head_method;
  state.status = status;

  append_status_line(out, status);
  if (to.unix_seconds != 0) out.append(date_line(to.unix_seconds));
  out.append(to.server_line);
  out.append("Content-Type: text/plain; charset=utf-8\r\n").append(extra);
  const std::string_view phrase = reason_phrase(status);
  const std::string_view joint = why.empty() ? "" : ": ";
  const size_t size = 4 + phrase.size() + joint.size() + why.size() + 1;  // "502 " phrase ": " why "\n"
  append_length(out, size);
  append_connection(out, to, state.close_after);
  out.append("\r\n");
  if (state.drop_body) return;
  state.sent = size;
  append_number(out, static_cast<uint64_t>(status));
  out.append(" ").append(phrase).append(joint).append(why).append("\n");
}

std::string_view reason_phrase(int status) noexcept {
  const Phrase* found = std::ranges::lower_bound(kPhrases, status, {}, &Phrase::status);
  return found != std::end(kPhrases) && found->status == status ? found->words : "";
}

std::string_view date_line(int64_t unix_seconds) noexcept {
  constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local char line[] = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
  thread_local int64_t written = 0;
  if (unix_seconds != written) {
    written = unix_seconds;
    const std::chrono::sys_seconds now{std::chrono::seconds(unix_seconds)};
    const auto day = std::chrono::floor<std::chrono::days>(now);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(now - day);
    const auto put = [](size_t at, std::string_view text) { text.copy(line + at, text.size()); };
    const auto put_number = [](size_t at, size_t digits, int64_t number) {
      for (size_t i = digits; i-- > 0; number /= 10)
        line[at + i] = static_cast<char>('0' + number % 10);
    };
    put(6, kDays[std::chrono::weekday(day).c_encoding()]);
    put_number(11, 2, static_cast<unsigned>(date.day()));
    put(14, kMonths[static_cast<unsigned>(date.month()) - 1]);
    put_number(18, 4, static_cast<int>(date.year()));
    put_number(23, 2, time.hours().count());
    put_number(26, 2, time.minutes().count());
    put_number(29, 2, time.seconds().count());
  }
  return {line, sizeof line - 1};
}

}  // namespace sluice
