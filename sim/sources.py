"""Arrivals: timed launches, generated in blocks and merged by sorting, so that idle devices cost nothing.

An entity's k-th arrival of a stream is a function of its own address. Time is warped by the hour of the day:
with multipliers m(t), arrivals are placed at equal (periodic) or exponential (Poisson) steps of the exposure

    x(t) = ∫ m(start + τ) dτ from 0 to t,

which keeps the mean rate of every hour at its multiple of the plain rate. Left out: arrivals that depend on
the state of the model; those are launched by controllers.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import laws
from sim.compiling import compiled
from sim.laws import ARRIVE, GAP, PHASE, event_key, job_key, uniform
from sim.model import LISTED, PERIODIC, Floats, Ints, Model

BLOCK_ARRIVALS = 65_536  # about 4 MB a block, small against everything else
DAY_S = 86_400.0
EMITTER = np.dtype([('exposure', 'f8'), ('k', 'i8'), ('list_next', 'i8')], align=True)  # a source of one entity


@dataclass(frozen=True)
class Block:
    """Arrivals in the order in which they happen, shape ``(n_arrivals,)``."""

    time_s: Floats
    key: Ints  # of the arrival event
    job: Ints  # key of the job
    entity: Ints
    stream: Ints
    k: Ints


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
def _fill(until_s, starts_at_s, run_key, timing, gap_s, profile_row, by_hour, listed_s, stream_key, source,
          entity_key, list_end, state, new_state, out_time, out_emitter, out_k):
    """Write every arrival before `until_s`, as far as there is room, and the state after them.

    Returns how many there are: if more than there is room for, the new state is of no use.
    """
    n = 0
    for e in range(source.size):
        s = source[e]
        now = state[e]
        k, exposure, row = now.k, now.exposure, now.list_next
        while True:
            if timing[s] == LISTED:
                if row >= list_end[e]:
                    break
                time = listed_s[row]
            else:
                # exposure holds the sum of the gaps so far (Poisson) or the phase (periodic)
                if timing[s] == PERIODIC:
                    step = (exposure + k) * gap_s[s]
                else:
                    job = job_key(run_key, entity_key[e], stream_key[s], k)
                    step = exposure - math.log(uniform(job, GAP, 0, 0, 0)) * gap_s[s]
                time = step if profile_row[s] < 0 else unwarp(step, starts_at_s, by_hour[profile_row[s]])
            if time >= until_s:
                break
            if n < out_time.size:
                out_time[n], out_emitter[n], out_k[n] = time, e, k
            n += 1
            k += 1
            row += 1
            if timing[s] != LISTED and timing[s] != PERIODIC:
                exposure = step
        after = new_state[e]
        after.k, after.exposure, after.list_next = k, exposure, row
    return n


@compiled
def _phases(run_key, entity_key, stream_key, source, timing, state):
    for e in range(source.size):
        if timing[source[e]] == PERIODIC:
            job = job_key(run_key, entity_key[e], stream_key[source[e]], 0)
            state[e].exposure = uniform(job, PHASE, 0, 0, 0)


@compiled
def _keys(run_key, entity_key, stream_key, source, emitter, k, out_job, out_key):
    for i in range(emitter.size):
        e = emitter[i]
        out_job[i] = job_key(run_key, entity_key[e], stream_key[source[e]], k[i])
        out_key[i] = event_key(ARRIVE, out_job[i], 0, 0, 0)


class Arrivals:
    """All sources of a model, merged. Invariant: blocks follow each other in time without a gap."""

    def __init__(self, model: Model, run_key: int) -> None:
        sources, entities = model.sources, model.entities
        self._model, self._run_key = model, run_key
        emitters = [np.flatnonzero(entities.class_row == c) for c in sources.class_row]
        self._entity = np.concatenate([np.empty(0, np.int64), *emitters])
        self._source = np.repeat(np.arange(len(emitters)), [len(rows) for rows in emitters]).astype(np.int64)
        self._entity_key = entities.key[self._entity]
        self._stream_key = np.array([laws.name_key('stream', model.streams[s]) for s in sources.stream], np.int64)
        self._state = np.zeros(self._entity.size, EMITTER)
        self._new_state = np.zeros(self._entity.size, EMITTER)
        self._state['list_next'], self._list_end = self._list_bounds(entities.index[self._entity])
        _phases(run_key, self._entity_key, self._stream_key, self._source, sources.timing, self._state)
        self._block_s = self._block_length()
        self._from_s = 0.0

    def _list_bounds(self, index: Ints) -> tuple[Ints, Ints]:
        sources = self._model.sources
        first, end = np.zeros(index.size, np.int64), np.zeros(index.size, np.int64)
        for e in np.flatnonzero(sources.timing[self._source] == LISTED) if index.size else ():
            s = self._source[e]
            rows = slice(sources.list_first[s], sources.list_first[s] + sources.list_n[s])
            first[e] = sources.list_first[s] + np.searchsorted(sources.listed_index[rows], index[e], 'left')
            end[e] = sources.list_first[s] + np.searchsorted(sources.listed_index[rows], index[e], 'right')
        return first, end

    def _block_length(self) -> float:
        """Return how many seconds hold about `BLOCK_ARRIVALS` at the busiest hour."""
        sources = self._model.sources
        n_emitters = np.bincount(self._source, minlength=sources.stream.size)
        peak = np.ones(sources.stream.size)
        for s, row in enumerate(sources.profile_row):
            peak[s] = sources.by_hour[row].max() if row >= 0 else 1.0
        timed = sources.timing != LISTED
        rate = float(np.sum(n_emitters[timed] * peak[timed] / sources.gap_s[timed]))
        rate += float(np.sum(self._list_end - self._state['list_next'])) / self._model.duration_s
        return BLOCK_ARRIVALS / rate if rate > 0 else math.inf

    def next_block(self) -> Block | None:
        """Return the next arrivals before the run's duration, or None when there are no more."""
        model, sources = self._model, self._model.sources
        if self._from_s >= model.duration_s or not self._entity.size:
            return None
        until_s = min(self._from_s + self._block_s, model.duration_s)
        time_s, emitter, k = self._arrivals_before(until_s, 2 * BLOCK_ARRIVALS)
        self._from_s = until_s
        order: NDArray[np.int64] = np.argsort(time_s)
        time_s = time_s[order]
        emitter, k = emitter[order], k[order]
        job, key = np.empty(k.size, np.int64), np.empty(k.size, np.int64)
        _keys(self._run_key, self._entity_key, self._stream_key, self._source, emitter, k, job, key)
        if np.any(time_s[1:] == time_s[:-1]):
            order = np.lexsort((key, time_s))
            emitter, k, job, key = emitter[order], k[order], job[order], key[order]
        return Block(time_s, key, job, self._entity[emitter], sources.stream[self._source[emitter]], k)

    def _arrivals_before(self, until_s: float, room: int) -> tuple[Floats, Ints, Ints]:
        """Return time, emitter and k of the arrivals up to a time, emitter by emitter, and advance the state."""
        model, sources = self._model, self._model.sources
        while True:
            time_s, emitter, k = np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64)
            n = _fill(until_s, model.starts_at_s, self._run_key, sources.timing, sources.gap_s, sources.profile_row,
                      sources.by_hour, sources.listed_s, self._stream_key, self._source, self._entity_key,
                      self._list_end, self._state, self._new_state, time_s, emitter, k)
            if n <= room:
                self._state, self._new_state = self._new_state, self._state
                return time_s[:n], emitter[:n], k[:n]
            room = n
