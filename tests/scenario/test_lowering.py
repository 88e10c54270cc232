"""From a scenario to a Model: the hops of its flows by name, bindings, backups, a latency by hand, and stable draws."""

import math

import numpy as np
import pytest

from sim import wire
from sim.model import (
    CONSUMER,
    CONSUMER_SLOTS,
    DELAY,
    FIRST_CONSUMER_SLOT,
    FIRST_SLOT,
    LINK,
    OWN_CPU,
    QUEUE,
    Model,
)
from sim.profiles import load_profile
from sim.results.recording import Recording
from sim.running import run_model
from tests.scenario.clinic import model_of, scenario_of
from tests.tables import by_address, finished, hops_by_address, jobs

BACKUP = ('wiring.backup={rate: 10 Mbit/s, latency: 1 ms}',)


def route_of(model: Model, stream: str, class_name: str, group: int = 0) -> int:
    """Return the route of a stream of a class on a floor."""
    row = int(model.route_of[model.streams.index(stream), 0, model.classes.name.index(class_name), group])
    assert row >= 0
    return row


def hops_of(model: Model, route: int, attachment: int = 0) -> list[tuple[str, str]]:
    """Return (stage, what it is served by) of each hop of a route, for an entity at an attachment."""
    named = []
    first = int(model.routes.hop_first[route])
    for row in range(first, first + int(model.routes.n_hops[route])):
        kind, reference = int(model.hops.kind[row]), int(model.hops.station[row])
        if kind == DELAY:
            station = 'nothing'
        elif kind == QUEUE:
            station = f'queue {model.queues.name[reference]}'
        elif reference <= FIRST_CONSUMER_SLOT:
            station = CONSUMER_SLOTS[FIRST_CONSUMER_SLOT - reference]
        elif reference <= FIRST_SLOT:
            station = model.stations.name[model.attachments.slots[attachment, FIRST_SLOT - reference]]
        else:
            station = {OWN_CPU: 'own', CONSUMER: 'consumer'}.get(reference) or model.stations.name[reference]
        named.append((model.stages[model.hops.stage[row]], station))
    return named


def attachment_of(model: Model, name: str) -> int:
    """Return the row of an access point."""
    return model.attachments.name.index(name)


def column(model: Model, route: int, name: str, kind: int) -> list[float]:
    """Return a column of the hops of one kind of a route."""
    rows = slice(int(model.routes.hop_first[route]), int(model.routes.hop_first[route] + model.routes.n_hops[route]))
    values: list[float] = getattr(model.hops, name)[rows][model.hops.kind[rows] == kind].tolist()
    return values


def test_vitals_of_a_ble_device_go_by_air_cable_broker_and_consumer() -> None:
    """The hops of a patch in the second ward, one after the other."""
    model = model_of()
    assert hops_of(model, route_of(model, 'vitals', 'patch'), attachment_of(model, 'ward-2/gateway-1')) == [
        ('aead.seal', 'own'),
        ('net.wait', 'nothing'),
        ('net.transfer', 'ward-2/gateway-1-air'),
        ('net.transfer', 'ward-2/gateway-1-up'),
        ('net.transfer', 'floor-1-uplink-up'),
        ('net.transfer', 'core-link-up'),
        ('net.transfer', 'server-link-up'),
        ('broker.route', 'broker'),
        ('broker.queue', 'queue crypto-1'),
        ('net.transfer', 'broker_out'),
        ('net.transfer', 'node_in'),
        ('aead.open', 'consumer'),
    ]


def test_learning_goes_down_to_the_device_and_back_up() -> None:
    """The hops of a signed update, with a key a round, of a monitor in the theatre, on the second floor."""
    model = model_of('crypto.sign_updates=true')
    down = ['server-link-down', 'core-link-down', 'floor-2-uplink-down', 'theatre-1/port-1-down',
            'theatre-1/port-1-ports-down']
    up = ['theatre-1/port-1-ports-up', 'theatre-1/port-1-up', 'floor-2-uplink-up', 'core-link-up', 'server-link-up']
    route = route_of(model, 'fl-update', 'monitor', group=1)
    assert hops_of(model, route, attachment_of(model, 'theatre-1/port-1')) == [
        ('broker.route', 'broker'),
        ('broker.queue', 'queue crypto-3'),
        ('net.transfer', 'broker_out'),
        ('net.transfer', 'node_in'),
        ('kem.encaps', 'consumer'),
        ('aead.seal', 'consumer'),
        ('net.transfer', 'node_out'),
        ('net.transfer', 'broker_in'),
        ('broker.route', 'broker'),
        *(('net.transfer', link) for link in down),
        ('kem.decaps', 'own'),
        ('aead.open', 'own'),
        ('fl.train', 'own'),
        ('aead.seal', 'own'),
        ('sig.sign', 'own'),
        *(('net.transfer', link) for link in up),
        ('broker.route', 'broker'),
        ('broker.queue', 'queue crypto-3'),
        ('net.transfer', 'broker_out'),
        ('net.transfer', 'node_in'),
        ('sig.verify', 'consumer'),
        ('aead.open', 'consumer'),
    ]


