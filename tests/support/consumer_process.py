"""tests/support/consumer_process.py -- a consumer program of the tests, attached to a gateway while a `with` lasts."""

import signal
import subprocess

from support.gateway import BROKEN, Output
from support.waiting import SLOWNESS


class ConsumerProcess:
    """One consumer; it says `attached`, and what it does, in lines."""

    def __init__(self, *command):
        self._command = [str(word) for word in command]
        self.process = self.output = None

    def wait_said(self, pattern, seconds=15.0, start=0):
        """Waits for a line it says."""
        return self.output.wait_for(pattern, seconds, start)

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
