"""tools/bench/rounds.py -- samples of servers, taken in interleaved rounds, and the tables of them.

Every figure is taken in rounds (A, B, A, B …) on one machine; a table shows the medians of clean samples. A
sample is dirty when others used more CPU than --foreign while it ran, or the host took more than --stolen
away; it is tried again, and marked when no clean one came. CPU is that of all processes of a server together.
"""

import dataclasses
import resource
import shlex
import statistics
import sys
import time
from typing import Callable

import accounting
from servers import CPUS, ROOT, Server


@dataclasses.dataclass
class Unit:
    """What is counted, and how a table shows it."""
    rate: str            # title of the rate's column
    cpu: str             # of the CPU's
    cpu_scale: float     # from seconds for one to what that says
    digits: str = ",.0f"  # of the rate
    latency: bool = True


REQUESTS = Unit("requests/s", "CPU ms per 1,000", 1e6)
MESSAGES = Unit("messages/s", "CPU ms per 1,000", 1e6)
GIB = Unit("GiB/s", "CPU s per GiB", 1, ".2f", latency=False)


@dataclasses.dataclass
class Case:
    """A load on a server: one row of the table of that title."""
    title: str
    unit: Unit
    name: str
    server: Server
    load: Callable  # load(mark) gives a report: number, rate, bad, and p50 and p99 in µs
    layout: str = "split"
    reference: bool = False  # what the others of the table are divided by


def add_options(parser, rounds, seconds, patience=20, retries=2):
    """What every comparison can be told."""
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of one sample")
    parser.add_argument("--without", default="", help="names of servers to leave out, divided by commas")
    parser.add_argument("--foreign", type=float, default=0.10, help="CPUs of others' work beyond which a sample is dirty")
    parser.add_argument("--stolen", type=float, default=0.05, help="CPUs stolen by the host, likewise")
    parser.add_argument("--retries", type=int, default=retries)
    parser.add_argument("--patience", type=float, default=patience, help="seconds to wait for a quiet machine")


def begin(parser, name, said):
    """Parses the options, prints the heading (`said` of the servers), and gives the options."""
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round")
    if len(CPUS) < 2:
        print("tools/bench: one CPU; server and load share it", file=sys.stderr)
    accounting.allow_descriptors()
    # Machine, commit, command: what a number means nothing without.
    print(f"machine: {accounting.machine()}\ncommit: {accounting.commit(ROOT)}\n"
          f"command: {shlex.join(['tools/dev', 'bench', *name, *sys.argv[1:]])}\n{options.rounds} rounds of "
          f"{options.seconds:g} s, at {time.strftime('%Y-%m-%d %H:%M')}; {said}", flush=True)
    return options


def wait_quiet(options):
    """Waits until nobody else computes, at most for a while."""
    end = time.monotonic() + options.patience
    while True:
        busy = accounting.machine_busy()[0]
        time.sleep(0.5)
        if (accounting.machine_busy()[0] - busy) / 0.5 <= options.foreign or time.monotonic() > end:
            return


class Mark:
    """A moment, and who has used how much CPU by then. A load sets it again when its beginning is not to count."""

    def __init__(self, server):
        self._server = server
        self.set()

    def set(self, loads=()):
        """Now; `loads` are children of ours that live and have used some already."""
        self._over = None
        self._busy, self._stolen = accounting.machine_busy()
        self._loads = self._used_by_loads(loads)
        self._cpu, self._begun = accounting.cpu_ns(self._server), time.monotonic()

    def end(self, loads=()):
        """Nothing from now on is to count; `loads` as above."""
        self._over = self._so_far(loads)

    def since(self):
        """Seconds since then: of the server's CPU, of the clock, of others' CPU, and of what the host took away."""
        return self._over or self._so_far()

    def _so_far(self, loads=()):
        cpu, seconds = (accounting.cpu_ns(self._server) - self._cpu) / 1e9, time.monotonic() - self._begun
        busy, stolen = accounting.machine_busy()
        foreign = busy - self._busy - cpu - (self._used_by_loads(loads) - self._loads)
        return cpu, seconds, max(0.0, foreign), stolen - self._stolen

    @staticmethod
    def _used_by_loads(living=()):
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in both) + accounting.cpu_ns(living) / 1e9


def sample(server, load, options):
    """One run of a load, with what it cost the server and how quiet the machine was."""
    best = None
    for _ in range(options.retries + 1):
        wait_quiet(options)
        mark = Mark(server.pids())
        taken = load(mark)
        cpu, seconds, foreign, stolen = mark.since()
        taken["cpu"] = cpu / (taken["number"] or 1)
        taken["foreign"], taken["stolen"] = foreign / seconds, stolen / seconds
        taken["clean"] = taken["foreign"] <= options.foreign and taken["stolen"] <= options.stolen
        if best is None or taken["foreign"] + taken["stolen"] < best["foreign"] + best["stolen"]:
            best = taken
        if taken["clean"]:
            break
    return best


def run(cases, options):
    """Starts the servers, takes every case once a round, in turn, and prints the tables; leaves no server."""
    cases = [case for case in cases if case.server.name not in options.without.split(",")]
    servers = list(dict.fromkeys(case.server for case in cases))
    samples = [[] for _ in cases]
    try:
        for server in servers:
            server.start()
        for number in range(options.rounds):
            for case, taken in zip(cases, samples):
                case.server.place(case.layout)
                taken.append(sample(case.server, case.load, options))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
    for title in dict.fromkeys(case.title for case in cases):
        table([(case, taken) for case, taken in zip(cases, samples) if case.title == title])


def table(rows):
    """The rows of one title."""
    unit = rows[0][0].unit
    reference = next(((case, taken) for case, taken in rows if case.reference), None)
    columns = ["server", unit.rate, unit.cpu, *([f"x {reference[0].name}"] if reference else []),
               *(["p50 µs", "p99 µs"] if unit.latency else []), "clean", "bad"]
    print(f"\n### {rows[0][0].title}\n| {' | '.join(columns)} |\n|---|{'--:|' * (len(columns) - 1)}")
    for case, taken in rows:
        clean = [one for one in taken if one["clean"]]
        shown = [f"{case.name}{'' if clean else ' (dirty)'}", f"{median(taken, 'rate'):{unit.digits}}",
                 f"{median(taken, 'cpu') * unit.cpu_scale:.2f}"]
        if reference:
            shown.append(f"{median(taken, 'cpu') / (median(reference[1], 'cpu') or 1):.2f}")
        if unit.latency:
            shown += [f"{median(taken, key):,.0f}" for key in ("p50", "p99")]
        print(f"| {' | '.join(shown)} | {len(clean)}/{len(taken)} | {sum(one['bad'] for one in taken)} |", flush=True)


def median(samples, key):
    """Over the clean samples, or over all where none is clean."""
    return statistics.median(one[key] for one in [one for one in samples if one["clean"]] or samples)
