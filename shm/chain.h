// shm/chain.h -- blocks linked into one message: linking them, walking them, freeing them.
//
// Whoever owns the head owns the links (decisions.md 5): a link's stamp says `linked` and no more.
// K1  A link is named by the one before it before it is stamped: killed between, it is in hand still.
// K2  A link's stamp is read before the head it names, and it is taken from that very stamp: one that was
//     freed, by a taker who died before it freed the head, may be in another chain by now.
// K3  The last link is freed first, the head last: killed in between, all that is left hangs from it.
//
// Envelopes finds a block's envelope (`find(block)`, null for an index that is none); layout.h's here,
// a stepped stand-in in tests/model.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "shm/block_layout.h"
#include "shm/crash_point.h"

namespace sluice::shm {

inline constexpr uint32_t kMaxLinks = 64;  // of one chain: four times what the largest needs

// Makes `link` the next after `last` of the chain headed by `head`; all three are `me`'s, and exist.
template <class Envelopes>
void link_block(Envelopes find, BlockIndex head, BlockIndex last, BlockIndex link,
                ProcessIndex me) noexcept {
  using enum std::memory_order;
  auto* envelope = find(link);
  envelope->head.store(head, relaxed);  // relaxed: the stamp below publishes these
  envelope->next.store(0, relaxed);
  envelope->queue.store(queue_id(QueueKind::kNone, 0), relaxed);  // no message of its own: recovery
  find(last)->next.store(link + 1, relaxed);
  CRASH_POINT(link_named);  // in hand and named: recovery frees it as what it is, owned by the dead
  const Stamp stamp{envelope->stamp.load(relaxed)};  // ours
  envelope->stamp.store(stamp.next(me, BlockState::kLinked).word, release);  // [S] K1
}

// The stamp of `link` while it hangs from `head`, which is ours; nothing if it does not.
template <class Envelopes>
[[nodiscard]] std::optional<Stamp> stamp_of_link(Envelopes find, BlockIndex head,
                                                 BlockIndex link) noexcept {
  using enum std::memory_order;
  const auto* envelope = find(link);
  if (envelope == nullptr) return std::nullopt;
  const Stamp stamp{envelope->stamp.load(acquire)};  // [S] K2: before the head
  if (stamp.state() != BlockState::kLinked) return std::nullopt;
  if (envelope->head.load(relaxed) != head) return std::nullopt;
  return stamp;
}

// Frees what hangs from `head`, which is `me`'s and stays so: each link is taken, then given to
// `give_back`.
template <class Envelopes, class GiveBack>
void free_chain_links(Envelopes find, BlockIndex head, ProcessIndex me,
                      GiveBack give_back) noexcept {
  using enum std::memory_order;
  struct Link {
    BlockIndex block;
    Stamp stamp;
  };
  auto* const first = find(head);
  if (first == nullptr) return;
  std::array<Link, kMaxLinks> links;
  uint32_t count = 0;
  for (BlockIndex next = first->next.load(relaxed); next != 0 && count < kMaxLinks; ++count) {
    const std::optional<Stamp> stamp = stamp_of_link(find, head, next - 1);
    if (!stamp) break;
    links[count] = {next - 1, *stamp};
    const auto* envelope = find(next - 1);
    next = envelope == nullptr ? 0 : envelope->next.load(relaxed);
  }
  while (count > 0) {  // K3
    const Link& link = links[--count];
    auto* envelope = find(link.block);
    uint64_t expected = link.stamp.word;
    if (envelope == nullptr || !envelope->stamp.compare_exchange_strong(
            expected, link.stamp.next(me, BlockState::kOwned).word, acq_rel, relaxed)) {
      continue;  // scribbled: only who has the head takes its links
    }
    CRASH_POINT(link_taken);           // ours by stamp, of no queue: recovery frees it
    envelope->next.store(0, relaxed);  // ours now
    give_back(link.block);
    CRASH_POINT(link_freed);
  }
  first->next.store(0, relaxed);  // ours
}

}  // namespace sluice::shm
