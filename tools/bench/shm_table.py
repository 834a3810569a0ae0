#!/usr/bin/python3
"""tools/bench/shm_table.py -- the channel layer beside its rivals, in interleaved rounds; prints tables.

A round takes one sample of everything, in turn: ours, each rival, ours, each rival … A figure is the
median over the rounds; a ratio is the median of the rounds' own ratios, so that a machine that changes
its speed changes both sides of it. Each sample starts from nothing (tools/bench/shm/shm_bench.cc).
The aims stand beside the figures. Missing one is no error; something that does not run is.
"""

import argparse
import dataclasses
import shlex
import statistics
import subprocess
import sys
import time

import accounting
from servers import ROOT

PER_CELL, BOOST, ROBUST = "per_cell", "boost", "robust"
CARRIERS = ["layer", PER_CELL, BOOST, ROBUST, "socket"]
SHOWN = {"layer": "Sluice", PER_CELL: "per-cell numbers (not kill-safe)", BOOST: "boost message_queue",
         ROBUST: "robust mutex", "socket": "unix socket pair",
         "line": "bare cache line", "layer_spin": "Sluice, spinning", "futex": "raw futex",
         "layer_futex": "Sluice, blocking", "eventfd": "raw eventfd", "layer_poll": "Sluice, event loop"}

# What is sampled in a round: (figure, whose). Ours and what it is held against stand together.
SAMPLES = ([("one_thread", whose) for whose in CARRIERS] + [("pairs_1", whose) for whose in CARRIERS] +
           [("pairs_2", whose) for whose in CARRIERS] +
           [("hand_off", whose) for whose in ["line", "layer_spin", "futex", "layer_futex", "eventfd", "layer_poll"]] +
           [("wake_ups", "100000"), ("wake_ups", "0"), ("reclaim", "layer"), ("idle", "layer")])


@dataclasses.dataclass
class Aim:
    """A figure of ours, or its ratio to another's, and what it is to be."""
    title: str
    ours: tuple   # (figure, whose, key)
    theirs: tuple | None
    at_most: bool
    bound: float
    unit: str = "x"


AIMS = [
    Aim("one thread, time against per-cell numbers", ("one_thread", "layer", "ns"), ("one_thread", PER_CELL, "ns"), True, 1.6),
    Aim("one thread, time against message_queue", ("one_thread", "layer", "ns"), ("one_thread", BOOST, "ns"), True, 0.45),
    Aim("1 to 1, rate against per-cell numbers", ("pairs_1", "layer", "per_s"), ("pairs_1", PER_CELL, "per_s"), False, 0.8),
    Aim("1 to 1, rate against message_queue", ("pairs_1", "layer", "per_s"), ("pairs_1", BOOST, "per_s"), False, 4),
    Aim("1 to 1, rate against the robust mutex", ("pairs_1", "layer", "per_s"), ("pairs_1", ROBUST, "per_s"), False, 3.5),
    Aim("2 to 2, rate against per-cell numbers", ("pairs_2", "layer", "per_s"), ("pairs_2", PER_CELL, "per_s"), False, 0.7),
    Aim("2 to 2, rate against message_queue", ("pairs_2", "layer", "per_s"), ("pairs_2", BOOST, "per_s"), False, 2.5),
    Aim("spinning hand-off against a bare cache line", ("hand_off", "layer_spin", "ns"), ("hand_off", "line", "ns"), True, 5),
    Aim("blocking hand-off against a raw futex", ("hand_off", "layer_futex", "ns"), ("hand_off", "futex", "ns"), True, 1.15),
    Aim("event loop's hand-off against a raw eventfd", ("hand_off", "layer_poll", "ns"), ("hand_off", "eventfd", "ns"), True, 1.1),
    Aim("wake-ups a message at 100,000/s", ("wake_ups", "100000", "rings"), None, True, 0.12, ""),
    Aim("wake-ups a message at saturation", ("wake_ups", "0", "rings"), None, True, 0.05, ""),
    Aim("from SIGKILL to everything reclaimed", ("reclaim", "layer", "us"), None, True, 1000, " µs"),
    Aim("100,000 idle connection slots", ("idle", "layer", "mib"), None, True, 32, " MiB"),
]


def sample(options, figure, whose):
    """What the measuring program says of one figure: a map of names to numbers."""
    command = [f"{options.build}/tools/bench/shm_bench", figure, whose, "--messages", str(options.messages),
               "--hand-offs", str(options.hand_offs), "--blocks", str(options.blocks),
               "--connections", str(options.connections)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if ran.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} ended with {ran.returncode}: {ran.stderr.strip()}")
    said = {name: float(value) for name, value in (word.split("=") for word in ran.stdout.split())}
    if figure == "idle":
        said["mib"] = said["bytes"] / (1 << 20)
    return said


