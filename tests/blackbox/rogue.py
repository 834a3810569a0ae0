"""tests/blackbox/rogue.py -- runs rogue_consumer: a consumer that misbehaves as the path asks it to."""

import signal
import subprocess

from support.gateway import BROKEN, BUILD, Output
from support.waiting import SLOWNESS, wait_until

PROGRAM = BUILD / "tests" / "blackbox" / "rogue_consumer"


class Rogue:
    """One rogue consumer, attached; it says each message it takes in a line of its own."""

    def __init__(self, gateway):
        self._control = gateway.control
        self.process = self.output = None

    def taken(self):
        """The messages taken so far: `channel method path`."""
        return [line[5:] for line in self.output.lines if line.startswith("took ")]

    def wait_taken(self, number):
        """Waits until so many messages are taken, and gives them all."""
        return wait_until(lambda: (t := self.taken()) and len(t) >= number and t, f"{number} messages taken")

    def wait_said(self, pattern):
        """Waits for a line it says."""
        return self.output.wait_for(pattern)

    def kill(self, sign=signal.SIGKILL):
        """Kills it, and waits for its end."""
        self.process.send_signal(sign)
        self.process.wait(10 * SLOWNESS)

    def __enter__(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen([str(PROGRAM), str(self._control)], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")
        self.output = Output(self.process.stdout)
        self.output.wait_for(r"^attached")
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if kind is None:
                raise AssertionError("the rogue does not leave when asked to") from None
        self.output.wait_end()
        if kind is not None:
            print(f"--- output of the rogue\n{self.output.text()}")
        assert not BROKEN.search(self.output.text()), self.output.text()
