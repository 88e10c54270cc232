import signal

import pytest
from hypothesis import settings

from tests.engines import ENGINES, Engine

# Examples are a function of the test alone, so that a failure anywhere is a failure everywhere.
settings.register_profile('reproducible', deadline=None, derandomize=True, print_blob=True)
settings.load_profile('reproducible')


# A shell starts what it puts in the background with Ctrl-C ignored, and so would everything that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys(), scope='session')
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.param
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which tests were skipped for want of RabbitMQ, and how to get it: their number alone says neither."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get('skipped', ())
               if isinstance(report.longrepr, tuple) and 'rabbitmq-server' in report.longrepr[2]]
    if reasons:
        terminalreporter.section('NOT TESTED: the broker', yellow=True, bold=True)
        terminalreporter.line(f'{len(reasons)} tests were skipped. {reasons[0]}')
