// tests/blackbox/rogue_consumer.cc -- a consumer that misbehaves as the path of a request asks it to.
//
//   rogue_consumer <control socket>
//
// Says `attached`, then `took <channel> <method> <path> [what]` for each message before it acts on it, and
// of one on /rogue/who `who <channel> <scheme>` and META's names of both ends.
// A path it does not know is answered with "plain".
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/consumer.h"
#include "tests/blackbox/leave_on_term.h"

namespace {

using sluice::Consumer;
using sluice::Destination;
using sluice::Encoder;
using sluice::Fields;
using sluice::Message;
using sluice::MessageKind;
using sluice::ReplyAddress;
using sluice::Result;
using sluice::tests::LeaveOnTerm;

void say(std::string_view word, std::string_view text) {
  std::printf("%.*s %.*s\n", static_cast<int>(word.size()), word.data(), static_cast<int>(text.size()),
              text.data());
  std::fflush(stdout);
}

std::string_view words(const Result<void>& result) {
  return result.ok() ? std::string_view("sent") : sluice::describe(result.error());
}

// One value of the map is these bytes, whatever they are.
Result<void> reply_raw(Consumer& consumer, const Message& message, std::string_view value) {
  return consumer.reply(message, [&](Encoder& encoder) {
    encoder.key("status_code").integer(200).key("content").raw(sluice::as_bytes(value), 1);
  });
}

Result<void> plain(Consumer& consumer, const Destination& to) {
  return consumer.send(to, Fields{{"status_code", 200}, {"content", "plain"}, {"content_type", "text/plain"}});
}

Result<void> with_header(Consumer& consumer, const Message& message, std::string_view name,
                         std::string_view value) {
  const std::array headers{sluice::Pair{name, value}};
  return consumer.reply(message, Fields{{"status_code", 200},
                                        {"content", "plain"},
                                        {"headers", std::span<const sluice::Pair>(headers)}});
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

class Rogue {
 public:
  explicit Rogue(Consumer& consumer) : consumer_(consumer) {}

  void take(const Message& message) {
    const auto path = message.fields().text("path");
    std::string line(message.channel());
    line.append(" ").append(message.fields().text("method")).append(" ").append(path);
    if (message.kind() == MessageKind::kWebSocketReceive) {
      line.append(" ").append(message.fields().text("content").substr(0, 40));
    } else if (message.kind() == MessageKind::kWebSocketDisconnect) {
      line.append(" ").append(std::to_string(message.fields().integer("code")));
    }
    say("took", line);
    if (message.kind() == MessageKind::kHttpRequest) answer(message, path);
    if (path == "/rogue/who") say_who(message);
    if (message.kind() == MessageKind::kWebSocketConnect && path == "/rogue/accept-at-length") {
      accept_at_length(message);
    }
    if (message.kind() == MessageKind::kWebSocketReceive) {
      receive(message, message.fields().text("content"));
    }
  }

  // Asked to live on when it has left.
  [[nodiscard]] bool stays() const { return stays_; }

 private:
  // By the channel of its message, who asked whom.
  static void say_who(const Message& message) {
    std::string line(message.channel());
    line.append(" ").append(message.fields().text("scheme"));
    const auto meta = message.fields().find("META");
    for (const auto key : {"REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"}) {
      const auto value = meta ? meta->find(key) : std::nullopt;
      line.append(" ").append(value ? value->text().value_or("") : "");
    }
    say("who", line);
  }

  void answer(const Message& message, std::string_view path) {
    const auto asked = path.starts_with("/rogue/") ? path.substr(7) : std::string_view{};
    Result<void> result;
    if (asked == "hold") {
      held_.push_back(message.address());
      return;
    }
    if (asked == "die") die();
    if (asked == "begin") {
      result = consumer_.reply(
          message, Fields{{"status_code", 200}, {"content", "half of it"}, {"more_content", true}});
      if (!result.ok()) say("not sent:", words(result));
      return;
    }
    if (asked == "stay") stays_ = true;
    if (asked == "half") {
      result = consumer_.reply(
          message, Fields{{"status_code", 200}, {"content", "half of it"}, {"more_content", true}});
      consumer_.flush();
      die();
    }
    if (asked == "answer-held") {
      for (const auto& address : held_) {
        result = consumer_.send(address, Fields{{"status_code", 200}, {"content", "late"}});
        say("answered late:", words(result));
      }
      held_.clear();
      result = plain(consumer_, message);
    } else if (asked == "twice") {
      result = plain(consumer_, message);
      result = consumer_.send(message, Fields{{"status_code", 200}, {"content", "second"}});
    } else if (asked == "too-large") {
      const std::string content((size_t{17} << 20), 'x');
      result = consumer_.reply(message, Fields{{"status_code", 200}, {"content", content}});
      say("refused:", words(result));
      result = consumer_.reply(message, Fields{{"status_code", 200}, {"content", words(result)}});
    } else if (asked == "large") {
      const std::string content(size_t{12} << 20, 'x');
      result = consumer_.reply(message, Fields{{"status_code", 200}, {"content", content}});
    } else if (asked == "bad-channel") {
      result = consumer_.try_send("no such\nname", Fields{{"content", "x"}});
      result = consumer_.reply(message, Fields{{"status_code", 200}, {"content", words(result)}});
    } else if (asked == "foreign") {
      foreign(message);
    } else if (asked == "inline") {  // how much of its body came with it
      const std::string size = std::to_string(message.fields().bytes("body").size());
      result = consumer_.reply(message, Fields{{"status_code", 200}, {"content", size}});
    } else if (!asked.empty()) {
      result = malformed(message, asked);
    } else {
      result = plain(consumer_, message);
    }
    if (!result.ok()) say("not sent:", words(result));
  }

  // Answers that are sent, and are wrong.
  Result<void> malformed(const Message& message, std::string_view asked) {
    using namespace std::string_view_literals;
    if (asked == "reserved-byte") return reply_raw(consumer_, message, "\xc1"sv);
    if (asked == "cut-short") return reply_raw(consumer_, message, "\xdb\x7f\xff\xff\xff"sv);
    if (asked == "bad-utf8") return reply_raw(consumer_, message, "\xa2\xff\xfe"sv);
    if (asked == "nested") return reply_raw(consumer_, message, std::string(5000, '\x91') + '\xc0');
    if (asked == "content-is-a-list") return reply_raw(consumer_, message, "\x91\x01"sv);
    if (asked == "no-status") return consumer_.reply(message, Fields{{"content", "plain"}});
    if (asked == "status-is-text") {
      return consumer_.reply(message, Fields{{"status_code", "200"}, {"content", "plain"}});
    }
    if (asked.starts_with("status-")) {
      const int status = std::atoi(std::string(asked.substr(7)).c_str());
      return consumer_.reply(message, Fields{{"status_code", status}, {"content", "plain"}});
    }
    if (asked == "crlf-in-value") return with_header(consumer_, message, "X-A", "a\r\nX-Evil: 1");
    if (asked == "lf-in-value") return with_header(consumer_, message, "X-A", "a\nX-Evil: 1");
    if (asked == "nul-in-value") return with_header(consumer_, message, "X-A", "a\0b"sv);
    if (asked == "space-in-name") return with_header(consumer_, message, "X A", "a");
    if (asked == "crlf-in-name") return with_header(consumer_, message, "X\r\nX-Evil: 1\r\nY", "a");
    if (asked == "empty-name") return with_header(consumer_, message, "", "a");
    if (asked == "crlf-in-type") {
      return consumer_.reply(message, Fields{{"status_code", 200}, {"content_type", "a\r\nX-Evil: 1"}});
    }
    if (asked == "huge-header") return with_header(consumer_, message, "X-A", std::string(70000, 'a'));
    if (asked == "own-length") return with_header(consumer_, message, "Content-Length", "3");
    if (asked == "own-framing") return with_header(consumer_, message, "Transfer-Encoding", "chunked");
    if (asked == "own-connection") return with_header(consumer_, message, "Connection", "upgrade");
    return plain(consumer_, message);
  }

  // Sends to addresses near the one given, then answers there.
  void foreign(const Message& message) {
    const Fields evil{{"status_code", 200}, {"content", "evil"}};
    std::vector<ReplyAddress> near;
    for (const uint32_t step : {1u, 2u, 1000u}) {
      ReplyAddress address = message.address();
      address.ordinal += step;
      near.push_back(address);
      address = message.address();
      address.slot += step;
      near.push_back(address);
      address = message.address();
      address.generation += step;
      near.push_back(address);
      address = message.address();
      address.worker = static_cast<uint16_t>(address.worker + step);
      near.push_back(address);
    }
    for (const auto& address : near) say("foreign:", words(consumer_.try_send(address, evil)));
    const Result<void> result = plain(consumer_, message);
    if (!result.ok()) say("not sent:", words(result));
  }

  // More header lines than a worker gathers before it writes.
  void accept_at_length(const Message& message) {
    const std::string value(7000, 'a');
    const std::array<sluice::Value, 4> values{value, value, value, value};
    const std::array headers{sluice::Pair{"X-Long", std::span<const sluice::Value>(values)}};
    const Result<void> result = consumer_.reply(
        message, Fields{{"accept", true}, {"headers", std::span<const sluice::Pair>(headers)}});
    if (!result.ok()) say("not sent:", words(result));
  }

  void receive(const Message& message, std::string_view asked) {
    using namespace std::string_view_literals;
    Result<void> result;
    if (asked.starts_with("close ")) {
      const int code = std::atoi(std::string(asked.substr(6)).c_str());
      result = consumer_.reply(message, Fields{{"code", code}, {"reason", "as asked"}});
    } else if (asked == "close") {
      result = consumer_.reply(message, Fields{});
    } else if (asked == "say and close") {
      result = consumer_.reply(message, Fields{{"content", "bye"}, {"close", true}});
    } else if (asked == "bad utf8") {
      result = consumer_.reply(message, [](Encoder& encoder) {
        encoder.key("content").raw(sluice::as_bytes("\xa2\xff\xfe"sv), 1);
      });
    } else if (asked == "text in bytes") {
      result = consumer_.reply(message, Fields{{"content", sluice::as_bytes("\xff\xfe"sv)}, {"binary", false}});
    } else if (asked == "reserved byte") {
      result = consumer_.reply(message, [](Encoder& encoder) {
        encoder.key("content").raw(sluice::as_bytes("\xc1"sv), 1);
      });
    } else if (asked == "flood") {
      flood(message);
    } else if (asked != "note") {
      result = consumer_.reply(message, Fields{{"content", asked}});
    }
    if (!result.ok()) say("not sent:", words(result));
  }

  // As many messages of a MiB as there is room for.
  void flood(const Message& message) {
    const std::string content(size_t{1} << 20, 'x');
    int sent = 0;
    while (consumer_.try_send(message, Fields{{"content", content}}).ok()) ++sent;
    say("flooded", std::to_string(sent));
  }

  Consumer& consumer_;
  std::vector<ReplyAddress> held_;
  bool stays_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto attached = Consumer::attach(argv[1], {"http.request", "http.disconnect", "websocket.connect",
                                             "websocket.receive", "websocket.disconnect"});
  if (!attached.ok()) {
    say("refused:", sluice::describe(attached.error()));
    return 1;
  }
  const LeaveOnTerm leave(*attached);
  say("attached", std::to_string(attached->number()));

  Rogue rogue(*attached);
  while (!LeaveOnTerm::asked()) {
    auto message = attached->receive();
    if (!message.ok()) {
      if (message.error() != sluice::Error::kTimedOut) break;
      continue;
    }
    rogue.take(*message);
  }
  attached->detach();
  say("left", {});
  while (rogue.stays() && !LeaveOnTerm::asked()) ::pause();
  return 0;
}
