"""tests/blackbox/test_leaving.py -- workers leave: WebSockets are closed one after the other, requests answered.

TERM ends all of them, HUP puts another in the place of each.
"""

import select
import signal
import threading
import time

import pytest

from flow import has_seen
from rogue import Rogue
from support.gateway import Gateway
from support.http_client import Closed, request_bytes
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import UPGRADE, WebSocket

MANY = 200
DRAIN = 5 * SLOWNESS


def open_many(gateway, number=MANY):
    """So many WebSockets that a consumer has taken."""
    opened = [WebSocket.opened(gateway, timeout=4 * DRAIN) for _ in range(number)]
    for websocket in opened:
        websocket.send_text("x")
    for websocket in opened:
        assert websocket.read_message() == "x"
    return opened


def read_closes(websockets):
    """[(seconds since the first, code)] of the closes that end them, in the order they come; each is answered."""
    waiting = {websocket.client.socket: websocket for websocket in websockets}
    closes, since = [], None
    while waiting:
        ready = select.select(list(waiting), [], [], 2 * DRAIN)[0]
        assert ready, f"{len(waiting)} are told nothing"
        for one in ready:
            code, _ = waiting[one].read_close()
            since = since or time.monotonic()
            closes.append((time.monotonic() - since, code))
            waiting.pop(one).send_close(code)
    return closes


def assert_spread(closes, code):
    """Each third of the time they are spread over has its share; a quarter of a fair one will do."""
    assert {got for _, got in closes} == {code}
    third = min(DRAIN * 4 / 5, MANY / 10) / 3  # one each 100 ms at least
    counts = [0, 0, 0]
    for seconds, _ in closes:
        assert seconds < DRAIN, "later than the drain time"
        counts[min(int(seconds / third), 2)] += 1
    assert min(counts) >= len(closes) / 12, counts


def test_websockets_are_told_to_go_away_one_after_the_other():
    with Gateway("--drain-timeout", DRAIN, workers=1, demo=1) as gateway:
        websockets = open_many(gateway)
        beside = [gateway.connect() for _ in range(MANY)]  # must not crowd the others out of their time

        gateway.process.send_signal(signal.SIGTERM)

        gateway.output.wait_for("worker_leaving")
        for websocket in websockets[::10]:
            websocket.drop()  # one that is gone before its turn is no trouble
        stayed = [websocket for n, websocket in enumerate(websockets) if n % 10]
        assert_spread(read_closes(stayed), 1001)
        assert gateway.wait() == 0
        for websocket in stayed:
            websocket.drop()
        for client in beside:
            client.close()


def test_a_few_websockets_do_not_keep_the_gateway():
    with Gateway("--drain-timeout", "600", workers=1, demo=1) as gateway:
        websockets = open_many(gateway, 3)
        gateway.process.send_signal(signal.SIGTERM)

        assert [code for _, code in read_closes(websockets)] == [1001] * 3

        assert gateway.wait() == 0
        for websocket in websockets:
            websocket.drop()


def test_a_rolling_restart_closes_websockets_one_after_the_other_and_consumers_stay():
    with Gateway("--drain-timeout", DRAIN, workers=1, demo=1) as gateway:
        before = gateway.roles()
        websockets = open_many(gateway)

        gateway.process.send_signal(signal.SIGHUP)

        gateway.output.wait_for("rolling_restart_done")
        told = select.select([websocket.client.socket for websocket in websockets], [], [], 2 * DRAIN)[0]
        assert told  # so the old worker accepts no more
        fresh = WebSocket.opened(gateway)
        fresh.echo("at once")
        assert_spread(read_closes(websockets), 1012)
        wait_until(lambda: not set(before["worker"]) & set(gateway.pids()), "the old workers are gone", 2 * DRAIN)
        now = gateway.roles()
        assert len(now["worker"]) == 1 and now["demo consumer"] == before["demo consumer"]
        fresh.echo("still here")
        fresh.close()
        for websocket in websockets:
            websocket.drop()


