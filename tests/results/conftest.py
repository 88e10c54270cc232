import pytest

from sim.results.folder import Run
from tests.results.runs import QUIET, make


@pytest.fixture(scope='session')
def ward(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A ward of 120 devices for twenty seconds, with three rounds of learning and every stage traced."""
    return make(tmp_path_factory.mktemp('ward'), trace='stages')


@pytest.fixture(scope='session')
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three devices that end long before the run does, with every stage traced."""
    return make(tmp_path_factory.mktemp('quiet'), QUIET, (), trace='stages')
