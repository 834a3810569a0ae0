// worker/websocket_feed.h -- the messages of one WebSocket on their way to its consumer: connect,
// receives, disconnect. It outlives the socket until the disconnect is sent.
//
// F1  In order, whatever dies: an owner's messages go to its inbox; when it dies nothing newer is sent
//     before what lay unread there has come back (ProcessRecord::settled_deaths), and that goes first.
// F2  Without an owner at most one receive lies in the shared channel (decisions.md 4).
// F3  Exactly one disconnect for a connect that was taken, none for another. It is written into the
//     constants block itself, so sending it needs no memory.
// F4  An idle WebSocket has one of these and one block, of the least size that holds its constants and a
//     disconnect: nothing else is kept from one message to the next (worker/README.md counts it).
//
// Owner     WebSocketConnection; after its end, Departures.   Owns the slot and the constants block.
#pragma once

#include <cstdint>
#include <forward_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "worker/deadlines.h"
#include "worker/departures.h"
#include "worker/http_session.h"
#include "worker/request_message.h"
#include "protocol/websocket_constants.h"

namespace sluice {

struct Workplace;

class WebSocketFeed final : public Departure {
 public:
  // `about` names the slot, whose owner this is from announce() on.
  WebSocketFeed(Workplace& place, const ReplyAddress& about) noexcept : place_(place), about_(about) {}
  ~WebSocketFeed() override;

  // Publishes the connect. On an error nothing was sent, and the slot is still the caller's.
  [[nodiscard]] Result<void> announce(const RequestHead& head, const RequestSource& source,
                                      std::span<const std::string_view> subprotocols);
  // Looks whether somebody took the connect, or the connection.
  void look_at_owner() noexcept;
  [[nodiscard]] bool taken() const noexcept { return taken_; }
  // As the constants say it; a view into them.
  [[nodiscard]] std::string_view path() const noexcept;
  // The process that took the connect died before it owned the connection or said anything.
  [[nodiscard]] bool orphaned() const noexcept { return taken_ && !owner_; }

  // The next receive: sent, or kept where nobody has room for it.
  void receive(Bytes content, bool binary) noexcept;
  // True when nothing is kept and the next receive could go out; tries what is kept.
  [[nodiscard]] bool pump() noexcept;
  [[nodiscard]] bool owner_is_stuck() const noexcept;
  // The owner is stuck: the wait begins, whether or not something is kept.
  void pause() noexcept;
  // When the oldest message kept was kept, or a pause began; kNever with none.
  [[nodiscard]] uint64_t waiting_since_ms() const noexcept { return waiting_since_ms_; }

  // The connection is over. What is kept is still tried, then try_leave() sends the disconnect.
  void end(uint16_t code, std::string_view reason) noexcept;
  [[nodiscard]] bool try_leave() noexcept override;
  [[nodiscard]] bool take_back(shm::Delivery& returned) noexcept override;
  void on_deaths(uint64_t deaths) noexcept override;

 private:
  struct Kept {
    uint32_t order;
    std::vector<std::byte> message;
  };

  [[nodiscard]] Result<void> keep_constants(Bytes map) noexcept;
  [[nodiscard]] std::span<std::byte> constants_space() const noexcept;
  [[nodiscard]] Constants constants() const noexcept;
  void found_taken() noexcept;
  [[nodiscard]] bool settled() noexcept;
  [[nodiscard]] bool may_send() noexcept;
  [[nodiscard]] Result<void> dispatch(shm::Claim& claim, size_t length, uint32_t order) noexcept;
  void keep(uint32_t order, Bytes message) noexcept;
  [[nodiscard]] bool send_disconnect() noexcept;
  void close_slot() noexcept;
  [[nodiscard]] bool ended() const noexcept { return leave_by_ms_ != kNever; }

  Workplace& place_;
  ReplyAddress about_;
  uint32_t order_ = 0;  // of the last receive
  shm::BlockIndex constants_block_ = shm::kNoBlock;  // ours until the disconnect is sent in it
  uint32_t map_bytes_ = 0;          // of the constants in it; once it has ended, of the disconnect
  uint16_t elements_ = 0;           // keys and values of the constants; they are few (protocol/websocket.h)
  bool taken_ = false;              // the connect was
  std::optional<shm::ProcessName> owner_;
  shm::Sent shared_;                // what of ours lies in a shared channel: the connect, then a receive
  uint64_t settling_ = 0;           // the number of the death we wait out; 0: none
  std::forward_list<Kept> kept_;    // by order
  uint64_t waiting_since_ms_ = kNever;
  uint64_t leave_by_ms_ = kNever;   // ended: receives kept are given up then
};

}  // namespace sluice
