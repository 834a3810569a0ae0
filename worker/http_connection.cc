// worker/http_connection.cc -- the receiving half: heads and bodies to messages; see http_connection.h.
#include "worker/http_connection.h"

#include <algorithm>
#include <utility>

#include "protocol/http.h"
#include "protocol/limits.h"
#include "worker/http_farewell.h"
#include "worker/request_source.h"
#include "worker/websocket_connection.h"

namespace sluice {
namespace {

constexpr size_t kLargestHeadBytes = 256 * limits::kKiB;  // a head of kHeadBytes, every key it turns into
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

uint64_t ms(std::chrono::milliseconds time) noexcept { return static_cast<uint64_t>(time.count()); }

}  // namespace

HttpConnection::HttpConnection(Connection& connection, const Endpoints& ends)
    : connection_(connection),
      place_(connection.place()),
      ends_(ends),
      session_(*this, place_.http_limits),
      exchanges_(place_.exchanges),
      heard_ms_(place_.now_ms),
      idle_since_ms_(place_.now_ms) {
  if (place_.draining) leave_at_ms_ = place_.now_ms + ms(limits::kLeavingPatience);  // behind a preface
}

HttpConnection::~HttpConnection() {
  place_.uploads.remove(*this);
  place_.bodies.give_back(std::move(body_));
}

std::unique_ptr<Conversation> begin_http(Connection& connection, const Endpoints& ends) {
  return std::make_unique<HttpConnection>(connection, ends);
}

size_t HttpConnection::on_bytes(Bytes bytes) noexcept {
  if (last_) return bytes.size();
  heard_ms_ = place_.now_ms;
  feeding_ = true;
  const size_t taken = session_.feed(bytes);
  feeding_ = false;
  if (connection_.ending()) return taken;
  if (!session_.in_head()) {
    head_since_ms_ = 0;
  } else if (head_since_ms_ == 0) {
    head_since_ms_ = place_.now_ms;
  }
  if (body_ != nullptr && body_->way == IncomingBody::Way::kStream) pump_body();
  return taken;
}

void HttpConnection::pause() noexcept {
  if (!paused_) {
    paused_ = true;
    session_.pause();
    connection_.stop_reading();
  }
}

void HttpConnection::resume_if_free() noexcept {
  if (!paused_ || last_ || connection_.ending()) return;
  if (connection_.output_waiting() > limits::kOutputSoftBytes) return;  // on_room() comes here again
  // Half way down: not one start and stop for every answer.
  if (exchanges_.size() > limits::kPipelinedRequests / 2) return;
  if (body_ != nullptr && (body_->complete || body_->bytes.size() >= limits::kBodyChunkBytes)) return;
  paused_ = false;
  session_.resume();
  // An on_complete may be due that no byte brings.
  if (!feeding_) static_cast<void>(on_bytes({}));
  if (!paused_ && !connection_.ending()) connection_.start_reading();
}

// ---- heads --------------------------------------------------------------------------------------

void HttpConnection::on_head(const RequestHead& head) noexcept {
  const uint64_t since_ms = std::exchange(head_since_ms_, 0);
  fresh_ = false;
  const bool alone = exchanges_.empty();
  Exchange& exchange = exchanges_.open();
  if (place_.access_log != nullptr) {
    exchange.record = place_.access_log->begin(head, since_ms);
    if (ends_.trusted) {
      exchange.record->keep_client(source_of(place_, ends_, head).client_host);
    }
  }
  exchange.to = {.head_method = head.method == "HEAD",
                 .minor_version = head.minor_version,
                 .keep_alive = head.keep_alive && !place_.draining &&
                               exchange.ordinal < place_.last_ordinal};
  if (!exchange.to.keep_alive) session_.expect_no_more();
  // Behind other requests an upgrade is not taken (RFC 9110 section 7.8 lets us): its answer would
  // have to wait for theirs.
  if (head.wants_websocket && alone && begin_websocket(head, exchange)) return;
  if (head.has_body()) {
    begin_body(head, exchange);
  } else {
    send_head(head, exchange);
  }
  if (connection_.ending()) return;
  if (exchanges_.size() >= limits::kPipelinedRequests ||
      connection_.output_waiting() > limits::kOutputHardBytes) {
    pause();
  }
}

bool HttpConnection::begin_websocket(const RequestHead& head, Exchange& exchange) noexcept {
  const Origins& origins = place_.settings.allowed_origins;
  HandshakeRules rules{.deflate = place_.settings.deflate, .origins = origins};
  if (!origins.any()) rules.own = asked_host(place_, ends_, head);
  const HandshakeVerdict verdict = check_handshake(head, rules);
  if (!verdict.handshake) {
    place_.counters.add(Counter::kRefusedHandshakes);
    place_.refusals.tell(place_.now_ms, {.status = verdict.status, .reason = verdict.reason},
                         ends_.client_host, verdict.origin);
    exchange.to.keep_alive = false;
    answer(exchange, {verdict.status, verdict.extra, 0, verdict.reason});
    return true;
  }
  // The gateway ends, or nobody will come any more: another may be asked while nothing is opened yet.
  if (place_.draining && (place_.leaving_code == close_code::kGoingAway ||
                          !place_.layer.has_reader(place_.channels.websocket_connect))) {
    answer(exchange, verdict_on(Trouble::kLeaving));
    return true;
  }
  auto next = std::make_unique<WebSocketConnection>(connection_);
  const Result<void> announced = next->announce(head, *verdict.handshake, ends_);
  if (!announced.ok()) {
    place_.counters.add(counter_of(announced.error()));
    answer(exchange, verdict_on(announced.error()));
    return true;
  }
  next->log_with(std::move(exchange.record), ends_.client_host);
  exchanges_.pop_back();
  session_.switch_protocol();
  WebSocketConnection& websocket = *next;
  if (place_.draining) websocket.leave(place_.now_ms);
  connection_.become(std::move(next));  // before a write that may fail: then it is told
  websocket.answer(*verdict.handshake);
  return true;
}

// A request without a body: straight into the block it travels in.
void HttpConnection::send_head(const RequestHead& head, Exchange& exchange) noexcept {
  const ReplyChannelName channel =
      ReplyChannelName::http_response(connection_.address(exchange.ordinal));
  const RequestSource source = source_of(place_, ends_, head);
  for (size_t room = expected_head_bytes(head); room <= kLargestHeadBytes; room *= 4) {
    Result<shm::Claim> claim = place_.layer.claim(room);
    Result<void> encoded = claim.ok() ? Result<void>() : Result<void>(claim.error());
    if (claim.ok()) {
      Encoder encoder(claim->space());
      encoder.begin_map();
      encoded = encode_request_head(encoder, head, source, channel.view());
      exchange.head_bytes = static_cast<uint32_t>(encoder.size() - kMapHeaderBytes);
      exchange.head_elements = encoder.elements();
      if (encoded.ok()) encoded = encode_request_body(encoder, {});
      if (encoded.ok()) {
        encoder.end_map();
        const Result<Bytes> message = encoder.finish();
        if (message.ok()) return publish(exchange, *claim, message->size());
        continue;  // a larger one
      }
    }
    place_.counters.add(counter_of(encoded.error()));
    return answer(exchange, verdict_on(encoded.error()));
  }
  place_.counters.add(Counter::kMessageTooLarge);
  answer(exchange, verdict_on(Error::kMessageTooLarge));
}

// ---- bodies -------------------------------------------------------------------------------------

void HttpConnection::begin_body(const RequestHead& head, Exchange& exchange) noexcept {
  receiving_ = &exchange;
  body_ = place_.bodies.take();
  IncomingBody& body = *body_;
  const std::string_view content_type = content_type_of(head);
  if (!place_.settings.raw_forms) body.form = form_kind(head.method, content_type);
  exchange.owes_continue = head.expects_continue;
  if (body.form != FormKind::kNone) {
    body.way = IncomingBody::Way::kForm;
    body.content_type.assign(content_type);
  } else if (head.content_length.value_or(0) > limits::kInlineBodyBytes ||
             (head.expects_continue && head.chunked)) {
    body.way = IncomingBody::Way::kStream;
  }

  place_.scratch.resize(kLargestHeadBytes);
  Encoder encoder(place_.scratch);
  encoder.begin_map();
  const ReplyChannelName channel =
      ReplyChannelName::http_response(connection_.address(exchange.ordinal));
  const RequestSource source = source_of(place_, ends_, head);
  Result<void> encoded = encode_request_head(encoder, head, source, channel.view());
  body.head_elements = encoder.elements();
  if (encoded.ok()) {
    encoder.end_map();
    const Result<Bytes> map = encoder.finish();
    if (map.ok()) {
      body.head.assign(map->begin() + kMapHeaderBytes, map->end());
    } else {
      encoded = map.error();
    }
  }
  if (!encoded.ok()) {
    place_.counters.add(counter_of(encoded.error()));
    return answer(exchange, verdict_on(encoded.error()));
  }
  // Known beforehand: the buffer grows once.
  if (body.way == IncomingBody::Way::kInline) body.bytes.reserve(head.content_length.value_or(0));
  if (body.way == IncomingBody::Way::kStream) {
    send_gathered(exchange, true);
  } else if (exchange.owes_continue) {
    exchange.hold_until_ms = place_.now_ms + ms(place_.settings.hold_timeout);
  }
  try_continue();
}

void HttpConnection::on_body(Bytes piece) noexcept {
  if (receiving_ == nullptr) return;  // answered already: read and dropped
  // The client did not wait for its 100: no hold runs before the message is out.
  if (std::exchange(receiving_->owes_continue, false) && !receiving_->published) {
    receiving_->hold_until_ms = kNever;
  }
  IncomingBody& body = *body_;
  if (receiving_->record != nullptr) receiving_->record->line.received += piece.size();
  body.bytes.append(as_text(piece));
  if (body.way == IncomingBody::Way::kInline && body.bytes.size() > limits::kInlineBodyBytes) {
    send_gathered(*receiving_, true);
  } else if (body.way == IncomingBody::Way::kStream) {
    pump_body();
  }
}

void HttpConnection::on_complete() noexcept {
  discarding_ = false;
  if (receiving_ == nullptr) {
    if (place_.draining && exchanges_.empty()) connection_.finish();
    return;
  }
  body_->complete = true;
  if (body_->way == IncomingBody::Way::kStream) {
    pump_body();
    if (body_ != nullptr) pause();  // the next head waits for the last chunk
    return;
  }
  Exchange& exchange = *receiving_;
  send_gathered(exchange, false);
  if (receiving_ == &exchange) end_body();
}

// Publishes the message with what was gathered, as far as it goes inline; where more comes, chunks
// follow it.
void HttpConnection::send_gathered(Exchange& exchange, bool more_comes) noexcept {
  IncomingBody& body = *body_;
  const ReplyChannelName channel =
      ReplyChannelName::http_request_body(connection_.address(exchange.ordinal));
  // What of a body that streams goes in its message; chunks take the rest.
  const size_t inlined =
      more_comes ? std::min(body.bytes.size(), limits::kInlineBodyBytes) : body.bytes.size();
  const RequestBody rest{.form = body.form,
                         .content_type = body.content_type,
                         .bytes = std::string_view(body.bytes).substr(0, inlined),
                         .body_channel = more_comes ? channel.view() : std::string_view()};
  const size_t least = body.head.size() + inlined + 256;
  // A form's fields are encoded beside the body; where escapes shrink and keys grow, a few sizes do.
  const bool twice = body.form != FormKind::kNone && inlined <= limits::kInlineBodyBytes;
  for (size_t room = twice ? least + inlined : least; room <= 4 * least + limits::kEncodingSlackBytes;
       room = 2 * room + limits::kKiB) {
    Result<shm::Claim> claim = place_.layer.claim(std::min(room, shm::kLargestMessageBytes));
    Error error = claim.ok() ? Error::kMessageTooLarge : claim.error();
    if (claim.ok()) {
      const Result<Bytes> message =
          encode_request(claim->space(), body.head, body.head_elements, rest);
      if (message.ok()) {
        exchange.head_bytes = static_cast<uint32_t>(body.head.size());
        exchange.head_elements = body.head_elements;
        body.way = more_comes ? IncomingBody::Way::kStream : body.way;
        body.bytes.erase(0, inlined);
        return publish(exchange, *claim, message->size());
      }
      error = message.error();
      if (error == Error::kMessageTooLarge && room < shm::kLargestMessageBytes) continue;
    }
    place_.counters.add(counter_of(error));
    return answer(exchange, verdict_on(error));
  }
  place_.counters.add(Counter::kMessageTooLarge);
  answer(exchange, verdict_on(Error::kMessageTooLarge));
}

void HttpConnection::pump_body() noexcept {
  if (receiving_ == nullptr || !receiving_->published) return;
  IncomingBody& body = *body_;
  Exchange& exchange = *receiving_;
  const size_t waited = body.bytes.size();
  const IncomingBody::Pumped outcome =
      body.pump(place_.layer, place_.channels.http_request_body,
                connection_.address(exchange.ordinal), exchange.sent);
  // A slow upload is not a slow answer: that clock stands while the client has to send, and begins
  // again with each chunk.
  const uint64_t answer_until = place_.now_ms + ms(place_.settings.answer_timeout);
  switch (outcome) {
    case IncomingBody::Pumped::kDone:
      exchange.answer_until_ms = answer_until;
      end_body();
      break;
    case IncomingBody::Pumped::kIdle:
      if (is_taken(exchange)) exchange.answer_until_ms = kNever;
      break;
    case IncomingBody::Pumped::kWait:
      if (body.bytes.size() < waited || exchange.answer_until_ms == kNever) {
        exchange.answer_until_ms = answer_until;
      }
      if (body.bytes.size() >= limits::kBodyChunkBytes) pause();
      watch_taker();
      place_.uploads.add(*this);
      break;
  }
  resume_if_free();
}

// It has chunks of ours unread.
void HttpConnection::watch_taker() noexcept {
  shm::ProcessIndex taker = shm::kNobody;
  if (place_.layer.progress(receiving_->sent, taker) != shm::Progress::kTaken) return;
  const std::optional<shm::ProcessName> living = place_.layer.processes().living(taker);
  if (living) place_.stuck_consumers.sent_to(*living, place_.now_ms);
}

void HttpConnection::end_body() noexcept {
  receiving_ = nullptr;
  place_.bodies.give_back(std::move(body_));
  body_ = nullptr;
}

// The request is answered: what still comes of it is read and dropped.
void HttpConnection::drop_body() noexcept {
  discarding_ = !body_->complete;
  end_body();
}

bool HttpConnection::is_taken(const Exchange& exchange) const noexcept {
  shm::ProcessIndex taker = shm::kNobody;
  return exchange.published &&
         place_.layer.progress(exchange.sent, taker) == shm::Progress::kTaken;
}

// decisions.md 26. A 100 is bytes of this exchange: it, too, waits for its turn.
void HttpConnection::try_continue() noexcept {
  if (receiving_ == nullptr || !receiving_->owes_continue) return;
  Exchange& exchange = *receiving_;
  const bool due = body_->way == IncomingBody::Way::kStream
                       ? is_taken(exchange)
                       : place_.layer.has_reader(place_.channels.http_request);
  if (!due || !exchanges_.is_front(exchange)) {
    place_.uploads.add(*this);
    return;
  }
  exchange.owes_continue = false;
  if (!exchange.published) exchange.hold_until_ms = kNever;
  connection_.write(as_bytes(kContinue));
}

bool HttpConnection::retry() noexcept {
  if (connection_.ending() || receiving_ == nullptr) return true;
  const Connection::Turn turn(connection_);
  try_continue();
  if (body_ != nullptr && body_->way == IncomingBody::Way::kStream) pump_body();
  return receiving_ == nullptr ||
         (!receiving_->owes_continue && body_->bytes.empty() && !body_->complete);
}

// ---- publishing ---------------------------------------------------------------------------------

void HttpConnection::publish(Exchange& exchange, shm::Claim& claim, size_t length) noexcept {
  const uint64_t answer_until = place_.now_ms + ms(place_.settings.answer_timeout);
  const Result<shm::Sent> sent =
      place_.layer.send(place_.channels.http_request, claim, length,
                        {.about = connection_.address(exchange.ordinal),
                         .expires_ms = answer_until,
                         .may_drop = true});
  if (!sent.ok()) {
    place_.counters.add(counter_of(sent.error()));
    return answer(exchange, verdict_on(sent.error()));
  }
  if (sent->block == shm::kNoBlock) {  // drop mode: as if its taker had died with it
    place_.counters.add(Counter::kTakerDied);
    return answer(exchange, verdict_on(Trouble::kTakerDied));
  }
  exchange.published = true;
  exchange.sent = *sent;
  place_.layer.pool().hold(sent->block);  // H2
  exchange.answer_until_ms = answer_until;
  exchange.hold_until_ms = place_.now_ms + ms(place_.settings.hold_timeout);
  exchange.reader_seen = place_.layer.has_reader(place_.channels.http_request);
  if (exchange.record != nullptr) exchange.record->line.channel = kHttpRequestChannel;
  place_.counters.add(Counter::kRequests);
}

}  // namespace sluice
