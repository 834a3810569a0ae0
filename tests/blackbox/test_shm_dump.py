"""tests/blackbox/test_shm_dump.py -- shm_dump shows what stands in a living gateway's memory, and changes nothing."""

import json
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import tempfile
import threading
from pathlib import Path

import pytest

from rogue import Rogue
from support import shm_dump
from support.gateway import Gateway
from support.shm_dump import dump, finish, start
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket

PACKET = struct.Struct("<IIQIIIIQQ")
REFUSED, OBSERVE, OBSERVED, WANT_ARENA, ARENA = 8, 9, 10, 5, 6


def pending(gateway, number=1):
    """The dump in which so many requests wait."""
    return wait_until(lambda: (d := dump(gateway)).channel("http.request")["pending"] == number and d, f"{number} wait")


def answer(gateway, client):
    """Has a held request answered, so that nothing keeps the gateway from ending."""
    with Rogue(gateway):
        assert client.read_response().status == 200


def test_a_request_nobody_reads_waits_on_its_channel_and_grows_older():
    with Gateway("--hold-timeout", "30", demo=0) as gateway, gateway.connect() as client:
        client.request("GET", "/")
        first = pending(gateway).channel("http.request")
        later = wait_until(lambda: (c := dump(gateway).channel("http.request"))["oldest_ms"] > first["oldest_ms"] and c,
                           "the request has grown older")

        assert first["capacity"] == 1024 and first["messages"] == 1
        assert first["readers"] == [] and first["waiters"] == []
        assert later["pending"] == 1 and later["oldest_ms"] < 30_000 * SLOWNESS
        with Rogue(gateway):
            assert client.read_response().status == 200
            after = pending(gateway, 0)
            assert after.channel("http.request")["oldest_ms"] is None
            assert after.channel("http.request")["readers"] == [after.living("consumer")[0]["row"]]


def test_a_request_in_a_consumers_hands_is_one_taken_block():
    with Gateway("--answer-timeout", "60", demo=0, workers=2) as gateway, Rogue(gateway) as rogue:
        with gateway.connect() as client:
            client.request("GET", "/rogue/hold")
            rogue.wait_taken(1)
            seen = dump(gateway)

            (consumer,) = seen.living("consumer")
            assert consumer["pid"] == rogue.process.pid
            assert consumer["blocks"]["taken"] == 1 == seen.blocks("taken")
            assert seen.channel("http.request")["pending"] == 0 and seen.channel("http.request")["messages"] == 1
            assert [len(seen.living(role)) for role in ("master", "worker")] == [1, 2]
            assert all(worker["heartbeat_ms"] is not None for worker in seen.living("worker"))
            assert sum(worker["open"] for worker in seen["connections"]) == 1
            assert seen.blocks("other") == 0 and seen["stray_blocks"] == dict.fromkeys(seen["stray_blocks"], 0)


def test_a_websocket_is_shown_with_its_owner():
    with Gateway(demo=0) as gateway, Rogue(gateway) as rogue:
        websocket = WebSocket.opened(gateway, "/rogue/ws")
        rogue.wait_taken(1)
        seen = wait_until(lambda: (d := dump(gateway))["connections"][0]["announced"] == 1 and d, "announced")

        assert seen["connections"][0]["owned_by"] == {str(seen.living("consumer")[0]["row"]): 1}
        assert seen["connections"][0]["ownerless"] == 0
        websocket.drop()


def test_the_tables_say_the_same():
    with Gateway("--hold-timeout", "30", demo=0) as gateway, gateway.connect() as client:
        client.request("GET", "/")
        pending(gateway)
        code, out, error = finish(start("--control", gateway.control))
        answer(gateway, client)

        assert (code, error) == (0, "")
        assert re.search(r"^http\.request +1 +\d+\.\d{3}s +1024 +60\.000s ", out, re.MULTILINE), out
        assert re.search(rf"^ +1 master +0 +{gateway.process.pid} live ", out, re.MULTILINE), out
        assert re.search(r"^ +2 +1 +1 +0 ", out, re.MULTILINE), out  # the worker's one connection


def test_it_looks_at_a_gateway_at_work_without_disturbing_it():
    with Gateway(workers=2, demo=2) as gateway:
        over = threading.Event()
        answers = []

        def load():
            with gateway.connect() as client:
                while not over.is_set():
                    answers.append(client.exchange("GET", "/").status)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            seen = dump(gateway)
            assert len(seen.living("consumer")) == 2 and seen.blocks("other") == 0
        over.set()
        for thread in threads:
            thread.join()

        assert answers and set(answers) == {200}
        assert len(dump(gateway)["processes"]) == 5  # no row was taken for the looks


