"""tests/blackbox/test_routes.py -- HTTP as a client sees it, answered by the demo consumer."""

import hashlib
import re
import socket

import pytest

from support.http_client import chunked, request_bytes

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def test_the_front_page_says_hello(client):
    response = client.exchange("GET", "/")

    assert (response.status, response.body) == (200, b"Hello, World!")
    assert response.header("content-length") == "13"
    assert response.header("content-type").startswith("text/plain")
    assert re.match(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$", response.header("date"))


def test_a_path_nobody_answers_is_not_found(client):
    assert client.exchange("GET", "/no/such/page").status == 404


def test_echo_tells_method_path_query_and_headers(client):
    response = client.exchange("GET", "/echo/a%20b/c?x=1&y=%C3%A9&x=2", {"X-One": "1", "X-Two": "b c"})

    echo = response.json()
    assert response.status == 200
    assert echo["method"] == "GET"
    assert echo["path"] == "/echo/a b/c"
    assert echo["query"] == "x=1&y=%C3%A9&x=2"
    assert ["x-one", "1"] in echo["headers"] and ["x-two", "b c"] in echo["headers"]
    assert (echo["body_len"], echo["body_sha1"]) == (0, sha1(b""))


def test_echo_shows_the_core_keys_by_djangos_rules(client):
    response = client.exchange("POST", "/echo?a=1&a=2&b", {**FORM, "Cookie": "k=v; q=\"a\\054b\"", "X-A": "1",
                               "x-a": "2", "X_B": "dropped", "Proxy": "dropped"}, b"f=1&g=+%2B&f=2")

    echo = response.json()
    assert echo["GET"] == [["a", "1"], ["a", "2"], ["b", ""]]
    assert echo["POST"] == [["f", "1"], ["g", " +"], ["f", "2"]]
    assert echo["COOKIES"] == {"k": "v", "q": "a,b"}
    meta = echo["META"]
    assert meta["REQUEST_METHOD"] == "POST" and meta["PATH_INFO"] == "/echo" and meta["SCRIPT_NAME"] == ""
    assert meta["QUERY_STRING"] == "a=1&a=2&b" and meta["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert meta["CONTENT_TYPE"] == FORM["Content-Type"] and meta["CONTENT_LENGTH"] == "14"
    assert meta["HTTP_X_A"] == "1,2"
    assert "HTTP_X_B" not in meta and "HTTP_PROXY" not in meta
    assert meta["REMOTE_ADDR"] == "127.0.0.1" and meta["REMOTE_PORT"].isdigit()
    assert echo["path_info"] == "/echo"
    assert echo["response_channel"].startswith("http.response.")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_echo_answers_any_method(client, method):
    body = b"body" if method in ("POST", "PUT", "PATCH") else None

    echo = client.exchange(method, "/echo", body=body).json()

    assert echo["method"] == method
    assert echo["body_len"] == len(body or b"")


def test_a_multipart_form_arrives_in_its_parts(client):
    body = (b'--b\r\nContent-Disposition: form-data; name="one"\r\n\r\n1\r\n'
            b'--b\r\nContent-Disposition: form-data; name="up"; filename="a.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nfile\r\n--b--\r\n")

    echo = client.exchange("POST", "/echo", {"Content-Type": "multipart/form-data; boundary=b"}, body).json()

    assert echo["POST"] == [["one", "1"]]


def test_head_is_get_without_the_body(client):
    response = client.exchange("HEAD", "/")

    assert (response.status, response.header("content-length")) == (200, "13")
    assert client.exchange("GET", "/").body == b"Hello, World!"


def test_a_connection_is_kept_for_many_requests(client):
    for number in range(200):
        assert client.exchange("GET", f"/echo?{number}").json()["query"] == str(number)


def test_connection_close_closes_after_the_answer(client):
    response = client.exchange("GET", "/", {"Connection": "close"})

    assert response.status == 200 and response.header("connection") == "close"
    assert client.is_closed()


def test_http_1_0_closes_unless_asked_to_keep(gateway):
    with gateway.connect() as client:
        assert client.exchange("GET", "/", version="HTTP/1.0").body == b"Hello, World!"
        assert client.is_closed()
    with gateway.connect() as client:
        for _ in range(2):
            response = client.exchange("GET", "/", {"Connection": "keep-alive"}, version="HTTP/1.0")
            assert response.body == b"Hello, World!" and response.header("connection") == "keep-alive"


def test_http_1_0_gets_a_stream_unchunked(gateway):
    with gateway.connect() as client:
        response = client.exchange("GET", "/stream", version="HTTP/1.0")
        assert response.header("transfer-encoding") is None
        assert len(response.body.splitlines()) > 1


def test_pipelined_answers_leave_in_the_order_of_their_requests(client):
    waits = [120, 0, 60, 1, 30, 0, 0, 10]

    client.send(b"".join(request_bytes("GET", f"/sleep?ms={ms}") + request_bytes("GET", f"/echo?{number}")
                         for number, ms in enumerate(waits)))

    for number, _ in enumerate(waits):
        assert client.read_response().status == 200
        assert client.read_response().json()["query"] == str(number)


def test_hundreds_of_pipelined_requests_are_all_answered_in_order(client):
    number = 500

    client.send(b"".join(request_bytes("GET", f"/echo?{i}") for i in range(number)))

    assert [client.read_response().json()["query"] for _ in range(number)] == [str(i) for i in range(number)]


def test_a_request_may_come_byte_by_byte(client):
    for byte in request_bytes("POST", "/echo", FORM, b"a=b"):
        client.send(bytes([byte]))

    assert client.read_response().json()["POST"] == [["a", "b"]]


@pytest.mark.parametrize("size", [1, 1000, 65535, 65536, 65537, 1 << 20, 8 << 20])
def test_a_body_of_a_given_length_arrives_whole(client, size):
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)

    echo = client.exchange("POST", "/echo", {"Content-Type": "application/octet-stream"}, body).json()

    assert (echo["body_len"], echo["body_sha1"]) == (size, sha1(body))
    assert client.exchange("GET", "/").status == 200


@pytest.mark.parametrize("pieces", [[b"a"], [b"hello, ", b"world"], [b"x" * 70000, b"y", b"z" * 200000]])
def test_a_chunked_body_arrives_decoded(client, pieces):
    client.send(request_bytes("PUT", "/echo", {"Transfer-Encoding": "chunked"}) + chunked(*pieces))

    echo = client.read_response().json()

    assert (echo["body_len"], echo["body_sha1"]) == (len(b"".join(pieces)), sha1(b"".join(pieces)))
    assert client.exchange("GET", "/").status == 200


def test_a_trailer_is_read_and_dropped(client):
    client.send(request_bytes("PUT", "/echo", {"Transfer-Encoding": "chunked"}) +
                b"3\r\nabc\r\n0\r\nHost: elsewhere\r\nX-Late: 1\r\n\r\n")

    echo = client.read_response().json()

    assert echo["body_len"] == 3
    assert not [value for key, value in echo["headers"] if key == "x-late" or value == "elsewhere"]


@pytest.mark.parametrize("size", [10, 300000])
def test_expect_100_continue_is_answered_before_the_body_is_sent(client, size):
    body = b"c" * size
    client.send(request_bytes("POST", "/echo", {"Expect": "100-continue", "Content-Length": str(size)}))

    assert client.read_response(interim=True).status == 100
    client.send(body)

    echo = client.read_response().json()
    assert (echo["body_len"], echo["body_sha1"]) == (size, sha1(body))


def test_expect_100_continue_with_the_body_already_sent_is_answered_once(client):
    client.request("POST", "/echo", {"Expect": "100-continue"}, b"there")

    first = client.read_response(interim=True)
    final = client.read_response() if first.status == 100 else first

    assert (final.status, final.json()["body_len"]) == (200, 5)


def test_a_streamed_answer_comes_in_chunks_as_they_are_made(client):
    client.request("GET", "/stream")

    head = client.read_head()
    first = client.read_chunk()
    rest = list(iter(client.read_chunk, b""))

    assert head.header("transfer-encoding") == "chunked" and head.header("content-length") is None
    assert first.endswith(b"\n") and rest
    assert client.exchange("GET", "/").status == 200


def test_a_client_that_leaves_in_the_middle_of_an_answer_harms_nobody(gateway):
    for _ in range(20):
        with gateway.connect() as client:
            client.request("GET", "/stream")
            client.read_head()

    assert gateway.get("/").status == 200


def test_a_client_that_ends_its_sending_side_still_gets_its_answer(client):
    client.request("GET", "/sleep?ms=50")
    client.socket.shutdown(socket.SHUT_WR)

    assert client.read_response().status == 200
    assert client.is_closed()


def test_the_chat_page_is_html(client):
    response = client.exchange("GET", "/chat")

    assert response.status == 200 and response.header("content-type").startswith("text/html")
    assert b"WebSocket" in response.body


def test_many_connections_at_once_are_all_answered(gateway):
    clients = [gateway.connect() for _ in range(300)]
    for number, client in enumerate(clients):
        client.request("GET", f"/echo?{number}")

    assert [client.read_response().json()["query"] for client in clients] == [str(i) for i in range(300)]
    for client in clients:
        client.close()
