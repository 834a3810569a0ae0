"""tests/autobahn/cases_frames.py -- 1 to 5: frames, pings, reserved bits, opcodes, fragments."""

from functools import partial

from autobahn.case import (ANSWER, BINARY, CONTINUATION, TEXT, Case, by_byte, by_frame, chopped, echoed, failed,
                           frame, parts, pong, whole)
from support.websocket_client import PING, PONG

CASES = {}
HELLO = b"Hello, world!"
NOT_UTF8 = bytes([0, 255, 254, 253, 252, 251, 0, 255])

# ---- 1: one frame, of the lengths at which its header changes

SIZES = [0, 125, 126, 127, 128, 65535, 65536]
for family, kind, letter in [("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")]:
    for number, size in enumerate(SIZES, 1):
        CASES[f"{family}.{number}"] = partial(
            echoed, f"{size} bytes", [frame(kind, letter * size)], letter * size, kind)
    CASES[f"{family}.8"] = partial(
        echoed, "65536 bytes in writes of 997", chopped(frame(kind, letter * 65536), 997), letter * 65536, kind)

# ---- 2: pings and pongs

for number, payload in {1: b"", 2: HELLO, 3: NOT_UTF8, 4: b"\xfe" * 125}.items():
    CASES[f"2.{number}"] = partial(Case, f"a ping of {len(payload)} bytes", (frame(PING, payload),), (pong(payload),))
CASES["2.5"] = partial(failed, "a ping of 126 bytes", [frame(PING, b"\xfe" * 126)])
CASES["2.6"] = partial(Case, "a ping of 125 bytes, byte by byte", tuple(by_byte([frame(PING, b"\xfe" * 125)])),
                       (pong(b"\xfe" * 125),))
CASES["2.7"] = partial(Case, "an empty pong nobody asked for", (frame(PONG),))
CASES["2.8"] = partial(Case, "a pong nobody asked for", (frame(PONG, b"unasked"),))
CASES["2.9"] = partial(Case, "a pong nobody asked for, then a ping", (frame(PONG, b"unasked"), frame(PING, b"asked")),
                       (pong(b"asked"),))
TEN = [b"ping %d" % turn for turn in range(10)]
for number, written in {10: whole, 11: by_byte}.items():
    CASES[f"2.{number}"] = partial(Case, "ten pings", tuple(written([frame(PING, one) for one in TEN])),
                                   tuple(pong(one) for one in TEN))


# ---- 3 and 4: what no frame may have

def behind_a_good_one(says, bad, written):
    """A message, a frame that fails the connection, a ping nobody answers any more."""
    return failed(says, written([frame(TEXT, HELLO), bad, frame(PING)]), expects=((TEXT, HELLO),), lenient=())


WRITTEN = {2: whole, 3: by_frame, 4: by_byte}
for bits in range(1, 8):
    if bits in WRITTEN:
        CASES[f"3.{bits}"] = partial(behind_a_good_one, f"reserved bits {bits}",
                                     frame(TEXT, HELLO, reserved=bits), WRITTEN[bits])
    else:
        opcode, payload = {1: (TEXT, HELLO), 5: (BINARY, NOT_UTF8), 6: (BINARY, HELLO), 7: (0x8, b"\x03\xe8")}[bits]
        CASES[f"3.{bits}"] = partial(failed, f"reserved bits {bits}", [frame(opcode, payload, reserved=bits)])

for family, first in [("4.1", 3), ("4.2", 11)]:
    for number, payload in enumerate([b"", HELLO, b"", HELLO, HELLO], 1):
        bad = frame(first + number - 1, payload)
        says = f"opcode {first + number - 1}"
        if number < 3:
            CASES[f"{family}.{number}"] = partial(failed, says, [bad])
        else:
            written = by_byte if number == 5 else whole
            CASES[f"{family}.{number}"] = partial(behind_a_good_one, says, bad, written)

# ---- 5: fragments

TWO = parts(TEXT, b"fragment1", b"fragment2")
BOTH = b"fragment1fragment2"
WAYS = [whole, by_frame, by_byte]

for number, opcode in {1: PING, 2: PONG}.items():
    CASES[f"5.{number}"] = partial(failed, "a control frame in fragments", whole(parts(opcode, b"frag", b"ment")))
for number, written in enumerate(WAYS):
    CASES[f"5.{3 + number}"] = partial(echoed, "two fragments", written(TWO), BOTH)
    CASES[f"5.{6 + number}"] = partial(
        Case, "a ping between two fragments", tuple(written([TWO[0], frame(PING, b"now"), TWO[1]])),
        (pong(b"now"), (TEXT, BOTH)))
    for first, fin in [(9, True), (12, False)]:
        CASES[f"5.{first + number}"] = partial(
            failed, "a continuation of nothing",
            written([frame(CONTINUATION, b"of nothing", fin=fin), frame(TEXT, HELLO)]))
CASES["5.15"] = partial(
    failed, "two fragments, a continuation of nothing, a message",
    whole(TWO + [frame(CONTINUATION, b"of nothing", fin=False), frame(TEXT, HELLO)]),
    expects=((TEXT, BOTH),), lenient=())
for number, fin in {16: False, 17: True}.items():
    CASES[f"5.{number}"] = partial(
        failed, "continuations of nothing before messages",
        whole(2 * [frame(CONTINUATION, b"of nothing", fin=fin), *TWO]))
CASES["5.18"] = partial(failed, "a message within a message",
                        whole([frame(TEXT, b"fragment1", fin=False), frame(TEXT, b"fragment2")]))
FIVE = parts(TEXT, *[b"fragment%d" % turn for turn in range(5)])
for number, written in {19: whole, 20: by_frame}.items():
    CASES[f"5.{number}"] = partial(
        Case, "five fragments, a ping behind the second and the fourth",
        (*written([*FIVE[:2], frame(PING, b"one")]), ANSWER, *written([*FIVE[2:4], frame(PING, b"two"), FIVE[4]])),
        (pong(b"one"), pong(b"two"), (TEXT, b"".join(b"fragment%d" % turn for turn in range(5)))), first=1)
