"""tests/blackbox/test_access_log.py -- a line for each exchange: what it says, who cannot forge it, where it goes."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from rogue import Rogue
from support.gateway import Gateway
from support.http_client import chunked, request_bytes
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket

COMBINED = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "(?P<request>[^"]*)" '
    r'(?P<status>\d{3}) (?P<sent>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)" (?P<duration>\d+\.\d{6}) '
    r'(?P<received>\d+) (?P<channel>\S+) (?P<consumer>\d+|-) (?P<worker>\d+) (?P<end>-|cut|\d{4})')


class Log:
    """The access log of a gateway, in a folder of its own."""

    def __init__(self, path):
        self.path = path

    def texts(self):
        """The lines so far; each of them is whole."""
        text = self.path.read_text(encoding="ascii") if self.path.exists() else ""
        assert not text or text.endswith("\n"), f"half a line: {text[-200:]!r}"
        return text.splitlines()

    def lines(self, number):
        """The fields of each line, when there are so many."""
        wait_until(lambda: len(self.texts()) >= number, f"{number} lines in {self.texts()}")
        found = [COMBINED.fullmatch(text) for text in self.texts()]
        assert all(found) and len(found) == number, self.texts()
        return [match.groupdict() for match in found]

    def objects(self, number):
        """The same of a log in JSON."""
        wait_until(lambda: len(self.texts()) >= number, f"{number} lines in {self.texts()}")
        assert len(self.texts()) == number, self.texts()
        return [json.loads(text) for text in self.texts()]


@pytest.fixture
def log(tmp_path):
    """Where the gateway under test writes its log."""
    return Log(tmp_path / "access.log")


def logging(log, *options, **more):
    """A gateway that writes that log."""
    return Gateway("--access-log", log.path, *options, **more)


def reset(client):
    """Leaves without a word: the gateway's next read or write fails."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_each_request_of_a_connection_has_a_line_in_the_order_of_the_answers(log):
    with logging(log, workers=1, demo=1) as gateway, gateway.connect() as client:
        (consumer,) = gateway.wait_role("demo consumer", 1)
        client.send(request_bytes("GET", "/sleep?ms=50", [("Referer", "http://here/"), ("User-Agent", "test/1")])
                    + request_bytes("GET", "/") + request_bytes("GET", "/nothing", version="HTTP/1.0"))
        answers = [client.read_response() for _ in range(3)]

        slow, fast, last = log.lines(3)

        assert [answer.status for answer in answers] == [200, 200, 404]
        assert slow["request"] == "GET /sleep?ms=50 HTTP/1.1" and float(slow["duration"]) >= 0.05
        assert (slow["referer"], slow["agent"]) == ("http://here/", "test/1")
        assert (fast["request"], fast["status"], fast["sent"]) == ("GET / HTTP/1.1", "200", "13")
        assert (fast["referer"], fast["agent"]) == ("-", "-")
        assert (last["request"], last["status"]) == ("GET /nothing HTTP/1.0", "404")
        assert int(last["sent"]) == len(answers[2].body)
        assert int(fast["received"]) == len(request_bytes("GET", "/"))
        for line in (slow, fast, last):
            assert (line["client"], line["worker"], line["end"]) == ("127.0.0.1", "0", "-")
            assert line["channel"] == "http.request"
            assert int(line["consumer"]) == consumer


def test_bodies_are_counted_without_their_framing(log):
    with logging(log) as gateway, gateway.connect() as client:
        assert client.exchange("HEAD", "/").status == 200
        streamed = client.exchange("GET", "/stream?lines=3")
        client.request("POST", "/echo", [("Transfer-Encoding", "chunked")], chunked(b"a" * 1000, b"b" * 500))
        assert client.read_response().status == 200
        assert client.exchange("POST", "/echo", body=b"c" * 200000).status == 200

        head, stream, by_chunks, long_one = log.lines(4)

        assert (head["request"], head["sent"]) == ("HEAD / HTTP/1.1", "0")
        assert streamed.header("transfer-encoding") == "chunked" and int(stream["sent"]) == len(streamed.body)
        assert 1500 < int(by_chunks["received"]) < 1500 + 200
        assert 200000 < int(long_one["received"]) < 200000 + 200


