"""Lowers a scenario to a Model: the hospital becomes stations, the flows become routes.

The order is: wires, access points and cluster (`sim.infrastructure`), classes and entities, then for every stream one
route template a floor (`sim.routing` turns the stages of a flow into hops), then sources, the plans of learning and
of keys, and outages. Every step takes what earlier ones returned.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import checks, placement
from sim.building import ModelBuilder
from sim.errors import InputError
from sim.flows import (
    CERTIFIED,
    EPHEMERAL,
    FLOWS,
    FRESH_KEY,
    KEY_FLOWS,
    LEARNING_FLOWS,
    PAIRWISE,
    PRE_SHARED,
    SIGNED,
)
from sim.hospital import BACKUP, PRIMARY, SERVER, Hospital, build
from sim.infrastructure import Links, add_access_points, add_cluster, add_wires
from sim.key_life import add_keys
from sim.loading import Origin
from sim.model import LISTED, PERIODIC, POISSON, LearningPlan, Model
from sim.profiles import MissingCost, Profile, load_profile
from sim.routing import Cluster, Costing, FlowSizes, Path, Router
from sim.scenario import DeviceClass, Learning, Scenario, Stream
from sim.yaml_source import Location, spell_key

TRUST_OPTIONS = {'signed': frozenset({CERTIFIED, EPHEMERAL}), 'pre-shared-kem': frozenset({PRE_SHARED, EPHEMERAL}),
                 'pre-shared': frozenset({PRE_SHARED})}


def lower(scenario: Scenario, origin: Origin) -> Model:
    """Return the Model of a scenario.

    Raises
    ------
    InputError
        If parts of the scenario do not fit together, or a profile lacks a number.
    """
    checks.check(scenario, origin)
    hospital = build(scenario, origin)
    builder = ModelBuilder(scenario.name, scenario.seed)
    wires = add_wires(builder, hospital)
    add_access_points(builder, scenario, hospital, wires)
    computers = _profiles(scenario, origin, ('edge', 'nodes'))
    cluster = add_cluster(builder, scenario, wires, computers)
    workers = (SERVER,) if scenario.keys is None else cluster.workers
    population = _add_population(builder, scenario, hospital, _profiles(scenario, origin, ('devices',)), workers)
    ways = Ways(builder, scenario, origin, hospital, wires, cluster, computers, population)
    for name, device in scenario.devices.items():
        for stream_name, stream in device.streams.items():
            _add_stream(builder, ways, name, stream_name, stream)
    if scenario.learning is not None:
        builder.learning = _add_learning(builder, ways, scenario.learning, population)
    if scenario.keys is not None:
        builder.keys = add_keys(builder, ways, scenario, scenario.keys, population)
    _add_outages(builder, scenario, origin, hospital)
    return builder.build(duration_s=scenario.duration, warm_up_s=scenario.warm_up, drain_s=scenario.drain,
                         starts_at_s=scenario.starts_at)


def _profiles(scenario: Scenario, origin: Origin, table: Location) -> dict[str, Profile]:
    """Return the profiles of all computers, or of all classes of devices, by their names."""
    named: dict[str, tuple[Location, str]]
    if table == ('devices',):
        named = {name: ((*table, name, 'profile'), device.profile) for name, device in scenario.devices.items()}
    else:
        named = {name: (_profile_of(name), node.profile) for name, node in scenario.edge.nodes.items()}
        named[SERVER] = _profile_of(SERVER), scenario.edge.server.profile
    found = {}
    for name, (location, profile) in named.items():
        try:
            found[name] = load_profile(profile)
        except InputError as error:
            raise origin.error(location, str(error)) from None
    return found


def _profile_of(computer: str) -> Location:
    """Return where the profile of a computer is named."""
    return ('edge', 'server', 'profile') if computer == SERVER else ('edge', 'nodes', computer, 'profile')


# -- entities -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Population:
    """Rows of the classes and of their entities; each worker that launches jobs is a class of one."""

    class_rows: Mapping[str, int]
    entity_rows: Mapping[str, NDArray[np.int64]]
    profiles: Mapping[str, Profile]  # of the classes of devices


def _add_population(builder: ModelBuilder, scenario: Scenario, hospital: Hospital,
                    profiles: Mapping[str, Profile], workers: Iterable[str]) -> Population:
    class_rows, entity_rows = {}, {}
    for name, device in scenario.devices.items():
        power = profiles[name].power
        class_rows[name] = builder.class_(
            name, base_w=power['base'].value, busy_w=power['busy'].value, transmit_w=power['transmit'].value,
            receive_w=power['receive'].value, battery_j=math.inf if device.battery is None else device.battery)
        entity_rows[name] = builder.entities(class_rows[name], hospital.attachments[name])
    for worker in workers:
        class_rows[worker] = builder.class_(worker)
        entity_rows[worker] = builder.entities(class_rows[worker], [-1])
    return Population(class_rows, entity_rows, profiles)


# -- routes ---------------------------------------------------------------------------------------------------


class Ways:
    """Adds the routes of streams. Invariant: one queue a place and priority class, added when first asked for."""

    def __init__(self, builder: ModelBuilder, scenario: Scenario, origin: Origin, hospital: Hospital,
                 wires: Mapping[str, Links], cluster: Cluster, computers: Mapping[str, Profile],
                 population: Population) -> None:
        self._builder, self._scenario, self._origin, self._hospital = builder, scenario, origin, hospital
        self._wires, self._cluster, self._computers, self._population = wires, cluster, computers, population
        self._costing = Costing(builder, scenario.crypto)
        self._queues: dict[tuple[str, int], int] = {}
        self._options = frozenset(
            ([FRESH_KEY] if scenario.crypto.learning_keys == 'per-round' else [])
            + ([PAIRWISE] if scenario.crypto.learning_keys != 'group' else [])
            + ([SIGNED] if scenario.crypto.sign_updates else []))

    def add(self, stream: int, flow: str, class_name: str, sizes: FlowSizes, location: Location) -> int:
        """Add a route for each floor on which a class stands, by the primary uplink and by the backup.

        Returns the row of the class, for the stream's source.
        """
        scenario, class_row = self._scenario, self._population.class_rows[class_name]
        device = scenario.devices.get(class_name)
        options = self._options | (TRUST_OPTIONS[device.trust] if device is not None else frozenset())
        router = Router(self._costing, self._cluster, self._queue, options, scenario,
                        self._population.profiles.get(class_name), self._cluster.workers.get(class_name))
        crosses = device is not None and any(stage.place == 'network' for stage in FLOWS[flow])
        end = SERVER if FLOWS[flow][-1].place == SERVER else scenario.broker.node
        for floor in self._floors(class_name, device):
            fallback = -1
            has_backup = crosses and scenario.wiring.backup is not None
            for uplink in (BACKUP, PRIMARY) if has_backup else (PRIMARY,):
                path = self._path(floor, device, end, uplink)
                try:
                    route = router.route(FLOWS[flow], sizes, path)
                except MissingCost as error:
                    where, needed = self._profile_lacking(error, class_name), spell_key(location)
                    said = f'{error}{_other_trust(flow, device)}; {needed} needs it'
                    raise self._origin.error(where, said) from None
                fallback = self._builder.route(
                    stream, class_row, route.hops, group=floor - 1, priority=sizes.priority,
                    deadline_s=sizes.deadline_s, wire_bytes=route.wire_bytes, crypto_bytes=route.crypto_bytes,
                    guards=path.uplink if crosses and uplink == PRIMARY else (), fallback=fallback,
                    listed=uplink == PRIMARY)
        return class_row

    def _profile_lacking(self, error: MissingCost, class_name: str) -> Location:
        """Return where the profile is named that lacks a number."""
        if error.place == 'device':
            return ('devices', class_name, 'profile')
        scenario = self._scenario
        nodes = {'server': [SERVER], 'broker': [scenario.broker.node],
                 'authority': [scenario.keys.authority] if scenario.keys else []}.get(
            error.place, [*placement.pods(scenario).values(), SERVER])
        return _profile_of(next(node for node in nodes if self._computers[node].sha256 == error.digest))

    def _floors(self, class_name: str, device: DeviceClass | None) -> list[int]:
        if device is None:
            return [1]
        rows = np.unique(self._hospital.attachments[class_name]).tolist()
        return sorted({self._hospital.access_points[row].floor for row in rows})

    def _path(self, floor: int, device: DeviceClass | None, end: str, uplink: str) -> Path:
        rows = [self._wires[label] for label, _ in self._hospital.path(floor, end, uplink)]
        return Path(air=self._scenario.access_points[device.link] if device else None,
                    access=self._scenario.wiring.access,
                    up=tuple((pair.up, pair.wire) for pair in rows),
                    down=tuple((pair.down, pair.wire) for pair in reversed(rows)),
                    uplink=(rows[0].up, rows[0].down))

    def _queue(self, place: str, priority: int) -> int:
        """Return the queue of a place and a priority class."""
        if (place, priority) not in self._queues:
            scenario, cluster, broker = self._scenario, self._cluster, self._scenario.broker
            if place == 'crypto':
                consumers, prefetch = cluster.pods, scenario.crypto.prefetch
            else:
                assert cluster.authority is not None
                assert scenario.keys is not None
                consumers, prefetch = (cluster.authority.station,), scenario.keys.prefetch
            self._queues[place, priority] = self._builder.queue(
                f'{place}-{priority}', consumers, prefetch=prefetch,
                capacity=broker.capacity, deliver_s=broker.deliver, acknowledge_s=broker.acknowledge,
                detect_s=broker.detect, broker=cluster.broker)
        return self._queues[place, priority]


def _other_trust(flow: str, device: DeviceClass | None) -> str:
    """Return what else a class of devices without numbers for its keys could do."""
    other = {'signed': 'pre-shared-kem', 'pre-shared-kem': 'pre-shared'}.get(device.trust) if device else None
    return f'; or let its keys rest on something else, with trust: {other}' if other and flow in KEY_FLOWS else ''


def _add_stream(builder: ModelBuilder, ways: Ways, class_name: str, name: str, stream: Stream) -> None:
    label = name if name == stream.flow else f'{stream.flow}/{name}'
    row = builder.stream(label, stream.flow)
    sizes = FlowSizes({'payload': stream.payload}, stream.priority, stream.deadline or math.inf)
    class_row = ways.add(row, stream.flow, class_name, sizes, ('devices', class_name, 'streams', name))
    if stream.arrivals is not None:
        builder.source(row, class_row, LISTED, listed=stream.arrivals)
    elif stream.period is not None:
        builder.source(row, class_row, PERIODIC, stream.period, stream.by_hour)
    elif stream.rate is not None:
        builder.source(row, class_row, POISSON, 1.0 / stream.rate, stream.by_hour)


# -- learning and outages -------------------------------------------------------------------------------------


def _add_learning(builder: ModelBuilder, ways: Ways, learning: Learning, population: Population) -> LearningPlan:
    sizes = FlowSizes({'model': learning.model, 'update': learning.update, 'updates': learning.update,
                       'samples': learning.samples}, learning.priority, math.inf)
    for flow in LEARNING_FLOWS:
        stream = builder.stream(flow, flow)
        for class_name in learning.clients if flow == 'fl-update' else (SERVER,):
            location: Location = ('devices', class_name) if flow == 'fl-update' else ('edge', 'server')
            ways.add(stream, flow, class_name, sizes, location)
    clients = np.concatenate([population.entity_rows[name] for name in learning.clients])
    return LearningPlan(
        clients=np.sort(clients), server=int(population.entity_rows[SERVER][0]), rounds=learning.rounds,
        fraction=learning.fraction, quorum=learning.quorum, deadline_s=learning.deadline, start_s=learning.start,
        pause_s=learning.pause, samples=np.full(clients.size, float(learning.samples)), update_bytes=learning.update)


def _add_outages(builder: ModelBuilder, scenario: Scenario, origin: Origin, hospital: Hospital) -> None:
    downs: dict[int, list[tuple[float, float]]] = {}
    for i, outage in enumerate(scenario.outages):
        if outage.target not in builder.targets:
            known = [*scenario.edge.nodes, 'broker', 'crypto-1', 'floor-1-uplink', 'core-link',
                     hospital.access_points[0].name]
            raise origin.error(('outages', i, 'target'), f"'{outage.target}' is not a part of this hospital; "
                               f'parts are, for example, {", ".join(known)}')
        for row in builder.targets[outage.target]:
            downs.setdefault(row, []).append((outage.begin, outage.end))
    for row, intervals in downs.items():  # a station is up when nothing that it is part of is down
        builder.targets[f'station {row}'] = (row,)
        for begin_s, end_s in _merged(intervals):
            builder.changes += [(begin_s, f'station {row}', False), (end_s, f'station {row}', True)]


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return intervals in order, those that touch made one."""
    merged: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(intervals):
        if merged and begin_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end_s, merged[-1][1])
        else:
            merged.append((begin_s, end_s))
    return merged
