"""tests/support/waiting.py -- waiting for a condition, with a deadline; never for a fixed time."""

import os
import threading
import time

# Sanitizer builds are slower; tools/dev says by how much.
SLOWNESS = float(os.environ.get("SLUICE_TEST_SLOWNESS", "1"))
_TURN = threading.Event()  # never set: waiting for it gives the processor away for a moment


class DeadlinePassed(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition, what, seconds=10.0):
    """The first true value of condition(); fails, naming `what`, when there is none in time."""
    end = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise DeadlinePassed(f"not within {seconds * SLOWNESS:g} s: {what}")
        _TURN.wait(0.005)
