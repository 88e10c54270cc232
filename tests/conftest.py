import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from hil.broker.errors import BrokerError
from hil.broker.installation import find_port_mapper, find_server
from hil.broker.private import PrivateBroker
from tests.engines import ENGINES, Engine

# Examples are a function of the test alone, so that a failure anywhere is a failure everywhere.
settings.register_profile('reproducible', deadline=None, derandomize=True, print_blob=True)
settings.load_profile('reproducible')


ROOT = Path(__file__).resolve().parent
LONGEST = ('test_readme.py', 'trials/test_command.py')

# A shell starts what it puts in the background with Ctrl-C ignored, and so would everything that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys(), scope='session')
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.param
    return found


@pytest.fixture(scope='session')
def rabbitmq() -> None:
    """RabbitMQ, installed; where it is not, tests that need it say how to get it."""
    try:
        find_server()
        find_port_mapper()
    except BrokerError as why:
        pytest.skip(str(why))


@pytest.fixture(scope='session')
def broker(rabbitmq: None) -> Iterator[PrivateBroker]:  # noqa: ARG001 - a fixture takes no mark
    """One broker for all tests of a process; each takes a run of its own on it."""
    with PrivateBroker() as started:
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, or all other processes wait for it in the end: the README, and a validation."""
    items.sort(key=lambda item: str(item.path.relative_to(ROOT)) not in LONGEST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which tests were skipped for want of RabbitMQ, and how to get it: their number alone says neither."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get('skipped', ())
               if isinstance(report.longrepr, tuple) and 'rabbitmq-server' in report.longrepr[2]]
    if reasons:
        terminalreporter.section('NOT TESTED: the broker', yellow=True, bold=True)
        terminalreporter.line(f'{len(reasons)} tests were skipped. {reasons[0]}')
