"""SimPy's event loop with events at absolute times, ordered by (time, key) and never by when they were scheduled.

`simpy.Environment.schedule` takes a delay, and ``now + (t - now)`` is not always ``t``. Here an event states its
time; its key (`laws.event_key`: rank over tie) takes the place of SimPy's priority in the heap entry.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy


class Occurrence(simpy.Event):
    """An event that is due at a time known when it is scheduled, and acts on one subject."""

    _ok = True

    def __init__(self, env: simpy.Environment, act: Callable[['Occurrence'], None], subject: Any) -> None:
        self.env = env
        self.callbacks = [act]
        self._value = subject


class KeyedEnvironment(simpy.Environment):
    """A SimPy environment whose heap entries are (time, event key, sequence, event)."""

    def at(self, time: float, key: int, act: Callable[[Occurrence], None], subject: Any) -> None:
        """Let `act` be called with an event of value `subject` at `time`."""
        entry: Any = (time, key, next(self._eid), Occurrence(self, act, subject))
        heappush(self._queue, entry)

    def step(self) -> None:
        """Act on the next event; unlike SimPy's own, an occurrence cannot fail and is not asked how it went."""
        self._now, _, _, event = heappop(self._queue)
        for act in event.callbacks or ():
            act(event)
