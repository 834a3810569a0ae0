"""tests/blackbox/test_master.py -- starting and ending the gateway: options, ports, signals, traces."""

import os
import signal
import socket
import stat
import subprocess
import time

import pytest

from support import processes
from support.gateway import PROGRAM, Gateway, own_environment
from support.http_client import Closed, request_bytes
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import UPGRADE, WebSocket


def refused(*options):
    """Runs the program with options it must refuse; gives its output and exit code."""
    run = subprocess.run([str(PROGRAM), *options], capture_output=True, text=True, env=own_environment(),
                         timeout=20 * SLOWNESS, check=False)
    return (run.stdout + run.stderr).strip(), run.returncode


def assert_one_clear_line(output, code, *words):
    """One line that says the words, and a code that is not zero."""
    assert code not in (0, None) and code > 0
    assert len(output.splitlines()) == 1, output
    for word in words:
        assert word in output


def test_ready_is_said_when_every_listener_answers():
    with Gateway(workers=2, demo=1) as gateway:
        lines = gateway.output.lines
        urls = [line for line in lines if f"http://127.0.0.1:{gateway.port}" in line]

        assert urls and gateway.port > 0
        assert gateway.get("/").status == 200


def test_ps_tells_who_is_who():
    with Gateway(workers=2, demo=2) as gateway:
        gateway.wait_role("demo consumer", 2)

        titles = sorted(processes.title(pid) for pid in gateway.pids())

        numbered = [title.rstrip("0123456789 ") for title in titles]
        assert numbered == ["sluice: demo consumer"] * 2 + ["sluice: master"] + ["sluice: worker"] * 2
        assert len(set(titles)) == 5


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_end_leaves_nothing_behind(sign):
    with Gateway(workers=2, demo=2) as gateway:
        websocket = WebSocket.opened(gateway)
        websocket.echo("x")

        assert gateway.stop(sign) == 0

        websocket.drop()
        gateway.assert_nothing_left()


def test_what_is_open_is_answered_before_the_end():
    with Gateway(workers=1, demo=1) as gateway, gateway.connect() as client:
        client.request("GET", "/sleep?ms=600")
        idle = gateway.connect()
        assert idle.exchange("GET", "/").status == 200

        gateway.process.send_signal(signal.SIGTERM)

        assert client.read_response().status == 200
        assert client.is_closed() and idle.is_closed()
        assert gateway.wait() == 0


def test_no_new_connection_is_taken_while_it_ends():
    with Gateway(workers=1, demo=1) as gateway, gateway.connect() as client:
        client.request("GET", "/sleep?ms=600")
        gateway.process.send_signal(signal.SIGTERM)

        def closed():
            try:
                gateway.connect().close()
                return False
            except OSError:
                return True
        wait_until(closed, "the listener closes")

        assert client.read_response().status == 200


def test_a_stream_that_began_before_the_end_is_the_last_of_its_connection():
    with Gateway("--drain-timeout", "60", workers=1, demo=1) as gateway, gateway.connect() as client:
        client.request("GET", "/stream")
        assert client.read_head().header("connection") is None
        gateway.process.send_signal(signal.SIGTERM)

        while client.read_chunk():
            pass

        assert client.is_closed()


def test_no_websocket_is_opened_while_it_ends():
    with Gateway("--drain-timeout", "60", workers=1, demo=1) as gateway, gateway.connect() as client:
        head = request_bytes("GET", "/ws", UPGRADE)
        client.send(head[:-2])
        assert gateway.get("/").status == 200
        gateway.process.send_signal(signal.SIGTERM)
        gateway.output.wait_for("worker_leaving")

        client.send(head[-2:])

        assert client.read_response().status == 503
        assert client.is_closed()


def test_websockets_are_told_to_go_away():
    with Gateway(workers=1, demo=1) as gateway:
        websocket = WebSocket.opened(gateway)
        websocket.echo("x")

        gateway.process.send_signal(signal.SIGTERM)

        assert websocket.read_close()[0] in (1001, 1012)
        websocket.send_close(1001)
        assert gateway.wait() == 0
        websocket.drop()


def test_a_second_int_ends_at_once():
    with Gateway("--drain-timeout", "60", workers=1, demo=1) as gateway, gateway.connect() as client:
        client.request("GET", "/sleep?ms=50000")
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGINT)
        gateway.output.wait_for("drain")

        gateway.process.send_signal(signal.SIGINT)
        gateway.wait()

        assert time.monotonic() - begun < 10 * SLOWNESS
        gateway.assert_nothing_left()
        gateway.discard()
        gateway.process.returncode = 0