def median(values):
    """The middle one, and how far the middle half of the others spreads around it."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]


def rates_table(taken):
    """Ours and the rivals' rates, with ours against each."""
    print("\n| 512 bytes | one thread, ns a message | 1 to 1, messages/s | 2 to 2, messages/s |\n|---|--:|--:|--:|")
    for whose in CARRIERS:
        cells = []
        for figure, key in (("one_thread", "ns"), ("pairs_1", "per_s"), ("pairs_2", "per_s")):
            middle, low, high = median([one[key] for one in taken[figure, whose]])
            cells.append(f"{middle:,.0f} ({low:,.0f} to {high:,.0f})")
        print(f"| {SHOWN[whose]} | {' | '.join(cells)} |")


def hand_off_table(taken):
    """One way from a process to another, by how the reader waits."""
    print("\n| one way between two CPUs | ns |\n|---|--:|")
    for (figure, whose), samples in taken.items():
        if figure == "hand_off":
            middle, low, high = median([one["ns"] for one in samples])
            print(f"| {SHOWN[whose]} | {middle:,.0f} ({low:,.0f} to {high:,.0f}) |")


def aims_table(taken):
    """Each aim beside its figure."""
    print("\n| aim | figure | middle half | aimed at | |\n|---|--:|--:|--:|---|")
    for aim in AIMS:
        figures = [one[aim.ours[2]] for one in taken[aim.ours[:2]]]
        if aim.theirs:
            figures = [ours / theirs[aim.theirs[2]] for ours, theirs in zip(figures, taken[aim.theirs[:2]])]
        middle, low, high = median(figures)
        met = middle <= aim.bound if aim.at_most else middle >= aim.bound
        digits = ",.0f" if middle >= 100 else ".2f" if middle >= 1 else ".3f"
        print(f"| {aim.title} | {middle:{digits}}{aim.unit} | {low:{digits}} to {high:{digits}} | "
              f"{'≤' if aim.at_most else '≥'} {aim.bound:g}{aim.unit} | {'met' if met else 'not met'} |")


def beside(taken):
    """What the figures were taken with, and what no aim is set for."""
    reclaim, wake = taken["reclaim", "layer"], taken["wake_ups", "100000"]
    print(f"\nReclaimed: a consumer that held {reclaim[0]['held']:,.0f} of {reclaim[0]['blocks']:,.0f} blocks in use; its process "
          f"took {statistics.median(one['death_us'] for one in reclaim):,.0f} µs from SIGKILL to being gone, which is not counted.\n"
          f"A first death, of one that held nothing, took {statistics.median(one['first_us'] for one in reclaim):,.0f} µs: the "
          f"recovering process had not yet looked at the pages that others use.\n"
          f"The paced sender reached {statistics.median(one['per_s'] for one in wake):,.0f}/s; at saturation "
          f"{statistics.median(one['per_s'] for one in taken['wake_ups', '0']):,.0f}/s.")


def heading(options, seconds_foreign):
    """Machine, commit, command: what a number means nothing without."""
    return (f"machine: {accounting.machine()}\ncommit: {accounting.commit(ROOT)}\n"
            f"command: {shlex.join(['tools/dev', 'bench', 'shm', *sys.argv[1:]])}\n"
            f"{options.rounds} rounds at {time.strftime('%Y-%m-%d %H:%M')}; {seconds_foreign:.2f} CPUs busy with others' work "
            f"before the first; medians, in brackets the middle half")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--messages", type=int, default=400_000, help="of one sample of a rate")
    parser.add_argument("--hand-offs", type=int, default=10_000, help="there and back, of one sample")
    parser.add_argument("--blocks", type=int, default=65_536, help="in use when a process is killed")
    parser.add_argument("--connections", type=int, default=100_000, help="idle ones")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round")

    busy = accounting.machine_busy()[0]
    time.sleep(1)
    print(heading(options, accounting.machine_busy()[0] - busy), flush=True)
    taken = {}
    for number in range(options.rounds):
        for figure, whose in SAMPLES:
            taken.setdefault((figure, whose), []).append(sample(options, figure, whose))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    rates_table(taken)
    hand_off_table(taken)
    aims_table(taken)
    beside(taken)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"tools/bench: {error}")
