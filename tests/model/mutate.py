"""Writes a copy of one header with one named mistake in it; the model must catch each."""

import pathlib
import sys

# name: (header, what stands there, what the mistake puts in its place)
MUTANTS = {
    "no_head_recheck": (
        "shm/owner_queue.h",
        "      if (head_.load(acquire) != head) continue;  // Q5: the stamp may be of a later push\n",
        "",
    ),
    "no_generation": ("shm/block_layout.h", "of(generation() + 1, owner, state)", "of(generation(), owner, state)"),
    "no_help_for_tail": (
        "shm/owner_queue.h",
        "if (lap_in(cell) == lap(tail)) advance(tail_, tail);  // Q3",
        "",
    ),
    "no_help_for_head": ("shm/owner_queue.h", "      advance(head_, head);  // taken by somebody else: Q3\n", ""),
    "full_by_count_alone": ("shm/owner_queue.h", "    settle_head();\n    return at_", "    return at_"),
    "full_by_an_old_head": (
        "shm/owner_queue.h",
        "if (head_seen != nullptr) *head_seen = head_.load(acquire);",
        "if (head_seen != nullptr) return true;",
    ),
    "empty_by_cell_alone": (
        "shm/owner_queue.h",
        "if (lap_in(cell) + 1 == lap(head) && head_.load(acquire) == head) return PopOutcome::kEmpty;",
        "return PopOutcome::kEmpty;",
    ),
    "freed_before_head_has_passed": (
        "shm/owner_queue.h",
        "        if (waits(stamp)) return;\n      }\n      advance(head_, head);\n",
        "        if (waits(stamp)) return;\n      }\n      return;\n",
    ),
    "visit_stops_at_an_overwritten_cell": ("shm/owner_queue.h", "if (laps_ahead < 0) return;", "if (laps_ahead != 0) return;"),
    "withdrawn_is_stepped_over": (
        "shm/owner_queue.h",
        "        continue;  // taken, or withdrawn and still there: look again\n",
        "",
    ),
    "taken_after_head_has_passed": (
        "shm/owner_queue.h",
        "        uint64_t expected = stamp.word;\n        if (word->",
        "        uint64_t expected = stamp.word;\n        advance(head_, head);\n        if (word->",
    ),
    # -- weaker orders than written: only on weak memory
    "relaxed_publish": (
        "shm/owner_queue.h",
        "pack(lap(tail), block), acq_rel, acquire)",
        "pack(lap(tail), block), relaxed, relaxed)",
    ),
    "relaxed_stamp_of_a_push": (
        "shm/owner_queue.h",
        "word->store(queued.word, release);  // [S]",
        "word->store(queued.word, relaxed);  // [S]",
    ),
    "relaxed_look_at_a_stamp": (
        "shm/owner_queue.h",
        "Stamp stamp{word->load(acquire)};           // [S]",
        "Stamp stamp{word->load(relaxed)};",
    ),
    "relaxed_look_at_a_cell": (
        "shm/owner_queue.h",
        "const uint64_t cell = at(head).load(acquire);  // [C]\n      if (lap_in(cell) != lap(head)) {\n",
        "const uint64_t cell = at(head).load(relaxed);\n      if (lap_in(cell) != lap(head)) {\n",
    ),
    "relaxed_look_at_the_tail": (
        "shm/owner_queue.h",
        "uint64_t tail = tail_.load(acquire);                  // [T]",
        "uint64_t tail = tail_.load(relaxed);",
    ),
    "relaxed_advance": (
        "shm/owner_queue.h",
        "end.compare_exchange_strong(seen, seen + 1, acq_rel, acquire);",
        "end.compare_exchange_strong(seen, seen + 1, relaxed, relaxed);",
    ),
    # -- the doorbell
    "no_fence_before_the_look": (
        "shm/doorbell_word.h",
        "    full_fence(word_);  // [F] pairs with [F] in ring(): they see the bit, or we the block\n",
        "",
    ),
    "no_fence_before_the_ring": (
        "shm/doorbell_word.h",
        "    full_fence(word_);  // [F] pairs with [F] in say_asleep()\n",
        "",
    ),
    "cleared_before_it_is_written": (
        "shm/doorbell_word.h",
        "    if (!calls.write()) return;  // D1\n",
        "    uint32_t first = seen;\n"
        "    word_.compare_exchange_strong(first, seen & ~kAsleepInPoll, seq_cst, relaxed);\n"
        "    if (!calls.write()) return;\n",
    ),
    "woken_before_it_is_cleared": (
        "shm/doorbell_word.h",
        "    while ((seen & kAsleepInFutex) != 0) {\n"
        "      if (!word_.compare_exchange_weak(seen, seen & ~kAsleepInFutex, seq_cst, seq_cst)) continue;\n"
        "      CRASH_POINT(ring_futex_cleared);  // asleep with no bit: recovery wakes it, ring_surely()\n"
        "      calls.wake();                     // D2\n",
        "    if ((seen & kAsleepInFutex) != 0) calls.wake();\n"
        "    while ((seen & kAsleepInFutex) != 0) {\n"
        "      if (!word_.compare_exchange_weak(seen, seen & ~kAsleepInFutex, seq_cst, seq_cst)) continue;\n",
    ),
    "cleared_by_a_plain_store": (
        "shm/doorbell_word.h",
        "word_.compare_exchange_strong(seen, seen & ~kAsleepInPoll, seq_cst, relaxed);",
        "word_.store(seen & ~kAsleepInPoll, seq_cst);",
    ),
    "any_sleep_is_cleared": (
        "shm/doorbell_word.h",
        "word_.compare_exchange_strong(seen, seen & ~kAsleepInPoll, seq_cst, relaxed);",
        "word_.fetch_and(~(seen & kAsleepInPoll), seq_cst);",
    ),
    "sleeps_are_not_counted": ("shm/doorbell_word.h", "kOneSleep = 4;", "kOneSleep = 0;"),
    "no_look_before_sleeping": (
        "tests/model/sleeper.h",
        "const bool anything = !looks_empty(p, 0);",
        "const bool anything = false;",
    ),
    "rung_before_it_is_pushed": (
        "tests/model/sleeper.h",
        "  const bool sent = push(p, 0, block);\n  ring(p);\n",
        "  ring(p);\n  const bool sent = push(p, 0, block);\n",
    ),
    "recovery_rings_by_the_word": (
        "tests/model/sleeper.h",
        "Word(doorbell).ring_surely(Calls{});",
        "Word(doorbell).ring(Calls{});",
    ),
    # -- the ready bitmap
    "no_fence_after_clearing": (
        "shm/ready_bitmap.h",
        "      full_fence(ready.top);  // [B] an exchange alone lets the look at the ring go before it\n",
        "",
    ),
    "no_fence_before_setting": (
        "shm/ready_bitmap.h",
        "  full_fence(ready.top);\n  set(ready.bottom",
        "  set(ready.bottom",
    ),
    "only_the_top_is_tested": (
        "shm/ready_bitmap.h",
        "  set(ready.bottom[slot / 64], slot % 64);\n",
        "  if ((ready.top.load(seq_cst) >> slot / 4096 & 1) != 0) return;\n"
        "  set(ready.bottom[slot / 64], slot % 64);\n",
    ),
    "set_from_the_top_down": (
        "shm/ready_bitmap.h",
        "  set(ready.bottom[slot / 64], slot % 64);\n"
        "  CRASH_POINT(ready_bottom_set);  // recovery sets the levels above\n"
        "  set(ready.middle[slot / 4096], slot / 64 % 64);\n"
        "  set(ready.top, slot / 4096);\n",
        "  set(ready.top, slot / 4096);\n"
        "  set(ready.middle[slot / 4096], slot / 64 % 64);\n"
        "  set(ready.bottom[slot / 64], slot % 64);\n",
    ),
    "cleared_from_the_bottom_up": (
        "shm/ready_bitmap.h",
        "      full_fence(ready.top);  // [B] an exchange alone lets the look at the ring go before it\n"
        "      continue;\n"
        "    }\n"
        "    if (scan.top_bits != 0) {\n"
        "      scan.middle_index = pop_bit(scan.top_bits);\n"
        "      scan.middle_bits = ready.middle[scan.middle_index].exchange(0, seq_cst);\n",
        "      full_fence(ready.top);\n"
        "      if (scan.middle_bits == 0) ready.middle[scan.middle_index].exchange(0, seq_cst);\n"
        "      continue;\n"
        "    }\n"
        "    if (scan.top_bits != 0) {\n"
        "      scan.middle_index = pop_bit(scan.top_bits);\n"
        "      scan.middle_bits = ready.middle[scan.middle_index].load(seq_cst);\n",
    ),
    "cleared_after_the_look": (
        "tests/model/ready_worker.h",
        "      while (pop(p, queue) != shm::kNoBlock) --replies;\n",
        "      while (pop(p, queue) != shm::kNoBlock) --replies;\n"
        "      p.operation(kLooking, 2, [&] { return bitmap.bottom[slot_of(queue) / 64].exchange(0, {}); });\n",
    ),
    "ready_before_it_is_published": (
        "tests/model/ready_worker.h",
        "  if (!push(p, queue, block)) return;\n  set_ready(p, queue);\n",
        "  set_ready(p, queue);\n  if (!push(p, queue, block)) return;\n",
    ),
    "recovery_sets_no_bits": (
        "tests/model/ready_worker.h",
        "    if (!looks_empty(p, queue)) set_ready(p, queue);\n",
        "",
    ),
    # -- chains
    "a_link_is_named_last": (
        "shm/chain.h",
        "  find(last)->next.store(link + 1, relaxed);\n"
        "  CRASH_POINT(link_named);  // in hand and named: recovery frees it as what it is, owned by the dead\n"
        "  const Stamp stamp{envelope->stamp.load(relaxed)};  // ours\n"
        "  envelope->stamp.store(stamp.next(me, BlockState::kLinked).word, release);  // [S] K1\n",
        "  const Stamp stamp{envelope->stamp.load(relaxed)};\n"
        "  envelope->stamp.store(stamp.next(me, BlockState::kLinked).word, release);\n"
        "  find(last)->next.store(link + 1, relaxed);\n",
    ),
    "the_head_is_asked_before_the_stamp": (
        "shm/chain.h",
        "  const Stamp stamp{envelope->stamp.load(acquire)};  // [S] K2: before the head\n"
        "  if (stamp.state() != BlockState::kLinked) return std::nullopt;\n"
        "  if (envelope->head.load(relaxed) != head) return std::nullopt;\n",
        "  if (envelope->head.load(relaxed) != head) return std::nullopt;\n"
        "  const Stamp stamp{envelope->stamp.load(acquire)};\n"
        "  if (stamp.state() != BlockState::kLinked) return std::nullopt;\n",
    ),
    "the_first_link_is_freed_first": (
        "shm/chain.h",
        "  while (count > 0) {  // K3\n    const Link& link = links[--count];\n",
        "  for (uint32_t i = 0; i < count; ++i) {\n    const Link& link = links[i];\n",
    ),
    "the_head_is_let_go_first": (
        "shm/chain.h",
        "  while (count > 0) {  // K3\n",
        "  find(head)->next.store(0, relaxed);\n  while (count > 0) {\n",
    ),
    "relaxed_stamp_of_a_link": (
        "shm/chain.h",
        "envelope->stamp.store(stamp.next(me, BlockState::kLinked).word, release);  // [S] K1",
        "envelope->stamp.store(stamp.next(me, BlockState::kLinked).word, relaxed);",
    ),
    "relaxed_look_at_a_link": (
        "shm/chain.h",
        "const Stamp stamp{envelope->stamp.load(acquire)};  // [S] K2",
        "const Stamp stamp{envelope->stamp.load(relaxed)};  // K2",
    ),
    "recovery_does_not_settle_the_head": (
        "shm/sweep.h",
        "    queues.settle(from);  // Q5: it may have taken this and died before moving head on\n",
        "",
    ),
    "recovery_takes_what_is_published": (
        "shm/sweep.h",
        "  if (!queues.holds(from, block)) return take();  // never published\n",
        "  queues.holds(from, block);\n  return take();\n",
    ),
}


def main(name: str, source: str, out: str) -> None:
    header, right, wrong = MUTANTS[name]
    changed = pathlib.Path(out).parent / name / header
    changed.parent.mkdir(parents=True, exist_ok=True)
    text = (pathlib.Path(source) / header).read_text()
    if text.count(right) != 1:
        sys.exit(f"mutate.py: {name}: {header} has {text.count(right)} of: {right!r}")
    changed.write_text(text.replace(right, wrong))
    pathlib.Path(out).touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
