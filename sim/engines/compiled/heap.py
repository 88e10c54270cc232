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
    hole, child = 0, 1
    while child < n:  # down to the last level, the first child up each time
        best = _first_of_four(heap, child) if child + 4 <= n else _first_of(heap, child, n)
        _copy(event_at(heap, hole), event_at(heap, best))
        hole, child = best, 4 * best + 1
    last = event_at(heap, n)
    _insert(m, hole, last.time_s, last.key, last.number, last.kind, last.a, last.b)


@compiled
def _first_of_four(heap, row):
    """Return the first of four events in a row, without a branch that a processor would have to guess."""
    a, b, c, d = (event_at(heap, row).time_s, event_at(heap, row + 1).time_s, event_at(heap, row + 2).time_s,
                  event_at(heap, row + 3).time_s)
    left, right = min(a, b), min(c, d)
    if a == b or c == d or left == right:
        return _first_of(heap, row, row + 4)
    in_left, in_right = row + int(b < a), row + 2 + int(d < c)
    return in_left + (in_right - in_left) * int(right < left)


@compiled
def _first_of(heap, row, end):
    """Return the first event of some in a row."""
    best = row
    for other_row in range(row + 1, end):
        other = event_at(heap, other_row)
        if _is_before(other, event_at(heap, best).time_s, event_at(heap, best).key, event_at(heap, best).number):
            best = other_row
    return best
