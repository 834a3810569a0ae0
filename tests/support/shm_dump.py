"""tests/support/shm_dump.py -- what tools/shm_dump says of a gateway."""

import json
import subprocess

from support.gateway import BUILD, own_environment
from support.waiting import SLOWNESS

PROGRAM = BUILD / "tools" / "shm_dump"


def start(*words, program=PROGRAM, **more):
    """The program, running, its output in pipes."""
    return subprocess.Popen([str(program), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=own_environment(), **more)


def finish(process):
    """(exit code, stdout, stderr)."""
    out, error = process.communicate(timeout=30 * SLOWNESS)
    return process.returncode, out, error


def dump(gateway):
    """The JSON of a gateway that lives."""
    code, out, error = finish(start("--json", "--control", gateway.control))
    assert (code, error) == (0, ""), error
    return Dump(json.loads(out))


class Dump(dict):
    """The JSON, and what tests ask of it."""

    def channel(self, name):
        """One channel."""
        return next(channel for channel in self["channels"] if channel["name"] == name)

    def living(self, role):
        """The living processes of a role."""
        return [process for process in self["processes"] if process["role"] == role and process["state"] == "live"]

    def blocks(self, key, row=None):
        """How many blocks are in a state, of all arenas or of one row's."""
        return sum(one[key] for arena in self["arenas"] if row in (None, arena["row"]) for one in arena["classes"])

    def at_rest(self):
        """Whether no message lies or is kept anywhere: blocks are free, in stock, or on their way home."""
        kept = ("taken", "withdrawn", "linked", "shared", "other")
        return (not any(self.blocks(state) for state in kept) and self.blocks("queued") == self.blocks("returned")
                and not any(self["stray_blocks"].values()))
