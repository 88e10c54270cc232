"""What an engine leaves behind: counts, histograms, integrals and, when traced, a row for each job and hop.

Every engine fills a `Recording`; `sim.results.tables` turns it into the tables of a run folder. Statistics are of jobs
launched in [warm_up, duration); integrals cover [warm_up, duration].
"""

from array import array
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim.model import OUTCOMES, Model
from sim.results.histogram import N_BINS

Trace = Literal['none', 'jobs', 'stages']
KeyEvent = Literal['rekey', 'revocation', 'enrolment', 'expiry', 'group']
KeyCause = Literal['time', 'usage', 'rounds', 'revoked', 'enrolled']
RoundEnd = Literal['unfinished', 'complete', 'not published', 'no update', 'not aggregated']

JOB_COLUMNS = {'job': 'q', 'stream': 'q', 'entity': 'q', 'k': 'q', 'route': 'q', 'launched_s': 'd', 'finished_s': 'd',
               'crypto_s': 'd', 'mark_s': 'd', 'outcome': 'q', 'attempt': 'q'}
HOP_COLUMNS = {'job': 'q', 'hop': 'q', 'segment': 'q', 'attempt': 'q', 'station': 'q', 'arrived_s': 'd',
               'started_s': 'd', 'finished_s': 'd', 'service_s': 'd'}


def columns(types: dict[str, str]) -> dict[str, 'array[float]']:
    """Return empty growing columns."""
    return {name: array(code) for name, code in types.items()}


@dataclass
class RoundRow:
    """One round of federated learning; times in s since the start of the run, NaN where it never came to it."""

    round: int
    started_s: float
    n_selected: int
    jobs: NDArray[np.int64]
    n_delivered: int = 0  # updates in time
    quorum_met: bool = False
    closed_s: float = float('nan')  # quorum reached, or deadline
    aggregated_s: float = float('nan')
    distributed_s: float = float('nan')  # the last of all selected clients has opened the model
    n_distributed: int = 0
    ended: RoundEnd = 'unfinished'  # unless it came to an end before the run did

    def add_marks(self, marks: dict[int, float]) -> None:
        """Read from the jobs' marks when the clients opened the model, stragglers too."""
        opened = [marks[job] for job in self.jobs.tolist() if job in marks] if marks else []
        self.n_distributed = len(opened)
        self.distributed_s = max(opened) if len(opened) == self.n_selected > 0 else float('nan')


@dataclass
class KeyRow:
    """Something that happened to a device's key; times in s since the start of the run."""

    event: KeyEvent
    cause: KeyCause
    entity: int  # -1: all members of the group
    epoch: int  # of the key that it had, or that the group had; counted from 0
    due_s: float
    attempts: int = 1
    ended_s: float = float('nan')  # the new key is in use; every place knows; the key is refused


