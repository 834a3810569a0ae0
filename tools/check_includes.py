#!/usr/bin/python3
"""tools/check_includes.py -- fails on an include that runs against the line.

    gateway -> worker -> shm -> protocol          consumer -> shm -> protocol

worker and consumer never see each other; protocol sees nothing of ours; shm sees of protocol only
names, limits and results; demo and examples see only what an application sees; sessions and codec
know no socket, clock or loop.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Most particular first: the first folder a file lies in says what it may include of ours.
MAY_INCLUDE = [
    ("consumer/demo", ["consumer/", "protocol/"]),
    ("consumer/examples", ["consumer/", "protocol/"]),
    ("consumer", ["consumer/", "shm/", "protocol/"]),
    ("gateway", ["gateway/", "worker/", "shm/", "protocol/"]),
    ("worker", ["worker/", "shm/", "protocol/"]),
    ("shm", ["shm/", "protocol/channel_name.h", "protocol/limits.h", "protocol/result.h"]),
    ("protocol", ["protocol/"]),
]
OURS = ("gateway/", "worker/", "shm/", "protocol/", "consumer/", "tests/", "tools/")

# Bytes in, bytes out: these files run without a socket, a clock or a loop.
PURE = re.compile(r"^(protocol/|worker/(http_session|http_writer|websocket_session|upgrade|form|cookie|query)\.)")
IMPURE = {"uv.h", "sys/socket.h", "sys/epoll.h", "shm/clock.h", "time.h", "ctime"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(folder):
    """Every C++ file under a top folder, as a path from the root."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*")
                  if path.suffix in (".cc", ".h"))


def allowed(file):
    """What the folder of a file may include; a unit test what the folder it tests may."""
    place = re.sub(r"^tests/unit/", "", file)
    return next((names for folder, names in MAY_INCLUDE if place.startswith(folder + "/")), None)


def faults(file):
    """One line for each include of a file that runs against the line."""
    names = allowed(file)
    found = []
    for _, included in INCLUDE.findall((ROOT / file).read_text(encoding="utf-8")):
        ours = included.startswith(OURS)
        if ours and names is not None and not file.startswith("tests/"):
            if not any(included.startswith(name) for name in names):
                found.append(f"{file}: includes {included}, against the line")
        elif ours and names is not None:
            # A unit test stands above its folder, and beside it: it may use any part of the line.
            tops = {name.split("/")[0] + "/" for name in names} | {"tests/"}
            if not included.startswith(tuple(tops)):
                found.append(f"{file}: includes {included}, against the line")
        if PURE.match(file) and included in IMPURE:
            found.append(f"{file}: includes {included}, but knows no socket, clock or loop")
    return found


def main():
    checked = failed = 0
    for folder in ("gateway", "worker", "shm", "protocol", "consumer", "tests/unit"):
        for file in sources(folder):
            lines = faults(file)
            checked, failed = checked + 1, failed + bool(lines)
            for line in lines:
                print(line)
    print(f"{checked - failed} files keep to the line, {failed} do not")
    return 1 if failed or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
