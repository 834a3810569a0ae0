// gateway/shared_memory.h -- the segment, every arena's memfd and every doorbell, as the master
// holds them.
//
// M1  An arena's memfd is kept until recovery has given its row back: until then somebody may still
//     have to read what the dead one sent.
// M2  A row's doorbell is made once and outlives whoever sits in the row (decisions.md 17).
// M3  The master's own arena is not inherited by a fork.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "shm/channel_layer.h"
#include "shm/recovery.h"

namespace sluice {

class SharedMemory final : public shm::ArenaSource {
 public:
  // Throws std::system_error.
  explicit SharedMemory(const shm::Geometry& geometry);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  [[nodiscard]] const shm::Segment& segment() const noexcept { return segment_; }
  [[nodiscard]] shm::ChannelLayer& layer() noexcept { return *layer_; }
  [[nodiscard]] shm::ProcessTable& processes() noexcept { return layer_->processes(); }
  [[nodiscard]] shm::Recovery& recovery() noexcept { return *recovery_; }
  [[nodiscard]] shm::Doorbell& doorbell() noexcept { return *doorbell_; }

  // A row with a fresh arena and its doorbell; nothing when all rows are taken or the system has no
  // memory or descriptors left (logged).
  [[nodiscard]] std::optional<shm::ProcessName> reserve(shm::Role role, uint32_t number) noexcept;
  // How many more rows there are for workers.
  [[nodiscard]] uint32_t free_worker_rows() noexcept;
  // The memfd of an arena reserved and not yet given back; -1 for any other.
  [[nodiscard]] int arena(shm::ProcessName name) const noexcept;
  [[nodiscard]] uint64_t arena_bytes(shm::ProcessName name) const noexcept {
    return segment_.arena_bytes(name.index);
  }
  // Copies of the row's sockets.
  [[nodiscard]] shm::DoorbellSockets doorbell_of(shm::ProcessIndex row) const noexcept;
  // Everybody's arena, the master's too.
  [[nodiscard]] std::vector<shm::ProcessName> arenas() const;

  // Recovery's next step; closes the memfds of the rows that became free and names them.
  [[nodiscard]] std::vector<shm::ProcessName> advance();

  // In a forked child: unmaps what the master had mapped of arenas; and the segment as well.
  void forget_payloads() noexcept { arenas_->forget(); }
  void forget_all() noexcept {
    arenas_->forget();
    segment_.forget();
  }

  [[nodiscard]] shm::Fd fetch(shm::ProcessIndex process, uint32_t incarnation) noexcept override;

 private:
  struct Arena {
    uint32_t incarnation = 0;
    shm::Fd memfd;
  };
  shm::Segment segment_;
  std::map<shm::ProcessIndex, Arena> arenas_by_row_;
  std::map<shm::ProcessIndex, shm::DoorbellSockets> bells_;
  std::optional<shm::Arenas> arenas_;
  std::optional<shm::Doorbell> doorbell_;
  std::optional<shm::ChannelLayer> layer_;
  std::optional<shm::Recovery> recovery_;
};

}  // namespace sluice
