// worker/websocket_session.cc -- frames judged in their order, put together to messages, answered.
#include "worker/websocket_session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "protocol/limits.h"
#include "worker/deflate.h"
#include "worker/frame_reader.h"
#include "worker/frame_writer.h"
#include "worker/shared_frame.h"
#include "worker/utf8_stream.h"

namespace sluice {
namespace {

constexpr uint8_t kControlBit = 0x8;
constexpr uint8_t kRsv1 = 0x4;         // as FramePiece has it: this message is deflated
constexpr size_t kControlBytes = 125;  // payload of a control frame, RFC 6455 section 5.5

constexpr bool is(const FramePiece& piece, Opcode opcode) noexcept {
  return piece.opcode == static_cast<uint8_t>(opcode);
}

// The whole frame in one piece where copying the payload costs less than a second call.
void write_frame(WebSocketSession::Events& events, Opcode opcode, Bytes payload,
                 bool deflated = false) noexcept {
  constexpr size_t kJoined = 1024;
  static_assert(kJoined >= kControlBytes, "control frames are one piece");
  std::array<std::byte, kFrameHeaderBytes + kJoined> frame;
  const size_t header = write_frame_header(opcode, deflated, payload.size(),
                                           std::span(frame).first<kFrameHeaderBytes>());
  if (payload.size() > kJoined) {
    events.on_output(Bytes(frame).first(header));
    events.on_output(payload);
    return;
  }
  if (!payload.empty()) std::memcpy(frame.data() + header, payload.data(), payload.size());
  events.on_output(Bytes(frame).first(header + payload.size()));
}

// As much of `reason` as a close frame holds, cut between characters.
std::string_view fitting(std::string_view reason) noexcept {
  if (reason.size() > limits::kCloseReasonBytes) {
    size_t end = limits::kCloseReasonBytes;
    while (end > 0 && (static_cast<uint8_t>(reason[end]) & 0xc0) == 0x80) --end;
    reason = reason.substr(0, end);
  }
  return valid_utf8(reason) ? reason : std::string_view();
}

}  // namespace

// Lent to a session while it has something unfinished; between messages it is the next session's.
struct WebSocketSession::Inbound {
  FrameReader frames;
  std::vector<std::byte> message;  // the fragments, or pieces of a frame, so far
  bool message_open = false;       // a first fragment came, the last did not
  bool binary = false;
  bool deflated = false;
  size_t deflated_bytes = 0;           // of its frames begun
  std::unique_ptr<Inflater> inflater;  // made when first needed; for messages without a context
  size_t fragments = 0;
  Utf8Stream utf8;
  std::array<std::byte, kControlBytes> control;  // a control frame's payload so far
  size_t control_size = 0;
  std::vector<std::byte> kept;  // fed while paused
  size_t kept_from = 0;         // what stands before is parsed

  [[nodiscard]] bool empty() const noexcept {
    return frames.between_frames() && !message_open && kept.empty();
  }
  void finish_message() noexcept {
    message.clear();
    message_open = false;
    fragments = 0;
    deflated_bytes = 0;
    utf8.reset();
  }

  void discard() noexcept {
    finish_message();
    static_cast<void>(frames.take_rest());
    kept.clear();
    kept_from = 0;
  }

