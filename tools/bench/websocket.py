#!/usr/bin/python3
"""tools/bench/websocket.py -- WebSockets of Sluice beside python3-websockets and npm's ws, both of Debian.

Echoes and broadcasts; how figures are taken: rounds.py. Every server has the first CPU, the load the last. An
echo of Sluice is the demo consumer's, a broadcast that of bench_consumer: one group_send each. The rivals are
one process each (ws_server.py, ws_server.js), without compression, which the load does not offer either. Any
other server that echoes can be named: --rival 'uWebSockets=/tmp/its_echo {port}'.
"""

import argparse

import loads
from rounds import MESSAGES, Case, add_options, begin, run
from servers import LAST, NodeWs, PythonWebsockets, Rival, Sluice, SluiceBench

SIZE = 128


def cases(options):
    """Every load on every server."""
    sluice, room = Sluice(options.build), SluiceBench(options.build)
    rivals = [PythonWebsockets(), NodeWs()]
    echoes = [(64, 1), (500, 1), (64, 8)]
    for connections, depth in echoes:
        under_way = f", {depth} under way on each" if depth > 1 else ""
        for server in [sluice, *rivals, *options.rival]:
            yield Case(f"Echo of {SIZE} bytes, {connections} connections{under_way}", MESSAGES, server.name, server,
                       lambda mark, s=server, c=connections, d=depth: loads.websockets(
                           options.build, s, "echo", "/ws", c, SIZE, options.seconds, LAST, d, mark.set),
                       reference=server is sluice)
    for server in [room, *rivals]:
        yield Case(f"Broadcast of {SIZE} bytes to {options.members:,}, 4 under way; a message is one client's getting it",
                   MESSAGES, server.name, server,
                   lambda mark, s=server: loads.websockets(
                       options.build, s, "broadcast", "/all", options.members, SIZE, options.seconds, LAST, 4, mark.set),
                   reference=server is room)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=4, seconds=2, patience=3, retries=1)
    parser.add_argument("--members", type=int, default=1000, help="of a broadcast")
    parser.add_argument("--rival", type=Rival.named, action="append", default=[], metavar="NAME=COMMAND",
                        help="one more server at 127.0.0.1:{port} that echoes on /ws, and says Hello, World! on /")
    options = begin(parser, ["websocket"], "Sluice with one worker and one consumer, Debian's one process each; "
                    f"{PythonWebsockets.version()}, {NodeWs.version()}")

    run(cases(options), options)


if __name__ == "__main__":
    main()
