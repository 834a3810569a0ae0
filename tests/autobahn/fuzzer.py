"""tests/autobahn/fuzzer.py -- plays one case over a socket, and judges what came back and how it ended."""

import re
import struct
import time
import zlib
from dataclasses import dataclass

from autobahn.case import ANSWER, PAUSE, RoundTrips
from autobahn.cases import CASES
from autobahn.verdicts import (FAILED, FAILED_BY_CLIENT, INFORMATIONAL, NON_STRICT, OK, UNCLEAN, UNIMPLEMENTED,
                               WRONG_CODE)
from support.deflate_client import DeflatingWebSocket
from support.waiting import SLOWNESS
from support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, WebSocket, frame

PAUSE_SECONDS = 1.0
END_SECONDS = 10.0  # for the server to answer, or to end what it has to end


@dataclass(frozen=True)
class Verdict:
    """Of one case, with what it was and what was wrong."""

    behavior: str
    behavior_close: str
    says: str
    wrong: str = ""


class Talk:
    """One connection: what came of it, and how it ended."""

    def __init__(self, websocket, case):
        self.websocket = websocket
        self.received = []     # (opcode, payload) of messages and pongs
        self.close = None      # the payload of the server's close
        self.ended = False     # the server let the socket go
        self.wrong = ""        # what no case allows
        self._message = None   # (opcode, [piece…]) of one not yet complete
        self._close_sent = case.clean and not case.ending  # it is in the steps
        self._until = time.monotonic() + case.seconds * SLOWNESS

    def write(self, stream, ending=False):
        """One write; false if the server is gone."""
        self._close_sent = self._close_sent or ending
        try:
            self.websocket.send(stream)
            return True
        except (ConnectionError, TimeoutError):
            return False

    def take(self, until=None):
        """Reads a frame, or the end; false if neither comes in time."""
        left = (until or self._until) - time.monotonic()
        if left <= 0 or self.ended or self.wrong:
            return False
        self.websocket.client.socket.settimeout(left)
        try:
            self._take(*self.websocket.read_frame())
        except TimeoutError:
            return False
        except (Closed, ConnectionError):
            self.ended = True
            if self.websocket.client.buffer or self._message:
                self.wrong = "it ends within a message"
        except (AssertionError, zlib.error) as error:
            self.wrong = str(error)
        return True

    def _take(self, opcode, fin, payload):
        if self.close is not None:
            self.wrong = "a frame behind the close"
        elif opcode == PING:
            self.write(frame(PONG, payload))
        elif opcode == PONG:
            self.received.append((PONG, payload))
        elif opcode == CLOSE:
            self.close = payload
            if not self._close_sent:
                self.write(frame(CLOSE, payload), ending=True)
        elif (opcode == CONTINUATION) != (self._message is not None) or opcode not in (TEXT, BINARY, CONTINUATION):
            self.wrong = f"opcode {opcode} out of place"
        else:
            self._message = self._message or (opcode, [])
            self._message[1].append(payload)
            if fin:
                self.received.append((self._message[0], b"".join(self._message[1])))
                self._message = None

    def wait_received(self, number):
        """Waits for so many messages and pongs."""
        while len(self.received) < number and self.take():
            pass

    def hear(self, seconds):
        """What the server says, if it does so in time."""
        if self.websocket.client.has_input(seconds):
            self.take()
            while not self.ended and self.websocket.client.has_input(0) and self.take():
                pass

    def wait_end(self):
        """Reads all until the server lets go, or does not in time."""
        until = time.monotonic() + END_SECONDS * SLOWNESS
        while self.take(until):
            pass


def refused(terms, offer):
    """What is wrong with the answer to an offer of permessage-deflate (RFC 7692 section 7.1), if anything."""
    def parameters(extension):
        name, *rest = [part.strip() for part in extension.split(";")]
        return name, {key: value for key, _, value in (part.partition("=") for part in rest)}

    name, given = parameters(terms)
    for asked in [parameters(one)[1] for one in offer.split(",")]:
        bits = int(asked.get("server_max_window_bits", 15))
        if (name == "permessage-deflate"
                and ("server_no_context_takeover" in given or "server_no_context_takeover" not in asked)
                and ("server_max_window_bits" in given or "server_max_window_bits" not in asked)
                and int(given.get("server_max_window_bits", 15)) <= bits
                and ("client_max_window_bits" not in given or "client_max_window_bits" in asked)
                and int(given.get("client_max_window_bits") or 15) == 15):  # what our messages are deflated with
            return ""
    return f"the answer {terms!r} fits none of the offers"


def go_there_and_back(talk, case):
    """A thousand messages; each has to be back before the next goes."""
    contents, frames = case.messages
    for turn in range(case.number):
        here = turn % len(frames)
        talk.write(frames[here])
        talk.wait_received(1)
        if talk.received != [(case.opcode, contents[here])]:
            talk.wrong = talk.wrong or f"message {turn} does not come back as it was"
            return
        talk.received.clear()


def go_through(talk, case):
    """The steps of a case, as far as the server lets us; whether all were taken."""
    for step in case.steps:
        if talk.close is not None or talk.ended or talk.wrong:
            return False
        if step is PAUSE:
            talk.hear(PAUSE_SECONDS)
        elif step is ANSWER:
            talk.hear(END_SECONDS)
            if len(talk.received) < case.first:
                talk.wrong = "no answer before the rest was sent"
        elif not talk.write(step):
            return False
    return True


def judge(case, talk, all_sent):
    """What came back."""
    if talk.wrong:
        return FAILED
    if case.informs:
        return INFORMATIONAL
    if not case.clean and not talk.ended:
        return FAILED
    if tuple(talk.received) == case.expects:
        return NON_STRICT if case.fail_fast and all_sent else OK
    return NON_STRICT if tuple(talk.received) == case.lenient else FAILED


def judge_close(case, talk):
    """How it ended."""
    if not talk.ended:
        return FAILED_BY_CLIENT
    if talk.close is None:
        return UNCLEAN if case.clean else OK
    code = struct.unpack(">H", talk.close[:2])[0] if talk.close else None
    if case.codes and code not in case.codes:
        return WRONG_CODE
    return OK if case.codes else INFORMATIONAL


def play(gateway, number):
    """The verdict on one case."""
    case = CASES[number]()
    try:
        websocket = (DeflatingWebSocket.opened(gateway, "/ws", case.offer) if case.offer
                     else WebSocket.opened(gateway, "/ws"))
    except (AssertionError, OSError) as error:
        return Verdict(FAILED, FAILED, case.says, f"no handshake: {error}")
    try:
        if case.offer and not websocket.terms:
            return Verdict(UNIMPLEMENTED, UNIMPLEMENTED, case.says, "permessage-deflate was refused")
        talk = Talk(websocket, case)
        if case.offer:
            talk.wrong = refused(websocket.terms, case.offer)
        all_sent = True
        if isinstance(case, RoundTrips):
            go_there_and_back(talk, case)
        else:
            all_sent = go_through(talk, case)
            talk.wait_received(len(case.expects))
        if case.ending:
            talk.write(case.ending, ending=True)
        talk.wait_end()
    finally:
        websocket.drop()
    got = re.sub(r"(.{300}).*", r"\1…", f"{len(talk.received)} received: {[(o, p[:40]) for o, p in talk.received]}")
    return Verdict(judge(case, talk, all_sent), judge_close(case, talk), case.says, f"{talk.wrong or got}; "
                   f"close {talk.close!r}, {'ended' if talk.ended else 'not ended'} by the server")
