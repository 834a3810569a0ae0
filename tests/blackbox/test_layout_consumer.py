"""tests/blackbox/test_layout_consumer.py -- a consumer written from the document of the layout alone takes its part.

layout_consumer.py is plain Python and has nothing of ours; it stands beside our own consumers, and dies like them.
"""

import re
import subprocess
from pathlib import Path

from rogue import Rogue
from support.gateway import Gateway, Output
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until

SCRIPT = Path(__file__).parent / "layout_consumer.py"
STANDARD = {"contextlib", "ctypes", "mmap", "os", "select", "socket", "struct", "sys", "time"}


class LayoutConsumer:
    """One of them, attached."""

    def __init__(self, gateway, *words):
        self.command = ["/usr/bin/python3", "-I", str(SCRIPT), str(gateway.control), *words]
        self.gateway = gateway
        self.process = self.output = None

    def __enter__(self):
        lines = len(self.gateway.output.lines)
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = Output(self.process.stdout)
        self.gateway.output.wait_for(rf"consumer_attached .*pid={self.process.pid}\b", start=lines)
        return self

    def kill(self):
        """Kills it with -9, and waits for its end."""
        self.process.kill()
        self.process.wait(10 * SLOWNESS)

    def __exit__(self, *_):
        self.kill()
        self.output.wait_end()
        assert self.output.text() == ""  # no trace of an exception, no word of a corrupt segment


def ask(clients, rounds):
    """So many requests on each connection at once, pipelined; every answer must be right."""
    for _ in range(rounds):
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 10)
        for client in clients:
            for _ in range(10):
                answer = client.read_response()
                assert (answer.status, answer.body) == (200, b"Hello, World!")


def all_came_back(gateway):
    """Waits until no block is in anybody's hands, on its way, or part of a chain."""
    return wait_until(lambda: (seen := dump(gateway)).at_rest() and seen, "every block came back")


def test_it_has_two_hundred_lines_and_imports_nothing_of_ours():
    text = SCRIPT.read_text(encoding="utf-8")
    imported = {name.strip() for line in re.findall(r"^\s*import (.*)$|^\s*from (\S+) import", text, re.MULTILINE)
                for part in line for name in part.split(",") if name.strip()}

    assert len(text.splitlines()) <= 200
    assert imported == STANDARD
    assert "__import__" not in text and "importlib" not in text


def test_it_answers_thousands_of_requests_over_several_connections():
    with Gateway(workers=2, demo=0) as gateway, LayoutConsumer(gateway):
        assert gateway.get("/").body == b"Hello, World!"
        clients = [gateway.connect(30) for _ in range(8)]
        ask(clients, 40)  # 3,200

        seen = all_came_back(gateway)
        assert seen.channel("http.request")["messages"] == 3201
        for client in clients:
            client.close()


def test_bodies_in_chunks_and_messages_in_chains_leave_nothing_behind():
    with Gateway(demo=0) as gateway, LayoutConsumer(gateway), gateway.connect(30) as client:
        form = b"name=" + b"x" * 2_000_000  # one message of several blocks
        chunked = b"x" * 300_000            # a message and its body chunks
        for _ in range(5):
            assert client.exchange("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, form).status == 200
            assert client.exchange("POST", "/", body=chunked).status == 200

        all_came_back(gateway)


def test_two_of_them_and_one_of_ours_read_one_channel_and_each_request_has_one_answer():
    with Gateway(workers=2, demo=0) as gateway, Rogue(gateway) as rogue:
        bodies = []
        with LayoutConsumer(gateway), LayoutConsumer(gateway), LayoutConsumer(gateway, "hold") as holder:
            holder.kill()
            clients = [gateway.connect(30) for _ in range(4)]
            for _ in range(100):
                for client in clients:
                    client.request("GET", "/plain")
                bodies += [client.read_response().body for client in clients]
            for client in clients:
                client.close()
        assert bodies.count(b"plain") + bodies.count(b"Hello, World!") == 400
        wait_until(lambda: len(rogue.taken()) == bodies.count(b"plain"), "ours took what it answered and no more")
        assert gateway.get("/plain").body == b"plain"
        all_came_back(gateway)


def test_killed_with_a_request_in_its_hands_its_client_gets_502_and_the_next_one_answers():
    with Gateway("--answer-timeout", "120", demo=0) as gateway:
        with LayoutConsumer(gateway, "hold") as consumer, gateway.connect(30) as client:
            client.request("GET", "/")
            wait_until(lambda: dump(gateway).blocks("taken") == 1, "the request is in its hands")
            consumer.kill()

            assert client.read_response().status == 502
        with LayoutConsumer(gateway), gateway.connect(30) as client:
            ask([client], 5)
            all_came_back(gateway)


def test_killed_at_any_moment_of_its_work_it_loses_at_most_what_it_held():
    with Gateway("--answer-timeout", "120", workers=2, demo=0) as gateway:
        statuses = []
        for _ in range(8):
            with LayoutConsumer(gateway) as consumer, gateway.connect(60) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 64)
                statuses.append(client.read_response().status)  # it is at work
                consumer.kill()
                with LayoutConsumer(gateway):
                    statuses += [client.read_response().status for _ in range(63)]
        all_came_back(gateway)

    assert len(statuses) == 512 and set(statuses) <= {200, 502}
    assert statuses.count(502) <= 8  # at most one for each kill
