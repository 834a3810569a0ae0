"""tests/blackbox/test_deaths.py -- processes die at the worst moment; only what messages.md allows is lost."""

import signal
import time

import pytest

from flow import has_seen
from rogue import Rogue
from support.gateway import Gateway
from support.http_client import Closed, request_bytes
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import UPGRADE, WebSocket


def test_without_a_consumer_a_request_is_held_and_then_refused():
    with Gateway("--hold-timeout", "0.3", demo=0) as gateway, gateway.connect() as client:
        begun = time.monotonic()
        response = client.exchange("GET", "/")

        assert response.status == 503 and int(response.header("retry-after")) >= 1
        assert time.monotonic() - begun >= 0.25


def test_a_held_request_is_answered_when_a_consumer_comes():
    with Gateway("--hold-timeout", "30", demo=0) as gateway, gateway.connect() as client:
        client.request("GET", "/plain")
        with Rogue(gateway):
            assert client.read_response().body == b"plain"


def test_a_slow_upload_that_waited_for_no_100_is_not_held_against():
    with Gateway("--hold-timeout", "0.3", demo=0) as gateway, gateway.connect() as client:
        client.request("POST", "/plain", [("Expect", "100-continue"), ("Content-Length", "2")], b"a")
        assert gateway.get("/").status == 503  # by now the hold of both is over
        with Rogue(gateway):
            client.send(b"b")

            assert client.read_response().status == 200


def test_a_request_not_answered_in_time_is_504_and_its_late_answer_goes_nowhere():
    with Gateway("--answer-timeout", "0.3", demo=0) as gateway, Rogue(gateway) as rogue:
        with gateway.connect() as client:
            assert client.exchange("GET", "/rogue/hold").status == 504
        with gateway.connect() as client:
            assert client.exchange("GET", "/rogue/answer-held").body == b"plain"
            assert client.exchange("GET", "/plain").body == b"plain"
        rogue.wait_said(r"answered late")


def test_the_late_answer_to_a_request_never_reaches_the_websocket_its_connection_became():
    with Gateway("--answer-timeout", "0.3", demo=0) as gateway, Rogue(gateway) as rogue, gateway.connect() as client:
        assert client.exchange("GET", "/rogue/hold").status == 504
        websocket = WebSocket.opened(gateway, "/rogue/ws", client=client)
        rogue.wait_taken(2)

        assert gateway.get("/rogue/answer-held").body == b"plain"

        websocket.echo("only what is meant for it")


def test_a_killed_consumers_request_is_502_at_once_and_the_next_is_answered_by_another():
    with Gateway(demo=0) as gateway, Rogue(gateway) as first, gateway.connect() as client:
        client.request("GET", "/rogue/hold")
        first.wait_taken(1)
        with Rogue(gateway) as second:
            begun = time.monotonic()
            first.kill()

            assert client.read_response().status == 502
            assert time.monotonic() - begun < 1 * SLOWNESS
            assert client.exchange("GET", "/plain").body == b"plain"
            assert second.wait_taken(1) == ["http.request GET /plain"]


def test_a_consumer_that_kills_itself_at_each_request_costs_each_one_502():
    with Gateway(demo=0) as gateway:
        for _ in range(10):
            with Rogue(gateway), gateway.connect() as client:
                assert client.exchange("GET", "/rogue/die").status == 502
        with Rogue(gateway):
            assert gateway.get("/plain").body == b"plain"


def test_an_answer_cut_in_the_middle_cuts_the_connection():
    with Gateway(demo=0) as gateway, Rogue(gateway), gateway.connect() as client:
        client.request("GET", "/rogue/half")
        head = client.read_head()
        assert head.status == 200

        with pytest.raises((Closed, ConnectionResetError)):
            while client.read_chunk():
                pass
            raise AssertionError("a half answer looks whole")


def test_pipelined_answers_keep_their_order_through_a_death():
    with Gateway(demo=0) as gateway, Rogue(gateway) as first, gateway.connect() as client:
        client.request("GET", "/rogue/hold")
        first.wait_taken(1)
        with Rogue(gateway):
            for _ in range(5):
                client.request("GET", "/plain")
            first.kill()

            assert client.read_response().status == 502
            answers = [client.read_response() for _ in range(5)]
            assert [answer.status for answer in answers].count(200) >= 4


