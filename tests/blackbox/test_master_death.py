"""tests/blackbox/test_master_death.py -- the master is dead: who dies next is seen all the same (decisions.md 27)."""

import re
import signal
from contextlib import contextmanager

import pytest

from rogue import Rogue
from support.gateway import Gateway
from support.http_client import Closed
from support.waiting import wait_until
from support.websocket_client import WebSocket

DRAIN = "200"  # beyond every deadline here


@contextmanager
def running(*options, workers=1):
    """A gateway that does not have to end well."""
    gateway = Gateway("--drain-timeout", DRAIN, *options, workers=workers, demo=0)
    try:
        yield gateway.start()
    finally:
        gateway.discard()


def kill_master(gateway):
    """Kills it, and waits until every living worker has seen that."""
    living = set(gateway.roles()["worker"])
    gateway.process.kill()
    gateway.process.wait()

    def seen():
        return {int(m[1]) for m in (re.search(r"worker \d+\[(\d+)\] worker_leaving", line)
                                    for line in gateway.output.lines) if m}
    wait_until(lambda: living <= seen(), "all workers have seen the master's death")


def row_of(gateway):
    """The row of the last consumer that attached."""
    return re.findall(r"consumer_attached .* row=(\d+)", gateway.output.text())[-1]


def is_cut(client):
    """Whether a streamed answer ends in the middle."""
    with pytest.raises((Closed, ConnectionResetError)):
        while client.read_chunk():
            pass
        raise AssertionError("a half answer looks whole")
    return True


def recovering(gateway):
    """Who says that it recovers the consumer; the output may come a little behind what clients see."""
    line = rf"worker (\d+)\[\d+\] recovering row={row_of(gateway)}\b"
    return wait_until(lambda: re.findall(line, gateway.output.text()), "somebody says that it recovers")


@pytest.mark.parametrize("workers", [1, 3])
def test_a_consumer_that_dies_after_the_master_costs_502_and_cuts_half_an_answer(workers):
    with running(workers=workers) as gateway, Rogue(gateway) as rogue:
        clients = [gateway.connect() for _ in range(12)]
        for client in clients:
            client.request("GET", "/rogue/hold")
        streams = [gateway.connect() for _ in range(4)]
        for stream in streams:
            stream.request("GET", "/rogue/begin")
            assert stream.read_head().status == 200
        rogue.wait_taken(16)
        rogue.process.send_signal(signal.SIGSTOP)  # it does not notice, and does not leave by itself
        kill_master(gateway)

        rogue.kill()

        assert [client.read_response().status for client in clients] == [502] * 12
        assert all(is_cut(stream) for stream in streams)
        assert recovering(gateway) == ["0"], "exactly one recovers: the lowest that lives"


def test_when_the_worker_that_recovers_dies_the_next_takes_its_place():
    with running(workers=3) as gateway, Rogue(gateway) as rogue:
        lowest = int(re.search(r"worker_ready worker=0 pid=(\d+)", gateway.output.text())[1])
        clients = [gateway.connect() for _ in range(30)]
        for client in clients:
            client.request("GET", "/rogue/hold")
        rogue.wait_taken(30)
        rogue.process.send_signal(signal.SIGSTOP)
        kill_master(gateway)
        gateway.kill_pid(lowest)

        rogue.kill()

        outcomes = []
        for client in clients:
            try:
                outcomes.append(client.read_response().status)
            except (Closed, ConnectionError):
                outcomes.append("lost")
        assert set(outcomes) <= {502, "lost"} and 502 in outcomes, outcomes
        assert recovering(gateway) == ["1"]


def test_a_consumer_that_only_leaves_after_the_masters_death_is_seen_too():
    with running() as gateway, Rogue(gateway) as rogue, gateway.connect() as client, gateway.connect() as stream:
        assert gateway.get("/rogue/stay").status == 200
        client.request("GET", "/rogue/hold")
        stream.request("GET", "/rogue/begin")
        assert stream.read_head().status == 200
        rogue.wait_taken(3)

        kill_master(gateway)

        rogue.wait_said(r"^left")
        assert client.read_response().status == 502
        assert is_cut(stream)
        assert rogue.process.poll() is None


def test_a_consumer_makes_up_the_disconnects_nobody_else_will_send():
    with running() as gateway, Rogue(gateway) as rogue:
        websockets = [WebSocket.opened(gateway, "/rogue/ws") for _ in range(3)]
        rogue.wait_taken(3)
        rogue.process.send_signal(signal.SIGSTOP)
        for pid in gateway.roles()["worker"]:
            gateway.kill_pid(pid, signal.SIGSTOP)  # it can tell nobody of an end
        gateway.process.kill()
        gateway.process.wait()

        rogue.process.send_signal(signal.SIGCONT)

        rogue.wait_said(r"^left")
        assert rogue.taken()[3:] == ["websocket.disconnect  /rogue/ws 1006"] * 3
        for websocket in websockets:
            websocket.drop()
