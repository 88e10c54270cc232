"""The ways of streams: for each class that launches one, a route a floor, by the primary uplink and by the backup.

`sim.routing` turns the stages of a flow into the hops of one route; this module knows who launches what from where.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.building import ModelBuilder
from sim.cluster import Cluster
from sim.costing import Costing
from sim.flows import FRESH_KEY, KEY_FLOWS, PAIRWISE, SIGNED, TRUST_OPTIONS, Table
from sim.hospital import BACKUP, PRIMARY, SERVER, Hospital
from sim.infrastructure import Links
from sim.origin import Origin
from sim.profiles import MissingCost, Profile
from sim.routing import FlowSizes, Path, Router
from sim.scenario import Crypto, DeviceClass, Scenario
from sim.yaml_source import Location, spell_key


@dataclass(frozen=True)
class Population:
    """Rows of the classes and of their entities; each worker that launches jobs is a class of one."""

    class_rows: Mapping[str, int]
    entity_rows: Mapping[str, NDArray[np.int64]]
    profiles: Mapping[str, Profile]  # of the classes of devices


def learning_options(crypto: Crypto) -> frozenset[str]:
    """Return which optional stages learning has."""
    return frozenset(([FRESH_KEY] if crypto.learning_keys == 'per-round' else [])
                     + ([PAIRWISE] if crypto.learning_keys != 'group' else [])
                     + ([SIGNED] if crypto.sign_updates else []))


class Ways:
    """Adds the routes of streams. Invariant: one queue a place and priority class, added when first asked for."""

    def __init__(self, builder: ModelBuilder, scenario: Scenario, origin: Origin, hospital: Hospital,
                 wires: Mapping[str, Links], cluster: Cluster, computers: Mapping[str, Profile],
                 population: Population, table: Table) -> None:
        self._builder, self._scenario, self._origin, self._hospital = builder, scenario, origin, hospital
        self._wires, self._cluster, self._computers, self._population = wires, cluster, computers, population
        self._table, self._costing = table, Costing(builder, scenario.crypto)
        self._queues: dict[tuple[str, int], int] = {}
        self._options = learning_options(scenario.crypto)

    def add(self, stream: int, flow: str, class_name: str, sizes: FlowSizes, location: Location) -> int:
        """Add a route for each floor on which a class stands, by the primary uplink and by the backup.

        Returns the row of the class, for the stream's source.
        """
        scenario, class_row = self._scenario, self._population.class_rows[class_name]
        device = scenario.devices.get(class_name)
        options = self._options | (TRUST_OPTIONS[device.trust] if device is not None else frozenset())
        router = Router(self._costing, self._cluster, self._queue, options, scenario,
                        self._population.profiles.get(class_name), self._cluster.workers.get(class_name))
        crosses = device is not None and any(stage.place == 'network' for stage in self._table[flow])
        end = SERVER if self._table[flow][-1].place == SERVER else scenario.broker.node
        for floor in self._floors(class_name, device):
            fallback = -1
            has_backup = crosses and scenario.wiring.backup is not None
            for uplink in (BACKUP, PRIMARY) if has_backup else (PRIMARY,):
                path = self._path(floor, device, end, uplink)
                try:
                    route = router.route(self._table[flow], sizes, path)
                except MissingCost as error:
                    where, needed = self._profile_lacking(error, class_name), spell_key(location)
                    said = f'{error}{_other_trust(flow, device, error.stage)}; {needed} needs it'
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
            error.place, [*scenario.edge.nodes, SERVER])
        return profile_of(next(node for node in nodes if self._computers[node].sha256 == error.digest))

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


def _other_trust(flow: str, device: DeviceClass | None, missing: str) -> str:
    """Return what else a class of devices could do that lacks the number of a stage for its keys."""
    other = {'signed': 'pre-shared-kem', 'pre-shared-kem': 'pre-shared'}.get(device.trust) if device else None
    if other and missing.startswith('kem.'):
        other = 'pre-shared'  # alone does without
    return f'; or let its keys rest on something else, with trust: {other}' if other and flow in KEY_FLOWS else ''


def profile_of(computer: str) -> Location:
    """Return where the profile of a computer is named."""
    return ('edge', 'server', 'profile') if computer == SERVER else ('edge', 'nodes', computer, 'profile')
