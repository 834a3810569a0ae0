// tools/bench/shm/layer_queue.h -- our channel layer with the face the rivals have: one channel of one
// segment, processes attached to it after their fork, everything as a gateway's processes have it.
#pragma once

#include <memory>
#include <optional>

#include "tests/support/shm_world.h"
#include "tools/bench/shm/message.h"
#include "tools/bench/shm/shared.h"

namespace sluice::bench {

// Two workers' rows and four consumers', a channel's capacity and inboxes as a gateway has them, and
// arenas with room for two full channels.
inline shm::Geometry bench_geometry() {
  shm::Geometry geometry{};
  geometry.processes = 8;
  geometry.worker_processes = 2;
  geometry.connections_per_worker = 64;
  geometry.channels = 16;
  geometry.channel_cells = limits::kChannelCapacity;
  geometry.inbox_cells = limits::kInboxCapacity;
  geometry.groups = 2;
  geometry.group_expiry_ms = 1000;
  geometry.worker_blocks = {2, 2 * kCapacity, 2, 2, 2, 2, 2, 2};
  geometry.other_blocks = geometry.worker_blocks;
  return geometry;
}
static_assert(kCapacity == limits::kChannelCapacity);

// An attached process with its pages there. Made in the process it stands for.
class LayerEnd {
 public:
  LayerEnd(tests::World& world, shm::ProcessName name, const char* channel, bool reads)
      : member_(world, name), channel_(member_.layer.channels().open(channel).value()) {
    const shm::Segment& segment = world.segment();
    touch_pages(member_.arenas.own(segment.block_at(name.index, 0, 0)).data(),
                segment.arena_bytes(name.index));
    if (reads) member_.layer.start_reading(channel_);
  }
  LayerEnd(LayerEnd&&) = delete;  // its parts know where each other are

  [[nodiscard]] shm::ChannelLayer& layer() noexcept { return member_.layer; }
  [[nodiscard]] shm::Doorbell& doorbell() noexcept { return member_.bell; }

  // Maps the arena of `sender` before its first message comes.
  void meet(const shm::Segment& segment, shm::ProcessName sender) {
    const auto arena = member_.arenas.payload(segment.block_at(sender.index, 0, 0));
    CHECK(!arena.empty());
    // The pages are there; this enters them into our page table.
    madvise(const_cast<std::byte*>(arena.data()), segment.arena_bytes(sender.index),
            MADV_POPULATE_READ);
  }

  // Claim, write, send, ring. A message refused stays in its claim, as a consumer that waits keeps it.
  bool try_send(const Message& message) noexcept {
    if (claim_) return publish(claim_);
    Result<shm::Claim> claim = member_.layer.claim(sizeof message);
    if (!claim.ok()) return false;
    std::memcpy(claim->space().data(), &message, sizeof message);
    if (publish(*claim)) return true;
    claim_ = std::move(*claim);
    return false;
  }

  bool try_receive(Message& message) noexcept {
    const std::optional<shm::Delivery> delivery = member_.layer.try_receive();
    if (!delivery || delivery->content().size() != sizeof message) return false;
    std::memcpy(&message, delivery->content().data(), sizeof message);
    return true;
  }

 private:
  bool publish(shm::Claim& claim) noexcept {
    const bool sent = member_.layer.send(channel_, claim, sizeof(Message), {}).ok();
    if (sent) member_.layer.ring();
    return sent;
  }

  tests::Member member_;
  uint32_t channel_;
  shm::Claim claim_;
};

class LayerQueue {
 public:
  LayerQueue() : world_(bench_geometry()) {
    touch_pages(&world_.segment().header(), world_.segment().offsets().total);
    for (uint32_t i = 0; i < 2; ++i) {
      senders_[i] = world_.join(shm::Role::kWorker, i);
      readers_[i] = world_.join(shm::Role::kConsumer, i);
    }
  }

  LayerEnd sender(uint32_t number) { return {world_, senders_[number], "bench", false}; }
  // One that reads; it may send, too.
  LayerEnd reader(uint32_t number) { return {world_, readers_[number], "bench", true}; }

  [[nodiscard]] tests::World& world() noexcept { return world_; }
  [[nodiscard]] shm::ProcessName sender_name(uint32_t number) const { return senders_[number]; }
  [[nodiscard]] shm::ProcessName reader_name(uint32_t number) const { return readers_[number]; }

 private:
  tests::World world_;
  std::array<shm::ProcessName, 2> senders_;
  std::array<shm::ProcessName, 2> readers_;
};

}  // namespace sluice::bench
