"""tests/blackbox/test_groups.py -- broadcasts to WebSockets over two workers; who dies takes nobody along."""

import contextlib
import resource

import pytest

from crowd import Crowd
from speaker import Speaker
from support.gateway import Gateway
from support.http_client import Closed
from support.waiting import wait_until
from support.websocket_client import WebSocket


@pytest.fixture(name="hall")
def fixture_hall():
    """Two workers, and no consumer but those of the test."""
    with Gateway(workers=2, demo=0) as gateway:
        yield gateway


@contextlib.contextmanager
def audience(gateway, number, target="/?group=all"):
    """So many WebSockets; with SO_REUSEPORT both workers have some of a dozen or more."""
    with contextlib.ExitStack() as stack:
        sockets = [WebSocket.opened(gateway, target) for _ in range(number)]
        for each in sockets:
            stack.callback(each.drop)
        yield sockets


def test_ten_thousand_websockets_get_a_message_with_one_push_for_each_worker():
    number = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= number + 1000, "the descriptors this test needs are not to be had"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with Gateway(workers=2, demo=0) as gateway, Speaker(gateway) as speaker:
            with Crowd(gateway, number, "/?group=all") as crowd:
                wait_until(lambda: speaker.members("all") == number, "all are members", 60)

                before = speaker.tell("size all 128")
                counted = speaker.wait_said(r"^counted (\d+)", start=before)
                sent = speaker.wait_said(r"^sent (\d+) (\d+) (\d+) (\d+)", start=before)
                crowd.wait_for_all(b"\x81\x7e\x00\x80" + b"x" * 128)

                assert [int(word) for word in sent.groups()] == [2, 0, 0, 0]
                assert int(counted[1]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_every_member_on_every_worker_gets_each_message_once_and_in_order(hall):
    with Speaker(hall) as speaker, audience(hall, 16) as sockets, audience(hall, 1, "/?group=other") as others:
        speaker.wait_added(17)

        speaker.burst("all", 300)
        speaker.send("other", "for others")

        for each in sockets:
            assert [each.read_message() for _ in range(300)] == [str(i) for i in range(300)]
        assert others[0].read_message() == "for others"


def test_flushing_everything_ends_memberships_on_every_worker_and_no_websocket(hall):
    with Speaker(hall) as speaker, audience(hall, 12) as sockets:
        speaker.wait_added(12)
        assert speaker.members("all") == 12

        speaker.flush()

        assert speaker.members("all") == 0
        assert speaker.send("all", "nobody hears") == [2, 0, 0, 0]
        for each in sockets:
            each.close()


def test_who_was_discarded_or_closed_is_a_member_no_more(hall):
    with Speaker(hall) as speaker, audience(hall, 12) as sockets:
        speaker.wait_added(12)
        assert speaker.members("all") == 12

        sockets[0].send_text("leave")
        speaker.wait_said(r"^discarded")
        sockets[1].close()
        sockets[2].drop()
        wait_until(lambda: speaker.output.text().count("gone") == 2, "two are gone")

        wait_until(lambda: speaker.members("all") == 9, "nine members left")
        speaker.send("all", "hello")
        speaker.tell("send all again")
        for each in sockets[3:]:
            assert each.read_message() == "hello"
        sockets[0].send_close()
        assert sockets[0].read_message() == ("close", 1000, "")  # and no message before it


def test_a_membership_ends_after_the_group_expiry():
    with Gateway("--group-expiry", "0.5", workers=2, demo=0) as gateway, Speaker(gateway) as speaker:
        with audience(gateway, 4) as sockets:
            speaker.wait_added(4)
            assert speaker.ask("add all plain", "changed") == "ok"

            wait_until(lambda: speaker.members("all") == 0, "no member left")

            assert speaker.send("all", "nobody hears this") == [2, 0, 0, 0]
            for each in sockets:
                each.send_close()
                assert each.read_message() == ("close", 1000, "")


def test_a_member_that_reads_nothing_is_skipped_not_closed_and_delays_nobody(hall):
    with Speaker(hall) as speaker, audience(hall, 8) as sockets, audience(hall, 2) as slow:
        speaker.wait_added(10)
        text = b"\x81\x7f" + (100000).to_bytes(8, "big") + b"x" * 100000

        for _ in range(300):  # 30 MB: more than sockets and worker hold for the slow ones
            speaker.ask("size all 100000", "counted")
            for each in sockets:
                assert each.client.read_exactly(len(text)) == text

        for each in slow:  # whole messages, fewer than there were
            got = 0
            each.send_close()
            while (message := each.read_message()) == "x" * 100000:
                got += 1
            assert message == ("close", 1000, "")
            assert 0 < got < 300


def test_a_killed_worker_takes_its_members_along_and_nobody_elses(hall):
    with Speaker(hall) as speaker, audience(hall, 24) as sockets:
        speaker.wait_added(24)
        victim = hall.kill("worker", 0)
        hall.wait_role("worker", 2, but_not=[victim])
        left = wait_until(lambda: (n := speaker.members("all")) < 24 and n, "some members are gone")
        assert 0 < left < 24
        assert speaker.wait_said(r"^gone")

        with audience(hall, 8) as newcomers:
            speaker.wait_added(32)
            wait_until(lambda: speaker.members("all") == left + 8, "the newcomers are members")
            speaker.send("all", "still here")
            heard = 0
            for each in sockets:
                with contextlib.suppress(Closed, ConnectionError):
                    assert each.read_message() == "still here"
                    heard += 1
            assert heard == left
            for each in newcomers:
                assert each.read_message() == "still here"


def test_a_speaker_killed_in_the_middle_of_a_burst_leaves_whole_messages_in_order(hall):
    with Speaker(hall) as speaker, Speaker(hall) as second, audience(hall, 12) as sockets:
        wait_until(lambda: len([line for line in (speaker.output.lines + second.output.lines)
                                if line.startswith("added")]) == 12, "all are members")
        speaker.tell("burst all 1000000")
        for each in sockets:
            assert each.read_message() == "0"

        speaker.kill()

        # What the dead one had told the workers fills their inboxes, for a moment.
        wait_until(lambda: second.send("all", "the end")[:2] == [2, 0], "both workers are told")
        for each in sockets:
            last = 0
            while (message := each.read_message()) != "the end":
                assert int(message) > last  # full inboxes may have skipped some
                last = int(message)
        assert second.members("all") == 12


def test_a_killed_consumer_whose_channel_is_a_member_is_skipped_when_it_is_full(hall):
    with Speaker(hall) as speaker, Speaker(hall, "ears") as listener, audience(hall, 4) as sockets:
        wait_until(lambda: len([line for line in (speaker.output.lines + listener.output.lines)
                                if line.startswith("added")]) == 4, "all are members")
        assert speaker.ask("add all ears", "changed") == "ok"
        assert speaker.send("all", "hello") == [2, 0, 1, 0]
        assert listener.wait_said(r"^read ears hello")
        assert speaker.members("all") == 5

        listener.kill()

        speaker.burst("all", 1100)
        assert speaker.send("all", "the end") == [2, 0, 0, 1]
        for each in sockets:
            while each.read_message() != "the end":
                pass
        assert speaker.ask("discard all ears", "changed") == "ok"
        assert speaker.send("all", "bye") == [2, 0, 0, 0]
