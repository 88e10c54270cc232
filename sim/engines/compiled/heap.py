"""The events to come: a 4-ary heap, ordered by (time, key, number), with the first event apart, and convoys.

A heap is as fast as its levels are in the caches, and as it is small. So an entry is a time and the row of what the
event is about, and the four children of an entry are one line of the cache; keys are looked up where times are equal.

An event that comes before all others, such as the arrival at the next hop of what was just served, is not put through
the heap at all: row 0 of its table holds it, the heap begins at row `ROOT`.

Most events follow others of their sort at a constant distance from the present: what crosses a link arrives its
latency later, and equal messages take equally long. Such events come in their order by themselves. They are a convoy:
a list of which only the first event is in the heap, until the next takes its place. Nothing depends on a law being
constant: an event that does not come behind the last of its convoy is an event by itself.

What rises to the top is what happens next: on its way, the memory that it will need is asked for (`ahead`).
"""

from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.ahead import fetch_planned
from sim.engines.compiled.layout import NONE, convoy_at, entry_at, event_at, fetch_event, free_event_at

ROOT = 3  # so that four children begin at a multiple of four, where a line of the cache does
THREE_LEVELS = 4 + 16 + 64  # below the root; what fewer events touch is in the caches anyway


@compiled
def _in_heap(m, i):
    """Return an entry of the heap itself; 0 is its root."""
    return entry_at(m, ROOT + i)


@compiled
def _is_before(m, time_s, row, other_time_s, other_row):
    """Return whether one entry's event comes before that of another."""
    if time_s != other_time_s:
        return time_s < other_time_s
    event, other = event_at(m, row), event_at(m, other_row)
    if event.key != other.key:
        return event.key < other.key
    return event.number < other.number


@compiled
def first_time_s(m: Any) -> float:
    """Return the time of the first event, if there is one."""
    return entry_at(m, 0 if m.is_apart else ROOT).time_s


@compiled
def first_event(m: Any) -> int:
    """Return the row of the first event, if there is one."""
    return entry_at(m, 0 if m.is_apart else ROOT).event


@compiled
def has_event(m: Any) -> bool:
    """Return whether there is an event."""
    return bool(m.is_apart or m.n_in_heap)


@compiled
def push(m: Any, time_s: float, key: int, kind: int, a: int, b: int) -> None:
    """Add an event; of two with equal time and key, the one added first comes first."""
    _put(m, time_s, _new_event(m, time_s, key, kind, a, b))


@compiled
def push_behind(m: Any, convoy_row: int, time_s: float, key: int, kind: int, a: int, b: int) -> int:
    """Add an event to a convoy if it comes behind the last of that, else by itself; return its row.

    Without a convoy, `convoy_row` NONE, it is by itself.
    """
    row = _new_event(m, time_s, key, kind, a, b)
    if convoy_row != NONE:
        convoy = convoy_at(m, convoy_row)
        last = convoy.last
        if last == NONE or _is_before(m, event_at(m, last).time_s, last, time_s, row):
            convoy.last = row
            event_at(m, row).convoy = convoy_row
            if last != NONE:
                event_at(m, last).next = row
                return row
    _put(m, time_s, row)
    return row


@compiled
def _new_event(m, time_s, key, kind, a, b):
    """Take a free row for an event, and return it."""
    m.n_free_events -= 1
    row = free_event_at(m, m.n_free_events).value
    event = event_at(m, row)
    event.key, event.number, event.kind, event.a, event.b = key, m.event_number, kind, a, b
    event.time_s, event.convoy, event.next = time_s, NONE, NONE
    event.job, event.hop, event.entity, event.station = NONE, NONE, NONE, NONE
    m.event_number += 1
    return row


@compiled
def _put(m, time_s, row):
    """Put an event where the first is, or into the heap."""
    if has_event(m) and not _is_before(m, time_s, row, first_time_s(m), first_event(m)):
        _add(m, time_s, row)
        return
    apart = entry_at(m, 0)
    if m.is_apart:
        _add(m, apart.time_s, apart.event)
    m.is_apart = 1
    _set(apart, time_s, row)


