"""tools/bench/loads.py -- the clients: wrk for HTTP, ws_load for WebSocket; each report as a dict.

A load whose beginning is not to be counted calls `begin`, a Mark's set (rounds.py), when that is over.
"""

import os
import re
import socket
import subprocess
import time

MIB = 1 << 20
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


def _bound(cpus, command):
    return ["taskset", "-c", ",".join(map(str, sorted(cpus)))] + command if cpus else command


def _microseconds(text):
    match = re.match(r"([\d.]+)(us|ms|s|m)$", text)
    return float(match[1]) * UNITS[match[2]]


def wrk(server, connections, seconds, cpus, target="/", headers=(), script=None):
    """HTTP, one request at a time on each connection; a Lua script may make another of it than a GET."""
    more = [word for name, value in headers for word in ("-H", f"{name}: {value}")]
    more += ["-s", str(script)] if script else []
    out = subprocess.run(_bound(cpus, ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
                                       "--latency", *more, f"http://127.0.0.1:{server.port}{target}"]),
                         capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"number": int(re.search(r"(\d+) requests in", out)[1]),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
            "p50": _microseconds(re.search(r"\s50%\s+(\S+)", out)[1]),
            "p99": _microseconds(re.search(r"\s99%\s+(\S+)", out)[1]),
            "bad": (sum(map(int, errors.groups())) if errors else 0) + (int(refused[1]) if refused else 0)}


def body(server, mib, cpus, target, upload):
    """One body of so many MiB, up or down, on one connection; `number` counts GiB."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    begun = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", server.port), 60) as client:
            status, left = (_upload if upload else _download)(client, mib, target)
    finally:
        os.sched_setaffinity(0, ours)
    return {"number": mib / 1024, "rate": mib / 1024 / (time.monotonic() - begun), "bad": int(status != 200 or left != 0)}


def _upload(client, mib, target):
    client.sendall(f"POST {target} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n"
                   f"Content-Length: {mib * MIB}\r\n\r\n".encode())
    piece = bytes(MIB)
    for _ in range(mib):
        client.sendall(piece)
    return _read_head(client)[0], 0


def _download(client, mib, target):
    client.sendall(f"GET {target}?{mib} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    status, rest = _read_head(client)
    left, buffer = mib * MIB - len(rest), bytearray(MIB)
    while left > 0 and (got := client.recv_into(buffer, min(left, MIB))):
        left -= got
    return status, left


def _read_head(client):
    """The status of the answer, and what came of its body with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        got = client.recv(65536)
        if not got:
            raise SystemExit(f"the server hung up after {head!r}")
        head += got
    head, _, rest = head.partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


def ws_load(build):
    """The program that makes WebSocket load."""
    return os.path.join(build, "tools", "bench", "ws_load")


def websockets(build, server, mode, path, connections, size, seconds, cpus, depth=1, begin=lambda pids: None):
    """WebSocket messages, so many under way on each connection (`echo`), or to all (`broadcast`).

    Calls begin([pid of the load]) when the connections are open and nothing was sent yet.
    """
    with subprocess.Popen(_bound(cpus, [ws_load(build), mode, "127.0.0.1", str(server.port), path, str(connections),
                                        str(size), str(seconds), str(depth)]),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() == "opened\n":
            begin([process.pid])
        out, error = process.communicate("\n")
    if process.returncode not in (0, 1):  # 1: errors, which it counted
        raise SystemExit(f"ws_load: {error}")
    said = dict(word.split("=") for word in out.split() if "=" in word)
    return {"number": int(said["messages"]), "rate": float(said["rate"]), "p50": float(said["p50_us"]),
            "p99": float(said["p99_us"]), "bad": int(said["errors"])}
