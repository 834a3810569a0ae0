"""tests/autobahn/test_cases.py -- the 517 cases of the Autobahn|Testsuite, by a fuzzer of our own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from autobahn.cases import CASES
from autobahn.fuzzer import play
from autobahn.verdicts import NUMBERS, is_good
from support.gateway import Gateway

AT_ONCE = 4  # more than the cores there are: a fuzzer waits for its gateway most of the time


@pytest.fixture(scope="module", name="verdicts")
def fixture_verdicts(request):
    """{number: future} of the cases that were asked for, played side by side on one gateway."""
    chosen = [item.callspec.params["number"] for item in request.session.items
              if item.path == request.path and hasattr(item, "callspec")]
    with Gateway("--deflate", "--max-message", "16M", workers=2, demo=2) as gateway:
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            yield {number: pool.submit(play, gateway, number) for number in chosen}
        finally:
            pool.shutdown(cancel_futures=True)


def test_there_are_as_many_cases_as_in_the_suite():
    assert len(NUMBERS) == 517
    assert set(CASES) == set(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_case_gets_a_good_verdict(verdicts, number):
    verdict = verdicts[number].result()

    assert is_good(number, verdict.behavior, verdict.behavior_close), f"{number}: {verdict}"
