"""The memory that a run takes is known before it starts, and a run that would not fit is refused."""

import gc
import weakref
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from sim import footprint
from sim.controllers import federated_learning
from sim.engines.compiled import Engine
from sim.errors import RunError
from sim.loading import load
from sim.lowering import lower
from sim.results.recording import Recording, Trace
from sim.running import execute
from sim.sources import Arrivals
from tests.scenario.reduced import few_wards

WITHIN = 1.5  # the factor between what is said and what is allocated


def array_bytes(thing: object) -> int:
    """Return the bytes of all arrays of an object, the model's own left out."""
    values = [getattr(thing, f.name) for f in fields(thing) if f.name != 'model'] if is_dataclass(thing) else (
        list(vars(thing).values()))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


@pytest.mark.parametrize(('name', 'overrides'), [
    ('teaching-hospital', ()),
    ('campus-100k', few_wards('campus-100k', 100)),
    ('campus-100k', (*few_wards('campus-100k', 60), 'wards_per_floor=60')),
])
def test_estimate_is_near_what_is_allocated(name: str, overrides: tuple[str, ...]) -> None:
    """Tables, arrivals and recording of an execution, summed, are within a factor 1.5 of the model's estimate."""
    model = lower(*load(name, (*overrides, 'duration=10 s', 'warm_up=1 s', 'learning=null')))
    engine = Engine(model, trace='none')
    recording = engine.run()
    allocated = sum(table.nbytes for table in engine.memory.tables()) + array_bytes(
        Arrivals(model, engine.run_key)) + array_bytes(recording)
    assert allocated / WITHIN < footprint.table_bytes(model) < allocated * WITHIN


@pytest.mark.parametrize('trace', ['jobs', 'stages'])
def test_traced_rows_are_counted(trace: Trace) -> None:
    """The rows that the ward leaves, by their number, are within a factor 1.5 of those that the estimate counts."""
    model = lower(*load('ward', ['learning=null']))
    recording: Recording = Engine(model, trace=trace).run()
    n_bytes = sum(column.itemsize * len(column) for column in (*recording.jobs.values(), *recording.hops.values()))
    counted = footprint.row_bytes(model, trace) / footprint.TABLES_RATIO
    assert n_bytes / WITHIN < counted < n_bytes * WITHIN
    assert footprint.row_bytes(model, 'none') == 0


def test_a_run_that_would_not_fit_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1 MiB available: the message says how much the run takes and how much there is, and what to do."""
    monkeypatch.setattr(footprint, 'available_bytes', lambda: 1 << 20)
    with pytest.raises(RunError, match=r'^ward: would take about \d+\.\d GiB more memory, and 0\.0 GiB are available; '
                                       r'run it with --trace none$'):
        execute(*load('ward'))


def test_tables_go_with_their_execution() -> None:
    """Without the garbage collector, an execution's tables are freed with its last name: replications do not add up."""
    scenario, origin = load('ward', ('duration=100 s', 'warm_up=1 s', 'learning.start=2 s', 'learning.rounds=1'))
    model = lower(scenario, origin)
    assert model.learning is not None
    gc.collect()
    gc.disable()
    try:
        engine = Engine(model, trace='none')
        memory = weakref.ref(engine.memory)
        recording = engine.run((federated_learning(model.learning, []),))
        del engine
        assert recording.n_launched > 0
        assert memory() is None
    finally:
        gc.enable()
