"""tests/blackbox/speaker.py -- runs group_speaker: a consumer that keeps groups, told what to do line by line."""

import signal
import subprocess

from support.gateway import BROKEN, BUILD, Output
from support.waiting import SLOWNESS

PROGRAM = BUILD / "tests" / "blackbox" / "group_speaker"


class Speaker:
    """One speaker, attached."""

    def __init__(self, gateway, *channels):
        self._command = [str(PROGRAM), str(gateway.control), *channels]
        self.process = self.output = None

    def tell(self, order):
        """Gives it an order; returns the number of lines it had said, for wait_said()."""
        before = len(self.output.lines)
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return before

    def ask(self, order, answer, seconds=30.0):
        """Gives it an order and waits for its answer: the words behind `answer`."""
        return self.output.wait_for(rf"^{answer} (.*?) *$", seconds, self.tell(order))[1]

    def send(self, group, text):
        """[pushes, workers full, channels, channels full] of one message to a group."""
        return [int(word) for word in self.ask(f"send {group} {text}", "sent").split()]

    def burst(self, group, number):
        """So many messages `0`, `1`, … as fast as it can, sent when this returns."""
        self.output.wait_for(r"^burst", 60, self.tell(f"burst {group} {number}"))

    def members(self, group):
        """How many members the group has, by what all workers answer."""
        return int(self.ask(f"members {group}", "members"))

    def wait_added(self, number, seconds=30.0):
        """Waits until it has put so many connections into groups."""
        self.output.wait_for(rf"^added {number} *$", seconds)

    def kill(self):
        """Kills it, and waits for its end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10 * SLOWNESS)

    def __enter__(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")
        self.output = Output(self.process.stdout)
        self.output.wait_for(r"^attached")
        return self

    def __exit__(self, kind, error, trace):
        self.process.stdin.close()  # its word to leave
        try:
            self.process.wait(10 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if kind is None:
                raise AssertionError("the speaker does not leave when asked to") from None
        self.output.wait_end()
        if kind is not None:
            print(f"--- output of the speaker\n{self.output.text()[-4000:]}")
        assert not BROKEN.search(self.output.text()), self.output.text()
