#!/usr/bin/python3
"""tools/bench/bench.py -- Sluice beside nginx: requests, WebSocket echoes, idle connections.

How figures are taken: rounds.py. Layouts: `split` puts the whole server on the first CPU and the load on the
last; `both` lets the consumer share the last CPU with the load.
"""

import argparse

import idle
import loads
from rounds import MESSAGES, REQUESTS, Case, add_options, begin, run
from servers import LAST, Nginx, Sluice


def cases(servers, options):
    """Requests, by the number of connections, and WebSocket messages."""
    for layout in options.layouts.split(","):
        for server in servers:
            for connections in map(int, options.connections.split(",")):
                yield Case(f"HTTP, {connections} connections (layout {layout})", REQUESTS, server.name, server,
                           lambda _, s=server, c=connections: loads.wrk(s, c, options.seconds, LAST), layout,
                           isinstance(server, Nginx))
            if server.speaks_websocket:
                yield Case(f"WebSocket echo of 128 bytes, 64 connections (layout {layout})", MESSAGES, server.name, server,
                           lambda mark, s=server: loads.websockets(
                               options.build, s, "echo", "/ws", 64, 128, options.seconds, LAST, begin=mark.set), layout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=5, seconds=3)
    parser.add_argument("--connections", default="64,256")
    parser.add_argument("--layouts", default="split,both", help="split, both, free")
    parser.add_argument("--idle", type=int, default=10000, help="idle connections; 0: leave them out")
    options = begin(parser, [], "nginx and Sluice with one worker each, Sluice with one consumer")

    run(cases([Nginx(), Sluice(options.build)], options), options)
    if options.idle:
        idle.table(options.build, options.idle, options.seconds)


if __name__ == "__main__":
    main()
