"""What a schema cannot say: names that must exist, numbers that must fit together.

Each check yields (location, message); the first one found is reported.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain

from sim import wire
from sim.errors import suggestion
from sim.hospital import AUTHORITY, CLUSTER, CORE, SERVER, n_at_beds, ward_kinds
from sim.origin import Origin
from sim.placement import cores_of, kept_cores, pods_per_node, reserved_memory, server_cores
from sim.profiles import Profile
from sim.scenario import DeviceClass, Scenario
from sim.values import RUN_S_MAX
from sim.yaml_source import Location

Findings = Iterator[tuple[Location, str]]
DEVICES_MAX = 10_000_000  # rows of arrays, about 700 bytes each while it runs
ACCESS_POINTS_MAX = 100_000  # a region's; objects, about 10 KiB each while it is lowered
MESSAGES_MAX = 1e12  # four days at three million a second
REKEYS_MAX = 1e7  # about a quarter of an hour; each is a coroutine
# RabbitMQ 3.10: max_message_size. A simulated broker may be anybody's, set up as they like; those that we set up on
# hardware take less, so that every version does (hil/broker/settings.py), and a run there is refused by that limit.
MESSAGE_BYTES_MAX = 128 << 20
TAKEN = re.compile(rf'{CORE}|{CLUSTER}|{SERVER}|{AUTHORITY}|broker|(floor|crypto)-.*|.*-link')  # names of other parts


def check(scenario: Scenario, origin: Origin, profiles: Mapping[str, Profile]) -> None:
    """Refuse a scenario whose parts do not fit together; `profiles` are those that it uses, by their names in it.

    Raises
    ------
    InputError
        With the first thing found.
    """
    edge = partial(_edge, profiles=profiles)
    findings = (_times, _wards, _devices, edge, _learning, _keys, _outages)
    first = next(chain.from_iterable(find(scenario) for find in findings), None)
    if first is not None:
        raise origin.error(*first)


def _times(scenario: Scenario) -> Findings:
    if scenario.warm_up >= scenario.duration:
        yield ('warm_up',), (f'{scenario.warm_up:g} s is not shorter than the duration, {scenario.duration:g} s; '
                             'shorten it')
    if scenario.duration > RUN_S_MAX:
        yield ('duration',), f'{scenario.duration:g} s is too long; take at most {RUN_S_MAX:g} s'


def _wards(scenario: Scenario) -> Findings:
    for name, ward in scenario.wards.items():
        for kind in ward.access_points:
            if kind not in scenario.access_points:
                yield ('wards', name, 'access_points', kind), _unknown(kind, scenario.access_points, 'access_points')
    n_points = sum(ward.count * sum(ward.access_points.values()) for ward in scenario.wards.values())
    if n_points > ACCESS_POINTS_MAX:
        yield ('wards',), f'have {n_points:,} access points; at most {ACCESS_POINTS_MAX:,} fit; take fewer'
    for name, point in scenario.access_points.items():
        if point.connection_interval is not None and point.technology != 'ble':
            yield ('access_points', name, 'connection_interval'), (
                f'{point.technology} has no connection events, only ble does; remove it')
        if point.loss_ratio and not wire.TECHNOLOGIES[point.technology].is_shared:
            yield ('access_points', name, 'loss_ratio'), (
                f'found {point.loss_ratio:g}; cables lose no frames here, remove it')


def _devices(scenario: Scenario) -> Findings:
    n_devices, n_messages = 0, 0.0
    for name, device in scenario.devices.items():
        at: Location = ('devices', name)
        if name == SERVER or name in scenario.edge.nodes:
            yield at, f"'{name}' is also the name of a computer of the edge; rename the class"
        if device.link not in scenario.access_points:
            yield (*at, 'link'), _unknown(device.link, scenario.access_points, 'access_points')
        for i, ward in enumerate(device.wards):
            if ward not in scenario.wards:
                yield (*at, 'wards', i), _unknown(ward, scenario.wards, 'wards')
            if ward in device.wards[:i]:
                yield (*at, 'wards', i), f"'{ward}' is named twice; remove one of them"
            if device.link not in scenario.wards[ward].access_points:
                yield (*at, 'wards', i), (f"ward '{ward}' has no access point of kind '{device.link}'; "
                                          'add one there or leave the ward out')
        n = _n_devices(scenario, device)
        n_devices += n
        for stream_name, stream in device.streams.items():
            beyond = [index for index, _ in stream.arrivals or () if index >= n]
            if beyond:
                yield (*at, 'streams', stream_name, 'arrivals'), (
                    f'names device {beyond[0]}, and there are {n}, numbered from 0; remove the arrival, or add devices')
            rate = stream.rate or (0.0 if stream.period is None else 1.0 / stream.period)
            n_messages += n * rate * max(stream.by_hour) * scenario.duration
            if stream.flow != 'imaging' and stream.payload > MESSAGE_BYTES_MAX:
                yield (*at, 'streams', stream_name, 'payload'), _too_large(stream.payload)
    if n_devices > DEVICES_MAX:
        yield ('devices',), f'are {n_devices:,}; at most {DEVICES_MAX:,} fit; take fewer'
    if n_messages > MESSAGES_MAX:
        yield ('devices',), (f'send up to {n_messages:.3g} messages; at most {MESSAGES_MAX:.0e} can be simulated; '
                             'let them send less, or shorten the duration')


def _n_devices(scenario: Scenario, device: DeviceClass) -> int:
    if device.count is not None:
        return device.count
    assert device.per_bed is not None
    wards = [scenario.wards[kind] for kind in ward_kinds(scenario, device)]
    return sum(n_at_beds(device.per_bed, [ward.beds for ward in wards for _ in range(ward.count)]))


def _edge(scenario: Scenario, profiles: Mapping[str, Profile]) -> Findings:
    nodes, node = scenario.edge.nodes, scenario.broker.node
    for name in nodes:
        if TAKEN.fullmatch(name):
            yield ('edge', 'nodes', name), f"'{name}' is a name of another part of the hospital; rename the node"
    if node != SERVER and node not in nodes:
        yield ('broker', 'node'), _unknown(node, [SERVER, *nodes], 'edge.nodes')
    known = [SERVER, *nodes]
    if scenario.edge.k3s_server is not None and scenario.edge.k3s_server not in known:
        yield ('edge', 'k3s_server'), _unknown(scenario.edge.k3s_server, known, 'edge.nodes')
    cores_of_nodes = cores_of(scenario, profiles)
    for (name, cores), n_pods in zip(cores_of_nodes.items(), pods_per_node(scenario, profiles), strict=True):
        reserved = kept_cores(scenario, name) + n_pods * scenario.crypto.pod_cores
        if reserved > cores:
            yield ('edge', 'nodes', name), (
                f'has {cores:g} cores, but pods, broker and K3s reserve {reserved:g}; take fewer replicas or '
                'pod_cores, or more nodes')
        memory, reserved = nodes[name].memory or math.inf, reserved_memory(scenario, name, n_pods)
        if reserved > memory:
            yield ('edge', 'nodes', name), (
                f'has {memory:,.0f} bytes of memory, but pods and K3s reserve {reserved:,.0f}; take fewer replicas or '
                'less pod_memory, or more nodes')
    server = scenario.edge.server
    cores = profiles[server.profile].cores.value
    if server.cores > cores:
        yield ('edge', 'server', 'cores'), (
            f'{server.cores} are more than the {cores:g} of its profile {server.profile}; take fewer, or a profile of '
            'a larger computer')
    if server_cores(scenario) < 1:
        yield ('edge', 'server', 'cores'), (
            f'{scenario.edge.server.cores} cores leave none beside the {kept_cores(scenario, SERVER):g} reserved; '
            'take more, or move the broker or the key authority to a node')


def _learning(scenario: Scenario) -> Findings:
    learning = scenario.learning
    if learning is None:
        return
    for i, name in enumerate(learning.clients):
        if name not in scenario.devices:
            yield ('learning', 'clients', i), _unknown(name, scenario.devices, 'devices')
        if name in learning.clients[:i]:
            yield ('learning', 'clients', i), f"'{name}' is named twice; remove one of them"
    for what in ('model', 'update'):
        if getattr(learning, what) > MESSAGE_BYTES_MAX:
            yield ('learning', what), _too_large(getattr(learning, what))
    if learning.start >= scenario.duration:
        yield ('learning', 'start'), _after_the_end(learning.start, scenario)


def _keys(scenario: Scenario) -> Findings:
    keys = scenario.keys
    if keys is None:
        return
    if scenario.edge.rescheduling is not None:
        yield ('edge', 'rescheduling'), ('moves workers, and the life of keys does not know where they go; leave one '
                                         'of them out')
    nodes, rotation = scenario.edge.nodes, keys.rotation
    if keys.authority != SERVER and keys.authority not in nodes:
        yield ('keys', 'authority'), _unknown(keys.authority, [SERVER, *nodes], 'edge.nodes')
    if scenario.crypto.aead == 'none':
        yield ('keys',), 'live without a cipher that uses them; name one in crypto.aead, or leave keys out'
    if keys.expiry <= rotation.every:
        yield ('keys', 'expiry'), (f'{keys.expiry:g} s is not more than rotation.every, {rotation.every:g} s: '
                                   'keys would be refused before they are replaced; lengthen it')
    n_rekeys = sum(_n_devices(scenario, device) for device in scenario.devices.values()) * (
        scenario.duration / min(rotation.every, rotation.usage_check * max(1.0, rotation.usage)))
    if n_rekeys > REKEYS_MAX:
        yield ('keys', 'rotation'), (f'replaces up to {n_rekeys:.3g} keys; at most {REKEYS_MAX:.0e} can be simulated; '
                                     'take a longer every or a larger usage')
    if rotation.rounds is not None and scenario.learning is None:
        yield ('keys', 'rotation', 'rounds'), 'counts rounds of learning, and there are none; remove it'
    for i, revocation in enumerate(keys.revocations):
        at: Location = ('keys', 'revocations', i)
        if revocation.devices not in scenario.devices:
            yield (*at, 'devices'), _unknown(revocation.devices, scenario.devices, 'devices')
            continue
        device = scenario.devices[revocation.devices]
        n = _n_devices(scenario, device)
        if revocation.index is not None and revocation.index >= n:
            yield (*at, 'index'), (f'names device {revocation.index}, and there are {n}, numbered from 0; '
                                   'take a lower one')
        if revocation.at >= scenario.duration:
            yield (*at, 'at'), _after_the_end(revocation.at, scenario)
        if revocation.enrol_again is not None:
            if revocation.enrol_again < revocation.at:
                yield (*at, 'enrol_again'), (f'{revocation.enrol_again:g} s is before at, {revocation.at:g} s; '
                                             'take a later time')
            if device.trust != 'signed':
                yield (*at, 'enrol_again'), (f"devices of class '{revocation.devices}' have no certificates, their "
                                             f'trust is {device.trust}; leave it out')
        yield from _revoked_twice(scenario, i)


def _revoked_twice(scenario: Scenario, i: int) -> Findings:
    assert scenario.keys is not None
    mine = scenario.keys.revocations[i]
    for other in scenario.keys.revocations[:i]:
        if other.devices == mine.devices and (other.index is None or mine.index is None or other.index == mine.index):
            yield ('keys', 'revocations', i), (f"revokes devices of class '{mine.devices}' that are revoked before; "
                                               'remove one of them')


def _too_large(n_bytes: int) -> str:
    return f'{n_bytes:,} bytes are more than a broker takes in one message, {MESSAGE_BYTES_MAX:,}; take fewer'


def _after_the_end(at_s: float, scenario: Scenario) -> str:
    return f'{at_s:g} s is not before the end, {scenario.duration:g} s; take an earlier time, or leave it out'


def _outages(scenario: Scenario) -> Findings:
    for i, outage in enumerate(scenario.outages):
        if outage.end <= outage.begin:
            yield ('outages', i, 'end'), f'{outage.end:g} s is not after begin, {outage.begin:g} s; take a later time'
        if outage.begin >= scenario.duration + scenario.drain:
            yield ('outages', i, 'begin'), f'{outage.begin:g} s is not before the end of the run; leave the outage out'


def _unknown(name: str, known: Iterable[str], where: str) -> str:
    return f"'{name}' is not in {where}; {suggestion(name, known)}"
