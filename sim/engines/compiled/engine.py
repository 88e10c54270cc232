"""Runs the compiled loop from pause to pause: arrivals to merge, pools to enlarge, controllers to wake, changes."""

from __future__ import annotations

from array import array
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.engines.compiled import books, broker, loop, stations
from sim.engines.compiled.beside import ArrivalsBeside
from sim.engines.compiled.heap import drop_first, first_event, push
from sim.engines.compiled.layout import NONE
from sim.engines.compiled.memory import Memory, longer
from sim.engines.compiled.world import CompiledWorld
from sim.laws import CHANGE, event_key, name_key
from sim.model import UNFINISHED, Model
from sim.results.histogram import N_BINS
from sim.results.recording import HOP_COLUMNS, JOB_COLUMNS, Recording, Trace
from sim.sources import Arrivals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.engines import Progress
    from sim.engines.compiled.layout import Records
    from sim.worlds import Controller

EVENTS_PER_PAUSE = 2_000_000  # progress, and a chance to interrupt


def run(model: Model, *, trace: Trace = 'jobs', controllers: tuple[Controller, ...] = (),
        progress: Progress | None = None) -> Recording:
    """Execute a model and return what it left."""
    return Engine(model, trace=trace).run(controllers, progress)


class Engine:
    """One execution of a Model."""

    def __init__(self, model: Model, *, trace: Trace = 'jobs') -> None:
        self.model = model
        self.trace: Trace = trace
        self.run_key = name_key('run', model.seed)
        self.memory = Memory(model, trace, self.run_key)
        self.machine: Any = self.memory.m
        self._changes: list[tuple[Any, Mapping[str, Any]]] = []
        self._consumers_of: dict[int, list[int]] = {}
        for row, consumers in enumerate(model.queues.consumers):
            first = int(self.memory['queues'][row]['first_consumer'])
            for i, station in enumerate(consumers):
                self._consumers_of.setdefault(station, []).append(first + i)

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self, controllers: tuple[Controller, ...] = (), progress: Progress | None = None) -> Recording:
        """Run to the end of the drain and return the recording."""
        model = self.model
        with closing(ArrivalsBeside(Arrivals(model, self.run_key))) as self._arrivals:
            self._run_duration(controllers, progress)
            self._station_waiting_end = self.memory['stations']['n_waiting'][:model.stations.n].astype(np.int64)
            self._queue_waiting_end = self.memory['queues']['n_waiting'][:len(model.queues.name)].astype(np.int64)
            self._run_until(model.duration_s + model.drain_s, is_inclusive=True, stops_when_idle=True,
                            progress=progress)
        return self._close()

    def _run_duration(self, controllers: tuple[Controller, ...], progress: Progress | None) -> None:
        model = self.model
        for i, time_s in enumerate(model.changes.time_s.tolist()):
            self.change_at(time_s, model.changes.target[i], {'up': bool(model.changes.up[i])})
        self.world = CompiledWorld(self)
        try:
            for controller in controllers:
                self.world.start(controller)
            self._run_until(model.duration_s, is_inclusive=False, stops_when_idle=False, progress=progress)
        finally:
            self.world.close()

    def _run_until(self, end_s: float, *, is_inclusive: bool, stops_when_idle: bool,
                   progress: Progress | None) -> None:
        m = self.machine
        while True:
            reason = loop.run_until(m, end_s, is_inclusive, stops_when_idle, EVENTS_PER_PAUSE)
            if reason in (loop.NOTHING_LEFT, loop.TIME_IS_UP):
                return
            if reason == loop.NEEDS_ARRIVALS:
                self.memory.put_arrivals(self._arrivals.next_block())
            elif reason == loop.NEEDS_ROOM:
                self.memory.make_room()
            elif reason == loop.NEEDS_PYTHON:
                self._act()
            if progress is not None:
                progress(float(m['now']), int(m['n_launched']))

    def _act(self) -> None:
        """Do what the first event asks Python to do."""
        event = self.memory['events'][first_event(self.machine)]
        kind, a, b = int(event['kind']), int(event['a']), int(event['b'])
        self.memory.make_room()
        drop_first(self.machine)
        if kind == CHANGE:
            self.change(*self._changes[a])
        else:
            self.world.wake(a, b)

    def _close(self) -> Recording:
        """Account for what is still there, and turn the tables into a recording."""
        m, memory = self.machine, self.memory
        m['now'] = end_s = max(float(m['now']), self.model.duration_s)
        is_taken = np.ones(memory['jobs'].size, np.bool_)
        is_taken[memory['free_jobs']['value'][:m['n_free_jobs']]] = False
        live = np.flatnonzero(is_taken & (memory['jobs']['done'] == 0))
        memory.make_room(n_ends=live.size)
        loop.close(m)
        for slot in live[np.argsort(memory['jobs']['id'][live])].tolist():
            books.finish(m, slot, UNFINISHED)
        return self._recording(end_s)

    def _recording(self, end_s: float) -> Recording:
        m, memory = self.machine, self.memory
        recording = Recording(self.model, self.trace)
        flows, entities, queues = memory['flows'], memory['entities'], memory['queues']
        n_flows, n_classes, n_queues = (len(names) for names in (
            self.model.flows, self.model.classes.name, self.model.queues.name))
        recording.outcomes = flows['outcomes'][:n_flows]
        flows = flows[:n_flows]
        deadlines = memory['deadlines'][:n_flows * n_classes].reshape(n_flows, n_classes)
        recording.deadlines, recording.deadline_misses = deadlines['n'], deadlines['n_missed']
        recording.latency = memory['latency']['value'][:n_flows * N_BINS].reshape(n_flows, N_BINS)
        n_stages = len(self.model.stages)
        recording.stage_s = memory['stage_seconds']['value'][:n_flows * n_stages].reshape(n_flows, n_stages)
        recording.latency_sum_s, recording.crypto_sum_s = flows['latency_sum_s'], flows['crypto_sum_s']
        recording.wire_bytes, recording.crypto_bytes = flows['wire_bytes'], flows['crypto_bytes']
        for name in ('busy', 'transmit', 'receive'):
            setattr(recording, f'{name}_s', np.stack([entities[f'{name}_s'], entities[f'{name}_crypto_s']], axis=1))
        recording.transmit_bytes, recording.receive_bytes = entities['transmit_bytes'], entities['receive_bytes']
        for name in ('busy_s', 'served', 'waiting_s', 'waiting_max'):
            setattr(recording, f'station_{name}', memory['stations'][name][:self.model.stations.n])
        for name in ('waiting_s', 'waiting_max', 'delivered', 'dropped', 'redelivered'):
            setattr(recording, f'queue_{name}', queues[name][:n_queues])
        recording.station_waiting_end, recording.queue_waiting_end = self._station_waiting_end, self._queue_waiting_end
        recording.marks = self.world.marks()
        recording.jobs = _columns(memory['job_rows'][:m['n_job_rows']], JOB_COLUMNS)
        recording.hops = _columns(memory['hop_rows'][:m['n_hop_rows']], HOP_COLUMNS)
        recording.n_launched, recording.n_hops = int(m['n_launched']), int(m['n_hops'])
        recording.n_events, recording.end_s = int(m['n_acted']), end_s
        return recording

    # -- changes ----------------------------------------------------------------------------------------------

    def change_at(self, time_s: float, target: str | Any, to: Mapping[str, Any]) -> None:
        """Plan a change; see the reference engine."""
        name = target if isinstance(target, str) else 'entities'
        self._changes.append((target, to))
        key = event_key(CHANGE, name_key('change', name), 0, 0, 0)
        self.memory.make_room()
        push(self.machine, time_s, key, CHANGE, len(self._changes) - 1, 0)

    def change(self, target: Any, to: Mapping[str, Any]) -> None:
        """Change a target or entities now."""
        rows = list(self.model.targets[target]) if isinstance(target, str) else []
        n_entities = 0 if isinstance(target, str) else np.size(target)
        for what, value in to.items():
            n_servers = int(self.memory['stations']['n_rows'][rows].sum()) + n_entities
            self.memory.make_room(n_starts=n_servers + (int(value) * len(rows) if what == 'servers' else 1))
            self._change(target, what, value)

    def _change(self, target: Any, what: str, value: Any) -> None:
        if isinstance(target, str):
            for row in self.model.targets[target]:
                self._change_station(row, what, value)
            return
        for entity in np.atleast_1d(target).tolist():
            if what == 'up':
                stations.set_station_up(self.machine, self.model.stations.n + entity, bool(value))
            else:
                field = {'on': 'sending', 'attachment': 'attachment', 'valid_from': 'valid_from_s'}[what]
                self.memory['entities'][field][entity] = value

    def _change_station(self, row: int, what: str, value: Any) -> None:
        if what == 'servers':
            self._set_servers(row, int(value))
            return
        assert what == 'up', f'a station has no {what}'
        stations.set_station_up(self.machine, row, bool(value))
        for queue in np.flatnonzero(self.model.queues.broker == row).tolist():
            self.memory['queues'][queue]['up'] = value
            broker.dispatch_queue(self.machine, queue)
        consumers = self._consumers_of.get(row, [])
        if consumers and not value:
            stations.forget_deliveries(self.machine, row)
        for consumer in consumers:
            broker.set_consumer_up(self.machine, consumer, bool(value))

    def _set_servers(self, row: int, n: int) -> None:
        """Change a station's number of servers; one that is busy and to go finishes first."""
        station, memory = self.memory['stations'][row], self.memory
        if n > station['n_rows']:
            self._add_servers(row, n)
        first, n_before = int(station['first_server']), int(station['n_servers'])
        come = memory['servers'][first + n_before:first + n]
        come['idle_since_s'][come['work'] == NONE] = self.machine['now']
        station['n_servers'] = n
        station['n_idle'] = np.count_nonzero(memory['servers']['work'][first:first + n] == NONE)
        stations.dispatch(self.machine, row)

    def _add_servers(self, row: int, n: int) -> None:
        """Move a station's servers behind all others, where there is room for more; they repeat the first speeds."""
        station, servers = self.memory['stations'][row], self.memory['servers']
        first, n_rows = int(station['first_server']), int(station['n_rows'])
        more = longer(servers, servers.size + n)
        rows = more[servers.size:]
        rows[:n_rows] = servers[first:first + n_rows]
        rows['speed'] = rows['speed'][np.arange(n) % self.model.stations.n_servers[row]]
        rows['work'][n_rows:] = NONE
        self.memory['works']['server'][rows['work'][rows['work'] != NONE]] += servers.size - first
        station['first_server'], station['n_rows'] = servers.size, n
        self.memory['servers'] = more


def _columns(rows: Records, types: dict[str, str]) -> dict[str, array[float]]:
    return {name: array(code, np.ascontiguousarray(rows[name]).tobytes()) for name, code in types.items()}
