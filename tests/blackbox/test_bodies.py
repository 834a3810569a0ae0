"""tests/blackbox/test_bodies.py -- request bodies: inline or streamed with credit, in bounded memory, refused; 100-continue."""

import threading

import pytest

from flow import MIB, OCTETS, Flow, has_seen
from support import processes
from support.gateway import Gateway
from support.http_client import chunked, request_bytes
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until

GONE = (BrokenPipeError, ConnectionResetError)


@pytest.fixture(scope="module")
def gateway():
    """A gateway that lets large bodies in, with a consumer that tells how they come."""
    with Gateway("--max-body", "2G", demo=0) as running, Flow(running) as flow:
        running.flow = flow
        yield running


def numbers(response):
    """{"inline": N, "chunked": N, "chunks": N} of a body swallowed."""
    return {word: int(number) for word, number in (pair.split("=") for pair in response.body.decode().split())}


def upload(client, size, piece=bytes(4 * MIB)):
    """Sends so many bytes from a thread of its own, which is returned."""
    def send():
        for _ in range(size // len(piece)):
            client.send(piece)
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("size", [0, 1, 65535, 65536])
def test_a_body_to_64_kib_comes_in_its_message(gateway, size):
    with gateway.connect() as client:
        whole = numbers(client.exchange("POST", "/swallow", OCTETS, bytes(size)))
        client.request("POST", "/swallow", {"Transfer-Encoding": "chunked"}, chunked(*[bytes(1000)] * (size // 1000)))
        pieces = numbers(client.read_response())

    assert whole == {"inline": size, "chunked": 0, "chunks": 0}
    assert pieces == {"inline": size // 1000 * 1000, "chunked": 0, "chunks": 0}


def test_a_longer_body_comes_in_chunks(gateway):
    with gateway.connect() as client:
        came = numbers(client.exchange("POST", "/swallow", OCTETS, bytes(65537)))

    assert (came["inline"], came["chunked"]) == (0, 65537)


def test_a_body_of_unknown_length_comes_in_its_message_to_64_kib_and_then_in_chunks(gateway):
    with gateway.connect() as client:
        client.request("POST", "/swallow", {"Transfer-Encoding": "chunked"}, chunked(*[bytes(50000)] * 10))
        came = numbers(client.read_response())

    assert 0 < came["inline"] <= 65536 and came["inline"] + came["chunked"] == 500000


def test_an_upload_of_a_gib_passes_through_bounded_memory(gateway):
    worker = gateway.roles()["worker"][0]
    with gateway.connect(60) as client:
        assert numbers(client.exchange("POST", "/swallow", OCTETS, bytes(MIB)))["chunked"] == MIB
        before = processes.memory(worker)
        peak = dict(before)

        client.send(request_bytes("POST", "/swallow", {**OCTETS, "Content-Length": 1024 * MIB}))
        sender = upload(client, 1024 * MIB)
        while not client.has_input(0.02):
            now = processes.memory(worker)
            peak = {key: max(peak[key], now[key]) for key in peak}
        sender.join()

        assert numbers(client.read_response())["chunked"] == 1024 * MIB
    grown = {key: peak[key] - before[key] for key in ("VmRSS", "RssAnon", "RssShmem")}
    print("the worker before", before, "grew at most by", grown)
    assert grown["RssAnon"] < 4 * MIB * SLOWNESS and grown["VmRSS"] < 32 * MIB * SLOWNESS  # a sanitizer keeps more


def test_a_body_its_consumer_does_not_read_stops_its_client_and_nobody_else():
    with Gateway("--stuck-timeout", "600", "--answer-timeout", "600", "--max-body", "2G", demo=0) as gateway:
        worker = gateway.roles()["worker"][0]
        with Flow(gateway) as flow, gateway.connect(60) as client:
            client.send(request_bytes("POST", "/swallow", {**OCTETS, "Content-Length": 256 * MIB}))
            flow.wait_taken(1)
            flow.freeze()
            before = processes.memory(worker)["RssAnon"]
            client.socket.settimeout(1)
            sent = 0
            with pytest.raises(TimeoutError):
                while sent < 256 * MIB:
                    sent += client.socket.send(bytes(MIB))
            has_seen(gateway)  # the worker serves on
            grown = processes.memory(worker)["RssAnon"] - before
            print(f"{sent} bytes taken of a body nobody reads; the worker grew by {grown}")
            assert sent < 64 * MIB and grown < 2 * MIB * SLOWNESS

            flow.go_on()
            client.socket.settimeout(60)
            client.send(bytes(256 * MIB - sent))
            assert numbers(client.read_response())["chunked"] == 256 * MIB


# ---- too large


def test_a_body_declared_too_long_is_refused_and_not_read():
    with Gateway("--max-body", "1M", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as client:
        client.send(request_bytes("POST", "/swallow", {**OCTETS, "Content-Length": 1024 * MIB}))

        response = client.read_response()
        sent = 0
        with pytest.raises(GONE):
            while sent < 1024 * MIB:
                sent += client.socket.send(bytes(MIB))

        assert response.status == 413 and response.header("connection") == "close"
        assert sent < 64 * MIB  # what the sockets hold, and a little that is read and dropped
        assert gateway.get("/").status == 200
        assert flow.wait_taken(1) == ["http.request GET /"]


def test_a_body_too_long_for_its_expectation_is_refused_without_a_100(gateway):
    with gateway.connect() as client:
        client.request("POST", "/swallow", {"Expect": "100-continue", "Content-Length": 4096 * MIB})

        assert client.read_response(interim=True).status == 413


def test_the_consumer_of_a_body_that_turns_out_too_long_is_told():
    with Gateway("--max-body", "1M", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as client:
        client.send(request_bytes("POST", "/swallow", {**OCTETS, "Transfer-Encoding": "chunked"}))
        client.send(b"100000\r\n" + bytes(MIB) + b"\r\n")
        flow.wait_taken(1)
        client.send(b"1\r\n")

        assert client.read_response().status == 413
        assert flow.wait_taken(2) == ["http.request POST /swallow", "http.disconnect POST /swallow"]


# ---- 100-continue (decisions.md 26)


def test_a_long_body_is_asked_for_when_its_message_is_taken():
    with Gateway("--stuck-timeout", "600", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as client:
        flow.freeze()
        client.request("POST", "/swallow", {**OCTETS, "Expect": "100-continue", "Content-Length": 300000})
        wait_until(lambda: dump(gateway).channel("http.request")["pending"] == 1, "the message waits")
        has_seen(gateway)
        assert not client.has_input(0)

        flow.go_on()

        assert client.read_response(interim=True).status == 100
        client.send(bytes(300000))
        assert numbers(client.read_response())["chunked"] == 300000


def test_a_short_body_is_asked_for_when_somebody_reads_the_channel():
    with Gateway(demo=0) as gateway, gateway.connect() as client:
        client.request("POST", "/swallow", {**OCTETS, "Expect": "100-continue", "Content-Length": 10})
        has_seen(gateway)
        assert not client.has_input(0)

        with Flow(gateway):
            assert client.read_response(interim=True).status == 100
            client.send(bytes(10))
            assert numbers(client.read_response())["inline"] == 10


def test_a_body_nobody_was_asked_for_is_refused_and_the_connection_closed():
    with Gateway("--hold-timeout", "0.3", demo=0) as gateway, gateway.connect() as client:
        client.request("POST", "/swallow", {**OCTETS, "Expect": "100-continue", "Content-Length": 10})

        response = client.read_response(interim=True)

        assert (response.status, response.header("connection")) == (503, "close")
        assert client.is_closed()


def test_http_1_0_is_never_told_to_continue(gateway):
    with gateway.connect() as client:
        client.request("POST", "/swallow", {"Expect": "100-continue"}, b"there", version="HTTP/1.0")

        assert client.read_response(interim=True).status == 200


def test_a_client_that_leaves_within_its_body_is_told_to_the_consumer():
    with Gateway(demo=0) as gateway, Flow(gateway) as flow:
        for number, leave in enumerate((lambda client: client.close(), lambda client: client.reset()), 1):
            with gateway.connect() as client:
                client.send(request_bytes("POST", "/swallow", {**OCTETS, "Content-Length": 300000}) + bytes(100000))
                flow.wait_taken(2 * number - 1)
                leave(client)

                assert flow.wait_taken(2 * number)[-1] == "http.disconnect POST /swallow"
