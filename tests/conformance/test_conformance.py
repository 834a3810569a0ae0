"""tests/conformance/test_conformance.py -- every case of every document, through every language's driver."""

from pathlib import Path

import pytest

from conformance.clients import Clients
from conformance.driver_process import Driver
from conformance.steps import Running, cases_in, run
from support.gateway import BUILD, Gateway

HERE = Path(__file__).parent
DRIVERS = {"c++": BUILD / "tests/conformance/conformance_driver"}
CASES = [case for document in sorted(HERE.glob("*.md")) if document.name != "README.md"
         for case in cases_in(document)]


@pytest.fixture(name="gateway", scope="module")
def running_gateway():
    """One for all cases; at the end nothing of it may be left."""
    options = ["--channel", "given.three capacity=3", "--channel", "given.* expiry=0.2",
               "--channel", "given.three capacity=9"]
    with Gateway(*options, workers=2, demo=0) as gateway:
        yield gateway


@pytest.mark.parametrize("language", DRIVERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_case(gateway, language, case):
    running = Running(lambda: Driver(DRIVERS[language], gateway.control), Clients(gateway))
    try:
        run(case, running)
    finally:
        running.close()


def test_every_case_is_a_sentence_of_its_own_and_says_why():
    sentences = [case.sentence for case in CASES]

    assert sentences and len(set(sentences)) == len(sentences)
    assert [case.sentence for case in CASES if not case.why] == []
