// tests/support/shm_world.h -- a segment with its arenas, and processes of it: all in this process,
// or one in each child after a fork.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shm/channel_layer.h"
#include "shm/recovery.h"
#include "tests/support/segment_fixture.h"

namespace sluice::tests {

// What the master of a gateway has made before anybody attaches. Arenas are kept per row, so a later
// incarnation finds its predecessor's bytes: that too must harm nobody.
class World {
 public:
  explicit World(const shm::Geometry& geometry = small_geometry())
      : segment_(shm::Segment::create(geometry)), table_(segment_) {
    for (uint32_t row = 0; row < geometry.processes; ++row) {
      arenas_.push_back(shm::make_memfd("test-arena", segment_.arena_bytes(row)));
    }
  }

  [[nodiscard]] shm::Segment& segment() { return segment_; }
  [[nodiscard]] shm::ProcessTable& table() { return table_; }
  [[nodiscard]] int arena(shm::ProcessIndex row) const { return arenas_[row].get(); }
  // A row of that role, living. CHECKs that there is one.
  shm::ProcessName join(shm::Role role, uint32_t number = 0) {
    const std::optional<shm::ProcessName> name = table_.reserve(role, number);
    if (!name) std::abort();
    table_.set_live(*name, static_cast<uint32_t>(getpid()), 0);
    return *name;
  }

 private:
  shm::Segment segment_;
  shm::ProcessTable table_;
  std::vector<shm::Fd> arenas_;
};

// Hands out duplicates of the world's arenas.
class WorldArenas final : public shm::ArenaSource {
 public:
  explicit WorldArenas(const World& world) noexcept : world_(world) {}
  [[nodiscard]] shm::Fd fetch(shm::ProcessIndex process, uint32_t) noexcept override {
    return silent ? shm::Fd{} : shm::Fd(fcntl(world_.arena(process), F_DUPFD_CLOEXEC, 0));
  }
  bool silent = false;

 private:
  const World& world_;
};

// An attached process. Make it in the process it stands for: after the fork.
struct Member {
  Member(World& world, shm::ProcessName name)
      : source(world),
        arenas(world.segment(), name.index, &source),
        bell(world.segment(), name.index, shm::make_doorbell(world.segment().instance(), name.index)),
        layer(world.segment(), mapped(arenas, world.arena(name.index)), bell, name) {}

  // One message of those bytes on a channel.
  Result<shm::Sent> send(uint32_t channel, std::string_view bytes, shm::Route route = {}) {
    Result<shm::Claim> claim = write(bytes);
    if (!claim.ok()) return claim.error();
    return layer.send(channel, *claim, bytes.size(), route);
  }
  Result<shm::Sent> send_to(shm::ProcessName reader, std::string_view bytes, shm::Route route = {}) {
    Result<shm::Claim> claim = write(bytes);
    if (!claim.ok()) return claim.error();
    return layer.send_to(reader, *claim, bytes.size(), route);
  }
  Result<shm::Sent> reply(const ReplyAddress& about, std::string_view bytes) {
    Result<shm::Claim> claim = write(bytes);
    if (!claim.ok()) return claim.error();
    shm::Route route{};
    route.about = about;
    return layer.reply(*claim, bytes.size(), route);
  }
  Result<shm::Claim> write(std::string_view bytes) {
    Result<shm::Claim> claim = layer.claim(bytes.size());
    if (claim.ok()) std::memcpy(claim->space().data(), bytes.data(), bytes.size());
    return claim;
  }
  // The next message's bytes, its block freed; nothing when none waits.
  std::optional<std::string> receive() {
    const std::optional<shm::Delivery> delivery = layer.try_receive();
    if (!delivery) return std::nullopt;
    return text(*delivery);
  }
  static std::string text(const shm::Delivery& delivery) { return text(delivery.content()); }
  static std::string text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  WorldArenas source;
  shm::Arenas arenas;
  shm::Doorbell bell;
  shm::ChannelLayer layer;

 private:
  static shm::Arenas& mapped(shm::Arenas& arenas, int memfd) {
    arenas.map_own(memfd);
    return arenas;
  }
};

// Blocks of a row's arena that were used and wait in its free queues, each counted once.
inline uint32_t blocks_waiting_free(const shm::Segment& segment, shm::ProcessIndex row) {
  uint32_t blocks = 0;
  for (uint32_t c = 0; c < shm::kClasses; ++c) {
    segment.free_queue(row, c).for_each([&](shm::BlockIndex) { ++blocks; });
  }
  return blocks;
}
inline uint32_t blocks_used(const shm::Segment& segment, shm::ProcessIndex row) {
  const shm::ProcessRecord* record = segment.process(row);
  uint32_t blocks = 0;
  for (uint32_t c = 0; record != nullptr && c < shm::kClasses; ++c) {
    blocks += record->used_blocks[c].load(std::memory_order_acquire);
  }
  return blocks;
}

}  // namespace sluice::tests
