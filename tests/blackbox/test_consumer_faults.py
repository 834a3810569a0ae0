"""tests/blackbox/test_consumer_faults.py -- a consumer's malformed, oversized or late answers.

The client gets 502 (or 500), or the answer is dropped; the worker and every other connection go on.
"""

import pytest

from rogue import Rogue
from support.gateway import Gateway
from support.websocket_client import WebSocket


@pytest.fixture(scope="module")
def gateway():
    """A gateway whose only consumer misbehaves when asked to."""
    with Gateway(demo=0) as running, Rogue(running) as rogue:
        running.rogue = rogue
        worker = running.wait_role("worker", 1)
        yield running
        assert running.roles()["worker"] == worker, "the worker died of what a consumer sent"


def ask(gateway, what):
    """The answer to what the consumer does; a connection beside it must not notice."""
    with gateway.connect() as beside:
        assert beside.exchange("GET", "/plain").body == b"plain"
        answer = gateway.get(f"/rogue/{what}")
        assert beside.exchange("GET", "/plain").body == b"plain"
    return answer


@pytest.mark.parametrize("what", [
    "reserved-byte", "cut-short", "bad-utf8", "nested", "content-is-a-list", "status-is-text", "status-0", "status-99",
    "status-1000", "status--200", "crlf-in-value", "lf-in-value", "nul-in-value", "space-in-name",
    "crlf-in-name", "empty-name", "crlf-in-type", "huge-header"])
def test_a_malformed_answer_is_502_for_the_client_alone(gateway, what):
    response = ask(gateway, what)

    assert response.status in (500, 502)
    assert response.header("x-evil") is None and b"Evil" not in response.body


def test_an_answer_too_large_is_an_error_to_its_sender(gateway):
    assert ask(gateway, "too-large").body == b"message too large"


def test_a_client_that_takes_its_answer_slowly_is_not_idle():
    with Gateway("--keepalive-timeout", "0.2", demo=0) as gateway, Rogue(gateway), gateway.connect() as client:
        client.request("GET", "/rogue/large")
        length = int(client.read_head().header("content-length"))
        for _ in range(2):
            with gateway.connect() as beside:
                assert beside.exchange("GET", "/plain").status == 200
                assert beside.is_closed()  # idle for as long as our answer waits

        assert len(client.read_exactly(length)) == length


def test_an_invalid_channel_name_is_an_error_to_its_sender(gateway):
    assert ask(gateway, "bad-channel").body == b"invalid channel name"


def test_a_second_answer_never_reaches_the_next_request(gateway):
    with gateway.connect() as client:
        for _ in range(20):
            assert client.exchange("GET", "/rogue/twice").body == b"plain"
            assert client.exchange("GET", "/plain").body == b"plain"


def test_answers_to_other_addresses_reach_nobody(gateway):
    clients = [gateway.connect() for _ in range(5)]
    assert all(client.exchange("GET", "/plain").body == b"plain" for client in clients)

    assert ask(gateway, "foreign").body == b"plain"

    for client in clients:
        assert client.exchange("GET", "/plain").body == b"plain"
        client.close()


@pytest.mark.parametrize("what", ["own-length", "own-framing", "own-connection"])
def test_the_gateway_frames_answers_itself(gateway, what):
    with gateway.connect() as client:
        response = client.exchange("GET", f"/rogue/{what}")

        assert response.status in (200, 500, 502)
        if response.status == 200:
            assert response.body == b"plain"
            assert response.header("transfer-encoding") is None
            assert [value for key, value in response.headers if key == "content-length"] == ["5"]
        assert client.exchange("GET", "/plain").body == b"plain"


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(gateway, status):
    with gateway.connect() as client:
        assert client.exchange("GET", f"/rogue/status-{status}").status == status
        assert client.exchange("GET", "/plain").body == b"plain"


@pytest.mark.parametrize("said,code", [("close", 1000), ("close 1001", 1001), ("close 4321", 4321)])
def test_a_consumer_closes_a_websocket_with_its_code(gateway, said, code):
    websocket = WebSocket.opened(gateway, "/rogue/ws")

    websocket.send_text(said)

    assert websocket.read_close()[0] == code
    websocket.drop()


def test_a_consumer_may_say_something_and_close(gateway):
    websocket = WebSocket.opened(gateway, "/rogue/ws")

    websocket.send_text("say and close")

    assert websocket.read_message() == "bye"
    assert websocket.read_message()[:2] == ("close", 1000)
    websocket.drop()


@pytest.mark.parametrize("said", ["bad utf8", "text in bytes", "reserved byte", "close 999", "close 1005", "close 5000"])
def test_a_malformed_send_to_a_websocket_never_reaches_the_wire(gateway, said):
    websocket = WebSocket.opened(gateway, "/rogue/ws")
    beside = WebSocket.opened(gateway, "/rogue/ws")

    websocket.send_text(said)
    websocket.send_text("after")

    # Dropped, or the connection closed with a code of our own; nothing malformed comes.
    message = websocket.read_message()
    assert message == "after" or (message[0] == "close" and message[1] in (1000, 1011, 1002))
    beside.echo("beside")
    websocket.drop()
    beside.drop()
