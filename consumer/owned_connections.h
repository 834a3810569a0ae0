// consumer/owned_connections.h -- the WebSockets this process owns, and the disconnects it makes up for
// them when the gateway is gone (decisions.md 27).
//
// W1  A connection is here from when we own it until its disconnect was taken: so each has exactly one.
// W2  Its constant keys stay where they are, in its worker's arena. They are copied and checked only
//     when they are needed; where they are gone by then the disconnect names its reply_channel alone.
//
// Cost: about 64 bytes a connection, and one allocation when it comes to us.
#pragma once

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

#include "consumer/address_hash.h"
#include "protocol/channel_name.h"
#include "shm/channel_layer.h"

namespace sluice {

class OwnedConnections {
 public:
  // It is ours now. Without memory for it, it is left out.
  void add(const shm::Segment& segment, const ReplyAddress& address) noexcept;
  void erase(const ReplyAddress& address) noexcept { constants_.erase(address); }
  [[nodiscard]] size_t size() const noexcept { return constants_.size(); }

  // Takes one out. Nothing when none is left.
  struct Lost {
    ReplyAddress address{};
    std::vector<std::byte> disconnect;  // code 1006
  };
  [[nodiscard]] std::optional<Lost> take_lost(shm::ChannelLayer& layer) noexcept;

 private:
  std::unordered_map<ReplyAddress, shm::BlockIndex, AddressHash> constants_;
};

}  // namespace sluice
