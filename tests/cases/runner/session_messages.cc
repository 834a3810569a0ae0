// tests/cases/runner/session_messages.cc -- see the header.
#include "tests/cases/runner/session_messages.h"

#include <algorithm>
#include <utility>

#include "protocol/http.h"
#include "protocol/message.h"
#include "tests/cases/runner/http_recorder.h"
#include "worker/backpressure.h"
#include "worker/http_writer.h"

namespace sluice::cases {
namespace {

constexpr std::string_view kResponseChannel = "http.response.1-1!2.3.4";
constexpr std::string_view kBodyChannel = "http.request.body?1-1.2.3.4";
constexpr size_t kHeadSpace = 256 * limits::kKiB;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), to_lower);
  return out;
}

std::string shown(const ValueView& value) {
  switch (value.type()) {
    case Type::kText:
    case Type::kBytes:
      return escape(as_text(*value.text_or_bytes()));
    case Type::kInteger:
      return std::to_string(*value.integer());
    case Type::kBoolean:
      return *value.boolean() ? "true" : "false";
    default:
      return std::string(name_of(value.type()));
  }
}

// `name=value` of a pair, `name: value, ...` of a map.
std::string shown_element(const ValueView& value) {
  if (value.type() != Type::kList && value.type() != Type::kMap) return shown(value);
  const bool map = value.type() == Type::kMap;
  std::string text;
  size_t at = 0;
  for (const ValueView inner : value) {
    if (at > 0) text += map && at % 2 == 0 ? ", " : map ? ": " : "=";
    text += shown(inner);
    ++at;
  }
  return text;
}

size_t times(const ValueView& map, std::string_view key) {
  size_t found = 0, at = 0;
  for (const ValueView each : map) found += at++ % 2 == 0 && each.text() == key ? 1 : 0;
  return found;
}

}  // namespace

SessionMessages::SessionMessages(const HttpLimits& limits, std::string root_path)
    : limits_(limits), root_path_(std::move(root_path)) {}

void SessionMessages::expect(bool holds, std::string_view promise) {
  if (!holds && broken_.empty()) broken_ = promise;
}

void SessionMessages::on_head(const RequestHead& head) noexcept {
  expect(!over_, "a head after a refusal");
  body_.clear();
  names_.clear();
  body_bytes_ = 0;
  published_ = false;
  head_method_ = head.method == "HEAD";
  keep_alive_ = head.keep_alive;
  for (const HeaderField& field : head.headers) names_.push_back(lower(field.name));
  content_type_ = content_type_of(head);
  form_ = form_kind(head.method, content_type_);
  streams_ =
      form_ == FormKind::kNone && (head.content_length.value_or(0) > limits::kInlineBodyBytes ||
                                   (head.expects_continue && head.chunked));

  static thread_local std::vector<std::byte> space(kHeadSpace);
  Encoder encoder(space);
  encoder.begin_map();
  const RequestSource source{root_path_, "192.0.2.7", 50123, "example.org", 8000};
  const Result<void> encoded = encode_request_head(encoder, head, source, kResponseChannel);
  head_.clear();
  head_elements_ = encoder.elements();
  if (!encoded.ok()) {
    const Verdict verdict = verdict_on(encoded.error());
    return answer(verdict.status, verdict.why, head_method_, keep_alive_);
  }
  encoder.end_map();
  const Result<Bytes> map = encoder.finish();
  expect(map.ok(), "a head that no message has room for");
  if (map.ok()) head_ = as_text(map->subspan(kMapHeaderBytes));
  if (streams_) publish({.body_channel = kBodyChannel});
}

void SessionMessages::on_body(Bytes piece) noexcept {
  expect(!over_, "a body after a refusal");
  body_bytes_ += piece.size();
  expect(body_bytes_ <= limits_.body_bytes, "a body beyond its limit");
  if (head_.empty() || published_) return;
  body_ += as_text(piece);
  if (form_ != FormKind::kNone || body_.size() <= limits::kInlineBodyBytes) return;
  body_.resize(limits::kInlineBodyBytes);
  publish({.bytes = body_, .body_channel = kBodyChannel});
}

