"""tests/support/http_client.py -- HTTP/1.1 over a raw socket: says exactly what a test wants said."""

import json
import select
import socket
import struct
from dataclasses import dataclass, field

from support.waiting import SLOWNESS


@dataclass
class Response:
    """One answer, its body decoded from its framing."""

    status: int
    reason: str
    version: str
    headers: list = field(default_factory=list)  # [(lower-cased name, value)], in order
    body: bytes = b""

    def header(self, name, default=None):
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name.lower()), default)

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


def request_bytes(method, target, headers=(), body=None, version="HTTP/1.1", host="test"):
    """A well-formed request; Content-Length is added for a body unless the headers frame it."""
    lines = [f"{method} {target} {version}"]
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    if host is not None and "host" not in names:
        lines.append(f"Host: {host}")
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in pairs]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(*pieces):
    """The pieces as a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Closed(AssertionError):
    """The gateway closed the connection where an answer was expected."""


class Client:
    """One connection, from the address `source`. Reads fail with socket.timeout after `timeout` seconds."""

    def __init__(self, host, port, timeout=10.0, source=None):
        self.socket = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    @classmethod
    def over(cls, connected):
        """A connection that somebody else has made."""
        client = cls.__new__(cls)
        client.socket, client.buffer = connected, bytearray()
        return client

    def reset(self):
        """Leaves with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def request(self, method, target, headers=(), body=None, **more):
        """Sends one well-formed request."""
        self.send(request_bytes(method, target, headers, body, **more))

    def exchange(self, method, target, headers=(), body=None, **more):
        """Sends one request and reads its answer."""
        self.request(method, target, headers, body, **more)
        return self.read_response(method)

    def has_input(self, seconds):
        """Whether anything came, or comes within so many seconds; the end of the connection is something."""
        return bool(self.buffer or select.select([self.socket], [], [], seconds * SLOWNESS)[0])

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def read_until(self, mark):
        """Bytes up to and with the mark."""
        while mark not in self.buffer:
            if not self._more():
                raise Closed(f"closed after {bytes(self.buffer[:200])!r}")
        end = self.buffer.index(mark) + len(mark)
        return self._take(end)

    def read_exactly(self, number):
        """So many bytes."""
        while len(self.buffer) < number:
            if not self._more():
                raise Closed(f"closed {number - len(self.buffer)} bytes short of {number}")
        return self._take(number)

    def read_to_end(self):
        """All that comes until the gateway closes; a reset is an end too."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        return self._take(len(self.buffer))

    def _take(self, number):
        data = bytes(self.buffer[:number])
        del self.buffer[:number]
        return data

    def read_head(self):
        """Status line and headers of the next answer, interim ones too."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, *reason = lines[0].split(" ", 2)
        headers = []
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        return Response(int(status), "".join(reason), version, headers)

    def read_chunk(self):
        """The next chunk of a chunked body; b"" is the last."""
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n"
        return data

    def read_response(self, method="GET", interim=False):
        """The next answer; 1xx are passed over unless `interim`."""
        response = self.read_head()
        while 100 <= response.status < 200 and response.status != 101 and not interim:
            response = self.read_head()
        if method == "HEAD" or response.status in (101, 204, 304) or response.status < 200:
            return response
        if response.header("transfer-encoding") == "chunked":
            while chunk := self.read_chunk():
                response.body += chunk
        elif response.header("content-length") is not None:
            response.body = self.read_exactly(int(response.header("content-length")))
        else:
            response.body = self.read_to_end()
        return response

    def is_closed(self):
        """Waits for the gateway to close; false when it sends something instead."""
        if self.buffer:
            return False
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def close(self):
        """Closes our side."""
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
