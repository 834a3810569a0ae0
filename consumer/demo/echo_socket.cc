// consumer/demo/echo_socket.cc -- see echo_socket.h.
#include "consumer/demo/echo_socket.h"

namespace sluice::demo {
namespace {

// Echoes one client may leave unread beyond what the gateway holds for it. Beyond: close with 1013.
constexpr size_t kLateBytes = 8u << 20;
constexpr size_t kLateEchoes = 16384;

bool is_full(const Result<void>& sent) {
  return !sent.ok() && (sent.error() == Error::kChannelFull || sent.error() == Error::kOutOfBlocks);
}

}  // namespace

void EchoSocket::receive(const Message& message) {
  const auto value = message.fields().find("content");
  const auto content = value ? value->text_or_bytes() : std::nullopt;
  if (!content) return;
  const bool binary = value->type() == Type::kBytes;
  const auto line = late_.empty() ? late_.end() : late_.find(message.address());
  if (line == late_.end()) {
    if (!is_full(echo(message.address(), as_text(*content), binary))) return;
  }
  Line& waiting = line == late_.end() ? late_[message.address()] : line->second;
  waiting.echoes.push_back({std::string(as_text(*content)), binary});
  waiting.bytes += content->size();
  if (waiting.bytes <= kLateBytes && waiting.echoes.size() <= kLateEchoes) return;
  // The ring is full, so this may not get through either; then the next message tries again.
  const auto closed =
      consumer_.try_send(message, {{"code", 1013}, {"reason", "read what you are sent"}});
  if (!is_full(closed)) late_.erase(message.address());
}

void EchoSocket::retry() {
  for (auto line = late_.begin(); line != late_.end();) {
    std::deque<Late>& echoes = line->second.echoes;
    while (!echoes.empty() &&
           !is_full(echo(line->first, echoes.front().content, echoes.front().binary))) {
      line->second.bytes -= echoes.front().content.size();
      echoes.pop_front();
    }
    line = echoes.empty() ? late_.erase(line) : std::next(line);
  }
}

Result<void> EchoSocket::echo(const ReplyAddress& address, std::string_view content, bool binary) {
  if (binary) return consumer_.try_send(address, {{"content", as_bytes(content)}});
  return consumer_.try_send(address, {{"content", content}});
}

}  // namespace sluice::demo
