"""Writes a copy of the queue's headers with one named mistake in them; the model must catch each."""

import pathlib
import shutil
import sys

HEADERS = ["owner_queue.h", "layout.h", "block_layout.h", "crash_point.h"]

# name: (header, what stands there, what the mistake puts in its place)
MUTANTS = {
    "no_head_recheck": (
        "owner_queue.h",
        "      if (head_.load(acquire) != head) continue;  // Q5: the stamp may be of a later push\n",
        "",
    ),
    "no_generation": ("block_layout.h", "of(generation() + 1, owner, state)", "of(generation(), owner, state)"),
    "no_help_for_tail": (
        "owner_queue.h",
        "if (lap_in(cell) == lap(tail)) advance(tail_, tail);  // Q3",
        "",
    ),
    "no_help_for_head": ("owner_queue.h", "      advance(head_, head);  // taken by somebody else: Q3\n", ""),
    "unsigned_compare": (
        "owner_queue.h",
        "static_cast<int64_t>(tail - head_.load(acquire)) >= int64_t{capacity_}",
        "(tail - head_.load(acquire)) >= uint64_t{capacity_}",
    ),
    "full_by_count_alone": ("owner_queue.h", "    settle_head();\n    return full()", "    return full()"),
    "full_by_an_old_head": (
        "owner_queue.h",
        "if (head_seen != nullptr) *head_seen = head_.load(acquire);",
        "if (head_seen != nullptr) return true;",
    ),
    "empty_by_cell_alone": (
        "owner_queue.h",
        "if (lap_in(cell) + 1 == lap(head) && head_.load(acquire) == head) return PopOutcome::kEmpty;",
        "return PopOutcome::kEmpty;",
    ),
    "freed_before_head_has_passed": (
        "owner_queue.h",
        "        if (waits(stamp)) return;\n      }\n      advance(head_, head);\n",
        "        if (waits(stamp)) return;\n      }\n      return;\n",
    ),
    "visit_stops_at_an_overwritten_cell": ("owner_queue.h", "if (laps_ahead < 0) return;", "if (laps_ahead != 0) return;"),
    "withdrawn_is_stepped_over": (
        "owner_queue.h",
        "        continue;  // taken, or withdrawn and still there: look again\n",
        "",
    ),
    "taken_after_head_has_passed": (
        "owner_queue.h",
        "        uint64_t expected = stamp.word;\n        if (word->",
        "        uint64_t expected = stamp.word;\n        advance(head_, head);\n        if (word->",
    ),
}


def main(name: str, source: str, out: str) -> None:
    header, right, wrong = MUTANTS[name]
    folder = pathlib.Path(out).parent / name / "shm"
    folder.mkdir(parents=True, exist_ok=True)
    for each in HEADERS:
        shutil.copyfile(pathlib.Path(source) / "shm" / each, folder / each)
    text = (folder / header).read_text()
    if text.count(right) != 1:
        sys.exit(f"mutate.py: {name}: {header} has {text.count(right)} of: {right!r}")
    (folder / header).write_text(text.replace(right, wrong))
    pathlib.Path(out).touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
