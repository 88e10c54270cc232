"""Lowers a scenario to a Model: the hospital becomes stations, the flows become routes.

The order is: stations of the network and of the cluster, classes and entities, queues, then for every stream one
route template a floor, then sources, outages and the learning plan. `sim.routing` turns the stages of a flow into
hops; this module says where everything stands.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import checks, wire
from sim.building import ModelBuilder
from sim.errors import InputError
from sim.flows import FLOWS, FRESH_KEY, LEARNING_FLOWS, SIGNED
from sim.hospital import BACKUP, PRIMARY, SERVER, Hospital, build
from sim.loading import Location, Origin
from sim.model import FIFO, LISTED, PERIODIC, POISSON, LearningPlan, Model
from sim.profiles import Profile, load_profile
from sim.routing import Cluster, Costing, FlowSizes, Path, Router
from sim.scenario import AccessPointKind, Scenario, Stream, Wire


def lower(scenario: Scenario, origin: Origin) -> Model:
    """Return the Model of a scenario.

    Raises
    ------
    InputError
        If parts of the scenario do not fit together, or a profile lacks a number.
    """
    checks.check(scenario, origin)
    return _Lowering(scenario, origin, build(scenario, origin)).model()


@dataclass(frozen=True)
class _Links:
    """Station rows of one wire, towards the cluster and from it."""

    up: int
    down: int


class _Lowering:
    """The rows that later steps look up. Invariant: a step only reads what an earlier one has added."""

    def __init__(self, scenario: Scenario, origin: Origin, hospital: Hospital) -> None:
        self.scenario, self.origin, self.hospital = scenario, origin, hospital
        self.builder = ModelBuilder(scenario.name, scenario.seed)
        self.wires: dict[str, _Links] = {}
        self.class_rows: dict[str, int] = {}
        self.entity_rows: dict[str, NDArray[np.int64]] = {}
        self.options = frozenset(
            ([FRESH_KEY] if scenario.crypto.learning_keys == 'per-round' else [])
            + ([SIGNED] if scenario.crypto.sign_updates else []))

    def model(self) -> Model:
        scenario = self.scenario
        self._add_wires()
        self._add_access_points()
        self._add_cluster()
        self._add_entities()
        for name, device in scenario.devices.items():
            for stream_name, stream in device.streams.items():
                self._add_stream(name, stream_name, stream)
        if scenario.learning is not None:
            self._add_learning()
        self._add_outages()
        return self.builder.build(duration_s=scenario.duration, warm_up_s=scenario.warm_up, drain_s=scenario.drain,
                                  starts_at_s=scenario.starts_at)

    # -- stations ---------------------------------------------------------------------------------------------

    def _add_wires(self) -> None:
        for _, _, edge in self.hospital.graph.edges(data=True):
            self.wires[edge['label']] = self._add_wire(edge['label'], edge['wire'])

    def _add_wire(self, label: str, link: Wire) -> _Links:
        up, down = (self._add_link(f'{label}-{way}', 'link', 'ethernet', link.rate) for way in ('up', 'down'))
        self.builder.targets[label] = (up, down)
        return _Links(up, down)

    def _add_link(self, name: str, kind: str, technology: str, rate_bps: float, loss_ratio: float = 0.0,
                  attempts_max: int = 1) -> int:
        framing = wire.TECHNOLOGIES[technology]
        return self.builder.station(
            name, (rate_bps,), kind=kind, frame_bytes=framing.frame_bytes, loss_ratio=loss_ratio,
            frame_overhead_bits=wire.frame_overhead_bits(framing, rate_bps),
            frame_gap_bits=framing.gap_s * rate_bps, attempts_max=attempts_max)

    def _add_access_points(self) -> None:
        for point in self.hospital.access_points:
            kind = self.scenario.access_points[point.kind]
            shared = wire.TECHNOLOGIES[kind.technology].is_shared
            names = [f'{point.name}-air'] if shared else [f'{point.name}-ports-up', f'{point.name}-ports-down']
            air = [self._add_link(name, 'air' if shared else 'link', kind.technology, kind.rate, kind.loss_ratio,
                                  kind.attempts_max) for name in names]
            port = self.wires[point.name]
            self.builder.attachment(point.name, point.floor - 1, (air[0], air[-1], port.up, port.down))

    def _add_cluster(self) -> None:
        scenario, builder = self.scenario, self.builder
        profile = {name: self._profile(node.profile, ('edge', 'nodes', name, 'profile'))
                   for name, node in scenario.edge.nodes.items()}
        profile[SERVER] = self._profile(scenario.edge.server.profile, ('edge', 'server', 'profile'))
        placed = checks.pods(scenario)
        kinds = list(dict.fromkeys(profile[node].sha256 for node in placed.values()))
        pods = {
            pod: builder.station(pod, (1.0,) * scenario.crypto.pod_cores, kind='pod', discipline=FIFO,
                                 law_offset=kinds.index(profile[node].sha256))
            for pod, node in placed.items()
        }
        broker = builder.station('broker', (1.0,) * scenario.broker.cores, kind='broker')
        server = builder.station(SERVER, (1.0,) * checks.server_cores(scenario), kind='cpu')
        for name in (*scenario.edge.nodes, SERVER):
            here = [pods[pod] for pod, node in placed.items() if node == name]
            here += [broker] if scenario.broker.node == name else []
            here += [server] if name == SERVER else []
            wires = self.wires[f'{name}-link']
            builder.targets[name] = (*here, wires.up, wires.down)
        by_digest = {p.sha256: p for p in profile.values()}
        self.costing = Costing(builder, scenario.crypto)
        self.cluster = Cluster(
            broker=broker, broker_profile=profile[scenario.broker.node], server=server, server_profile=profile[SERVER],
            pods=tuple(pods.values()), pod_profiles=tuple(by_digest[kind] for kind in kinds))
        self.queues: dict[int, int] = {}

    def _queue(self, priority: int) -> int:
        """Return the crypto places' queue of a priority class, added when first asked for."""
        if priority not in self.queues:
            broker = self.scenario.broker
            self.queues[priority] = self.builder.queue(
                f'crypto-{priority}', self.cluster.pods, prefetch=self.scenario.crypto.prefetch,
                capacity=broker.capacity, deliver_s=broker.deliver, deliver_s_per_byte=8.0 / broker.deliver_rate,
                acknowledge_s=broker.acknowledge, detect_s=broker.detect, broker=self.cluster.broker)
        return self.queues[priority]

    # -- entities ---------------------------------------------------------------------------------------------

    def _add_entities(self) -> None:
        self.profiles: dict[str, Profile] = {}
        for name, device in self.scenario.devices.items():
            profile = self.profiles[name] = self._profile(device.profile, ('devices', name, 'profile'))
            self.class_rows[name] = self.builder.class_(
                name, base_w=profile.power['base'].value, busy_w=profile.power['busy'].value,
                transmit_w=profile.power['transmit'].value, receive_w=profile.power['receive'].value,
                battery_j=math.inf if device.battery is None else device.battery)
            self.entity_rows[name] = self.builder.entities(self.class_rows[name], self.hospital.attachments[name])
        self.class_rows[SERVER] = self.builder.class_(SERVER)
        self.entity_rows[SERVER] = self.builder.entities(self.class_rows[SERVER], [-1])

    def _profile(self, name: str, location: Location) -> Profile:
        try:
            return load_profile(name)
        except InputError as error:
            raise self.origin.error(location, str(error)) from None

    # -- routes -----------------------------------------------------------------------------------------------

    def _add_stream(self, class_name: str, name: str, stream: Stream) -> None:
        label = name if name == stream.flow else f'{stream.flow}/{name}'
        row = self.builder.stream(label, stream.flow)
        sizes = FlowSizes({'payload': stream.payload}, stream.priority, stream.deadline or math.inf)
        self._add_routes(row, stream.flow, class_name, sizes, ('devices', class_name, 'streams', name))
        by_hour = stream.by_hour
        if stream.arrivals is not None:
            self.builder.source(row, self.class_rows[class_name], LISTED, listed=stream.arrivals)
        elif stream.period is not None:
            self.builder.source(row, self.class_rows[class_name], PERIODIC, stream.period, by_hour)
        elif stream.rate is not None:
            self.builder.source(row, self.class_rows[class_name], POISSON, 1.0 / stream.rate, by_hour)

    def _add_routes(self, stream: int, flow: str, class_name: str, sizes: FlowSizes, location: Location) -> None:
        """Add a route for each floor on which the class stands, by the primary uplink and by the backup."""
        device = self.scenario.devices.get(class_name)
        kind = self.scenario.access_points[device.link] if device else None
        floors = [1]
        crosses = any(stage.place == 'network' for stage in FLOWS[flow])
        if device is not None:
            rows = np.unique(self.hospital.attachments[class_name]).tolist()
            floors = sorted({self.hospital.access_points[row].floor for row in rows})
        router = Router(self.costing, self.cluster, self._queue, self.options, self.scenario.transport,
                        self.scenario.crypto, self.profiles.get(class_name))
        for floor in floors:
            fallback = -1
            has_backup = crosses and self.scenario.wiring.backup is not None
            for uplink in (BACKUP, PRIMARY) if has_backup else (PRIMARY,):
                to_server = FLOWS[flow][-1].place == SERVER
                path = self._path(floor, kind, SERVER if to_server else self.scenario.broker.node, uplink)
                try:
                    route = router.route(FLOWS[flow], sizes, path)
                except InputError as error:
                    raise self.origin.error(location, str(error)) from None
                fallback = self.builder.route(
                    stream, self.class_rows[class_name], route.hops, group=floor - 1, priority=sizes.priority,
                    deadline_s=sizes.deadline_s, wire_bytes=route.wire_bytes, crypto_bytes=route.crypto_bytes,
                    guards=path.uplink if crosses and uplink == PRIMARY else (), fallback=fallback,
                    listed=uplink == PRIMARY)

    def _path(self, floor: int, kind: AccessPointKind | None, end: str, uplink: str) -> Path:
        links = self.hospital.path(floor, end, uplink)
        rows = [(self.wires[label], link) for label, link in links]
        return Path(air=kind, access=self.scenario.wiring.access,
                    up=tuple((pair.up, link) for pair, link in rows),
                    down=tuple((pair.down, link) for pair, link in reversed(rows)),
                    uplink=(rows[0][0].up, rows[0][0].down))

    # -- learning and outages ---------------------------------------------------------------------------------

    def _add_learning(self) -> None:
        learning = self.scenario.learning
        assert learning is not None
        sizes = FlowSizes({'model': learning.model, 'update': learning.update, 'updates': learning.update,
                           'samples': learning.samples}, learning.priority, math.inf)
        for flow in LEARNING_FLOWS:
            stream = self.builder.stream(flow, flow)
            for class_name in learning.clients if flow == 'fl-update' else (SERVER,):
                location = ('devices', class_name) if flow == 'fl-update' else ('edge', 'server')
                self._add_routes(stream, flow, class_name, sizes, location)
        clients = np.concatenate([self.entity_rows[name] for name in learning.clients])
        self.builder.learning = LearningPlan(
            clients=np.sort(clients), server=int(self.entity_rows[SERVER][0]), rounds=learning.rounds,
            fraction=learning.fraction, quorum=learning.quorum, deadline_s=learning.deadline, start_s=learning.start,
            pause_s=learning.pause, samples=np.full(clients.size, float(learning.samples)),
            update_bytes=learning.update)

    def _add_outages(self) -> None:
        for i, outage in enumerate(self.scenario.outages):
            if outage.target not in self.builder.targets:
                known = [*self.scenario.edge.nodes, 'broker', 'crypto-1', 'floor-1-uplink', 'core-link',
                         self.hospital.access_points[0].name]
                raise self.origin.error(('outages', i, 'target'), f"'{outage.target}' is not a part of this hospital; "
                                        f'parts are, for example, {", ".join(known)}')
        downs: dict[int, list[tuple[float, float]]] = {}
        for outage in self.scenario.outages:
            for row in self.builder.targets[outage.target]:
                downs.setdefault(row, []).append((outage.begin, outage.end))
        for row, intervals in downs.items():  # a station is up when nothing that it is part of is down
            self.builder.targets[f'station {row}'] = (row,)
            for begin_s, end_s in _merged(intervals):
                self.builder.changes += [(begin_s, f'station {row}', False), (end_s, f'station {row}', True)]


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return intervals in order, those that touch made one."""
    merged: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(intervals):
        if merged and begin_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end_s, merged[-1][1])
        else:
            merged.append((begin_s, end_s))
    return merged
