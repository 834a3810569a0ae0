"""tests/blackbox/rogue.py -- runs rogue_consumer: a consumer that misbehaves as the path asks it to."""

from support.consumer_process import ConsumerProcess
from support.gateway import BUILD

PROGRAM = BUILD / "tests" / "blackbox" / "rogue_consumer"


class Rogue(ConsumerProcess):
    """One rogue consumer, attached; it says each message it takes in a line of its own."""

    def __init__(self, gateway):
        super().__init__(PROGRAM, gateway.control)
