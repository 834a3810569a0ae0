"""tests/blackbox/conftest.py -- the gateways most tests share."""

import pytest

from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway():
    """Two workers and two demo consumers; at the end nothing of them may be left."""
    with Gateway(workers=2, demo=2) as running:
        yield running


@pytest.fixture
def client(gateway):
    """A connection to the shared gateway."""
    with gateway.connect() as connection:
        yield connection
