// worker/connection.h -- client connections: in, out, time-outs of their own, close. With socket.h
// below it, the only file that touches a client's socket.
//
// C1  What the socket does not take at once is copied to the heap: a slow client pins no block
//     (decisions.md 11). Over the soft bound the slot's senders are refused until it has drained.
// C2  Within a Turn output is gathered: one write for all of it, at the end.
// C3  A connection ends in one of three ways: close(), all said; finish(), flush, say so, and read
//     on for a while so that the last answer is not lost to a reset; cut(), at once, with a reset.
// C4  What an idle connection does not need it does not have: buffers are lent while bytes wait, and who is
//     at both ends is for its first conversation to keep.
#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/limits.h"
#include "worker/client_addresses.h"
#include "worker/conversation.h"
#include "worker/deadlines.h"
#include "worker/exchange.h"
#include "worker/socket.h"
#include "worker/workplace.h"

namespace sluice {

class ConnectionTable;

// Owner     ConnectionTable, from accept until on_socket_closed().
// Lifetime  the three ends may be called any time, many times. The loop points at socket_ until
//           on_socket_closed() runs on a later turn; only there the table takes us back.
// Borrows   the table and the workplace, which outlive us. Owns its conversation.
class Connection final : public Timed, private Socket::Listener {
 public:
  // While one lives, output is gathered (C2); at its end, deadlines are set again.
  class Turn {
   public:
    explicit Turn(Connection& connection) noexcept;
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Connection& connection_;
    bool gathers_;
  };

  explicit Connection(ConnectionTable& table) noexcept : table_(table) {}

  [[nodiscard]] Workplace& place() const noexcept;
  [[nodiscard]] uint32_t slot() const noexcept { return slot_; }
  [[nodiscard]] ReplyAddress address(uint32_t ordinal) const noexcept;
  [[nodiscard]] Conversation& conversation() const noexcept { return *conversation_; }

  // Copies what the socket does not take at once; bytes may die on return.
  void write(std::initializer_list<Bytes> pieces) noexcept;
  void write(Bytes bytes) noexcept { write({bytes}); }
  [[nodiscard]] size_t output_waiting() const noexcept;
  // The slot's ring was emptied: rings whoever waits for room in it, unless the client is slow.
  void invite_sender() noexcept;

  void close() noexcept { end(false); }
  void finish() noexcept;
  void cut() noexcept { end(true); }
  // No more can be written: an end was called.
  [[nodiscard]] bool ending() const noexcept { return state_ != State::kOpen; }

  void stop_reading() noexcept;
  void start_reading() noexcept;  // what was kept comes first
  [[nodiscard]] bool reading() const noexcept { return wants_input_ && !ended_; }
  [[nodiscard]] bool ended() const noexcept { return ended_; }  // by the client: nothing more comes
  [[nodiscard]] bool broken() const noexcept { return broken_; }  // the socket: the client is gone

  // From inside on_bytes(): who takes the bytes after those.
  void become(std::unique_ptr<Conversation> next) noexcept { next_ = std::move(next); }
  // What the segment says of our slot is made right again. False: its reply ring is broken beyond
  // that, and we are cut.
  bool check_slot() noexcept;
  // The slot is the caller's to close from now on.
  void give_up_slot() noexcept;

  void on_deadline(uint64_t now_ms) noexcept override;

 private:
  friend class ConnectionTable;
  enum class State : uint8_t { kOpen, kFinishing, kLingering, kClosing };
  static constexpr uint32_t kNoSlot = 0xffffffff;

  // What an idle connection has nothing of: bytes that wait, in or out, and the rest of its end.
  struct Pending {
    std::string input;   // the conversation did not take it
    std::string output;  // the socket had no room for it
    size_t sent = 0;     // of output, from its front
    uint64_t progress_ms = 0;  // when the socket, or the client, last took something of it
    // Of it then, while more waits: a slow client takes of that before the socket has room again.
    size_t unacknowledged = 0;
    uint64_t linger_until_ms = 0;
    size_t lingered_bytes = 0;
    void reset() noexcept;
  };

  // from the table
  void begin(shm::ConnectionSlots::Opened slot, std::unique_ptr<Conversation> conversation) noexcept;
  void reset() noexcept;

  // from the loop
  void on_readable() noexcept override;
  void on_writable() noexcept override;
  void on_broken() noexcept override;
  void on_socket_closed() noexcept override;

  void take_input(Bytes bytes) noexcept;
  void take_end() noexcept;
  void deliver(Bytes bytes) noexcept;
  void read_socket(bool on) noexcept;
  void put(std::span<const Bytes> pieces) noexcept;  // to the socket, else to pending()
  void keep_waiting(Bytes bytes) noexcept;
  [[nodiscard]] Pending& pending();
  void give_back_if_empty() noexcept;  // pending_
  [[nodiscard]] bool output_kept() const noexcept {
    return pending_ != nullptr && !pending_->output.empty();
  }
  void after_output() noexcept;
  void linger() noexcept;
  void end(bool with_reset) noexcept;
  void set_deadline() noexcept;
  [[nodiscard]] uint64_t own_deadline() const noexcept;

  ConnectionTable& table_;
  Connection* previous_ = nullptr;  // in the table's list
  Connection* next_in_list_ = nullptr;
  Socket socket_;
  std::unique_ptr<Conversation> conversation_;  // null: refused at the door, lingering
  std::unique_ptr<Conversation> next_;
  std::unique_ptr<Pending> pending_;  // lent by the table (C4); null: nothing is
  uint32_t slot_ = kNoSlot;
  uint32_t generation_ = 0;
  State state_ = State::kOpen;
  bool wants_input_ = true;
  bool socket_reads_ = false;
  bool delivering_ = false;
  bool ended_ = false;
  bool broken_ = false;
  bool high_water_ = false;
  bool at_door_ = false;  // refused, and told so
  ClientAddresses::Key counted_as_ = ClientAddresses::kUncounted;
};

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
  FreeList<Connection::Pending, limits::kSpareBuffers> pending_;
  Connection* gathering_ = nullptr;  // whose Turn gathers
  std::string gathered_;
  std::array<char, kReadBytes> read_buffer_;
};

}  // namespace sluice
