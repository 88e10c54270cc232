"""The Hospital: the infrastructure as a graph, and the devices as columns attached to it.

Wards stand on floors in the order of the file, `wards_per_floor` on each. Every ward's access points hang off its
floor's switch; floors reach the core by an uplink and, if there is one, a backup; behind the core stands the
cluster's switch with the edge nodes and the server. Devices are spread evenly: over the wards of their kinds, then
over a ward's access points of their kind. Left out: roaming, VLANs, routing protocols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from sim.scenario import DeviceClass, Scenario, Wire

if TYPE_CHECKING:
    from sim.origin import Origin

CORE, CLUSTER, SERVER, AUTHORITY = 'core', 'cluster', 'server', 'authority'
PRIMARY, BACKUP = 'primary', 'backup'


@dataclass(frozen=True)
class AccessPoint:
    """One access point; its row in `Hospital.access_points` is what devices are attached to."""

    name: str
    kind: str
    ward: str
    floor: int


@dataclass(frozen=True)
class Hospital:
    """What a scenario builds."""

    graph: nx.MultiGraph[str]  # infrastructure; edges carry `wire` and `label`, parallel uplinks differ in their key
    access_points: tuple[AccessPoint, ...]
    attachments: dict[str, NDArray[np.int64]]  # class -> (n_devices,) rows of access_points
    n_floors: int

    def path(self, floor: int, end: str, uplink: str) -> list[tuple[str, Wire]]:
        """Return the wires between a floor's switch and a computer, label and wire each, from the floor on.

        `uplink` is `PRIMARY` or `BACKUP`.
        """
        ways = {uplink, 'only'}

        def is_open(_a: str, _b: str, key: object) -> bool:
            return key in ways

        allowed = nx.subgraph_view(self.graph, filter_edge=is_open)
        nodes = nx.shortest_path(allowed, floor_switch(floor), end)
        edges = (next(iter(allowed[a][b].values())) for a, b in pairwise(nodes))
        return [(edge['label'], edge['wire']) for edge in edges]


def floor_switch(floor: int) -> str:
    """Return the name of a floor's switch."""
    return f'floor-{floor}'


def n_at_beds(per_bed: float, beds: Sequence[int]) -> list[int]:
    """Return how many devices of a class each of some wards has.

    The sum over the first wards, however many, is rounded, halves up: so no rounding adds up.
    """
    up_to = [int(per_bed * n + 0.5) for n in accumulate(beds, initial=0)]
    return [after - before for before, after in pairwise(up_to)]


def ward_kinds(scenario: Scenario, device: DeviceClass) -> tuple[str, ...]:
    """Return the kinds of wards that a class is spread over."""
    return device.wards or tuple(kind for kind, ward in scenario.wards.items() if device.link in ward.access_points)


def build(scenario: Scenario, origin: Origin) -> Hospital:
    """Build the hospital of a scenario.

    Raises
    ------
    InputError
        If a class of devices finds no access point of its kind in its wards.
    """
    access_points, by_ward = _access_points(scenario)
    attachments = {name: _attach(scenario, origin, name, device, by_ward) for name, device in scenario.devices.items()}
    n_floors = access_points[-1].floor
    return Hospital(_graph(scenario, access_points, n_floors), tuple(access_points), attachments, n_floors)


def _access_points(scenario: Scenario) -> tuple[list[AccessPoint], dict[str, list[dict[str, list[int]]]]]:
    """Return all access points, and for each kind of ward the rows by kind of access point of each ward."""
    access_points: list[AccessPoint] = []
    by_ward: dict[str, list[dict[str, list[int]]]] = {}
    n_wards = 0
    for ward_kind, ward in scenario.wards.items():
        by_ward[ward_kind] = []
        for i in range(ward.count):
            floor = 1 + n_wards // scenario.wards_per_floor
            n_wards += 1
            rows: dict[str, list[int]] = {}
            for kind, n in ward.access_points.items():
                first = len(access_points)
                access_points += [
                    AccessPoint(f'{ward_kind}-{i + 1}/{kind}-{j + 1}', kind, f'{ward_kind}-{i + 1}', floor)
                    for j in range(n)
                ]
                rows[kind] = list(range(first, first + n))
            by_ward[ward_kind].append(rows)
    return access_points, by_ward


def _attach(scenario: Scenario, origin: Origin, name: str, device: DeviceClass,
            by_ward: dict[str, list[dict[str, list[int]]]]) -> NDArray[np.int64]:
    wards = [(rows, scenario.wards[kind].beds) for kind in ward_kinds(scenario, device) for rows in by_ward[kind]]
    if not wards:
        raise origin.error(('devices', name, 'link'), f"no ward has an access point of kind '{device.link}', so these "
                           'devices cannot reach the server; add one to a ward')
    if device.count is not None:
        share, rest = divmod(device.count, len(wards))
        counts = [share + (i < rest) for i in range(len(wards))]
    else:
        assert device.per_bed is not None
        counts = n_at_beds(device.per_bed, [beds for _, beds in wards])
    if not any(counts):
        raise origin.error(('devices', name), 'comes to no device at all, its wards have no beds; give a count')
    return np.concatenate([
        np.resize(np.array(rows[device.link], np.int64), n) for n, (rows, _) in zip(counts, wards, strict=True)
    ])


def _graph(scenario: Scenario, access_points: list[AccessPoint], n_floors: int) -> nx.MultiGraph[str]:
    graph: nx.MultiGraph[str] = nx.MultiGraph()
    wiring = scenario.wiring
    for point in access_points:
        graph.add_edge(point.name, floor_switch(point.floor), key='only', wire=wiring.access, label=point.name)
    for floor in range(1, n_floors + 1):
        switch = floor_switch(floor)
        graph.add_edge(switch, CORE, key=PRIMARY, wire=wiring.uplink, label=f'{switch}-uplink')
        if wiring.backup is not None:
            graph.add_edge(switch, CORE, key=BACKUP, wire=wiring.backup, label=f'{switch}-backup')
    graph.add_edge(CORE, CLUSTER, key='only', wire=wiring.core, label='core-link')
    for computer in [*scenario.edge.nodes, SERVER]:
        graph.add_edge(CLUSTER, computer, key='only', wire=wiring.node, label=f'{computer}-link')
    return graph
