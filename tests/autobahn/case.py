"""tests/autobahn/case.py -- what a case is, and the words cases are stated in."""

import struct
from dataclasses import dataclass

from support.websocket_client import BINARY, CLOSE, CONTINUATION, PONG, TEXT, frame

PAUSE = object()   # a step: a second's rest
ANSWER = object()  # a step: until the server says something, for which a busy one gets more than a second


def close_frame(code=1000, reason=b""):
    """A close, well-formed or not."""
    return frame(CLOSE, struct.pack(">H", code) + reason)


@dataclass(frozen=True)
class Case:
    """What is sent, what has to come back, and how the connection has to end."""

    says: str
    steps: tuple = ()            # bytes, a write each, PAUSE or ANSWER
    expects: tuple = ()          # (opcode, payload) of messages and pongs, all of them, in order
    lenient: tuple = None        # what may come instead: NON-STRICT
    first: int = 0               # so many of them are the ANSWER
    ending: bytes = close_frame()  # sent when they have come, or do not come; without one the steps have it
    codes: tuple = (1000,)       # of the server's close; none: any
    clean: bool = True           # a close has to come; else the server ends it, with or without one
    fail_fast: bool = False      # NON-STRICT if the server waits for the last step to end it
    informs: bool = False        # what comes back is not judged
    seconds: float = 20.0        # for all of it
    offer: str = None            # of permessage-deflate


@dataclass(frozen=True)
class RoundTrips(Case):
    """A thousand messages in place of steps, each sent when the one before has come back."""

    opcode: int = TEXT
    messages: tuple = ()         # (payloads, their frames): as many as there are different ones, in turn
    number: int = 1000
    seconds: float = 480.0


def echoed(says, steps, payload, opcode=TEXT, **more):
    """The message comes back; then we close."""
    return Case(says, tuple(steps), ((opcode, payload),), **more)


def failed(says, steps, codes=(1002,), **more):
    """The server ends the connection by itself; but for what is expected nothing comes back."""
    return Case(says, tuple(steps), ending=b"", codes=codes, clean=False, **more)


def pong(payload=b""):
    """A pong, as it is expected."""
    return (PONG, payload)


def parts(opcode, *pieces, reserved=0):
    """The frames of a message of these pieces, which may be empty."""
    return [frame(CONTINUATION if at else opcode, piece, fin=at == len(pieces) - 1, reserved=0 if at else reserved)
            for at, piece in enumerate(pieces)]


def fragments(opcode, payload, size, reserved=0):
    """The frames of a message cut in pieces of `size` bytes. As the suite's client has it, an empty one is behind
    pieces that are all whole: 4 MiB in pieces of 64 are 65,537 frames."""
    last = [b""] if len(payload) > size and len(payload) % size == 0 else []
    return parts(opcode, *chopped(payload, size) + last or [b""], reserved=reserved)


def chopped(stream, size):
    """The same bytes in writes of `size`."""
    return [stream[at:at + size] for at in range(0, len(stream), size)]


def whole(frames):
    """All frames in one write."""
    return [b"".join(frames)]


def by_frame(frames):
    """A write for each frame."""
    return list(frames)


def by_byte(frames):
    """A write for each byte."""
    return chopped(b"".join(frames), 1)


__all__ = ["ANSWER", "BINARY", "CONTINUATION", "PAUSE", "TEXT", "Case", "RoundTrips", "by_byte", "by_frame", "chopped",
           "close_frame", "echoed", "failed", "fragments", "frame", "parts", "pong", "whole"]
