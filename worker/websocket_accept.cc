// worker/websocket_accept.cc -- see websocket_accept.h.
#include "worker/websocket_accept.h"

#include <algorithm>

#include "protocol/limits.h"
#include "worker/header_field.h"

namespace sluice {
namespace {

// Lines that make the handshake: only we write them.
bool is_ours(std::string_view name) noexcept {
  constexpr std::string_view kPrefix = "sec-websocket-";
  return equals_lower(name, "connection") || equals_lower(name, "upgrade") ||
         equals_lower(name, "content-length") || equals_lower(name, "transfer-encoding") ||
         (name.size() >= kPrefix.size() && equals_lower(name.substr(0, kPrefix.size()), kPrefix));
}

bool is_field_value(std::string_view value) noexcept {
  return std::none_of(value.begin(), value.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
}

bool append_line(const ValueView& name_view, const ValueView& value_view, std::string& out) {
  const std::optional<Bytes> name_bytes = name_view.text_or_bytes();
  const std::optional<Bytes> value_bytes = value_view.text_or_bytes();
  if (!name_bytes || !value_bytes ||
      name_bytes->size() + value_bytes->size() > limits::kHeaderLineBytes) {
    return false;
  }
  const std::string name(as_text(*name_bytes));
  const std::string value(as_text(*value_bytes));
  if (!is_token(name) || is_ours(name) || !is_field_value(value)) return false;
  out.append(name).append(": ").append(value).append("\r\n");
  return true;
}

bool append_lines(const ValueView& headers, std::string& out) {
  uint32_t lines = 0;
  if (headers.type() == Type::kMap) {
    for (auto at = headers.begin(); at != headers.end(); ++at) {
      const ValueView name = *at;
      if (++at == headers.end()) return false;
      const ValueView value = *at;
      if (value.type() == Type::kList) {
        for (const ValueView each : value) {
          if (++lines > limits::kAcceptHeaderFields || !append_line(name, each, out)) return false;
        }
      } else if (++lines > limits::kAcceptHeaderFields || !append_line(name, value, out)) {
        return false;
      }
    }
    return true;
  }
  if (headers.type() != Type::kList) return false;
  for (const ValueView pair : headers) {
    auto at = pair.begin();
    if (pair.type() != Type::kList || pair.size() != 2 || at == pair.end()) return false;
    const ValueView name = *at;
    if (++at == pair.end()) return false;
    if (++lines > limits::kAcceptHeaderFields || !append_line(name, *at, out)) return false;
  }
  return true;
}

}  // namespace

FirstWord first_word(const MessageView& message) noexcept {
  if (message.has("status_code")) return FirstWord::kAnswer;
  if (const std::optional<ValueView> value = message.find("accept")) {
    const std::optional<bool> accept = value->boolean();
    if (accept) return *accept ? FirstWord::kAccept : FirstWord::kReject;
  }
  return message.has("content") ? FirstWord::kAcceptAndSend : FirstWord::kReject;
}

bool append_accept_headers(const MessageView& message, std::string& out) {
  const std::optional<ValueView> headers = message.find("headers");
  if (!headers || headers->type() == Type::kNull) return true;
  const size_t before = out.size();
  if (append_lines(*headers, out)) return true;
  out.resize(before);
  return false;
}

}  // namespace sluice