def test_study_goes_past_the_broker_to_the_server() -> None:
    """The hops of an image: sealed by the scanner, opened by the server itself."""
    model = model_of()
    stages = hops_of(model, route_of(model, 'imaging', 'scanner', group=1), attachment_of(model, 'theatre-1/port-1'))
    assert (stages[0], stages[-2], stages[-1]) == (
        ('aead.seal', 'own'), ('net.transfer', 'server-link-up'), ('aead.open', 'server'))
    assert 'broker.route' not in dict(stages)


def test_broker_on_a_node_is_reached_over_the_link_of_the_node() -> None:
    """With the broker on edge-2, vitals take edge-2's link in the place of the server's, and no other does."""
    there, here = model_of('broker.node=edge-2'), model_of()
    for model, link in ((there, 'edge-2-link-up'), (here, 'server-link-up')):
        assert hops_of(model, route_of(model, 'vitals', 'tag'))[-6] == ('net.transfer', link)
        assert hops_of(model, route_of(model, 'imaging', 'scanner', group=1))[-2] == ('net.transfer', 'server-link-up')


def test_placement_binds_other_consumers_and_changes_nothing_else() -> None:
    """Sequential and distributed have the same stations but for workers, and the same hops on every route."""
    one, many = (model_of(f'crypto.placement={placement}', *BACKUP) for placement in ('sequential', 'distributed'))
    workers = [[model.stations.name[row] for row in model.queues.consumers[0]] for model in (one, many)]
    assert workers == [['crypto-1'], ['crypto-1', 'crypto-2']]
    assert [*one.stations.name, 'crypto-2'] == sorted(many.stations.name, key=[*one.stations.name, 'crypto-2'].index)
    assert one.queues.name == many.queues.name
    assert all(len(set(model.queues.consumers)) == 1 for model in (one, many)), 'every queue has all workers'
    assert one.routes.stream.size == many.routes.stream.size
    for route in range(one.routes.stream.size):
        assert hops_of(one, route) == hops_of(many, route)
    for name in ('amount', 'latency_s', 'n_bytes', 'wrap_bytes', 'segment_bytes', 'key', 'flags'):
        assert np.array_equal(getattr(one.hops, name), getattr(many.hops, name)), name


def test_backup_is_the_same_way_but_for_the_uplink_that_guards_it() -> None:
    """Every listed route with a transfer has a fallback; its guards are its uplink, and only that name differs."""
    model = model_of(*BACKUP)
    listed = [row for row in np.unique(model.route_of).tolist() if row >= 0]
    n_backed = 0
    for route in listed:
        fallback = int(model.routes.fallback[route])
        if model.classes.name[int(np.argwhere(model.route_of == route)[0, 2])] == 'server':
            assert fallback == -1
            assert model.routes.guards[route] == ()
            continue
        assert fallback >= 0
        assert fallback not in listed
        hops, backup = hops_of(model, route), hops_of(model, fallback)
        assert [(stage, name.replace('-uplink-', '-backup-')) for stage, name in hops] == backup
        guards = {model.stations.name[row] for row in model.routes.guards[route]}
        floor = {name.rpartition('-')[0] for name in guards}
        assert guards == {f'{uplink}-{way}' for uplink in floor for way in ('up', 'down')}
        n_backed += hops != backup
        assert hops == backup or any(name in guards for _, name in hops)
    assert n_backed == 2 + 1 + 1 + 2 + 1 + 2, 'patch, tag, pump, monitor (two floors), scanner, learning (two floors)'


def test_job_launched_without_uplink_takes_the_backup() -> None:
    """Jobs of the first floor in an outage of its uplink cross the backup; those before and after do not."""
    model = model_of(*BACKUP, 'outages=[{target: floor-1-uplink, begin: 5 s, end: 10 s}]')
    recording = run_model(model)
    primary = route_of(model, 'vitals', 'patch')
    backup = int(model.routes.fallback[primary])
    table = jobs(recording)
    for route, within in ((backup, True), (primary, False)):
        launched_s = table['launched_s'][table['route'] == route]
        assert launched_s.size
        assert np.all(((launched_s >= 5.0) & (launched_s < 10.0)) == within)


def test_consumer_receives_the_message_of_its_visit() -> None:
    """Of a signed update, the first visit is sent the sealed model and the second the sealed and signed update."""
    model = model_of('crypto.sign_updates=true', 'learning.model=400 kB', 'learning.update=100 kB')
    assert on_the_way_to_consumers(model, 'fl-update', 'monitor') == [400_032] * 2 + [100_032 + 3309] * 2
    assert on_the_way_to_consumers(model, 'vitals', 'tag') == [64] * 2