def test_what_is_refused_has_a_line_with_what_came_of_it(log):
    with logging(log, "--max-body", "1K", demo=1) as gateway:
        def refused(data):
            with gateway.connect() as client:
                client.send(data)
                return client.read_response().status

        assert refused(b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n") == 400
        assert refused(b"\x16\x03\x01\x02\x00\"forged\" 200\n127.0.0.1") == 400
        assert refused(b"GET / HTTP/3.0\r\nHost: x\r\n\r\n") == 505
        assert refused(b"POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n") == 413
        assert refused(request_bytes("GET", "/ws", [("Upgrade", "websocket"), ("Connection", "Upgrade")])) == 426

        space, tls, version, large, upgrade = log.lines(5)

        assert (space["request"], space["status"]) == ("GET /a b HTTP/1.1", "400")
        assert tls["request"] == "\\x16\\x03\\x01\\x02\\x00\\x22forged\\x22 200"
        assert (version["request"], version["status"]) == ("GET / HTTP/3.0", "505")
        assert (large["request"], large["status"]) == ("POST /big HTTP/1.1", "413")
        assert (upgrade["request"], upgrade["status"]) == ("GET /ws HTTP/1.1", "426")
        for line in (space, tls, version, large, upgrade):
            assert (line["channel"], line["consumer"], line["end"]) == ("-", "-", "-")
            assert int(line["sent"]) > 0


def test_a_head_that_does_not_come_in_time_has_a_line_that_counts_from_its_beginning(log):
    with logging(log, "--header-timeout", 0.5 * SLOWNESS) as gateway, gateway.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\n")
        assert client.read_response().status == 408

        (line,) = log.lines(1)

        assert (line["request"], line["status"]) == ("-", "408")
        assert float(line["duration"]) >= 0.49 * SLOWNESS


def test_a_connection_refused_at_the_door_has_a_line(log):
    with logging(log, "--max-connections", "64", demo=1) as gateway:
        clients = [gateway.connect() for _ in range(64)]
        try:
            assert all(client.exchange("HEAD", "/").status == 200 for client in clients)
            with gateway.connect() as late:
                assert late.read_response().status == 503
        finally:
            for client in clients:
                client.close()

        assert (log.lines(65)[64]["request"], log.lines(65)[64]["status"]) == ("-", "503")


def test_without_a_consumer_the_line_says_that_nobody_answered(log):
    with logging(log, "--hold-timeout", "0.1", demo=0) as gateway:
        assert gateway.get("/").status == 503

        (line,) = log.lines(1)

        assert (line["status"], line["sent"], line["consumer"], line["channel"]) == ("503", "24", "-", "http.request")
        assert float(line["duration"]) >= 0.1


def test_an_answer_whose_consumer_died_is_502_or_cut(log):
    with logging(log, demo=0) as gateway:
        with Rogue(gateway):
            assert gateway.get("/rogue/die").status == 502
        with Rogue(gateway) as rogue, gateway.connect() as client:
            client.request("GET", "/rogue/half")
            client.read_to_end()
            pid = rogue.process.pid

        lost, half = log.lines(2)

        assert (lost["status"], lost["end"]) == ("502", "-")
        assert (half["status"], half["sent"], half["end"]) == ("200", str(len("half of it")), "cut")
        assert int(half["consumer"]) == pid


def test_a_request_taken_and_not_answered_names_who_has_it(log):
    with logging(log, "--answer-timeout", "0.3", demo=0) as gateway, Rogue(gateway) as rogue:
        assert gateway.get("/rogue/hold").status == 504

        (line,) = log.lines(1)

        assert line["status"] == "504" and int(line["consumer"]) == rogue.process.pid


def test_a_client_that_leaves_is_499_or_cut(log):
    with logging(log, demo=0) as gateway, Rogue(gateway) as rogue:
        client = gateway.connect()
        client.request("GET", "/rogue/hold")
        rogue.wait_taken(1)
        reset(client)
        (left,) = log.lines(1)

        client = gateway.connect()
        client.request("GET", "/rogue/begin")
        client.read_head()
        reset(client)
        log.lines(2)

        client = gateway.connect()
        client.send(b"POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nten bytes.")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
        client.close()
        begun, unsent = log.lines(3)[1:]

        assert (left["status"], left["sent"], left["end"]) == ("499", "0", "cut")
        assert int(left["consumer"]) == rogue.process.pid
        assert (begun["status"], begun["sent"], begun["end"]) == ("200", str(len("half of it")), "cut")
        assert (unsent["request"], unsent["status"], unsent["channel"]) == ("POST /half HTTP/1.1", "499", "-")


def test_what_the_gateway_leaves_unanswered_is_444(log):
    with (logging(log, "--drain-timeout", "0.3", demo=0) as gateway, Rogue(gateway) as rogue,
          gateway.connect() as client):
        client.request("GET", "/rogue/hold")
        client.request("GET", "/answered/out/of/turn")
        rogue.wait_taken(2)

        assert gateway.stop() == 0

        assert [(line["status"], line["sent"], line["end"]) for line in log.lines(2)] == [("444", "0", "cut")] * 2


def test_a_websocket_has_a_line_at_its_end(log):
    with logging(log) as gateway:
        (consumer,) = gateway.wait_role("demo consumer", 1)
        websocket = WebSocket.opened(gateway, headers=[("User-Agent", "test/1")])
        websocket.echo("hello")
        assert not log.texts()
        websocket.close()
        log.lines(1)
        websocket = WebSocket.opened(gateway)
        websocket.echo("hello")
        websocket.drop()

        closed, dropped = log.lines(2)

        assert (closed["request"], closed["status"], closed["end"]) == ("GET /ws HTTP/1.1", "101", "1000")
        assert (closed["channel"], closed["agent"]) == ("websocket.connect", "test/1")
        assert int(closed["consumer"]) == consumer
        assert int(closed["sent"]) == (2 + 5) + (2 + 2)  # the echo, the close
        assert int(closed["received"]) > (6 + 5) + (6 + 2) + 100  # and the handshake's head
        assert dropped["end"] == "1006"


def test_a_websocket_closed_by_us_says_with_what(log):
    with logging(log) as gateway:
        unknown = WebSocket.opened(gateway, "/unknown")
        assert unknown.read_close()[0] == 4404
        unknown.drop()
        large = WebSocket.opened(gateway)
        large.send(b"\x83\x80\x00\x00\x00\x00")  # an opcode there is not
        assert large.read_close()[0] == 1002
        large.drop()

        assert sorted(line["end"] for line in log.lines(2)) == ["1002", "4404"]


def test_a_handshake_a_consumer_answers_or_refuses_is_a_line_like_any(log):
    with logging(log, "--accept", "consumer", "--hold-timeout", "0.1", demo=0) as gateway:
        assert WebSocket(gateway).response.status == 503

        (line,) = log.lines(1)

        assert (line["status"], line["sent"], line["end"]) == ("503", "24", "-")


def test_json_lines_are_objects_whatever_a_client_sends(log):
    with logging(log, "--access-log-format", "json") as gateway, gateway.connect() as client:
        hostile = bytes(byte for byte in range(0x20, 0x100) if byte != 0x7F)
        client.send(b"GET /\"\\%0a?x=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: " + hostile + b"\r\n\r\n")
        status = client.read_response().status
        with gateway.connect() as other:
            other.exchange("GET", "/", [("Referer", "http://\u00e4".encode().decode("latin-1"))])
        websocket = WebSocket.opened(gateway)
        websocket.close()

        first, second, third = log.objects(3)

        assert (first["status"], first["target"]) == (status, '/"\\%0a?x=1')
        assert set(first) == set(second) == set(third)
        assert (second["method"], second["target"], second["protocol"]) == ("GET", "/", "HTTP/1.1")
        assert (second["status"], second["sent"], second["complete"]) == (200, 13, True)
        assert second["referer"] == "http://\u00e4" and second["user_agent"] is None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", second["time"])
        assert 0 < second["duration"] < 10 * SLOWNESS and second["close_code"] is None
        assert third["close_code"] == 1000


def test_a_long_target_is_cut_and_marked(log):
    with logging(log) as gateway:
        assert gateway.get("/" + "x" * 5000).status == 404

        (line,) = log.lines(1)

        assert line["request"] == "GET /" + "x" * 2047 + "... HTTP/1.1"


def rotate(gateway, log, number):
    """Moves the log away, as logrotate does, and has it opened anew."""
    log.path.rename(log.path.with_suffix(f".{number}"))
    start = len(gateway.output.lines)
    gateway.process.send_signal(signal.SIGUSR1)
    gateway.output.wait_for("access_log_reopened", start=start)


def test_rotation_under_load_loses_no_line_and_tears_none(log):
    with logging(log, workers=2, demo=1) as gateway:
        asked, done = [], threading.Event()

        def ask(number):
            with gateway.connect() as client:
                count = 0
                while not done.is_set():
                    # Several at once, so that a turn of the loop has several lines to write.
                    targets = [f"/nothing/{number}/{count + i}" for i in range(8)]
                    client.send(b"".join(request_bytes("GET", target) for target in targets))
                    assert all(client.read_response().status == 404 for _ in targets)
                    asked.extend(targets)
                    count += len(targets)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(asked) > 100, "the load has begun", 30)
        for number in range(1, 11):
            before = len(asked)
            rotate(gateway, log, number)
            wait_until(lambda before=before: len(asked) > before + 100, "the load goes on", 30)
        done.set()
        for thread in threads:
            thread.join()
        assert gateway.stop() == 0

        files = [log.path] + [log.path.with_suffix(f".{number}") for number in range(1, 11)]
        logged = [COMBINED.fullmatch(text) for file in files for text in Log(file).texts()]

        assert all(logged)
        assert sorted(match["request"].split()[1] for match in logged) == sorted(asked)
        assert all(Log(file).texts() for file in files)
        assert {match["worker"] for match in logged} <= {"0", "1"}


