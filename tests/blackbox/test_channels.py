"""tests/blackbox/test_channels.py -- what becomes of clients when messages are dropped: flushed, or lost on purpose."""

from speaker import Speaker
from support.gateway import Gateway
from support.http_client import request_bytes
from support.shm_dump import dump
from support.waiting import wait_until


def requests(gateway):
    """The channel of requests, as shm_dump shows it."""
    return dump(gateway).channel("http.request")


def test_the_client_of_a_flushed_request_is_answered_502_at_once():
    with Gateway("--hold-timeout", "60", demo=0) as gateway, Speaker(gateway) as speaker, gateway.connect() as client:
        client.send(request_bytes("GET", "/one") + request_bytes("GET", "/two"))
        wait_until(lambda: requests(gateway)["pending"] == 2, "two requests wait")

        assert speaker.flush() == 2

        assert [client.read_response().status for _ in range(2)] == [502, 502]
        seen = dump(gateway)
        assert seen.channel("http.request")["flushed"] == 2 and seen.channel("http.request")["pending"] == 0
        (worker,) = seen.living("worker")
        assert worker["inbox"]["messages"] == 3  # both requests handed back, and that no group has members
        assert worker["inbox"]["depth"] == worker["inbox"]["full"] == worker["inbox"]["expired"] == 0


def test_drop_mode_loses_requests_as_if_their_consumer_had_died():
    with Gateway("--drop-share", "1", demo=1) as gateway:
        with gateway.connect() as client:
            assert [client.exchange("GET", "/").status for _ in range(3)] == [502, 502, 502]
        assert requests(gateway)["on_purpose"] == 3


def test_drop_mode_loses_the_same_requests_for_the_same_seed():
    def statuses(seed):
        with Gateway("--drop-share", "0.5", "--drop-seed", seed, demo=1) as gateway, gateway.connect() as client:
            return [client.exchange("GET", "/").status for _ in range(64)]

    once = statuses("7")

    assert set(once) == {200, 502}
    assert statuses("7") == once
    assert statuses("8") != once
