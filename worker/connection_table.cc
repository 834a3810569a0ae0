// worker/connection_table.cc -- see connection_table.h; and how a connection begins, and begins again.
#include "worker/connection_table.h"

#include <sys/socket.h>

#include <algorithm>

#include "protocol/limits.h"
#include "worker/backpressure.h"
#include "worker/http_writer.h"

namespace sluice {
namespace {

constexpr size_t kSpareConnections = 1024;  // kept for the next clients; some 300 bytes each

// Leaves both as they are for a unix socket, and for an address that is not known.
void read_name(const sockaddr_storage& name, std::string& host, uint16_t& port) {
  const IpEndpoint end = ip_endpoint_of(name);
  if (!end.address.known()) return;
  host = IpText(end.address).view();
  port = end.port;
}

}  // namespace

// ---- Connection: its beginning ------------------------------------------------------------------

void Connection::begin(shm::ConnectionSlots::Opened slot,
                       std::unique_ptr<Conversation> conversation) noexcept {
  slot_ = slot.slot;
  generation_ = slot.generation;
  conversation_ = std::move(conversation);
}

void Connection::reset() noexcept {
  conversation_.reset();
  next_.reset();
  table_.pending_.give_back(std::move(pending_));
  slot_ = kNoSlot;
  state_ = State::kOpen;
  wants_input_ = true;
  socket_reads_ = delivering_ = ended_ = broken_ = high_water_ = false;
  counted_as_ = ClientAddresses::kUncounted;
  at_door_ = false;
}

// ---- ConnectionTable ----------------------------------------------------------------------------

ConnectionTable::ConnectionTable(Workplace& place, Begin begin, uint32_t max_connections)
    : place_(place),
      begin_(begin),
      max_connections_(max_connections),
      addresses_(place.settings.max_connections_per_address) {
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

void ConnectionTable::accept(shm::Fd fd, const sockaddr_storage& client,
                             const InheritedListener& from) noexcept {
  place_.tell_time();
  Connection* connection = nullptr;
  if (spare_.empty()) {
    connection = new Connection(*this);
  } else {
    connection = spare_.back().release();
    spare_.pop_back();
  }
  if (!connection->socket_.open(place_.loop, std::move(fd), *connection)) {
    keep_spare(std::unique_ptr<Connection>(connection));
    return;
  }
  connection->previous_ = nullptr;
  connection->next_in_list_ = first_;
  if (first_ != nullptr) first_->previous_ = connection;
  first_ = connection;
  ++size_;

  Endpoints ends{.client_host = {},
                 .server_host = from.host,
                 .server_port = from.port,
                 .prefaced = place_.settings.proxy_protocol.contains(client),
                 .trusted = place_.settings.trusted_proxies.contains(client)};
  read_name(client, ends.client_host, ends.client_port);
  read_name(connection->socket_.own_address(), ends.server_host, ends.server_port);
  const std::optional<shm::ConnectionSlots::Opened> slot = admit(*connection, client, ends);
  if (!slot) return refuse(*connection, ends.client_host);
  place_.counters.add(Counter::kConnections);
  if (by_slot_.size() <= slot->slot) by_slot_.resize(slot->slot + 1);
  by_slot_[slot->slot] = connection;
  connection->begin(*slot, begin_(*connection, ends));
  connection->set_deadline();
  connection->read_socket(true);
}

// Those that wait at the door take nobody's place. A proxy we know has all its clients' connections.
std::optional<shm::ConnectionSlots::Opened> ConnectionTable::admit(
    Connection& connection, const sockaddr_storage& client, const Endpoints& ends) noexcept {
  std::optional<shm::ConnectionSlots::Opened> slot;
  if (addresses_.bounded() && !ends.trusted && !ends.prefaced) {
    const auto counted = addresses_.admit(client);
    if (!counted) {
      place_.counters.add(Counter::kTooManyOfAddress);
      return slot;
    }
    connection.counted_as_ = *counted;
  }
  if (size_ - at_door_ <= max_connections_) slot = place_.slots.open();
  if (!slot) place_.counters.add(Counter::kTooManyConnections);
  return slot;
}

// Said once, politely, unless too many are being told already.
void ConnectionTable::refuse(Connection& connection, std::string_view client) noexcept {
  if (at_door_ >= limits::kRefusedAtDoor) {
    connection.end(false);
    return;
  }
  connection.at_door_ = true;
  ++at_door_;
  const Bytes words = refusal(client);
  const Connection::Turn turn(connection);
  connection.write(words);
  connection.finish();
}

// In place_.text; the access log has its line.
Bytes ConnectionTable::refusal(std::string_view client) noexcept {
  const Verdict verdict = verdict_on(Trouble::kTooManyConnections);
  const AnswerTo to{.keep_alive = false,
                    .unix_seconds = place_.unix_seconds,
                    .server_line = place_.server_line};
  AnswerState state;
  place_.text.clear();
  write_own_answer(verdict.status, verdict.why, verdict.extra, to, state, place_.text);
  if (place_.access_log != nullptr) {
    std::unique_ptr<AccessRecord> record = place_.access_log->begin(std::string_view(), 0);
    record->line.status = state.status;
    record->line.sent = state.sent;
    place_.access_log->end(std::move(record), client, place_.unix_seconds);
  }
  return as_bytes(place_.text);
}

void ConnectionTable::turn_away(shm::Fd fd, const sockaddr_storage& client) noexcept {
  place_.tell_time();
  place_.counters.add(Counter::kTooManyConnections);
  // What lies unread at a close is a reset, and that may take the answer with it.
  static_cast<void>(::recv(fd.get(), read_buffer_.data(), read_buffer_.size(), MSG_DONTWAIT));
  std::string host;
  uint16_t port = 0;
  read_name(client, host, port);
  const Bytes words = refusal(host);
  static_cast<void>(::send(fd.get(), words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

void ConnectionTable::take_back(Connection& connection) noexcept {
  if (connection.previous_ != nullptr) {
    connection.previous_->next_in_list_ = connection.next_in_list_;
  } else {
    first_ = connection.next_in_list_;
  }
  if (connection.next_in_list_ != nullptr) connection.next_in_list_->previous_ = connection.previous_;
  --size_;
  if (connection.at_door_) --at_door_;
  addresses_.leave(connection.counted_as_);
  connection.reset();
  keep_spare(std::unique_ptr<Connection>(&connection));
}

void ConnectionTable::keep_spare(std::unique_ptr<Connection> connection) noexcept {
  if (spare_.size() < kSpareConnections) spare_.push_back(std::move(connection));
}

}  // namespace sluice
