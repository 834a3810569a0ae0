"""tools/bench/servers.py -- the servers compared: Sluice with its consumers, nginx, and others by themselves."""

import argparse
import contextlib
import os
import re
import select
import shlex
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
  {upstreams}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "Hello, World!"; }}
    {more}
  }}
}}
"""
PROXYING = """
client_max_body_size 0;
proxy_http_version 1.1; proxy_set_header Connection "";
location /defaults/ { proxy_pass http://upstream; }
location /unbuffered/ { proxy_pass http://upstream; proxy_request_buffering off; }
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
    environment = {}

    def __init__(self):
        self.folder = None  # while it runs
        self.port = free_port()
        self.process = None

    def command(self):
        """What is executed."""
        raise NotImplementedError

    def starting(self):
        """What is to be done before it answers."""

    def start(self):
        """Starts it and waits for its first answer."""
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        # pylint: disable=consider-using-with
        with open(self.folder / "log", "wb") as log:
            try:
                self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                env={**os.environ, **self.environment})
            except OSError as error:
                raise SystemExit(f"tools/bench: {self.name} does not start: {error}") from None
        self.starting()
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
            tree = accounting.tree(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for pid in tree:  # whom it did not take with it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Nginx(Server):
    """nginx answering by itself, from its one worker: no second process has a say."""

    name = "nginx return 200"
    more = upstreams = ""  # of its configuration

    def command(self):
        config = self.folder / "nginx.conf"
        user = "root" if os.geteuid() == 0 else "nobody"
        config.write_text(NGINX.format(folder=self.folder, port=self.port, user=user, more=self.more,
                                       upstreams=self.upstreams))
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-e", str(self.folder / "error.log"), "-c", str(config)]


class BodyUpstream(Server):
    """body_upstream.py."""

    name = "the upstream alone"

    def command(self):
        return ["/usr/bin/python3", str(ROOT / "tools" / "bench" / "body_upstream.py"), str(self.port)]


class NginxProxying(Nginx):
    """nginx before a body_upstream.py of its own: under /defaults/, and under /unbuffered/."""

    name = "nginx proxying"
    more = PROXYING

    def __init__(self):
        super().__init__()
        self.upstream = BodyUpstream()
        self.upstreams = f"upstream upstream {{ server 127.0.0.1:{self.upstream.port}; keepalive 16; }}"

    def start(self):
        self.upstream.start()
        super().start()

    def pids(self):
        return super().pids() + self.upstream.pids()

    def stop(self):
        super().stop()
        self.upstream.stop()


class Sluice(Server):
    """The gateway and its demo consumers."""

    name = "Sluice"
    speaks_websocket = True
    demo = 1

    def __init__(self, build, options=()):
        super().__init__()
        self.build, self.options = Path(build), list(options)

    def command(self):
        return [str(self.build / "gateway" / "sluice"), "--listen", f"127.0.0.1:{self.port}", "--workers", "1",
                "--demo", str(self.demo), "--control", str(self.folder / "control"), *self.options]

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


class SluiceBench(Sluice):
    """The gateway with one bench_consumer."""

    demo = 0

    def __init__(self, build, options=()):
        super().__init__(build, options)
        self.consumer = None

    def starting(self):
        """Its consumer comes when the control socket is there."""
        end = time.monotonic() + 15
        while not (self.folder / "control").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                return  # start() says why
            select.select([], [], [], 0.02)
        # pylint: disable=consider-using-with
        self.consumer = subprocess.Popen([str(self.build / "tools" / "bench" / "bench_consumer"),
                                          str(self.folder / "control")], stdout=subprocess.DEVNULL)

    def pids(self):
        return super().pids() + ([self.consumer.pid] if self.consumer else [])

    def stop(self):
        super().stop()
        if self.consumer:
            self.consumer.wait(30)  # the gateway hung up


class PythonWebsockets(Server):
    """ws_server.py."""

    name = "websockets"

    @staticmethod
    def version():
        """Of the library and what runs it; where there is none that is said."""
        said = subprocess.run(["/usr/bin/python3", "-c", "import platform, websockets; print("
                               "f'websockets {websockets.__version__} on Python {platform.python_version()}')"],
                              capture_output=True, text=True, check=False)
        return said.stdout.strip() or "no websockets"

    def command(self):
        return ["/usr/bin/python3", str(ROOT / "tools" / "bench" / "ws_server.py"), str(self.port)]


class NodeWs(Server):
    """ws_server.js."""

    name = "ws"
    # Where Debian has node's packages; a nodejs of another origin does not look there.
    environment = {"NODE_PATH": "/usr/share/nodejs"}

    @classmethod
    def version(cls):
        """Of the package and what runs it; where there is none that is said."""
        said = subprocess.run(["node", "-p", "`ws ${require('ws/package.json').version} on node ${process.version}`"],
                              capture_output=True, text=True, check=False, env={**os.environ, **cls.environment})
        return said.stdout.strip() or "no ws"

    def command(self):
        return ["node", str(ROOT / "tools" / "bench" / "ws_server.js"), str(self.port)]


class Rival(Server):
    """Any server that a command starts, in which {port} stands for the port."""

    def __init__(self, name, words):
        super().__init__()
        self.name, self._words = name, words

    @classmethod
    def named(cls, text):
        """Of NAME=COMMAND."""
        name, equals, command = text.partition("=")
        if not (name and equals and "{port}" in command):
            raise argparse.ArgumentTypeError("must be NAME=COMMAND with {port} in it")
        return cls(name, shlex.split(command))

    def command(self):
        return [word.replace("{port}", str(self.port)) for word in self._words]
