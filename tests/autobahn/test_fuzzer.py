"""tests/autobahn/test_fuzzer.py -- the fuzzer of the Autobahn cases tells a bad server from a good one."""

import socket
import struct
from types import SimpleNamespace

import pytest

from autobahn.case import Case, fragments
from autobahn.cases import CASES
from autobahn.fuzzer import Talk, judge, judge_close, refused
from support.http_client import Client
from support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, frame

ECHO = (TEXT, b"*" * 125)
HELLO = (TEXT, b"Hello, world!")
GONE = None  # no close came


def verdicts(number, received, code, ended=True, all_sent=True, wrong=""):
    """What a case gets when this came back; `code` of the server's close."""
    close = code if code is GONE else struct.pack(">H", code) if code else b""
    talk = SimpleNamespace(received=list(received), close=close, ended=ended, wrong=wrong)
    case = CASES[number]()
    return judge(case, talk, all_sent), judge_close(case, talk)


@pytest.mark.parametrize("number,received,code,both", [
    ("1.1.2", [ECHO], 1000, ("OK", "OK")),
    ("1.1.2", [], 1000, ("FAILED", "OK")),
    ("1.1.2", [(BINARY, ECHO[1])], 1000, ("FAILED", "OK")),
    ("1.1.2", [(TEXT, ECHO[1][1:])], 1000, ("FAILED", "OK")),
    ("1.1.2", [ECHO, ECHO], 1000, ("FAILED", "OK")),
    ("1.1.2", [ECHO], 1001, ("OK", "WRONG CODE")),
    ("1.1.2", [ECHO], 0, ("OK", "WRONG CODE")),
    ("1.1.2", [ECHO], GONE, ("OK", "UNCLEAN")),
    ("2.10", [(PONG, b"ping 9")], 1000, ("FAILED", "OK")),
    ("3.2", [HELLO], 1002, ("OK", "OK")),
    ("3.2", [], 1002, ("NON-STRICT", "OK")),
    ("3.2", [HELLO, (PONG, b"")], 1002, ("FAILED", "OK")),
    ("4.1.1", [], GONE, ("OK", "OK")),
    ("4.1.1", [], 1007, ("OK", "WRONG CODE")),
    ("4.1.1", [HELLO], 1002, ("FAILED", "OK")),
    ("7.1.6", [HELLO], 1000, ("INFORMATIONAL", "OK")),
    ("7.3.1", [], 0, ("OK", "OK")),
    ("7.7.10", [], 3000, ("OK", "OK")),
    ("7.7.10", [], 3001, ("OK", "WRONG CODE")),
    ("7.13.1", [], 1002, ("INFORMATIONAL", "INFORMATIONAL")),
])
def test_a_case_is_judged_by_all_that_came_back(number, received, code, both):
    assert verdicts(number, received, code) == both


def test_bad_text_refused_only_at_its_end_is_not_strict():
    assert verdicts("6.4.3", [], 1007, all_sent=False) == ("OK", "OK")
    assert verdicts("6.4.3", [], 1007, all_sent=True) == ("NON-STRICT", "OK")


@pytest.mark.parametrize("number,received", [("1.1.2", [ECHO]), ("4.1.1", [])])
def test_a_server_that_leaves_the_end_to_us_fails(number, received):
    assert verdicts(number, received, 1000, ended=False)[1] == "FAILED BY CLIENT"
    assert verdicts("4.1.1", [], GONE, ended=False)[0] == "FAILED"


def test_what_no_case_allows_fails():
    assert verdicts("1.1.2", [ECHO], 1000, wrong="a frame behind the close") == ("FAILED", "OK")


class Canned(WebSocket):
    """A server that says these bytes, whatever it hears, and leaves."""

    def __init__(self, stream):  # pylint: disable=super-init-not-called
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(stream)
        self.client = Client.__new__(Client)
        self.client.socket, self.client.buffer = ours, bytearray()


def said(opcode, payload, **more):
    """A frame of a server."""
    return frame(opcode, payload, mask=None, **more)


@pytest.mark.parametrize("stream,wrong", [
    (said(TEXT, b"a", fin=False) + said(PING, b"") + said(CONTINUATION, b"b") + said(CLOSE, b"\x03\xe8"), ""),
    (frame(TEXT, b"a"), "masked"),
    (said(TEXT, b"a", reserved=1), "reserved"),
    (said(TEXT, b"a", reserved=4), "reserved"),
    (said(3, b"a"), "opcode"),
    (said(CONTINUATION, b"a"), "opcode"),
    (said(TEXT, b"a", fin=False) + said(TEXT, b"b"), "opcode"),
    (said(TEXT, b"a", fin=False), "within a message"),
    (said(TEXT, b"abc")[:-1], "within a message"),
    (said(CLOSE, b"\x03\xe8") + said(PONG, b""), "behind the close"),
])
def test_a_server_that_breaks_the_protocol_is_noticed(stream, wrong):
    websocket = Canned(stream)
    talk = Talk(websocket, Case("anything"))

    talk.wait_end()
    websocket.drop()

    assert wrong in talk.wrong and bool(talk.wrong) == bool(wrong)
    assert wrong or (talk.received, talk.close, talk.ended) == ([(TEXT, b"ab")], b"\x03\xe8", True)


@pytest.mark.parametrize("size,lengths", [(1, [1, 1, 1, 1, 0]), (2, [2, 2, 0]), (3, [3, 1]), (4, [4]), (5, [4])])
def test_whole_pieces_have_an_empty_one_behind_them_as_those_of_the_suite(size, lengths):
    assert [one[1] & 127 for one in fragments(TEXT, b"abcd", size)] == lengths


OFFER = "permessage-deflate; server_max_window_bits=9; client_max_window_bits"


@pytest.mark.parametrize("terms,offer,good", [
    ("permessage-deflate", "permessage-deflate", True),
    ("permessage-deflate; server_max_window_bits=9", OFFER, True),
    ("permessage-deflate", OFFER, False),
    ("permessage-deflate; server_max_window_bits=10", OFFER, False),
    ("permessage-deflate", OFFER + ", permessage-deflate", True),
    ("permessage-deflate", "permessage-deflate; server_no_context_takeover", False),
    ("permessage-deflate; client_max_window_bits=15", "permessage-deflate", False),
    ("permessage-bzip2", "permessage-deflate", False),
])
def test_an_answer_has_to_fit_an_offer(terms, offer, good):
    assert (refused(terms, offer) == "") == good
