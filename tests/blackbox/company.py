"""tests/blackbox/company.py -- consumers that come and go at random, and are killed."""

import re
from collections import Counter
from contextlib import ExitStack

from rogue import Rogue
from support.waiting import SLOWNESS


class Company:
    """Consumers that come, go, stand still and are killed while a `with` lasts; always as many."""

    def __init__(self, gateway, number, choice):
        self._gateway, self._number, self._choice = gateway, number, choice
        self._stack = ExitStack()
        self._here, self._all = [], []
        self._frozen = None
        self.killed = 0

    def something_happens(self):
        """One is killed, mostly; or replaced; or frozen, if none is: else that one goes on."""
        what = self._choice.choice(["kill", "kill", "kill", "replace", "freeze", "freeze"])
        one = self._choice.choice(self._here)
        if what == "freeze" or (what == "replace" and one is self._frozen):
            if self._frozen:
                self.all_go_on()
            else:
                self._frozen = one
                one.freeze()
            return
        if what == "replace":
            self._comes()
            one.ask_to_leave()
            one.process.wait(10 * SLOWNESS)
        else:
            one.kill()
            self.killed += 1
            self._comes()
        if one is self._frozen:
            self._frozen = None
        self._here.remove(one)

    def all_go_on(self):
        """Nobody stands still any more."""
        if self._frozen:
            self._frozen.go_on()
            self._frozen = None

    def disconnects(self):
        """{number of a chat: how often somebody said to have taken its disconnect}."""
        return Counter(int(match[1]) for one in self._all for line in one.taken()
                       if (match := re.fullmatch(r"websocket\.disconnect  /chat/(\d+) 1000", line)))

    def _comes(self):
        one = self._stack.enter_context(Rogue(self._gateway))
        self._here.append(one)
        self._all.append(one)

    def __enter__(self):
        for _ in range(self._number):
            self._comes()
        return self

    def __exit__(self, *error):
        self.all_go_on()
        return self._stack.__exit__(*error)
