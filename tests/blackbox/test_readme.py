"""tests/blackbox/test_readme.py -- what the README tells a new user to type does what it says.

A block marked `sh` is typed into a shell of its own. A block marked `text` right after it is all that
the command prints. The gateway's default address is exchanged for a free one, by its own variables.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.gateway import BUILD, ROOT, Output, own_environment
from support.waiting import SLOWNESS, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEFAULT = "127.0.0.1:8000"


def steps():
    """[(command, what it prints or None)] in the README's order."""
    blocks = BLOCK.findall(README)
    return [(body.strip(), blocks[i + 1][1] if i + 1 < len(blocks) and blocks[i + 1][0] == "text" else None)
            for i, (kind, body) in enumerate(blocks) if kind == "sh"]


class Shells:
    """A user's shells: each command in the tree's root, in a session of its own."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-readme-"))
        self.environment = {**own_environment(), "SLUICE_BUILD": str(BUILD), "SLUICE_LISTEN": self.address,
                            "XDG_RUNTIME_DIR": str(self.folder)}
        self.open = []

    def type(self, command):
        """Starts a command."""
        # pylint: disable=consider-using-with
        command = command.replace(DEFAULT, self.address).replace("/tmp/sluice", str(self.folder))
        if BUILD != ROOT / "build":
            command = re.sub(r"\bbuild/", f"{BUILD}/", command)
        process = subprocess.Popen(["bash", "-c", command], cwd=ROOT, env=self.environment, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        self.open.append(process)
        return process, Output(process.stdout)

    def interrupt(self, process):
        """Ctrl-C, which every process of the command gets; waits for its end."""
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20 * SLOWNESS)

    def close(self):
        """Ends what is left."""
        for process in self.open:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture
def shells():
    """Shells that are closed at the end."""
    opened = Shells()
    yield opened
    opened.close()


def test_every_command_of_the_readme_does_what_it_says(shells):
    gateway = consumer = None
    answered = 0
    for command, printed in steps():
        if command.startswith("tools/run"):
            if gateway:
                shells.interrupt(gateway)
            gateway, output = shells.type(command)
            output.wait_for(r"^ready", 60)
        elif printed is None:
            consumer, said = shells.type(command)
            wait_until(lambda: consumer.poll() is None and said is not None, f"{command} runs")
        else:
            process, output = shells.type(command)
            assert process.wait(30 * SLOWNESS) == 0, output.text()
            output.wait_end()
            assert output.text().strip() == printed.strip()
            answered += 1

    assert answered == 2 and consumer is not None
    shells.interrupt(consumer)
    shells.interrupt(gateway)
    assert gateway.returncode == 0
    assert not list(shells.folder.rglob("control"))


def test_the_consumer_in_the_readme_is_the_one_that_is_built():
    example = (ROOT / "consumer" / "examples" / "hello.cc").read_text(encoding="utf-8")

    shown = [body for kind, body in BLOCK.findall(README) if kind == "cpp"]

    assert len(shown) == 1
    assert example.endswith(shown[0]), "the README shows another program than consumer/examples/hello.cc"


def test_every_file_the_readme_names_exists():
    names = set(re.findall(r"\]\((?!http)([^)#]+)\)", README)) | set(re.findall(r"\b(?:worker|shm|consumer|protocol)/\w+\.cc", README))

    assert names and not [name for name in names if not (ROOT / name).exists()]


def test_every_option_and_tool_the_readme_names_exists():
    tools = set(re.findall(r"\btools/\w+", README))

    assert {"tools/run", "tools/test", "tools/dev"} <= tools
    assert not [name for name in tools if not (ROOT / name).is_file()]
    run = subprocess.run([str(ROOT / "tools/dev"), "nonsense"], capture_output=True, text=True, check=False)
    for word in re.search(r"tools/dev ([\w|]+)", README)[1].split("|"):
        assert re.search(rf"^  {word} ", run.stderr, re.MULTILINE), f"tools/dev does not know {word}"
