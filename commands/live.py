"""Between a run on hardware, which must not be kept waiting, and the table that a terminal shows of it.

The table is drawn by a process of its own, that begins before the clock and lets all others go first. What it is told
while it does not keep up is left out, and the run never waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

from rich.console import Console
from rich.live import Live

from analysis.live import LiveTable
from hil.paced.apart import Apart, sent
from hil.paced.moments import Moment, Onlooker
from hil.paced.notes import CHAIN_COLUMNS, WORK_COLUMNS
from hil.worker.hello import Hello

DRAWN_EVERY_S = 0.5  # at most: some ms of a processor each time
NICE = 19  # the last to get a processor
RUN_PREFIX_PARTS = 2  # of a queue's name, `iomtwin.RUN.PLACE.N`; the rest says which it is


@dataclass(frozen=True)
class Shown:
    """What is told to a live table: what is waited for, and by whom the run is looked at."""

    waiting: Callable[[str], None]
    onlooker: Onlooker | None


@contextmanager
def live_table(name: str, duration_s: float) -> Iterator[Shown]:
    """Show a run on the terminal while it goes on, if errors go to one; it is gone from there at the end."""
    if not Console(stderr=True).is_terminal:
        yield Shown(lambda _: None, None)
        return
    with Apart(_draw, name, duration_s) as drawer:
        yield Shown(drawer.offer, Onlooker(drawer.offer, drawer.offer))


def _draw(pipe: Connection, name: str, duration_s: float) -> None:
    """Draw what the twin sends."""
    os.nice(NICE)
    table, drawn_s, last = LiveTable(name, duration_s), 0.0, None
    with Live(table, console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        for told in sent(pipe):
            _take(table, told)
            if told != last if isinstance(told, str) else time.monotonic() > drawn_s + DRAWN_EVERY_S:
                live.refresh()
                drawn_s, last = time.monotonic(), told


def _take(table: LiveTable, told: str | Sequence[Hello] | Moment) -> None:
    if isinstance(told, str):
        table.wait_for(told)
    elif isinstance(told, Moment):
        counts = {'jobs launched': told.n_launched, 'in flight': told.n_jobs, 'on hardware': told.n_away,
                  'held back': told.n_held, 'waiting for devices': told.n_unprepared}
        queues = {'.'.join(queue.split('.')[RUN_PREFIX_PARTS:]): n for queue, n in told.queues.items()}
        table.see(told.now_s, counts, queues, (dict(zip(CHAIN_COLUMNS, row, strict=True)) for row in told.chains),
                  (dict(zip(WORK_COLUMNS, row, strict=True)) for row in told.work))
    else:
        table.meet([asdict(hello) for hello in told])
