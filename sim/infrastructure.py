"""The infrastructure as stations: wires, access points, and the computers of the cluster.

Every wire is two stations, one a direction. Every access point is an attachment: its air (or its ports) and its wire.
Every computer has a wire to the cluster's switch, over which messages go to its crypto workers and from them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sim import placement, wire
from sim.building import NO_SLOTS, ModelBuilder
from sim.cluster import Cluster, Worker
from sim.hospital import AUTHORITY, SERVER, Hospital
from sim.model import FIFO, IN_TURN, PRIORITY
from sim.profiles import Profile
from sim.scenario import Scenario, Wire

ORDERS = {'priority': PRIORITY, 'in-turn': IN_TURN}  # broker.order


@dataclass(frozen=True)
class Links:
    """The stations of one wire."""

    up: int  # from the devices towards the computers
    down: int
    wire: Wire


def add_wires(builder: ModelBuilder, hospital: Hospital) -> dict[str, Links]:
    """Add the wires of a hospital and return them by their labels; each is a target."""
    wires = {}
    for _, _, edge in hospital.graph.edges(data=True):
        label, kind = edge['label'], edge['wire']
        up, down = (_add_link(builder, f'{label}-{way}', 'link', 'ethernet', kind.rate) for way in ('up', 'down'))
        wires[label] = Links(up, down, kind)
        builder.targets[label] = (up, down)
    return wires


def add_access_points(builder: ModelBuilder, scenario: Scenario, hospital: Hospital,
                      wires: Mapping[str, Links]) -> None:
    """Add the access points of a hospital, in its order, as attachments; those of one floor are a group."""
    for point in hospital.access_points:
        kind = scenario.access_points[point.kind]
        shared = wire.TECHNOLOGIES[kind.technology].is_shared
        names = [f'{point.name}-air'] if shared else [f'{point.name}-ports-up', f'{point.name}-ports-down']
        air = [_add_link(builder, name, 'air' if shared else 'link', kind.technology, kind.rate, kind.loss_ratio,
                         kind.attempts_max) for name in names]
        port = wires[point.name]
        builder.attachment(point.name, point.floor - 1, (air[0], air[-1], port.up, port.down))


def _add_link(builder: ModelBuilder, name: str, kind: str, technology: str, rate_bps: float, loss_ratio: float = 0.0,
              attempts_max: int = 1) -> int:
    framing = wire.TECHNOLOGIES[technology]
    return builder.station(
        name, (rate_bps,), kind=kind, frame_bytes=framing.frame_bytes, loss_ratio=loss_ratio,
        frame_overhead_bits=wire.frame_overhead_bits(framing, rate_bps), frame_gap_bits=framing.gap_s * rate_bps,
        attempts_max=attempts_max)


def add_cluster(builder: ModelBuilder, scenario: Scenario, wires: Mapping[str, Links],
                profiles: Mapping[str, Profile]) -> Cluster:
    """Add workers, broker and server; each computer is a target with all that is on it, its wire included.

    `profiles` has one for each computer.
    """
    cores = {name: profiles[name].cores.value for name in scenario.edge.nodes}
    placed, stays = placement.pods(scenario, cores), placement.stays(scenario, cores)
    placed |= {_pod_on(stay, placed): stay.node for stay in stays}
    kinds = list(dict.fromkeys(profiles[node].sha256 for node in placed.values()))
    pods = {
        pod: builder.station(pod, (1.0,) * scenario.crypto.pod_cores, kind='pod', discipline=FIFO,
                             law_offset=kinds.index(profiles[node].sha256),
                             slots=_between(wires, scenario.broker.node, node))
        for pod, node in placed.items()
    }
    broker = builder.station('broker', (1.0,) * scenario.broker.cores, kind='broker',
                             discipline=ORDERS[scenario.broker.order])
    server = builder.station(SERVER, (1.0,) * placement.server_cores(scenario), kind='cpu')
    authority = _add_authority(builder, scenario, wires, profiles)
    for name in (*scenario.edge.nodes, SERVER):
        here = [pods[pod] for pod, node in placed.items() if node == name]
        here += [broker] if scenario.broker.node == name else []
        here += [server] if name == SERVER else []
        here += [authority.station] if authority and scenario.keys and scenario.keys.authority == name else []
        own = wires[f'{name}-link']
        builder.targets[name] = (*here, own.up, own.down)
    builder.downs += [(pods[name], begin_s, end_s) for name in pods for begin_s, end_s in _gaps(
        [(stay.since_s, stay.until_s) for stay in stays if _pod_on(stay, placed) == name])]
    by_digest = {profile.sha256: profile for profile in profiles.values()}
    return Cluster(
        broker=broker, broker_profile=profiles[scenario.broker.node], server=server, server_profile=profiles[SERVER],
        pods=tuple(pods.values()), pod_profiles=tuple(by_digest[kind] for kind in kinds), wire=scenario.wiring.node,
        workers={
            **{pod: Worker(pods[pod], profiles[node], *_ways(wires, scenario.broker.node, node))
               for pod, node in placed.items()},
            SERVER: Worker(server, profiles[SERVER], *_ways(wires, scenario.broker.node, SERVER)),
        },
        authority=authority)


def _pod_on(stay: placement.Stay, placed: Mapping[str, str]) -> str:
    """Return what a worker is called on a node: on another one than its own it is a station of its own."""
    return stay.pod if placed[stay.pod] == stay.node else f'{stay.pod}@{stay.node}'


def _gaps(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the times from 0 on that are in none of some intervals, which are in order."""
    ends = [0.0, *(until_s for _, until_s in intervals)]
    begins = [*(since_s for since_s, _ in intervals), math.inf]
    return [(end_s, begin_s) for end_s, begin_s in zip(ends, begins, strict=True) if begin_s > end_s]


def _add_authority(builder: ModelBuilder, scenario: Scenario, wires: Mapping[str, Links],
                   profiles: Mapping[str, Profile]) -> Worker | None:
    """Add the key authority, a consumer of queues of its own."""
    if scenario.keys is None:
        return None
    node = scenario.keys.authority
    station = builder.station(AUTHORITY, (1.0,) * scenario.keys.cores, kind='pod', discipline=FIFO,
                              slots=_between(wires, scenario.broker.node, node))
    return Worker(station, profiles[node], *_ways(wires, scenario.broker.node, node))


def _ways(wires: Mapping[str, Links], broker: str, node: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the links from the broker to a computer, and those back; none on the broker's own computer."""
    links = tuple(station for station in _between(wires, broker, node) if station >= 0)
    return links[:2], links[2:]


def _between(wires: Mapping[str, Links], broker: str, node: str) -> tuple[int, int, int, int]:
    """Return the links from the broker to another computer and back, in the order of `model.CONSUMER_SLOTS`."""
    if broker == node:
        return NO_SLOTS
    here, there = wires[f'{broker}-link'], wires[f'{node}-link']
    return here.down, there.up, there.down, here.up
