#!/usr/bin/python3
"""tools/bench/slowloris.py -- what clients that send a byte of a head now and then cost the others.

Rounds of wrk alone and of wrk beside the slow ones, one after the other, on one gateway; prints the
medians. The server has the first CPU, wrk and the slow clients the last. A slow client that is cut
comes back at once, as in an attack.
"""

import argparse
import multiprocessing
import os
import resource
import select
import socket
import statistics
import sys
import time

import accounting
import loads
from servers import LAST, ROOT, Sluice

BEGUN = b"GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: "
AT_ONCE = 200  # connections opened before others have their turn
TICK = 0.02


class SlowHeads:
    """Connections whose heads never end, held by a process of their own until closed."""

    def __init__(self, port, number, every):
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=self._hold, args=(theirs, port, number, every))
        self._process.start()
        self._ours.recv()  # all are open

    def close(self):
        """How often one was cut and came back."""
        self._ours.send("end")
        cut = self._ours.recv()
        self._process.join()
        return cut

    @staticmethod
    def _hold(pipe, port, number, every):
        os.sched_setaffinity(0, LAST)
        poll, open_ones, order, cut = select.epoll(), {}, [], 0

        def begin():
            one = socket.create_connection(("127.0.0.1", port), 10)
            one.send(BEGUN)
            one.setblocking(False)
            open_ones[one.fileno()] = one
            poll.register(one, select.EPOLLIN)
            order.append(one)

        while len(open_ones) < number:
            for _ in range(min(AT_ONCE, number - len(open_ones))):
                begin()
        pipe.send("open")
        at, due = 0, 0.0
        while not pipe.poll(TICK):
            for descriptor, _ in poll.poll(0, AT_ONCE):
                one = open_ones.pop(descriptor)
                poll.unregister(one)
                one.close()
                order.remove(one)
                cut += 1
                begin()
            due += number / every * TICK
            while due >= 1:
                due -= 1
                at = (at + 1) % number
                try:
                    order[at].send(b"x")
                except OSError:
                    pass  # cut: the poll says so, too
        pipe.send(cut)


def run(options):
    """Samples without and with the slow ones; [(kind, report of wrk)…], and how many were cut."""
    server = Sluice(options.build, ["--max-connections", str(2 * options.slow),
                                    "--header-timeout", str(options.header_timeout)])
    samples, cut = [], 0
    server.start()
    try:
        server.place("split")
        for number in range(options.rounds):
            samples.append(("alone", loads.wrk(server, options.connections, options.seconds, LAST)))
            held = SlowHeads(server.port, options.slow, options.every)
            samples.append(("beside", loads.wrk(server, options.connections, options.seconds, LAST)))
            cut += held.close()
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    finally:
        server.stop()
    return samples, cut


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help=argparse.SUPPRESS)
    parser.add_argument("--slow", type=int, default=10000, help="clients that never finish a head")
    parser.add_argument("--every", type=float, default=10, help="seconds between two bytes of each")
    parser.add_argument("--header-timeout", type=float, default=30, help="the gateway's, in seconds")
    parser.add_argument("--connections", type=int, default=64, help="of the others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))

    print(f"machine: {accounting.machine()}\ncommit: {accounting.commit(ROOT)}\n"
          f"{options.rounds} rounds of {options.seconds} s, at {time.strftime('%Y-%m-%d %H:%M')}; "
          f"{options.slow:,} slow clients, a byte each {options.every:g} s")
    samples, cut = run(options)
    print("\n| the others | requests/s | p50 µs | p99 µs | bad |\n|---|--:|--:|--:|--:|")
    for kind, title in (("alone", "alone"), ("beside", "beside the slow ones")):
        chosen = [taken for which, taken in samples if which == kind]
        figures = [statistics.median(taken[key] for taken in chosen) for key in ("rate", "p50", "p99")]
        print(f"| {title} | " + " | ".join(f"{figure:,.0f}" for figure in figures) +
              f" | {sum(taken['bad'] for taken in chosen)} |")
    print(f"\n{cut:,} slow clients were cut and came back")


if __name__ == "__main__":
    main()
