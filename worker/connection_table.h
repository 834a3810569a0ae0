// worker/connection_table.h -- a worker's connections: accepted, found, taken back, and what they are lent.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/limits.h"
#include "worker/client_addresses.h"
#include "worker/connection.h"
#include "worker/exchange.h"
#include "worker/workplace.h"

namespace sluice {

// Owner     the worker.   Borrows  the workplace, which outlives it. Owns its connections.
// Thread    the loop's.
class ConnectionTable {
 public:
  using Begin = std::unique_ptr<Conversation> (*)(Connection&, const Endpoints&);
  // `begin` makes a new connection's first conversation.
  ConnectionTable(Workplace& place, Begin begin, uint32_t max_connections);
  ~ConnectionTable();

  // A client's socket, not blocking; who it is, as accept() said, and at which listener of ours.
  void accept(shm::Fd fd, const sockaddr_storage& client, const InheritedListener& from) noexcept;
  // The same where there is no descriptor for it to keep: told so as far as that goes at once, and
  // hung up on.
  void turn_away(shm::Fd fd, const sockaddr_storage& client) noexcept;
  // The open connection of that slot; null for none.
  [[nodiscard]] Connection* find(uint32_t slot) const noexcept {
    return slot < by_slot_.size() ? by_slot_[slot] : nullptr;
  }
  // The same, if it is the very one the address names.
  [[nodiscard]] Connection* find(const ReplyAddress& address) const noexcept;
  // Calls `visit(connection)` for each that has a conversation; it may end them.
  template <class Visit>
  void for_each(Visit visit) {
    for (Connection* next = nullptr, *each = first_; each != nullptr; each = next) {
      next = each->next_in_list_;
      if (each->conversation_ != nullptr && each->state_ != Connection::State::kClosing) visit(*each);
    }
  }
  // Sockets not yet closed, those on their way out too.
  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  friend class Connection;
  static constexpr size_t kReadBytes = 64 * 1024;
  [[nodiscard]] std::optional<shm::ConnectionSlots::Opened> admit(
      Connection& connection, const sockaddr_storage& client, const Endpoints& ends) noexcept;
  void refuse(Connection& connection, std::string_view client) noexcept;
  [[nodiscard]] Bytes refusal(std::string_view client) noexcept;
  void take_back(Connection& connection) noexcept;
  void keep_spare(std::unique_ptr<Connection> connection) noexcept;

  Workplace& place_;
  Begin begin_;
  uint32_t max_connections_;
  std::vector<Connection*> by_slot_;
  Connection* first_ = nullptr;
  size_t size_ = 0;
  size_t at_door_ = 0;  // of those
  ClientAddresses addresses_;
  std::vector<std::unique_ptr<Connection>> spare_;
  FreeList<Connection::Pending, limits::kSpareBuffers> pending_;  // to lend
  Connection* gathering_ = nullptr;  // whose Turn gathers
  std::string gathered_;
  std::array<char, kReadBytes> read_buffer_;
};

}  // namespace sluice
