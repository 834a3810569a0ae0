"""tests/blackbox/test_soak.py -- everything at once, while consumers and workers are killed.

Loads of three kinds run against one gateway; only what messages.md allows may be lost:
a request in the hands of the dead is a 502, a WebSocket message in its hands is missing, a worker's
connections are cut. Everything else is answered, rightly and in order.
SLUICE_TEST_SOAK_SECONDS makes it longer.
"""

import os
import random
import re
import signal
import subprocess
import threading
import time
from contextlib import ExitStack
from itertools import islice

from chats import Chats
from company import Company
from support.gateway import Gateway
from support.http_client import Closed
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket

SECONDS = float(os.environ.get("SLUICE_TEST_SOAK_SECONDS", "12"))
LOST = (Closed, ConnectionError)
PATIENCE = 30  # seconds for an answer; a longer wait is a failure, not a loss


class Load:
    """What one kind of client saw."""

    def __init__(self, gateway, over):
        self.gateway, self.over = gateway, over  # an event: the test has done what it wants to do
        self.good, self.cut, self.missing, self.wrong = 0, 0, 0, []
        self.statuses = {}
        self.failure = None

    def run(self, kind):
        """The load of one kind; what ends it early is kept: an answer that never came, for one."""
        try:
            getattr(self, kind)()
        except Exception as failure:  # pylint: disable=broad-exception-caught
            self.failure = failure

    def fresh_requests(self):
        """A connection for each request, as curl does."""
        number = 0
        while not self.over.is_set():
            number += 1
            try:
                with self.gateway.connect(PATIENCE) as client:
                    response = client.exchange("GET", f"/echo?{number}")
            except LOST:
                self.cut += 1
                continue
            self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
            if response.status == 200:
                self.good += 1
                if response.json()["query"] != str(number):
                    self.wrong.append(f"asked {number}, got {response.json()['query']}")

    def kept_requests(self):
        """One connection for as long as it lasts, requests one after the other."""
        client, number = None, 0
        while not self.over.is_set():
            number += 1
            try:
                client = client or self.gateway.connect(PATIENCE)
                response = client.exchange("POST", "/echo", body=b"%d" % number * 100)
            except LOST:
                self.cut += 1
                client = None
                continue
            self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
            if response.header("connection") == "close":
                client = None
            if response.status == 200:
                self.good += 1
                if response.json()["body_len"] != len(b"%d" % number * 100):
                    self.wrong.append(f"another request's answer: {response.body[:200]!r}")

    def messages(self):
        """One WebSocket for as long as it lasts; numbers come back in order, at most once."""
        websocket, sent, came = None, 0, 0
        while not self.over.is_set():
            try:
                if websocket is None:
                    websocket, came = WebSocket(self.gateway, "/ws", timeout=PATIENCE), sent
                    if websocket.response.status != 101:  # the connect was in the hands of the dead
                        self.statuses[websocket.response.status] = self.statuses.get(websocket.response.status, 0) + 1
                        websocket = None
                        continue
                for _ in range(2):
                    sent += 1
                    websocket.send_text(str(sent))
                while came < sent:
                    if not websocket.client.has_input(0.5):
                        # The last one itself was in the hands of the dead; another makes that certain.
                        sent += 1
                        websocket.send_text(str(sent))
                        continue
                    message = websocket.read_message()
                    if isinstance(message, tuple):
                        raise Closed(str(message))
                    if not came < int(message) <= sent:
                        self.wrong.append(f"{message} came after {came}, with {sent} sent")
                    self.missing += int(message) - came - 1
                    came = int(message)
                self.good += 1
            except LOST:
                self.cut += 1
                websocket = None


def start_wrk(gateway):
    """wrk, until it is interrupted: then it reports."""
    return subprocess.Popen(["wrk", "-t1", "-c32", "-d1h", f"http://{gateway.host}:{gateway.port}/"],
                            stdout=subprocess.PIPE, text=True)


def wait_progress(loads):
    """Waits until every load has come on by a part of what it does in the whole time."""
    marks = {name: load.good + int(15 * SECONDS) for name, load in loads.items()}
    wait_until(lambda: any(load.failure for load in loads.values()) or
               all(load.good >= marks[name] for name, load in loads.items()),
               "every load comes on", SECONDS + 30)
    for load in loads.values():
        if load.failure:
            raise load.failure


