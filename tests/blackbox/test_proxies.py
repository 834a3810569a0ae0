"""tests/blackbox/test_proxies.py -- behind proxies: what they may say of a client, and which of them."""

import json
import re
import socket
import subprocess
import time

import pytest

from asker import ANYBODY, BALANCER, BOTH, FORWARDED, LINE, OPTIONS, SIGNATURE, TRUSTED, ask, binary, who
from rogue import Rogue
from support.gateway import Gateway
from support.http_client import request_bytes
from support.waiting import SLOWNESS
from support.websocket_client import WebSocket


@pytest.fixture(scope="module", name="gateway")
def behind_proxies():
    """One gateway that trusts some."""
    with Gateway(*OPTIONS, workers=1, demo=1) as running:
        yield running


# ---- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, *FORWARDED])
def test_who_is_not_trusted_says_nothing(gateway, name):
    headers = {name: FORWARDED[name]} if name else FORWARDED

    assert ask(gateway, headers) == ("http", "us", "here")
    assert ask(gateway, headers, BALANCER, binary(command=0x20)) == ("http", "us", "here")


@pytest.mark.parametrize("headers, scheme, client, server", [
    ({}, "http", "us", "here"),
    ({"X-Forwarded-For": "198.51.100.7"}, "http", ["198.51.100.7", 0], "here"),
    ({"X-Forwarded-For": "1.1.1.1, 198.51.100.7:55, 10.0.0.1"}, "http", ["198.51.100.7", 55], "here"),
    ({"X-Forwarded-For": "[2001:DB8::7]:55"}, "http", ["2001:db8::7", 55], "here"),
    ({"X-Forwarded-For": "1.1.1.1, unknown"}, "http", "us", "here"),
    ({"X-Forwarded-For": "1.1.1.1, fe80::1%eth0, 10.0.0.1"}, "http", ["10.0.0.1", 0], "here"),
    ({"X-Forwarded-For": "10.0.0.2," * 500 + "10.0.0.1"}, "http", ["10.0.0.2", 0], "here"),
    ({"X-Forwarded-Proto": "https"}, "https", "us", "here"),
    ({"X-Forwarded-Proto": "https, http"}, "http", "us", "here"),
    ({"X-Forwarded-Proto": "gopher"}, "http", "us", "here"),
    ({"X-Forwarded-Host": "example.org", "X-Forwarded-Proto": "https"}, "https", "us", ["example.org", 443]),
    ({"X-Forwarded-Host": "example.org:444"}, "http", "us", ["example.org", 444]),
    ({"X-Forwarded-Host": "exam ple"}, "http", "us", "here"),
    (FORWARDED, "https", ["198.51.100.7", 0], ["example.org", 445]),
    ({"Forwarded": "for=1.1.1.1, for=\"[2001:db8::7]:55\";proto=https;host=example.org, for=10.0.0.1"},
     "https", ["2001:db8::7", 55], ["example.org", 443]),
    ({"Forwarded": "for=1.1.1.1;host=\", for=198.51.100.7"}, "http", ["198.51.100.7", 0], "here"),
    ({"Forwarded": "for=_hidden;proto=https"}, "https", "us", "here"),
], ids=str)
def test_a_trusted_proxy_says_who_asks_and_how(gateway, headers, scheme, client, server):
    assert ask(gateway, headers, TRUSTED) == (scheme, client, server)


def test_what_a_proxy_says_is_passed_on_as_it_came(gateway):
    for source in (ANYBODY, TRUSTED):
        with gateway.connect(source=source) as client:
            echo = client.exchange("GET", "/echo", [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "10.0.0.1"),
                                                    ("X-Forwarded-Host", "Example.org")]).json()

        assert echo["META"]["HTTP_X_FORWARDED_FOR"] == "1.1.1.1,10.0.0.1"
        assert echo["META"]["HTTP_X_FORWARDED_HOST"] == "Example.org" and echo["META"]["HTTP_HOST"] == "test"
        assert [value for name, value in echo["headers"] if name == "x-forwarded-for"] == ["1.1.1.1", "10.0.0.1"]


def test_each_request_of_a_connection_has_a_client_of_its_own(gateway):
    with gateway.connect(source=TRUSTED) as client:
        client.send(b"".join(request_bytes("GET", "/echo", {"X-Forwarded-For": f"198.51.100.{n}"} if n % 3 else {})
                             for n in range(30)))

        for n in range(30):
            asked = who(client.read_response())[1]
            assert asked == ([f"198.51.100.{n}", 0] if n % 3 else list(client.socket.getsockname()))


