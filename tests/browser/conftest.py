"""tests/browser/conftest.py -- one browser for all tests, and a gateway: ours, or the one at --url."""

import pytest

from devtools import Browser
from support.gateway import Gateway


def pytest_addoption(parser):
    """--url: a running gateway, for the tests that kill nothing."""
    parser.addoption("--url", default=None, help="a running gateway, e.g. http://127.0.0.1:8000")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    with Browser() as running:
        yield running


@pytest.fixture
def gateway():
    """Two workers and two demo consumers of our own. The browser keeps connections open: cut soon."""
    with Gateway("--drain-timeout", "2", workers=2, demo=2) as running:
        yield running


@pytest.fixture
def url(request):
    """Where the chat page is looked for."""
    given = request.config.getoption("--url")
    if given:
        return given.rstrip("/")
    running = request.getfixturevalue("gateway")
    return f"http://{running.host}:{running.port}"
