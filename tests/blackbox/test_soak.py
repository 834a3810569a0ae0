"""tests/blackbox/test_soak.py -- everything at once, while consumers and workers are killed.

Loads of three kinds run against one gateway; only what messages.md allows may be lost:
a request in the hands of the dead is a 502, a WebSocket message in its hands is missing, a worker's
connections are cut. Everything else is answered, rightly and in order.
SLUICE_TEST_SOAK_SECONDS makes it longer.
"""

import os
import random
import re
import subprocess
import threading
import time

from support.gateway import Gateway
from support.http_client import Closed
from support.waiting import wait_until
from support.websocket_client import WebSocket

SECONDS = float(os.environ.get("SLUICE_TEST_SOAK_SECONDS", "12"))
LOST = (Closed, ConnectionError, TimeoutError)


class Load:
    """What one kind of client saw."""

    def __init__(self, gateway, end):
        self.gateway, self.end = gateway, end
        self.good, self.cut, self.missing, self.wrong = 0, 0, 0, []
        self.statuses = {}

    def going(self):
        return time.monotonic() < self.end

    def fresh_requests(self):
        """A connection for each request, as curl does."""
        number = 0
        while self.going():
            number += 1
            try:
                response = self.gateway.get(f"/echo?{number}")
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
        while self.going():
            number += 1
            try:
                client = client or self.gateway.connect()
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
        websocket, sent = None, 0
        while self.going():
            try:
                if websocket is None:
                    websocket = WebSocket.opened(self.gateway, timeout=5)
                sent += 1
                websocket.send_text(f"{sent} ?")
                websocket.send_text(f"{sent} !")
                # A message in the hands of a dead consumer is gone; the next one makes that certain.
                while True:
                    message = websocket.read_message()
                    if isinstance(message, tuple):
                        raise Closed(str(message))
                    came = int(message.split()[0])
                    if came > sent:
                        self.wrong.append(f"{message!r} was never sent")
                    if message == f"{sent} !":
                        self.good += 1
                        break
                    if came < sent:
                        self.wrong.append(f"{message!r} came after {sent} was sent")
            except TimeoutError:
                self.missing += 1  # the last message itself was in the hands of the dead
            except LOST:
                self.cut += 1
                websocket = None


def run_wrk(gateway, results):
    """wrk for the whole time; its report."""
    run = subprocess.run(["wrk", "-t1", "-c32", f"-d{SECONDS:.0f}s", f"http://{gateway.host}:{gateway.port}/"],
                         capture_output=True, text=True, timeout=SECONDS + 60, check=True)
    results.append(run.stdout)


def wait_progress(loads, end):
    """Waits until every load has come on by a part of what it does in the whole time."""
    marks = {name: load.good + int(15 * SECONDS) for name, load in loads.items()}
    wait_until(lambda: all(load.good >= marks[name] for name, load in loads.items()),
               "every load comes on", max(end - time.monotonic(), 1))


def test_a_mixed_load_loses_only_what_it_may_while_processes_are_killed():
    with Gateway(workers=2, demo=2) as gateway:
        end = time.monotonic() + SECONDS
        loads = {name: Load(gateway, end) for name in ("fresh_requests", "kept_requests", "messages")}
        reports = []
        threads = [threading.Thread(target=getattr(load, name), name=name) for name, load in loads.items()]
        threads.append(threading.Thread(target=run_wrk, args=(gateway, reports), name="wrk"))
        for thread in threads:
            thread.start()

        killed_consumers = 4
        for kill in range(killed_consumers):
            wait_progress(loads, end)
            before = gateway.wait_role("demo consumer", 2)
            gateway.kill("demo consumer", kill % 2)
            gateway.wait_role("demo consumer", 2, but_not=[before[kill % 2]])
        wait_progress(loads, end)
        workers = gateway.wait_role("worker", 2)
        gateway.kill("worker", 0)
        gateway.wait_role("worker", 2, but_not=workers[:1])
        wait_progress(loads, end)
        for thread in threads:
            thread.join(SECONDS + 60)
            assert not thread.is_alive(), f"{thread.name} hangs"

        wrong = {name: load.wrong for name, load in loads.items() if load.wrong}
        assert not wrong
        for name, load in loads.items():
            print(name, load.good, "good", load.cut, "cut", load.missing, "missing", load.statuses)
            assert set(load.statuses) <= {200, 502}, f"{name}: {load.statuses}"
            # One connection each: a death costs it one request, a worker's death its connection.
            assert load.statuses.get(502, 0) <= killed_consumers
            assert load.missing <= killed_consumers
            assert load.cut <= 3, f"{name}: cut {load.cut} times"
        report = reports[0]
        answered = int(re.search(r"(\d+) requests in", report)[1])
        refused = int((re.search(r"Non-2xx or 3xx responses: (\d+)", report) or [0, 0])[1])
        assert answered > 1000, report
        assert refused <= 32 * killed_consumers, report
        assert gateway.get("/").body == b"Hello, World!"


def test_consumers_and_workers_killed_at_random_cost_no_client_more_than_what_they_had_in_hand():
    seed = random.SystemRandom().randrange(2**32)
    choice = random.Random(seed)
    print("seed", seed)
    with Gateway(workers=2, demo=3) as gateway:
        end = time.monotonic() + SECONDS
        kinds = ["fresh_requests", "kept_requests", "messages", "messages"]
        loads = [Load(gateway, end) for _ in kinds]
        threads = [threading.Thread(target=getattr(load, kind)) for load, kind in zip(loads, kinds)]
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
                       "messages go on", 30)
        for thread in threads:
            thread.join(SECONDS + 120)
            assert not thread.is_alive(), "a client hangs"

        for kind, load in zip(kinds, loads):
            print(kind, load.good, "good", load.cut, "cut", load.missing, "missing", load.statuses, killed)
            assert not load.wrong
            assert load.good > 0
            assert set(load.statuses) <= {200, 502}, f"{kind}: {load.statuses}"
            # One at a time: a consumer's death costs one request, a worker's one connection.
            assert load.statuses.get(502, 0) + load.missing <= killed["demo consumer"]
            assert load.cut <= killed["worker"]
        assert gateway.get("/").body == b"Hello, World!"
