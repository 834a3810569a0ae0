"""tests/blackbox/crowd.py -- thousands of WebSockets that only listen, or not even that, in one process, over epoll."""

import select
import socket
import time

from support.waiting import SLOWNESS

AT_ONCE = 500  # handshakes under way
# Of a connection that never reads: the kernel then holds some tens of KiB for it on both sides together,
# where segments and buffers of loopback would hold megabytes.
SMALL_BUFFER = 4096
SMALL_SEGMENT = 536


class Crowd:
    """Connections that are opened together, and together wait for the same message; `deaf` ones never read.

    In `target`, {} is the connection's number.
    """

    def __init__(self, gateway, number, target, at_once=AT_ONCE, deaf=False):
        self._deaf = deaf
        self._address = (gateway.host, gateway.port)
        self._target = target
        self._epoll = select.epoll()
        self._received = {}
        self._sockets = {}
        self._open(number, at_once)

    def _open(self, number, at_once):
        """Opens so many, some of them at a time; each has its 101 at the end."""
        while len(self._sockets) < number:
            batch = []
            for _ in range(min(at_once, number - len(self._sockets))):
                one = self._connect()
                one.sendall(self._request(len(self._sockets)))
                self._sockets[one.fileno()] = one
                batch.append(one)
            for one in batch:
                answer = b""
                while b"\r\n\r\n" not in answer:
                    piece = one.recv(4096)
                    assert piece, "closed before the handshake's answer"
                    answer += piece
                head, _, rest = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 101 "), head
                self._received[one.fileno()] = rest
                self._epoll.register(one, 0 if self._deaf else select.EPOLLIN)

    def _request(self, number):
        return (f"GET {self._target.format(number)} HTTP/1.1\r\nHost: crowd\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()

    def _connect(self):
        one = socket.socket()
        one.settimeout(10 * SLOWNESS)
        if self._deaf:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
        one.connect(self._address)
        return one

    def __len__(self):
        return len(self._sockets)

    def exchange(self, sent, expected):
        """One after the other sends these bytes, and receives those."""
        for one in self._sockets.values():
            one.sendall(sent)
            answer = b""
            while len(answer) < len(expected):
                piece = one.recv(4096)
                assert piece, "a member was closed"
                answer += piece
            assert answer == expected, answer[:80]

    def wait_for_all(self, expected, seconds=30.0):
        """Waits until every connection has received exactly these bytes since the last time."""
        end = time.monotonic() + seconds * SLOWNESS
        missing = {number for number, got in self._received.items() if got != expected}
        while missing:
            assert time.monotonic() < end, f"{len(missing)} of {len(self)} have not got the message"
            for number, _ in self._epoll.poll(1.0):
                piece = self._sockets[number].recv(65536)
                assert piece, "a member was closed"
                self._received[number] += piece
                if self._received[number] == expected:
                    missing.discard(number)
                assert expected.startswith(self._received[number]), self._received[number][:80]
        self._received = dict.fromkeys(self._received, b"")

    def wait_cut(self, seconds=30.0):
        """Waits until every connection of a deaf crowd was reset."""
        end = time.monotonic() + seconds * SLOWNESS
        left = set(self._sockets)
        while left:
            assert time.monotonic() < end, f"{len(left)} of {len(self)} are still open"
            for number, events in self._epoll.poll(1.0):
                assert events & select.EPOLLERR, f"closed, and not reset: {events}"
                self._epoll.unregister(number)
                left.discard(number)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self._epoll.close()
        for one in self._sockets.values():
            one.close()
