#!/usr/bin/python3
"""tools/bench/slowloris.py -- what clients that send a byte of a head now and then cost the others.

The others are wrk: alone; beside slow clients of somebody else, who takes them and never reads, so that what such
clients cost the machine and wrk is seen; and beside slow clients of the gateway. The server has the first CPU, wrk
and slow clients share the last. A slow client that is cut comes back at once, as in an attack. How figures are
taken: rounds.py.
"""

import argparse
import ctypes
import multiprocessing
import os
import select
import signal
import socket
from contextlib import contextmanager

import loads
from rounds import REQUESTS, Case, add_options, begin, run
from servers import LAST, Sluice

BEGUN = b"GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: "
AT_ONCE = 200  # that were cut and come back before others have their turn
PR_SET_PDEATHSIG = 1
TICK = 0.02


def be_on_the_last_cpu():
    """For a process of ours: there, and no longer than we live."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, LAST)


class Elsewhere:
    """A port where whoever comes is taken and never read."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]

    def hold(self):
        """Takes them until killed."""
        be_on_the_last_cpu()
        taken = []
        while True:
            taken.append(self._listener.accept())


class SlowHeads:
    """Connections to a port whose heads never end."""

    def __init__(self, port, options):
        self._port, self._number, self._every = port, options.slow, options.every
        self._open, self._order, self._poll = {}, [], select.epoll()

    def _begin(self):
        one = socket.create_connection(("127.0.0.1", self._port), 10)
        one.send(BEGUN)
        one.setblocking(False)
        self._open[one.fileno()] = one
        self._poll.register(one, select.EPOLLIN)
        self._order.append(one)

    def _come_back(self):
        for descriptor, _ in self._poll.poll(0, AT_ONCE):
            one = self._open.pop(descriptor)
            self._poll.unregister(one)
            one.close()
            self._order.remove(one)
            self._begin()

    def hold(self, pipe):
        """Says so when all are open, then sends a byte here and there until killed."""
        be_on_the_last_cpu()
        while len(self._open) < self._number:
            self._begin()
        pipe.send("open")
        at, due = 0, 0.0
        while not pipe.poll(TICK):
            self._come_back()
            due += self._number / self._every * TICK
            while due >= 1:
                due -= 1
                at = (at + 1) % self._number
                try:
                    self._order[at].send(b"x")
                except OSError:
                    pass  # cut: the poll says so, too


@contextmanager
def ended(process):
    """A process of ours, killed at the end; it is an error if it ended before."""
    process.start()
    try:
        yield process.pid
        if not process.is_alive():
            raise SystemExit("tools/bench: the slow clients, or who took them, ended early")
    finally:
        process.kill()
        process.join()


@contextmanager
def slow_clients(port, options):
    """They are open; the process that holds them."""
    ours, theirs = multiprocessing.Pipe()
    with ended(multiprocessing.Process(target=SlowHeads(port, options).hold, args=(theirs,))) as pid:
        theirs.close()
        try:
            ours.recv()
        except EOFError:
            raise SystemExit(f"tools/bench: {options.slow:,} slow clients could not be opened") from None
        yield pid


def cases(server, options):
    """The others, alone and beside slow clients of either kind."""
    def alone(mark, beside_whom=()):
        mark.set(beside_whom)
        report = loads.wrk(server, options.connections, options.seconds, LAST)
        mark.end(beside_whom)  # before they hang up
        return report

    def beside_somebody_elses(mark):
        elsewhere = Elsewhere()
        with ended(multiprocessing.Process(target=elsewhere.hold)) as taker, slow_clients(elsewhere.port, options) as pid:
            return alone(mark, [taker, pid])

    def beside(mark):
        with slow_clients(server.port, options) as pid:
            return alone(mark, [pid])

    title = f"The others, {options.connections} connections; {options.slow:,} slow ones, a byte each {options.every:g} s"
    for name, load in [("alone", alone), ("beside slow clients of somebody else", beside_somebody_elses),
                       ("beside slow clients of the gateway", beside)]:
        yield Case(title, REQUESTS, name, server, load, reference=load is beside_somebody_elses)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=5, seconds=4)
    parser.add_argument("--slow", type=int, default=10000, help="clients that never finish a head")
    parser.add_argument("--every", type=float, default=10, help="seconds between two bytes of each")
    parser.add_argument("--header-timeout", type=float, default=30, help="the gateway's, in seconds")
    parser.add_argument("--connections", type=int, default=64, help="of the others")
    options = begin(parser, ["slowloris"], "one worker and one consumer")
    server = Sluice(options.build, ["--max-connections", str(2 * options.slow + 1000), "--header-timeout", str(options.header_timeout)])

    run(list(cases(server, options)), options)


if __name__ == "__main__":
    main()
