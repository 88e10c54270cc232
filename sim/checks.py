"""What a schema cannot say: names that must exist, numbers that must fit together.

Each check yields (location, message); the first one found is reported.
"""

from collections.abc import Iterator
from itertools import chain

from sim import wire
from sim.errors import InputError
from sim.hospital import SERVER
from sim.loading import Location, Origin
from sim.profiles import load_profile
from sim.scenario import Scenario

Findings = Iterator[tuple[Location, str]]
DEVICES_MAX = 10_000_000  # rows of arrays, about 1 KiB each while it runs


def check(scenario: Scenario, origin: Origin) -> None:
    """Refuse a scenario whose parts do not fit together.

    Raises
    ------
    InputError
        With the first thing found.
    """
    findings = (_times, _wards, _devices, _edge, _learning, _outages)
    first = next(chain.from_iterable(find(scenario) for find in findings), None)
    if first is not None:
        raise origin.error(*first)


def pods(scenario: Scenario) -> dict[str, str]:
    """Return the crypto workers and the node that each is placed on, spread in the order of the nodes."""
    nodes = list(scenario.edge.nodes)
    n = 1 if scenario.crypto.placement == 'sequential' else scenario.crypto.replicas
    return {f'crypto-{i + 1}': nodes[i % len(nodes)] for i in range(n)}


def reserved_cores(scenario: Scenario, node: str) -> float:
    """Return the cores of a node that pods, the broker and K3s keep for themselves."""
    cores = scenario.edge.k3s_cores
    cores += scenario.crypto.pod_cores * sum(where == node for where in pods(scenario).values())
    return cores + (scenario.broker.cores if scenario.broker.node == node else 0)


def server_cores(scenario: Scenario) -> int:
    """Return the whole cores that the server has left for its own stages."""
    return int(scenario.edge.server.cores - reserved_cores(scenario, SERVER))


def _times(scenario: Scenario) -> Findings:
    if scenario.warm_up >= scenario.duration:
        yield ('warm_up',), f'{scenario.warm_up:g} s is not shorter than the duration, {scenario.duration:g} s'


def _wards(scenario: Scenario) -> Findings:
    for name, ward in scenario.wards.items():
        for kind in ward.access_points:
            if kind not in scenario.access_points:
                yield ('wards', name, 'access_points', kind), _unknown(kind, scenario.access_points, 'access_points')
    for name, point in scenario.access_points.items():
        if point.connection_interval is not None and point.technology != 'ble':
            yield ('access_points', name, 'connection_interval'), (
                f'{point.technology} has no connection events; only ble does')
        if point.loss_ratio and not wire.TECHNOLOGIES[point.technology].is_shared:
            yield ('access_points', name, 'loss_ratio'), 'cables lose no frames here; remove it'


def _devices(scenario: Scenario) -> Findings:
    n_devices = 0
    for name, device in scenario.devices.items():
        at: Location = ('devices', name)
        if name == SERVER or name in scenario.edge.nodes:
            yield at, f"'{name}' is also the name of a computer of the edge; rename the class"
        if device.link not in scenario.access_points:
            yield (*at, 'link'), _unknown(device.link, scenario.access_points, 'access_points')
        for i, ward in enumerate(device.wards):
            if ward not in scenario.wards:
                yield (*at, 'wards', i), _unknown(ward, scenario.wards, 'wards')
            if device.link not in scenario.wards[ward].access_points:
                yield (*at, 'wards', i), (f"ward '{ward}' has no access point of kind '{device.link}'; "
                                          'add one there or leave the ward out')
        n_devices += device.count or 0
        for stream_name, stream in device.streams.items():
            rows = stream.arrivals if isinstance(stream.arrivals, tuple) else ()
            if device.count is not None and any(index >= device.count for index, _ in rows):
                yield (*at, 'streams', stream_name, 'arrivals'), f'names a device beyond the {device.count} there are'
    if n_devices > DEVICES_MAX:
        yield ('devices',), f'{n_devices} devices; at most {DEVICES_MAX} fit'


def _edge(scenario: Scenario) -> Findings:
    nodes, node = scenario.edge.nodes, scenario.broker.node
    if SERVER in nodes:
        yield ('edge', 'nodes', SERVER), "'server' is the server's own name; rename the node"
    if node != SERVER and node not in nodes:
        yield ('broker', 'node'), _unknown(node, [SERVER, *nodes], 'edge.nodes')
    for name, computer in nodes.items():
        reserved = reserved_cores(scenario, name)
        try:
            cores = load_profile(computer.profile).cores.value
        except InputError as error:
            yield ('edge', 'nodes', name, 'profile'), str(error)
            continue
        if reserved > cores:
            yield ('edge', 'nodes', name), (
                f'has {cores:g} cores, but pods, broker and K3s reserve {reserved:g}; take fewer replicas or '
                'pod_cores, or more nodes')
    if server_cores(scenario) < 1:
        yield ('edge', 'server', 'cores'), (
            f'{scenario.edge.server.cores} cores leave none beside the {reserved_cores(scenario, SERVER):g} reserved')


def _learning(scenario: Scenario) -> Findings:
    learning = scenario.learning
    if learning is None:
        return
    for i, name in enumerate(learning.clients):
        if name not in scenario.devices:
            yield ('learning', 'clients', i), _unknown(name, scenario.devices, 'devices')
        if name in learning.clients[:i]:
            yield ('learning', 'clients', i), f"'{name}' is named twice"
    if learning.start >= scenario.duration:
        yield ('learning', 'start'), f'{learning.start:g} s is not before the end, {scenario.duration:g} s'


def _outages(scenario: Scenario) -> Findings:
    for i, outage in enumerate(scenario.outages):
        if outage.end <= outage.begin:
            yield ('outages', i, 'end'), f'{outage.end:g} s is not after begin, {outage.begin:g} s'


def _unknown(name: str, known: object, where: str) -> str:
    names = ', '.join(list(known)[:12])  # type: ignore[call-overload]
    return f"'{name}' is not in {where}; there is {names or 'nothing'}"
