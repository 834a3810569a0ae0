// worker/leftovers.h -- what a dead consumer had not read of a WebSocket that is gone, disconnect and
// all: sent again to whoever reads the shared channels (messages.md, rules 5 and 8).
//
// L1  In order: each message leaves when the one before it is done with.
// L2  Only what lay unread comes here, so nothing is delivered twice.
//
// Owner     Departures.   Lifetime  until the last message is sent and, but for a disconnect, done with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "worker/departures.h"

namespace sluice {

struct Workplace;

class Leftovers final : public Departure {
 public:
  // Whether a message that came back, and that no other departure claims, is one of these.
  [[nodiscard]] static bool takes(const Workplace& place, const shm::Delivery& returned) noexcept;

  Leftovers(Workplace& place, const shm::Delivery& first);
  [[nodiscard]] bool try_leave() noexcept override;
  [[nodiscard]] bool take_back(shm::Delivery& returned) noexcept override;
  void on_deaths(uint64_t) noexcept override {}

 private:
  struct Message {
    uint32_t channel;
    std::vector<std::byte> bytes;
  };
  void keep(const shm::Delivery& returned);

  Workplace& place_;
  ReplyAddress about_;
  std::deque<Message> waiting_;
  std::optional<shm::Sent> out_;  // the last one sent
};

}  // namespace sluice
