"""tools/bench/accounting.py -- what processes cost: CPU time, memory, and how quiet the machine was."""

import os
import re
import resource
import subprocess

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def _children():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except OSError:
                continue
            parent = int(text[text.rindex(")") + 2 :].split()[1])
            found.setdefault(parent, []).append(int(name))
    return found


def tree(root):
    """A process and all its descendants."""
    children, pids, todo = _children(), [], [root]
    while todo:
        pid = todo.pop()
        pids.append(pid)
        todo += children.get(pid, [])
    return sorted(pids)


def cpu_ns(pids):
    """CPU time of all threads of the processes, as the scheduler counted it."""
    total = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        except OSError:
            pass  # ended meanwhile
    return total


def allow_descriptors():
    """Lets this process, and what it starts, have as many descriptors as a large load needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))


def anonymous_bytes(pids):
    """Resident memory that is a process's own: heap, stacks, what it changed of its files."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            total += int(re.search(r"\nRssAnon:\s+(\d+)", file.read())[1]) * 1024
    return total


def shared_bytes(pids):
    """Pages there are in the memfds the processes hold, each once: those no process has mapped count too."""
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


def slab_bytes():
    """What the kernel itself holds: socket buffers, file tables."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"\nSlab:\s+(\d+)", file.read())[1]) * 1024


def tcp_buffer_bytes():
    """What TCP counts as held in the buffers of all sockets of the machine."""
    with open("/proc/net/sockstat", encoding="ascii") as file:
        return int(re.search(r"\nTCP:.* mem (\d+)", file.read())[1]) * PAGE


def machine_busy():
    """(seconds of CPU used by anybody, seconds stolen by other virtual machines), since the start."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(word) for word in file.readline().split()[1:]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6)) / TICKS, fields[7] / TICKS


def pin(pids, cpus):
    """Binds all threads of the processes to the CPUs."""
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cpus)
        except OSError:
            pass


def machine():
    """One line about the machine."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()
    model = re.search(r"model name\s*:\s*(.*)", text)
    virtual = ", virtual" if "hypervisor" in text else ""
    system = os.uname()
    return (f"{len(os.sched_getaffinity(0))} CPUs {model[1] if model else system.machine}{virtual}, "
            f"{system.sysname} {system.release}")


def commit(root):
    """The commit that is checked out, and whether the tree differs from it."""
    def git(*words):
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{git('log', '-1', '--format=%h %cs') or 'unknown'}{' and changes' if changed else ''}"
