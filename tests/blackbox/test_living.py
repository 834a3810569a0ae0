"""tests/blackbox/test_living.py -- a consumer asks which WebSockets there are, to repair what it missed."""

import pytest

from speaker import Speaker
from support.gateway import Gateway
from support.waiting import wait_until
from support.websocket_client import WebSocket

PATIENT = ["--hold-timeout", "600", "--receive-timeout", "600", "--ping-interval", "600"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_consumer_started_anew_finds_exactly_the_websockets_that_live_and_speaks_to_each(workers):
    with Gateway(*PATIENT, workers=workers, demo=0) as gateway:
        with Speaker(gateway) as first:
            before = [WebSocket.opened(gateway, f"/chat/{n}?group=g", timeout=60) for n in range(20)]
            first.wait_added(20)
            assert sorted(first.living().values()) == sorted(f"/chat/{n}" for n in range(20))
            first.kill()
            gateway.output.wait_for("consumer_died")
        meanwhile = [WebSocket.opened(gateway, f"/later/{n}", timeout=60) for n in range(10)]
        for websocket in before[:7]:
            websocket.close()
        before[7].drop()
        lives = [f"/chat/{n}" for n in range(8, 20)] + [f"/later/{n}" for n in range(10)]

        with Speaker(gateway) as second:
            second.wait_added(10)  # who came meanwhile is told as ever
            wait_until(lambda: len(second.living()) == len(lives), "who dropped is gone")
            living = second.living()
            assert sorted(living.values()) == sorted(lives)
            for name, path in living.items():
                assert second.ask(f"tell {name} hello {path}", "told") == "ok"
            for websocket, path in zip(before[8:] + meanwhile, lives):
                assert websocket.read_message() == f"hello {path}"
                websocket.close()
            wait_until(lambda: not second.living(), "all are gone")


def test_a_list_that_is_long_comes_in_pieces():
    with Gateway(*PATIENT, workers=1, demo=0) as gateway, Speaker(gateway) as speaker:
        number, long = 600, "x" * 2000
        websockets = [WebSocket.opened(gateway, f"/{n}/{long if n % 10 == 0 else ''}", timeout=60) for n in range(number)]
        speaker.wait_added(number)

        living = speaker.living()

        assert len(living) == number
        assert sorted(living.values()) == sorted(f"/{n}/{long if n % 10 == 0 else ''}" for n in range(number))
        for websocket in websockets:
            websocket.drop()


def test_a_request_and_a_websocket_that_is_being_closed_are_not_listed():
    with Gateway(*PATIENT, workers=1, demo=0) as gateway, Speaker(gateway) as speaker, gateway.connect() as client:
        stays, goes = WebSocket.opened(gateway, "/stays"), WebSocket.opened(gateway, "/goes")
        speaker.wait_added(2)
        client.send(b"GET / HTTP/1.1\r\n")

        goes.send_close()
        goes.read_close()

        assert list(speaker.living().values()) == ["/stays"]
        stays.drop()
        goes.drop()
