// worker/connection.h -- a client's connection: in, out, time-outs of its own, close. With socket.h
// below it, and the table beside it, all that touches a client's socket.
//
// C1  What the socket does not take at once is copied to the heap: a slow client pins no block
//     (decisions.md 11). Over the soft bound the slot's senders are refused until it has drained.
// C2  Within a Turn output is gathered: one write for all of it, at the end.
// C3  A connection ends in one of three ways: close(), all said; finish(), flush, say so, and read
//     on for a while so that the last answer is not lost to a reset; cut(), at once, with a reset.
// C4  What an idle connection does not need it does not have: buffers are lent while bytes wait, and who is
//     at both ends is for its first conversation to keep.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include "worker/client_addresses.h"
#include "worker/conversation.h"
#include "worker/deadlines.h"
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

}  // namespace sluice
