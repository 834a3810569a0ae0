// gateway/geometry.cc -- see geometry.h.
#include "gateway/geometry.h"

#include <algorithm>
#include <bit>

#include "protocol/limits.h"

namespace sluice {

shm::Geometry geometry_for(const Options& options) noexcept {
  const uint32_t connections = options.worker.max_connections;
  shm::Geometry g{};
  // A dead worker's row stays taken while consumers hold its blocks, and a rolling restart needs a
  // second one for each.
  g.worker_processes = 2 * options.workers + 2;
  // Rows of the dead and the detached are swept a moment later; a quarter more lets the next come
  // in.
  g.processes = 2 + g.worker_processes + options.max_consumers + options.max_consumers / 4 + 1;
  g.connections_per_worker = connections;
  g.channels = limits::kChannels;
  // As many cells as the largest capacity asked for: all channels have the same, so that any of them
  // may be set to it.
  uint32_t capacity = limits::kChannelCapacity;
  for (const ChannelOption& option : options.channels) {
    capacity = std::max(capacity, option.limits.capacity);
  }
  g.channel_cells = std::bit_ceil(capacity);
  g.inbox_cells = limits::kInboxCapacity;
  g.groups = limits::kGroups;
  g.group_expiry_ms = static_cast<uint32_t>(options.worker.group_expiry.count());
  // A connection has a request out, or is a WebSocket and keeps a block of constant keys: 1 to 2 KiB
  // with a browser's headers. Bodies and long messages are rarer by far. A class used up borrows from the larger ones.
  g.worker_blocks = {std::max(connections, 1024u),     std::max(2 * connections, 2048u),
                     std::max(connections, 1024u),     std::max(connections, 1024u),
                     std::max(connections / 2, 1024u), std::max(connections / 32, 256u),
                     std::max(connections / 128, 64u), 64};
  g.other_blocks = {4096, 4096, 1024, 1024, 2048, 512, 64, 32};
  return g;
}

}  // namespace sluice
