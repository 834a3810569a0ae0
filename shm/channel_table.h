// shm/channel_table.h -- name to channel record: found, made, and given back when nobody uses it.
//
//   truth      { generation:32 | owner:16 | state:16 } of a record; generations only grow
//   directory  { tag:16 | generation:16 | record + 1:32 }, open addressing, 0 empty for good
//
// C1  A record is built whole while its maker owns it; one compare-exchange of its truth to live
//     shows it. A directory word counts while its record lives in the word's generation: what else
//     stands there is a tombstone, and any maker may write over it.
// C2  One name, one live record. A maker puts its word first and then looks through all words of the
//     name, by read-modify-write: of two makers at least one sees the other. Whoever sees one that
//     is not live yet takes its record from it and goes on; nobody waits for anybody.
// C3  A record whose channel nobody reads, and nobody used for longer than its messages live, is
//     given to another name when no free one is left, in a new generation. Who has its index
//     remembers the generation too, and its messages carry it: none is delivered under another name.
//     What the gateway itself opens is kept for good.
// C4  A name with `!` is of the process that made it: no queue but its inbox. It ends with it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "shm/block_pool.h"
#include "shm/channel_rules.h"
#include "shm/process_table.h"
#include "shm/segment.h"

namespace sluice::shm {

// A channel as it was found: `index` is its record for as long as the record has this generation.
struct OpenChannel {
  uint32_t index = kNoChannel;
  uint32_t generation = 0;
  friend bool operator==(const OpenChannel&, const OpenChannel&) = default;
};

class ChannelTable {
 public:
  // `pool` frees what lies expired in a channel that is given back; without one only empty ones are.
  ChannelTable(const Segment& segment, ProcessIndex me, BlockPool* pool = nullptr) noexcept
      : segment_(segment), rules_(segment, me), me_(me), pool_(pool) {}

  // The channel of that name, made if there is none. kChannelNameInvalid (also for a name with `!`:
  // those are addresses, not channels), kChannelTableFull.
  [[nodiscard]] Result<OpenChannel> open_now(std::string_view name) noexcept;
  // The same, and kept for good: an index is enough to name it.
  [[nodiscard]] Result<uint32_t> open(std::string_view name) noexcept;
  // A name with `!`, new, whose messages go to the inbox of `maker`. kChannelNameInvalid (also for a
  // name there is), kChannelTableFull.
  [[nodiscard]] Result<OpenChannel> make_inbox_channel(std::string_view name,
                                                       ProcessName maker) noexcept;
  // The channel of that name, if there is one.
  [[nodiscard]] std::optional<OpenChannel> find_now(std::string_view name) const noexcept;
  [[nodiscard]] std::optional<uint32_t> find(std::string_view name) const noexcept;
  // Whether that channel is still what it was when it was found.
  [[nodiscard]] bool lives(const OpenChannel& channel) const noexcept;
  // Of a name with `!`: whose inbox it leads to. Nothing for any other, and for one that ended.
  [[nodiscard]] std::optional<ProcessName> inbox_of(const OpenChannel& channel) const noexcept;
  [[nodiscard]] uint32_t expiry_ms(const OpenChannel& channel) const noexcept;
  // The name of a record, copied; empty for an index that is none.
  [[nodiscard]] std::string name_of(uint32_t channel) const;
  // Ends an inbox channel that `maker` made.
  void end_inbox_channel(const OpenChannel& channel, ProcessName maker) noexcept;

  // Capacity and expiry by name or glob.
  [[nodiscard]] ChannelRules& rules() noexcept { return rules_; }
  // Frees what a dead process was building, channels and rules, and ends its inbox channels.
  void recover(ProcessIndex dead) noexcept;

 private:
  struct Name;  // with its hash
  [[nodiscard]] Result<OpenChannel> make(const Name& name, uint64_t inbox) noexcept;
  [[nodiscard]] bool counts(uint64_t entry, const Name& name, OpenChannel& found) const noexcept;
  [[nodiscard]] std::optional<OpenChannel> build(const Name& name, uint64_t inbox) noexcept;
  [[nodiscard]] bool claim_free(uint32_t index, OpenChannel& claimed) noexcept;
  [[nodiscard]] bool claim_idle(uint32_t index, OpenChannel& claimed) noexcept;
  [[nodiscard]] bool is_idle(const ChannelRecord& record) const noexcept;
  [[nodiscard]] bool empty_out(uint32_t index) noexcept;
  [[nodiscard]] bool place(const Name& name, const OpenChannel& built) noexcept;
  [[nodiscard]] std::optional<OpenChannel> rival(const Name& name,
                                                 const OpenChannel& built) noexcept;
  void unbuild(const OpenChannel& built) noexcept;

  const Segment& segment_;
  ChannelRules rules_;
  ProcessIndex me_;
  BlockPool* pool_;
};

}  // namespace sluice::shm
