"""What a run tells of itself while it goes on, for somebody who draws it in a process of its own.

The twin tells what is new since it last did, and computes nothing of it: percentiles are the drawer's. It tells some
times a second, when nothing is due soon, and never more than so much at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.paced.notes import Notes
    from hil.worker.hello import Hello

ROWS_MAX = 400  # of each table in one moment, 100 kB together: what a pipe takes at once


@dataclass(frozen=True)
class Moment:
    """How a run stands; `chains` and `work` are rows of `hil.paced.notes` that no moment before it had."""

    now_s: float
    n_launched: int  # jobs
    n_jobs: int  # in flight, simulated or on hardware
    n_away: int  # messages on hardware, or waiting for room there
    n_held: int  # of them, those that wait
    n_unprepared: int  # messages that wait for their device
    queues: Mapping[str, int]  # messages that are ready in each, when the broker was last asked
    chains: Sequence[tuple[object, ...]]
    work: Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Onlooker:
    """Whom a run tells; both must return at once."""

    meet: Callable[[Sequence[Hello]], None]  # the workers, before the clock runs
    see: Callable[[Moment], None]


class News:
    """The rows of a run's notes that nobody was told yet."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._n_chains = self._n_work = 0

    def take(self) -> tuple[Sequence[tuple[object, ...]], Sequence[tuple[object, ...]]]:
        """Return new rows of chains and of work, so many at most; what is left comes next time."""
        chains = self._notes.chains[self._n_chains:self._n_chains + ROWS_MAX]
        work = self._notes.work[self._n_work:self._n_work + ROWS_MAX]
        self._n_chains += len(chains)
        self._n_work += len(work)
        return chains, work