def test_a_worker_started_after_a_rotation_writes_to_the_new_file(log):
    with logging(log) as gateway:
        assert gateway.get("/").status == 200
        log.lines(1)  # it is written behind the answer; a worker that is killed before that writes none
        rotate(gateway, log, 1)
        worker = gateway.kill("worker")
        gateway.wait_role("worker", 1, but_not=[worker])
        wait_until(lambda: gateway.get("/").status == 200, "the successor answers")

        assert log.lines(1) and len(Log(log.path.with_suffix(".1")).texts()) == 1


def test_a_log_that_cannot_be_opened_anew_stays_the_old_one(log):
    with logging(log) as gateway:
        log.path.rename(log.path.with_suffix(".1"))
        log.path.mkdir()
        gateway.process.send_signal(signal.SIGUSR1)
        gateway.output.wait_for("access_log_not_reopened path=.* why=\"Is a directory\"")

        assert gateway.get("/").status == 200

        assert len(Log(log.path.with_suffix(".1")).lines(1)) == 1


def test_a_full_disk_costs_lines_and_no_client(log):
    log.path.symlink_to("/dev/full")
    with logging(log) as gateway, gateway.connect() as client:
        for _ in range(100):
            assert client.exchange("GET", "/").status == 200

        gateway.output.wait_for("access_log_lines_lost .*No space left on device")
        assert gateway.stop() == 0
        assert gateway.output.wait_for(r"counted access_lines_lost=(\d+)")[1] == "100"
        assert len([line for line in gateway.output.lines if "access_log_lines_lost" in line]) <= 2


