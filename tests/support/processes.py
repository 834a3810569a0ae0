"""tests/support/processes.py -- who runs, by what `ps` shows: found, watched, killed by role."""

import os
import re
import select
import signal

from support.waiting import SLOWNESS


def title(pid):
    """What `ps` shows for a process, or "" when it is gone (or a zombie)."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _stat(pid):
    """The fields of /proc/<pid>/stat from the state on, or none when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def in_session(session):
    """Pids of the living processes of a session; zombies are not alive."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(name)
            if fields and fields[0] not in "ZX" and int(fields[3]) == session:
                found.append(int(name))
    return sorted(found)


def is_alive(pid):
    """Whether the process runs still."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def state(pid):
    """R, S, T …, as `ps` shows it; "" when the process is gone."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def cpu_seconds(pid):
    """What the process has used of processors, in user and system mode."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """{"VmRSS": bytes, "RssAnon": bytes, …} of a living process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file if re.match(r"(Vm|Rss)\w+:", line)}


def shared_memory(pids):
    """Bytes there are in the memfds the processes hold, each once, whoever has mapped them."""
    found = {}
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            try:
                if os.readlink(path).startswith("/memfd:"):
                    status = os.stat(path)
                    found[status.st_ino] = status.st_blocks * 512
            except OSError:
                pass  # closed meanwhile
    return sum(found.values())


class Handle:
    """A process that is not mistaken for another one of the same pid later."""

    def __init__(self, pid):
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def kill(self, sign=signal.SIGKILL):
        """Sends a signal; nothing happens when the process is gone."""
        try:
            signal.pidfd_send_signal(self._fd, sign)
        except ProcessLookupError:
            pass

    def wait_gone(self, seconds=10.0):
        """Waits for the end of the process; whether it came in time."""
        ready, _, _ = select.select([self._fd], [], [], seconds * SLOWNESS)
        return bool(ready)

    def close(self):
        """Lets the descriptor go."""
        os.close(self._fd)


def by_role(pids):
    """{role: [pid…]} by title: `sluice: worker 3` is of role worker, in the order of the numbers."""
    roles = {}
    for pid in pids:
        match = re.match(r"sluice: (.*?) ?(\d*)$", title(pid))
        if match:
            roles.setdefault(match[1], []).append((int(match[2] or 0), pid))
    return {role: [pid for _, pid in sorted(pairs)] for role, pairs in roles.items()}
