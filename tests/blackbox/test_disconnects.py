"""tests/blackbox/test_disconnects.py -- clients that leave before their answer: who is told, when, and what leaving is not."""

import signal
import socket

import pytest

from flow import Flow, has_seen
from support.gateway import Gateway
from support.http_client import Client, request_bytes
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until

GONE = "http.disconnect GET /hold"


@pytest.fixture(name="gateway")
def fixture_gateway():
    """A gateway with one consumer, which keeps requests for as long as a test likes."""
    with Gateway("--stuck-timeout", "600", demo=0) as running, Flow(running) as flow:
        running.flow = flow
        yield running


def held(gateway, number=1):
    """A client whose requests the consumer keeps."""
    before = len(gateway.flow.taken())
    client = gateway.connect()
    client.send(request_bytes("GET", "/hold") * number)
    gateway.flow.wait_taken(before + min(number, 64))
    return client


def test_a_reset_is_told_to_the_consumer_at_work_at_once(gateway):
    held(gateway).reset()

    assert gateway.flow.wait_taken(2)[1:] == [GONE]


def test_a_reset_is_seen_while_nothing_is_read(gateway):
    client = held(gateway, 70)  # 64 are out, so no more is read
    has_seen(gateway)
    client.reset()

    assert gateway.flow.wait_taken(128)[64:] == [GONE] * 64


def test_a_reset_is_seen_behind_an_end_that_was_not_leaving(gateway):
    client = held(gateway)
    client.socket.shutdown(socket.SHUT_WR)
    has_seen(gateway)
    assert gateway.flow.taken() == ["http.request GET /hold"]

    client.reset()

    assert gateway.flow.wait_taken(2)[1:] == [GONE]


def test_a_closed_client_is_told_of_when_the_first_piece_it_is_sent_is_refused(gateway):
    held(gateway).close()  # an end, as if it would still read
    has_seen(gateway)
    assert gateway.flow.taken() == ["http.request GET /hold"]

    assert gateway.get("/piece").body == b"plain"

    assert gateway.flow.wait_taken(3)[2] == GONE


def test_a_request_nobody_took_is_withdrawn_with_its_client(gateway):
    gateway.flow.freeze()
    client = gateway.connect()
    client.request("GET", "/never")
    wait_until(lambda: dump(gateway).channel("http.request")["pending"] == 1, "the request waits")
    client.reset()
    has_seen(gateway)

    gateway.flow.go_on()

    assert gateway.get("/next").body == b"plain"
    assert gateway.flow.wait_taken(1) == ["http.request GET /next"]
    gateway.stop()
    gateway.output.wait_for(r"counted withdrawn=1$")


def test_an_end_of_sending_is_not_leaving(gateway):
    client = held(gateway, 3)
    client.socket.shutdown(socket.SHUT_WR)
    has_seen(gateway)

    assert gateway.get("/release").status == 200

    assert [client.read_response().status for _ in range(3)] == [200] * 3
    assert client.is_closed()
    assert GONE not in gateway.flow.taken()
    client.close()


def test_a_client_that_reset_costs_nothing_while_its_consumer_works_on(gateway):
    for n in range(3):
        held(gateway).reset()
        gateway.flow.wait_taken(2 * n + 2)  # else it would count as the next one taken

    assert gateway.get("/release").body == b"plain"  # its answers go nowhere
    assert gateway.get("/").body == b"plain"
    seen = wait_until(lambda: (d := dump(gateway)).blocks("taken") == 0 and d, "nothing is kept of them")
    assert sum(worker["open"] for worker in seen["connections"]) <= 1


# ---- unix sockets: a close can be told from an end of sending


@pytest.fixture(name="local")
def fixture_local(tmp_path):
    """A gateway on a unix socket; gives connections to it."""
    path = tmp_path / "socket"
    with Gateway("--stuck-timeout", "600", demo=0, listen=f"unix:{path}") as running, Flow(running) as flow:
        def connect():
            connected = socket.socket(socket.AF_UNIX)
            connected.settimeout(10 * SLOWNESS)
            connected.connect(str(path))
            return Client.over(connected)
        running.flow, running.connect = flow, connect
        yield running


def test_a_client_that_closes_its_unix_socket_has_left(local):
    held(local).close()

    assert local.flow.wait_taken(2)[1:] == [GONE]


def test_a_client_that_ends_its_sending_on_a_unix_socket_has_not(local):
    client = held(local)
    client.socket.shutdown(socket.SHUT_WR)
    has_seen(local)

    with local.connect() as beside:
        assert beside.exchange("GET", "/release").status == 200

    assert client.read_response().status == 200
    assert client.is_closed()
    assert GONE not in local.flow.taken()
    client.close()


# ---- leaving of our own


def test_a_gateway_that_ends_answers_all_that_was_asked_in_one_go():
    with Gateway("--drain-timeout", "60", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as beside:
        gateway.flow = flow
        client = held(gateway, 3)
        assert beside.exchange("GET", "/").body == b"plain"
        beside.send(b"GET /release HTTP/1.1\r\n")
        has_seen(gateway)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.output.wait_for("worker_leaving")
        beside.send(b"Host: x\r\n\r\n")

        answers = [client.read_response() for _ in range(3)]

        assert [answer.status for answer in answers] == [200] * 3
        assert [answer.header("connection") for answer in answers] == [None, None, "close"]
        assert client.is_closed()
        assert beside.read_response().header("connection") == "close"
        client.close()