def on_the_way_to_consumers(model: Model, stream: str, class_name: str) -> list[int]:
    """Return the bytes on the links from the broker to the consumers, in the order of a route's hops."""
    route = route_of(model, stream, class_name)
    sent = zip(column(model, route, 'station', LINK), column(model, route, 'n_bytes', LINK), strict=True)
    slots = {FIRST_CONSUMER_SLOT - CONSUMER_SLOTS.index(slot) for slot in ('broker_out', 'node_in')}
    return [int(n_bytes) for station, n_bytes in sent if station in slots]


def test_server_publishes_over_its_link_unless_the_broker_is_there() -> None:
    """The model goes from the server to a broker on edge-2 over both their links; a broker at hand gets it at once."""
    there, here = (hops_of(model, route_of(model, 'fl-publish', 'server'))
                   for model in (model_of('broker.node=edge-2'), model_of()))
    assert there == [('aead.seal', 'server'), ('net.transfer', 'server-link-down'), ('net.transfer', 'edge-2-link-up'),
                     ('broker.route', 'broker')]
    assert here == [there[0], there[-1]]


def test_consumers_links_are_those_between_its_node_and_the_brokers() -> None:
    """From the broker on edge-1: none to its own pod; to crypto-2 its own cable, then edge-2's, and back."""
    model = model_of('broker.node=edge-1')
    slots = {name: [model.stations.name[link] for link in model.stations.slots[row].tolist() if link >= 0]
             for row, name in enumerate(model.stations.name) if name.startswith('crypto')}
    assert slots == {
        'crypto-1': [],
        'crypto-2': ['edge-1-link-down', 'edge-2-link-up', 'edge-2-link-down', 'edge-1-link-up'],
    }


def test_bytes_on_each_leg_are_payload_crypto_and_its_own_framing() -> None:
    """A patch's 244 bytes: 32 more once sealed; AMQP, TLS and TCP on cables, and not on the air of BLE."""
    model = model_of()
    route = route_of(model, 'vitals', 'patch')
    assert column(model, route, 'n_bytes', LINK) == [244 + 32] * 7
    assert column(model, route, 'wrap_bytes', LINK) == [0, *[wire.messaging_bytes(276)] * 6]
    assert model.routes.crypto_bytes[route] == 32
    assert model.routes.wire_bytes[route] == 276 + wire.messaging_bytes(276)


def test_update_carries_ciphertext_down_and_signature_up() -> None:
    """200,000 bytes each way, 32 of sealing; 1,088 of ML-KEM-768 down, 3,309 of ML-DSA-65 up, if asked for."""
    for options, down, up in (((), 1088, 0), (('crypto.learning_keys=established',), 0, 0),
                              (('crypto.sign_updates=true',), 1088, 3309)):
        model = model_of(*options)
        route = route_of(model, 'fl-update', 'monitor')
        n_bytes = column(model, route, 'n_bytes', LINK)
        assert n_bytes == [200_032] * 2 + [200_032 + down] * 7 + [200_032 + up] * 7
        assert model.routes.crypto_bytes[route] == down + up + 64


def test_cipher_none_keeps_its_stages_at_no_cost() -> None:
    """Without a cipher, the hops are the same and their crypto costs nothing and sends nothing."""
    plain, sealed = model_of('crypto.aead=none', 'learning=null'), model_of('learning=null')
    route = route_of(plain, 'vitals', 'patch')
    assert hops_of(plain, route) == hops_of(sealed, route_of(sealed, 'vitals', 'patch'))
    assert plain.routes.crypto_bytes.tolist() == [0] * plain.routes.crypto_bytes.size
    recording = run_model(plain)
    assert recording.crypto_sum_s.sum() == 0.0
    assert run_model(sealed).crypto_sum_s.sum() > 0.0


ALONE = {
    'patch': ('{profile: cortex-m4-wearable, count: 1, link: gateway, '
              'streams: {vitals: {flow: vitals, payload: 244 B, arrivals: [[0, 5 s]]}}}'),
    'monitor': ('{profile: raspberry-pi-4, count: 1, link: port, '
                'streams: {vitals: {flow: vitals, payload: 3000 B, arrivals: [[0, 5 s]]}}}'),
}


def cost_s(profile: str, stage: str, variant: str, n_bytes: int) -> float:
    """Return a cost from the points that a profile lists."""
    cost = load_profile(profile).cost(stage, variant)
    assert cost.noise.law == 'constant'
    assert cost.amounts[0] <= n_bytes <= cost.amounts[-1] or n_bytes <= cost.amounts[0]
    return float(np.interp(n_bytes, cost.amounts, cost.seconds))


