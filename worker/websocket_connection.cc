// worker/websocket_connection.cc -- glue: session events to the feed, replies to the session.
#include "worker/websocket_connection.h"

#include <algorithm>

#include "protocol/limits.h"
#include "protocol/websocket.h"
#include "worker/request_source.h"
#include "worker/shared_frame.h"
#include "worker/websocket_accept.h"

namespace sluice {
namespace {

constexpr uint16_t kAbnormal = 1006;
constexpr uint16_t kTryAgainLater = 1013;

uint64_t ms(std::chrono::milliseconds time) noexcept { return static_cast<uint64_t>(time.count()); }

}  // namespace

WebSocketConnection::WebSocketConnection(Connection& connection)
    : connection_(connection),
      place_(connection.place()),
      session_(*this, place_.websocket_limits),
      feed_(std::make_unique<WebSocketFeed>(place_, connection.address(0))) {}

WebSocketConnection::~WebSocketConnection() { place_.retries.remove(*this); }

Result<void> WebSocketConnection::announce(const RequestHead& head, const Handshake& handshake,
                                           const Endpoints& ends) {
  const RequestSource source = source_of(place_, ends, head);
  if (handshake.deflate) session_.agree(*handshake.deflate);
  const Result<void> sent = feed_->announce(head, source, handshake.subprotocols);
  if (!sent.ok()) {
    feed_.reset();
    return sent;
  }
  reader_seen_ = place_.layer.has_reader(place_.channels.websocket_connect);
  clock_ms_ = place_.now_ms + ms(place_.settings.hold_timeout);
  connection_.stop_reading();  // S1
  if (place_.settings.accept_by_consumer) {  // S2
    undecided_ = std::make_unique<Undecided>();
    undecided_->handshake.accept = handshake.accept;
    undecided_->handshake.deflate = handshake.deflate;
    undecided_->subprotocols.assign(handshake.subprotocols.begin(), handshake.subprotocols.end());
    undecided_->until_ms = place_.now_ms + ms(place_.settings.hold_timeout + limits::kAcceptTimeout);
  }
  return {};
}

void WebSocketConnection::answer(const Handshake& handshake) noexcept {
  if (undecided_ != nullptr) return;
  place_.text.clear();
  write_switching(handshake, {}, {}, place_.text);
  note_switched();
  connection_.write(as_bytes(place_.text));
}

// ---- input --------------------------------------------------------------------------------------

void WebSocketConnection::begin_reading_if_taken() noexcept {
  if (reading_ || feed_ == nullptr || undecided_ != nullptr || !feed_->taken()) return;
  reading_ = true;
  heard();
  connection_.start_reading();
}

size_t WebSocketConnection::on_bytes(Bytes bytes) noexcept {
  if (!reading_) return 0;
  heard();
  if (record_ != nullptr) record_->line.received += bytes.size();
  if (connection_.output_waiting() == 0) session_.drained();  // pongs so far went out at once
  session_.feed(bytes);
  if (session_.congested()) connection_.stop_reading();  // until on_room()
  return bytes.size();
}

void WebSocketConnection::on_message(Bytes content, bool binary) noexcept {
  if (feed_ == nullptr) return;
  feed_->receive(content, binary);
  if (!feed_->pump()) hold_input();
}

void WebSocketConnection::hold_input() noexcept {
  session_.pause();
  connection_.stop_reading();
  place_.retries.add(*this);
}

bool WebSocketConnection::retry() noexcept {
  if (feed_ == nullptr) return true;
  feed_->look_at_owner();
  if (!feed_->pump()) return false;
  const Connection::Turn turn(connection_);
  session_.resume();  // may call on_message(), which may pause again
  if (session_.paused()) return false;
  if (feed_ != nullptr && !session_.congested()) connection_.start_reading();
  return !session_.paused();
}

void WebSocketConnection::on_room() noexcept {
  if (connection_.output_waiting() > 0) return;
  session_.drained();
  if (reading_ && feed_ != nullptr && !session_.paused()) connection_.start_reading();
}

// ---- output -------------------------------------------------------------------------------------

void WebSocketConnection::on_output(Bytes bytes) noexcept {
  if (record_ != nullptr) record_->line.sent += bytes.size();
  connection_.write(bytes);
}

void WebSocketConnection::on_ready() noexcept {
  if (feed_ == nullptr) return;
  feed_->look_at_owner();
  begin_reading_if_taken();
}

void WebSocketConnection::on_reply(const shm::Delivery& reply) noexcept {
  // The ring may hold what was meant for an earlier request of this connection, or of this slot.
  if (feed_ == nullptr || session_.closed() || reply.about() != connection_.address(0)) {
    place_.counters.add(Counter::kLateAnswers);
    return;
  }
  const Result<MessageView> message = reply.content().size() > shm::kLargestMessageBytes
                                          ? Result<MessageView>(Error::kMessageTooLarge)
                                          : MessageView::parse(reply.content());
  if (!message.ok()) {  // dropped: it says nothing about the connection
    place_.counters.add(Counter::kMalformedAnswers);
    return;
  }
  if (undecided_ != nullptr) {
    decide(*message);
  } else {
    send(*message);
  }
}

void WebSocketConnection::decide(const MessageView& word) noexcept {
  const FirstWord decision = first_word(word);
  std::string lines;
  std::string subprotocol;
  switch (decision) {
    case FirstWord::kReject: return refuse({403, {}, kAbnormal});
    case FirstWord::kAnswer: {
      const AnswerTo to{.keep_alive = false,
                        .unix_seconds = place_.unix_seconds,
                        .server_line = place_.server_line};
      AnswerState state;
      WireAnswer wire;
      place_.text.clear();
      if (write_answer(word, to, state, place_.text, wire) != AnswerError::kNone || !state.complete) {
        place_.counters.add(Counter::kMalformedAnswers);
        return refuse(verdict_on(Trouble::kBadAnswer));
      }
      undecided_.reset();
      note_answer(state);
      connection_.write({as_bytes(wire.before), wire.content, as_bytes(wire.after)});
      end_feed(kAbnormal, {});
      connection_.finish();
      return;
    }
    case FirstWord::kAccept:
      subprotocol = word.text("subprotocol");
      if (!append_accept_headers(word, lines) ||
          (!subprotocol.empty() && std::ranges::find(undecided_->subprotocols, subprotocol) ==
                                       undecided_->subprotocols.end())) {
        place_.counters.add(Counter::kMalformedAnswers);
        return refuse(verdict_on(Trouble::kBadAnswer));
      }
      break;
    case FirstWord::kAcceptAndSend: break;
  }
  place_.text.clear();
  write_switching(undecided_->handshake, subprotocol, lines, place_.text);
  note_switched();
  connection_.write(as_bytes(place_.text));
  undecided_.reset();
  if (feed_ == nullptr) return;  // the client was gone, the write told us
  feed_->look_at_owner();
  begin_reading_if_taken();
  if (decision == FirstWord::kAcceptAndSend) send(word);
}

void WebSocketConnection::send(const MessageView& message) noexcept {
  const std::optional<ValueView> content = message.find("content");
  if (content) {
    const Type type = content->type();
    const std::optional<Bytes> bytes = content->text_or_bytes();
    const bool binary = message.boolean("binary", type == Type::kBytes);
    if (!bytes || (!binary && type == Type::kBytes && !valid_utf8(as_text(*bytes)))) {
      place_.counters.add(Counter::kMalformedAnswers);
      return;
    }
    if (bytes->size() > limits::kMessageBytes) {
      place_.counters.add(Counter::kOversizedAnswers);
      return;
    }
    if (connection_.output_waiting() > limits::kOutputHardBytes) {
      place_.counters.add(Counter::kSlowClients);
      return close(verdict_on(Trouble::kSlowClient).close_code);
    }
    session_.send(*bytes, binary);
    if (!message.boolean("close")) return;
  }
  const int64_t code = message.integer("code", close_code::kNormal);
  const auto wanted = static_cast<uint16_t>(code);
  const bool valid = code > 0 && code <= 0xffff && valid_close_code(wanted);
  const std::string reason(message.text("reason"));  // copied: its writer may change it meanwhile
  close(valid ? wanted : close_code::kInternalError, reason);
}

FrameOutcome WebSocketConnection::take_frame(SharedFrame& frame) noexcept {
  if (feed_ == nullptr || undecided_ != nullptr || session_.close_sent() || session_.closed()) {
    return FrameOutcome::kClosing;
  }
  if (connection_.output_waiting() > limits::kOutputSoftBytes) return FrameOutcome::kSlow;
  session_.send(frame);
  return FrameOutcome::kTaken;
}

// ---- ends ---------------------------------------------------------------------------------------

void WebSocketConnection::close(uint16_t code, std::string_view reason) noexcept {
  if (undecided_ != nullptr) return refuse({503, {}, code});
  if (record_ != nullptr && record_->line.close_code == 0) record_->line.close_code = code;
  if (!session_.close_sent()) over_at_ms_ = place_.now_ms + ms(limits::kCloseTimeout);
  session_.close(code, reason);
  if (feed_ == nullptr) return;
  // The peer's close has to be read; what comes before it is dropped by the session.
  reading_ = true;
  place_.retries.remove(*this);
  session_.resume();
  if (feed_ != nullptr) connection_.start_reading();
}

void WebSocketConnection::refuse(const Verdict& verdict) noexcept {
  const AnswerTo to{.keep_alive = false,
                    .unix_seconds = place_.unix_seconds,
                    .server_line = place_.server_line};
  AnswerState state;
  place_.text.clear();
  write_own_answer(verdict.status, verdict.why, verdict.extra, to, state, place_.text);
  undecided_.reset();
  note_answer(state);
  connection_.write(as_bytes(place_.text));
  end_feed(kAbnormal, {});
  connection_.finish();
}

void WebSocketConnection::on_closed(uint16_t code, std::string_view reason) noexcept {
  end_feed(code, reason);
  connection_.finish();
}

void WebSocketConnection::on_end() noexcept {
  end_feed(kAbnormal, {});  // no close frame came
  connection_.close();
}

void WebSocketConnection::on_gone() noexcept { end_feed(kAbnormal, {}); }

void WebSocketConnection::end_feed(uint16_t code, std::string_view reason) noexcept {
  if (feed_ == nullptr) return;
  place_.retries.remove(*this);
  log(code);
  place_.groups.leave(connection_.slot());
  connection_.give_up_slot();
  feed_->end(code, reason);
  place_.departures.add(std::move(feed_));
}

void WebSocketConnection::on_returned(shm::Delivery& returned) noexcept {
  if (feed_ == nullptr || !feed_->take_back(returned)) return;
  on_deaths(0);
}

void WebSocketConnection::on_deaths(uint64_t deaths) noexcept {
  if (feed_ == nullptr) return;
  if (deaths != 0) feed_->on_deaths(deaths);
  if (undecided_ != nullptr && feed_->orphaned()) {
    place_.counters.add(Counter::kTakerDied);
    return refuse(verdict_on(Trouble::kTakerDied));
  }
  begin_reading_if_taken();
  if (reading_ && feed_ != nullptr && !session_.close_sent() && !feed_->pump()) hold_input();
}

// What its client says now would lie unread: it waits, and the clock of what is kept runs.
void WebSocketConnection::on_stuck() noexcept {
  if (feed_ == nullptr || !reading_ || session_.close_sent() || !feed_->owner_is_stuck()) return;
  feed_->pause();
  hold_input();
}

// Who was just accepted, or is about to be, is served for a moment, and then hears from us that it has to
// come again: with time left for the closing handshake.
void WebSocketConnection::leave(uint64_t at_ms) noexcept {
  if (session_.close_sent()) return;
  over_at_ms_ = at_ms;
  if (reading_) return;
  const uint64_t last = place_.drain_until_ms - ms(place_.settings.drain_timeout) / 5;
  over_at_ms_ = std::max(at_ms, std::min(place_.now_ms + ms(limits::kLeavingPatience), last));
}

// ---- the access log -----------------------------------------------------------------------------

void WebSocketConnection::log_with(std::unique_ptr<AccessRecord> record,
                                   std::string_view client) noexcept {
  record_ = std::move(record);
  if (record_ == nullptr) return;
  record_->line.channel = kWebSocketConnectChannel;
  if (record_->line.client.empty()) record_->keep_client(client);
}

void WebSocketConnection::note_switched() noexcept {
  if (record_ != nullptr) record_->line.status = 101;
}

void WebSocketConnection::note_answer(const AnswerState& answer) noexcept {
  if (record_ == nullptr) return;
  record_->line.status = answer.status;
  record_->line.sent = answer.sent;
}

// While the slot is ours: it knows the owner.
void WebSocketConnection::log(uint16_t code) noexcept {
  if (record_ == nullptr) return;
  AccessLine& line = record_->line;
  if (line.status == 101) {
    if (line.close_code == 0) line.close_code = code;
    line.complete = code != kAbnormal;
  } else if (line.status == 0) {  // not answered
    const bool left = connection_.broken() || connection_.ended();
    line.status = left ? kStatusClientLeft : kStatusUnanswered;
    line.complete = false;
  }
  if (const auto owner = place_.slots.owner(connection_.slot())) line.consumer = place_.pid_of(owner->index);
  place_.access_log->end(std::move(record_), {}, place_.unix_seconds);
}

// ---- time ---------------------------------------------------------------------------------------

void WebSocketConnection::on_untaken(uint64_t now_ms) noexcept {
  feed_->look_at_owner();
  if (feed_->taken()) return begin_reading_if_taken();
  // A reader that came keeps the hold open once more; then it is not waiting but stuck.
  const bool reader = place_.layer.has_reader(place_.channels.websocket_connect);
  if (reader && !reader_seen_) {
    reader_seen_ = true;
    clock_ms_ = now_ms + ms(place_.settings.receive_timeout);
    return;
  }
  place_.counters.add(Counter::kConnectsUntaken);
  const Verdict verdict = verdict_on(reader ? Trouble::kUnread : Trouble::kNoConsumer);
  if (undecided_ != nullptr) return refuse(verdict);
  close(verdict.close_code);
}

void WebSocketConnection::on_clock(uint64_t now_ms) noexcept {
  if (feed_ == nullptr) return;
  if (session_.close_sent()) {
    if (now_ms >= over_at_ms_) connection_.close();
    return;
  }
  if (!reading_ && now_ms >= clock_ms_) on_untaken(now_ms);
  if (feed_ != nullptr && undecided_ != nullptr && now_ms >= undecided_->until_ms) {
    place_.counters.add(Counter::kUnansweredInTime);
    refuse(verdict_on(Trouble::kUnanswered));
  }
  if (feed_ == nullptr || session_.close_sent()) return;
  if (now_ms >= over_at_ms_) {
    return undecided_ != nullptr ? refuse(verdict_on(Trouble::kLeaving)) : close(place_.leaving_code);
  }
  const uint64_t since = feed_->waiting_since_ms();
  if (since != kNever && now_ms >= since + ms(place_.settings.receive_timeout)) {
    place_.counters.add(Counter::kReceivesUntaken);
    return close(kTryAgainLater);
  }
  if (!reading_) return;
  if (!connection_.reading()) return heard();  // we do not listen: silence means nothing
  if (now_ms < silent_until_ms()) return;
  if (pinged_) {
    place_.counters.add(Counter::kPingTimeouts);
    return connection_.cut();
  }
  session_.ping();
  clock_ms_ = now_ms;
  pinged_ = true;
}

void WebSocketConnection::heard() noexcept {
  clock_ms_ = place_.now_ms;
  pinged_ = false;
}

uint64_t WebSocketConnection::silent_until_ms() const noexcept {
  return clock_ms_ + ms(pinged_ ? place_.settings.ping_timeout : place_.settings.ping_interval);
}

uint64_t WebSocketConnection::next_deadline() const noexcept {
  if (feed_ == nullptr) return kNever;
  if (session_.close_sent()) return over_at_ms_;
  uint64_t due = std::min(over_at_ms_, reading_ ? silent_until_ms() : clock_ms_);
  if (undecided_ != nullptr) due = std::min(due, undecided_->until_ms);
  const uint64_t since = feed_->waiting_since_ms();
  if (since != kNever) due = std::min(due, since + ms(place_.settings.receive_timeout));
  return due;
}

}  // namespace sluice
