// worker/connection.h -- client sockets: in, out, time-outs of their own, close. Together with its .cc
// the only file that touches one.
//
// C1  What the socket does not take at once is copied to the heap: a slow client pins no block
//     (decisions.md 11). Over the soft bound the slot's senders are refused until it has drained.
// C2  Within a Turn output is gathered: one write for all of it, at the end.
// C3  A connection ends in one of three ways: close(), all said; finish(), flush, say so, and read
//     on for a while so that the last answer is not lost to a reset; cut(), at once, with a reset.
#pragma once

#include <uv.h>

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "worker/conversation.h"
#include "worker/deadlines.h"
#include "worker/workplace.h"

namespace sluice {

class ConnectionTable;

// Owner     ConnectionTable, from accept until on_closed().
// Lifetime  the three ends may be called any time, many times. libuv points at socket_ until
//           on_closed() runs on a later turn of the loop; only there the table takes us back.
// Borrows   the table and the workplace, which outlive us. Owns its conversation.
class Connection final : public Timed {
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
  [[nodiscard]] const Endpoints& endpoints() const noexcept { return endpoints_; }
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

  // From inside on_bytes(): who takes the bytes after those.
  void become(std::unique_ptr<Conversation> next) noexcept { next_ = std::move(next); }
  // The slot is the caller's to close from now on.
  void give_up_slot() noexcept;

  void on_deadline(uint64_t now_ms) noexcept override;

 private:
  friend class ConnectionTable;
  enum class State : uint8_t { kOpen, kFinishing, kLingering, kClosing };
  static constexpr uint32_t kNoSlot = 0xffffffff;

  // from the table
  [[nodiscard]] bool open(uv_stream_t* listener, bool unix_socket, const InheritedListener& from) noexcept;
  void read_endpoints(const InheritedListener& from) noexcept;
  void begin(shm::ConnectionSlots::Opened slot, std::unique_ptr<Conversation> conversation) noexcept;
  void reset() noexcept;

  void on_read(ssize_t size, const char* bytes) noexcept;
  void deliver(Bytes bytes) noexcept;
  void read_socket(bool on) noexcept;
  void put(const Bytes* pieces, size_t count) noexcept;  // to the socket, else to waiting_
  void write_waiting() noexcept;
  void on_written(int status) noexcept;
  void after_output() noexcept;
  void linger() noexcept;
  void end(bool with_reset) noexcept;
  void set_deadline() noexcept;
  [[nodiscard]] uint64_t own_deadline() const noexcept;

  union Socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };

  ConnectionTable& table_;
  Connection* previous_ = nullptr;  // in the table's list
  Connection* next_in_list_ = nullptr;
  Socket socket_{};  // handle.data == this
  uv_write_t writing_request_{};
  std::unique_ptr<Conversation> conversation_;  // null: refused at the door, lingering
  std::unique_ptr<Conversation> next_;
  std::string kept_;     // input the conversation did not take
  std::string waiting_;  // output behind what libuv writes now
  std::string writing_;  // output libuv writes now
  Endpoints endpoints_;
  uint32_t slot_ = kNoSlot;
  uint32_t generation_ = 0;
  State state_ = State::kOpen;
  bool unix_socket_ = false;
  bool wants_input_ = true;
  bool socket_reads_ = false;
  bool delivering_ = false;
  bool ended_ = false;
  bool high_water_ = false;
  size_t unwritten_seen_ = 0;     // output_waiting() when progress was last looked at
  uint64_t progress_ms_ = 0;      // when the socket last took something
  uint64_t linger_until_ms_ = 0;
  size_t lingered_bytes_ = 0;
};

class ConnectionTable {
 public:
  using Begin = std::unique_ptr<Conversation> (*)(Connection&);
  // `begin` makes a new connection's first conversation.
  ConnectionTable(Workplace& place, Begin begin, uint32_t max_connections);
  ~ConnectionTable();

  // One connection that waits at a listener of ours.
  void accept(uv_stream_t* listener, const InheritedListener& from) noexcept;
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
  void take_back(Connection& connection) noexcept;

  Workplace& place_;
  Begin begin_;
  uint32_t max_connections_;
  std::vector<Connection*> by_slot_;
  Connection* first_ = nullptr;
  size_t size_ = 0;
  std::vector<std::unique_ptr<Connection>> spare_;
  Connection* gathering_ = nullptr;  // whose Turn gathers
  std::string gathered_;
  std::array<char, kReadBytes> read_buffer_;
};

}  // namespace sluice