@pytest.mark.parametrize("size", [10, 300000])
def test_a_request_with_a_body_has_its_client_too(gateway, size):
    with gateway.connect(source=TRUSTED) as client:
        client.request("POST", "/echo", FORWARDED, b"x" * size)

        assert who(client.read_response()) == ("https", ["198.51.100.7", 0], ["example.org", 445])


def test_everybody_may_be_trusted_in_as_many_words():
    with Gateway("--trusted-proxies", "0.0.0.0/0,::/0", workers=1, demo=1) as gateway:
        assert ask(gateway, {"X-Forwarded-For": "1.1.1.1, 198.51.100.7"}) == ("http", ["1.1.1.1", 0], "here")


def test_a_websocket_of_a_client_behind_tls_is_wss():
    with Gateway(*OPTIONS, workers=1, demo=0) as gateway, Rogue(gateway) as rogue:
        for source, before, seen in [
                (TRUSTED, b"", "wss 198.51.100.7 0 example.org 445"),
                (BALANCER, LINE, "ws 192.0.2.7 4711 203.0.113.1 443"),
                (ANYBODY, b"", rf"ws 127.0.0.1 \d+ 127.0.0.1 {gateway.port}")]:
            lines = len(rogue.output.lines)
            client = gateway.connect(source=source)
            client.send(before)
            websocket = WebSocket.opened(gateway, "/rogue/who", FORWARDED, client=client)
            rogue.wait_said(rf"^who websocket.connect {seen}$", start=lines)
            websocket.send_close()
            websocket.read_close()
            rogue.wait_said(rf"^who websocket.disconnect {seen}$", start=lines)
            websocket.drop()


# ---- the PROXY protocol --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header, client, server", [
    (LINE, ["192.0.2.7", 4711], ["203.0.113.1", 443]),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", ["2001:db8::7", 4711], ["2001:db8::1", 443]),
    (b"PROXY UNKNOWN\r\n", "us", "here"),
    (binary(), ["192.0.2.7", 4711], ["203.0.113.1", 443]),
    (binary("2001:db8::7", "2001:db8::1"), ["2001:db8::7", 4711], ["2001:db8::1", 443]),
    (binary(command=0x20), "us", "here"),
    (binary(family=0x12), "us", "here"),
    (SIGNATURE + b"\x21\x00\x00\x00", "us", "here"),
    (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), None, "here"),
    (binary(vectors=b"\x01\x00\x02h2" + b"\xe0\x0f\x00" + bytes(3840)), ["192.0.2.7", 4711], ["203.0.113.1", 443]),
], ids=lambda value: repr(value)[:40])
def test_a_proxy_header_says_whose_connection_it_is(gateway, header, client, server):
    assert ask(gateway, {}, BALANCER, header) == ("http", client, server)


@pytest.mark.parametrize("header", [LINE, binary()], ids=["line", "binary"])
def test_a_proxy_header_may_come_byte_by_byte(gateway, header):
    with gateway.connect(source=BALANCER) as client:
        for byte in header + request_bytes("GET", "/echo"):
            client.send(bytes([byte]))

        for _ in range(2):
            assert who(client.read_response())[1] == ["192.0.2.7", 4711]
            client.request("GET", "/echo")


def test_curls_proxy_header_is_read(gateway):
    run = subprocess.run(["curl", "-sS", "--noproxy", "*", "--haproxy-protocol", "--interface", BALANCER,
                          "-w", "\n%{local_port}", f"http://{gateway.host}:{gateway.port}/echo"],
                         capture_output=True, text=True, timeout=20 * SLOWNESS, check=True)

    echo, port = run.stdout.rsplit("\n", 1)
    assert json.loads(echo)["client"] == [BALANCER, int(port)]
    assert json.loads(echo)["server"] == [gateway.host, gateway.port]


def test_a_client_behind_tls_asks_by_https(gateway):
    tls = b"\x20\x00\x05\x01\0\0\0\0"

    assert ask(gateway, {}, BALANCER, binary(vectors=tls))[0] == "https"
    assert ask(gateway, {}, BALANCER, binary(vectors=tls.replace(b"\x01", b"\x00")))[0] == "http"


def test_only_who_must_speak_the_proxy_protocol_may():
    with Gateway(*OPTIONS, workers=1, demo=0) as gateway, Rogue(gateway) as rogue:
        for source in (ANYBODY, TRUSTED):
            for header in (LINE, binary()):
                with gateway.connect(source=source) as client:
                    client.send(header + request_bytes("GET", "/forged"))
                    assert client.read_response().status == 400
                    assert client.is_closed()

        assert gateway.get("/sound").status == 200
        assert rogue.taken() == ["http.request GET /sound"]


