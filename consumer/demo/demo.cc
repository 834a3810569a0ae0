// consumer/demo/demo.cc -- see demo.h.
#include "consumer/demo/demo.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "consumer/demo/chat_page.h"
#include "consumer/demo/query.h"

namespace sluice::demo {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kNever = UINT64_MAX;
constexpr uint32_t kStreamLines = 10;  // ?lines= up to kMostLines
constexpr uint32_t kMostLines = 600;
constexpr uint64_t kStreamEveryNs = 100 * kMs;
constexpr uint64_t kTryAgainNs = 2 * kMs;  // what found no room
constexpr uint32_t kSleepMs = 1000;        // ?ms= up to kMostSleepMs
constexpr uint32_t kMostSleepMs = 600'000;
constexpr uint32_t kBurst = 256;  // messages taken before news of the chat must wait no more
constexpr uint64_t kLeaveWithinNs = 5000 * kMs;

uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
}

constexpr std::string_view kChannels[] = {"http.request", "websocket.connect", "websocket.receive",
                                          "websocket.disconnect"};

bool is_chat(std::string_view path) { return path == "/chat/ws" || path == "/chat"; }

bool is_full(const Result<void>& sent) {
  return !sent.ok() && (sent.error() == Error::kChannelFull || sent.error() == Error::kOutOfBlocks);
}

}  // namespace

bool Demo::run() {
  // Who is in the chat is asked before anybody can join it here.
  static_cast<void>(consumer_.read(Chat::channel_of(consumer_.number())));
  chat_.start();
  for (const std::string_view channel : kChannels) static_cast<void>(consumer_.read(channel));
  for (;;) {
    if (asked_to_leave_.load(std::memory_order::relaxed) && leave_by_ns_ == 0) {
      consumer_.stop_reading();
      leave_by_ns_ = now_ns() + kLeaveWithinNs;
    }
    if (leave_by_ns_ != 0 && (consumer_.open_requests() == 0 || now_ns() >= leave_by_ns_)) {
      return true;
    }

    auto message = consumer_.try_receive();
    const bool idle = !message.ok() && message.error() == Error::kTimedOut;
    if (chat_.changed() && (idle || ++taken_since_change_ % kBurst == 0)) chat_.tell_who_is_here();
    if (idle) {
      const uint64_t wake_at = wake_at_ns();
      if (wake_at == kNever) {
        message = consumer_.receive();
      } else {
        const uint64_t now = now_ns();
        if (now < wake_at) message = consumer_.receive(std::chrono::nanoseconds(wake_at - now));
      }
    }
    if (message.ok()) {
      take(std::move(*message));
    } else if (message.error() != Error::kTimedOut) {
      return false;  // the gateway hung up
    }
    run_due();
  }
}

