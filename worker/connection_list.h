// worker/connection_list.h -- which WebSockets there are: what a consumer asks on the logical channel
// websocket.list of a worker's inbox, to repair what it missed.
//
// Z1  Listed is who lives when the question is read: whose connect was sent, taken or not, and which is not
//     being closed; with --accept consumer, who was accepted. One that ends before its answer is written
//     may be missing.
// Z2  A turn writes one answer. Until the last one is out the inbox waits, not sockets or replies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "worker/connection.h"
#include "worker/workplace.h"

namespace sluice {

class ConnectionList {
 public:
  ConnectionList(Workplace& place, ConnectionTable& connections) noexcept
      : place_(place), connections_(connections) {}

  // A new turn: goes on with what is unfinished.
  void begin_turn() noexcept;
  // Z2: take nothing more from the inbox in this turn.
  [[nodiscard]] bool busy() const noexcept { return answered_ || next_ < listed_.size(); }
  // Not to be called while busy(). False: the message is not about that.
  [[nodiscard]] bool take(const shm::Delivery& message) noexcept;

 private:
  struct Entry {
    ReplyAddress address;
    std::string_view path;  // in the connection's constants
  };

  [[nodiscard]] size_t gather() noexcept;
  void answer_with_next() noexcept;

  Workplace& place_;
  ConnectionTable& connections_;
  shm::ProcessName asker_{};
  int64_t request_ = 0;
  std::vector<ReplyAddress> listed_;
  size_t next_ = 0;             // in listed_
  std::vector<Entry> entries_;  // of one answer
  bool answered_ = false;       // in this turn
};

}  // namespace sluice
