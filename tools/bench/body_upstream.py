#!/usr/bin/python3
"""tools/bench/body_upstream.py -- what nginx passes bodies to: reads them to the end, or gives N MiB for /…/pour?N.

body_upstream.py PORT

Blocking sockets, a thread for each connection: as little of its own as there can be beside the kernel's copying.
"""

import re
import socket
import sys
import threading

MIB = 1 << 20
HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"


def serve(client):
    """One connection, until it ends. No chunked bodies: the load sends none."""
    buffer, piece = bytearray(MIB), bytes(MIB)
    with client:
        while True:
            head, rest = b"", b""
            while b"\r\n\r\n" not in head:
                got = client.recv(65536)
                if not got:
                    return
                head += got
            head, _, rest = head.partition(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            left = int(length[1]) - len(rest) if length else 0
            while left > 0:
                got = client.recv_into(buffer, min(left, MIB))
                if not got:
                    return
                left -= got
            poured = re.match(rb"GET \S*/pour\?(\d+) ", head)
            if not poured:
                client.sendall(HELLO)
                if b"\r\nconnection: close" in head.lower():
                    return
                continue
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (int(poured[1]) * MIB))
            for _ in range(int(poured[1])):
                client.sendall(piece)


def quietly(client):
    """A client that left is no news."""
    try:
        serve(client)
    except OSError:
        pass


with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
    while True:
        threading.Thread(target=quietly, args=(listener.accept()[0],), daemon=True).start()
