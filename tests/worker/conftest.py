"""One private broker for all tests of workers in a process; each test has a run of its own on it."""

from collections.abc import Iterator

import pytest

from hil.broker.private import PrivateBroker


@pytest.fixture(scope='session')
def broker() -> Iterator[PrivateBroker]:
    """A real RabbitMQ, which ends with the tests."""
    with PrivateBroker() as started:
        yield started
