"""tests/blackbox/test_idle.py -- what connections that say nothing cost in memory, and that it is used again."""

from crowd import Crowd
from support import processes
from support.gateway import Gateway
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import TEXT, frame

MANY = 2000
AT_ONCE = 50  # handshakes under way
# Beside the connections: what handshakes under way take, pages begun, tables that grow by doubling.
BEGUN = AT_ONCE * 2048 + 128 * 1024
# A sanitizer's allocator puts room around objects, and keeps what is freed for a while.
KEPT = int((SLOWNESS - 1) * 2048 * MANY)


def used(gateway):
    """Bytes the worker has of its own, and those it shares with consumers."""
    return (processes.memory(gateway.roles()["worker"][0])["RssAnon"], processes.shared_memory(gateway.pids()))


def grown(gateway, before):
    """How many more there are of both together."""
    now = used(gateway)
    print("each, of its own and shared:", [(after - was) / MANY for after, was in zip(now, before)])
    return sum(now) - sum(before)


def crowd_of(gateway, number):
    """So many WebSockets, each with its connect taken."""
    crowd = Crowd(gateway, number, "/ws", AT_ONCE)
    wait_until(lambda: dump(gateway)["connections"][0]["announced"] == number, "every connect is taken", 30)
    return crowd


def wait_gone(gateway):
    """Waits until every slot is free, so every disconnect was sent."""
    def free():
        slots = dump(gateway)["connections"][0]
        return slots["open"] + slots["announced"] == 0
    wait_until(free, "all have left", 30)


def warm(gateway):
    """What the first ones of each kind cost is not counted. Gives what is used then."""
    with crowd_of(gateway, AT_ONCE):
        pass
    wait_gone(gateway)
    assert gateway.get("/").status == 200
    return used(gateway)


def test_an_idle_websocket_takes_at_most_two_kib_and_leaves_them_to_the_next():
    with Gateway("--ping-interval", 600) as gateway:
        before = warm(gateway)
        with crowd_of(gateway, MANY):
            assert grown(gateway, before) <= 2048 * MANY + BEGUN + KEPT
        wait_gone(gateway)
        before = used(gateway)

        with crowd_of(gateway, MANY):
            assert grown(gateway, before) <= BEGUN + KEPT


def test_a_websocket_that_spoke_takes_no_more_once_it_is_silent():
    with Gateway("--ping-interval", 600) as gateway:
        before = warm(gateway)
        with crowd_of(gateway, MANY) as crowd:
            crowd.exchange(frame(TEXT, b"said once"), b"\x81\x09said once")
            assert grown(gateway, before) <= 2048 * MANY + BEGUN + KEPT


def test_an_idle_http_connection_takes_at_most_one_kib_and_a_half():
    with Gateway("--ping-interval", 600) as gateway:
        before = warm(gateway)
        clients = [gateway.connect() for _ in range(MANY)]
        assert all(client.exchange("GET", "/").status == 200 for client in clients)
        assert grown(gateway, before) <= 1536 * MANY + BEGUN + KEPT
        for client in clients:
            client.close()