void SessionMessages::on_complete() noexcept {
  expect(!over_, "a request completed after a refusal");
  if (!head_.empty() && !published_)
    publish({.form = form_, .content_type = content_type_, .bytes = body_});
  head_.clear();
}

void SessionMessages::on_refused(const Refusal& refusal) noexcept {
  expect(!over_, "two refusals");
  over_ = true;
  answer(refusal.status, refusal.reason, head_.empty() ? refusal.head_method : head_method_, false,
         refusal.extra);
}

void SessionMessages::publish(const RequestBody& body) {
  published_ = true;
  const Bytes head = as_bytes(head_);
  for (size_t size = head_.size() + body.bytes.size() + 256;; size *= 2) {
    std::string space(size, '\0');
    const Result<Bytes> message = encode_request(
        std::as_writable_bytes(std::span(space.data(), space.size())), head, head_elements_, body);
    if (message.ok()) {
      messages_.emplace_back(as_text(*message));
      return check(messages_.back());
    }
    if (message.error() == Error::kMessageTooLarge && size < 4 * limits::kMessageBytes) continue;
    const Verdict verdict = verdict_on(message.error());
    return answer(verdict.status, verdict.why, head_method_, keep_alive_);
  }
}

void SessionMessages::answer(int status, std::string_view why, bool head_method, bool keep_alive,
                             std::string_view extra) {
  const AnswerTo to{.head_method = head_method, .keep_alive = keep_alive};
  AnswerState state;
  answers_.emplace_back();
  write_own_answer(status, why, extra, to, state, answers_.back());
  expect(status >= 400 && status <= 599 && state.close_after == !keep_alive,
         "an answer that is none");
}

void SessionMessages::check(std::string_view message) {
  const Result<MessageView> parsed = MessageView::parse(as_bytes(message));
  expect(parsed.ok(), "a message that does not decode");
  if (!parsed.ok()) return;
  expect(!sluice::check(*parsed, kHttpRequest),
         "a field missing, of a wrong type or beyond its limit");
  for (const Field& field : kHttpRequest)
    expect(times(parsed->map(), field.key) <= 1, "a field twice");
  expect(names_.size() <= limits_.header_count, "more headers than their limit");
  expect(parsed->bytes("raw_path").size() <= limits_.line_bytes, "a path beyond its limit");
  const auto headers = parsed->find("headers");
  size_t at = 0;
  for (const ValueView pair : headers ? *headers : ValueView()) {
    const auto name = pair.begin();
    const std::string_view text = as_text((*name).bytes().value_or(Bytes()));
    const std::string_view value = as_text((*std::next(name)).bytes().value_or(Bytes()));
    expect(at < names_.size() && text == names_[at], "a header that is not the head's");
    expect(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos,
           "CR, LF or NUL in a header");
    ++at;
  }
  expect(at == names_.size(), "a header of the head that is missing");
}

std::vector<std::string> message_lines(std::string_view encoded) {
  std::vector<std::string> lines;
  const Result<MessageView> message = MessageView::parse(as_bytes(encoded));
  if (!message.ok()) return {"malformed"};
  const ValueView map = message->map();
  for (auto at = map.begin(); at != map.end();) {
    const std::string key = shown(*at++);
    const ValueView value = *at++;
    if (value.type() == Type::kMap) {
      for (auto inner = value.begin(); inner != value.end();) {
        const std::string name = shown(*inner++);
        lines.push_back(key + '.' + name + ' ' + shown(*inner++));
      }
    } else if (value.type() == Type::kList) {
      for (const ValueView element : value) lines.push_back(key + ' ' + shown_element(element));
    } else {
      lines.push_back(key + ' ' + shown(value));
    }
  }
  return lines;
}

}  // namespace sluice::cases