  static std::vector<std::unique_ptr<Inbound>>& spares() noexcept {
    thread_local std::vector<std::unique_ptr<Inbound>> spares;
    return spares;
  }
  static std::unique_ptr<Inbound> borrow() {
    if (spares().empty()) return std::make_unique<Inbound>();
    std::unique_ptr<Inbound> inbound = std::move(spares().back());
    spares().pop_back();
    return inbound;
  }
  // What one large message made grow is not kept for small ones.
  static void give_back(std::unique_ptr<Inbound> inbound) noexcept {
    if (spares().size() >= limits::kSpareFrameReaders) return;
    if (inbound->message.capacity() > limits::kSpareMessageBytes) inbound->message = {};
    inbound->kept = {};
    if (inbound->inflater != nullptr) inbound->inflater->reset();  // broken off, perhaps
    spares().push_back(std::move(inbound));
  }
};

// Some 300 KiB, so each half is made when it is first needed.
struct WebSocketSession::Contexts {
  std::unique_ptr<Deflater> deflater;
  std::unique_ptr<Inflater> inflater;
};

WebSocketSession::WebSocketSession(Events& events, const WebSocketLimits& limits) noexcept
    : events_(events), limits_(limits) {}

WebSocketSession::~WebSocketSession() = default;

void WebSocketSession::feed(Bytes bytes) noexcept {
  CHECK(!parsing_);
  if (closed_ || bytes.empty()) return;
  heard_from_ = true;
  if (!inbound_) inbound_ = Inbound::borrow();
  if (paused_) {
    inbound_->kept.insert(inbound_->kept.end(), bytes.begin(), bytes.end());
    return;
  }
  inbound_->frames.give(bytes);
  parse();
  if (!inbound_) return;
  const Bytes rest = inbound_->frames.take_rest();  // there is some only where we were paused
  inbound_->kept.assign(rest.begin(), rest.end());
  if (inbound_->empty()) Inbound::give_back(std::move(inbound_));
}

void WebSocketSession::resume() noexcept {
  paused_ = false;
  if (parsing_ || !inbound_) return;
  inbound_->frames.give(Bytes(inbound_->kept).subspan(inbound_->kept_from));
  parse();
  if (!inbound_) return;
  inbound_->kept_from = inbound_->kept.size() - inbound_->frames.take_rest().size();
  if (inbound_->kept_from == inbound_->kept.size()) {
    inbound_->kept.clear();
    inbound_->kept_from = 0;
  }
  if (inbound_->empty()) Inbound::give_back(std::move(inbound_));
}

// Hands on what was given until it is used up, or a callback paused or ended us.
void WebSocketSession::parse() noexcept {
  parsing_ = true;
  FramePiece piece;
  while (!paused_ && !closed_) {
    const FrameReader::Next next = inbound_->frames.next(piece);
    if (next == FrameReader::Next::kNeedsInput) break;
    if (next == FrameReader::Next::kBroken) {
      fail(close_code::kProtocolError, "malformed frame");
    } else {
      take(piece);
    }
  }
  parsing_ = false;
  if (!closed_) return;
  // Whatever else it holds is nobody's any more; broken off inside a frame it is of no use.
  if (inbound_->frames.between_frames()) {
    inbound_->discard();
    Inbound::give_back(std::move(inbound_));
  }
  inbound_.reset();
}

void WebSocketSession::take(const FramePiece& piece) noexcept {
  if (piece.first && !frame_allowed(piece)) return;
  if ((piece.opcode & kControlBit) != 0) {
    take_control(piece);
  } else if (!close_sent_) {
    take_content(piece);
  }
}

// Judges a frame by its header; false if it failed the connection.
bool WebSocketSession::frame_allowed(const FramePiece& piece) noexcept {
  const bool begins = is(piece, Opcode::kText) || is(piece, Opcode::kBinary);  // a message
  const bool control =
      is(piece, Opcode::kClose) || is(piece, Opcode::kPing) || is(piece, Opcode::kPong);
  std::string_view wrong;
  if (!piece.masked) {
    wrong = "frame not masked";
  } else if (piece.reserved != 0 && !(piece.reserved == kRsv1 && deflate_ && begins)) {
    wrong = "reserved bits set";
  } else if (!begins && !is(piece, Opcode::kContinuation) && !control) {
    wrong = "unknown opcode";
  } else if (is(piece, Opcode::kContinuation) && !inbound_->message_open && !close_sent_) {
    wrong = "continuation of nothing";
  } else if (begins && inbound_->message_open && !close_sent_) {
    wrong = "message inside a message";
  }
  if (wrong.empty()) return true;
  fail(close_code::kProtocolError, wrong);
  return false;
}

// False if its frame failed the connection.
bool WebSocketSession::begin_frame(const FramePiece& piece) noexcept {
  Inbound& in = *inbound_;
  if (!in.message_open) {
    in.binary = is(piece, Opcode::kBinary);
    in.deflated = piece.reserved == kRsv1;
  }
  in.message_open = true;
  if (++in.fragments > limits_.fragments) {
    fail(close_code::kTooLarge, "too many fragments");
    return false;
  }
  // Deflated, a message is longer than it was by little, however its sender cut it.
  const size_t room = in.deflated ? 2 * limits_.message_bytes + limits::kKiB - in.deflated_bytes
                                  : limits_.message_bytes - in.message.size();
  if (piece.frame_bytes > room) {
    fail(close_code::kTooLarge, "message too large");
    return false;
  }
  if (in.deflated) in.deflated_bytes += static_cast<size_t>(piece.frame_bytes);
  return true;
}

void WebSocketSession::take_content(const FramePiece& piece) noexcept {
  Inbound& in = *inbound_;
  if (piece.first && !begin_frame(piece)) return;
  const bool complete = piece.last && piece.fin;
  const size_t before = in.message.size();
  if (in.deflated && !take_deflated(piece, complete)) return;
  const Bytes content = in.deflated ? Bytes(in.message).subspan(before) : piece.bytes;
  if (!in.binary && (!in.utf8.feed(content) || (complete && !in.utf8.complete()))) {
    return fail(close_code::kInvalidPayload, "text is not UTF-8");
  }
  if (complete && before == 0 && !in.deflated) {  // all of it lies in the reader: no copy
    in.finish_message();
    return events_.on_message(piece.bytes, in.binary);
  }
  if (!in.deflated) in.message.insert(in.message.end(), piece.bytes.begin(), piece.bytes.end());
  if (!complete) return;
  events_.on_message(in.message, in.binary);
  in.finish_message();
}

// Appends what the piece holds to the message; false if that failed the connection.
bool WebSocketSession::take_deflated(const FramePiece& piece, bool complete) noexcept {
  Inbound& in = *inbound_;
  Inflater& inflater = this->inflater();
  Inflater::Outcome outcome = inflater.inflate(piece.bytes, in.message, limits_.message_bytes);
  if (complete && outcome == Inflater::Outcome::kGood) {
    outcome = inflater.finish(in.message, limits_.message_bytes);
    if (!deflate_->client_keeps_context) inflater.reset();
  }
  switch (outcome) {
    case Inflater::Outcome::kGood:
      return true;
    case Inflater::Outcome::kBroken:
      fail(close_code::kInvalidPayload, "malformed deflated message");
      return false;
    case Inflater::Outcome::kTooLarge:
      fail(close_code::kTooLarge, "message too large");
      return false;
  }
  return false;
}

Inflater& WebSocketSession::inflater() {
  if (deflate_->client_keeps_context && contexts_ == nullptr) contexts_ = std::make_unique<Contexts>();
  std::unique_ptr<Inflater>& one =
      deflate_->client_keeps_context ? contexts_->inflater : inbound_->inflater;
  if (one == nullptr) one = std::make_unique<Inflater>();
  return *one;
}

void WebSocketSession::take_control(const FramePiece& piece) noexcept {
  Inbound& in = *inbound_;
  if (piece.first) in.control_size = 0;
  if (!piece.bytes.empty()) {  // the reader refused any frame that does not fit
    std::memcpy(in.control.data() + in.control_size, piece.bytes.data(), piece.bytes.size());
    in.control_size += piece.bytes.size();
  }
  if (!piece.last) return;

  const Bytes payload = Bytes(in.control).first(in.control_size);
  if (is(piece, Opcode::kClose)) return client_closes(payload);
  if (is(piece, Opcode::kPing) && !close_sent_) {
    pong_bytes_ += static_cast<uint32_t>(2 + payload.size());
    write_frame(events_, Opcode::kPong, payload);
  }
}

// Answers a close with the same code, unless ours went first; either way the handshake is over.
void WebSocketSession::client_closes(Bytes payload) noexcept {
  if (payload.empty()) {
    send_close({});
    return end(close_code::kNone, {});
  }
  if (payload.size() == 1) return fail(close_code::kProtocolError, "half a close code");
  const auto code = static_cast<uint16_t>(std::to_integer<unsigned>(payload[0]) << 8 |
                                          std::to_integer<unsigned>(payload[1]));
  const std::string_view reason = as_text(payload.subspan(2));
  if (!valid_close_code(code)) return fail(close_code::kProtocolError, "invalid close code");
  if (!valid_utf8(reason)) return fail(close_code::kInvalidPayload, "close reason is not UTF-8");
  send_close(payload.first(2));
  end(code, reason);
}

void WebSocketSession::send(Bytes content, bool binary) noexcept {
  if (close_sent_ || closed_) return;
  const Opcode opcode = binary ? Opcode::kBinary : Opcode::kText;
  if (!deflate_ || content.size() < limits::kDeflateLeastBytes) {
    return write_frame(events_, opcode, content);
  }
  if (!deflate_->server_keeps_context) {
    const Bytes alone = Deflater::deflate_alone(content, deflate_->server_window_bits);
    const bool shorter = alone.size() < content.size();
    return write_frame(events_, opcode, shorter ? alone : content, shorter);
  }
  // What went into the context has to go out, shorter or not.
  if (contexts_ == nullptr) contexts_ = std::make_unique<Contexts>();
  if (contexts_->deflater == nullptr) {
    contexts_->deflater = std::make_unique<Deflater>(deflate_->server_window_bits);
  }
  write_frame(events_, opcode, contexts_->deflater->deflate(content), true);
}

void WebSocketSession::send(SharedFrame& frame) noexcept {
  if (close_sent_ || closed_) return;
  if (!deflate_) return events_.on_output(frame.plain());
  if (deflate_->server_keeps_context) return send(frame.content(), frame.binary());
  events_.on_output(frame.deflated(deflate_->server_window_bits));
}

void WebSocketSession::ping() noexcept {
  if (close_sent_ || closed_) return;
  write_frame(events_, Opcode::kPing, {});
}

void WebSocketSession::close(uint16_t code, std::string_view reason) noexcept {
  if (code == close_code::kNone) return send_close({});
  if (!valid_close_code(code)) code = close_code::kInternalError;
  reason = fitting(reason);
  std::array<std::byte, 2 + limits::kCloseReasonBytes> payload;
  payload[0] = static_cast<std::byte>(code >> 8);
  payload[1] = static_cast<std::byte>(code);
  if (!reason.empty()) std::memcpy(payload.data() + 2, reason.data(), reason.size());
  send_close(Bytes(payload).first(2 + reason.size()));
}

void WebSocketSession::send_close(Bytes payload) noexcept {
  if (close_sent_ || closed_) return;
  close_sent_ = true;
  write_frame(events_, Opcode::kClose, payload);
}

void WebSocketSession::fail(uint16_t code, std::string_view reason) noexcept {
  close(code, reason);
  end(code, reason);
}

void WebSocketSession::end(uint16_t code, std::string_view reason) noexcept {
  closed_ = true;
  events_.on_closed(code, reason);
}

bool WebSocketSession::heard_from() noexcept { return std::exchange(heard_from_, false); }

size_t WebSocketSession::buffered() const noexcept {
  if (!inbound_) return 0;
  return inbound_->message.size() + inbound_->frames.held() + inbound_->kept.size() -
         inbound_->kept_from;
}

bool valid_close_code(uint16_t code) noexcept {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace sluice
