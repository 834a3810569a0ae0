// worker/connection.cc -- one socket's input, output and ends; the table is in connection_table.cc.
#include "worker/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "protocol/limits.h"

namespace sluice {
namespace {

constexpr size_t kMostPieces = 4;

uint64_t ms(std::chrono::milliseconds time) noexcept { return static_cast<uint64_t>(time.count()); }

uv_buf_t buffer_of(Bytes bytes) noexcept {
  return uv_buf_init(const_cast<char*>(reinterpret_cast<const char*>(bytes.data())),
                     static_cast<unsigned>(bytes.size()));
}

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
    connection_.put(&all, 1);
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
  return gathered + waiting_.size() + (writing_.empty() ? 0 : socket_.stream.write_queue_size);
}

void Connection::write(std::initializer_list<Bytes> pieces) noexcept {
  if (state_ != State::kOpen) return;
  if (table_.gathering_ != this) {
    put(pieces.begin(), pieces.size());
    after_output();
    return;
  }
  // C2: short pieces are copied together; a long one takes what was gathered along with it.
  std::string& gathered = table_.gathered_;
  size_t total = gathered.size();
  for (const Bytes piece : pieces) total += piece.size();
  if (total <= limits::kGatheredOutputBytes || pieces.size() >= kMostPieces) {
    for (const Bytes piece : pieces) gathered.append(as_text(piece));
    return;
  }
  std::array<Bytes, kMostPieces> all;
  all[0] = as_bytes(gathered);
  std::copy(pieces.begin(), pieces.end(), all.begin() + 1);
  put(all.data(), pieces.size() + 1);
  gathered.clear();
}

void Connection::put(const Bytes* pieces, size_t count) noexcept {
  size_t written = 0;
  if (writing_.empty() && waiting_.empty()) {
    std::array<uv_buf_t, kMostPieces> buffers;
    unsigned used = 0;
    for (size_t i = 0; i < count && used < kMostPieces; ++i) {
      if (!pieces[i].empty()) buffers[used++] = buffer_of(pieces[i]);
    }
    if (used == 0) return;
    const int result = uv_try_write(&socket_.stream, buffers.data(), used);
    if (result < 0 && result != UV_EAGAIN) {
      end(true);
      return;
    }
    written = result < 0 ? 0 : static_cast<size_t>(result);
    if (written > 0) progress_ms_ = place().now_ms;
  }
  for (size_t i = 0; i < count; ++i) {  // C1
    const size_t skipped = std::min(written, pieces[i].size());
    written -= skipped;
    waiting_.append(as_text(pieces[i].subspan(skipped)));
  }
  if (writing_.empty() && !waiting_.empty()) write_waiting();
}

void Connection::write_waiting() noexcept {
  progress_ms_ = place().now_ms;
  writing_.swap(waiting_);
  waiting_.clear();
  const uv_buf_t buffer = buffer_of(as_bytes(writing_));
  writing_request_.data = this;
  const int result =
      uv_write(&writing_request_, &socket_.stream, &buffer, 1, [](uv_write_t* request, int status) {
        static_cast<Connection*>(request->data)->on_written(status);
      });
  if (result < 0) end(true);
}

void Connection::on_written(int status) noexcept {
  writing_.clear();
  if (state_ == State::kClosing) return;
  if (status < 0) {
    end(true);
    return;
  }
  Turn turn(*this);
  progress_ms_ = place().now_ms;
  if (!waiting_.empty()) {
    write_waiting();
  } else if (writing_.capacity() > limits::kOutputSoftBytes) {
    std::string().swap(writing_);  // what a slow client once needed is not kept for it
    std::string().swap(waiting_);
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

// ---- input --------------------------------------------------------------------------------------

void Connection::read_socket(bool on) noexcept {
  if (on == socket_reads_) return;
  socket_reads_ = on;
  if (!on) {
    uv_read_stop(&socket_.stream);
    return;
  }
  const int result = uv_read_start(
      &socket_.stream,
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
        ConnectionTable& table = static_cast<Connection*>(handle->data)->table_;
        *buffer = uv_buf_init(table.read_buffer_.data(), static_cast<unsigned>(table.read_buffer_.size()));
      },
      [](uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
        static_cast<Connection*>(stream->data)->on_read(size, buffer->base);
      });
  if (result < 0) end(true);
}

void Connection::on_read(ssize_t size, const char* bytes) noexcept {
  if (state_ == State::kClosing || size == 0) return;
  if (size < 0) {
    read_socket(false);
    if (size != UV_EOF) {
      end(true);
      return;
    }
    ended_ = true;
    if (state_ == State::kLingering) {
      end(false);
    } else if (state_ == State::kOpen) {
      Turn turn(*this);
      conversation_->on_end();
    }
    return;
  }
  if (state_ == State::kOpen) {
    deliver({reinterpret_cast<const std::byte*>(bytes), static_cast<size_t>(size)});
    return;
  }
  lingered_bytes_ += static_cast<size_t>(size);
  if (lingered_bytes_ > limits::kLingerBytes) end(false);
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
  kept_.assign(as_text(bytes));
  read_socket(kept_.empty() && (wants_input_ || state_ != State::kOpen) && !ended_);
}

void Connection::stop_reading() noexcept {
  wants_input_ = false;
  if (!delivering_) read_socket(false);
}

void Connection::start_reading() noexcept {
  wants_input_ = true;
  if (delivering_ || state_ == State::kClosing) return;
  if (!kept_.empty()) {
    const std::string bytes = std::move(kept_);
    kept_.clear();
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
  int fd = -1;
  if (ended_ || uv_fileno(&socket_.handle, &fd) != 0 || ::shutdown(fd, SHUT_WR) != 0) {
    end(false);
    return;
  }
  state_ = State::kLingering;
  linger_until_ms_ = place().now_ms + ms(limits::kLingerTimeout);
  kept_.clear();
  if (!delivering_) read_socket(true);
}

void Connection::end(bool with_reset) noexcept {
  if (state_ == State::kClosing) return;
  if (!with_reset && table_.gathering_ == this && !table_.gathered_.empty()) {
    const Bytes all = as_bytes(table_.gathered_);
    const uv_buf_t buffer = buffer_of(all);
    uv_try_write(&socket_.stream, &buffer, 1);
  }
  state_ = State::kClosing;
  place().deadlines.clear(*this);
  if (conversation_ != nullptr) conversation_->on_gone();
  if (next_ != nullptr) next_->on_gone();
  if (slot_ != kNoSlot) {
    const uint32_t slot = slot_;
    give_up_slot();
    while (place().layer.try_receive_reply(slot)) place().counters.add(Counter::kLateAnswers);
    place().slots.close(slot);
  }
  const uv_close_cb closed = [](uv_handle_t* handle) {
    auto* connection = static_cast<Connection*>(handle->data);
    connection->table_.take_back(*connection);
  };
  if (with_reset && !unix_socket_ && uv_tcp_close_reset(&socket_.tcp, closed) == 0) return;
  uv_close(&socket_.handle, closed);
}

void Connection::give_up_slot() noexcept {
  if (slot_ == kNoSlot) return;
  table_.by_slot_[slot_] = nullptr;
  slot_ = kNoSlot;
}

// ---- time ---------------------------------------------------------------------------------------

uint64_t Connection::own_deadline() const noexcept {
  if (state_ == State::kLingering) return linger_until_ms_;
  return output_waiting() > 0 ? progress_ms_ + ms(place().settings.send_timeout) : kNever;
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
    if (now_ms >= linger_until_ms_) end(false);
    return;
  }
  const size_t waits = output_waiting();
  if (waits != unwritten_seen_) {  // libuv wrote part of it without telling
    unwritten_seen_ = waits;
    progress_ms_ = now_ms;
  }
  if (waits > 0 && now_ms >= own_deadline()) {
    place().counters.add(Counter::kSendTimeouts);
    end(true);
    return;
  }
  if (state_ == State::kOpen) conversation_->on_clock(now_ms);
}

}  // namespace sluice
