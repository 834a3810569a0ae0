"""tests/browser/devtools.py -- a headless Chromium, driven over the pipe of its DevTools protocol.

The pipe carries JSON objects, each ended by a zero byte: commands with an id, answers with that id,
events without one. Everything here is in one thread; waiting has a deadline.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from support.waiting import SLOWNESS, DeadlinePassed, wait_until

COMMAND_SECONDS = 30.0


class BrowserError(AssertionError):
    """The browser refused a command, or a script in a page failed."""


class Browser:
    """One Chromium with a profile of its own; at its end nothing of it is left."""

    def __init__(self, program="chromium"):
        self.folder = tempfile.mkdtemp(prefix="sluice-browser-")
        self._buffer = b""
        self._next = 0
        self.events = []
        self.process = None
        try:
            self._start(program)
        except BaseException:
            self.close()
            raise

    def _start(self, program):
        ours, theirs = os.pipe(), os.pipe()  # to the browser, from it

        def as_three_and_four():
            os.dup2(os.dup(ours[0]), 103)
            os.dup2(os.dup(theirs[1]), 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-extensions", "--mute-audio",
             "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
             "--disable-backgrounding-occluded-windows",
             f"--user-data-dir={self.folder}/profile", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            start_new_session=True, preexec_fn=as_three_and_four,
            env={**os.environ, "HOME": self.folder, "TMPDIR": self.folder})
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = ours[1], theirs[0]
        self.call("Browser.getVersion")

    def _receive(self, end):
        while b"\0" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise DeadlinePassed("the browser does not answer")
            piece = os.read(self._from, 1 << 16)
            if not piece:
                raise BrowserError("the browser ended")
            self._buffer += piece
        packet, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(packet)

    def call(self, method, session=None, **params):
        """Sends one command and gives its result."""
        self._next += 1
        command = {"id": self._next, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data):]
        end = time.monotonic() + COMMAND_SECONDS * SLOWNESS
        while True:
            told = self._receive(end)
            if told.get("id") != self._next:
                self.events.append(told)
            elif "error" in told:
                raise BrowserError(f"{method}: {told['error']}")
            else:
                return told["result"]

    def open(self, url):
        """A new window that shows the page; returns when it is loaded."""
        target = self.call("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=url)
        page.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")
        return page

    def close(self):
        """Ends every process of the browser and forgets its profile."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    """One window."""

    def __init__(self, browser, session):
        self._browser = browser
        self._session = session

    def call(self, method, **params):
        """A command about this page."""
        return self._browser.call(method, self._session, **params)

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise BrowserError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait_for(self, expression, seconds=15.0):
        """The first true value of an expression."""
        def look():
            try:
                return self.evaluate(expression)
            except BrowserError:
                return None  # between two documents there is nothing to ask
        return wait_until(look, expression, seconds)

    def click(self, selector):
        """Clicks in the middle of an element, as a mouse does."""
        x, y = self.evaluate(f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
                             ".getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def press_enter(self):
        """The Enter key."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self.call("Input.dispatchKeyEvent", type="keyDown", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)

    def complaints(self):
        """What the page's console called an error, exceptions and refused resources included."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"])
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
                found.append(params["args"])
        return found

    def picture(self, path):
        """Writes what the window shows as a PNG."""
        import base64  # pylint: disable=import-outside-toplevel
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