def test_killed_demo_consumers_come_back():
    with Gateway(demo=2) as gateway:
        old = gateway.wait_role("demo consumer", 2)
        for pid in old:
            gateway.kill_pid(pid)

        gateway.wait_role("demo consumer", 2, but_not=old)

        assert gateway.get("/").body == b"Hello, World!"


def test_websockets_survive_the_death_of_their_consumer_in_order():
    with Gateway(demo=2) as gateway:
        opened = [WebSocket.opened(gateway) for _ in range(40)]
        for websocket in opened:
            websocket.echo("before")
        old = gateway.wait_role("demo consumer", 2)

        gateway.kill("demo consumer")
        for number, websocket in enumerate(opened):
            for turn in range(5):
                websocket.send_text(f"{number}.{turn}")

        for number, websocket in enumerate(opened):
            assert [websocket.read_message() for _ in range(5)] == [f"{number}.{turn}" for turn in range(5)]
        gateway.wait_role("demo consumer", 2, but_not=old[:1])
        for websocket in opened:
            websocket.close()


def test_only_the_message_in_a_dead_consumers_hands_is_lost():
    kills, batch = 5, 12  # a batch fits into the connection's reply ring: no echo waits in a consumer
    with Gateway(demo=2) as gateway:
        websocket = WebSocket.opened(gateway, timeout=1)
        websocket.echo("owned")
        sent, came = 0, []
        for _ in range(kills):
            consumers = gateway.wait_role("demo consumer", 2)
            for turn in range(40):
                for i in range(batch):
                    websocket.send_text(str(sent))
                    sent += 1
                    if turn == 20 and i == batch // 2:
                        for pid in consumers[:1]:
                            gateway.kill_pid(pid)
                try:
                    while not came or came[-1] < sent - 1:
                        came.append(int(websocket.read_message()))
                except TimeoutError:
                    pass  # the last of the batch was the one in its hands
            gateway.wait_role("demo consumer", 2, but_not=consumers[:1])

        assert came == sorted(set(came)), "a message came twice or out of order"
        assert sent - len(came) <= kills
        websocket.close()


def test_a_killed_worker_is_replaced_and_new_connections_work():
    with Gateway(workers=1) as gateway:
        old = gateway.wait_role("worker", 1)
        lost = WebSocket.opened(gateway)
        lost.echo("before")

        gateway.kill("worker")

        assert lost.client.is_closed()
        lost.drop()
        assert gateway.get("/").body == b"Hello, World!"  # waits in the accept queue meanwhile
        gateway.wait_role("worker", 1, but_not=old)
        WebSocket.opened(gateway).close()


def test_the_others_connections_do_not_notice_a_workers_death():
    with Gateway(workers=2) as gateway:
        clients = [gateway.connect() for _ in range(60)]
        assert all(client.exchange("GET", "/").status == 200 for client in clients)

        gateway.kill("worker", 0)

        answered = 0
        for client in clients:
            try:
                answered += client.exchange("GET", "/").status == 200
            except (Closed, ConnectionError):
                pass
            client.close()
        assert 0 < answered < 60
        assert all(gateway.get("/").status == 200 for _ in range(60))


def test_a_dead_workers_websockets_get_their_disconnect_once_with_1006():
    with Gateway(demo=0) as gateway, Rogue(gateway) as rogue:
        websocket = WebSocket.opened(gateway, "/rogue/ws")
        websocket.send_text("note")
        rogue.wait_taken(2)

        gateway.kill("worker")

        rogue.wait_taken(3)
        assert rogue.taken() == ["websocket.connect  /rogue/ws", "websocket.receive  /rogue/ws note",
                                 "websocket.disconnect  /rogue/ws 1006"]
        websocket.drop()


