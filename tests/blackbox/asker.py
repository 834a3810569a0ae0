"""tests/blackbox/asker.py -- asks a gateway who it thinks asks, from several addresses of loopback.

127.0.0.2 is a trusted proxy, 127.0.0.3 speaks the PROXY protocol, 127.0.0.4 does both, and 127.0.0.1 is anybody.
"""

import socket
import struct

from support.http_client import Client, request_bytes
from support.waiting import SLOWNESS

ANYBODY, TRUSTED, BALANCER, BOTH = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
OPTIONS = ["--trusted-proxies", f"{TRUSTED},{BOTH}", "--trusted-proxies", "10.0.0.0/8",
           "--proxy-protocol", f"{BALANCER},{BOTH}"]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 443\r\n"
FORWARDED = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.org:444",
             "X-Forwarded-Port": "445", "Forwarded": "for=198.51.100.8;proto=https;host=example.net"}


class UnixClient(Client):
    """A connection to a unix socket."""

    def __init__(self, path):  # pylint: disable=super-init-not-called
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10 * SLOWNESS)
        self.socket.connect(str(path))
        self.buffer = bytearray()


def binary(client="192.0.2.7", server="203.0.113.1", command=0x21, family=0x11, vectors=b""):
    """A header of version 2."""
    kind = socket.AF_INET6 if ":" in client else socket.AF_INET
    block = socket.inet_pton(kind, client) + socket.inet_pton(kind, server) + struct.pack(">HH", 4711, 443) + vectors
    return SIGNATURE + struct.pack(">BBH", command, 0x21 if kind == socket.AF_INET6 else family, len(block)) + block


def who(response):
    """(scheme, client, server) as /echo tells them; META must say the same."""
    echo = response.json()
    meta = echo["META"]
    host, port = echo["client"] or ["", 0]
    assert (meta["REMOTE_ADDR"], meta["REMOTE_HOST"], meta["REMOTE_PORT"]) == (host, host, str(port))
    assert [meta["SERVER_NAME"], meta["SERVER_PORT"]] == [echo["server"][0], str(echo["server"][1] or 0)]
    return echo["scheme"], echo["client"], echo["server"]


def ask(gateway, headers=(), source=ANYBODY, before=b""):
    """Who asked whom, by one request on a connection of its own; its own address is told as ["us", port]."""
    with gateway.connect(source=source) as client:
        client.send(before + request_bytes("GET", "/echo", headers))
        scheme, asked, server = who(client.read_response())
        if asked == list(client.socket.getsockname()):
            asked = "us"
        if server == [gateway.host, gateway.port]:
            server = "here"
        return scheme, asked, server
