"""tests/blackbox/test_deflate.py -- permessage-deflate (RFC 7692) over a real socket, echoed by the demo."""

import asyncio
import contextlib
import json
import zlib

import pytest
import websockets

from speaker import Speaker
from support.deflate_client import OFFER, DeflatingWebSocket
from support.gateway import Gateway
from support.websocket_client import BINARY, CONTINUATION, TEXT, WebSocket, frame

NONE_KEPT = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LONG = json.dumps([{"id": number, "name": f"name {number}", "tags": ["a", "b"]} for number in range(200)])


@pytest.fixture(scope="module", name="deflating")
def fixture_deflating():
    """A gateway that deflates, with the largest messages there are."""
    with Gateway("--deflate", "--max-message", "16M", demo=1) as gateway:
        yield gateway


@contextlib.contextmanager
def opened(gateway, offer=OFFER):
    """A WebSocket with what was agreed on that offer."""
    websocket = DeflatingWebSocket.opened(gateway, "/ws", offer)
    yield websocket
    websocket.drop()


def test_it_is_off_unless_asked_for(gateway):
    with opened(gateway) as websocket:
        assert websocket.terms is None


@pytest.mark.parametrize("offer,terms", [
    ("permessage-deflate", NONE_KEPT),
    (OFFER, NONE_KEPT),
    ("permessage-deflate; server_max_window_bits=10", NONE_KEPT + "; server_max_window_bits=10"),
    ("permessage-deflate; server_max_window_bits=15", NONE_KEPT + "; server_max_window_bits=15"),
    ("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9",
     NONE_KEPT + "; server_max_window_bits=9"),
    ("permessage-deflate; nonsense", None),
    ("permessage-bzip2", None),
])
def test_what_is_offered_is_answered(deflating, offer, terms):
    with opened(deflating, offer) as websocket:
        assert websocket.terms == terms
        if terms:
            websocket.echo(LONG)
            assert websocket.received_deflated == 1


def test_a_malformed_offer_is_refused(deflating):
    assert WebSocket(deflating, headers={"Sec-WebSocket-Extensions": "permessage-deflate; ="}).response.status == 400


@pytest.mark.parametrize("options", [("--deflate",), ("--deflate", "own")], ids=" ".join)
def test_messages_of_all_sizes_come_back_as_they_were(options):
    with Gateway(*options, "--max-message", "16M") as gateway, opened(gateway) as websocket:
        for size in (0, 1, 255, 256, 1000, 65536, 1000000, 16 * 1024 * 1024):
            text = (LONG * (size // len(LONG) + 1))[:size]
            websocket.echo(text)
            websocket.send_binary(text.encode())
            assert websocket.read_message() == text.encode()
        assert websocket.received_deflated == 2 * 5


def test_own_contexts_make_a_repeated_message_small():
    with Gateway("--deflate", "own") as gateway, opened(gateway) as websocket:
        assert websocket.terms == "permessage-deflate"
        websocket.echo(LONG)
        first = websocket.payload_bytes
        websocket.echo(LONG)
        assert websocket.payload_bytes < first / 3


def test_fragments_cut_anywhere_are_put_together(deflating):
    with opened(deflating) as websocket:
        packed = websocket.deflated(LONG.encode())
        for size in (1, 100, len(packed) - 1):
            pieces = [packed[at:at + size] for at in range(0, len(packed), size)]
            websocket.send(b"".join(
                frame(CONTINUATION if at else TEXT, piece, fin=at == len(pieces) - 1, reserved=0 if at else 4)
                for at, piece in enumerate(pieces)))
            assert websocket.read_message() == LONG


def test_a_bomb_is_refused_at_the_message_limit(deflating):
    with opened(deflating) as websocket:
        packer = zlib.compressobj(9, wbits=-15)
        piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        websocket.send(frame(BINARY, piece * 100, reserved=4))

        assert websocket.read_close()[0] == 1009


@pytest.mark.parametrize("packed", [b"\xff\xff", b"\xf2\x48\xcd", b""], ids=["garbage", "cut", "empty"])
def test_what_cannot_be_inflated_is_1007(deflating, packed):
    with opened(deflating) as websocket:
        websocket.send(frame(TEXT, packed, reserved=4))

        assert websocket.read_close()[0] == 1007


def test_a_client_of_another_make_understands_us(deflating):
    async def talk():
        url = f"ws://{deflating.host}:{deflating.port}/ws"
        async with websockets.connect(url, max_size=None) as websocket:
            assert "PerMessageDeflate" in str(websocket.extensions)
            for message in ("short", LONG, LONG.encode() * 20, "ü" * 100000):
                await websocket.send(message)
                assert await asyncio.wait_for(websocket.recv(), 30) == message
    asyncio.run(talk())


def test_a_group_gets_a_message_each_in_the_form_it_agreed():
    with Gateway("--deflate", workers=2, demo=0) as gateway, Speaker(gateway) as speaker:
        with contextlib.ExitStack() as stack:
            offers = [OFFER, "permessage-deflate; server_max_window_bits=9", None]
            members = [DeflatingWebSocket.opened(gateway, "/?group=all", offer) if offer
                       else WebSocket.opened(gateway, "/?group=all") for offer in offers * 4]
            for member in members:
                stack.callback(member.drop)
            speaker.wait_added(len(members))
            text = "some words to be said to all of them, " * 50

            speaker.send("all", text.strip())

            for member, offer in zip(members, offers * 4):
                assert member.read_message() == text.strip()
                assert getattr(member, "received_deflated", 0) == (1 if offer else 0)
