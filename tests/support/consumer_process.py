"""tests/support/consumer_process.py -- a consumer program of the tests, attached to a gateway while a `with` lasts."""

import signal
import subprocess

from support import processes
from support.gateway import BROKEN, Output
from support.waiting import SLOWNESS, wait_until


class ConsumerProcess:
    """One consumer; it says `attached`, and what it does, in lines."""

    def __init__(self, *command):
        self._command = [str(word) for word in command]
        self.process = self.output = None

    def wait_said(self, pattern, seconds=15.0, start=0):
        """Waits for a line it says."""
        return self.output.wait_for(pattern, seconds, start)

    def taken(self):
        """The messages it said it took so far: `channel method path`."""
        return [line[5:] for line in self.output.lines if line.startswith("took ")]

    def wait_taken(self, number):
        """Waits until so many messages are taken, and gives them all."""
        return wait_until(lambda: (t := self.taken()) and len(t) >= number and t, f"{number} messages taken")

    def freeze(self):
        """It takes nothing until it is told to go on."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: processes.state(self.process.pid) == "T", "the consumer stands still")

    def go_on(self):
        """After freeze()."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self, sign=signal.SIGKILL):
        """Kills it, and waits for its end."""
        self.process.send_signal(sign)
        self.process.wait(10 * SLOWNESS)

    def ask_to_leave(self):
        """Tells it that it may end."""
        if self.process.poll() is None:
            self.process.terminate()

    def __enter__(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")
        self.output = Output(self.process.stdout)
        self.output.wait_for(r"^attached")
        return self

    def __exit__(self, kind, error, trace):
        self.ask_to_leave()
        try:
            self.process.wait(10 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if kind is None:
                raise AssertionError("the consumer does not leave when asked to") from None
        self.output.wait_end()
        if kind is not None:
            print(f"--- output of the consumer\n{self.output.text()[-4000:]}")
        assert not BROKEN.search(self.output.text()), self.output.text()
