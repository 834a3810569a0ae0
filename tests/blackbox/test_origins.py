"""tests/blackbox/test_origins.py -- whose pages may open a WebSocket: --allowed-origins."""

import subprocess

import pytest

from asker import ANYBODY, TRUSTED
from rogue import Rogue
from support.gateway import PROGRAM, Gateway
from support.websocket_client import WebSocket

REFUSED = b": pages of this origin may not open a WebSocket here\n"


def answers(gateway, headers, source=ANYBODY):
    """The status of a handshake with these headers; what is accepted echoes."""
    with gateway.connect(source=source) as client:
        websocket = WebSocket(gateway, headers=headers, client=client)
        if websocket.response.status == 101:
            websocket.echo("hello")
        else:
            assert websocket.response.body.endswith(REFUSED)
            assert client.is_closed()
        return websocket.response.status


@pytest.fixture(scope="module", name="gateway")
def picky():
    """A gateway that lists some origins and its own, behind a proxy it trusts."""
    with Gateway("--allowed-origins", "same,https://Example.org", "--allowed-origins", "https://*.example.net:8443",
                 "--trusted-proxies", TRUSTED, workers=1, demo=1) as running:
        yield running


@pytest.mark.parametrize("origin, status", [
    (None, 101),
    ("https://example.org", 101),
    ("https://EXAMPLE.org.:443", 101),
    ("https://a.b.example.net:8443", 101),
    ("http://test", 101),  # the Host of our client
    ("https://test", 101),
    ("http://example.org", 403),
    ("https://example.net:8443", 403),
    ("https://example.org.evil.test", 403),
    ("http://test:8000", 403),
    ("null", 403),
    ("", 403),
    ("https://example.org https://example.org", 403),
    ("\xff\xfe", 403),
], ids=str)
def test_pages_of_the_origins_listed_open_websockets_and_no_others(gateway, origin, status):
    assert answers(gateway, [] if origin is None else [("Origin", origin)]) == status


def test_several_origins_are_no_browsers(gateway):
    assert answers(gateway, [("Origin", "https://example.org"), ("Origin", "https://example.org")]) == 403


@pytest.mark.parametrize("source, origin, headers, status", [
    (TRUSTED, "https://public.test", {"X-Forwarded-Host": "public.test", "X-Forwarded-Proto": "https"}, 101),
    (TRUSTED, "https://public.test:444", {"Forwarded": "for=192.0.2.1;host=\"public.test:444\";proto=https"}, 101),
    (TRUSTED, "https://test", {"X-Forwarded-Host": "public.test", "X-Forwarded-Proto": "https"}, 403),
    (TRUSTED, "https://test", {"X-Forwarded-Proto": "https"}, 101),
    (TRUSTED, "http://test", {"X-Forwarded-Proto": "https"}, 403),  # a page that came without TLS
    (TRUSTED, "https://test:8443", {"X-Forwarded-Port": "8443"}, 101),
    (TRUSTED, "https://test", {"X-Forwarded-Port": "8443"}, 403),
    (TRUSTED, "https://public.test", {"X-Forwarded-Host": "public.test"}, 101),
    (TRUSTED, "https://public.test", {"X-Forwarded-Host": "public.test", "X-Forwarded-Proto": "http"}, 403),
    (ANYBODY, "https://public.test", {"X-Forwarded-Host": "public.test", "X-Forwarded-Proto": "https"}, 403),
], ids=str)
def test_behind_a_trusted_proxy_the_same_is_what_its_client_asked_for(gateway, source, origin, headers, status):
    assert answers(gateway, {"Origin": origin, **headers}, source) == status


def test_a_plain_request_has_any_origin(gateway):
    with gateway.connect() as client:
        assert client.exchange("GET", "/", {"Origin": "https://evil.test"}).status == 200


def test_what_is_refused_is_logged_and_reaches_no_consumer():
    with Gateway("--allowed-origins", "https://example.org", demo=0) as gateway, Rogue(gateway) as rogue:
        with gateway.connect() as client:
            refused = WebSocket(gateway, "/rogue/who", {"Origin": "https://evil.test/\"x"}, client=client)
            assert refused.response.status == 403
        gateway.output.wait_for(r'request_refused status=403 why="pages of this origin may not open a WebSocket here" '
                                r'client=127\.0\.0\.1 untold=0 origin="https://evil.test/\\"x"$')

        websocket = WebSocket.opened(gateway, "/rogue/accepted", {"Origin": "https://example.org"})

        assert rogue.wait_taken(1)[0].endswith(" /rogue/accepted")
        websocket.drop()


def test_a_list_that_holds_no_origin_is_said_at_the_start():
    run = subprocess.run([PROGRAM, "--allowed-origins", "same,example.org"], capture_output=True, text=True, check=False,
                         timeout=60)

    assert run.returncode == 3
    assert run.stderr.count("\n") == 1 and "allowed-origins same,example.org must be any alone, or same" in run.stderr
