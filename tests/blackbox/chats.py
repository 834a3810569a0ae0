"""tests/blackbox/chats.py -- a crowd in which everybody says numbers, and is told them again."""

import time

from crowd import Crowd
from support.waiting import SLOWNESS
from support.websocket_client import CLOSE, TEXT, frame

AT_ONCE = 2   # numbers a chat has said and not been told yet
MOST = 12     # the same, where one may be lost: no more than a reply ring holds, so none waits in a consumer
QUIET = 0.2   # seconds without an echo after which the last one said may be lost: saying more makes it certain
CLOSING = frame(CLOSE, b"\x03\xe8")
CLOSED = b"\x88\x02\x03\xe8"


class Chat:
    """One of them."""

    def __init__(self, one):
        self.socket, self.said, self.came, self.unread = one, 0, 0, b""
        self.leaving = self.left = False

    def say(self):
        """The next number."""
        self.said += 1
        self.socket.sendall(frame(TEXT, b"%d" % self.said))

    def leave(self):
        """Begins to close."""
        self.leaving = True
        self.socket.sendall(CLOSING)


class Chats(Crowd):
    """Numbers come in the order they were said, none twice; those that never come are counted.

    Nothing closes a chat but its client.
    """

    def __init__(self, gateway, number, target):
        super().__init__(gateway, number, target)
        self._chats = {one.fileno(): Chat(one) for one in self._sockets.values()}
        self.echoes = self.lost = 0
        self._silent = False

    def begin(self):
        """Everybody says the first numbers."""
        for chat in self._chats.values():
            for _ in range(AT_ONCE):
                chat.say()

    def come_on(self, echoes):
        """Goes on for so many echoes, or until none comes: a frozen consumer may have them all."""
        end = self.echoes + echoes
        while self.echoes < end and self._turn():
            pass

    def leave(self, number):
        """So many, by their number in the crowd, close."""
        list(self._chats.values())[number].leave()

    def fall_silent(self, seconds=60.0):
        """Nobody says anything more but to find out what was lost; returns when all were told all."""
        self._silent = True
        self._go_on_until(lambda chat: chat.left or chat.came == chat.said, "is told all it said", seconds)

    def leave_all(self, seconds=60.0):
        """Everybody who is still there closes; returns when they are closed."""
        for chat in self._chats.values():
            if not chat.leaving:
                chat.leave()
        self._go_on_until(lambda chat: chat.left, "is closed", seconds)

    def _go_on_until(self, done, what, seconds):
        end = time.monotonic() + seconds * SLOWNESS
        while not all(map(done, self._chats.values())):
            self._turn()
            assert time.monotonic() < end, f"not every chat {what}"

    def _turn(self):
        events = self._epoll.poll(QUIET)
        for number, _ in events:
            self._read(self._chats[number])
        if not events:
            for chat in self._chats.values():
                if chat.came < chat.said < chat.came + MOST and not chat.leaving:
                    chat.say()
        return bool(events)

    def _read(self, chat):
        piece = chat.socket.recv(65536)
        if not piece:
            assert chat.left, f"closed after {chat.came} of {chat.said}, {chat.unread!r}"
            self._epoll.unregister(chat.socket)
            return
        unread = chat.unread + piece
        while len(unread) > 1 and len(unread) >= 2 + unread[1]:
            self._take(chat, unread[:2 + unread[1]])
            unread = unread[2 + unread[1]:]
        chat.unread = unread

    def _take(self, chat, whole):
        if whole == CLOSED:
            assert chat.leaving and not chat.left
            chat.left = True
            return
        assert whole[0] == 0x81 and not chat.left, whole
        told = int(whole[2:])
        assert chat.came < told <= chat.said, f"{told} came after {chat.came}, with {chat.said} said"
        self.lost += told - chat.came - 1
        self.echoes += 1
        chat.came = told
        if not self._silent and not chat.leaving:
            while chat.said < chat.came + AT_ONCE:
                chat.say()