def test_a_lost_websockets_disconnect_that_lay_unread_goes_to_another_once():
    with Gateway(demo=0) as gateway, Rogue(gateway) as first:
        websocket = WebSocket.opened(gateway, "/rogue/ws")
        websocket.echo("owned")
        with Rogue(gateway) as second:
            first.process.send_signal(signal.SIGSTOP)
            old = gateway.wait_role("worker", 1)
            gateway.kill("worker")
            gateway.wait_role("worker", 1, but_not=old)  # by now its disconnect was sent to its frozen owner

            first.kill()

            assert second.wait_taken(1) == ["websocket.disconnect  /rogue/ws 1006"]
            assert gateway.get("/plain").body == b"plain"
            assert len(second.wait_taken(2)) == 2, second.taken()
        websocket.drop()


def test_what_lay_unread_of_a_lost_websocket_goes_to_another_consumer_in_order():
    with Gateway(demo=0) as gateway, Rogue(gateway) as first:
        websocket = WebSocket.opened(gateway, "/rogue/ws")
        websocket.echo("owned")
        with Rogue(gateway) as second:
            first.process.send_signal(signal.SIGSTOP)
            for number in range(5):
                websocket.send_text(f"note {number}")
            websocket.send_close()
            assert websocket.read_close()[0] == 1000

            first.kill()

            assert second.wait_taken(6) == [
                *(f"websocket.receive  /rogue/ws note {number}" for number in range(5)),
                "websocket.disconnect  /rogue/ws 1000"]


def is_refused(gateway):
    """Whether a request is answered with 503 at once."""
    try:
        with gateway.connect(0.2) as client:
            return client.exchange("GET", "/").status == 503
    except TimeoutError:
        return False


def test_a_client_gone_before_its_101_is_written_has_no_websocket():
    with Gateway("--hold-timeout", "60", demo=0) as gateway, gateway.connect() as client:
        held = [gateway.connect() for _ in range(17)]
        for each in held:
            each.send(request_bytes("GET", "/held") * 64)
        wait_until(lambda: is_refused(gateway), "the channel is full: 503 for all others")
        sizes = []
        for method in ("GET", "HEAD"):
            client.request(method, "/")
            sizes.append(len(client.read_until(b"\r\n\r\n")) + len(client.read_exactly(24 if method == "GET" else 0)))
        # So many answers in one turn of the worker that the 101 behind them is what makes it write.
        gets, heads = next((g, h) for g in range(100, 0, -1) for h in range(100)
                           if 16384 - 100 < g * sizes[0] + h * sizes[1] <= 16384)
        worker = gateway.kill("worker", 0, signal.SIGSTOP)
        client.send(request_bytes("GET", "/") * gets + request_bytes("HEAD", "/") * heads
                    + request_bytes("GET", "/rogue/ws", UPGRADE))
        client.reset()
        gateway.kill_pid(worker, signal.SIGCONT)

        with Rogue(gateway) as rogue:
            wait_until(lambda: gateway.get("/plain").status == 200, "the channel has room again")
            assert gateway.get("/plain").status == 200
            assert not [line for line in rogue.taken() if line.startswith("websocket")]
        for each in held:
            each.close()


def test_a_client_gone_before_its_connect_is_taken_has_no_websocket():
    with Gateway("--accept", "consumer", demo=0) as gateway, Rogue(gateway) as rogue, gateway.connect() as client:
        workers = gateway.wait_role("worker", 1)
        rogue.freeze()
        client.request("GET", "/rogue/accept-at-length", UPGRADE)
        has_seen(gateway)
        client.reset()
        has_seen(gateway)
        rogue.go_on()

        assert gateway.get("/plain").body == b"plain"
        assert rogue.wait_taken(1) == ["http.request GET /plain"]
        assert gateway.wait_role("worker", 1) == workers


def test_a_worker_killed_again_and_again_always_comes_back():
    with Gateway(workers=1) as gateway:
        for _ in range(4):
            old = gateway.wait_role("worker", 1)
            gateway.kill("worker")
            gateway.wait_role("worker", 1, but_not=old)
            assert gateway.get("/").status == 200


def test_a_killed_master_takes_everything_with_it_and_a_new_one_starts_in_its_place():
    gateway = Gateway("--drain-timeout", "1", workers=2, demo=2)
    try:
        gateway.start()
        pids = gateway.pids()

        gateway.process.kill()
        gateway.process.wait()

        wait_until(lambda: not gateway.pids(), f"the processes of the dead master leave: {pids}", 15)
        with Gateway(folder=gateway.folder, listen=f"127.0.0.1:{gateway.port}") as successor:
            assert successor.get("/").status == 200
    finally:
        gateway.discard()


