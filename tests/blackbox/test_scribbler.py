"""tests/blackbox/test_scribbler.py -- a consumer that writes into the shared memory whatever it can.

No worker and no master dies or spins; no client gets a byte of another's; and when the scribbler is
gone, requests are answered again. Attached consumers may answer any request, so a client may be told
nonsense: never what another client said.
"""

import os
import random
import re
import subprocess
import threading
import time

import pytest

from support.gateway import BUILD, Gateway, Output
from support.http_client import Closed
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket

PROGRAM = BUILD / "tests" / "blackbox" / "scribbling_consumer"
TOKEN = re.compile(rb"token-[0-9a-f]{16}")
TICK = os.sysconf("SC_CLK_TCK")
QUICK = ["--answer-timeout", "1", "--hold-timeout", "1", "--receive-timeout", "1", "--drain-timeout", "3"]


class Scribbler:
    """The program, attached and writing; killed at the end."""

    def __init__(self, gateway, way, seed, words=0):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen([str(PROGRAM), str(gateway.control), str(seed), str(words), way],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = Output(self.process.stdout)

    def __enter__(self):
        self.output.wait_for(r"^attached")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class CheckingClient(threading.Thread):
    """Asks for its own token over and over, and looks whether anybody else's comes."""

    def __init__(self, gateway, number):
        super().__init__(daemon=True)
        self.gateway, self.number = gateway, number
        self.over = threading.Event()
        self.random = random.Random(number)
        self.tried, self.answered, self.foreign = 0, 0, []

    def token(self):
        """A new one."""
        return f"token-{self.random.getrandbits(64):016x}"

    def look(self, data, mine):
        """Whether the data has our token; another's is kept for the report."""
        found = set(TOKEN.findall(data))
        if found - {token.encode() for token in mine}:
            self.foreign.append((mine, data[:400]))
        return mine[-1].encode() in found

    def run(self):
        while not self.over.is_set():
            self.tried += 1
            try:
                self.speak_websocket() if self.number % 2 else self.speak_http()
            except (Closed, OSError, ValueError, AssertionError):
                self.over.wait(0.01)  # refused, cut or nonsense: again

    def speak_http(self):
        """Requests on one connection, some of them pipelined."""
        with self.gateway.connect(timeout=3) as client:
            while not self.over.is_set():
                tokens = [self.token() for _ in range(self.random.choice((1, 1, 3)))]
                self.tried += 1
                for token in tokens:
                    client.request("POST", f"/echo/{token}", body=token.encode() * 20)
                for token in tokens:
                    response = client.read_response("POST")
                    self.answered += self.look(response.body, [token]) and response.status == 200

    def speak_websocket(self):
        """Messages one after the other; an answer that does not come in time is a connection given up."""
        websocket = WebSocket.opened(self.gateway, "/ws", timeout=2)
        said = []
        try:
            while not self.over.is_set():
                self.tried += 1
                said.append(self.token())
                websocket.send_text(said[-1])
                answer = websocket.read_message()
                if isinstance(answer, tuple):
                    return
                data = answer if isinstance(answer, bytes) else answer.encode()
                self.answered += self.look(data, said)
        finally:
            websocket.drop()


class Clients:
    """Some of each kind."""

    def __init__(self, gateway, number=6):
        self.all = [CheckingClient(gateway, n) for n in range(number)]

    def answered(self):
        """Answers with the right token so far."""
        return sum(client.answered for client in self.all)

    def tried(self):
        """Connections and requests begun so far."""
        return sum(client.tried for client in self.all)

    def __enter__(self):
        for client in self.all:
            client.start()
        return self

    def __exit__(self, *_):
        for client in self.all:
            client.over.set()
        for client in self.all:
            client.join(20 * SLOWNESS)

    def assert_only_their_own(self):
        """No client saw another's bytes."""
        foreign = [each for client in self.all for each in client.foreign]
        assert not foreign, f"another client's bytes: {foreign[:3]}"


def cpu_seconds(pids):
    """Processor time the processes have used."""
    used = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return used / TICK


def is_quiet(gateway):
    """Whether master and workers use next to nothing for a while."""
    roles = gateway.roles()
    pids = roles.get("master", []) + roles.get("worker", [])
    start, before = time.monotonic(), cpu_seconds(pids)
    threading.Event().wait(0.5)
    return (cpu_seconds(pids) - before) / (time.monotonic() - start) < 0.05


def serves_again(gateway):
    """Whether a dozen requests and a WebSocket are answered at once."""
    try:
        for _ in range(12):
            with gateway.connect(timeout=2) as client:
                if client.exchange("GET", "/").status != 200:
                    return False
        websocket = WebSocket.opened(gateway, "/ws", timeout=2)
        websocket.echo("again")
        websocket.drop()
        return True
    except (Closed, OSError, ValueError, AssertionError):
        return False


def assert_nobody_died(gateway):
    """Workers may have left in order, with a segment given up; none died."""
    died = [line for line in gateway.output.lines if "worker_died" in line or "worker_killed" in line]
    assert not died, "\n".join(died)
    assert gateway.process.poll() is None


@pytest.mark.parametrize("way,seed,words", [
    ("anywhere", 1, 200_000), ("anywhere", 2, 50), ("chosen", 3, 300), ("chosen", 4, 100_000),
    ("pushes", 5, 30_000), ("bytes", 6, 20_000), ("rings", 7, 30_000)])
def test_whatever_a_consumer_scribbles_clients_get_their_own_and_are_served_again(way, seed, words):
    with Gateway(*QUICK, workers=2, demo=2) as gateway:
        with Clients(gateway) as clients:
            wait_until(lambda: clients.answered() > 50, "clients answered before anything is scribbled")
            with Scribbler(gateway, way, seed, words) as scribbler:
                scribbler.output.wait_for(r"^done", 60)
                assert_nobody_died(gateway)
            wait_until(lambda: serves_again(gateway), "requests answered again", 60)
            before = clients.answered()
            wait_until(lambda: clients.answered() > before + 50, "checking clients answered again", 60)
        clients.assert_only_their_own()
        wait_until(lambda: is_quiet(gateway), "an idle gateway that uses no processor", 60)
        assert_nobody_died(gateway)


def test_a_gateway_ends_in_order_while_a_scribbler_goes_on():
    with Gateway(*QUICK, workers=2, demo=2) as gateway:
        with Clients(gateway) as clients:
            wait_until(lambda: clients.answered() > 50, "clients answered before anything is scribbled")
            with Scribbler(gateway, "chosen", 8):
                tried = clients.tried()
                wait_until(lambda: clients.tried() > tried + 20, "clients that go on trying", 60)
                assert_nobody_died(gateway)
                assert gateway.stop(seconds=30) == 0
        clients.assert_only_their_own()
