// worker/connection_table.cc -- accepting, finding and taking back connections; see connection.h.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "protocol/limits.h"
#include "worker/backpressure.h"
#include "worker/connection.h"
#include "worker/http_writer.h"

namespace sluice {
namespace {

constexpr size_t kSpareConnections = 1024;  // kept for the next clients; a few hundred bytes each

// Leaves both as they are for a unix socket, and for an address that is not known.
void read_address(const sockaddr_storage& address, std::string& host, uint16_t& port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    port = ntohs(four.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
    port = ntohs(six.sin6_port);
  } else {
    return;
  }
  host = text;
}

}  // namespace

// ---- Connection: its beginning ------------------------------------------------------------------

bool Connection::open(shm::Fd fd, const InheritedListener& from) noexcept {
  if (!socket_.open(place().loop, std::move(fd), *this)) return false;
  endpoints_ = {.client_host = {}, .server_host = from.host, .server_port = from.port};
  read_address(socket_.client_address(), endpoints_.client_host, endpoints_.client_port);
  read_address(socket_.own_address(), endpoints_.server_host, endpoints_.server_port);
  return true;
}

void Connection::begin(shm::ConnectionSlots::Opened slot,
                       std::unique_ptr<Conversation> conversation) noexcept {
  slot_ = slot.slot;
  generation_ = slot.generation;
  conversation_ = std::move(conversation);
}

void Connection::reset() noexcept {
  conversation_.reset();
  next_.reset();
  kept_.clear();
  waiting_.clear();
  slot_ = kNoSlot;
  state_ = State::kOpen;
  wants_input_ = true;
  socket_reads_ = delivering_ = ended_ = broken_ = high_water_ = false;
  sent_ = lingered_bytes_ = 0;
  progress_ms_ = linger_until_ms_ = 0;
}

// ---- ConnectionTable ----------------------------------------------------------------------------

ConnectionTable::ConnectionTable(Workplace& place, Begin begin, uint32_t max_connections)
    : place_(place), begin_(begin), max_connections_(max_connections) {
  spare_.reserve(kSpareConnections);
  gathered_.reserve(limits::kGatheredOutputBytes);
}

ConnectionTable::~ConnectionTable() {
  while (first_ != nullptr) {  // the loop is over: no callback comes any more
    Connection* connection = first_;
    first_ = connection->next_in_list_;
    delete connection;
  }
}

Connection* ConnectionTable::find(const ReplyAddress& address) const noexcept {
  Connection* connection = find(address.slot);
  return connection != nullptr && connection->address(address.ordinal) == address ? connection : nullptr;
}

void ConnectionTable::accept(shm::Fd fd, const InheritedListener& from) noexcept {
  place_.tell_time();
  Connection* connection = nullptr;
  if (spare_.empty()) {
    connection = new Connection(*this);
  } else {
    connection = spare_.back().release();
    spare_.pop_back();
  }
  if (!connection->open(std::move(fd), from)) {
    keep_spare(std::unique_ptr<Connection>(connection));
    return;
  }
  connection->previous_ = nullptr;
  connection->next_in_list_ = first_;
  if (first_ != nullptr) first_->previous_ = connection;
  first_ = connection;
  ++size_;

  std::optional<shm::ConnectionSlots::Opened> slot;
  if (size_ <= max_connections_) slot = place_.slots.open();
  if (slot) {
    place_.counters.add(Counter::kConnections);
    if (by_slot_.size() <= slot->slot) by_slot_.resize(slot->slot + 1);
    by_slot_[slot->slot] = connection;
    connection->begin(*slot, begin_(*connection));
    connection->set_deadline();
    connection->read_socket(true);
    return;
  }
  // Refused at the door: said once, politely, unless too many are being told already.
  place_.counters.add(Counter::kTooManyConnections);
  if (size_ > size_t{max_connections_} + limits::kRefusedAtDoor) {
    connection->end(false);
    return;
  }
  const Verdict verdict = verdict_on(Trouble::kTooManyConnections);
  const AnswerTo to{.head_method = false, .minor_version = 1, .keep_alive = false};
  AnswerState state;
  place_.text.clear();
  write_own_answer(verdict.status, verdict.extra, to, state, place_.text);
  if (place_.access_log != nullptr) {
    std::unique_ptr<AccessRecord> record = place_.access_log->begin(std::string_view(), 0);
    record->line.status = state.status;
    record->line.sent = state.sent;
    place_.access_log->end(std::move(record), connection->endpoints_.client_host, place_.unix_seconds);
  }
  const Connection::Turn turn(*connection);
  connection->write(as_bytes(place_.text));
  connection->finish();
}

void ConnectionTable::take_back(Connection& connection) noexcept {
  if (connection.previous_ != nullptr) {
    connection.previous_->next_in_list_ = connection.next_in_list_;
  } else {
    first_ = connection.next_in_list_;
  }
  if (connection.next_in_list_ != nullptr) connection.next_in_list_->previous_ = connection.previous_;
  --size_;
  connection.reset();
  keep_spare(std::unique_ptr<Connection>(&connection));
}

void ConnectionTable::keep_spare(std::unique_ptr<Connection> connection) noexcept {
  if (spare_.size() < kSpareConnections) spare_.push_back(std::move(connection));
}

}  // namespace sluice