class FakeGateway:
    """A control socket that passes on what a real gateway shows, and may do something in between."""

    def __init__(self, gateway=None, refuse=None):
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
        self.control = self.folder / "control"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.control))
        self.listener.listen()
        self.listener.settimeout(20 * SLOWNESS)
        self.gateway, self.refuse, self.real, self.dumper = gateway, refuse, None, None

    def until_arena(self):
        """Lets shm_dump go as far as asking for an arena: by then it has mapped the segment."""
        self.dumper, _ = self.listener.accept()
        asked = self.dumper.recv(PACKET.size)
        assert PACKET.unpack(asked)[0] == OBSERVE
        if self.refuse:
            self.dumper.send(PACKET.pack(REFUSED, 0, 0, 0, 0, self.refuse, 0, 0, 0))
            return
        self.real = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.real.connect(str(self.gateway.control))
        self.real.send(asked)
        observed, fds, _, _ = socket.recv_fds(self.real, PACKET.size, 4)
        assert PACKET.unpack(observed)[0] == OBSERVED and len(fds) == 1
        with pytest.raises(PermissionError):
            mmap.mmap(fds[0], PACKET.unpack(observed)[7])  # for writing
        socket.send_fds(self.dumper, [observed], fds)
        os.close(fds[0])
        self.asked = self.dumper.recv(PACKET.size)
        assert PACKET.unpack(self.asked)[0] == WANT_ARENA

    def pass_arenas_on(self):
        """Answers that question and all that follow, until shm_dump has seen enough."""
        while self.asked:
            self.real.send(self.asked)
            arena, fds, _, _ = socket.recv_fds(self.real, PACKET.size, 4)
            socket.send_fds(self.dumper, [arena], fds)
            for fd in fds:
                os.close(fd)
            self.asked = self.dumper.recv(PACKET.size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self.listener, self.real, self.dumper):
            if end:
                end.close()
        shutil.rmtree(self.folder)


def test_nothing_of_the_segment_is_mapped_for_writing():
    with Gateway("--hold-timeout", "30", demo=0) as gateway, gateway.connect() as client:
        client.request("GET", "/")
        pending(gateway)
        with FakeGateway(gateway) as between:
            process = start("--json", "--control", between.control)
            between.until_arena()
            maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
            rights = [line.split()[1] for line in maps.splitlines() if "memfd:sluice" in line]
            opened = [os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]
            between.pass_arenas_on()
            code, out, _ = finish(process)
        answer(gateway, client)

        assert rights and set(rights) == {"r--s"}
        assert any("memfd:sluice-control" in name for name in opened)
        assert code == 0 and json.loads(out)["header"]["corrupt"] is False


def test_a_gateway_killed_while_it_is_looked_at_is_shown_as_it_was():
    gateway = Gateway("--hold-timeout", "30", demo=0)
    try:
        gateway.start()
        with gateway.connect() as client, FakeGateway(gateway) as between:
            client.request("GET", "/")
            pending(gateway)
            process = start("--json", "--control", between.control)
            between.until_arena()
            os.killpg(gateway.process.pid, signal.SIGKILL)
            gateway.process.wait()
            between.dumper.close()
            code, out, error = finish(process)
    finally:
        gateway.discard()

    assert (code, error) == (0, "")
    channel = shm_dump.Dump(json.loads(out)).channel("http.request")
    assert (channel["pending"], channel["oldest_ms"]) == (1, None)


def test_each_look_at_a_gateway_being_killed_ends_whole_or_with_one_line():
    for _ in range(3):
        gateway = Gateway(workers=2, demo=2)
        gateway.start()
        looks = [start("--json", "--control", gateway.control) for _ in range(4)]
        os.killpg(gateway.process.pid, signal.SIGKILL)
        looks += [start("--json", "--control", gateway.control) for _ in range(2)]
        for look in looks:
            code, out, error = finish(look)
            if code == 0:
                assert json.loads(out)["processes"] and error == ""
            else:
                assert (code, out, error.count("\n")) == (1, "", 1), error
        gateway.discard()


def test_without_a_gateway_one_line_says_so(tmp_path):
    nobody = tmp_path / "control"
    code, out, error = finish(start("--control", nobody))

    assert (code, out) == (1, "")
    assert error == f"shm_dump: {nobody}: no gateway there\n"


def test_who_may_not_look_is_told_so(tmp_path):
    with Gateway(demo=0) as gateway:
        more = {}
        if os.geteuid() == 0:  # root may look at everything: somebody else, then
            program = Path(shutil.copy(shm_dump.PROGRAM, tempfile.mkdtemp(prefix="sluice-test-")))
            program.parent.chmod(0o755)
            more = {"user": 65534, "program": program}
        else:
            gateway.control.chmod(0)
        code, out, error = finish(start("--control", gateway.control, **more))
        if more:
            shutil.rmtree(program.parent)

        assert (code, out) == (3, "")
        assert error == f"shm_dump: {gateway.control}: no right to look at this gateway\n"


def test_a_gateway_of_another_version_is_told_from_none():
    with FakeGateway(refuse=1) as other:
        process = start("--control", other.control)
        other.until_arena()
        code, out, error = finish(process)

    assert (code, out) == (4, "")
    assert error.startswith(f"shm_dump: {other.control}: the gateway's layout is not the one we read")


@pytest.mark.parametrize("words", [["--jsom"], ["--control"], ["control"]])
def test_words_it_does_not_know_are_answered_with_the_usage(words):
    code, out, error = finish(start(*words))

    assert (code, out) == (2, "")
    assert "--control PATH" in error