def test_a_frozen_consumer_holds_up_only_what_it_has_taken():
    with Gateway(demo=2) as gateway:
        frozen = gateway.kill("demo consumer", 0, signal.SIGSTOP)
        clients = [gateway.connect(20) for _ in range(20)]
        for client in clients:
            client.request("GET", "/")
        wait_until(lambda: gateway.get("/").status == 200, "somebody answers")

        gateway.kill_pid(frozen, signal.SIGCONT)

        assert all(client.read_response().status == 200 for client in clients)
        for client in clients:
            client.close()


def test_a_burst_is_not_left_to_a_frozen_consumer_while_another_sleeps():
    with Gateway(demo=2) as gateway:
        for first in (0, 1):  # the one that a burst rings is one of them
            wait_until(lambda: all(one["asleep_in_poll"] for one in dump(gateway).living("consumer")),
                       "both consumers sleep until they are rung")
            frozen = gateway.kill("demo consumer", first, signal.SIGSTOP)
            with gateway.connect(20) as client:
                client.send(request_bytes("GET", "/") * 10)  # published in one turn, rung for once

                assert all(client.read_response().status == 200 for _ in range(10))
            gateway.kill_pid(frozen, signal.SIGCONT)


def test_a_stuck_consumer_is_said_to_be_and_its_websockets_pause_and_are_closed_with_1013():
    with Gateway("--stuck-timeout", "0.5", "--receive-timeout", "0.5", demo=0) as gateway, Rogue(gateway) as stuck:
        websockets = [WebSocket.opened(gateway, "/rogue/ws") for _ in range(3)]
        for websocket in websockets:
            websocket.echo("owned")
        with Rogue(gateway) as other:
            stuck.process.send_signal(signal.SIGSTOP)
            websockets[0].send_text("unread")

            gateway.output.wait_for(rf"consumer_stuck row=\d+ pid={stuck.process.pid}\b")
            assert [websocket.read_close()[0] for websocket in websockets] == [1013] * 3
            assert gateway.get("/plain").body == b"plain"
            owned_by_other = WebSocket.opened(gateway, "/rogue/ws")
            owned_by_other.echo("work goes to who takes it")
            assert other.wait_taken(3)[-1] == "websocket.receive  /rogue/ws work goes to who takes it"

            stuck.process.send_signal(signal.SIGCONT)
            gateway.output.wait_for(r"consumer_takes_again")
            assert len([line for line in gateway.output.lines if "consumer_stuck" in line]) == 1
            stuck.wait_said(r"took websocket.receive  /rogue/ws unread")
            owned_by_other.drop()


def test_a_consumer_that_takes_again_in_time_loses_nothing():
    with Gateway("--stuck-timeout", "0.3", demo=0) as gateway, Rogue(gateway) as stuck:
        websocket = WebSocket.opened(gateway, "/rogue/ws")
        websocket.echo("owned")
        stuck.process.send_signal(signal.SIGSTOP)
        websocket.send_text("first")
        gateway.output.wait_for(r"consumer_stuck")
        websocket.send_text("second")
        websocket.send_text("third")

        stuck.process.send_signal(signal.SIGCONT)

        assert [websocket.read_message() for _ in range(3)] == ["first", "second", "third"]
        websocket.close()


def test_a_stuck_consumer_is_no_reader_a_request_is_held_for():
    with Gateway("--stuck-timeout", "0.3", "--hold-timeout", "0.3", demo=0) as gateway, Rogue(gateway) as stuck:
        websocket = WebSocket.opened(gateway, "/rogue/ws")
        websocket.echo("owned")
        stuck.process.send_signal(signal.SIGSTOP)
        websocket.send_text("unread")
        gateway.output.wait_for(r"consumer_stuck")

        assert gateway.get("/plain").status == 503
        stuck.process.send_signal(signal.SIGCONT)
        assert websocket.read_message() == "unread"
        websocket.close()
