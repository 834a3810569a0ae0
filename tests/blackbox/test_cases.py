"""tests/blackbox/test_cases.py -- every document of tests/cases over a real socket: its bytes go to a real
gateway, and the client gets the answers that its events say, in order, and no other.
"""

import socket
import subprocess

import pytest

from rogue import Rogue
from support.gateway import BUILD, ROOT, Gateway

FOLDER = ROOT / "tests" / "cases" / "http"
RUNNER = BUILD / "tests" / "cases" / "case_runner"


def sections(path):
    """The lines of a document's sections by name; "top" is what stands before the bytes."""
    found, name = {}, "top"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line in ("bytes:", "events:", "message:", "answer:"):
            name = line[:-1]
        else:
            found.setdefault(name, []).append(line)
    return found


def expected_answers(document, method):
    """[(method, status)] of the answers to a first request of this method; 200 is the consumer's."""
    ours = [int(line.split()[1]) for line in document.get("answer", []) if line.startswith("HTTP/1.1 ")]
    events = [line.strip().split(" ") for line in document["events"]]
    refused = [int(words[1]) for words in events if words[0] == "refused"]
    ours = [status for status in ours if status not in refused]  # a form's: the connection goes on
    answers = []
    for words in events:
        if words[0] == "head":
            method = words[1]
        elif words[0] == "complete":
            answers.append((method, ours.pop(0) if ours else 200))
        elif words[0] == "refused":
            answers.append((method, int(words[1])))
    return answers


@pytest.fixture(scope="module")
def plain():
    """A gateway whose consumer answers everything."""
    with Gateway(demo=0) as gateway, Rogue(gateway):
        yield gateway


def test_every_document_is_answered_over_a_socket_as_it_says(plain, tmp_path):
    subprocess.run([RUNNER, "--write", tmp_path, FOLDER], check=True)
    wrong, tried = [], 0
    for path in sorted(FOLDER.glob("*.case")):
        document = sections(path)
        if any(line.startswith(("limits:", "switch:")) for line in document["top"]):
            continue  # not this gateway's limits
        if any("wants websocket" in line for line in document["events"]):
            continue  # a handshake, which has tests of its own
        tried += 1
        data = (tmp_path / path.stem).read_bytes()[2:]
        answers = expected_answers(document, "HEAD" if data.startswith(b"HEAD ") else "GET")
        with plain.connect() as client:
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            got = [client.read_response(method).status for method, _ in answers]
            rest = client.read_to_end().replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        if got != [status for _, status in answers] or rest:
            wrong.append(f"{path.name}: got {got} and {rest[:60]!r}, not {answers}")

    assert tried > 300 and not wrong, "\n".join(wrong)
