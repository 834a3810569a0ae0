"""tests/autobahn/cases_close.py -- 7: closing handshakes, good and bad."""

from functools import partial

from autobahn.case import TEXT, Case, close_frame, echoed, failed, frame, parts
from support.websocket_client import CLOSE, PING

CASES = {}
HELLO = b"Hello, world!"
ANY = ()


def closed(says, *steps, codes=(1000,), **more):
    """All is said at once, our close with it, and answered by a close alone."""
    return Case(says, (b"".join(steps),), ending=b"", codes=codes, **more)


FIRST, LAST = parts(TEXT, b"fragment1", b"fragment2")
CASES["7.1.1"] = partial(echoed, "a text, then a close", [frame(TEXT, HELLO)], HELLO)
CASES["7.1.2"] = partial(closed, "two closes", close_frame(), close_frame())
CASES["7.1.3"] = partial(closed, "a ping behind the close", close_frame(), frame(PING))
CASES["7.1.4"] = partial(closed, "a text behind the close", close_frame(), frame(TEXT, HELLO))
CASES["7.1.5"] = partial(closed, "a close within a message", FIRST, close_frame(), LAST)
CASES["7.1.6"] = partial(closed, "a close right behind 256 KiB", frame(TEXT, b"*" * (256 << 10)), frame(TEXT, HELLO),
                         close_frame(), frame(PING), informs=True)

CASES["7.3.1"] = partial(closed, "an empty close", frame(CLOSE), codes=(None, 1000))
CASES["7.3.2"] = partial(failed, "half a code", [frame(CLOSE, b"a")])
CASES["7.3.3"] = partial(closed, "a code alone", close_frame())
CASES["7.3.4"] = partial(closed, "a code and a reason", close_frame(1000, HELLO))
CASES["7.3.5"] = partial(closed, "the longest reason", close_frame(1000, b"*" * 123))
CASES["7.3.6"] = partial(failed, "a reason too long", [close_frame(1000, b"*" * 124)])
CASES["7.5.1"] = partial(failed, "a reason that is no UTF-8", [close_frame(1000, b"\xce\xba\xed\xa0\x80")],
                         (1002, 1007))

for number, code in enumerate([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999], 1):
    CASES[f"7.7.{number}"] = partial(closed, f"code {code}", close_frame(code), codes=(1000, code))
for number, code in enumerate([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999], 1):
    CASES[f"7.9.{number}"] = partial(failed, f"code {code}", [close_frame(code)])
for number, code in enumerate([5000, 65535], 1):
    CASES[f"7.13.{number}"] = partial(failed, f"code {code}", [close_frame(code)], ANY, informs=True)