def test_quit_ends_at_once():
    gateway = Gateway("--drain-timeout", "60", workers=2, demo=1)
    try:
        gateway.start()
        client = gateway.connect()
        client.request("GET", "/sleep?ms=50000")

        gateway.stop(signal.SIGQUIT, 10)

        gateway.assert_nothing_left()
        client.close()
    finally:
        gateway.discard()


def test_what_does_not_end_is_cut_when_draining_has_taken_too_long():
    with Gateway("--drain-timeout", "0.3", workers=1, demo=1) as gateway, gateway.connect() as client:
        client.request("GET", "/sleep?ms=50000")

        assert gateway.stop() == 0

        with pytest.raises((Closed, ConnectionResetError)):
            while client.read_response().status != 200:
                raise Closed("refused with a status")


def test_a_busy_port_is_one_clear_line():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]

        gateway = Gateway(listen=f"127.0.0.1:{port}")
        try:
            assert_one_clear_line(*refused(*gateway.command[1:]), str(port))
        finally:
            gateway.discard()


def test_a_second_gateway_on_the_same_port_is_refused_and_the_first_lives_on():
    with Gateway() as first:
        second = Gateway(listen=f"127.0.0.1:{first.port}")
        try:
            assert_one_clear_line(*refused(*second.command[1:]), str(first.port))
        finally:
            second.discard()

        assert all(first.get("/").status == 200 for _ in range(20))


def test_a_second_gateway_on_the_same_control_socket_is_refused_and_the_first_lives_on():
    with Gateway() as first:
        second = Gateway(folder=first.folder)

        assert_one_clear_line(*refused(*second.command[1:]), str(first.control))

        assert first.get("/").status == 200


def test_the_traces_of_a_killed_gateway_are_replaced():
    gateway = Gateway("--drain-timeout", "0.5", workers=2, demo=1)
    try:
        gateway.start()
        os.killpg(gateway.process.pid, signal.SIGKILL)
        gateway.process.wait()
        assert gateway.control.is_socket()

        with Gateway(folder=gateway.folder) as successor:
            assert successor.get("/").status == 200
    finally:
        gateway.discard()


def test_a_file_that_is_no_socket_is_never_replaced():
    gateway = Gateway()
    try:
        gateway.control.write_text("precious")

        assert_one_clear_line(*refused(*gateway.command[1:]), str(gateway.control))

        assert gateway.control.read_text() == "precious"
    finally:
        gateway.discard()


def test_the_control_socket_is_for_its_owner_alone():
    with Gateway() as gateway:
        assert stat.S_IMODE(gateway.control.stat().st_mode) & 0o007 == 0


@pytest.mark.parametrize("options,words", [
    (["--frobnicate"], ["frobnicate"]),
    (["--workers", "none"], ["workers"]),
    (["--workers", "0"], ["workers"]),
    (["--header-timeout", "-1"], ["header-timeout"]),
    (["--max-body", "lots"], ["max-body"]),
    (["--listen", "nowhere:at:all"], ["listen"]),
    (["surprise"], ["surprise"]),
], ids=str)
def test_an_option_it_does_not_know_is_one_clear_line(options, words):
    assert_one_clear_line(*refused(*options), *words)


def test_a_right_it_lacks_is_one_clear_line():
    gateway = Gateway(listen="203.0.113.1:8000")  # an address no machine of ours has
    try:
        assert_one_clear_line(*refused(*gateway.command[1:]), "203.0.113.1")
    finally:
        gateway.discard()


def test_help_and_version_are_answered():
    for option in ("--help", "--version"):
        run = subprocess.run([str(PROGRAM), option], capture_output=True, text=True, env=own_environment(),
                             timeout=20, check=False)
        assert run.returncode == 0 and "sluice" in run.stdout.lower()


def test_options_come_from_the_environment_too():
    with Gateway(environment={"SLUICE_HOLD_TIMEOUT": "0.2"}, demo=0) as gateway:
        assert gateway.get("/").status == 503


def test_it_listens_on_every_address_given():
    gateway = Gateway(listen="")
    path = gateway.folder / "http"
    gateway.command += ["--listen", "127.0.0.1:0", "--listen", f"unix:{path}"]
    with gateway, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))

        assert answer.endswith(b"Hello, World!")
        assert gateway.get("/").status == 200
