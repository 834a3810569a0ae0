"""tests/blackbox/test_websocket.py -- RFC 6455 as a client sees it, echoed by the demo consumer."""

import json
import os
import struct

import pytest

from support.gateway import Gateway
from support.http_client import request_bytes
from support.websocket_client import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, WebSocket,
                                      frame)


@pytest.fixture
def websocket(gateway):
    """An open echo connection."""
    opened = WebSocket.opened(gateway)
    yield opened
    opened.drop()


def offer(gateway, headers, method="GET", version="HTTP/1.1"):
    """The answer to a handshake with exactly these headers."""
    with gateway.connect() as client:
        return client.exchange(method, "/ws", headers, version=version)


GOOD = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def test_the_handshake_of_the_rfc_is_answered_with_its_accept(gateway):
    response = offer(gateway, GOOD)

    assert response.status == 101
    assert response.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert response.header("upgrade").lower() == "websocket"
    assert response.header("connection").lower() == "upgrade"


@pytest.mark.parametrize("changed,status", [
    ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
    ({"Sec-WebSocket-Key": "not base64 at all!!!!!!="}, 400),
    ({"Sec-WebSocket-Key": None}, 400),
    ({"Sec-WebSocket-Version": "12"}, 426),
    ({"Sec-WebSocket-Version": None}, 426),
], ids=str)
def test_a_bad_handshake_is_refused(gateway, changed, status):
    headers = {key: value for key, value in {**GOOD, **changed}.items() if value is not None}

    response = offer(gateway, headers)

    assert response.status in (status, 400)
    if response.status == 426:
        assert response.header("sec-websocket-version") == "13"


def test_upgrade_and_connection_are_lists_of_tokens_in_any_case(gateway):
    assert offer(gateway, {**GOOD, "Upgrade": "WebSocket", "Connection": "keep-alive, UPGRADE"}).status == 101


def test_another_upgrade_is_ignored_and_the_request_answered(gateway):
    with gateway.connect() as client:
        for _ in range(2):
            response = client.exchange("GET", "/", {"Upgrade": "h2c", "Connection": "Upgrade"})
            assert (response.status, response.body) == (200, b"Hello, World!")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1 << 20])
def test_a_text_of_any_size_comes_back(websocket, size):
    websocket.echo("x" * size)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536, 1 << 20])
def test_binary_comes_back_as_binary(websocket, size):
    payload = os.urandom(size)

    websocket.send_binary(payload)

    assert websocket.read_message() == payload


def test_text_beyond_ascii_comes_back(websocket):
    websocket.echo("κόσμε \N{SNOWMAN} \U0001f600 \0 ퟿")


def test_many_messages_come_back_in_order(websocket):
    number = 2000

    websocket.send(b"".join(frame(TEXT, b"%d" % i) for i in range(number)))

    assert [websocket.read_message() for _ in range(number)] == [str(i) for i in range(number)]


def test_frames_may_come_byte_by_byte(websocket):
    for byte in frame(TEXT, "ünï".encode()) + frame(PING, b"p"):
        websocket.send(bytes([byte]))

    frames = {websocket.read_frame()[0]: True for _ in range(2)}

    assert frames == {TEXT: True, PONG: True}


def test_the_first_message_may_come_with_the_handshake(gateway):
    with gateway.connect() as client:
        client.send(request_bytes("GET", "/ws", GOOD) + frame(TEXT, b"early"))

        assert client.read_response().status == 101
        assert client.read_exactly(7) == b"\x81\x05early"


def test_fragments_arrive_as_one_message(websocket):
    websocket.send(frame(TEXT, b"one ", fin=False) + frame(CONTINUATION, b"two ", fin=False))
    websocket.send(frame(CONTINUATION, b"three"))

    assert websocket.read_message() == "one two three"


def test_a_character_may_be_split_between_fragments(websocket):
    snowman = "\N{SNOWMAN}".encode()

    websocket.send(frame(TEXT, snowman[:1], fin=False) + frame(CONTINUATION, snowman[1:]))

    assert websocket.read_message() == "\N{SNOWMAN}"


def test_a_ping_between_fragments_is_answered_between_them(websocket):
    websocket.send(frame(TEXT, b"a", fin=False) + frame(PING, b"now"))

    assert websocket.read_frame() == (PONG, True, b"now")
    websocket.send(frame(CONTINUATION, b"b"))
    assert websocket.read_message() == "ab"


@pytest.mark.parametrize("payload", [b"", b"ping", bytes(range(125))], ids=["empty", "short", "longest"])
def test_a_ping_is_answered_with_its_payload(websocket, payload):
    websocket.send(frame(PING, payload))

    assert websocket.read_frame() == (PONG, True, payload)


def test_pings_are_answered_in_order(websocket):
    websocket.send(b"".join(frame(PING, b"%d" % i) for i in range(10)))

    assert [websocket.read_frame() for _ in range(10)] == [(PONG, True, b"%d" % i) for i in range(10)]


def test_a_pong_nobody_asked_for_is_ignored(websocket):
    websocket.send(frame(PONG, b"unasked"))

    websocket.echo("still here")


