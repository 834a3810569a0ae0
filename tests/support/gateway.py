"""tests/support/gateway.py -- a real gateway, started and ended by a test.

    with Gateway(workers=2, demo=2) as gateway:
        gateway.get("/").status

Each one has a folder of its own for its sockets, a free port, and a session of its own, so that
at its end nothing may be left behind: no process, no socket file, no report of a sanitizer.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from support import processes
from support.http_client import Client
from support.waiting import SLOWNESS, wait_until

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
PROGRAM = BUILD / "gateway" / "sluice"

# What no process of ours may ever say.
BROKEN = re.compile(r"CHECK failed|ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:"
                    r"|terminate called|Assertion .* failed")


def own_environment():
    """The environment without what would be an option of the gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}


class Output:
    """The lines a process writes, gathered by a thread."""

    def __init__(self, stream):
        self.lines = []
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._gather, args=(stream,), daemon=True)
        self._thread.start()

    def _gather(self, stream):
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _first(self, pattern, start):
        return next((m for line in self.lines[start:] if (m := re.search(pattern, line))), None)

    def wait_for(self, pattern, seconds=15.0, start=0):
        """The match of the first line, from line `start` on, in which the pattern is found."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._first(pattern, start), seconds * SLOWNESS)
            match = self._first(pattern, start)
        assert match, f"no line with {pattern!r} in:\n{self.text()}"
        return match

    def wait_end(self, seconds=10.0):
        """Waits until every process holding the stream has let it go."""
        self._thread.join(seconds * SLOWNESS)

    def text(self):
        """All lines so far."""
        return "\n".join(self.lines)


class Gateway:
    """One gateway and all its processes."""

    def __init__(self, *options, workers=1, demo=1, listen="127.0.0.1:0", folder=None, environment=None):
        self._own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="sluice-test-"))
        self.control = self.folder / "control"
        command = [str(PROGRAM), "--control", str(self.control), "--workers", str(workers)]
        command += ["--demo", str(demo)] if demo else []
        command += ["--listen", listen] if listen else []
        self.command = command + [str(option) for option in options]
        self.environment = {**own_environment(), **(environment or {})}
        self.passed = ()  # descriptors it inherits, under the same numbers
        self._demo = demo
        self.process = self.output = None
        self.host, self.port = "127.0.0.1", 0

    def start(self, wait=True):
        """Starts it, waits for `ready` and for its demo consumers; returns self."""
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True, text=True,
                                        errors="replace", env=self.environment, pass_fds=self.passed)
        self.output = Output(self.process.stdout)
        if wait:
            self.output.wait_for(r"^ready")
            for number in range(1, self._demo + 1):
                self.output.wait_for(rf"consumer_attached consumer={number}\b")
            url = re.search(r"http://([^/:\s]+):(\d+)", self.output.text())
            if url:
                self.host, self.port = url[1], int(url[2])
        return self

    # -- processes

    def pids(self):
        """All living processes of this gateway."""
        return processes.in_session(self.process.pid)

    def roles(self):
        """{role: [pid…]}: master, worker, demo consumer."""
        return processes.by_role(self.pids())

    def wait_role(self, role, number, but_not=(), seconds=10.0):
        """Waits until `number` processes of a role live, none of them in `but_not`; gives their pids."""
        def found():
            pids = [pid for pid in self.roles().get(role, []) if pid not in but_not]
            return pids if len(pids) >= number else None
        return wait_until(found, f"{number} x {role}, besides {list(but_not)}", seconds)

    def kill(self, role, index=0, sign=signal.SIGKILL):
        """Signals one process of a role; waits for its end when the signal is SIGKILL. Gives its pid."""
        return self.kill_pid(self.roles()[role][index], sign)

    @staticmethod
    def kill_pid(pid, sign=signal.SIGKILL):
        """Signals one process; waits for its end when the signal is SIGKILL. Gives its pid."""
        handle = processes.Handle(pid)
        handle.kill(sign)
        if sign == signal.SIGKILL:
            assert handle.wait_gone(), f"{pid} survives SIGKILL"
        handle.close()
        return pid

    # -- clients

    def connect(self, timeout=10.0, source=None):
        """A raw HTTP connection, from an address of our own."""
        return Client(self.host, self.port, timeout * SLOWNESS, source)

    def get(self, target="/", **more):
        """One request on a connection of its own."""
        with self.connect() as client:
            return client.exchange("GET", target, **more)

    # -- the end

    def stop(self, sign=signal.SIGTERM, seconds=15.0):
        """Asks it to end and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.wait(seconds)

    def wait(self, seconds=15.0):
        """Its exit code, when it ends by itself."""
        try:
            return self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the master still runs; its output:\n{self.output.text()}") from None

    def assert_nothing_left(self):
        """No process, no socket file, and nothing said that must never be said."""
        wait_until(lambda: not self.pids(), f"no process of the gateway left: {self.roles()}")
        self.output.wait_end()
        left = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*")
                      if path.is_socket())
        assert not left, f"left behind: {left}"
        broken = [line for line in self.output.lines if BROKEN.search(line)]
        assert not broken, "\n".join(broken + ["in:", self.output.text()])

    def discard(self):
        """Ends whatever is left, whatever state it is in; for the way out of a failed test."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                code = self.stop()
                assert code == 0, f"the master ended with {code}; its output:\n{self.output.text()}"
                self.assert_nothing_left()
            else:
                print(f"--- output of the gateway\n{self.output.text()}")
        finally:
            self.discard()
