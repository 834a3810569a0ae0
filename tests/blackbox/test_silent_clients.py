"""tests/blackbox/test_silent_clients.py -- clients that never read what they are sent: what they cost, and whom."""

import signal

from crowd import Crowd
from flow import MIB, has_seen
from rogue import Rogue
from speaker import Speaker
from support import processes
from support.gateway import Gateway
from support.shm_dump import dump
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket

SILENT = 1000
BROADCASTS, MESSAGE = 256, 8192  # 2 GiB, were all of it kept for all of them
FRAME_HEADER = 4
OUTPUT_SOFT = 64 * 1024          # limits::kOutputSoftBytes

# What waits for a socket is a copy of its own (worker/connection.h, C1): the frame all share is gone with
# its turn, and nobody's slowness keeps a block of shared memory. A member takes a frame as long as no more
# than OUTPUT_SOFT wait for it, so at most that and one frame wait. The string that holds them doubles when
# it grows, and moves: twice as much, and as much again of what it left behind on the heap.
BOUND = SILENT * 3 * (OUTPUT_SOFT + MESSAGE + FRAME_HEADER)


def numbered(number):
    """One message: its number, filled up."""
    return f"{number}:".ljust(MESSAGE, "x")


def test_a_thousand_members_that_never_read_cost_a_bounded_memory_and_the_others_nothing():
    with Gateway("--send-timeout", 5 * SLOWNESS, workers=1, demo=0) as gateway, Speaker(gateway) as speaker:
        worker = gateway.roles()["worker"][0]
        with Crowd(gateway, SILENT, "/?group=all", deaf=True) as silent:
            readers = [WebSocket.opened(gateway, "/?group=all") for _ in range(4)]
            speaker.wait_added(SILENT + len(readers))
            before = most = processes.memory(worker)["RssAnon"]

            for number in range(BROADCASTS):
                assert speaker.send("all", numbered(number)) == [1, 0, 0, 0]
                for reader in readers:
                    assert reader.read_message() == numbered(number)
                most = max(most, processes.memory(worker)["RssAnon"])

            print(f"the worker grew by {(most - before) >> 10} KiB, of {BOUND >> 10} it may")
            assert OUTPUT_SOFT * SILENT < most - before < BOUND * SLOWNESS  # a sanitizer keeps more
            silent.wait_cut()
        wait_until(lambda: speaker.members("all") == len(readers), "the readers are members, and nobody else")
        assert speaker.send("all", "the end") == [1, 0, 0, 0]
        for reader in readers:
            assert reader.read_message() == "the end"
            reader.close()
        wait_until(lambda: speaker.output.text().count("gone") == SILENT + len(readers), "all are gone")
        wait_until(lambda: dump(gateway).at_rest(), "all blocks are free")
        assert speaker.output.text().count("gone") == SILENT + len(readers)


def test_who_lets_a_mib_wait_that_it_alone_was_sent_is_closed_with_1013_and_nobody_else():
    with Gateway(workers=1, demo=0) as gateway, Rogue(gateway) as rogue:
        silent, other = WebSocket.opened(gateway, "/rogue/ws"), WebSocket.opened(gateway, "/rogue/ws")
        silent.echo("owned")
        rogue.freeze()
        silent.send_text("flood")
        has_seen(gateway)
        worker = gateway.kill("worker", 0, signal.SIGSTOP)
        rogue.go_on()
        sent = int(rogue.wait_said(r"^flooded (\d+)")[1])  # with the credit there is before any of it waits
        gateway.kill_pid(worker, signal.SIGCONT)

        other.echo("not slow")
        got = 0
        while (message := silent.read_message()) == "x" * MIB:
            got += 1
        assert message == ("close", 1013, "")
        assert 1 < got < sent
        silent.send_close(1013)
        assert silent.client.is_closed()
        assert rogue.wait_taken(6)[-1] == "websocket.disconnect  /rogue/ws 1013"
        other.close()
