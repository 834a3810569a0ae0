#!/usr/bin/python3
"""tools/bench/bench.py -- Sluice beside nginx, in interleaved rounds; prints tables.

Every figure is taken in rounds (nginx, Sluice, nginx, Sluice …) on one machine; a table shows the
medians of clean samples. A sample is dirty when others used more CPU than --foreign while it ran, or
the host took more than --stolen away; it is tried again, and marked when no clean one came.
CPU is that of all processes of a server together: master, worker and consumer.
Layouts: `split` puts the whole server on the first CPU and the load on the last; `both` lets the
consumer share the last CPU with the load.
"""

import argparse
import resource
import shlex
import statistics
import sys
import time

import accounting
import idle
import loads
from servers import CPUS, LAST, ROOT, Nginx, Sluice

COLUMNS = ("| server | requests/s | CPU ms per 1,000 | x nginx | p50 µs | p99 µs | clean | bad |\n"
           "|---|--:|--:|--:|--:|--:|--:|--:|")


def wait_quiet(options):
    """Waits until nobody else computes, at most for a while."""
    end = time.monotonic() + options.patience
    while True:
        busy = accounting.machine_busy()[0]
        time.sleep(0.5)
        if (accounting.machine_busy()[0] - busy) / 0.5 <= options.foreign or time.monotonic() > end:
            return


def sample(server, load, options):
    """One run of a load, with what it cost the server and how quiet the machine was."""
    best = None
    for _ in range(options.retries + 1):
        wait_quiet(options)
        pids = server.pids()
        busy, stolen = accounting.machine_busy()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu, begun = accounting.cpu_ns(pids), time.monotonic()
        taken = load()
        seconds = time.monotonic() - begun
        cpu = (accounting.cpu_ns(pids) - cpu) / 1e9
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        client = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        now_busy, now_stolen = accounting.machine_busy()
        taken["cpu"] = cpu / max(taken["number"], 1) * 1e6
        taken["foreign"] = max(0.0, now_busy - busy - cpu - client) / seconds
        taken["stolen"] = (now_stolen - stolen) / seconds
        taken["clean"] = taken["foreign"] <= options.foreign and taken["stolen"] <= options.stolen
        if best is None or taken["foreign"] + taken["stolen"] < best["foreign"] + best["stolen"]:
            best = taken
        if taken["clean"]:
            break
    return best


def row(name, samples, reference):
    """A line of a table: medians over the clean samples, or over all where none is clean."""
    clean = [one for one in samples if one["clean"]]
    chosen = clean or samples
    def median(key):
        return statistics.median(one[key] for one in chosen)
    ratio = f"{median('cpu') / reference:.2f}" if reference else ""
    return (f"| {name}{'' if clean else ' (dirty)'} | {median('rate'):,.0f} | {median('cpu'):.2f} | {ratio} | "
            f"{median('p50'):,.0f} | {median('p99'):,.0f} | {len(clean)}/{len(samples)} | "
            f"{sum(one['bad'] for one in samples)} |")


def median_cpu(samples):
    """The median CPU of the clean samples, or of all."""
    return statistics.median(one["cpu"] for one in [s for s in samples if s["clean"]] or samples)


def rates(servers, options):
    """The tables of requests and of WebSocket messages."""
    taken = {}
    for number in range(options.rounds):
        for layout in options.layouts.split(","):
            for server in servers:
                server.place(layout)
                for connections in map(int, options.connections.split(",")):
                    one = sample(server, lambda s=server, c=connections: loads.wrk(s, c, options.seconds, LAST), options)
                    taken.setdefault((layout, f"HTTP, {connections} connections"), {}).setdefault(server.name, []).append(one)
                if server.speaks_websocket:
                    one = sample(server, lambda s=server: loads.websocket_echo(
                        options.build, s, 64, 128, options.seconds, LAST), options)
                    taken.setdefault((layout, "WebSocket echo of 128 bytes, 64 connections"), {}).setdefault(
                        server.name, []).append(one)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    for (layout, title), by_server in sorted(taken.items()):
        print(f"\n### {title} (layout {layout})\n{COLUMNS}")
        reference = median_cpu(by_server[Nginx.name]) if Nginx.name in by_server else None
        for name, samples in by_server.items():
            print(row(name, samples, reference), flush=True)


def heading(options):
    """Machine, commit, command: what a number means nothing without."""
    command = shlex.join(["tools/dev", "bench", *sys.argv[1:]])
    return (f"machine: {accounting.machine()}\ncommit: {accounting.commit(ROOT)}\n"
            f"command: {command}\n{options.rounds} rounds of {options.seconds} s, at "
            f"{time.strftime('%Y-%m-%d %H:%M')}; nginx and Sluice with one worker each, Sluice with one consumer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", default="64,256")
    parser.add_argument("--layouts", default="split,both", help="split, both, free")
    parser.add_argument("--idle", type=int, default=10000, help="idle connections; 0: leave them out")
    parser.add_argument("--foreign", type=float, default=0.10, help="CPUs of others' work beyond which a sample is dirty")
    parser.add_argument("--stolen", type=float, default=0.05, help="CPUs stolen by the host, likewise")
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait for a quiet machine")
    options = parser.parse_args()
    if len(CPUS) < 2:
        print("tools/bench: one CPU; server and load share it", file=sys.stderr)
    accounting.allow_descriptors()

    print(heading(options))
    servers = [Nginx(), Sluice(options.build)]
    try:
        for server in servers:
            server.start()
        rates(servers, options)
    finally:
        for server in servers:
            server.stop()
    if options.idle:
        idle.table(options.build, options.idle)


if __name__ == "__main__":
    main()
