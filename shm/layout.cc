// shm/layout.cc -- where the tables of the control segment lie, from its geometry alone.
#include "shm/layout.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "shm/group_layout.h"

namespace sluice::shm {
namespace {

constexpr uint64_t aligned(uint64_t bytes) noexcept { return (bytes + kLine - 1) / kLine * kLine; }

constexpr bool power_of_two_within(uint32_t n, uint32_t least, uint32_t most) noexcept {
  return std::has_single_bit(n) && n >= least && n <= most;
}

constexpr bool valid_blocks(const ClassCounts& counts) noexcept {
  for (const uint32_t count : counts) {
    if (count < 2 || count > 1u << 20) return false;
  }
  return true;
}

constexpr uint64_t blocks_in(const ClassCounts& counts) noexcept {
  uint64_t blocks = 0;
  for (const uint32_t count : counts) blocks += count;
  return blocks;
}

constexpr uint64_t free_cells_in(const ClassCounts& counts) noexcept {
  uint64_t cells = 0;
  for (const uint32_t count : counts) cells += std::bit_ceil(count);
  return cells;
}

}  // namespace

bool valid(const Geometry& g) noexcept {
  if (g.processes < 4 || g.processes > kMaxProcesses) return false;
  if (g.worker_processes < 1 || g.worker_processes + 3 > g.processes) return false;
  if (g.connections_per_worker < 64 || g.connections_per_worker > kMaxConnections) return false;
  if (g.connections_per_worker % 64 != 0) return false;
  // A queue's index within its kind has 28 bits.
  if (uint64_t{g.worker_processes} * g.connections_per_worker >= 1u << 28) return false;
  if (!power_of_two_within(g.channels, 16, 1u << 20)) return false;
  if (!power_of_two_within(g.channel_cells, 2, 1u << 20)) return false;
  if (!power_of_two_within(g.inbox_cells, 2, 1u << 20)) return false;
  if (!power_of_two_within(g.groups, 2, 1u << 16)) return false;
  if (g.worker_processes > kMostHolders || g.group_expiry_ms == 0) return false;
  if (!valid_blocks(g.worker_blocks) || !valid_blocks(g.other_blocks)) return false;
  return uint64_t{g.processes} << block_bits(g) < std::numeric_limits<uint32_t>::max();
}

uint32_t block_bits(const Geometry& g) noexcept {
  return static_cast<uint32_t>(
      std::bit_width(std::max(blocks_in(g.worker_blocks), blocks_in(g.other_blocks)) - 1));
}

uint64_t free_cells_per_process(const Geometry& g) noexcept {
  return std::max(free_cells_in(g.worker_blocks), free_cells_in(g.other_blocks));
}

Offsets offsets_of(const Geometry& g) noexcept {
  Offsets o{};
  uint64_t next = aligned(sizeof(Header));
  const auto table = [&next](uint64_t bytes) {
    const uint64_t at = next;
    next += aligned(bytes);
    return at;
  };
  o.processes = table(uint64_t{g.processes} * sizeof(ProcessRecord));
  o.inbox_ends = table(uint64_t{g.processes} * sizeof(QueueEnds));
  o.inbox_cells = table(uint64_t{g.processes} * g.inbox_cells * sizeof(Word));
  o.rules = table(kChannelRules * sizeof(RuleRecord));
  o.directory = table(uint64_t{g.channels} * 2 * sizeof(Word));
  o.channels = table(uint64_t{g.channels} * sizeof(ChannelRecord));
  o.channel_cells = table(uint64_t{g.channels} * g.channel_cells * sizeof(Word));
  o.ready = table(uint64_t{g.worker_processes} * sizeof(ReadyBitmap));
  o.connections =
      table(uint64_t{g.worker_processes} * g.connections_per_worker * sizeof(ConnectionRecord));
  o.free_ends = table(uint64_t{g.processes} * kClasses * sizeof(QueueEnds));
  o.free_cells = table(g.processes * free_cells_per_process(g) * sizeof(Word));
  o.envelopes = table((uint64_t{g.processes} << block_bits(g)) * sizeof(Envelope));
  o.groups = table(uint64_t{g.groups} * sizeof(GroupRecord));
  o.group_members = table(uint64_t{g.groups} * g.channels * sizeof(Word));
  o.total = next;
  return o;
}

}  // namespace sluice::shm
