"""tests/blackbox/test_handshakes.py -- WebSocket handshakes as clients put them on the wire (handshakes/README.md)."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from support.gateway import Gateway
from support.websocket_client import GUID, WebSocket

DOCUMENTS = sorted((Path(__file__).parent / "handshakes").glob("*.request"))


@pytest.fixture(name="gateway", scope="module")
def running_gateway():
    with Gateway("--deflate") as gateway:
        yield gateway


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_a_clients_own_handshake_is_accepted(gateway, document, whole):
    raw = document.read_bytes()
    said = {name.lower(): value for name, value in re.findall(rb"^([^ :]+): *(.*?)\r$", raw, re.MULTILINE)}
    with gateway.connect() as client:
        for at in range(0, len(raw), len(raw) if whole else 1):
            client.send(raw[at : at + (len(raw) if whole else 1)])
        response = client.read_response()

        assert response.status == 101, response
        digest = hashlib.sha1(said[b"sec-websocket-key"] + GUID).digest()
        assert response.header("sec-websocket-accept") == base64.b64encode(digest).decode()
        offered = b"permessage-deflate" in said.get(b"sec-websocket-extensions", b"")
        assert (response.header("sec-websocket-extensions") is not None) == offered
        WebSocket.over(client).echo("short enough to travel as it is")


def test_there_are_documents_of_the_browsers_people_use():
    assert {"chromium", "firefox", "safari"} <= {document.stem for document in DOCUMENTS}