def test_a_close_is_answered_with_its_code_and_the_socket_closed(websocket):
    websocket.send_close(1000, "done")

    assert websocket.read_close()[0] == 1000
    assert websocket.client.is_closed()


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 4999])
def test_a_valid_close_code_is_given_back(websocket, code):
    websocket.send_close(code)

    assert websocket.read_close()[0] == code


def test_a_close_without_a_code_is_answered(websocket):
    websocket.send_close(None)

    assert websocket.read_close()[0] in (None, 1000)
    assert websocket.client.is_closed()


LONG = b"x" * ((1 << 20) + 1)
FAULTS = {
    "an unmasked frame": (frame(TEXT, b"a", mask=None), 1002),
    "a reserved bit": (frame(TEXT, b"a", reserved=4), 1002),
    "a reserved opcode": (frame(0x3, b"a"), 1002),
    "a reserved control opcode": (frame(0xB, b"a"), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "a new message within another": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a fragmented ping": (frame(PING, b"a", fin=False), 1002),
    "a ping of 126 bytes": (frame(PING, b"a" * 126), 1002),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close code below 1000": (frame(CLOSE, struct.pack(">H", 999)), 1002),
    "a close code of the reserved": (frame(CLOSE, struct.pack(">H", 1005)), 1002),
    "a close code nobody defined": (frame(CLOSE, struct.pack(">H", 2000)), 1002),
    "a close code beyond 4999": (frame(CLOSE, struct.pack(">H", 5000)), 1002),
    "a close reason that is no UTF-8": (frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), (1002, 1007)),
    "a text that is no UTF-8": (frame(TEXT, b"\xce\xba\xff"), 1007),
    "a text that ends within a character": (frame(TEXT, b"\xe2\x98"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "an overlong form": (frame(TEXT, b"\xc0\xaf"), 1007),
    "bad UTF-8 in a later fragment": (frame(TEXT, b"ok", fin=False) + frame(CONTINUATION, b"\xff"), 1007),
    "a message too long": (frame(BINARY, LONG), 1009),
    "fragments too long together": (frame(BINARY, LONG[: 1 << 19], fin=False)
                                    + frame(CONTINUATION, LONG[: (1 << 19) + 1]), 1009),
    "more fragments than a message may have": (frame(TEXT, b"a", fin=False)
                                               + frame(CONTINUATION, b"a", fin=False) * (128 << 10), 1009),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_the_connection_with_its_code(gateway, websocket, name):
    data, codes = FAULTS[name]

    websocket.send(data)

    assert websocket.read_close()[0] in (codes if isinstance(codes, tuple) else (codes,))
    assert websocket.client.is_closed()
    WebSocket.opened(gateway).close()


def test_a_frame_that_lies_about_an_impossible_length_is_refused(websocket):
    websocket.send(b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0")

    assert websocket.read_close()[0] in (1002, 1009)


def test_bad_utf8_fails_before_its_frame_is_complete(websocket):
    whole = frame(TEXT, b"\xff" + b"a" * 60000)

    websocket.send(whole[:1000])

    assert websocket.read_close()[0] == 1007


def test_a_client_that_vanishes_harms_nobody(gateway):
    for _ in range(20):
        vanishing = WebSocket.opened(gateway)
        vanishing.send_text("never read")
        vanishing.drop()

    WebSocket.opened(gateway).close()


def test_a_silent_client_is_pinged_and_then_cut():
    with Gateway("--ping-interval", "0.2", "--ping-timeout", "0.2") as gateway:
        silent = WebSocket.opened(gateway)

        assert silent.read_frame()[0] == PING
        try:
            while silent.read_frame():
                pass
        except (Closed, ConnectionResetError):
            pass  # cut, with or without a close frame before
        silent.drop()


def test_a_client_that_answers_pings_stays():
    with Gateway("--ping-interval", "0.1", "--ping-timeout", "1") as gateway:
        websocket = WebSocket.opened(gateway)

        for _ in range(5):
            opcode, _, payload = websocket.read_frame()
            assert opcode == PING
            websocket.send(frame(PONG, payload))

        websocket.echo("here")
        websocket.close()


def test_many_connections_echo_side_by_side(gateway):
    opened = [WebSocket.opened(gateway) for _ in range(200)]
    for turn in range(5):
        for number, websocket in enumerate(opened):
            websocket.send_text(f"{turn} {number}")
        for number, websocket in enumerate(opened):
            assert websocket.read_message() == f"{turn} {number}"
    for websocket in opened:
        websocket.close()


def test_chat_tells_everybody_what_one_says(gateway):
    names = {f"listener {i}" for i in range(4)}
    listeners = [WebSocket.opened(gateway, f"/chat?name=listener+{i}") for i in range(4)]
    # Processes tell each other: who speaks is heard by those its own process knows of.
    while not names <= set(json.loads(listeners[0].read_message()).get("names", [])):
        pass

    listeners[0].send_text("hello all")

    for listener in listeners:
        while "hello all" not in listener.read_message():
            pass
        listener.drop()
