"""tests/blackbox/test_limits.py -- each limit and time-out of a client's connection, met on purpose, with an option that makes it short."""

import select
import socket
import time

import pytest

from flow import Flow, has_seen
from support.gateway import Gateway
from support.http_client import Client, Closed, request_bytes
from support.waiting import SLOWNESS, wait_until

GONE = (BrokenPipeError, ConnectionResetError)


def connect_from(gateway, address):
    """A connection whose own end has that address."""
    return Client.over(socket.create_connection((gateway.host, gateway.port), 10 * SLOWNESS, (address, 0)))


def drip(client, byte=b"x", pause=0.02):
    """Sends a byte now and then until something comes back, or the connection is gone."""
    try:
        while not client.has_input(pause / SLOWNESS):
            client.send(byte)
    except GONE:
        pass


# ---- slow clients


def test_a_head_that_comes_byte_by_byte_has_the_time_of_one_that_comes_whole():
    with Gateway("--header-timeout", "0.5") as gateway, gateway.connect() as client, gateway.connect() as beside:
        assert beside.exchange("GET", "/").status == 200
        begun = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        drip(client)

        assert client.read_response().status == 408
        assert 0.45 < time.monotonic() - begun < 5 * SLOWNESS
        assert client.is_closed()
        assert beside.exchange("GET", "/").status == 200  # idle meanwhile: another clock


def test_a_client_that_says_nothing_at_all_is_closed_without_a_word():
    with Gateway("--header-timeout", "0.2") as gateway, gateway.connect() as client:
        assert client.read_to_end() == b""