class Load:
    """Clients that ask without end, until the `with` is over; a request that fails is kept."""

    def __init__(self, gateway, number=4):
        self.failed, self.answered = [], 0
        self._gateway, self._over = gateway, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n % 2 == 0,)) for n in range(number)]

    def _ask(self, keep):
        try:
            while not self._over.is_set():
                with self._gateway.connect() as client:
                    self._converse(client, keep)
        except Exception as error:  # pylint: disable=broad-except
            self.failed.append(repr(error))

    def _converse(self, client, keep):
        for nth in range(1000):
            try:
                response = client.exchange("GET", "/")
            except (Closed, ConnectionError):
                if nth == 0:  # later it may cross the close of a connection that was idle
                    raise
                return
            assert response.status == 200, response
            self.answered += 1
            if not keep or self._over.is_set() or response.header("connection") == "close":
                return

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_no_request_fails_while_workers_are_replaced():
    with Gateway("--drain-timeout", "60", workers=2, demo=2) as gateway, gateway.connect(60) as slow:
        slow.request("GET", "/sleep?ms=1000")
        consumers = gateway.roles()["demo consumer"]
        with Load(gateway) as load:
            for _ in range(3):
                old, lines, answered = gateway.roles()["worker"], len(gateway.output.lines), load.answered
                gateway.process.send_signal(signal.SIGHUP)
                gateway.output.wait_for("rolling_restart_done", 60, lines)
                wait_until(lambda old=old: not set(old) & set(gateway.pids()), "the old workers are gone", 60)
                wait_until(lambda answered=answered: load.failed or load.answered > answered + 100, "answers go on", 60)

        assert not load.failed
        assert slow.read_response().status == 200 and slow.is_closed()
        assert gateway.roles()["demo consumer"] == consumers


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_request_on_its_way_when_its_worker_leaves_is_answered(sign, fresh):
    with Gateway("--drain-timeout", "60", workers=1, demo=1) as gateway, gateway.connect() as client:
        if not fresh:
            assert client.exchange("GET", "/").status == 200
        with gateway.connect() as later:
            later.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
            assert gateway.get("/").status == 200  # they are accepted
            gateway.process.send_signal(sign)
            gateway.output.wait_for("worker_leaving")

            for one, rest in [(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (later, b"\r\n")]:
                one.send(rest)
                response = one.read_response()
                assert (response.status, response.header("connection")) == (200, "close")
                assert one.is_closed()


def test_a_handshake_on_its_way_when_its_worker_is_replaced_is_accepted_and_then_told():
    with Gateway("--drain-timeout", "60", workers=1, demo=1) as gateway, gateway.connect() as client:
        head = request_bytes("GET", "/ws", UPGRADE)
        client.send(head[:-2])
        assert gateway.get("/").status == 200  # it is accepted
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for("worker_leaving")

        client.send(head[-2:])

        websocket = WebSocket.over(client)
        assert client.read_response().status == 101
        assert websocket.read_close()[0] == 1012
        websocket.send_close(1012)
        assert client.is_closed()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_handshake_its_consumer_has_not_answered_is_refused_before_its_worker_is_gone(sign):
    with Gateway("--accept", "consumer", "--drain-timeout", "60", demo=0) as gateway, Rogue(gateway) as rogue:
        with gateway.connect() as client:
            client.request("GET", "/rogue/never", UPGRADE)
            assert rogue.wait_taken(1) == ["websocket.connect  /rogue/never"]
            gateway.process.send_signal(sign)

            response = client.read_response()

            assert response.status == 503 and int(response.header("retry-after")) >= 1
            assert rogue.wait_taken(2)[1:] == ["websocket.disconnect  /rogue/never 1006"]


def test_a_handshake_that_nobody_would_take_is_refused_by_a_worker_that_is_replaced():
    with Gateway("--hold-timeout", "600", "--drain-timeout", "600", demo=0) as gateway, gateway.connect() as client:
        head = request_bytes("GET", "/ws", UPGRADE)
        client.send(head[:-2])
        has_seen(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for("worker_leaving")

        client.send(head[-2:])

        assert client.read_response().status == 503


def test_a_hup_during_another_is_done_once_more_afterwards():
    with Gateway("--drain-timeout", "60", workers=2, demo=1) as gateway, gateway.connect(60) as slow:
        slow.request("GET", f"/sleep?ms={int(3000 * SLOWNESS)}")  # its worker stays until then
        first = gateway.roles()["worker"]
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for("rolling_restart_done")
        gateway.process.send_signal(signal.SIGHUP)  # this one waits for the worker that stays
        wait_until(lambda: gateway.output.text().count("signal number=1") == 2, "the second is under way")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for("rolling_restart_once_more")

        assert slow.read_response().status == 200
        wait_until(lambda: gateway.output.text().count("rolling_restart_done") == 3, "it was done once more", 30)
        wait_until(lambda: len(gateway.roles()["worker"]) == 2, "the old workers are gone", 30)
        assert not set(first) & set(gateway.roles()["worker"])
        assert gateway.get("/").status == 200


@pytest.mark.parametrize("wait_for", ["signal number=1", "worker_leaving", "rolling_restart_done"])
def test_term_during_a_rolling_restart_ends_everything(wait_for):
    with Gateway("--drain-timeout", "60", workers=2, demo=1) as gateway, gateway.connect(60) as slow:
        slow.request("GET", "/sleep?ms=500")
        websocket = WebSocket.opened(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for(wait_for)

        gateway.process.send_signal(signal.SIGTERM)

        assert slow.read_response().status == 200
        assert websocket.read_close()[0] in (1001, 1012)
        websocket.send_close(1001)
        assert gateway.wait(60) == 0
        websocket.drop()
