"""The arrays behind the machine: made from a Model, kept alive, and made larger when a pool is full."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import laws
from sim.engines.compiled.convoys import join_convoys
from sim.engines.compiled.layout import (
    CACHE_LINE_BYTES,
    CONSUMER_RECORD,
    ENTITY,
    HOP,
    MACHINE,
    NONE,
    QUEUE_RECORD,
    ROUTE,
    SERVER,
    STATION,
    TABLES,
    Records,
)
from sim.model import PREEMPTIVE, Model
from sim.results.histogram import N_BINS
from sim.results.recording import Trace

PLAIN = (np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float64))
POOL_FIRST = 1_024
ROWS_FIRST = 65_536
ROWS_PER_EVENT = 64  # room for what one event may write; one job ends in most


class Memory:
    """All tables of a run. Invariant: the machine `m` holds the address of the array that is kept under that name."""

    def __init__(self, model: Model, trace: Trace, run_key: int) -> None:
        n_entities = model.entities.key.size
        window_max = int(model.hops.window.max(initial=1))
        self._arrays: dict[str, Records] = {}
        self._machines = np.zeros(1, MACHINE)  # the record below is in place, and does not keep its array alive
        self.m: Any = self._machines[0]
        m = self.m
        m['from_s'], m['to_s'], m['run_key'] = model.warm_up_s, model.duration_s, run_key
        m['traces_jobs'], m['traces_hops'] = trace != 'none', trace == 'stages'
        m['margin'] = window_max + ROWS_PER_EVENT
        m['n_stations'], m['n_rows'] = model.stations.n, model.stations.n + n_entities
        m['n_queues'], m['n_priorities'] = len(model.queues.name), model.n_priorities
        m['n_stages'] = len(model.stages)
        _, m['n_variants'], m['n_classes'], m['n_groups'] = model.route_of.shape
        m['n_curve_points'], m['n_quantiles'] = model.curves.amounts.size, model.laws.quantiles.size
        m['n_amounts'] = 1
        first_guard, guards = _flat(model.routes.guards)
        self['hops'], self['routes'] = _hops(model), _routes(model, first_guard)
        self['guards'], self['route_of'] = guards, model.route_of.ravel()
        self['stream_keys'] = np.array([laws.name_key('stream', name) for name in model.streams], np.int64)
        self['attachment_stations'] = model.attachments.slots.ravel()
        self['consumer_stations'] = model.stations.slots.ravel()
        self['groups'] = np.concatenate([[0], model.attachments.group])  # the first for entities without attachment
        self['curves'] = _joined('curves', first=model.curves.first, n=model.curves.n)
        self['curve_amounts'], self['curve_seconds'] = model.curves.amounts, model.curves.seconds
        self['laws'] = _joined('laws', kind=model.laws.kind, a=model.laws.a, b=model.laws.b, c=model.laws.c)
        self['quantiles'] = model.laws.quantiles
        self['stations'], self['entities'] = _stations(model), _entities(model)
        self['servers'] = _servers(model, self['stations'])
        self['lines'] = np.full(2 * int(m['n_rows']) * model.n_priorities, NONE, np.int32)
        self['queues'], self['consumers'] = _queues(model), _consumers(model)
        self['flows'], self['latency'] = _new('flows', len(model.flows)), _new('latency', len(model.flows) * N_BINS)
        self['stage_seconds'] = _new('stage_seconds', len(model.flows) * len(model.stages))
        self['deadlines'] = _new('deadlines', len(model.flows) * len(model.classes.name))
        self['amount_columns'] = np.full(len(model.stages), NONE)
        self['convoys'] = np.full(join_convoys(model, self['hops'], self['queues']), NONE)
        self['arrivals'], self['inboxes'] = _new('arrivals', 1), _new('inboxes', 1)
        pool = max(POOL_FIRST, 4 * (window_max + ROWS_PER_EVENT))
        for name in ('jobs', 'works', 'events', 'heap', 'outcomes'):
            self[name] = _new(name, pool)
        for name in ('jobs', 'works', 'events'):
            self[f'free_{name}'] = np.arange(pool)
            m[f'n_free_{name}'] = pool
        self['amounts'] = np.full(pool, np.nan)
        self['job_rows'], self['hop_rows'] = _new('job_rows', ROWS_FIRST), _new('hop_rows', ROWS_FIRST)

    def __getitem__(self, name: str) -> Records:
        """Return a table."""
        return self._arrays[name]

    def __setitem__(self, name: str, rows: Records | NDArray[Any]) -> None:
        """Put an array in the place of a table; a plain one is taken as records of one field or of equal fields."""
        dtype = TABLES[name]
        assert np.asarray(rows).dtype in (dtype, *PLAIN), f'{name}: records of another layout'  # NumPy may pack a copy
        rows = np.ascontiguousarray(rows)
        records = (rows if rows.dtype == dtype else rows.view(dtype)) if rows.size else _new(name, 1)
        self._arrays[name] = records
        self.m[name] = records.ctypes.data
        if f'{name}_max' in (MACHINE.names or ()):
            self.m[f'{name}_max'] = records.size

    def tables(self) -> list[Records]:
        """Return all tables."""
        return list(self._arrays.values())

    def put_arrivals(self, block: Records | None) -> None:
        """Make a block the present one; None: there are no more."""
        self.m['next_arrival'] = 0
        if block is None:
            self.m['n_arrivals'] = NONE
            return
        self.m['n_arrivals'] = block.size
        self['arrivals'] = block

    def make_room(self, n_jobs: int = 0, n_ends: int = 0, n_starts: int = 0) -> None:
        """Enlarge every pool that is nearly full.

        `n_jobs` are about to be launched, `n_ends` about to end, `n_starts` servers may begin work at once.
        """
        m = self.m
        margin = int(m['margin'] + m['n_unacknowledged']) + n_jobs
        if m['n_free_jobs'] < n_jobs + 2:
            self._enlarge_pool('jobs', n_jobs + 2)
            self.widen_amounts(int(m['n_amounts']))
        if m['n_free_works'] < margin:
            self._enlarge_pool('works', margin)
        rows = ROWS_PER_EVENT + n_ends
        if m['n_free_events'] < margin + n_starts + 1:
            self._enlarge_pool('events', margin + n_starts + 1)
            self['heap'] = larger(self['heap'], self['events'].size)
        for name, n in (('job_rows', m['n_job_rows'] + rows), ('hop_rows', m['n_hop_rows'] + rows),
                        ('outcomes', m['n_outcomes'] + rows)):
            if n > self[name].size:
                self[name] = larger(self[name], int(n))

    def widen_amounts(self, n: int) -> None:
        """Let every job have `n` given amounts."""
        old = self['amounts']['value'].reshape(-1, int(self.m['n_amounts']))
        new = np.full((self['jobs'].size, n), np.nan)
        new[:min(old.shape[0], new.shape[0]), :old.shape[1]] = old[:new.shape[0]]
        self.m['n_amounts'] = n
        self['amounts'] = new.ravel()

    def sort_free_slots(self) -> None:
        """Let new jobs and works take their slots in the order of the table, as far as they are free."""
        for name in ('jobs', 'works'):
            free = self[f'free_{name}']['value'][:self.m[f'n_free_{name}']]
            free[:] = np.sort(free)[::-1]

    def _enlarge_pool(self, name: str, n_free: int) -> None:
        old = self[name]
        self[name] = larger(old, old.size + n_free)
        n_before, n_new = int(self.m[f'n_free_{name}']), self[name].size - old.size
        free = np.zeros(self[name].size, np.int64)
        free[:n_before] = self[f'free_{name}']['value'][:n_before]
        free[n_before:n_before + n_new] = np.arange(old.size, old.size + n_new)
        self[f'free_{name}'] = free
        self.m[f'n_free_{name}'] = n_before + n_new


def larger(records: Records, n: int) -> Records:
    """Return a copy with room for at least `n`, and twice the size."""
    return longer(records, max(2 * records.size, n))


def longer(records: Records, n: int) -> Records:
    """Return a copy with `n` rows, zeros behind those there are."""
    copy = _zeros(n, records.dtype)
    copy[:records.size] = records
    return copy


def _zeros(n: int, dtype: np.dtype[Any]) -> Records:
    """Return records of zeros that begin where a line of the cache does."""
    space = np.zeros(n * dtype.itemsize + CACHE_LINE_BYTES, np.uint8)
    first = -space.ctypes.data % CACHE_LINE_BYTES
    return space[first:first + n * dtype.itemsize].view(dtype)


def _new(name: str, n: int) -> Records:
    return _zeros(n, TABLES[name])


def _joined(name: str, **columns: NDArray[Any]) -> Records:
    """Return the records of a table from its columns."""
    rows = _new(name, next(iter(columns.values())).size)
    for column, values in columns.items():
        rows[column] = values
    return rows


def _copied(source: object, dtype: np.dtype, n: int) -> Records:
    """Return records with every field that the model's table has under the same name."""
    records = _zeros(n, dtype)
    for name in dtype.names or ():
        if hasattr(source, name):
            records[name] = getattr(source, name)
    return records


