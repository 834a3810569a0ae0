"""tests/support/deflate_client.py -- a WebSocket client that speaks permessage-deflate, by zlib alone."""

import re
import zlib

from support.websocket_client import BINARY, TEXT, WebSocket, frame

OFFER = "permessage-deflate; client_max_window_bits"  # Chromium's


class DeflatingWebSocket(WebSocket):
    """What it sends is deflated; `received_deflated` counts what came so."""

    def __init__(self, gateway, target="/ws", offer=OFFER, timeout=10.0, client=None):
        super().__init__(gateway, target, [("Sec-WebSocket-Extensions", offer)], timeout, client)
        self.terms = self.response.header("sec-websocket-extensions")
        terms = self.terms or ""
        bits = re.search(r"server_max_window_bits=(\d+)", terms)
        self._window_bits = int(bits[1]) if bits else 15
        self._server_keeps = "server_no_context_takeover" not in terms
        self._client_keeps = "client_no_context_takeover" not in terms
        self._inflater = self._deflater = None
        self.received_deflated = 0
        self.payload_bytes = 0  # of the last message that came deflated

    def deflated(self, data):
        """A message's payload as it travels."""
        if self._deflater is None or not self._client_keeps:
            self._deflater = zlib.compressobj(wbits=-15)
        packed = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(b"\0\0\xff\xff")
        return packed[:-4]

    def inflate(self, opcode, payload):
        assert self.terms and opcode in (TEXT, BINARY), "RSV1 where nothing is deflated"
        if self._inflater is None or not self._server_keeps:
            self._inflater = zlib.decompressobj(wbits=-self._window_bits)
        self.received_deflated += 1
        self.payload_bytes = len(payload)
        return self._inflater.decompress(payload + b"\0\0\xff\xff")

    def send_text(self, text):
        self.send(frame(TEXT, self.deflated(text.encode()), reserved=4))

    def send_binary(self, data):
        self.send(frame(BINARY, self.deflated(data), reserved=4))