def cable_s(n_bytes: int, rate_bps: float) -> float:
    """Return how long a message holds a cable: 94 bytes of TCP, IP and Ethernet around each 1,448."""
    return (8 * n_bytes + math.ceil(n_bytes / 1448) * 8 * (52 + 42)) / rate_bps


@pytest.mark.parametrize('name', ALONE)
def test_latency_in_an_empty_hospital_is_the_sum_of_its_hops(name: str) -> None:
    """One message, no loss, no one else: seal, links with latencies, route, deliver and open, added up by hand."""
    payload = 244 if name == 'patch' else 3000
    model = model_of('learning=null', 'access_points.gateway.loss_ratio=0.0',
                     'access_points.gateway.connection_interval=null', f'devices={{{name}: {ALONE[name]}}}')
    recording = run_model(model)
    [finished_s] = finished(recording, 'vitals')

    sealed = payload + 16 + 16
    # AMQP: method 8 + 41, header 8 + 53, body 8; one TLS record of 22; both once for a message this small.
    wrapped = sealed + 49 + 61 + 8 + 22
    device = 'cortex-m4-wearable' if name == 'patch' else 'raspberry-pi-4'
    expected = 5.0 + cost_s(device, 'aead.seal', 'Ascon-AEAD128', payload)
    if name == 'patch':  # 276 bytes are two frames of at most 244, each with 21 bytes and 380 us
        expected += (8 * sealed + 2 * 8 * 21) / 1e6 + 2 * 380e-6 + 1e-6
    else:
        expected += cable_s(wrapped, 100e6) + 1e-6
    expected += 4 * (cable_s(wrapped, 1e9) + 20e-6)
    expected += cost_s('x86-server', 'broker.route', 'any', payload)
    expected += 200e-6 + 2 * (cable_s(wrapped, 1e9) + 20e-6)  # the broker's cable and the node's
    expected += cost_s('raspberry-pi-4', 'aead.open', 'Ascon-AEAD128', payload)
    assert finished_s == pytest.approx(expected, rel=1e-12)
    assert finished_s - 5.0 == pytest.approx(expected - 5.0, rel=1e-12)


def test_new_class_of_devices_changes_no_draw_of_the_others() -> None:
    """A class more, before all others in the file: the others launch the same, and ask the same of CPUs and air."""
    devices = scenario_of().model_dump(mode='json')['devices']
    watch = {'watch': {**devices['patch'], 'per_bed': 2.0}}
    override = f'devices={watch | devices}'.replace('None', 'null')
    lossy = ('access_points.gateway.loss_ratio=0.3', 'access_points.router.loss_ratio=0.3')
    alone = run_model(model_of(*lossy), trace='stages')
    crowded = run_model(model_of(*lossy, override), trace='stages')
    assert crowded.n_launched > 1.2 * alone.n_launched
    before, after = by_address(alone), by_address(crowded)
    shared = {address for address in after if address[0] != 'watch'}
    sources = {address for address in before if not address[2].startswith('fl-')}
    assert shared == before.keys()
    assert all(before[address][0] == after[address][0] for address in sources)
    assert crypto_amounts(alone) == {address: amount for address, amount in crypto_amounts(crowded).items()
                                     if address[0] != 'watch'}
    air, air_crowded = on_air(alone), on_air(crowded)
    assert len(air) > 100
    for address, seconds in air.items():
        assert air_crowded[address] == pytest.approx(seconds, abs=1e-12)
    assert len({round(seconds, 9) for seconds in air.values()}) > 10, 'losses vary'


def crypto_amounts(recording: Recording) -> dict[tuple[str, int, str, int], float]:
    """Return the seconds of cryptography that each job asked for, by its address."""
    table = jobs(recording)
    return dict(zip(by_address(recording), table['crypto_s'].tolist(), strict=True))


def on_air(recording: Recording) -> dict[tuple[object, ...], float]:
    """Return how long each segment held the air, by its address."""
    model = recording.model
    air = {row for row, kind in enumerate(model.stations.kind) if kind == 'air'}
    stations = np.array(recording.hops['station'], np.int64).tolist()
    hops = hops_by_address(recording)
    assert len(hops) == len(stations)
    return {address: times[2] - times[1] for (address, times), station in zip(hops.items(), stations, strict=True)
            if station in air}


def test_draws_are_of_the_seed() -> None:
    """The guard of the test before: with another seed, no job is launched when it was."""
    one, other = (run_model(model_of(f'seed={seed}'), trace='stages') for seed in (1, 2))
    a, b = by_address(one), by_address(other)
    same = [address for address in a.keys() & b.keys() if a[address][0] == b[address][0]
            and not address[2].startswith('fl-')]
    assert same == []
