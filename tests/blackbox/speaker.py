"""tests/blackbox/speaker.py -- runs group_speaker: a consumer that keeps groups, told what to do line by line."""

from support.consumer_process import ConsumerProcess
from support.gateway import BUILD

PROGRAM = BUILD / "tests" / "blackbox" / "group_speaker"


class Speaker(ConsumerProcess):
    """One speaker, attached."""

    def __init__(self, gateway, *channels):
        super().__init__(PROGRAM, gateway.control, *channels)

    def tell(self, order):
        """Gives it an order; returns the number of lines it had said, for wait_said()."""
        before = len(self.output.lines)
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return before

    def ask(self, order, answer, seconds=30.0):
        """Gives it an order and waits for its answer: the words behind `answer`."""
        return self.wait_said(rf"^{answer} (.*?) *$", seconds, self.tell(order))[1]

    def send(self, group, text):
        """[pushes, workers full, channels, channels full] of one message to a group."""
        return [int(word) for word in self.ask(f"send {group} {text}", "sent").split()]

    def burst(self, group, number):
        """So many messages `0`, `1`, … as fast as it can, sent when this returns."""
        self.wait_said(r"^burst", 60, self.tell(f"burst {group} {number}"))

    def members(self, group):
        """How many members the group has, by what all workers answer."""
        return int(self.ask(f"members {group}", "members"))

    def living(self):
        """{reply channel: path} of the WebSockets there are, by what all workers answer."""
        before = self.tell("living")
        number = int(self.wait_said(r"^living (\d+) *$", 30, before)[1])
        lives = [line.split()[1:] for line in self.output.lines[before:] if line.startswith("lives ")]
        assert len(lives) == number
        return dict(lives)

    def flush(self):
        """How many messages waited in all channels; nobody is in any group afterwards."""
        return int(self.ask("flush", "flushed"))

    def wait_added(self, number, seconds=30.0):
        """Waits until it has put so many connections into groups."""
        self.wait_said(rf"^added {number} *$", seconds)

    def ask_to_leave(self):
        """The end of its orders."""
        self.process.stdin.close()
