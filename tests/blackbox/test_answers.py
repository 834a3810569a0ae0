"""tests/blackbox/test_answers.py -- answers as consumers may give them: in pieces with credit, with headers of every kind."""

import pytest

from flow import MIB, Flow
from support import processes
from support.gateway import Gateway
from support.http_client import Closed
from support.waiting import SLOWNESS

PIECE = 64 * 1024


@pytest.fixture(scope="module")
def gateway():
    """A gateway with one consumer that answers as it is asked to."""
    with Gateway(demo=0) as running, Flow(running) as flow:
        running.flow = flow
        yield running


def read_pieces(client, first, number):
    """Reads so many chunks, each of which begins with its number."""
    for expected in range(first, first + number):
        chunk = client.read_chunk()
        assert (len(chunk), int.from_bytes(chunk[:8], "little")) == (PIECE, expected)


def test_content_may_be_text_or_bytes(gateway):
    text, octets = gateway.get("/text"), gateway.get("/bytes")

    assert (text.body, text.header("content-type")) == (b"plain", "text/plain; charset=utf-8")
    assert (octets.body, octets.header("content-type")) == (b"\xff\xfe\x01", "application/octet-stream")


def test_each_cookie_of_a_list_is_set_by_a_line_of_its_own(gateway):
    headers = gateway.get("/cookies").headers

    assert [value for name, value in headers if name == "set-cookie"] == ["a=1; Path=/", "b=2; HttpOnly"]


def test_early_hints_go_out_before_the_answer(gateway):
    with gateway.connect() as client:
        client.request("GET", "/hints")
        hints, answer = client.read_response(interim=True), client.read_response()

        assert (hints.status, hints.header("link")) == (103, "</style.css>; rel=preload")
        assert (answer.status, answer.body, answer.header("link")) == (200, b"plain", None)
        assert client.exchange("GET", "/").body == b"plain"


def test_a_client_of_http_1_0_gets_no_early_hints(gateway):
    with gateway.connect() as client:
        client.request("GET", "/hints", version="HTTP/1.0")

        assert client.read_response(interim=True).status == 200


@pytest.mark.parametrize("path", ["/short", "/long"])
def test_an_answer_that_is_not_as_long_as_it_said_is_cut(gateway, path):
    with gateway.connect() as client:
        client.request("GET", path)
        with pytest.raises((Closed, ConnectionResetError)):
            assert client.read_head().status == 200
            client.read_exactly(1000)

    assert gateway.get("/").body == b"plain"


# ---- Server


def test_no_server_header_is_sent_unless_asked_for(gateway):
    assert gateway.get("/").header("server") is None
    assert gateway.get("/server").header("server") == "my own"


def test_the_server_header_asked_for_is_in_every_answer_but_a_consumers_own_wins():
    with Gateway("--server-header", "edge/2 (test)", demo=0) as gateway, Flow(gateway):
        def servers(target, **more):
            return [value for name, value in gateway.get(target, **more).headers if name == "server"]

        assert servers("/") == ["edge/2 (test)"]
        assert servers("/server") == ["my own"]
        assert servers("/?" + "&" * 1000) == ["edge/2 (test)"]  # 400, in words of our own
        assert servers("/", version="HTTP/3.0") == ["edge/2 (test)"]  # 505


# ---- slow clients


def test_a_slow_client_stalls_its_own_stream_alone_and_nothing_grows(gateway):
    worker, consumer = gateway.roles()["worker"][0], gateway.flow.process.pid
    with gateway.connect() as quick:
        quick.request("GET", "/pour?4")  # whatever the first stream costs
        quick.read_head()
        read_pieces(quick, 0, 64)
    before = [processes.memory(pid)["RssAnon"] for pid in (worker, consumer)]

    with gateway.connect(60) as slow:
        seen = len(gateway.flow.output.lines)
        slow.request("GET", "/pour?512")
        taken = int(gateway.flow.wait_said(r"^full (\d+)", start=seen)[1]) * PIECE
        with gateway.connect() as beside:
            for _ in range(100):
                assert beside.exchange("GET", "/").body == b"plain"
            beside.request("GET", "/pour?16")
            beside.read_head()
            read_pieces(beside, 0, 16 * 16)
        grown = [processes.memory(pid)["RssAnon"] - was for pid, was in zip((worker, consumer), before)]
        print(f"{taken} bytes taken for a client that reads nothing; worker and consumer grew by {grown}")

        assert taken < 64 * MIB
        assert max(grown) < 4 * MIB * SLOWNESS  # a sanitizer keeps what is freed for a while
        slow.read_head()
        read_pieces(slow, 0, 64 * 16)
        slow.reset()


def test_a_whole_stream_arrives_in_order_whatever_the_client_waits_for(gateway):
    with gateway.connect(60) as slow:
        seen = len(gateway.flow.output.lines)
        slow.request("GET", "/pour?64")
        slow.read_head()
        gateway.flow.wait_said(r"^full \d+", start=seen)
        read_pieces(slow, 0, 64 * 16)

        assert slow.read_chunk() == b""
        assert slow.exchange("GET", "/").body == b"plain"
