// tools/shm_dump_table.cc -- a snapshot as tables for people.
#include <fmt/format.h>

#include <iterator>

#include "tools/shm_dump_print.h"

namespace sluice {
namespace {

template <class... Values>
void line(std::string& out, fmt::format_string<Values...> form, Values&&... values) {
  fmt::format_to(std::back_inserter(out), form, std::forward<Values>(values)...);
  while (!out.empty() && out.back() == ' ') out.pop_back();
  out += '\n';
}

std::string seconds(const std::optional<uint64_t>& ms) {
  return ms ? fmt::format("{}.{:03}s", *ms / 1000, *ms % 1000) : "-";
}

// A name anybody may have written: nothing of it reaches the terminal but what can be seen.
std::string printable(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c > ' ' && c < 0x7f && c != '\\') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string rows(const std::vector<shm::ProcessIndex>& members) {
  return members.empty() ? "-" : fmt::format("{}", fmt::join(members, ","));
}

uint64_t dropped(const shm::ChannelDrops& drops) {
  return drops.expired + drops.withdrawn + drops.on_purpose + drops.flushed + drops.corrupt +
         drops.stray;
}

std::string mark(bool corrupt) { return corrupt ? " CORRUPT" : ""; }

void header(std::string& out, const shm::Snapshot& all) {
  line(out, "segment {:016x}  layout {}  {} bytes  up {}  deaths {}{}{}", all.instance, all.version,
       all.bytes, seconds(all.age_ms), all.deaths, all.draining ? "  DRAINING" : "",
       all.corrupt ? "  CORRUPT" : "");
}

void processes(std::string& out, const shm::Snapshot& all) {
  out +=
      "\nprocesses (inbox to dropped: its inbox, counted since the row was first used; own, taken, "
      "queued, linked, shared: blocks it holds of its arena, of others', sent, chained, sent to a "
      "group)\n";
  line(out,
       "{:>4} {:<8} {:>3} {:>8} {:<8} {:>10} {:<6} {:>6} {:>9} {:>9} {:>6} {:>7} {:>7} {:>6} {:>6} "
       "{:>6} {:>6}",
       "row", "role", "no", "pid", "state", "heartbeat", "asleep", "inbox", "oldest", "messages",
       "full", "dropped", "own", "taken", "queued", "linked", "shared");
  for (const shm::ProcessSnapshot& p : all.processes) {
    const char* const asleep = p.asleep_in_poll ? "poll" : p.asleep_in_futex ? "futex" : "-";
    line(out,
         "{:>4} {:<8} {:>3} {:>8} {:<8} {:>10} {:<6} {:>6} {:>9} {:>9} {:>6} {:>7} {:>7} {:>6} {:>6} "
         "{:>6} {:>6}{}{}",
         p.row, word_for_role(p.role), p.number, p.pid, word_for_state(p.state),
         seconds(p.heartbeat_ms), asleep, p.inbox.waiting, seconds(p.inbox.oldest_ms),
         p.counted.messages_count, p.counted.channel_full_count, dropped(p.counted.drops),
         p.blocks.own,
         p.blocks.taken, p.blocks.queued, p.blocks.linked, p.blocks.shared, p.stuck ? " STUCK" : "",
         mark(p.poisoned || p.inbox.impossible));
  }
  const shm::HeldBlocks& strays = all.strays;
  if (const uint64_t lost = strays.own + strays.taken + strays.queued + strays.withdrawn +
                            strays.linked + strays.shared;
      lost != 0) {
    line(out, "{:>4} {} blocks name an owner that is none", "-", lost);
  }
}

void channels(std::string& out, const shm::Snapshot& all) {
  out += "\nchannels (messages to dropped: counted since the channel was made; /s: in the last second; dropped: "
         "for other reasons)\n";
  line(out, "{:<24} {:>7} {:>9} {:>7} {:>9} {:>9} {:>9} {:>6} {:>6} {:>7} {:>9} {:>7}  {:<8} {}",
       "name", "pending", "oldest", "of", "expiry", "bytes", "messages", "/s", "full", "expired",
       "withdrawn", "dropped", "readers", "asleep");
  for (const shm::ChannelSnapshot& c : all.channels) {
    const shm::ChannelDrops& drops = c.counted.drops;
    line(out, "{:<24} {:>7} {:>9} {:>7} {:>9} {:>9} {:>9} {:>6} {:>6} {:>7} {:>9} {:>7}  {:<8} {}{}",
         printable(c.name), c.queue.waiting, seconds(c.queue.oldest_ms), c.capacity,
         seconds(c.expiry_ms), c.bytes, c.counted.messages_count,
         c.counted.messages_count_per_second, c.counted.channel_full_count, drops.expired,
         drops.withdrawn, dropped(drops) - drops.expired - drops.withdrawn,
         rows(c.readers), rows(c.waiters), mark(c.poisoned || c.queue.impossible));
  }
}

void arenas(std::string& out, const shm::Snapshot& all) {
  out +=
      "\nblocks by arena, class and state (taken: of the owned, by others; returned: of the "
      "queued, to be used "
      "again)\n";
  line(out, "{:>5} {:>8} {:>7} {:>7} {:>6} {:>7} {:>6} {:>7} {:>8} {:>9} {:>6} {:>6}", "arena",
       "bytes", "blocks", "used", "free", "owned", "taken", "queued", "returned", "withdrawn",
       "linked", "shared");
  for (const shm::ArenaSnapshot& arena : all.arenas) {
    for (size_t c = 0; c < arena.classes.size(); ++c) {
      const shm::ClassSnapshot& b = arena.classes[c];
      if (b.used == 0) continue;
      line(out, "{:>5} {:>8} {:>7} {:>7} {:>6} {:>7} {:>6} {:>7} {:>8} {:>9} {:>6} {:>6}{}",
           arena.row, shm::kClassBytes[c], b.blocks, b.used, b.free, b.owned, b.taken, b.queued,
           b.returned, b.withdrawn, b.linked, b.shared,
           b.other == 0 ? "" : fmt::format("  {} CORRUPT", b.other));
    }
  }
}

void connections(std::string& out, const shm::Snapshot& all) {
  out += "\nconnections (ready: bits set; replies: waiting in all rings)\n";
  line(out, "{:>6} {:>7} {:>7} {:>9} {:>9} {:>5} {:>6} {:>8} {:>7}  {}", "worker", "slots", "open",
       "announced", "ownerless", "slow", "ready", "replies", "deepest", "owned by row");
  for (const shm::ConnectionsSnapshot& c : all.connections) {
    std::string owners;
    for (const auto& [row, count] : c.owned_by) owners += fmt::format("{}:{} ", row, count);
    line(out, "{:>6} {:>7} {:>7} {:>9} {:>9} {:>5} {:>6} {:>8} {:>7}  {}", c.worker, c.used_slots,
         c.open, c.announced, c.ownerless, c.slow, c.ready, c.replies, c.deepest_ring, owners);
  }
}

}  // namespace

std::string_view word_for_state(uint32_t process_state) noexcept {
  switch (static_cast<shm::ProcessState>(process_state)) {
    case shm::ProcessState::kFree:
      return "free";
    case shm::ProcessState::kJoining:
      return "joining";
    case shm::ProcessState::kLive:
      return "live";
    case shm::ProcessState::kDead:
      return "dead";
  }
  return "unknown";
}

std::string_view word_for_role(uint32_t role) noexcept {
  switch (static_cast<shm::Role>(role)) {
    case shm::Role::kNone:
      return "none";
    case shm::Role::kMaster:
      return "master";
    case shm::Role::kWorker:
      return "worker";
    case shm::Role::kConsumer:
      return "consumer";
  }
  return "unknown";
}

std::string_view word_for_channel_state(uint32_t channel_state) noexcept {
  switch (static_cast<shm::ChannelState>(channel_state)) {
    case shm::ChannelState::kFree:
      return "free";
    case shm::ChannelState::kOwned:
      return "being made";
    case shm::ChannelState::kLive:
      return "live";
    case shm::ChannelState::kKept:
      return "kept";
  }
  return "unknown";
}

std::string as_table(const shm::Snapshot& all) {
  std::string out;
  header(out, all);
  processes(out, all);
  channels(out, all);
  arenas(out, all);
  connections(out, all);
  return out;
}

}  // namespace sluice
