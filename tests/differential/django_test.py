"""Gives Django and our parsers the same bytes and compares what they make of them.

Usage: django_test.py <parse_cases> <folder of recorded requests> [seed [count]]
"""
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import django
import msgpack

import django_reference
from generate import Generator
from vectors import VECTORS

DEFAULT_SEED = 20261123
DEFAULT_COUNT = 104000
SHARES = [("query", 34), ("cookie", 24), ("head", 14), ("urlencoded", 7), ("multipart", 12),
          ("request", 9)]
LARGE = 40


def generated(seed, count):
    make = Generator(random.Random(seed))
    for name, share in SHARES:
        for _ in range(count * share // 100):
            yield getattr(make, name)()
    for _ in range(LARGE):
        yield make.large_multipart()


def recorded(folder):
    """What clients sent, each whole and in pieces, without a root path and below one."""
    for path in sorted(pathlib.Path(folder).glob("*.request")):
        data = path.read_bytes()
        for root_path, step in (b"", 0), (b"/app", 7), ("/ü b".encode(), 1):
            yield {"kind": "request", "bytes": data, "root_path": root_path, "step": step}


def ours(program, cases):
    """What our parsers say, case by case."""
    with tempfile.TemporaryFile() as inputs:
        for case in cases:
            packed = msgpack.packb(case, use_bin_type=True)
            inputs.write(struct.pack(">I", len(packed)) + packed)
        inputs.seek(0)
        with subprocess.Popen([program], stdin=inputs, stdout=subprocess.PIPE) as process:
            while length := process.stdout.read(4):
                packed = process.stdout.read(struct.unpack(">I", length)[0])
                yield msgpack.unpackb(packed, raw=False, strict_map_key=False)
    if process.returncode != 0:
        raise SystemExit(f"{program} ended with {process.returncode}")


def main():
    program, folder = sys.argv[1:3]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else DEFAULT_SEED
    count = int(sys.argv[4]) if len(sys.argv) > 4 else DEFAULT_COUNT
    from_clients = list(recorded(folder))
    cases = [case for case, _ in VECTORS] + from_clients
    cases += generated(seed, count)
    compared, refused, different = 0, 0, 0
    results = ours(program, cases)
    for index, case in enumerate(cases):
        result = next(results, None)
        expected = django_reference.parse(case)
        if index < len(VECTORS) and expected != VECTORS[index][1]:
            raise SystemExit(f"Django {django.get_version()} disagrees with messages.md:\n"
                             f"{case!r}\n  page   {VECTORS[index][1]!r}\n  Django {expected!r}")
        compared += 1
        refused += "error" in expected
        if result != expected:
            different += 1
            if different <= 5:
                print(f"case {index}: {case!r:.3000}\n"
                      f"  Django {expected!r:.3000}\n  ours   {result!r:.3000}")
    print(f"seed {seed}: {compared} inputs compared with Django {django.get_version()} "
          f"({len(VECTORS)} from the page, {len(from_clients)} from clients, {refused} refused by "
          f"both), {different} different")
    if different or not from_clients or compared < len(VECTORS) + count * 0.99 or not refused:
        raise SystemExit(1)


main()