def test_a_mixed_load_loses_only_what_it_may_while_processes_are_killed():
    with Gateway(workers=2, demo=2) as gateway, ExitStack() as on_the_way_out:
        over = threading.Event()
        on_the_way_out.callback(over.set)
        loads = {name: Load(gateway, over) for name in ("fresh_requests", "kept_requests", "messages")}
        wrk = start_wrk(gateway)
        on_the_way_out.callback(wrk.kill)
        threads = [threading.Thread(target=load.run, args=(name,), name=name) for name, load in loads.items()]
        for thread in threads:
            thread.start()

        killed_consumers = 4
        for kill in range(killed_consumers):
            wait_progress(loads)
            before = gateway.wait_role("demo consumer", 2)
            gateway.kill("demo consumer", kill % 2)
            gateway.wait_role("demo consumer", 2, but_not=[before[kill % 2]])
        wait_progress(loads)
        workers = gateway.wait_role("worker", 2)
        gateway.kill("worker", 0)
        gateway.wait_role("worker", 2, but_not=workers[:1])
        wait_progress(loads)
        over.set()
        for thread in threads:
            thread.join(60 * SLOWNESS)
            assert not thread.is_alive(), f"{thread.name} hangs"
        wrk.send_signal(signal.SIGINT)
        report = wrk.communicate(timeout=60 * SLOWNESS)[0]

        wrong = {name: load.wrong for name, load in loads.items() if load.wrong}
        assert not wrong
        for name, load in loads.items():
            print(name, load.good, "good", load.cut, "cut", load.missing, "missing", load.statuses)
            assert set(load.statuses) <= {200, 502}, f"{name}: {load.statuses}"
            # One connection each: a death costs it one request, a worker's death its connection.
            assert load.statuses.get(502, 0) <= killed_consumers
            assert load.missing <= killed_consumers
            assert load.cut <= 3, f"{name}: cut {load.cut} times"
        answered = int(re.search(r"(\d+) requests in", report)[1])
        refused = int((re.search(r"Non-2xx or 3xx responses: (\d+)", report) or [0, 0])[1])
        assert answered > 1000, report
        assert refused <= 32 * killed_consumers, report
        assert gateway.get("/").body == b"Hello, World!"


def test_consumers_and_workers_killed_at_random_cost_no_client_more_than_what_they_had_in_hand():
    seed = random.SystemRandom().randrange(2**32)
    choice = random.Random(seed)
    print("seed", seed)
    with Gateway(workers=2, demo=3) as gateway, ExitStack() as on_the_way_out:
        over = threading.Event()
        on_the_way_out.callback(over.set)
        end = time.monotonic() + SECONDS
        kinds = ["fresh_requests", "kept_requests", "messages", "messages"]
        loads = [Load(gateway, over) for _ in kinds]
        threads = [threading.Thread(target=load.run, args=(kind,)) for load, kind in zip(loads, kinds)]
        for thread in threads:
            thread.start()

        killed = {"demo consumer": 0, "worker": 0}
        while time.monotonic() < end:
            role = choice.choice(["demo consumer", "demo consumer", "worker"])
            pids = gateway.roles().get(role, [])
            if len(pids) < 2:
                role = {"worker": "demo consumer", "demo consumer": "worker"}[role]
                pids = gateway.roles().get(role, [])
            if len(pids) > 1:  # one of each lives: the others come back by their back-off
                gateway.kill_pid(choice.choice(pids))
                killed[role] += 1
            # Somewhere in the work that follows the next one dies.
            mark = sum(load.good for load in loads) + choice.randrange(200)
            wait_until(lambda goal=mark: sum(load.good for load in loads) >= goal or time.monotonic() > end,
                       "messages go on", SECONDS + 30)
        over.set()
        for thread in threads:
            thread.join(60 * SLOWNESS)
            assert not thread.is_alive(), "a client hangs"

        for kind, load in zip(kinds, loads):
            print(kind, load.good, "good", load.cut, "cut", load.missing, "missing", load.statuses, killed)
            if load.failure:
                raise load.failure
            assert not load.wrong
            assert load.good > 0
            assert set(load.statuses) <= {200, 502}, f"{kind}: {load.statuses}"
            # One at a time: a consumer's death costs one request, a worker's one connection.
            assert load.statuses.get(502, 0) + load.missing <= killed["demo consumer"]
            assert load.cut <= killed["worker"]
        assert gateway.get("/").body == b"Hello, World!"


def test_a_thousand_chats_go_on_in_order_while_consumers_are_killed_frozen_and_replaced():
    staying, leaving, kills = 1000, 90, 30
    seed = random.SystemRandom().randrange(2**32)
    choice = random.Random(seed)
    print("seed", seed)
    patient = ("--stuck-timeout", 600, "--receive-timeout", 600, "--ping-interval", 600)
    with Gateway(*patient, workers=2, demo=0) as gateway, Company(gateway, 4, choice) as company:
        with Chats(gateway, staying + leaving, "/chat/{}") as chats:
            chats.begin()
            leavers = iter(range(staying, staying + leaving))
            while company.killed < kills:
                chats.come_on(choice.randrange(500))
                company.something_happens()
                for number in islice(leavers, 2):
                    chats.leave(number)
            company.all_go_on()
            chats.fall_silent()
            chats.leave_all()

        def stayed_and_left():
            return sum(number < staying for number in company.disconnects()) == staying
        wait_until(stayed_and_left, "each chat that stayed until the killing was over has its disconnect")
        wait_until(lambda: dump(gateway).at_rest(), "no more is to be taken")
        disconnects = company.disconnects()
        print(chats.echoes, "echoes", chats.lost, "lost", staying + leaving - len(disconnects), "disconnects lost")
        assert set(disconnects.values()) == {1}
        assert chats.lost + staying + leaving - len(disconnects) <= kills
