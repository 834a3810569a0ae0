"""tests/blackbox/test_segment.py -- a segment beyond repair is reported and replaced (decisions.md 13)."""

import re
import subprocess

import pytest

from rogue import Rogue
from support.gateway import BUILD, Gateway
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket

PROGRAM = BUILD / "tests" / "blackbox" / "scribbler"


class Scribbler:
    """A process that has scribbled over the segment's header and, with `stay`, lives on."""

    def __init__(self, gateway, what, stay=False):
        command = [str(PROGRAM), str(gateway.control), what] + (["stay"] if stay else [])
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.inode = int(re.fullmatch(r"scribbled (\d+)\n", self.process.stdout.readline())[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(10 * SLOWNESS) == 0


def scribble(gateway, what):
    """Scribbles and dies. Gives the inode of the segment."""
    with Scribbler(gateway, what) as scribbler:
        return scribbler.inode


def users_of(gateway, inode):
    """The processes of the gateway that have this memory file mapped."""
    def maps(pid):
        try:
            with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as lines:
                return any(line.split()[4:5] == [str(inode)] and "sluice-control" in line for line in lines)
        except (FileNotFoundError, ProcessLookupError):
            return False
    return [pid for pid in gateway.pids() if maps(pid)]


def lines_of(gateway, event):
    """The log lines of one event."""
    return [line for line in gateway.output.lines if f" {event} " in line or line.endswith(f" {event}")]


def replaced(gateway, times):
    """Waits until the segment was replaced so many times, and the last one of old is gone."""
    wait_until(lambda: len(lines_of(gateway, "segment_replaced")) == times, f"{times} segments replaced", 20)
    wait_until(lambda: len(lines_of(gateway, "old_segment_gone")) == times, f"{times} old segments gone", 20)


@pytest.mark.parametrize("what", ["magic", "corrupt", "geometry"])
def test_a_scribbled_header_is_reported_once_and_the_segment_replaced(what):
    with Gateway("--drain-timeout", "5", workers=2, demo=2) as gateway:
        old = gateway.wait_role("worker", 2)
        websockets = [WebSocket.opened(gateway) for _ in range(8)]
        for websocket in websockets:
            websocket.echo("before")

        inode = scribble(gateway, what)

        assert {websocket.read_close()[0] for websocket in websockets} == {1012}
        replaced(gateway, 1)
        assert gateway.get("/").body == b"Hello, World!"
        WebSocket.opened(gateway).close()
        assert len(lines_of(gateway, "segment_corrupt")) == 1, gateway.output.text()
        assert not set(gateway.wait_role("worker", 2)) & set(old)
        wait_until(lambda: not users_of(gateway, inode), "nobody holds the old segment")
        for websocket in websockets:
            websocket.drop()


def test_a_channel_that_workers_cannot_use_any_more_is_damage_too():
    with Gateway("--drain-timeout", "5", workers=2, demo=2) as gateway:
        websocket = WebSocket.opened(gateway)
        websocket.echo("before")

        scribble(gateway, "channel")

        assert websocket.read_close()[0] == 1012
        replaced(gateway, 1)
        assert gateway.get("/").body == b"Hello, World!"
        websocket.drop()


def test_a_channel_broken_by_somebody_who_lives_is_found_by_the_next_request():
    with Gateway("--drain-timeout", "5", demo=1) as gateway, Scribbler(gateway, "channel", stay=True):
        wait_until(lambda: gateway.get("/") and lines_of(gateway, "segment_corrupt"), "the damage reported", 20)

        replaced(gateway, 1)

        assert gateway.get("/").body == b"Hello, World!"


def test_it_works_again_and_again_but_never_in_a_tight_loop():
    with Gateway("--drain-timeout", "5", demo=1) as gateway:
        inodes = []
        for times in range(1, 4):
            inodes.append(scribble(gateway, "corrupt"))
            replaced(gateway, times)
            assert gateway.get("/").body == b"Hello, World!"

        waits = [int(re.search(r"replaced_in_ms=(\d+)", line)[1]) for line in lines_of(gateway, "segment_corrupt")]
        assert waits == [0, 1000, 2000]
        assert len(set(inodes)) == 3
        wait_until(lambda: not any(users_of(gateway, inode) for inode in inodes), "no old segment is held")


def test_a_worker_finds_the_damage_nobody_else_could():
    with Gateway("--drain-timeout", "5", demo=1) as gateway, Scribbler(gateway, "magic", stay=True):
        assert gateway.get("/").body == b"Hello, World!"

        replaced(gateway, 1)

        assert gateway.get("/").body == b"Hello, World!"


def test_answers_due_when_the_segment_is_replaced_are_finished():
    with Gateway("--drain-timeout", "10", demo=1) as gateway, gateway.connect(20) as slow, gateway.connect(20) as stream:
        slow.request("GET", "/sleep?ms=1500")
        stream.request("GET", "/stream?lines=15")
        assert stream.read_head().status == 200

        scribble(gateway, "magic")
        wait_until(lambda: lines_of(gateway, "segment_replaced"), "the segment replaced", 20)
        wait_until(lambda: lines_of(gateway, "worker_leaving"), "the old worker told", 20)  # until then it accepts, too

        assert gateway.get("/").body == b"Hello, World!"
        assert slow.read_response().body == b"slept 1500 ms\n"
        lines = b""
        while chunk := stream.read_chunk():
            lines += chunk
        assert lines.split(b"\n")[:15] == [b"line %d" % number for number in range(1, 16)]
        replaced(gateway, 1)


def test_a_request_whose_consumer_does_not_finish_it_is_502_in_the_old_segment():
    with Gateway("--drain-timeout", "10", demo=0) as gateway, Rogue(gateway) as rogue, gateway.connect() as client:
        client.request("GET", "/rogue/hold")
        rogue.wait_taken(1)

        scribble(gateway, "magic")

        assert client.read_response().status == 502
        replaced(gateway, 1)


def test_the_gateway_ends_in_the_midst_of_a_replacement():
    gateway = Gateway("--drain-timeout", "2", workers=2, demo=1)
    try:
        gateway.start()
        scribble(gateway, "corrupt")
        assert gateway.stop() == 0
        gateway.assert_nothing_left()
    finally:
        gateway.discard()
