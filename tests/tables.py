"""A recording's columns as arrays, and what tests ask of them."""

import numpy as np
from numpy.typing import NDArray

from sim import laws
from sim.model import UNFINISHED
from sim.results.recording import Recording

Array = NDArray[np.float64]


def jobs(recording: Recording) -> dict[str, Array]:
    """Return the jobs in the order of their numbers, which is the order of their launches."""
    columns = {name: np.array(column) for name, column in recording.jobs.items()}
    order = np.argsort(columns['job'])
    return {name: column[order] for name, column in columns.items()}


def hops(recording: Recording) -> dict[str, Array]:
    """Return the traced hops in the order of their ends, with the stream, entity and k of their jobs."""
    columns = {name: np.array(column) for name, column in recording.hops.items()}
    launched = jobs(recording)
    return columns | {name: launched[name][columns['job']] for name in ('stream', 'entity', 'k')}


def finished(recording: Recording, stream: str, entity: int | None = None) -> list[float]:
    """Return the finish times of a stream's jobs, in the order of their launches."""
    table = jobs(recording)
    chosen = table['stream'] == recording.model.streams.index(stream)
    if entity is not None:
        chosen &= table['entity'] == entity
    times: list[float] = table['finished_s'][chosen].tolist()
    return times


def outcomes(recording: Recording, stream: str) -> list[int]:
    """Return the outcomes of a stream's jobs, in the order of their launches."""
    table = jobs(recording)
    found: list[int] = table['outcome'][table['stream'] == recording.model.streams.index(stream)].tolist()
    return found


def by_address(recording: Recording) -> dict[tuple[str, int, str, int], tuple[float, float, int]]:
    """Return (launched_s, finished_s, outcome) of each job by (class, index within it, stream, k).

    An unfinished job has no finish: inf here, so that it equals itself; NaN in the recording.
    """
    model, table = recording.model, jobs(recording)
    entity, stream = table['entity'], table['stream']
    finished_s = np.where(table['outcome'] == UNFINISHED, np.inf, table['finished_s'])
    addresses = zip(
        [model.classes.name[row] for row in model.entities.class_row[entity]],
        model.entities.index[entity].tolist(), [model.streams[row] for row in stream], table['k'].tolist(),
        strict=True)
    times = zip(table['launched_s'].tolist(), finished_s.tolist(), table['outcome'].tolist(), strict=True)
    return dict(zip(addresses, times, strict=True))


def hops_by_address(recording: Recording) -> dict[tuple[object, ...], tuple[float, float, float]]:
    """Return (arrived_s, started_s, finished_s) of each traced hop by (class, index, stream, k, hop, segment, attempt).

    A hop is named by its position in its route, so that models with other rows compare.
    """
    model, table = recording.model, hops(recording)
    routes = np.searchsorted(model.routes.hop_first, table['hop'], 'right') - 1
    position = table['hop'] - model.routes.hop_first[routes]
    entity = table['entity']
    addresses = zip(
        [model.classes.name[row] for row in model.entities.class_row[entity]],
        model.entities.index[entity].tolist(), [model.streams[row] for row in table['stream']], table['k'].tolist(),
        position.tolist(), table['segment'].tolist(), table['attempt'].tolist(), strict=True)
    times = zip(table['arrived_s'].tolist(), table['started_s'].tolist(), table['finished_s'].tolist(), strict=True)
    return dict(zip(addresses, times, strict=True))


def job_key(seed: int, class_name: str, index: int, stream: str, k: int) -> int:
    """Return the key of a job from its address alone."""
    entity = int(laws.entity_keys(laws.name_key(class_name), index + 1)[index])
    return laws.job_key(laws.name_key('run', seed), entity, laws.name_key('stream', stream), k)


def contents(recording: Recording, *, rows: bool = True) -> dict[str, object]:
    """Return everything that a recording holds as bytes and numbers, with or without the traced rows."""
    found: dict[str, object] = {}
    for name, value in vars(recording).items():
        if isinstance(value, np.ndarray):
            found[name] = value.tobytes()
        elif isinstance(value, (int, float)):
            found[name] = value
    if rows:
        for table in ('jobs', 'hops'):
            for name, column in getattr(recording, table).items():
                found[f'{table}.{name}'] = column.tobytes()
    return found
