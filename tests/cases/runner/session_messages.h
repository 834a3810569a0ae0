// tests/cases/runner/session_messages.h -- what a worker makes of an HttpSession's events, without a socket:
// http.request messages, encoded by its own encoder, and its own answers, written by its own writer.
//
// X1  Each exchange gives at most one message, and nothing is made after a refusal.
// X2  Every message decodes, has each field of its table once, and stays within limits.h; its headers
//     are those of the head, in lower case, and no other.
// X3  What there is does not depend on how a body was cut.
// Where one of these does not hold, broken() says so: this is what the fuzz target is for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "worker/http_session.h"
#include "worker/request_message.h"

namespace sluice::cases {

class SessionMessages final : public HttpSession::Events {
 public:
  // `limits` outlives this; `root_path` is UTF-8.
  explicit SessionMessages(const HttpLimits& limits, std::string root_path = "");

  void on_head(const RequestHead& head) noexcept override;
  void on_body(Bytes piece) noexcept override;
  void on_complete() noexcept override;
  void on_refused(const Refusal& refusal) noexcept override;

  // Encoded messages in order; that of a body beyond limits::kInlineBodyBytes has its beginning.
  [[nodiscard]] const std::vector<std::string>& messages() const noexcept { return messages_; }
  // Answers of the gateway's own, in order, without Date.
  [[nodiscard]] const std::vector<std::string>& answers() const noexcept { return answers_; }
  [[nodiscard]] const std::string& broken() const noexcept { return broken_; }

 private:
  void publish(const RequestBody& body);
  void answer(int status, std::string_view why, bool head_method, bool keep_alive,
              std::string_view extra = {});
  void check(std::string_view message);
  void expect(bool holds, std::string_view promise);

  const HttpLimits& limits_;
  std::string root_path_;
  std::string head_;  // its keys, encoded; empty between requests and where it was refused
  uint32_t head_elements_ = 0;
  std::vector<std::string> names_;  // of the head's fields, in lower case
  std::string content_type_, body_;
  uint64_t body_bytes_ = 0;
  FormKind form_ = FormKind::kNone;
  bool streams_ = false;  // longer than what travels inline, or not known to be shorter
  bool published_ = false, over_ = false;
  bool head_method_ = false, keep_alive_ = true;
  std::vector<std::string> messages_, answers_;
  std::string broken_;
};

// A message as lines, for a document or a difference to show: `key value`, `META.NAME value`, and
// one line for each element of a list. Escaped as escape() does.
[[nodiscard]] std::vector<std::string> message_lines(std::string_view encoded);

}  // namespace sluice::cases
