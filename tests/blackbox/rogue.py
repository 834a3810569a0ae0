"""tests/blackbox/rogue.py -- runs rogue_consumer: a consumer that misbehaves as the path asks it to."""

from support.consumer_process import ConsumerProcess
from support.gateway import BUILD
from support.waiting import wait_until

PROGRAM = BUILD / "tests" / "blackbox" / "rogue_consumer"


class Rogue(ConsumerProcess):
    """One rogue consumer, attached; it says each message it takes in a line of its own."""

    def __init__(self, gateway):
        super().__init__(PROGRAM, gateway.control)

    def taken(self):
        """The messages taken so far: `channel method path`."""
        return [line[5:] for line in self.output.lines if line.startswith("took ")]

    def wait_taken(self, number):
        """Waits until so many messages are taken, and gives them all."""
        return wait_until(lambda: (t := self.taken()) and len(t) >= number and t, f"{number} messages taken")
