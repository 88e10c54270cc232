"""The events to come: a 4-ary heap, ordered by (time, key, number), with the first event apart.

The fewer levels, the fewer cache misses. An event that comes before all others, such as the arrival at the next hop of
what was just served, is not put through the heap at all: row 0 of the table holds it, the heap begins at row 1.
"""

from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.layout import EVENT, event_at

EVENT_BYTES = EVENT.itemsize


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
def first_event(m: Any) -> int:
    """Return the row of the first event, if there is one."""
    return 0 if m.is_apart else 1


@compiled
def push(m: Any, time_s: float, key: int, kind: int, a: int, b: int) -> None:
    """Add an event; of two with equal time and key, the one added first comes first."""
    number = m.event_number
    m.event_number += 1
    m.n_events += 1
    apart = event_at(m.events, 0)
    if m.n_events > 1 and _is_before(event_at(m.events, first_event(m)), time_s, key, number):
        _insert(m, m.n_events - 1 - m.is_apart, time_s, key, number, kind, a, b)
        return
    if m.is_apart:
        _insert(m, m.n_events - 2, apart.time_s, apart.key, apart.number, apart.kind, apart.a, apart.b)
    m.is_apart = 1
    _set(apart, time_s, key, number, kind, a, b)


@compiled
def _insert(m, i, time_s, key, number, kind, a, b):
    """Put an event into the heap, which has i others."""
    heap = m.events + EVENT_BYTES
    while i > 0:
        parent = (i - 1) >> 2
        if _is_before(event_at(heap, parent), time_s, key, number):
            break
        _copy(event_at(heap, i), event_at(heap, parent))
        i = parent
    _set(event_at(heap, i), time_s, key, number, kind, a, b)


@compiled
def drop_first(m: Any) -> None:
    """Remove the first event."""
    m.n_events -= 1
    n = m.n_events
    if m.is_apart:
        m.is_apart = 0
        return
    if n == 0:
        return
    heap = m.events + EVENT_BYTES
    last = event_at(heap, n)
    i = 0
    while True:
        child = 4 * i + 1
        if child >= n:
            break
        best = event_at(heap, child)
        best_row = child
        for other_row in range(child + 1, min(child + 4, n)):
            other = event_at(heap, other_row)
            if _is_before(other, best.time_s, best.key, best.number):
                best, best_row = other, other_row
        if not _is_before(best, last.time_s, last.key, last.number):
            break
        _copy(event_at(heap, i), best)
        i = best_row
    _copy(event_at(heap, i), last)
