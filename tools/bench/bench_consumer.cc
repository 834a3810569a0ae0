// tools/bench/bench_consumer.cc -- the consumer of what the demo has no route for, for tools/dev bench.
//
//   bench_consumer <control socket>
//
// A request is answered "Hello, World!" when its body, if there is one, was read to its end; /pour?N with N
// MiB, as the client takes them. A WebSocket's message goes to all WebSockets. Says `attached`.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/consumer.h"

namespace {

using sluice::Consumer;
using sluice::Fields;
using sluice::Message;
using sluice::MessageKind;
using sluice::ReplyAddress;
using sluice::Result;

constexpr std::string_view kGroup = "bench.all";
constexpr size_t kPiece = 64 * 1024;  // one block
constexpr size_t kPiecesOfMib = 16;

struct Pour {
  ReplyAddress to;
  uint64_t left;  // pieces
};

class BenchConsumer {
 public:
  explicit BenchConsumer(Consumer& consumer) : consumer_(consumer), piece_(kPiece, 'x') {}

  // Until the gateway hangs up.
  void run() {
    for (;;) {
      auto message = pours_.empty() ? consumer_.receive() : consumer_.try_receive();
      if (message.ok()) {
        take(*message);
      } else if (message.error() != sluice::Error::kTimedOut) {
        return;
      }
      pour_on();
    }
  }

 private:
  void take(const Message& message) {
    switch (message.kind()) {
      case MessageKind::kHttpRequest: return request(message);
      case MessageKind::kHttpRequestBody: return answer_at_the_end(message);
      case MessageKind::kWebSocketConnect: return ignore(consumer_.group_add(kGroup, message));
      case MessageKind::kWebSocketReceive: return tell_all(message);
      default: return;
    }
  }

  void request(const Message& message) {
    if (message.fields().text("path") != "/pour") return answer_at_the_end(message);
    const std::string_view query = sluice::as_text(message.fields().bytes("query_string"));
    uint64_t mib = 0;
    std::from_chars(query.data(), query.data() + query.size(), mib);
    const std::string length = std::to_string(mib * kPiecesOfMib * kPiece);
    const sluice::Pair headers[] = {{"Content-Length", length}};
    ignore(consumer_.reply(message, Fields{{"status_code", 200},
                                           {"headers", std::span<const sluice::Pair>(headers)},
                                           {"content", ""},
                                           {"more_content", mib > 0}}));
    if (mib > 0) pours_.push_back({message.address(), mib * kPiecesOfMib});
  }

  void answer_at_the_end(const Message& part) {
    if (part.fields().boolean("more_content")) return;
    ignore(consumer_.send(part.address(), Fields{{"status_code", 200},
                                                 {"content_type", "text/plain"},
                                                 {"content", "Hello, World!"}}));
  }

  void tell_all(const Message& message) {
    const auto content = message.fields().find("content");
    const auto bytes = content ? content->text_or_bytes() : std::nullopt;
    if (bytes) ignore(consumer_.group_send(kGroup, Fields{{"content", sluice::as_text(*bytes)}}));
  }

  // A piece each; where none has room, the first waits for it, and for no message longer than a moment.
  void pour_on() {
    bool any = false;
    for (size_t i = pours_.size(); i-- > 0;) any |= pour(i, {});
    if (!any && !pours_.empty()) static_cast<void>(pour(0, std::chrono::milliseconds(1)));
  }

  // False: there was no room.
  bool pour(size_t which, std::chrono::nanoseconds wait) {
    Pour& pour = pours_[which];
    const Result<void> sent = consumer_.send(
        pour.to, Fields{{"content", sluice::as_bytes(piece_)}, {"more_content", pour.left > 1}}, wait);
    if (!sent.ok() && (sent.error() == sluice::Error::kChannelFull ||
                       sent.error() == sluice::Error::kOutOfBlocks)) {
      return false;
    }
    if (!sent.ok() || --pour.left == 0) pours_.erase(pours_.begin() + static_cast<std::ptrdiff_t>(which));
    return true;
  }

  // A client that went away is no trouble of ours.
  template <class Outcome>
  static void ignore(const Outcome& /*outcome*/) {}

  Consumer& consumer_;
  std::string piece_;
  std::vector<Pour> pours_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: bench_consumer <control socket>\n", stderr);
    return 2;
  }
  auto attached = Consumer::attach(
      argv[1], {"http.request", "websocket.connect", "websocket.receive", "websocket.disconnect"});
  if (!attached.ok()) {
    std::fprintf(stderr, "bench_consumer: %s\n", std::string(sluice::describe(attached.error())).c_str());
    return 1;
  }
  std::puts("attached");
  std::fflush(stdout);
  BenchConsumer(*attached).run();
  return 0;
}
