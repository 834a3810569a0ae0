#!/usr/bin/python3
"""tools/bench/syscalls.py -- system calls per request of worker and consumer, counted by strace under load.

strace slows what it watches down, so the rate here means nothing; the calls per request do. The
socket's own calls are a recvfrom and a sendto for each request or message, the poll they share, and
what opening and closing a connection takes. What is left is sleeping and waking, and should be rare:
a ring is a sendto, too, so of the worker's those beyond one for each request are counted as rings.
"""

import argparse
import os
import re
import signal
import subprocess

import accounting
import loads
from servers import LAST, ROOT, Sluice

SOCKETS_OWN = {"recvfrom", "sendmsg", "epoll_pwait", "epoll_wait", "epoll_ctl", "accept4", "ioctl",
               "getsockname", "getpeername", "setsockopt", "shutdown", "close"}


class Watch:
    """strace on one process."""

    def __init__(self, pid, folder):
        self.report = os.path.join(folder, f"strace.{pid}")
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(["strace", "-c", "-f", "-U", "calls,errors,name", "-o", self.report,
                                         "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            raise SystemExit(f"strace does not attach: {line.strip()}")

    def calls(self):
        """{name: calls}, after the end of the watch."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        with open(self.report, encoding="ascii", errors="replace") as file:
            rows = re.findall(r"^\s*(\d+)\s+(?:\d+\s+)?([a-z]\w+)$", file.read(), re.MULTILINE)
        return {name: int(number) for number, name in rows if name != "total"}


def counted(server, title, load):
    """Prints the calls per request of one load."""
    watches = {role: [Watch(pid, server.folder) for pid in server.role(role)] for role in ("worker", "demo")}
    number = load()["number"]
    print(f"\n### {title}: {number:,} under strace\n| process | call | calls | per request |\n|---|---|--:|--:|")
    for role, found in watches.items():
        calls = {}
        for watch in found:
            for name, count in watch.calls().items():
                calls[name] = calls.get(name, 0) + count
        for name, count in sorted(calls.items(), key=lambda pair: -pair[1]):
            print(f"| {role} | {name} | {count:,} | {count / number:.3f} |")
        answers = min(calls.get("sendto", 0), number) if role == "worker" else 0
        others = sum(count for name, count in calls.items() if name not in SOCKETS_OWN) - answers
        print(f"| {role} | all | {sum(calls.values()):,} | {sum(calls.values()) / number:.3f} |")
        print(f"| {role} | beside the sockets' own | {others:,} | {others / number:.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()

    server = Sluice(options.build)
    try:
        server.start()
        print(f"machine: {accounting.machine()}")
        for connections in (64, 256):
            counted(server, f"HTTP, {connections} connections",
                    lambda c=connections: loads.wrk(server, c, options.seconds, LAST))
        counted(server, "WebSocket echo of 128 bytes, 64 connections",
                lambda: loads.websockets(options.build, server, "echo", "/ws", 64, 128, options.seconds, LAST))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
