"""SimPy's event loop with events at absolute times, ordered by (time, key) and never by when they were scheduled.

`simpy.Environment.schedule` takes a delay, and ``now + (t - now)`` is not always ``t``. Here an event states its
time; its key (`laws.event_key`: rank over tie) takes the place of SimPy's priority in the heap entry.
"""

from collections.abc import Callable
from heapq import heappush
from typing import Any

import simpy


class Occurrence(simpy.Event):
    """An event that is due at a time known when it is scheduled, and acts on one subject."""

    def __init__(self, env: simpy.Environment, act: Callable[['Occurrence'], None], subject: Any) -> None:
        self.env = env
        self.callbacks = [act]
        self._value = subject
        self._ok = True


class KeyedEnvironment(simpy.Environment):
    """A SimPy environment whose heap entries are (time, event key, sequence, event)."""

    def at(self, time: float, key: int, act: Callable[[Occurrence], None], subject: Any) -> None:
        """Let `act` be called with an event of value `subject` at `time`."""
        entry: Any = (time, key, next(self._eid), Occurrence(self, act, subject))
        heappush(self._queue, entry)
