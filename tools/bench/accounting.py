"""tools/bench/accounting.py -- what processes cost: CPU time, memory, and how quiet the machine was."""

import os
import re
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


def memory_bytes(pids):
    """(resident, proportional) bytes; pages the processes share count once in the second."""
    resident = proportional = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                text = file.read()
        except OSError:
            continue
        resident += int(re.search(r"\nRss:\s+(\d+)", text)[1]) * 1024
        proportional += int(re.search(r"\nPss:\s+(\d+)", text)[1]) * 1024
    return resident, proportional


def shared_bytes():
    """Pages of shared memory in the whole machine: a segment's pages no process has mapped count too."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"\nShmem:\s+(\d+)", file.read())[1]) * 1024


def slab_bytes():
    """What the kernel itself holds: socket buffers, file tables."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"\nSlab:\s+(\d+)", file.read())[1]) * 1024


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
