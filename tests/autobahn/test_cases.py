"""tests/autobahn/test_cases.py -- the 517 cases of the Autobahn|Testsuite, by a fuzzer of our own."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from autobahn.cases import CASES
from autobahn.fuzzer import play
from autobahn.verdicts import NUMBERS, is_good
from support.gateway import Gateway

AT_ONCE = 4  # more than the cores there are: a fuzzer waits for its gateway, too


class Player:
    """What a process of the pool knows: the gateway it plays on."""

    gateway = None

    @classmethod
    def begin(cls, gateway):
        cls.gateway = gateway

    @classmethod
    def play(cls, number):
        return play(cls.gateway, number)


@pytest.fixture(scope="module", name="verdicts")
def fixture_verdicts(request):
    """{number: future} of the cases that were asked for, played side by side on one gateway."""
    chosen = [item.callspec.params["number"] for item in request.session.items
              if item.path == request.path and hasattr(item, "callspec")]
    with Gateway("--deflate", "--max-message", "16M", workers=2, demo=2) as gateway:
        pool = ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("fork"), Player.begin, (gateway,))
        try:
            yield {number: pool.submit(Player.play, number) for number in chosen}
        finally:
            pool.shutdown(cancel_futures=True)


def test_there_are_as_many_cases_as_in_the_suite():
    assert len(NUMBERS) == 517
    assert set(CASES) == set(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_case_gets_a_good_verdict(verdicts, number):
    verdict = verdicts[number].result()

    assert is_good(number, verdict.behavior, verdict.behavior_close), f"{number}: {verdict}"
