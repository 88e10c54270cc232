"""Arrivals: timed launches, generated in blocks and merged by sorting, so that idle devices cost nothing.

An entity's k-th arrival of a stream is a function of its own address. Time is warped by the hour of the day:
with multipliers m(t), arrivals are placed at equal (periodic) or exponential (Poisson) steps of the exposure

    x(t) = ∫ m(start + τ) dτ from 0 to t,

which keeps the mean rate of every hour at its multiple of the plain rate. Left out: arrivals that depend on
the state of the model; those are launched by controllers.

An emitter is a source of one entity. What every block asks of each, when it sends next, stands in an array of its own.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import laws
from sim.compiling import compiled, compiled_beside
from sim.laws import ARRIVE, GAP, PHASE, event_key, job_key, uniform
from sim.model import LISTED, PERIODIC, Model

BLOCK_ARRIVALS = 65_536  # at least; 3 MB a block
EMITTERS_AN_ARRIVAL = 8  # at most: of rarer arrivals each would be a cache miss
IN_ONE_BIN_MAX = 64  # arrivals, until sorting them one by one would take longer than sorting all
DAY_S = 86_400.0
ARRIVAL = np.dtype([
    ('time_s', 'f8'), ('key', 'i8'),  # of the arrival event
    ('job', 'i8'),  # key of the job
    ('entity', 'i8'), ('stream', 'i8'), ('k', 'i8'),
], align=True)
SOURCE = np.dtype([('timing', 'i8'), ('gap_s', 'f8'), ('profile_row', 'i8'), ('stream', 'i8'), ('stream_key', 'i8'),
                   ('first', 'i8'), ('end', 'i8')], align=True)  # first and end: its emitters
EMITTER = np.dtype([('exposure', 'f8'), ('k', 'i8'), ('entity', 'i4'), ('list_row', 'i4')], align=True)
Arrived = NDArray[Any]  # of ARRIVAL


@compiled
def unwarp(x: float, starts_at_s: float, hours: np.ndarray) -> float:
    """Return the time at which the exposure reaches x, for 24 hourly multipliers."""
    day = 0.0
    before = 0.0  # exposure between midnight and the start
    for hour in range(24):
        day += 3600.0 * hours[hour]
        before += min(max(starts_at_s - 3600.0 * hour, 0.0), 3600.0) * hours[hour]
    n_days = math.floor((before + x) / day)
    rest = before + x - n_days * day
    for hour in range(24):
        in_hour = 3600.0 * hours[hour]
        if rest < in_hour:
            return n_days * DAY_S + 3600.0 * hour + rest / hours[hour] - starts_at_s
        rest -= in_hour
    return (n_days + 1) * DAY_S - starts_at_s


@compiled
def _plan(source, emitter, entity_key, starts_at_s, run_key, by_hour, listed_s, list_first):
    """Return the time of an emitter's next arrival; infinite where there is none.

    The emitter's exposure is the sum of its gaps so far (Poisson) or its phase (periodic).
    """
    if source.timing == LISTED:
        row = list_first[emitter.list_row] + emitter.k
        return listed_s[row] if row < list_first[emitter.list_row + 1] else math.inf
    if source.timing == PERIODIC:
        step = (emitter.exposure + emitter.k) * source.gap_s
    else:
        job = job_key(run_key, entity_key, source.stream_key, emitter.k)
        step = emitter.exposure - math.log(uniform(job, GAP, 0, 0, 0)) * source.gap_s
        emitter.exposure = step
    return step if source.profile_row < 0 else unwarp(step, starts_at_s, by_hour[source.profile_row])


@compiled
def _begin(sources, emitters, next_s, entity_keys, starts_at_s, run_key, by_hour, listed_s, list_first):
    """Plan the first arrival of every emitter."""
    for source in sources:
        for e in range(source.first, source.end):
            entity_key = entity_keys[emitters[e].entity]
            if source.timing == PERIODIC:
                emitters[e].exposure = uniform(job_key(run_key, entity_key, source.stream_key, 0), PHASE, 0, 0, 0)
            next_s[e] = _plan(source, emitters[e], entity_key, starts_at_s, run_key, by_hour, listed_s, list_first)


@compiled_beside
def _fill(rows, until_s, from_emitter, sources, emitters, next_s, entity_keys, starts_at_s, run_key, by_hour, listed_s,
          list_first):
    """Write the arrivals before `until_s` emitter by emitter, from one of them on.

    Returns how many rows are full, and the emitter that found no more room: the number of emitters if all had room.
    """
    n = 0
    for source in sources:
        for e in range(max(source.first, from_emitter), source.end):
            while next_s[e] < until_s:
                if n == rows.size:
                    return n, e
                emitter, row = emitters[e], rows[n]
                entity_key = entity_keys[emitter.entity]
                row.time_s, row.entity, row.stream, row.k = next_s[e], emitter.entity, source.stream, emitter.k
                row.job = job_key(run_key, entity_key, source.stream_key, emitter.k)
                row.key = event_key(ARRIVE, row.job, 0, 0, 0)
                n += 1
                emitter.k += 1
                next_s[e] = _plan(source, emitter, entity_key, starts_at_s, run_key, by_hour, listed_s, list_first)
    return n, next_s.size


@compiled_beside
def _sort(rows, from_s, per_s, out):
    """Copy arrivals in their order: each into its bin of time, as many bins as arrivals, then up to its place.

    Returns False, and leaves the order open, where many share a bin.
    """
    n = rows.size
    first = np.zeros(n + 2, np.int64)  # of each bin; the times just before the block's end may round up into bin n
    for i in range(n):
        first[int((rows[i].time_s - from_s) * per_s) + 1] += 1
    if first.max() > IN_ONE_BIN_MAX:
        return False
    for i in range(n + 1):
        first[i + 1] += first[i]
    for i in range(n):
        at = int((rows[i].time_s - from_s) * per_s)
        _copy(out[first[at]], rows[i])
        first[at] += 1
    row = np.empty(1, ARRIVAL)[0]
    for i in range(1, n):
        if _is_before(out[i], out[i - 1]):
            _copy(row, out[i])
            at = i
            while at > 0 and _is_before(row, out[at - 1]):
                _copy(out[at], out[at - 1])
                at -= 1
            _copy(out[at], row)
    return True


@compiled
def _is_before(row, other):
    return row.time_s < other.time_s or (row.time_s == other.time_s and row.key < other.key)


@compiled
def _copy(row, other):
    row.time_s, row.key, row.job = other.time_s, other.key, other.job
    row.entity, row.stream, row.k = other.entity, other.stream, other.k


class Arrivals:
    """All sources of a model, merged. Invariant: blocks follow each other in time without a gap."""

    def __init__(self, model: Model, run_key: int) -> None:
        sources, entities = model.sources, model.entities
        self._duration_s = model.duration_s
        self._sources = np.zeros(sources.stream.size, SOURCE)
        for name in ('timing', 'gap_s', 'profile_row', 'stream'):
            self._sources[name] = getattr(sources, name)
        self._sources['stream_key'] = [laws.name_key('stream', model.streams[s]) for s in sources.stream]
        members = [np.flatnonzero(entities.class_row == c) for c in sources.class_row]
        ends = np.cumsum([0, *(rows.size for rows in members)])
        self._sources['first'], self._sources['end'] = ends[:-1], ends[1:]
        self._emitters = np.zeros(ends[-1], EMITTER)
        self._next_s = np.empty(ends[-1])
        list_first: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        for s, rows in enumerate(members):
            own = self._emitters[ends[s]:ends[s + 1]]
            own['entity'] = rows
            if sources.timing[s] == LISTED:
                own['list_row'] = sum(part.size for part in list_first) + entities.index[rows]
                listed = slice(sources.list_first[s], sources.list_first[s] + sources.list_n[s])
                list_first.append(sources.list_first[s] + np.searchsorted(sources.listed_index[listed],
                                                                          np.arange(rows.size + 1)))
        self._tables = (entities.key, model.starts_at_s, run_key, sources.by_hour, sources.listed_s,
                        np.concatenate(list_first))
        _begin(self._sources, self._emitters, self._next_s, *self._tables)
        self._n_block = max(BLOCK_ARRIVALS, self._emitters.size // EMITTERS_AN_ARRIVAL)
        self._block_s = self._block_length(model)
        self._rows = np.empty(2 * self._n_block, ARRIVAL)
        self._from_s = 0.0

    def _block_length(self, model: Model) -> float:
        """Return how many seconds hold about one block at the busiest hour."""
        sources = model.sources
        n_emitters = self._sources['end'] - self._sources['first']
        peak = np.ones(sources.stream.size)
        for s, row in enumerate(sources.profile_row):
            peak[s] = sources.by_hour[row].max() if row >= 0 else 1.0
        timed = sources.timing != LISTED
        rate = float(np.sum(n_emitters[timed] * peak[timed] / sources.gap_s[timed]))
        rate += sources.listed_s.size / model.duration_s
        return self._n_block / rate if rate > 0 else math.inf

    def next_block(self) -> Arrived | None:
        """Return the next arrivals before the run's duration in their order, or None when there are no more."""
        if self._from_s >= self._duration_s or not self._emitters.size:
            return None
        until_s = min(self._from_s + self._block_s, self._duration_s)
        rows = self._arrivals_before(until_s)
        in_order = np.empty(rows.size, ARRIVAL)
        if not _sort(rows, self._from_s, rows.size / (until_s - self._from_s), in_order):
            in_order = rows[np.lexsort((rows['key'], rows['time_s']))]
        self._from_s = until_s
        return in_order

    def _arrivals_before(self, until_s: float) -> Arrived:
        """Return the arrivals up to a time, emitter by emitter."""
        parts: list[Arrived] = []
        emitter = 0
        while emitter < self._emitters.size:
            rows = np.empty_like(self._rows) if parts else self._rows
            n, emitter = _fill(rows, until_s, emitter, self._sources, self._emitters, self._next_s, *self._tables)
            parts.append(rows[:n])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def launches_a_stream(model: Model) -> np.ndarray:
    """Return how many jobs each stream launches, every hour as busy as the busiest, shape ``(n_streams,)``."""
    sources, launches = model.sources, np.zeros(len(model.streams))
    peak = np.append(sources.by_hour.max(axis=1, initial=0.0), 1.0)[sources.profile_row]
    timed = sources.timing != LISTED
    n = sources.list_n.astype(np.float64)
    n[timed] = (n_emitters_a_source(model) * peak * model.duration_s)[timed] / sources.gap_s[timed]
    np.add.at(launches, sources.stream, n)
    if model.learning is not None:
        for stream, flow in enumerate(model.streams):
            if flow == 'fl-update':
                launches[stream] += model.learning.rounds * model.learning.fraction * model.learning.clients.size
    return launches


def n_emitters_a_source(model: Model) -> np.ndarray:
    """Return how many entities each source has, shape ``(n_sources,)``."""
    of_class = np.bincount(model.entities.class_row, minlength=len(model.classes.name))
    found: np.ndarray = of_class[model.sources.class_row]
    return found
