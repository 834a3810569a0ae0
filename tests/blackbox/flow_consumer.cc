// tests/blackbox/flow_consumer.cc -- a consumer that takes bodies and gives answers at the pace a test
// asks for.
//
//   flow_consumer <control socket>
//
// Says `attached`, then `took <channel> <method> <path>` for each message but chunks of bodies. By path:
//   /swallow  reads the body, then says how it came: "inline=N chunked=N chunks=N"
//   /pour?N   N MiB in numbered chunks of 64 KiB, as the client takes them; says `full` when it does not
//   /hold     is kept; /release answers what is kept with its query, /release?N the first N of it
//   /piece    gives what is kept a piece of an answer; both answer as any other path when they are done
//   /hints /cookies /bytes /server /short /long   an answer of its own kind
// Any other is answered with "plain".

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "consumer/address_hash.h"
#include "consumer/consumer.h"
#include "tests/blackbox/leave_on_term.h"

namespace {

using namespace std::chrono_literals;
using sluice::Consumer;
using sluice::Fields;
using sluice::Message;
using sluice::MessageKind;
using sluice::ReplyAddress;
using sluice::Result;
using sluice::tests::LeaveOnTerm;

constexpr size_t kPiece = 64 * 1024;
constexpr uint32_t kPiecesAtOnce = 16;  // before others have their turn

void say(std::string_view word, std::string_view text = {}) {
  std::printf("%.*s %.*s\n", static_cast<int>(word.size()), word.data(), static_cast<int>(text.size()),
              text.data());
  std::fflush(stdout);
}

bool is_full(const Result<void>& sent) {
  return !sent.ok() && (sent.error() == sluice::Error::kChannelFull ||
                        sent.error() == sluice::Error::kOutOfBlocks);
}

struct Body {
  size_t at_first = 0, in_chunks = 0, chunks = 0;
};

struct Pour {
  ReplyAddress to;
  uint64_t next = 0, pieces = 0;
  bool full = false;
};

struct Kept {
  ReplyAddress to;
  std::string query;
  bool begun = false;
};

class Flow {
 public:
  explicit Flow(Consumer& consumer) : consumer_(consumer), piece_(kPiece, 'x') {}

