// worker/connection.cc -- one socket's input, output and ends; the table is in connection_table.cc.
#include "worker/connection.h"

#include <algorithm>
#include <utility>

#include "protocol/limits.h"
#include "worker/connection_table.h"

namespace sluice {
namespace {

uint64_t ms(std::chrono::milliseconds time) noexcept { return static_cast<uint64_t>(time.count()); }

}  // namespace

// ---- Turn ---------------------------------------------------------------------------------------

Connection::Turn::Turn(Connection& connection) noexcept
    : connection_(connection), gathers_(connection.table_.gathering_ == nullptr) {
  connection.place().tell_time();
  if (gathers_) connection.table_.gathering_ = &connection;
}

Connection::Turn::~Turn() {
  if (!gathers_) return;
  ConnectionTable& table = connection_.table_;
  table.gathering_ = nullptr;
  if (connection_.state_ == State::kClosing) {
    table.gathered_.clear();
    return;
  }
  if (!table.gathered_.empty()) {
    const Bytes all = as_bytes(table.gathered_);
    connection_.put({&all, 1});
    table.gathered_.clear();
  }
  connection_.after_output();
  connection_.set_deadline();
}

// ---- what is asked of it ------------------------------------------------------------------------

Workplace& Connection::place() const noexcept { return table_.place_; }

ReplyAddress Connection::address(uint32_t ordinal) const noexcept {
  const shm::ProcessName me = place().layer.me();
  return {me.index, me.incarnation, slot_, generation_, ordinal};
}

size_t Connection::output_waiting() const noexcept {
  const size_t gathered = table_.gathering_ == this ? table_.gathered_.size() : 0;
  return gathered + (pending_ != nullptr ? pending_->output.size() - pending_->sent : 0);
}

void Connection::write(std::initializer_list<Bytes> pieces) noexcept {
  if (state_ != State::kOpen) return;
  if (table_.gathering_ != this) {
    put({pieces.begin(), pieces.size()});
    after_output();
    return;
  }
  // C2: short pieces are copied together; a long one takes what was gathered along with it.
  std::string& gathered = table_.gathered_;
  size_t total = gathered.size();
  for (const Bytes piece : pieces) total += piece.size();
  if (total <= limits::kGatheredOutputBytes || pieces.size() >= Socket::kMostPieces) {
    for (const Bytes piece : pieces) gathered.append(as_text(piece));
    return;
  }
  std::array<Bytes, Socket::kMostPieces> all;
  all[0] = as_bytes(gathered);
  std::copy(pieces.begin(), pieces.end(), all.begin() + 1);
  put({all.data(), pieces.size() + 1});
  gathered.clear();
}

void Connection::put(std::span<const Bytes> pieces) noexcept {
  size_t written = 0;
  if (!output_kept()) {
    const ssize_t sent = socket_.send(pieces);
    if (sent < 0) return on_broken();
    written = static_cast<size_t>(sent);
  }
  for (const Bytes piece : pieces) {
    const size_t skipped = std::min(written, piece.size());
    written -= skipped;
    if (skipped < piece.size()) keep_waiting(piece.subspan(skipped));
  }
}

void Connection::keep_waiting(Bytes bytes) noexcept {  // C1
  Pending& waits = pending();
  if (waits.output.empty()) {
    waits.progress_ms = place().now_ms;
    waits.unacknowledged = socket_.unacknowledged();
    socket_.want(socket_reads_, true);
  } else if (waits.sent > waits.output.size() / 2) {
    waits.output.erase(0, waits.sent);
    waits.sent = 0;
  }
  waits.output.append(as_text(bytes));
}

void Connection::on_writable() noexcept {
  if (!output_kept()) return;
  Pending& waits = *pending_;
  const Bytes rest = as_bytes(waits.output).subspan(waits.sent);
  const ssize_t sent = socket_.send({&rest, 1});
  if (sent < 0) return on_broken();
  if (sent == 0) return;
  Turn turn(*this);
  waits.progress_ms = place().now_ms;
  waits.unacknowledged = socket_.unacknowledged();
  waits.sent += static_cast<size_t>(sent);
  if (waits.sent == waits.output.size()) {
    waits.output.clear();
    waits.sent = 0;
    give_back_if_empty();
    socket_.want(socket_reads_, false);
  }
  after_output();
  if (state_ == State::kOpen) conversation_->on_room();
}

// Credit for the slot's senders, and what had to wait for the last byte.
void Connection::after_output() noexcept {
  const size_t waits = output_waiting();
  if (slot_ != kNoSlot) {
    if (!high_water_ && waits > limits::kOutputSoftBytes) {
      high_water_ = true;
      place().slots.set_high_water(slot_, true);
    } else if (high_water_ && waits <= limits::kOutputSoftBytes / 2) {
      high_water_ = false;
      place().slots.set_high_water(slot_, false);
      invite_sender();
    }
  }
  if (state_ == State::kFinishing && waits == 0) linger();
}

void Connection::invite_sender() noexcept {
  if (slot_ == kNoSlot || high_water_) return;
  const shm::ProcessIndex waiter = place().slots.take_waiter(slot_);
  if (waiter != shm::kNobody) place().layer.doorbell().ring(waiter);
}

// ---- what waits ---------------------------------------------------------------------------------

// A slow client's buffers are the next one's: neither holds on to what it once needed.
void Connection::Pending::reset() noexcept {
  for (std::string* bytes : {&input, &output}) {
    bytes->clear();
    if (bytes->capacity() > limits::kOutputSoftBytes) std::string().swap(*bytes);
  }
  sent = unacknowledged = lingered_bytes = 0;
}

Connection::Pending& Connection::pending() {
  if (pending_ == nullptr) pending_ = table_.pending_.take();
  return *pending_;
}

void Connection::give_back_if_empty() noexcept {
  if (state_ == State::kOpen && pending_->input.empty() && pending_->output.empty()) {
    table_.pending_.give_back(std::move(pending_));
  }
}

// ---- input --------------------------------------------------------------------------------------

void Connection::read_socket(bool on) noexcept {
  if (on == socket_reads_) return;
  socket_reads_ = on;
  socket_.want(on, output_kept());
}

void Connection::on_readable() noexcept {
  size_t size = 0;
  switch (socket_.receive(table_.read_buffer_, size)) {
    case Socket::Heard::kBytes:
      return take_input(std::as_bytes(std::span(table_.read_buffer_)).first(size));
    case Socket::Heard::kNothing:
      return;
    case Socket::Heard::kEnd:
      return take_end();
    case Socket::Heard::kBroken:
      return on_broken();
  }
}

void Connection::take_input(Bytes bytes) noexcept {
  if (state_ == State::kOpen) return deliver(bytes);
  pending().lingered_bytes += bytes.size();
  if (pending_->lingered_bytes > limits::kLingerBytes) end(false);
}

void Connection::take_end() noexcept {
  read_socket(false);
  ended_ = true;
  if (state_ == State::kLingering) {
    end(false);
  } else if (state_ == State::kOpen) {
    Turn turn(*this);
    conversation_->on_end();
  }
}

void Connection::deliver(Bytes bytes) noexcept {
  Turn turn(*this);
  delivering_ = true;
  while (!bytes.empty() && state_ == State::kOpen) {
    const size_t taken = conversation_->on_bytes(bytes);
    bytes = bytes.subspan(std::min(taken, bytes.size()));
    if (next_ != nullptr) {
      conversation_ = std::move(next_);
    } else if (!wants_input_ || taken == 0) {
      break;
    }
  }
  delivering_ = false;
  if (state_ == State::kClosing) return;
  if (state_ != State::kOpen) bytes = {};  // refused: what follows is not parsed
  if (!bytes.empty()) pending().input.assign(as_text(bytes));
  read_socket(bytes.empty() && (wants_input_ || state_ != State::kOpen) && !ended_);
}

void Connection::stop_reading() noexcept {
  wants_input_ = false;
  if (!delivering_) read_socket(false);
}

void Connection::start_reading() noexcept {
  wants_input_ = true;
  if (delivering_ || state_ == State::kClosing) return;
  if (pending_ != nullptr && !pending_->input.empty()) {
    const std::string bytes = std::exchange(pending_->input, {});
    give_back_if_empty();
    deliver(as_bytes(bytes));
  } else if (!ended_) {
    read_socket(true);
  }
}

// ---- ends ---------------------------------------------------------------------------------------

void Connection::finish() noexcept {
  if (state_ != State::kOpen) return;
  state_ = State::kFinishing;
  if (table_.gathering_ != this) {
    after_output();
    if (state_ != State::kClosing) set_deadline();
  }
}

void Connection::linger() noexcept {
  if (ended_ || !socket_.end_sending()) {
    end(false);
    return;
  }
  state_ = State::kLingering;
  pending().input.clear();
  pending().linger_until_ms = place().now_ms + ms(limits::kLingerTimeout);
  if (!delivering_) read_socket(true);
}

void Connection::end(bool with_reset) noexcept {
  if (state_ == State::kClosing) return;
  if (!with_reset && table_.gathering_ == this && !table_.gathered_.empty()) {
    const Bytes all = as_bytes(table_.gathered_);
    static_cast<void>(socket_.send({&all, 1}));
  }
  state_ = State::kClosing;
  place().deadlines.clear(*this);
  if (conversation_ != nullptr) conversation_->on_gone();
  if (next_ != nullptr) next_->on_gone();
  if (slot_ != kNoSlot) {
    const uint32_t slot = slot_;
    give_up_slot();
    place().drop_replies(slot);  // what comes later names another generation
    place().slots.close(slot);
  }
  socket_.close(with_reset);
}

void Connection::on_broken() noexcept {
  broken_ = true;
  end(true);
}

void Connection::on_socket_closed() noexcept { table_.take_back(*this); }

bool Connection::check_slot() noexcept {
  if (slot_ == kNoSlot) return true;
  place().slots.repair(slot_);
  if (place().slots.ring_sound(slot_)) return true;
  cut();
  return false;
}

void Connection::give_up_slot() noexcept {
  if (slot_ == kNoSlot) return;
  table_.by_slot_[slot_] = nullptr;
  slot_ = kNoSlot;
}

// ---- time ---------------------------------------------------------------------------------------

uint64_t Connection::own_deadline() const noexcept {
  if (state_ == State::kLingering) return pending_->linger_until_ms;
  return output_kept() ? pending_->progress_ms + ms(place().settings.send_timeout) : kNever;
}

void Connection::set_deadline() noexcept {
  if (state_ == State::kClosing) return;
  uint64_t due = own_deadline();
  if (state_ == State::kOpen) due = std::min(due, conversation_->next_deadline());
  place().deadlines.set(*this, due);
}

void Connection::on_deadline(uint64_t now_ms) noexcept {
  Turn turn(*this);
  if (state_ == State::kLingering) {
    if (now_ms >= pending_->linger_until_ms) end(false);
    return;
  }
  if (output_kept() && now_ms >= own_deadline()) {
    const size_t unacknowledged = socket_.unacknowledged();
    if (unacknowledged >= pending_->unacknowledged) {
      place().counters.add(Counter::kSendTimeouts);
      end(true);
      return;
    }
    pending_->progress_ms = now_ms;
    pending_->unacknowledged = unacknowledged;
  }
  if (state_ == State::kOpen) conversation_->on_clock(now_ms);
}

}  // namespace sluice
