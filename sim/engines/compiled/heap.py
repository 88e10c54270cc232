"""A 4-ary heap of events, ordered by (time, key, number): the fewer levels, the fewer cache misses."""

from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.layout import event_at


@compiled
def _is_before(event, time_s, key, number):
    """Return whether an event of the heap comes before another."""
    if event.time_s != time_s:
        return event.time_s < time_s
    if event.key != key:
        return event.key < key
    return event.number < number


@compiled
def _set(event, time_s, key, number, kind, a, b):
    event.time_s, event.key, event.number, event.kind, event.a, event.b = time_s, key, number, kind, a, b


@compiled
def _copy(event, other):
    _set(event, other.time_s, other.key, other.number, other.kind, other.a, other.b)


@compiled
def push(m: Any, time_s: float, key: int, kind: int, a: int, b: int) -> None:
    """Add an event; of two with equal time and key, the one added first comes first."""
    number = m.event_number
    m.event_number += 1
    i = m.n_events
    m.n_events += 1
    while i > 0:
        parent = (i - 1) >> 2
        if _is_before(event_at(m.events, parent), time_s, key, number):
            break
        _copy(event_at(m.events, i), event_at(m.events, parent))
        i = parent
    _set(event_at(m.events, i), time_s, key, number, kind, a, b)


@compiled
def drop_first(m: Any) -> None:
    """Remove the first event."""
    m.n_events -= 1
    n = m.n_events
    if n == 0:
        return
    last = event_at(m.events, n)
    i = 0
    while True:
        child = 4 * i + 1
        if child >= n:
            break
        best = event_at(m.events, child)
        best_row = child
        for other_row in range(child + 1, min(child + 4, n)):
            other = event_at(m.events, other_row)
            if _is_before(other, best.time_s, best.key, best.number):
                best, best_row = other, other_row
        if not _is_before(best, last.time_s, last.key, last.number):
            break
        _copy(event_at(m.events, i), best)
        i = best_row
    _copy(event_at(m.events, i), last)