@dataclass
class Recording:
    """The results of one execution of a Model."""

    model: Model
    trace: Trace
    outcomes: NDArray[np.int64] = field(init=False)  # (n_flows, 6)
    deadlines: NDArray[np.int64] = field(init=False)  # (n_flows, n_classes) jobs that had one
    deadline_misses: NDArray[np.int64] = field(init=False)  # (n_flows, n_classes) of these, not delivered in time
    latency: NDArray[np.int64] = field(init=False)  # (n_flows, N_BINS)
    latency_sum_s: NDArray[np.float64] = field(init=False)
    crypto_sum_s: NDArray[np.float64] = field(init=False)
    stage_s: NDArray[np.float64] = field(init=False)  # (n_flows, n_stages) of service that ended in the measured time
    wire_bytes: NDArray[np.int64] = field(init=False)
    crypto_bytes: NDArray[np.int64] = field(init=False)
    busy_s: NDArray[np.float64] = field(init=False)  # (n_entities, 2): all, and by cryptography
    transmit_s: NDArray[np.float64] = field(init=False)
    receive_s: NDArray[np.float64] = field(init=False)
    transmit_bytes: NDArray[np.float64] = field(init=False)  # (n_entities,) with all attempts
    receive_bytes: NDArray[np.float64] = field(init=False)
    station_busy_s: NDArray[np.float64] = field(init=False)  # (n_stations,) summed over servers
    station_waiting_s: NDArray[np.float64] = field(init=False)  # integral of the number waiting
    station_waiting_max: NDArray[np.int64] = field(init=False)
    station_waiting_end: NDArray[np.int64] = field(init=False)  # at the end of the duration, before the drain
    station_served: NDArray[np.int64] = field(init=False)
    queue_waiting_s: NDArray[np.float64] = field(init=False)
    queue_waiting_max: NDArray[np.int64] = field(init=False)
    queue_waiting_end: NDArray[np.int64] = field(init=False)
    queue_delivered: NDArray[np.int64] = field(init=False)
    queue_dropped: NDArray[np.int64] = field(init=False)
    queue_redelivered: NDArray[np.int64] = field(init=False)
    rounds: list[RoundRow] = field(default_factory=list)
    keys: list[KeyRow] = field(default_factory=list)
    marks: dict[int, float] = field(default_factory=dict)  # job -> s, of jobs that a controller launched
    jobs: dict[str, 'array[float]'] = field(default_factory=lambda: columns(JOB_COLUMNS))
    hops: dict[str, 'array[float]'] = field(default_factory=lambda: columns(HOP_COLUMNS))
    n_launched: int = 0
    n_hops: int = 0  # services, crossings and waits, each segment counted
    n_events: int = 0
    end_s: float = 0.0

    def __post_init__(self) -> None:
        """Make the empty arrays."""
        n_flows, n_classes = len(self.model.flows), len(self.model.classes.name)
        n_entities = self.model.entities.key.size
        n_stations, n_queues = self.model.stations.n, len(self.model.queues.name)
        self.outcomes = np.zeros((n_flows, len(OUTCOMES)), np.int64)
        self.latency = np.zeros((n_flows, N_BINS), np.int64)
        self.stage_s = np.zeros((n_flows, len(self.model.stages)))
        for name in ('deadlines', 'deadline_misses'):
            setattr(self, name, np.zeros((n_flows, n_classes), np.int64))
        for name in ('wire_bytes', 'crypto_bytes'):
            setattr(self, name, np.zeros(n_flows, np.int64))
        for name in ('latency_sum_s', 'crypto_sum_s'):
            setattr(self, name, np.zeros(n_flows))
        for name in ('busy_s', 'transmit_s', 'receive_s'):
            setattr(self, name, np.zeros((n_entities, 2)))
        for name in ('transmit_bytes', 'receive_bytes'):
            setattr(self, name, np.zeros(n_entities))
        for name in ('station_busy_s', 'station_waiting_s'):
            setattr(self, name, np.zeros(n_stations))
        for name in ('station_waiting_max', 'station_waiting_end', 'station_served'):
            setattr(self, name, np.zeros(n_stations, np.int64))
        self.queue_waiting_s = np.zeros(n_queues)
        for name in ('queue_waiting_max', 'queue_waiting_end', 'queue_delivered', 'queue_dropped', 'queue_redelivered'):
            setattr(self, name, np.zeros(n_queues, np.int64))

    def differences(self, other: 'Recording') -> list[str]:
        """Return the names of what is not equal bit for bit in another recording of the model.

        Rounds and keys are left out: controllers fill them from what is compared.
        """
        names = [f.name for f in fields(self) if f.name not in ('model', 'rounds', 'keys')]
        return [name for name in names if not _is_same(getattr(self, name), getattr(other, name))]


def _is_same(value: Any, other: Any) -> bool:
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_is_same(value[name], other[name]) for name in value)
    if isinstance(value, np.ndarray | array):
        return np.array(value).tobytes() == np.array(other).tobytes()  # NaN is equal to itself
    return bool(value == other)
