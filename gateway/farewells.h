// gateway/farewells.h -- the disconnects that dead workers still owed, sent in their place.
//
// Exactly one for each connection that was announced (decisions.md 10, 22): to the consumer that
// owns it, or, if none lives, to whoever reads websocket.disconnect. They never expire: what finds
// no room is kept here and tried again, and what lay unread when its consumer died is sent again.
#pragma once

#include <uv.h>

#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "gateway/loop.h"
#include "shm/recovery.h"

namespace sluice {

class Farewells {
 public:
  // `layer` is the master's own and outlives us.
  Farewells(uv_loop_t& loop, shm::ChannelLayer& layer);

  // Sends what there is room for at once. `owed` comes from Recovery::owed_by().
  void add(const std::vector<shm::OwedDisconnect>& owed) noexcept;
  // Those of ours that a dead consumer had not read, from Recovery::unread_of_ours(): to others.
  void take_back(std::span<const shm::BlockIndex> unread) noexcept;
  [[nodiscard]] size_t waiting() const noexcept { return waiting_.size(); }

 private:
  struct Farewell {
    ReplyAddress about{};
    std::optional<shm::ProcessName> owner;
    std::vector<std::byte> message;
  };
  enum class Outcome : uint8_t { kSent, kNoRoom, kNoBlock, kImpossible };
  void send_all() noexcept;
  [[nodiscard]] Outcome send(const Farewell& farewell) noexcept;

  shm::ChannelLayer& layer_;
  std::deque<Farewell> waiting_;
  Timer again_;
};

}  // namespace sluice