BROKEN_HEADERS = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 192.0.2.7 203.0.113.1 4711\r\n",
                  b"PROXY UNKNOWN\n",
                  b"PROXY UNKNOWN " + b"x" * 100, b"\x16\x03\x01\x02\x00", SIGNATURE + b"\x11", SIGNATURE + b"\x21\x44",
                  SIGNATURE + b"\x21\x11\xff\xff", SIGNATURE + b"\x21\x11\x00\x00",
                  binary(vectors=b"\x03\x00\x04\0\0\0\0"),
                  binary(vectors=b"\x01\xff\xff")]


def test_who_does_not_keep_to_the_proxy_protocol_is_cut_counted_and_logged():
    with Gateway(*OPTIONS, workers=1, demo=0) as gateway, Rogue(gateway) as rogue:
        begun = time.monotonic()
        for header in BROKEN_HEADERS:
            with gateway.connect(source=BALANCER) as client:
                client.send(header)
                assert client.read_to_end() == b""
        with gateway.connect(source=BALANCER) as client:  # half of one
            client.send(LINE[:20])
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_to_end() == b""
        for _ in range(5):  # whether the port is open is all it asks
            gateway.connect(source=BALANCER).close()

        assert gateway.get("/sound").status == 200
        assert rogue.taken() == ["http.request GET /sound"]
        gateway.output.wait_for(r'proxy_header_refused from=127.0.0.3 why="no PROXY header"')
        gateway.stop()
        gateway.output.wait_for(rf"counted refused_proxy_headers={len(BROKEN_HEADERS) + 1}$")
        lines = len(re.findall("proxy_header_refused", gateway.output.text()))
        assert 1 <= lines <= 1 + time.monotonic() - begun


@pytest.mark.parametrize("sent", [b"", LINE[:-1], SIGNATURE + b"\x21\x11\x00"], ids=["nothing", "line", "binary"])
def test_a_proxy_header_that_does_not_come_in_time_is_waited_for_no_longer(sent):
    with Gateway(*OPTIONS, "--header-timeout", "0.3", workers=1, demo=1) as gateway:
        with gateway.connect(source=BALANCER) as client:
            client.send(sent)
            assert client.read_to_end() == b""
        gateway.output.wait_for('proxy_header_refused from=127.0.0.3 why="not whole in time"')
        with gateway.connect(source=BALANCER) as client:  # the head has its own time
            client.send(LINE + b"GET / HT")
            assert client.read_response().status == 408


def test_hundreds_of_proxy_connections_leave_nothing_open(gateway):
    for number in range(300):
        with gateway.connect(source=BALANCER) as client:
            client.send([LINE + b"GET / HTTP/1.1\r\n", LINE[:7], b"x", SIGNATURE][number % 4])

    assert ask(gateway, {}, BALANCER, LINE)[1] == ["192.0.2.7", 4711]


def test_forwarded_headers_are_believed_by_what_the_proxy_header_says(gateway):
    believed = ("https", ["198.51.100.7", 0], ["example.org", 445])
    client = ("http", ["192.0.2.7", 4711], ["203.0.113.1", 443])

    # The one that relays is trusted, but what its client made up is not.
    assert ask(gateway, FORWARDED, BOTH, LINE) == client
    assert ask(gateway, FORWARDED, BOTH, binary()) == client
    assert ask(gateway, FORWARDED, BOTH, b"PROXY UNKNOWN\r\n") == ("http", "us", "here")
    assert ask(gateway, FORWARDED, BOTH, SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216)) == ("http", None, "here")
    # A trusted proxy is the client, or speaks for itself.
    assert ask(gateway, FORWARDED, BOTH, LINE.replace(b"192.0.2.7", b"10.0.0.1")) == believed
    assert ask(gateway, FORWARDED, BALANCER, binary("10.0.0.1")) == believed
    assert ask(gateway, FORWARDED, BOTH, binary(command=0x20)) == believed


def test_a_gateway_that_ends_waits_for_no_proxy_header():
    with Gateway(*OPTIONS, "--drain-timeout", "60", workers=1, demo=1) as gateway:
        silent = gateway.connect(source=BALANCER)
        halting = gateway.connect(source=BALANCER)
        halting.send(LINE[:5])
        assert gateway.get("/").status == 200

        assert gateway.stop() == 0
        assert silent.is_closed() and halting.is_closed()
