"""tests/support/websocket_client.py -- RFC 6455 over a raw socket: any frame, well-formed or not."""

import base64
import hashlib
import os
import struct

from support.http_client import Client, Closed

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]  # for a request whose answer is looked at by itself


def frame(opcode, payload=b"", fin=True, mask=b"\x37\xfa\x21\x3d", reserved=0, length=None):
    """One frame as a client sends it; mask=None leaves it unmasked, `length` lies about it."""
    length = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if mask is not None else 0
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", length)
    if mask is None:
        return head + payload
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


class WebSocket:
    """One client connection after its handshake; pings are answered while a message is awaited.

    On a connection of its own, or on `client`, where HTTP was spoken before.
    """

    def __init__(self, gateway, target="/ws", headers=(), timeout=10.0, client=None):
        self.client = client or gateway.connect(timeout)
        self.key = base64.b64encode(os.urandom(16)).decode()
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        self.response = self.client.exchange("GET", target, [
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self.key), *pairs])

    @classmethod
    def opened(cls, gateway, target="/ws", headers=(), timeout=10.0, client=None):
        """A connection whose handshake succeeded, or a failure that says why not."""
        websocket = cls(gateway, target, headers, timeout, client)
        accept = base64.b64encode(hashlib.sha1(websocket.key.encode() + GUID).digest()).decode()
        assert websocket.response.status == 101, websocket.response
        assert websocket.response.header("sec-websocket-accept") == accept
        return websocket

    @classmethod
    def over(cls, client):
        """On a connection whose handshake somebody else has made."""
        websocket = cls.__new__(cls)
        websocket.client = client
        return websocket

    def send(self, data):
        """Sends bytes as they are."""
        self.client.send(data)

    def send_text(self, text):
        """One text message in one frame."""
        self.send(frame(TEXT, text.encode()))

    def send_binary(self, data):
        """One binary message in one frame."""
        self.send(frame(BINARY, data))

    def send_close(self, code=1000, reason=""):
        """A close frame; code None leaves it empty."""
        payload = b"" if code is None else struct.pack(">H", code) + reason.encode()
        self.send(frame(CLOSE, payload))

    def read_frame(self):
        """(opcode, fin, payload) of the next frame; a server's frame is never masked."""
        first, second = self.client.read_exactly(2)
        assert not second & 0x80, "a masked frame from the server"
        assert not first & 0x30, "a reserved bit set by the server"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.client.read_exactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.client.read_exactly(8))
        payload = self.client.read_exactly(length)
        if first & 0x40:
            payload = self.inflate(first & 0x0F, payload)
        return first & 0x0F, bool(first & 0x80), payload

    def inflate(self, _opcode, _payload):
        """What a payload with RSV1 set holds; plain WebSockets get none."""
        raise AssertionError("a reserved bit set by the server")

    def read_message(self):
        """The next message: str or bytes; or ("close", code, reason). Answers pings on the way."""
        pieces, kind = [], None
        pings = 0  # each puts the socket's own time-out off
        while True:
            opcode, fin, payload = self.read_frame()
            if opcode == PING:
                pings += 1
                assert pings < 4, "pings, and no message"
                self.send(frame(PONG, payload))
            elif opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else None
                return ("close", code, payload[2:].decode())
            elif opcode != PONG:
                kind = kind or opcode
                pieces.append(payload)
                if fin:
                    whole = b"".join(pieces)
                    return whole.decode() if kind == TEXT else whole

    def read_close(self):
        """(code, reason) of the close that ends the connection, messages before it dropped."""
        while True:
            message = self.read_message()
            if isinstance(message, tuple):
                return message[1:]

    def echo(self, text):
        """Sends a text and checks that it comes back."""
        self.send_text(text)
        answer = self.read_message()
        assert answer == text, f"sent {text[:80]!r}, got {str(answer)[:80]!r}"

    def close(self):
        """The whole closing handshake, then the socket."""
        self.send_close()
        assert self.read_close()[0] == 1000
        assert self.client.is_closed()
        self.client.close()

    def drop(self):
        """Closes the socket without a word."""
        self.client.close()


__all__ = ["WebSocket", "Closed", "Client", "frame", "TEXT", "BINARY", "CLOSE", "PING", "PONG",
           "CONTINUATION"]
