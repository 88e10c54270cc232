"""How much memory a simulation takes, said before it starts.

The tables of the compiled engine are counted as they will be allocated, the rows of traced jobs and hops by the number
that the sources are due to launch. Left out: jobs under way (a few hundred bytes each, few unless a station is
overloaded), and what the reference engine takes beyond this.
"""

import numpy as np

from sim.engines.compiled.layout import ENTITY, HOP, HOP_ROW, JOB_ROW, LINE, SERVER, STATION
from sim.engines.compiled.memory import ROWS_FIRST
from sim.errors import RunError
from sim.memory import available_bytes
from sim.model import LINK, Model
from sim.results.histogram import N_BINS
from sim.results.recording import Trace
from sim.sources import ARRIVAL, BLOCK_ARRIVALS, EMITTER, EMITTERS_AN_ARRIVAL, launches_a_stream, n_emitters_a_source

RECORDING_BYTES = 64  # an entity: eight sums
TABLES_RATIO = 5.0  # the tables of a run folder and the copies on the way there, by the rows: 4 to 5.4 measured


def check_memory(model: Model, trace: Trace) -> None:
    """Refuse a run that would not fit into the memory that is there.

    Raises
    ------
    RunError
        With how much it would take.
    """
    needed, available = table_bytes(model) + row_bytes(model, trace), available_bytes()
    if available is not None and needed > available:
        advice = 'run it with --trace none' if trace != 'none' else 'take fewer devices, or a machine with more memory'
        raise RunError(f'{model.name}: would take about {_gib(needed)} more memory, and {_gib(available)} are '
                       f'available; {advice}')


def table_bytes(model: Model) -> int:
    """Return the bytes of the tables that an execution has from its beginning to its end."""
    n_entities, n_emitters = model.entities.key.size, int(n_emitters_a_source(model).sum())
    n_servers = model.stations.server_speed.size + model.stations.n + n_entities
    a_row = STATION.itemsize + LINE.itemsize * model.n_priorities
    block = max(BLOCK_ARRIVALS, n_emitters // EMITTERS_AN_ARRIVAL)
    return int(
        (model.stations.n + n_entities) * a_row + n_servers * SERVER.itemsize
        + n_entities * (ENTITY.itemsize + RECORDING_BYTES) + model.hops.kind.size * HOP.itemsize
        + n_emitters * (EMITTER.itemsize + np.dtype(np.float64).itemsize) + 4 * block * ARRIVAL.itemsize
        + len(model.flows) * N_BINS * np.dtype(np.int64).itemsize + ROWS_FIRST * (JOB_ROW.itemsize + HOP_ROW.itemsize))


def row_bytes(model: Model, trace: Trace) -> int:
    """Return the bytes of traced rows and of the tables made of them, at most, for what sources and learning launch."""
    launches = launches_a_stream(model)
    a_launch = np.full(launches.size, 0.0 if trace == 'none' else float(JOB_ROW.itemsize))
    if trace == 'stages':
        a_launch += HOP_ROW.itemsize * _hops_a_launch(model)
    return int(TABLES_RATIO * (launches * a_launch).sum())


def _hops_a_launch(model: Model) -> np.ndarray:
    """Return how many hops a job of each stream has on its longest route, each segment counted."""
    hops, routes, found = model.hops, model.routes, np.zeros(len(model.streams))
    is_link = hops.kind == LINK
    n = np.where(is_link, -(-hops.n_bytes // np.maximum(hops.segment_bytes, 1)), 1)
    ends = np.concatenate([[0], np.cumsum(np.maximum(n, 1))])
    np.maximum.at(found, routes.stream, (ends[routes.hop_first + routes.n_hops] - ends[routes.hop_first]).astype(float))
    return found


def _gib(n_bytes: int) -> str:
    return f'{n_bytes / 2**30:.1f} GiB'
