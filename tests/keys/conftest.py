import pytest

from sim.suites import SUITES
from sim.wire import Trust

TRUSTS: list[Trust] = ['signed', 'pre-shared-kem', 'pre-shared']


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Each suite in turn, by its name."""
    if request.param == 'interpreted':
        pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    name: str = request.param
    return name


@pytest.fixture(params=TRUSTS)
def trust(request: pytest.FixtureRequest) -> Trust:
    """Each way in which a device and the authority know each other."""
    found: Trust = request.param
    return found