def _flat(groups: tuple[tuple[int, ...], ...]) -> tuple[Records, Records]:
    sizes = [len(group) for group in groups]
    return np.cumsum([0, *sizes])[:-1], np.array([row for group in groups for row in group], np.int64)


def _hops(model: Model) -> Records:
    hops = _copied(model.hops, HOP, model.hops.kind.size)
    hops['n_segments'] = np.maximum(1, -(-hops['n_bytes'] // np.maximum(1, hops['segment_bytes'])))
    curves = model.curves
    for row in range(hops.size):
        curve = model.hops.curve[row]
        hops['base'][row] = laws.cost(curves.amounts, curves.seconds, curves.first[curve], curves.n[curve],
                                      model.hops.amount[row])
    return hops


def _routes(model: Model, guard_first: Records) -> Records:
    routes = _copied(model.routes, ROUTE, model.routes.stream.size)
    routes['first'] = model.routes.hop_first
    routes['end'] = model.routes.hop_first + model.routes.n_hops
    routes['flow'] = model.stream_flow[model.routes.stream]
    routes['guard_first'] = guard_first
    routes['n_guards'] = [len(guards) for guards in model.routes.guards]
    return routes


def _stations(model: Model) -> Records:
    n, n_cpus = model.stations.n, model.entities.key.size
    stations = _zeros(n + n_cpus, STATION)
    stations[:n] = _copied(model.stations, STATION, n)
    own = stations[n:]
    own['discipline'], own['n_servers'] = PREEMPTIVE, 1
    stations['first_server'] = np.arange(stations.size)
    several = np.flatnonzero(stations['n_servers'] > 1)
    stations['first_server'][several] = stations.size + np.cumsum([0, *stations['n_servers'][several]])[:-1]
    stations['n_idle'] = stations['n_rows'] = stations['n_servers']
    stations['up'] = 1
    return stations


def _servers(model: Model, stations: Records) -> Records:
    """Return the servers: that of a station with one in the row of the station, behind them those of all others."""
    several = stations['n_servers'] > 1
    servers = _zeros(stations.size + int(stations['n_servers'][several].sum()), SERVER)
    servers['speed'] = 1.0
    for row, (first, n) in enumerate(zip(model.stations.server_first, model.stations.n_servers, strict=True)):
        at = stations['first_server'][row]
        servers['speed'][at:at + n] = model.stations.server_speed[first:first + n]
    servers['work'] = NONE
    return servers


def _entities(model: Model) -> Records:
    entities = _copied(model.entities, ENTITY, model.entities.key.size)
    entities['sending'], entities['valid_from_s'] = 1, -np.inf
    return entities


def _queues(model: Model) -> Records:
    queues = _copied(model.queues, QUEUE_RECORD, len(model.queues.name))
    queues['n_consumers'] = [len(consumers) for consumers in model.queues.consumers]
    queues['first_consumer'] = np.cumsum([0, *queues['n_consumers']])[:-1]
    queues['head'] = queues['tail'] = NONE
    queues['up'] = 1
    queues['key'] = [laws.name_key('queue', name) for name in model.queues.name]
    return queues


def _consumers(model: Model) -> Records:
    stations = [(station, queue) for queue, consumers in enumerate(model.queues.consumers) for station in consumers]
    consumers = np.zeros(len(stations), CONSUMER_RECORD)
    for row, (station, queue) in enumerate(stations):
        consumers[row]['station'], consumers[row]['queue'] = station, queue
    consumers['up'] = 1
    consumers['held'] = consumers['held_last'] = NONE
    return consumers
