"""tests/conformance/driver_process.py -- a driver as the runner sees it: commands to it, answers from it."""

import fcntl
import struct
import subprocess
import termios

import msgpack

from support.waiting import SLOWNESS, wait_until

LARGEST = 32 << 20  # bytes of one frame: the largest message and then some


class Driver:
    """One process under test, attached."""

    def __init__(self, program, control):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.ask("attach", control=str(control)) == {"ok": True}

    def begin(self, command, **keys):
        """Gives a command without waiting for what comes of it."""
        frame = msgpack.packb({"do": command, **keys}, use_bin_type=True)
        self.process.stdin.write(struct.pack(">I", len(frame)) + frame)
        self.process.stdin.flush()

    def end(self):
        """What came of the command begun."""
        head = self.process.stdout.read(4)
        assert len(head) == 4, f"the driver ended with {self.process.wait()}"
        (length,) = struct.unpack(">I", head)
        assert length <= LARGEST
        return msgpack.unpackb(self.process.stdout.read(length), raw=False, max_bin_len=LARGEST,
                               max_str_len=LARGEST, max_map_len=LARGEST, max_array_len=LARGEST)

    def ask(self, command, **keys):
        """One command and what comes of it."""
        self.begin(command, **keys)
        return self.end()

    def receive(self, seconds, keep=False):
        """The answer to a receive that waits so long at most."""
        return self.ask("receive", wait=int(seconds * 1000), keep=keep)

    def wait_asleep(self):
        """Waits until the command begun was read and the process sleeps in it."""
        def asleep():
            unread = struct.unpack("i", fcntl.ioctl(self.process.stdin, termios.FIONREAD, b"\0" * 4))[0]
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
                return unread == 0 and file.read().rpartition(")")[2].split()[0] == "S"
        wait_until(asleep, "the driver sleeps in its command")

    def kill(self):
        """Ends it as if by accident."""
        self.process.kill()
        self.process.wait()

    def close(self):
        """Ends it in order."""
        self.process.stdin.close()
        try:
            self.process.wait(10 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.process.stdout.close()
