"""tests/autobahn/cases_sizes.py -- 9 and 10: long messages, many fragments, small writes, round trips."""

from functools import partial

from autobahn.case import BINARY, TEXT, RoundTrips, chopped, echoed, fragments, frame

CASES = {}
KIB, MIB = 1 << 10, 1 << 20
LIMIT = 100.0  # seconds


def content(opcode, size):
    """So many bytes, no two places of them alike."""
    piece = bytes(range(0x20, 0x7f)) if opcode == TEXT else bytes(range(256))
    numbered = b"".join(b"%d" % line + piece for line in range(size // len(piece) + 1))
    return numbered[:size]


def in_one(opcode, size):
    """One frame."""
    return echoed(f"{size} bytes", [frame(opcode, content(opcode, size))], content(opcode, size), opcode,
                  seconds=LIMIT)


def in_fragments(opcode, size, fragment):
    """All frames, in large writes."""
    payload = content(opcode, size)
    stream = b"".join(fragments(opcode, payload, fragment))
    return echoed(f"{size} bytes in fragments of {fragment}", chopped(stream, 64 * KIB), payload, opcode,
                  seconds=LIMIT)


def in_writes(opcode, size, write):
    """One frame in small writes."""
    payload = content(opcode, size)
    return echoed(f"{size} bytes in writes of {write}", chopped(frame(opcode, payload), write), payload, opcode,
                  seconds=LIMIT)


def there_and_back(opcode, size):
    """The same message, a thousand times."""
    payload = content(opcode, size)
    return RoundTrips(f"{size} bytes a thousand times", opcode=opcode, messages=([payload], [frame(opcode, payload)]))


for kinds, opcode in [(("9.1", "9.3", "9.5", "9.7"), TEXT), (("9.2", "9.4", "9.6", "9.8"), BINARY)]:
    for number, size in enumerate([64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB], 1):
        CASES[f"{kinds[0]}.{number}"] = partial(in_one, opcode, size)
    for number in range(1, 10):
        CASES[f"{kinds[1]}.{number}"] = partial(in_fragments, opcode, 4 * MIB, 64 * 4 ** (number - 1))
    for number in range(1, 7):
        CASES[f"{kinds[2]}.{number}"] = partial(in_writes, opcode, MIB, 64 << (number - 1))
    for number, size in enumerate([0, 16, 64, 256, 1024, 4096], 1):
        CASES[f"{kinds[3]}.{number}"] = partial(there_and_back, opcode, size)
CASES["10.1.1"] = partial(in_fragments, TEXT, 64 * KIB, 1300)
