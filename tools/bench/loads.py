"""tools/bench/loads.py -- the clients: wrk for HTTP, ws_load for WebSocket; each report as a dict."""

import os
import re
import subprocess

UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


def _bound(cpus, command):
    return ["taskset", "-c", ",".join(map(str, sorted(cpus)))] + command if cpus else command


def _microseconds(text):
    match = re.match(r"([\d.]+)(us|ms|s|m)$", text)
    return float(match[1]) * UNITS[match[2]]


def wrk(server, connections, seconds, cpus):
    """HTTP, one request at a time on each connection."""
    out = subprocess.run(_bound(cpus, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                                       "--latency", f"http://127.0.0.1:{server.port}/"]),
                         capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"number": int(re.search(r"(\d+) requests in", out)[1]),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
            "p50": _microseconds(re.search(r"\s50%\s+(\S+)", out)[1]),
            "p99": _microseconds(re.search(r"\s99%\s+(\S+)", out)[1]),
            "bad": (sum(map(int, errors.groups())) if errors else 0) + (int(refused[1]) if refused else 0)}


def ws_load(build):
    """The program that makes WebSocket load."""
    return os.path.join(build, "tools", "bench", "ws_load")


def websocket_echo(build, server, connections, size, seconds, cpus):
    """WebSocket messages, one at a time on each connection, each waiting for its echo."""
    run = subprocess.run(_bound(cpus, [ws_load(build), "echo", "127.0.0.1", str(server.port), "/ws",
                                       str(connections), str(size), str(seconds)]),
                         capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):  # 1: errors, which it counted
        raise SystemExit(f"ws_load: {run.stderr}")
    said = dict(word.split("=") for word in run.stdout.split() if "=" in word)
    return {"number": int(said["messages"]), "rate": float(said["rate"]), "p50": float(said["p50_us"]),
            "p99": float(said["p99_us"]), "bad": int(said["errors"])}