def test_a_pipe_that_nobody_reads_costs_lines_and_no_client(log):
    os.mkfifo(log.path)
    reader = os.open(log.path, os.O_RDONLY | os.O_NONBLOCK)
    with logging(log) as gateway, gateway.connect() as client:
        for _ in range(200):  # more than the pipe and the worker's buffer hold
            assert client.exchange("GET", "/" + "x" * 2000).status == 404
        os.close(reader)  # its reader is gone, and nobody is signalled
        assert client.exchange("GET", "/").status == 200

        gateway.output.wait_for("access_log_lines_lost")
        assert gateway.stop() == 0


def test_standard_output_can_be_the_log():
    with Gateway("--access-log", "-") as gateway:
        assert gateway.get("/").status == 200

        assert gateway.output.wait_for(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 13 ')


def test_there_is_no_log_unless_it_is_asked_for(tmp_path):
    gateway = Gateway(folder=tmp_path)
    with gateway:
        assert gateway.get("/").status == 200
        gateway.process.send_signal(signal.SIGUSR1)
        gateway.output.wait_for("signal number=10")
        assert gateway.get("/").status == 200

    assert not [path for path in tmp_path.iterdir() if "log" in path.name]
    assert "access_log" not in gateway.output.text()


def test_a_log_that_cannot_be_opened_is_one_clear_line(tmp_path):
    gateway = Gateway("--access-log", tmp_path / "no" / "access.log", folder=tmp_path)

    run = subprocess.run(gateway.command, capture_output=True, text=True, env=gateway.environment,
                         timeout=20 * SLOWNESS, check=False)

    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr == (f"sluice: cannot open the access log {tmp_path}/no/access.log: "
                          "No such file or directory\n")


def test_behind_a_trusted_proxy_the_client_is_whom_the_proxy_names(log):
    with logging(log, "--trusted-proxies", "127.0.0.1") as gateway, gateway.connect() as client:
        client.exchange("GET", "/", {"X-Forwarded-For": "198.51.100.7"})
        client.exchange("GET", "/", {})

        assert [line["client"] for line in log.lines(2)] == ["198.51.100.7", "127.0.0.1"]
