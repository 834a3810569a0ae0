// tests/cases/runner/http_recorder.cc -- see the header.
#include "tests/cases/runner/http_recorder.h"

#include <algorithm>
#include <memory>

#include "tests/cases/runner/session_messages.h"

namespace sluice::cases {
namespace {

class Recorder : public HttpSession::Events {
 public:
  Recorder(const HttpLimits& limits, bool switching, bool pausing)
      : session_(*this, limits), made_(limits), switching_(switching), pausing_(pausing) {}

  void feed(std::string_view bytes) {
    auto copy = std::make_unique<std::byte[]>(bytes.size());  // R2
    std::ranges::copy(as_bytes(bytes), copy.get());
    Bytes rest(copy.get(), bytes.size());
    do {
      session_.resume();
      paused_ = false;
      const size_t taken = session_.feed(rest);
      if (taken > rest.size()) return broken("took more than it was fed");
      rest = rest.subspan(taken);
    } while (paused_);
    rest_ += as_text(rest);
  }

  Recorded recorded() {
    std::string events = text();
    return {std::move(events), made_.messages(), made_.answers()};
  }

  void on_head(const RequestHead& head) noexcept override {
    if (expects_ != Expects::kHead) broken("a head out of order");
    expects_ = head.has_body() ? Expects::kBody : Expects::kComplete;
    pause();
    line("head " + escape(head.method) + ' ' + escape(head.target) + " HTTP/1." +
         std::to_string(head.minor_version));
    line("path " + escape(head.raw_path));
    if (!head.query.empty()) line("query " + escape(head.query));
    if (!head.authority.empty()) line("host " + escape(head.authority));
    if (head.content_length) line("length " + std::to_string(*head.content_length));
    if (head.chunked) line("chunked");
    if (!head.keep_alive) line("close");
    if (head.expects_continue) line("expects continue");
    if (head.wants_websocket) line("wants websocket");
    for (const HeaderField& field : head.headers)
      line("field " + escape(field.name) + ": " + escape(field.value));
    if (switching_ && head.wants_websocket) {
      session_.switch_protocol();
      expects_ = Expects::kNothing;
    } else {
      made_.on_head(head);
    }
  }
  void on_body(Bytes piece) noexcept override {
    if (expects_ != Expects::kBody || piece.empty()) broken("a body out of order, or empty");
    pause();
    body_ += as_text(piece);
    made_.on_body(piece);
  }
  void on_complete() noexcept override {
    if (expects_ != Expects::kBody && expects_ != Expects::kComplete) broken("an end out of order");
    expects_ = Expects::kHead;
    pause();
    end_body();
    line("complete");
    made_.on_complete();
  }
  void on_refused(const Refusal& refusal) noexcept override {
    if (expects_ == Expects::kNothing) broken("a refusal out of order");
    expects_ = Expects::kNothing;
    pause();
    end_body();
    line("refused " + std::to_string(refusal.status) + ' ' + std::string(refusal.reason));
    made_.on_refused(refusal);
  }

 private:
  enum class Expects { kHead, kBody, kComplete, kNothing };

  std::string text() {
    end_body();
    if (!made_.broken().empty()) broken(made_.broken());
    if (!rest_.empty()) line("rest " + escape(rest_));
    if (session_.refused()) return lines_ + "end refused\n";
    if (session_.in_head()) return lines_ + "end in head\n";
    if (session_.in_body()) return lines_ + "end in body\n";
    return lines_ + (session_.idle() ? "end idle\n" : "end switched\n");
  }

  void line(const std::string& text) { lines_ += text + '\n'; }
  void broken(const std::string& text) { line("broken: " + text); }
  void end_body() {
    if (!body_.empty()) line("body " + escape(body_));
    body_.clear();
  }
  void pause() {
    if (!pausing_) return;
    if (paused_) broken("an event while paused");
    session_.pause();
    paused_ = true;
  }

  HttpSession session_;
  SessionMessages made_;
  bool switching_, pausing_;
  bool paused_ = false;
  Expects expects_ = Expects::kHead;
  std::string lines_, body_, rest_;
};

}  // namespace

Recorded record(std::string_view bytes, const HttpLimits& limits, bool switching, const Cut& cut) {
  Recorder recorder(limits, switching, cut.pausing);
  if (cut.step == 0) {
    if (cut.split > 0) recorder.feed(bytes.substr(0, cut.split));
    recorder.feed(bytes.substr(std::min(cut.split, bytes.size())));
  } else {
    for (size_t at = 0; at < bytes.size(); at += cut.step)
      recorder.feed(bytes.substr(at, cut.step));
  }
  return recorder.recorded();
}

std::string escape(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (char c : bytes) {
    const auto value = static_cast<unsigned char>(c);
    if (c == '\\')
      text += "\\\\";
    else if (c == '\r')
      text += "\\r";
    else if (c == '\n')
      text += "\\n";
    else if (c == '\t')
      text += "\\t";
    else if (value >= ' ' && value < 0x7f)
      text += c;
    else
      text += {'\\', 'x', kHex[value >> 4], kHex[value & 15]};
  }
  return text;
}

}  // namespace sluice::cases
