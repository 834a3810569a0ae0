// tools/shm_dump_json.cc -- a snapshot as one JSON object.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "consumer/demo/json.h"
#include "tools/shm_dump_print.h"

namespace sluice {
namespace {

using demo::Json;

// A scribbled count may be larger than any JSON reader takes.
void put(Json& json, std::string_view key, uint64_t value) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  json.key(key).integer(static_cast<int64_t>(std::min(value, kMost)));
}

void put_optional(Json& json, std::string_view key, const std::optional<uint64_t>& value) {
  if (value) {
    put(json, key, *value);
  } else {
    json.key(key).null();
  }
}

void put_queue(Json& json, std::string_view waiting, const shm::QueueSnapshot& queue) {
  put(json, waiting, queue.waiting);
  put_optional(json, "oldest_ms", queue.oldest_ms);
  put(json, "withdrawn_waiting", queue.withdrawn);
  json.key("corrupt").boolean(queue.impossible);
}

void put_held(Json& json, std::string_view key, const shm::HeldBlocks& held) {
  json.key(key).begin_object();
  put(json, "own", held.own);
  put(json, "taken", held.taken);
  put(json, "queued", held.queued);
  put(json, "withdrawn", held.withdrawn);
  put(json, "linked", held.linked);
  put(json, "shared", held.shared);
  json.end_object();
}

void put_rows(Json& json, std::string_view key, const std::vector<shm::ProcessIndex>& rows) {
  json.key(key).begin_array();
  for (const shm::ProcessIndex row : rows) json.integer(row);
  json.end_array();
}

void put_header(Json& json, const shm::Snapshot& all) {
  json.key("header").begin_object();
  put(json, "version", all.version);
  json.key("instance").text(fmt::format("{:016x}", all.instance));
  put(json, "bytes", all.bytes);
  put(json, "age_ms", all.age_ms);
  put(json, "deaths", all.deaths);
  json.key("corrupt").boolean(all.corrupt);
  json.key("draining").boolean(all.draining);
  put(json, "processes", all.geometry.processes);
  put(json, "worker_processes", all.geometry.worker_processes);
  put(json, "connections_per_worker", all.geometry.connections_per_worker);
  put(json, "channels", all.geometry.channels);
  put(json, "channel_cells", all.geometry.channel_cells);
  put(json, "inbox_cells", all.geometry.inbox_cells);
  json.end_object();
}

// What was counted of a channel or an inbox.
void put_counted(Json& json, const shm::ChannelStatistics& counted) {
  put(json, "messages", counted.messages_count);
  put(json, "messages_per_second", counted.messages_count_per_second);
  put(json, "full", counted.channel_full_count);
  put(json, "full_per_second", counted.channel_full_count_per_second);
  put(json, "expired", counted.drops.expired);
  put(json, "withdrawn", counted.drops.withdrawn);
  put(json, "on_purpose", counted.drops.on_purpose);
  put(json, "flushed", counted.drops.flushed);
  put(json, "corrupt", counted.drops.corrupt);
  put(json, "stray", counted.drops.stray);
}

void put_process(Json& json, const shm::ProcessSnapshot& process) {
  json.begin_object();
  put(json, "row", process.row);
  put(json, "incarnation", process.incarnation);
  json.key("role").text(word_for_role(process.role));
  put(json, "number", process.number);
  put(json, "pid", process.pid);
  json.key("state").text(word_for_state(process.state));
  put_optional(json, "heartbeat_ms", process.heartbeat_ms);
  json.key("asleep_in_poll").boolean(process.asleep_in_poll);
  json.key("asleep_in_futex").boolean(process.asleep_in_futex);
  json.key("stuck").boolean(process.stuck);
  json.key("poisoned").boolean(process.poisoned);
  put(json, "seen_deaths", process.seen_deaths);
  put(json, "settled_deaths", process.settled_deaths);
  json.key("inbox").begin_object();
  put_queue(json, "depth", process.inbox);
  put_counted(json, process.counted);
  json.end_object();
  put_held(json, "blocks", process.blocks);
  json.end_object();
}

void put_channel(Json& json, const shm::ChannelSnapshot& channel) {
  json.begin_object();
  json.key("name").latin1(std::as_bytes(std::span(channel.name)));
  put(json, "index", channel.index);
  json.key("state").text(word_for_channel_state(channel.state));
  put(json, "capacity", channel.capacity);
  put(json, "expiry_ms", channel.expiry_ms);
  put_queue(json, "pending", channel.queue);
  put(json, "bytes", channel.bytes);
  put_rows(json, "readers", channel.readers);
  put_rows(json, "waiters", channel.waiters);
  put_counted(json, channel.counted);
  json.key("poisoned").boolean(channel.poisoned);
  json.end_object();
}

void put_arena(Json& json, const shm::ArenaSnapshot& arena) {
  json.begin_object();
  put(json, "row", arena.row);
  json.key("classes").begin_array();
  for (size_t c = 0; c < arena.classes.size(); ++c) {
    const shm::ClassSnapshot& blocks = arena.classes[c];
    json.begin_object();
    put(json, "block_bytes", shm::kClassBytes[c]);
    put(json, "blocks", blocks.blocks);
    put(json, "used", blocks.used);
    put(json, "free", blocks.free);
    put(json, "owned", blocks.owned);
    put(json, "taken", blocks.taken);
    put(json, "queued", blocks.queued);
    put(json, "returned", blocks.returned);
    put(json, "withdrawn", blocks.withdrawn);
    put(json, "linked", blocks.linked);
    put(json, "shared", blocks.shared);
    put(json, "other", blocks.other);
    json.end_object();
  }
  json.end_array().end_object();
}

void put_connections(Json& json, const shm::ConnectionsSnapshot& seen) {
  json.begin_object();
  put(json, "worker", seen.worker);
  put(json, "used_slots", seen.used_slots);
  put(json, "open", seen.open);
  put(json, "announced", seen.announced);
  put(json, "ownerless", seen.ownerless);
  put(json, "slow", seen.slow);
  put(json, "ready", seen.ready);
  put(json, "replies", seen.replies);
  put(json, "rings_in_use", seen.rings_in_use);
  put(json, "deepest_ring", seen.deepest_ring);
  json.key("owned_by").begin_object();
  for (const auto& [row, connections] : seen.owned_by) put(json, std::to_string(row), connections);
  json.end_object().end_object();
}

template <class Item>
void put_all(Json& json, std::string_view key, const std::vector<Item>& items,
             void (*put_one)(Json&, const Item&)) {
  json.key(key).begin_array();
  for (const Item& item : items) put_one(json, item);
  json.end_array();
}

}  // namespace

std::string as_json(const shm::Snapshot& all) {
  std::string text;
  Json json(text);
  json.begin_object();
  put_header(json, all);
  put_all(json, "processes", all.processes, put_process);
  put_all(json, "channels", all.channels, put_channel);
  put_all(json, "arenas", all.arenas, put_arena);
  put_held(json, "stray_blocks", all.strays);
  put_all(json, "connections", all.connections, put_connections);
  json.end_object();
  text += '\n';
  return text;
}

}  // namespace sluice