@compiled
def _add(m, time_s, row):
    m.n_in_heap += 1
    _insert(m, m.n_in_heap - 1, time_s, row)


@compiled
def _insert(m, i, time_s, row):
    """Put an entry into the heap: its place is at i, or further up."""
    while i > 0:
        parent = _in_heap(m, (i - 1) >> 2)
        if _is_before(m, parent.time_s, parent.event, time_s, row):
            break
        _set(_in_heap(m, i), parent.time_s, parent.event)
        i = (i - 1) >> 2
    _set(_in_heap(m, i), time_s, row)


@compiled
def _set(entry, time_s, row):
    entry.time_s, entry.event = time_s, row


@compiled
def drop_first(m: Any) -> None:
    """Remove the first event; the next of its convoy takes its place in the heap."""
    row = first_event(m)
    event = event_at(m, row)
    free_event_at(m, m.n_free_events).value = row
    m.n_free_events += 1
    following = event.next
    if following != NONE:
        _fetch_behind(m, following)
    elif event.convoy != NONE:
        convoy_at(m, event.convoy).last = NONE
    if m.is_apart:
        m.is_apart = 0
        if following != NONE:
            _put(m, event_at(m, following).time_s, following)
    elif following != NONE:
        _sink(m, event_at(m, following).time_s, following)
    else:
        _drop_root(m)


@compiled
def _fetch_behind(m, row):
    """Ask for what the event behind one in its convoy will act on, and for the event behind that."""
    second = event_at(m, row).next
    if second != NONE:
        fetch_planned(m, second)
        third = event_at(m, second).next
        if third != NONE:
            fetch_event(m, third)


@compiled
def _sink(m, time_s, row):
    """Put an entry in the place of the heap's first, or further down."""
    n, hole = m.n_in_heap, 0
    while 4 * hole + 1 < n:
        first = 4 * hole + 1
        best = _first_of_four(m, first) if first + 4 <= n else _first_of(m, first, n)
        child = _in_heap(m, best)
        if _is_before(m, time_s, row, child.time_s, child.event):
            break
        _set(_in_heap(m, hole), child.time_s, child.event)
        hole = best
    _set(_in_heap(m, hole), time_s, row)


@compiled
def _drop_root(m):
    """Remove the heap's first entry."""
    m.n_in_heap -= 1
    n = m.n_in_heap
    last = _in_heap(m, n)
    time_s, row = last.time_s, last.event
    hole = 0
    if n > THREE_LEVELS:
        first = _rise(m, 0)
        second = _rise(m, first)
        hole = _rise(m, second)
        fetch_planned(m, _in_heap(m, first).event)
        fetch_event(m, _in_heap(m, second).event)
    while 4 * hole + 4 < n:
        hole = _rise(m, hole)
    if 4 * hole + 1 < n:
        best = _first_of(m, 4 * hole + 1, n)
        _set(_in_heap(m, hole), _in_heap(m, best).time_s, _in_heap(m, best).event)
        hole = best
    if n > 0:
        _insert(m, hole, time_s, row)


@compiled
def _rise(m, hole):
    """Move the first of the four children of a hole up into it, and return where it was."""
    best = _first_of_four(m, 4 * hole + 1)
    _set(_in_heap(m, hole), _in_heap(m, best).time_s, _in_heap(m, best).event)
    return best


@compiled
def _first_of_four(m, row):
    """Return the first of four entries, without a branch that a processor would have to guess unless times tie."""
    a, b, c, d = (_in_heap(m, row).time_s, _in_heap(m, row + 1).time_s, _in_heap(m, row + 2).time_s,
                  _in_heap(m, row + 3).time_s)
    left, right = min(a, b), min(c, d)
    if a == b or c == d or left == right:
        return _first_of(m, row, row + 4)
    in_left, in_right = row + int(b < a), row + 2 + int(d < c)
    return in_left + (in_right - in_left) * int(right < left)


@compiled
def _first_of(m, row, end):
    """Return the first of some entries in a row."""
    best = row
    for other in range(row + 1, end):
        if _is_before(m, _in_heap(m, other).time_s, _in_heap(m, other).event, _in_heap(m, best).time_s,
                      _in_heap(m, best).event):
            best = other
    return best