def test_a_body_that_stops_coming_is_told_to_the_consumer_that_has_the_request():
    with Gateway("--body-timeout", "0.3", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as client:
        client.send(request_bytes("POST", "/swallow", {"Content-Length": 300000}) + bytes(100000))

        assert client.read_response().status == 408
        assert client.is_closed()
        assert flow.wait_taken(2) == ["http.request POST /swallow", "http.disconnect POST /swallow"]


def test_a_client_that_pauses_within_its_body_is_not_told_that_its_answer_is_late():
    with Gateway("--body-timeout", "20", "--answer-timeout", "0.3", demo=0) as gateway, Flow(gateway) as flow:
        with gateway.connect() as client:
            client.send(request_bytes("POST", "/swallow", {"Content-Length": 300000}) + bytes(200000))
            flow.wait_taken(1)
            for _ in range(2):
                assert gateway.get("/hold").status == 504  # so long is the pause
            client.send(bytes(100000))

            assert client.read_response().body.startswith(b"inline=0 chunked=300000")


def test_a_consumer_that_stops_reading_a_body_is_late():
    with Gateway("--answer-timeout", "0.5", "--stuck-timeout", "600", demo=0) as gateway, Flow(gateway) as flow:
        with gateway.connect() as client:
            client.send(request_bytes("POST", "/swallow", {"Content-Length": 8 << 20}))
            flow.wait_taken(1)
            flow.freeze()
            try:
                client.send(bytes(8 << 20))
            except GONE:
                pass

            assert client.read_response().status == 504
        flow.go_on()


def test_a_client_that_reads_nothing_is_cut():
    with Gateway("--send-timeout", "0.3", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as client:
        client.request("GET", "/pour?64")

        assert flow.wait_taken(2) == ["http.request GET /pour", "http.disconnect GET /pour"]
        with pytest.raises((Closed, ConnectionResetError)):
            client.read_exactly(64 << 20)


def test_a_client_that_reads_slowly_is_not():
    patience = 1 * SLOWNESS
    with Gateway("--send-timeout", patience, demo=0) as gateway, Flow(gateway), gateway.connect() as client:
        client.request("GET", "/pour?32")
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5 * patience:
            assert client.socket.recv(16 * 1024), "cut"
            select.select([], [], [], 0.02)

        end = b""
        while end != b"0\r\n\r\n":
            piece = client.socket.recv(1 << 20)
            assert piece, "cut"
            end = (end + piece)[-5:]


# ---- requests of a connection


def test_a_connection_ends_after_as_many_requests_as_it_may_make():
    with Gateway("--max-requests-per-connection", "3") as gateway, gateway.connect() as client:
        answers = [client.exchange("GET", "/") for _ in range(3)]

        assert [answer.status for answer in answers] == [200] * 3
        assert [answer.header("connection") for answer in answers] == [None, None, "close"]
        assert client.is_closed()


def test_what_is_asked_behind_the_last_request_reaches_nobody():
    with Gateway("--max-requests-per-connection", "2", demo=0) as gateway, Flow(gateway) as flow:
        with gateway.connect() as client:
            client.send(request_bytes("GET", "/1") + request_bytes("POST", "/2", body=b"its body") + request_bytes("GET", "/3"))

            assert [client.read_response().header("connection") for _ in range(2)] == [None, "close"]
            assert client.is_closed()
        assert gateway.get("/other").status == 200
        assert flow.wait_taken(3) == ["http.request GET /1", "http.request POST /2", "http.request GET /other"]


# ---- requests at once


def test_64_requests_of_a_connection_are_out_at_once_and_the_next_waits_until_half_are_answered():
    with Gateway("--stuck-timeout", "600", demo=0) as gateway, Flow(gateway) as flow, gateway.connect() as client:
        client.send(b"".join(request_bytes("GET", f"/hold?{number}") for number in range(65)))
        flow.wait_taken(64)
        has_seen(gateway)
        assert len(flow.taken()) == 64

        assert gateway.get("/release?31").status == 200
        assert [client.read_response().body for _ in range(31)] == [b"%d" % number for number in range(31)]
        has_seen(gateway)
        assert len(flow.wait_taken(64 + 1)) == 64 + 1
        assert gateway.get("/release?1").status == 200
        flow.wait_taken(64 + 3)
        assert gateway.get("/release").status == 200

        assert [client.read_response().body for _ in range(31, 65)] == [b"%d" % number for number in range(31, 65)]


# ---- connections


def test_a_client_beyond_the_connections_there_may_be_is_told_so_and_finds_room_when_one_ends():
    with Gateway("--max-connections", "64") as gateway:
        inside = [gateway.connect() for _ in range(64)]
        assert all(client.exchange("GET", "/").status == 200 for client in inside)

        with gateway.connect() as late:
            response = late.read_response()
            assert (response.status, response.header("connection")) == (503, "close")
            assert int(response.header("retry-after")) >= 1
            assert late.is_closed()

        assert all(client.exchange("GET", "/").status == 200 for client in inside)
        inside.pop().close()
        wait_until(lambda: gateway.get("/").status == 200, "there is room again")
        for client in inside:
            client.close()


def test_an_address_beyond_its_connections_is_told_so_and_the_others_come_in():
    with Gateway("--max-connections-per-address", "3") as gateway:
        inside = [connect_from(gateway, "127.0.0.1") for _ in range(3)]
        assert all(client.exchange("GET", "/").status == 200 for client in inside)

        with connect_from(gateway, "127.0.0.1") as late:
            response = late.read_response()
            assert (response.status, response.header("connection")) == (503, "close")
            assert late.is_closed()
        with connect_from(gateway, "127.0.0.2") as other:
            assert other.exchange("GET", "/").status == 200

        assert all(client.exchange("GET", "/").status == 200 for client in inside)
        inside.pop().close()
        wait_until(lambda: gateway.get("/").status == 200, "it may come in again")
        for client in inside:
            client.close()


def test_those_refused_at_the_door_take_nobodys_place():
    with Gateway("--max-connections", "64", "--max-connections-per-address", "2") as gateway:
        inside = [connect_from(gateway, "127.0.0.1") for _ in range(2)]
        assert all(client.exchange("GET", "/").status == 200 for client in inside)
        refused = [connect_from(gateway, "127.0.0.1") for _ in range(300)]  # none of them closes
        told = sum(client.read_to_end().startswith(b"HTTP/1.1 503 ") for client in refused)

        with connect_from(gateway, "127.0.0.2") as other:
            assert other.exchange("GET", "/").status == 200
        assert told >= 100  # the others were hung up on
        for client in inside + refused:
            client.close()
