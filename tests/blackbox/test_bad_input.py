"""tests/blackbox/test_bad_input.py -- heads that are malformed, too long or smuggle.

Each is refused with the status given and the connection closed; nothing of it, and nothing behind
it, reaches a consumer: the consumer here says every message it takes. What else there is to refuse
stands in tests/cases; test_cases.py sends all of it.
"""

import pytest

from rogue import Rogue
from support.gateway import Gateway
from support.http_client import chunked, request_bytes
from support.waiting import wait_until

BEHIND = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
HOST = b"Host: x\r\n"


def get(*lines, target=b"/bad", version=b"HTTP/1.1", method=b"GET"):
    """A head of CRLF lines, Host first."""
    return method + b" " + target + b" " + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


CASES = {
    "a bare CR in a value": (get(b"X: a\rTransfer-Encoding: chunked"), 400),
    "a bare LF ending a line": (b"GET /bad HTTP/1.1\nHost: x\r\n\r\n", 400),
    "a bare LF ending the head": (b"GET /bad HTTP/1.1\r\nHost: x\r\n\n", 400),
    "a NUL in a value": (get(b"X: a\0b"), 400),
    "a control byte in a value": (get(b"X: a\x01b"), 400),
    "a NUL in the target": (get(target=b"/bad\0"), 400),
    "two lengths that differ": (get(b"Content-Length: 1", b"Content-Length: 2") + b"ab", 400),
    "two lengths that agree": (get(b"Content-Length: 1", b"Content-Length: 1") + b"a", 400),
    "a list of lengths": (get(b"Content-Length: 1, 1") + b"a", 400),
    "a negative length": (get(b"Content-Length: -1"), 400),
    "a length with a plus": (get(b"Content-Length: +1") + b"a", 400),
    "a length in hex": (get(b"Content-Length: 0x1") + b"a", 400),
    "an empty length": (get(b"Content-Length:"), 400),
    "a length beyond 64 bits": (get(b"Content-Length: 99999999999999999999999"), 400),
    "a length with chunked": (get(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "chunked with a length": (get(b"Transfer-Encoding: chunked", b"Content-Length: 3") + b"0\r\n\r\n", 400),
    "an empty transfer encoding": (get(b"Transfer-Encoding:", b"Content-Length: 1") + b"a", 400),
    "chunked twice": (get(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 400),
    "chunked misspelt": (get(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", (400, 501)),
    "gzip before chunked": (get(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", (400, 501)),
    "an encoding nobody knows": (get(b"Transfer-Encoding: gzip"), (400, 501)),
    "a transfer encoding in HTTP/1.0": (get(b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + b"0\r\n\r\n", 400),
    "a space before the colon": (get(b"X : a"), 400),
    "a tab before the colon": (get(b"Content-Length\t: 1") + b"a", 400),
    "an empty field name": (get(b": a"), 400),
    "a line without a colon": (get(b"nonsense"), 400),
    "a folded line": (get(b"X: a", b" b"), 400),
    "a fold in the first line": (b"GET /bad HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "a name with a bad byte": (get(b"X(y): a"), 400),
    "no Host": (b"GET /bad HTTP/1.1\r\n\r\n", 400),
    "Host twice": (get(b"Host: y"), 400),
    "Host with a space": (b"GET /bad HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "Host with a bad port": (b"GET /bad HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    "Host with a path": (b"GET /bad HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a fragment in the target": (get(target=b"/bad#x"), 400),
    "a target without a slash": (get(target=b"bad"), 400),
    "a star for GET": (get(target=b"*"), 400),
    "HTTP/0.9": (b"GET /bad\r\n\r\n", 400),
    "HTTP/2.0": (get(version=b"HTTP/2.0"), 505),
    "HTTP/1.2": (get(version=b"HTTP/1.2"), 505),
    "an HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    "a version in small letters": (get(version=b"http/1.1"), 400),
    "another protocol": (get(version=b"RTSP/1.0"), (400, 505)),
    "a method in small letters": (get(method=b"get"), (400, 501)),
    "a method nobody knows": (get(method=b"FROBNICATE"), (400, 501)),
    "CONNECT": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", (400, 405)),
    "bytes of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n", 400),
    "a target too long": (get(target=b"/" + b"a" * 9000), 414),
    "a header line too long": (get(b"X: " + b"a" * 9000), 431),
    "a head too long": (get(*[b"X-%d: " % i + b"a" * 1000 for i in range(20)]), 431),
    "too many headers": (get(*[b"X-%d: a" % i for i in range(101)]), 431),
    "a body declared too long": (get(b"Content-Length: 8388609", method=b"POST"), 413),
    "an expectation nobody knows": (get(b"Expect: tea", b"Content-Length: 1", method=b"POST") + b"a", 417),
}

BODIES = {
    "a chunk size in letters": b"xyz\r\nabc\r\n0\r\n\r\n",
    "an empty chunk size": b"\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a space": b"3 3\r\nabc\r\n0\r\n\r\n",
    "a chunk size of many zeros": b"0000000000000003\r\nabc\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than it says": b"2\r\nabc\r\n0\r\n\r\n",
    "a bare LF after a chunk size": b"3\nabc\r\n0\r\n\r\n",
    "a bare LF after a chunk": b"3\r\nabc\n0\r\n\r\n",
    "a bare CR in a chunk extension": b"3;a=\rb\r\nabc\r\n0\r\n\r\n",
    "a chunk extension without end": b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def watched():
    """A gateway whose only consumer says what it takes."""
    with Gateway(demo=0) as gateway, Rogue(gateway) as rogue:
        gateway.rogue = rogue
        yield gateway


def refused(gateway, data):
    """The answers to bytes that are refused, after a close; asserts that no consumer saw any of them."""
    seen = len(gateway.rogue.taken())
    with gateway.connect() as client:
        client.send(data)
        response = client.read_response()
        rest = client.read_to_end()
    assert rest == b"", f"something follows the refusal: {rest[:100]!r}"
    assert gateway.get("/plain").status == 200
    assert gateway.rogue.wait_taken(seen + 1)[seen:] == ["http.request GET /plain"]
    return response


@pytest.mark.parametrize("name", CASES)
def test_a_bad_head_is_refused_and_nothing_of_it_arrives(watched, name):
    data, expected = CASES[name]

    response = refused(watched, data + BEHIND)

    assert response.status in (expected if isinstance(expected, tuple) else (expected,))
    assert response.header("connection") == "close"


@pytest.mark.parametrize("name", BODIES)
def test_bad_chunks_are_refused_and_nothing_behind_them_arrives(watched, name):
    head = get(b"Transfer-Encoding: chunked", method=b"POST")

    response = refused(watched, head + BODIES[name] + BEHIND)

    assert response.status == 400


def test_a_chunked_body_that_passes_the_limit_is_refused(watched):
    seen = len(watched.rogue.taken())
    with watched.connect() as client:
        client.send(get(b"Transfer-Encoding: chunked", b"Content-Type: application/x-www-form-urlencoded", method=b"POST"))
        try:
            for _ in range(9):
                client.send(b"100000\r\n" + b"a" * 0x100000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while we were still sending
        assert b"HTTP/1.1 413 " in client.read_to_end()[:64]
    assert watched.get("/plain").status == 200
    assert watched.rogue.wait_taken(seen + 1)[seen:] == ["http.request GET /plain"]


@pytest.mark.parametrize("data", [
    get(target=b"/bad?" + b"&" * 1000),
    get(b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 1000", method=b"POST") + b"&" * 1000,
    get(b"Content-Type: multipart/form-data; boundary=", b"Content-Length: 2", method=b"POST") + b"--",
], ids=["query fields", "form fields", "boundary"])
def test_a_form_that_cannot_be_read_is_refused_and_the_connection_kept(watched, data):
    seen = len(watched.rogue.taken())
    with watched.connect() as client:
        client.send(data)
        assert client.read_response().status == 400
        assert client.exchange("GET", "/plain").status == 200

    assert watched.rogue.wait_taken(seen + 1)[seen:] == ["http.request GET /plain"]


def test_answers_already_due_go_out_before_the_refusal(watched):
    with watched.connect() as client:
        client.send(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + get(b"X : a") + BEHIND)

        statuses = [client.read_response().status for _ in range(4)]

        assert statuses == [200, 200, 200, 400]
        assert client.is_closed()


def test_a_client_that_reads_no_answers_is_not_read_on():
    request = request_bytes("GET", "/?" + "&" * 1000)  # refused, and the connection kept
    with Gateway(demo=0) as gateway, gateway.connect(1) as client:
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 512 << 20:
                sent += client.socket.send(request * 64)

        for _ in range(sent // len(request)):
            assert client.read_response().status == 400


def test_a_request_refused_behind_another_never_reaches_a_consumer():
    with Gateway(demo=0) as gateway, Rogue(gateway) as rogue, gateway.connect() as client:
        client.request("GET", "/rogue/hold")
        rogue.wait_taken(1)
        client.request("POST", "/refused?" + "&" * 1000, body=b"its body comes nevertheless")
        client.request("GET", "/plain")
        taken = rogue.wait_taken(2)
        assert gateway.get("/rogue/answer-held").body == b"plain"

        assert [client.read_response().status for _ in range(3)] == [200, 400, 200]
        assert taken == ["http.request GET /rogue/hold", "http.request GET /plain"]


# What a client that speaks something else is told, and what the log says of it.
FOREIGN = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), b"TLS on a port of plain HTTP: use http://"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), b"HTTP/2 on a connection of HTTP/1.1"),
    "HTTP/0.9": (b"GET /\r\n", b"HTTP/0.9, or no version"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_speaks_something_else_is_told_and_logged_as_what_it_is(name):
    data, why = FOREIGN[name]
    with Gateway(demo=0) as gateway, gateway.connect() as client:
        client.send(data)

        response = client.read_response()

        assert (response.status, response.body) == (400, b"400 Bad Request: " + why + b"\n")
        assert client.is_closed()
        gateway.output.wait_for(rf'request_refused status=400 why="{why.decode()}" client=127\.0\.0\.1 untold=0$')


def test_refusals_do_not_fill_the_log():
    with Gateway(demo=0) as gateway:
        refused_requests = 0

        def told_of_others():
            nonlocal refused_requests
            for _ in range(20):
                with gateway.connect() as client:
                    client.send(get(b"X : y"))
                    assert client.read_response().status == 400
                refused_requests += 1
            return [line for line in gateway.output.lines if "request_refused" in line and "untold=0" not in line]

        wait_until(told_of_others, "a line that tells of those between")
        untold = [int(line.rpartition("=")[2]) for line in gateway.output.lines if "request_refused" in line]
        assert len(untold) + sum(untold) <= refused_requests


def test_a_client_that_sends_on_after_a_refusal_gets_the_answer_and_no_reset(watched):
    body = bytes(12 << 20)  # beyond the limit, and beyond what the buffers of two sockets hold
    with watched.connect() as client:
        client.send(get(b"Content-Length: %d" % len(body), method=b"POST") + body)

        assert client.read_response().status == 413
        assert client.socket.recv(1) == b""  # an end; a reset would raise


def test_what_is_read_after_a_refusal_is_bounded_in_bytes(watched):
    with watched.connect() as client:
        client.send(get(b"X : y"))
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 1 << 30:
                sent += client.socket.send(bytes(1 << 16))

    assert sent < 64 << 20


def test_what_is_read_after_a_refusal_is_bounded_in_time(watched):
    def is_cut():
        try:
            client.send(b"a")
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False

    with watched.connect() as client:
        client.send(get(b"X : y"))
        assert client.read_response().status == 400

        wait_until(is_cut, "a client that sends a byte now and then is cut")


def test_no_more_of_a_body_comes_with_its_message_than_travels_inline(watched):
    piece = bytes(120_000)  # one chunk, read from the socket in two
    with watched.connect() as client:
        client.send(get(b"Transfer-Encoding: chunked", target=b"/rogue/inline", method=b"POST") + chunked(piece))

        assert client.read_response().body == b"65536"


def test_a_refusal_of_a_head_request_has_no_body(watched):
    with watched.connect() as client:
        client.send(get(b"X : y", method=b"HEAD"))

        assert client.read_response("HEAD").status == 400
        assert client.read_to_end() == b""


def test_a_head_that_never_ends_times_out():
    with Gateway("--header-timeout", "0.2") as gateway, gateway.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost:")

        assert client.read_response().status == 408
        assert client.is_closed()


def test_a_silent_connection_is_closed_without_a_word():
    with Gateway("--keepalive-timeout", "0.2") as gateway, gateway.connect() as client:
        assert client.exchange("GET", "/").status == 200

        assert client.read_to_end() == b""


def test_a_body_that_stops_coming_times_out():
    with Gateway("--body-timeout", "0.2") as gateway, gateway.connect() as client:
        client.send(get(b"Content-Length: 10", target=b"/echo", method=b"POST") + b"abc")

        assert client.read_response().status == 408
        assert client.is_closed()
