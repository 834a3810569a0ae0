"""tools/bench/servers.py -- the servers compared: Sluice with its demo consumers, nginx by itself."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import accounting

ROOT = Path(__file__).resolve().parents[2]
CPUS = sorted(os.sched_getaffinity(0))
FIRST, LAST = {CPUS[0]}, {CPUS[-1]}

NGINX = """
user {user}; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 19000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; default_type text/plain;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "Hello, World!"; }}
  }}
}}
"""


def free_port():
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process tree. `start` returns when it answers; `stop` leaves nothing."""

    name = ""
    speaks_websocket = False

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        self.port = free_port()
        self.process = None

    def command(self):
        """What is executed."""
        raise NotImplementedError

    def start(self):
        """Starts it and waits for its first answer."""
        # pylint: disable=consider-using-with
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 15
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 2) as probe:
                    probe.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    if b"Hello, World!" in b"".join(iter(lambda s=probe: s.recv(65536), b"")):
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{self.name} does not answer:\n{(self.folder / 'log').read_text()}")
            select.select([], [], [], 0.02)

    def pids(self):
        """The whole process tree."""
        return accounting.tree(self.process.pid)

    def place(self, layout):
        """Binds the processes to CPUs: `split`, the whole server on the first; else free."""
        accounting.pin(self.pids(), FIRST if layout in ("split", "both") else set(CPUS))

    def stop(self):
        """Ends it."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nginx(Server):
    """nginx answering by itself, from its one worker: no second process has a say."""

    name = "nginx return 200"

    def command(self):
        config = self.folder / "nginx.conf"
        user = "root" if os.geteuid() == 0 else "nobody"
        config.write_text(NGINX.format(folder=self.folder, port=self.port, user=user))
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-e", str(self.folder / "error.log"), "-c", str(config)]


class Sluice(Server):
    """The gateway and its demo consumers."""

    name = "Sluice"
    speaks_websocket = True

    def __init__(self, build, options=()):
        super().__init__()
        self.build, self.options = Path(build), list(options)

    def command(self):
        return [str(self.build / "gateway" / "sluice"), "--listen", f"127.0.0.1:{self.port}", "--workers", "1",
                "--demo", "1", "--control", str(self.folder / "control"), *self.options]

    def role(self, word):
        """Pids of the processes whose title begins with `sluice: <word>`."""
        found = []
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if re.match(rb"sluice: " + word.encode(), file.read()):
                        found.append(pid)
            except OSError:
                pass
        return found

    def place(self, layout):
        """`both`: the worker on the first CPU, the consumer on the last, beside the load."""
        super().place(layout)
        if layout == "both":
            accounting.pin(self.role("demo"), LAST)
