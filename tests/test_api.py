"""The Python API gives the tables of a run folder without one."""

from pathlib import Path

import pytest

import sim
from sim.errors import InputError
from sim.results.folder import read_run
from tests.results.runs import QUIET

KEYS = ('keys={rotation: {every: 5 s}, overlap: 1 s}', 'devices.monitor.trust=pre-shared',
        'devices.pump.trust=pre-shared')


@pytest.fixture(scope='module')
def results() -> sim.Results:
    """A quiet ward whose keys rotate."""
    return sim.run(sim.load(QUIET, KEYS), trace='stages')


def test_every_table_of_a_folder_can_be_asked_for(results: sim.Results, tmp_path: Path) -> None:
    """Each table of the run as the API gives it, and as it is read back from the folder that it writes: equal."""
    run = read_run(results.write(tmp_path / 'seed-1'))
    for name in ('jobs', 'stages', 'rounds', 'keys', 'devices', 'stations'):
        assert results.table(name).height > 0
        assert results.table(name).equals(run.table(name))


def test_tables_are_made_once(results: sim.Results) -> None:
    """Asked for twice, a table is the same object."""
    assert results.table('jobs') is results.table('jobs')


def test_a_table_that_no_run_has_is_told(results: sim.Results) -> None:
    """A misspelt name is an error that says which was meant; a table that this run has no rows of is empty."""
    with pytest.raises(InputError, match="'job' is no table of a run; did you mean 'jobs'"):
        results.table('job')
    assert sim.run(sim.load(QUIET), trace='none').table('jobs').is_empty()


def test_engines_and_progress_can_be_chosen() -> None:
    """Both engines give the same tables, and the compiled one tells how far it is, up to all that was launched."""
    heard: list[tuple[float, int]] = []
    slow = sim.run(sim.load(QUIET), engine='simpy', seed=3)
    fast = sim.run(sim.load(QUIET), engine='compiled', seed=3, progress=lambda now_s, n: heard.append((now_s, n)))
    assert (slow.execution.engine, fast.execution.engine) == ('simpy', 'compiled')
    assert slow.summary.equals(fast.summary)
    assert slow.table('jobs').equals(fast.table('jobs'))
    assert heard == sorted(heard)
    assert 0 < heard[-1][1] <= fast.table('jobs').height
