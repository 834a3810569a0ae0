// worker/http_answers.cc -- the answering half of HttpConnection: replies, refusals, time-outs, ends.
#include <algorithm>

#include "protocol/limits.h"
#include "worker/http_connection.h"
#include "worker/http_farewell.h"

namespace sluice {
namespace {

uint64_t ms(std::chrono::milliseconds time) noexcept { return static_cast<uint64_t>(time.count()); }

Counter counter_of(AnswerError error) noexcept {
  switch (error) {
    case AnswerError::kInjection: return Counter::kInjections;
    case AnswerError::kLengthMismatch: return Counter::kLengthMismatches;
    case AnswerError::kAfterEnd: return Counter::kLateAnswers;
    default: return Counter::kMalformedAnswers;
  }
}

}  // namespace

// ---- replies ------------------------------------------------------------------------------------

void HttpConnection::on_reply(const shm::Delivery& reply) noexcept {
  if (connection_.ending()) return;
  const ReplyAddress about = reply.about();
  Exchange* exchange =
      about == connection_.address(about.ordinal) ? exchanges_.find(about.ordinal) : nullptr;
  if (exchange == nullptr || !exchange->published || exchange->answer.complete) {
    place_.counters.add(Counter::kLateAnswers);
    return;
  }
  const shm::PayloadHeader& header = reply.header();
  if (exchange->record != nullptr) exchange->record->line.consumer = place_.pid_of(header.sender);
  if (header.answered_block != shm::kNoBlock &&
      (header.answered_block != exchange->sent.block ||
       header.answered_generation != exchange->sent.payload_generation)) {
    place_.counters.add(Counter::kTornRequests);
    return fail(*exchange, Trouble::kBadAnswer);
  }
  if (reply.content().size() > shm::kLargestMessageBytes) {
    place_.counters.add(Counter::kOversizedAnswers);
    return fail(*exchange, Trouble::kBadAnswer);
  }
  const Result<MessageView> message = MessageView::parse(reply.content());
  if (!message.ok()) {
    place_.counters.add(Counter::kMalformedAnswers);
    return fail(*exchange, Trouble::kBadAnswer);
  }
  take_answer(*exchange, *message);
}

void HttpConnection::take_answer(Exchange& exchange, const MessageView& message) noexcept {
  // A client that waits for its 100 may or may not send the body now: the stream cannot go on.
  if (exchange.owes_continue) exchange.to.keep_alive = false;
  if (ends_with_answer()) exchange.to.keep_alive = false;
  exchange.to.unix_seconds = place_.unix_seconds;
  exchange.to.server_line = place_.server_line;
  WireAnswer wire;
  place_.text.clear();
  const AnswerError error = write_answer(message, exchange.to, exchange.answer, place_.text, wire);
  if (error != AnswerError::kNone) {
    place_.counters.add(counter_of(error));
    return fail(exchange, Trouble::kBadAnswer);
  }
  const size_t bytes = wire.before.size() + wire.content.size() + wire.after.size();
  if (exchanges_.is_front(exchange)) {
    connection_.write({as_bytes(wire.before), wire.content, as_bytes(wire.after)});
  } else if (ahead_bytes_ + bytes > limits::kAnswersAheadBytes) {
    place_.counters.add(Counter::kOversizedAnswers);
    return fail(exchange, Trouble::kBadAnswer);
  } else {
    exchange.ahead.append(wire.before).append(as_text(wire.content)).append(wire.after);
    ahead_bytes_ += bytes;
  }
  // A stream may take as long as it likes, but not fall silent for longer than an answer may take.
  exchange.answer_until_ms = place_.now_ms + ms(place_.settings.answer_timeout);
  exchange.hold_until_ms = kNever;
  if (!exchange.answer.complete) return;
  place_.counters.add(Counter::kAnswers);
  advance();
}

void HttpConnection::on_returned(shm::Delivery& returned) noexcept {
  const ReplyAddress about = returned.about();
  if (returned.header().channel != place_.channels.http_request) return;  // a chunk, a disconnect
  Exchange* exchange = exchanges_.find(about.ordinal);
  if (exchange == nullptr || !exchange->published || exchange->sent.block != returned.block() ||
      exchange->answer.complete) {
    return;
  }
  place_.counters.add(Counter::kTakerDied);
  fail(*exchange, Trouble::kTakerDied);
}

// ---- words of our own ---------------------------------------------------------------------------

void HttpConnection::answer(Exchange& exchange, const Verdict& verdict) noexcept {
  if (exchange.owes_continue || ends_with_answer()) exchange.to.keep_alive = false;
  exchange.to.unix_seconds = place_.unix_seconds;
  exchange.to.server_line = place_.server_line;
  ahead_bytes_ -= exchange.ahead.size();
  exchange.ahead.clear();
  if (exchanges_.is_front(exchange)) {
    place_.text.clear();
    write_own_answer(verdict.status, verdict.why, verdict.extra, exchange.to, exchange.answer,
                     place_.text);
    connection_.write(as_bytes(place_.text));
  } else {
    write_own_answer(verdict.status, verdict.why, verdict.extra, exchange.to, exchange.answer,
                     exchange.ahead);
    ahead_bytes_ += exchange.ahead.size();
    // Refused before its turn: nothing of it may be published any more.
    if (receiving_ == &exchange) drop_body();
  }
  advance();
}

void HttpConnection::fail(Exchange& exchange, Trouble trouble) noexcept {
  if (exchanges_.is_front(exchange) && exchange.answer.started) {
    connection_.cut();  // half an answer is out: only a cut says that it is not whole
    return;
  }
  exchange.answer = {};
  answer(exchange, verdict_on(trouble));
}

void HttpConnection::on_refused(const Refusal& refusal) noexcept {
  place_.counters.add(Counter::kRefusedHeads);
  place_.refusals.tell(place_.now_ms, refusal, ends_.client_host);
  refuse(refusal);
}

void HttpConnection::refuse(const Refusal& refusal) noexcept {
  last_ = true;
  Exchange* exchange = receiving_;
  if (exchange != nullptr) {  // its body turned out bad, or late: whoever has the message is told
    exchange->to.keep_alive = false;
    if (exchange->published) bid_farewell(*exchange);
    if (exchange->answer.started) return fail(*exchange, Trouble::kBadAnswer);
  } else if (discarding_) {  // it was answered already
    if (exchanges_.empty()) connection_.finish();
    return;
  } else {
    exchange = &exchanges_.open();
    exchange->to.keep_alive = false;
    exchange->to.head_method = refusal.head_method;
    if (place_.access_log != nullptr) exchange->record = place_.access_log->begin(refusal.line, head_since_ms_);
  }
  answer(*exchange, {refusal.status, refusal.extra, 0, refusal.reason});
}

// ---- order --------------------------------------------------------------------------------------

// Closes what is answered at the front, lets the next one out, and ends the connection after the last.
void HttpConnection::advance() noexcept {
  while (!exchanges_.empty() && exchanges_.front()->answer.complete) {
    const bool close_after = exchanges_.front()->answer.close_after;
    close_front();
    if (close_after) {
      last_ = true;
      connection_.finish();
      return;
    }
    if (exchanges_.empty()) break;
    Exchange& next = *exchanges_.front();
    if (!next.ahead.empty()) {
      connection_.write(as_bytes(next.ahead));
      ahead_bytes_ -= next.ahead.size();
      next.ahead.clear();
    }
  }
  if (connection_.ending()) return;
  if (exchanges_.empty()) {
    idle_since_ms_ = place_.now_ms;
    if (last_ || connection_.ended() || (place_.draining && session_.idle())) {
      connection_.finish();
      return;
    }
  }
  resume_if_free();
}

void HttpConnection::close_front() noexcept {
  Exchange& exchange = *exchanges_.front();
  if (receiving_ == &exchange) drop_body();
  log(exchange, false);
  release(exchange);
  ahead_bytes_ -= exchange.ahead.size();
  exchanges_.pop_front();
}

void HttpConnection::release(Exchange& exchange) noexcept {
  if (!exchange.published) return;
  exchange.published = false;
  place_.layer.pool().release_hold(exchange.sent.block);
}

// Before the exchange gives up its message: that tells who has it.
void HttpConnection::log(Exchange& exchange, bool client_left) noexcept {
  if (exchange.record == nullptr) return;
  AccessLine& line = exchange.record->line;
  const AnswerState& answer = exchange.answer;
  if (answer.started && exchanges_.is_front(exchange)) {
    line.status = answer.status;
    line.sent = answer.sent;
    line.complete = answer.complete && !client_left;
  } else {
    line.status = client_left ? kStatusClientLeft : kStatusUnanswered;
    line.complete = false;
  }
  shm::ProcessIndex taker = shm::kNobody;
  if (line.consumer == 0 && exchange.published &&
      place_.layer.progress(exchange.sent, taker) == shm::Progress::kTaken) {
    line.consumer = place_.pid_of(taker);
  }
  place_.access_log->end(std::move(exchange.record), ends_.client_host,
                         place_.unix_seconds);
}

// ---- ends ---------------------------------------------------------------------------------------

// The client will not see the answer: what nobody took is withdrawn, whoever took it is told.
void HttpConnection::bid_farewell(Exchange& exchange) noexcept {
  exchange.published = false;  // the hold goes with the farewell
  place_.departures.add(
      std::make_unique<HttpFarewell>(place_, connection_.address(exchange.ordinal), exchange));
}

void HttpConnection::on_gone() noexcept {
  place_.uploads.remove(*this);
  exchanges_.for_each([this](Exchange& exchange) {
    log(exchange, connection_.broken());
    if (!exchange.published) return;
    if (exchange.answer.complete) {
      release(exchange);
      return;
    }
    place_.counters.add(Counter::kClientsGone);
    bid_farewell(exchange);
  });
}

// Half-close is not leaving: what was asked is answered. What was asked by half cannot be.
void HttpConnection::on_end() noexcept {
  if (receiving_ != nullptr && !body_->complete) {
    Exchange& exchange = *receiving_;
    if (exchanges_.is_front(exchange) && exchange.answer.started) {
      connection_.cut();
      return;
    }
    CHECK(exchanges_.back() == &exchange);  // no head comes behind an unfinished body
    log(exchange, true);
    if (exchange.published) bid_farewell(exchange);
    ahead_bytes_ -= exchange.ahead.size();
    end_body();
    exchanges_.pop_back();
  }
  last_ = true;
  if (exchanges_.empty()) connection_.finish();
}

// What was asked is answered, and the last answer says that it is. A request half received, or on its way
// to us, is the last.
void HttpConnection::leave(uint64_t) noexcept {
  leave_at_ms_ = place_.now_ms + ms(limits::kLeavingPatience);
  if (session_.in_head() || (exchanges_.empty() && session_.idle())) return;
  if (receiving_ != nullptr ? body_->complete : !session_.in_body()) {
    last_ = true;
  } else {
    session_.expect_no_more();
  }
  if (!exchanges_.empty()) {
    exchanges_.back()->to.keep_alive = false;
  } else if (last_) {
    connection_.finish();
  }
}

// The only one that is due when we leave: the connection ends with its answer.
bool HttpConnection::ends_with_answer() const noexcept {
  return place_.draining && exchanges_.size() == 1 && !session_.in_head();
}

// ---- time ---------------------------------------------------------------------------------------

void HttpConnection::check_deadline(Exchange& exchange, uint64_t now_ms) noexcept {
  if (exchange.answer.complete) return;
  if (!exchange.published) {  // a 100 Continue that no reader came for
    if (now_ms < exchange.hold_until_ms) return;
    place_.counters.add(Counter::kNoConsumer);
    return answer(exchange, verdict_on(Trouble::kNoConsumer));
  }
  shm::ProcessIndex taker = shm::kNobody;
  if (now_ms >= exchange.answer_until_ms) {
    if (place_.layer.withdraw(exchange.sent)) {
      place_.counters.add(Counter::kUnreadInTime);
      return fail(exchange, Trouble::kUnread);
    }
    place_.counters.add(Counter::kUnansweredInTime);
    return fail(exchange, Trouble::kUnanswered);
  }
  if (now_ms < exchange.hold_until_ms) return;
  if (place_.layer.progress(exchange.sent, taker) != shm::Progress::kUnread) {
    exchange.hold_until_ms = kNever;
    return;
  }
  // A reader ends the hold; when it was there and left, another hold begins.
  const bool reader = place_.layer.has_reader(place_.channels.http_request);
  if (reader || exchange.reader_seen || !place_.layer.withdraw(exchange.sent)) {
    exchange.reader_seen = reader;
    exchange.hold_until_ms = now_ms + ms(place_.settings.hold_timeout);
    return;
  }
  place_.counters.add(Counter::kNoConsumer);
  fail(exchange, Trouble::kNoConsumer);
}

void HttpConnection::on_clock(uint64_t now_ms) noexcept {
  for (Exchange* exchange = exchanges_.front(); exchange != nullptr && !connection_.ending();) {
    // A deadline may close this exchange and others: go on from the first ordinal behind it.
    const uint32_t ordinal = exchange->ordinal;
    check_deadline(*exchange, now_ms);
    exchange = nullptr;
    exchanges_.for_each([&](Exchange& each) {
      if (exchange == nullptr && each.ordinal > ordinal) exchange = &each;
    });
  }
  if (connection_.ending() || last_) return;
  if (head_since_ms_ != 0 && !paused_ &&
      now_ms >= head_since_ms_ + ms(place_.settings.header_timeout)) {
    place_.counters.add(Counter::kHeaderTimeouts);
    return refuse({408, "the head did not come in time"});
  }
  if (session_.in_body()) {
    if (!connection_.reading()) heard_ms_ = now_ms;  // it is us who do not read
    if (receiving_ != nullptr && receiving_->owes_continue) heard_ms_ = now_ms;
    if (now_ms >= heard_ms_ + ms(place_.settings.body_timeout)) {
      place_.counters.add(Counter::kBodyTimeouts);
      return refuse({408, "the body stopped coming"});
    }
  }
  if (!exchanges_.empty() || !session_.idle()) return;
  // While it still takes the last answer it is not idle; a client that takes nothing is cut elsewhere.
  if (connection_.output_waiting() > 0) idle_since_ms_ = now_ms;
  if (now_ms >= leave_at_ms_) return connection_.finish();
  const auto patience = fresh_ ? place_.settings.header_timeout : place_.settings.keepalive_timeout;
  if (now_ms >= idle_since_ms_ + ms(patience)) connection_.close();
}

uint64_t HttpConnection::next_deadline() const noexcept {
  uint64_t due = kNever;
  exchanges_.for_each([&](const Exchange& exchange) {
    if (exchange.answer.complete) return;
    due = std::min({due, exchange.hold_until_ms, exchange.answer_until_ms});
  });
  if (last_) return due;
  if (head_since_ms_ != 0 && !paused_) {
    due = std::min(due, head_since_ms_ + ms(place_.settings.header_timeout));
  }
  if (session_.in_body()) due = std::min(due, heard_ms_ + ms(place_.settings.body_timeout));
  if (exchanges_.empty() && session_.idle()) {
    const auto patience = fresh_ ? place_.settings.header_timeout : place_.settings.keepalive_timeout;
    due = std::min({due, idle_since_ms_ + ms(patience), leave_at_ms_});
  }
  return due;
}

}  // namespace sluice