void Demo::finish() {
  const uint64_t until = now_ns() + kLeaveWithinNs;
  while (consumer_.open_requests() > 0 && !timers_.empty()) {
    const uint64_t due = std::min(timers_.next_due_ns(), until);
    const timespec at{.tv_sec = static_cast<time_t>(due / 1'000'000'000u),
                      .tv_nsec = static_cast<long>(due % 1'000'000'000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
    }
    if (now_ns() >= until) return;
    run_due();
    consumer_.flush();
  }
}

void Demo::leave() noexcept {
  asked_to_leave_.store(true, std::memory_order::relaxed);  // only we read it, in the same thread
  consumer_.interrupt();
}

void Demo::take(Message message) {
  switch (message.kind()) {
    case MessageKind::kHttpRequest:
      return request(std::move(message));
    case MessageKind::kHttpRequestBody:
      return echo_request_.body(message);
    case MessageKind::kHttpDisconnect:
      timers_.cancel(message.address());
      return echo_request_.disconnected(message.address());
    case MessageKind::kWebSocketConnect:
      return socket_connected(message);
    case MessageKind::kWebSocketReceive:
      return received(message);
    case MessageKind::kWebSocketDisconnect:
      chat_.disconnected(message);
      return echo_socket_.disconnected(message.address());
    case MessageKind::kOther:
      return chat_.from_process(message);
  }
}

// ---- HTTP ---------------------------------------------------------------------------------------

void Demo::request(Message message) {
  const MessageView& fields = message.fields();
  const std::string_view path = fields.text("path_info");
  if (path == "/echo" || path.starts_with("/echo/"))
    return echo_request_.request(std::move(message));

  const std::string_view method = fields.text("method");
  const bool reads = method == "GET" || method == "HEAD";
  if (path == "/") {
    if (!reads) return refuse_method(message);
    return reply(message, 200, "text/plain", "Hello, World!");
  }
  if (path == "/chat") {
    if (!reads) return refuse_method(message);
    constexpr std::string_view kPolicy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "
        "'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    const Pair headers[] = {{"Cache-Control", "no-cache"}, {"Content-Security-Policy", kPolicy}};
    static_cast<void>(consumer_.reply(message, {{"status_code", 200},
                                                {"content_type", "text/html; charset=utf-8"},
                                                {"headers", std::span<const Pair>(headers)},
                                                {"content", kChatPage}}));
    return;
  }
  if (path == "/stream") {
    if (!reads) return refuse_method(message);
    const uint32_t lines = std::max(1u, query_number(fields, "lines", kStreamLines, kMostLines));
    const auto begun = consumer_.reply(message, {{"status_code", 200},
                                                 {"content_type", "text/plain"},
                                                 {"content", "line 1\n"},
                                                 {"more_content", lines > 1}});
    if (begun.ok() && lines > 1) {
      timers_.add(
          {now_ns() + kStreamEveryNs, Later::What::kStreamLine, message.address(), 2, lines});
    }
    return;
  }
  if (path == "/sleep") {
    if (!reads) return refuse_method(message);
    const uint32_t ms = query_number(fields, "ms", kSleepMs, kMostSleepMs);
    const Later answer{now_ns() + ms * kMs, Later::What::kSleepAnswer, message.address(), 0, ms};
    return ms == 0 ? do_later(answer) : timers_.add(answer);
  }
  if (path == "/ws" || path == "/chat/ws") {
    const Pair headers[] = {{"Upgrade", "websocket"}};
    static_cast<void>(consumer_.reply(message, {{"status_code", 426},
                                                {"content_type", "text/plain"},
                                                {"headers", std::span<const Pair>(headers)},
                                                {"content", "A WebSocket is spoken here.\n"}}));
    return;
  }
  reply(message, 404, "text/plain", "There is nothing here.\n");
}

void Demo::reply(const Message& message, int status, std::string_view content_type,
                 std::string_view content) {
  // A client that went away meanwhile is no trouble of ours.
  static_cast<void>(consumer_.reply(
      message, {{"status_code", status}, {"content_type", content_type}, {"content", content}}));
}

void Demo::refuse_method(const Message& message) {
  const Pair headers[] = {{"Allow", "GET, HEAD"}};
  static_cast<void>(consumer_.reply(message, {{"status_code", 405},
                                              {"content_type", "text/plain"},
                                              {"headers", std::span<const Pair>(headers)},
                                              {"content", "This path is only read.\n"}}));
}

// ---- WebSocket ----------------------------------------------------------------------------------

void Demo::socket_connected(const Message& message) {
  const std::string_view path = message.fields().text("path_info");
  if (is_chat(path)) return chat_.connected(message);
  if (path == "/ws") return;
  static_cast<void>(consumer_.try_send(message, {{"code", 4404}, {"reason", "nothing here"}}));
}

void Demo::received(const Message& message) {
  if (is_chat(message.fields().text("path_info"))) return chat_.said(message);
  echo_socket_.receive(message);
}

// ---- later --------------------------------------------------------------------------------------

uint64_t Demo::wake_at_ns() const {
  uint64_t at = timers_.empty() ? kNever : timers_.next_due_ns();
  if (echo_socket_.any()) at = std::min(at, now_ns() + kTryAgainNs);
  if (leave_by_ns_ != 0) at = std::min(at, leave_by_ns_);
  return at;
}

void Demo::run_due() {
  if (echo_socket_.any()) echo_socket_.retry();
  if (timers_.empty()) return;
  const uint64_t now = now_ns();
  while (!timers_.empty() && timers_.next_due_ns() <= now) do_later(timers_.take());
}

void Demo::do_later(const Later& later) {
  Later next = later;
  Result<void> sent;
  if (later.what == Later::What::kSleepAnswer) {
    const std::string content = "slept " + std::to_string(later.total) + " ms\n";
    sent = consumer_.try_send(
        later.address,
        {{"status_code", 200}, {"content_type", "text/plain"}, {"content", content}});
  } else {
    const std::string content = "line " + std::to_string(later.line) + "\n";
    sent = consumer_.try_send(later.address,
                              {{"content", content}, {"more_content", later.line < later.total}});
    ++next.line;
    next.due_ns += kStreamEveryNs;
  }
  if (is_full(sent)) {
    next = later;
    next.due_ns = now_ns() + kTryAgainNs;
    timers_.add(next);
  } else if (sent.ok() && later.what == Later::What::kStreamLine && later.line < later.total) {
    timers_.add(next);
  }
}

}  // namespace sluice::demo
