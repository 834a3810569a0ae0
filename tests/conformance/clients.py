"""tests/conformance/clients.py -- the WebSocket clients of a case, and the workers that hold them."""

import os
import signal

from support import processes
from support.waiting import SLOWNESS, wait_until
from support.websocket_client import WebSocket


class Clients:
    """Every client of one case, by its letter."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.opened = {}   # letter -> its WebSockets
        self.stopped = {}  # letter -> the pid of its worker

    def last(self, who):
        """The WebSocket the client opened last."""
        return self.opened[who][-1]

    def open(self, who, path, beside=""):
        """Opens one more, at another worker than the client `beside` is at."""
        client = self.gateway.connect()
        if beside:
            spared = [client]
            taken = self.worker_of(self.last(beside).client)
            while self.worker_of(spared[-1]) == taken:
                assert len(spared) < 200, "all connections come to one worker"
                spared.append(self.gateway.connect())
            client = spared.pop()
            for each in spared:
                each.close()
        self.opened.setdefault(who, []).append(WebSocket.opened(self.gateway, path, client=client))

    def worker_of(self, client):
        """The pid of the worker that has accepted the connection."""
        port = client.socket.getsockname()[1]

        def accepted():
            inode = inode_of(self.gateway.port, port)
            return next((pid for pid in self.gateway.roles().get("worker", []) if holds(pid, inode)), None)
        return wait_until(accepted, "a worker has the connection")

    def stop_worker(self, who):
        """Freezes the worker that holds the client."""
        pid = self.worker_of(self.last(who).client)
        self.stopped[who] = pid
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: processes.state(pid) == "T", "the worker is frozen")

    def continue_worker(self, who):
        """Lets it go on."""
        os.kill(self.stopped.pop(who), signal.SIGCONT)

    def kill_worker(self, who):
        """Kills the worker that holds the client, frozen or not; another takes its place by itself."""
        self.gateway.kill_pid(self.stopped.pop(who, None) or self.worker_of(self.last(who).client))

    def close(self):
        """Ends every client; no worker stays frozen, and none that died without a successor."""
        for who in list(self.stopped):
            self.continue_worker(who)
        for websockets in self.opened.values():
            for websocket in websockets:
                websocket.drop()
        self.gateway.wait_role("worker", 2, seconds=10 * SLOWNESS)


def inode_of(port, other_port):
    """The inode of the socket at `port` of this machine that is connected to `other_port`; 0 before it is accepted."""
    with open("/proc/net/tcp", encoding="utf-8") as file:
        for line in list(file)[1:]:
            fields = line.split()
            if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == [port, other_port]:
                return int(fields[9])
    return 0


def holds(pid, inode):
    """Whether the process has a socket open."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            if inode and os.readlink(f"/proc/{pid}/fd/{name}") == f"socket:[{inode}]":
                return True
        except OSError:
            pass  # closed meanwhile
    return False
