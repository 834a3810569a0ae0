#!/usr/bin/python3
"""tools/bench/idle.py -- what connections that say nothing cost: memory of ours, of the kernel, and CPU.

Each kind has a gateway of its own, with one worker and one consumer. User bytes are what became resident
and anonymous in worker and consumer (RssAnon), and pages of their memfds. Kernel bytes are slab (sockets,
files, epoll entries: Slab of /proc/meminfo) and socket buffers (TCP mem of /proc/net/sockstat), both of the
whole machine: they count both ends of each connection, as the clients are here, too, and whatever else
opens sockets meanwhile. `again` is what user bytes grew by when all had gone and as many had come once more.
"""

import argparse
import select
import shlex
import socket
import struct
import sys
import time
import zlib

import accounting
from servers import ROOT, Sluice

AT_ONCE = 100  # being opened
OWN_MOST = 1000  # connections with contexts of their own: some 300 KiB each
PER_ADDRESS = 20000  # a source address has some 28,000 ports; on loopback there are more addresses

PLAIN = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
DEFLATE = PLAIN + "Sec-WebSocket-Extensions: permessage-deflate\r\n"
WORDS = b"what a client says once, before it falls silent: " * 16  # long enough to be deflated


def frame(payload, deflated):
    """A text message as a client sends it, under a mask of zeros."""
    first = 0xC1 if deflated else 0x81
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([first]) + size + bytes(4) + payload


def deflated(words):
    """A message's payload after RFC 7692, section 7.2.1."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(words) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Kind:
    """A way to be connected: the gateway's options, the request that begins it, what is said once."""

    def __init__(self, name, path, lines, options=(), says=b"", most=None):
        self.name, self.path, self.lines, self.options, self.says, self.most = name, path, lines, options, says, most


KINDS = [
    Kind("WebSocket", "/ws", PLAIN),
    Kind("WebSocket after a message and its echo", "/ws", PLAIN, says=frame(WORDS, False)),
    Kind("WebSocket, `--deflate`, after a message and its echo", "/ws", DEFLATE, ["--deflate"],
         frame(deflated(WORDS), True)),
    Kind("WebSocket, `--deflate own`, after a message and its echo", "/ws", DEFLATE, ["--deflate", "own"],
         frame(deflated(WORDS), True), OWN_MOST),
    Kind("HTTP, kept alive after one request", "/", ""),
]


class Crowd:
    """Connections that were opened, perhaps said something once, and say no more."""

    def __init__(self, server, kind, number):
        self.sockets = []
        request = f"GET {kind.path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{kind.lines}\r\n".encode()
        while len(self.sockets) < number:
            batch = [self._begun(server, request) for _ in range(min(AT_ONCE, number - len(self.sockets)))]
            for one in batch:
                self._read_head(one)
                if kind.says:
                    one.sendall(kind.says)
            for one in batch if kind.says else []:
                self._read_frame(one)

    def _begun(self, server, request):
        address = len(self.sockets) // PER_ADDRESS
        one = socket.create_connection(("127.0.0.1", server.port), 30, (f"127.0.0.{1 + address}", 0) if address else None)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves no port waiting behind
        self.sockets.append(one)
        one.sendall(request)
        return one

    @staticmethod
    def _read_head(one):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = one.recv(4096)
            if not piece or not (head + piece).startswith((b"HTTP/1.1 1", b"HTTP/1.1 2")):
                raise SystemExit(f"idle: refused: {(head + piece)[:80]!r}")
            head += piece

    @staticmethod
    def _read_frame(one):
        got = one.recv(4096)
        while len(got) < 2 or len(got) < 2 + (got[1] if got[1] < 126 else 2 + struct.unpack(">H", got[2:4])[0]):
            piece = one.recv(4096)
            if not piece:
                raise SystemExit("idle: a connection ended that should be silent")
            got += piece

    def close(self):
        """Ends them; how many were still open."""
        poll = select.poll()
        for one in self.sockets:
            poll.register(one, select.POLLRDHUP)
        gone = len(poll.poll(0))
        for one in self.sockets:
            one.close()
        return len(self.sockets) - gone


def bytes_used(server):
    """{where: bytes} now."""
    return {"worker": accounting.anonymous_bytes(server.role("worker")),
            "consumer": accounting.anonymous_bytes(server.role("demo")),
            "shared": accounting.shared_bytes(server.pids()),
            "slab": accounting.slab_bytes(),
            "buffers": accounting.tcp_buffer_bytes()}


def user(used):
    """The part of them that is ours."""
    return used["worker"] + used["consumer"] + used["shared"]


def row(build, kind, number, settled):
    """The table's line for one kind."""
    number = min(number, kind.most or number)
    server = Sluice(build, ["--max-connections", str(number + 100), *kind.options])
    server.start()
    try:
        Crowd(server, kind, AT_ONCE).close()  # so that what the first ones cost is not counted
        time.sleep(settled)
        before = bytes_used(server)
        crowd = Crowd(server, kind, number)
        time.sleep(settled)
        after = bytes_used(server)
        cpu = accounting.cpu_ns(server.pids())
        time.sleep(settled)
        cpu = (accounting.cpu_ns(server.pids()) - cpu) / settled / 1e9
        alive = crowd.close()
        time.sleep(settled)
        crowd = Crowd(server, kind, number)
        time.sleep(settled)
        again = user(bytes_used(server)) - user(after)
        crowd.close()
    finally:
        server.stop()
    each = {where: (after[where] - before[where]) / number for where in after}
    return (f"| {kind.name} | {alive:,} | {each['worker']:,.0f} | {each['consumer']:,.0f} | {each['shared']:,.0f} | "
            f"**{(user(after) - user(before)) / number:,.0f}** | {again / number:,.0f} | {each['slab']:,.0f} | "
            f"{each['buffers']:,.0f} | {cpu * 100:.2f} % |")


def table(build, number, settled):
    """Prints what each kind costs; `settled` seconds are given to what follows a handshake."""
    print(f"\n### {number:,} idle connections, bytes each (`--deflate own`: at most {OWN_MOST:,})\n"
          "| connection | alive | worker | consumer | shared memory | user, all | again | kernel slab, both ends | "
          "TCP buffers, both ends | CPU while idle |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for kind in KINDS:
        print(row(build, kind, number, settled), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help=argparse.SUPPRESS)
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--settled", type=float, default=2.0, help="seconds for what follows a handshake to be over")
    options = parser.parse_args()
    accounting.allow_descriptors()
    print(f"machine: {accounting.machine()}\ncommit: {accounting.commit(ROOT)}\n"
          f"command: {shlex.join(['tools/dev', 'bench', 'idle', *sys.argv[1:]])}")
    table(options.build, options.connections, options.settled)


if __name__ == "__main__":
    main()