  void run() {
    while (!LeaveOnTerm::asked()) {
      auto message = pours_.empty() ? consumer_.receive()
                     : all_full_    ? consumer_.receive(2ms)
                                    : consumer_.try_receive();
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
    if (message.kind() == MessageKind::kHttpRequestBody) return swallow(message);
    const std::string_view path = message.fields().text("path");
    std::string line(message.channel());
    line.append(" ").append(message.fields().text("method")).append(" ").append(path);
    say("took", line);
    if (message.kind() == MessageKind::kHttpDisconnect) bodies_.erase(message.address());
    if (message.kind() == MessageKind::kHttpRequest) request(message, path);
  }

  void request(const Message& message, std::string_view path) {
    const std::string_view query = sluice::as_text(message.fields().bytes("query_string"));
    if (path == "/swallow") {
      bodies_[message.address()] = {.at_first = message.fields().bytes("body").size()};
      if (!message.fields().boolean("more_content")) swallowed(message.address());
    } else if (path == "/pour") {
      pour(message, number(query));
    } else if (path == "/hold") {
      kept_.push_back({message.address(), std::string(query)});
    } else {
      if (path == "/release") release(query.empty() ? kept_.size() : number(query));
      if (path == "/piece") give_pieces();
      answer(message, path);
    }
  }

  static size_t number(std::string_view text) {
    size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }

  void check(const Result<void>& sent) {
    if (!sent.ok()) say("not sent:", sluice::describe(sent.error()));
  }

  // ---- bodies

  void swallow(const Message& chunk) {
    const auto found = bodies_.find(chunk.address());
    if (found == bodies_.end()) return;
    found->second.in_chunks += chunk.fields().bytes("content").size();
    ++found->second.chunks;
    if (!chunk.fields().boolean("more_content")) swallowed(chunk.address());
  }

  void swallowed(const ReplyAddress& address) {
    const Body body = bodies_[address];
    bodies_.erase(address);
    const std::string content = "inline=" + std::to_string(body.at_first) +
                                " chunked=" + std::to_string(body.in_chunks) +
                                " chunks=" + std::to_string(body.chunks);
    check(consumer_.send(address, Fields{{"status_code", 200}, {"content", content}}));
  }

  // ---- answers

  void pour(const Message& message, uint64_t mib) {
    check(consumer_.reply(message, Fields{{"status_code", 200}, {"content", ""}, {"more_content", true}}));
    pours_.push_back({message.address(), 0, mib * 16});
    all_full_ = false;
  }

  void pour_on() {
    all_full_ = true;
    for (size_t i = pours_.size(); i-- > 0;) {
      const bool over = pour_some(pours_[i]);
      all_full_ = all_full_ && (over || pours_[i].full);
      if (over) pours_.erase(pours_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  // True when it is over. A chunk begins with its number.
  bool pour_some(Pour& pour) {
    for (uint32_t i = 0; i < kPiecesAtOnce && pour.next < pour.pieces; ++i) {
      std::memcpy(piece_.data(), &pour.next, sizeof pour.next);
      const Result<void> sent = consumer_.try_send(
          pour.to, Fields{{"content", sluice::as_bytes(piece_)}, {"more_content", pour.next + 1 < pour.pieces}});
      if (is_full(sent)) {
        if (!std::exchange(pour.full, true)) say("full", std::to_string(pour.next));
        return false;
      }
      pour.full = false;
      if (!sent.ok()) return true;
      ++pour.next;
    }
    return pour.next == pour.pieces;
  }

  void release(size_t most) {
    for (size_t i = 0; i < most && !kept_.empty(); ++i) {
      const Kept kept = kept_.front();
      kept_.pop_front();
      check(kept.begun ? consumer_.send(kept.to, Fields{{"content", ""}, {"more_content", false}})
                       : consumer_.send(kept.to, Fields{{"status_code", 200}, {"content", kept.query}}));
    }
  }

  void give_pieces() {
    for (Kept& kept : kept_) {
      const bool first = !std::exchange(kept.begun, true);
      check(first ? consumer_.send(kept.to, Fields{{"status_code", 200}, {"content", "piece\n"}, {"more_content", true}})
                  : consumer_.send(kept.to, Fields{{"content", "piece\n"}, {"more_content", true}}));
    }
  }

  void answer(const Message& message, std::string_view path) {
    using sluice::Pair;
    using sluice::Value;
    if (path == "/hints") {
      const std::array links{Pair{"Link", "</style.css>; rel=preload"}};
      check(consumer_.reply(message, Fields{{"status_code", 103}, {"headers", std::span<const Pair>(links)}}));
    }
    const std::array<Value, 2> cookies{"a=1; Path=/", "b=2; HttpOnly"};
    std::array headers{Pair{"X-Path", path}};
    if (path == "/cookies") headers[0] = Pair{"Set-Cookie", std::span<const Value>(cookies)};
    if (path == "/server") headers[0] = Pair{"Server", "my own"};
    const bool miscounts = path == "/short" || path == "/long";
    if (miscounts) headers[0] = Pair{"Content-Length", path == "/short" ? "4" : "6"};
    const Value content = path == "/bytes" ? Value(sluice::as_bytes("\xff\xfe\x01")) : Value("plain");
    check(consumer_.reply(message, Fields{{"status_code", 200},
                                          {"headers", std::span<const Pair>(headers)},
                                          {"content", miscounts ? Value("pl") : content},
                                          {"more_content", miscounts}}));
    if (miscounts) check(consumer_.send(message, Fields{{"content", "ain"}, {"more_content", false}}));
  }

  Consumer& consumer_;
  std::string piece_;
  std::unordered_map<ReplyAddress, Body, sluice::AddressHash> bodies_;
  std::vector<Pour> pours_;
  bool all_full_ = false;
  std::deque<Kept> kept_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto attached = Consumer::attach(argv[1], {"http.request"});
  if (!attached.ok()) {
    say("refused:", sluice::describe(attached.error()));
    return 1;
  }
  const LeaveOnTerm leave(*attached);
  say("attached", std::to_string(attached->number()));

  Flow(*attached).run();
  attached->detach();
  return 0;
}
