"""What every key of a scenario does to a result: one row a key, or more, in the direction that the reason says.

A row changes one key of the clinic from `a` to `b`; `context` sets what else it takes for the key to matter. The
metric is one of a run's summary, of a flow, a class or a station. `sign` is that of its change from `a` to `b`.
"""

from dataclasses import dataclass

from tests.scenario.clinic import by_hour


@dataclass(frozen=True)
class Effect:
    """What a change of one key moves, and why."""

    key: str
    a: str
    b: str
    sign: str  # + - or ≠
    metric: str
    of: str
    why: str
    context: tuple[str, ...] = ()
    statistic: str = 'mean'


# By design without any effect on what happens in one run.
INERT = {
    'name': 'names the folder of the results',
    'description': 'is for readers',
    'replications': 'says how many seeds are run, not what happens in one',
}

PATCH, TAG, MONITOR = 'devices.patch.streams.vitals', 'devices.tag.streams.vitals', 'devices.monitor.streams.vitals'
ALARM, IMAGING = 'devices.patch.streams.alarm', 'devices.scanner.streams.imaging'

NO_EVENTS = ('access_points.gateway.connection_interval=null',)
NO_LOSS = ('access_points.wifi.loss_ratio=0.0',)
CROWDED = ('access_points.gateway.rate=100 kbit/s', f'{PATCH}.period=200 ms', *NO_EVENTS)  # half of the air's time
ONE_FLOOR = ('wards_per_floor=3', 'wiring.uplink.rate=20 Mbit/s')  # vitals share it with studies
NO_UPLINK = ('outages=[{target: floor-1-uplink, begin: 3 s, end: 19 s}]',)
ON_BACKUP = (*NO_UPLINK, 'wiring.backup={rate: 1 Gbit/s, latency: 20 us}')
UNDER_WAY = ('broker.deliver=500 ms', 'crypto.prefetch=100', 'outages=[{target: crypto-1, begin: 5 s, end: 15 s}]')
SLOW_CREDIT = ('broker.acknowledge=150 ms', 'crypto.replicas=1')  # for more than one message each
PACKED = ('crypto.policy=pack', 'edge.nodes.edge-2.profile=x86-server')
MEMORY = ('edge.nodes.edge-1.memory=1900 MB',)  # for two workers beside an agent of K3s
NODE_LOST = ('crypto.replicas=1', 'outages=[{target: edge-1, begin: 4 s, end: 18 s}]')
OUTAGE = ('outages=[{target: broker, begin: 5 s, end: 10 s}]',)
KEYS = ('keys={rotation: {every: 30 s}, overlap: 1 s, expiry: 60 s, deadline: 5 s, retry: 1 s}',)
NO_AUTHORITY = (*KEYS, 'outages=[{target: authority, begin: 0 s, end: 19 s}]')
REVOKED = (*KEYS, 'keys.revocations=[{devices: patch, at: 5 s}]')
SIGNED = ('crypto.sign_updates=true',)
ALL_PI = (*(f'devices.{name}.profile=raspberry-pi-4' for name in ('patch', 'tag', 'pump', 'scanner')),
          'edge.server.profile=raspberry-pi-4')  # the profile with a number for every cipher
ON_X86 = (*(f'edge.nodes.edge-{i}.profile=x86-server' for i in (1, 2)),
          'devices.monitor.profile=x86-server')  # the profile with a number for ciphers in Python, and for P-256

EFFECTS = (
    # Time
    Effect('seed', '1', '2', '≠', 'latency', 'vitals', 'other draws'),
    Effect('duration', '20 s', '25 s', '+', 'launched', 'vitals', 'sources go on for longer'),
    Effect('warm_up', '2 s', '6 s', '-', 'launched', 'vitals', 'what is launched before is not counted'),
    Effect('drain', '0 s', '20 s', '-', 'unfinished', 'vitals', 'what is under way at the end may arrive',
           ('access_points.gateway.connection_interval=900 ms',)),
    Effect('starts_at', "'08:00'", "'09:00'", '+', 'launched', 'vitals', 'odd hours are four times as busy',
           (f'{PATCH}.by_hour={by_hour("0.5", "2")}',)),
    # Wards
    Effect('wards.ward.count', '2', '3', '+', 'launched', 'vitals', 'more beds have more patches'),
    Effect('wards.ward.count', '2', '4', '-', 'utilisation_max', 'air', 'the same patches share more gateways',
           ('devices.patch.per_bed=null', 'devices.patch.count=8')),
    Effect('wards.ward.beds', '4', '8', '+', 'launched', 'vitals', 'more beds have more patches'),
    Effect('wards.ward.access_points.gateway', '1', '2', '-', 'utilisation_max', 'air', 'patches share more gateways',
           CROWDED),
    Effect('wards_per_floor', '2', '3', '+', 'latency', 'vitals', 'the ward shares its uplink with the scanner',
           ONE_FLOOR),
    # Access points
    Effect('access_points.gateway.technology', 'ble', "'802.15.4'", '+', 'latency', 'alarm',
           'smaller frames, and a back-off before each', NO_EVENTS),
    Effect('access_points.gateway.technology', 'ble', 'wifi', '+', 'latency', 'alarm',
           'AMQP, TLS and TCP go over the air too', NO_EVENTS),
    Effect('access_points.wifi.technology', 'wifi', 'ethernet', '-', 'latency', 'vitals',
           'no preamble, back-off and acknowledgement', NO_LOSS),
    Effect('access_points.gateway.rate', '1 Mbit/s', '2 Mbit/s', '-', 'latency', 'alarm', 'less air time'),
    Effect('access_points.gateway.latency', '1 us', '10 ms', '+', 'latency', 'alarm', 'every alarm waits for it'),
    Effect('access_points.gateway.loss_ratio', '0.02', '0.3', '+', 'radio_bytes', 'patch', 'frames are sent again'),
    Effect('access_points.gateway.attempts_max', '8', '1', '+', 'lost', 'vitals', 'frames are given up sooner',
           ('access_points.gateway.loss_ratio=0.5',)),
    Effect('access_points.gateway.connection_interval', '50 ms', '200 ms', '+', 'latency', 'alarm',
           'the next connection event is later'),
    # Wires
    *(Effect(f'wiring.{tier}.rate', '1 Gbit/s', '10 Mbit/s', '+', 'latency', 'vitals', 'bytes take longer')
      for tier in ('access', 'uplink', 'core', 'node')),
    *(Effect(f'wiring.{tier}.latency', '20 us', '5 ms', '+', 'latency', 'vitals', 'every message crosses it')
      for tier in ('access', 'uplink', 'core', 'node')),
    Effect('wiring.backup', 'null', '{rate: 1 Gbit/s, latency: 20 us}', '-', 'latency', 'vitals',
           'a floor without uplink has another way', NO_UPLINK),
    Effect('wiring.backup.rate', '1 Gbit/s', '1 Mbit/s', '+', 'latency', 'vitals', 'the floor is on its backup',
           ON_BACKUP),
    Effect('wiring.backup.latency', '20 us', '50 ms', '+', 'latency', 'vitals', 'the floor is on its backup',
           ON_BACKUP),
    Effect('transport.quantum', '1 ms', '100 ms', '+', 'latency', 'vitals',
           'vitals wait for the segment of a study that is on the uplink', ONE_FLOOR),
    Effect('transport.window', '16', '1', '+', 'latency', 'imaging', 'one segment a round trip'),
    # Devices
    Effect('devices.patch.profile', 'cortex-m4-wearable', 'cortex-m0plus-sensor', '+', 'energy', 'patch',
           'sealing takes longer, at a higher power'),
    Effect('devices.tag.count', '4', '12', '+', 'launched', 'vitals', 'more tags'),
    Effect('devices.patch.per_bed', '1', '2', '+', 'launched', 'vitals', 'more patches'),
    Effect('devices.monitor.wards', '[]', '[theatre]', '-', 'launched', 'vitals', 'none at the beds of the wards'),
    Effect('devices.tag.link', 'router', 'gateway', '+', 'battery_days', 'tag', 'a faster radio is on for less time',
           NO_EVENTS),
    Effect('devices.patch.battery', '0.9 Wh', '1.8 Wh', '+', 'battery_days', 'patch', 'twice the energy'),
    Effect('devices.patch.trust', 'signed', 'pre-shared-kem', '-', 'wire_bytes', 'rekey', 'no certificate, not signed',
           KEYS),
    Effect('devices.patch.trust', 'pre-shared-kem', 'pre-shared', '-', 'wire_bytes', 'rekey', 'no key of a KEM either',
           KEYS),
    # Streams
    Effect(f'{MONITOR}.flow', 'vitals', 'alarm', '+', 'launched', 'alarm', 'monitors send alarms'),
    Effect(f'{MONITOR}.flow', 'vitals', 'imaging', '+', 'launched', 'imaging', 'monitors send images'),
    Effect(f'{ALARM}.payload', '96 B', '960 B', '+', 'latency', 'alarm', 'more bytes'),
    Effect(f'{PATCH}.period', '1 s', '2 s', '-', 'launched', 'vitals', 'half as often'),
    Effect(f'{ALARM}.rate', '6 /min', '30 /min', '+', 'launched', 'alarm', 'five times as often'),
    Effect(f'{TAG}.arrivals', '[[0, 5 s]]', '[[0, 5 s], [3, 6 s]]', '+', 'launched', 'vitals', 'one more is listed',
           (f'{TAG}.period=null',)),
    Effect(f'{PATCH}.by_hour', by_hour('1'), by_hour('2'), '+', 'launched', 'vitals', 'twice as often'),
    Effect(f'{ALARM}.priority', '0', '7', '+', 'latency', 'alarm', 'alarms wait behind vitals for the air', CROWDED),
    Effect(f'{ALARM}.deadline', '500 ms', '1 ms', '+', 'deadline_miss_ratio', 'alarm', 'there is less time'),
    # Edge
    Effect('edge.nodes.edge-1.profile', 'raspberry-pi-4', 'x86-server', '-', 'utilisation', 'crypto-1',
           'its worker opens faster'),
    Effect('edge.server.profile', 'x86-server', 'raspberry-pi-4', '+', 'latency', 'vitals', 'the broker is slower'),
    Effect('edge.server.cores', '4', '3', '+', 'utilisation', 'server', 'the same work on fewer cores'),
    Effect('edge.k3s_cores', '0.3', '1.5', '+', 'utilisation', 'server', 'K3s keeps one of its cores'),
    *(Effect(key, a, b, '-', 'utilisation', 'crypto-2', 'there is no room for it on the slow node', (*PACKED, *context))
      for key, a, b, context in (
          ('edge.k3s_server', 'null', 'edge-1', ('crypto.pod_cores=2', 'edge.k3s_cores=0', 'edge.k3s_server_cores=1')),
          ('edge.k3s_server_cores', '0.3', '2.5', ('edge.k3s_server=edge-1',)),
          ('edge.k3s_memory', '268 MB', '1 GB', MEMORY),
          ('edge.k3s_server_memory', '268 MB', '1588 MB', (*MEMORY, 'edge.k3s_server=edge-1')),
          ('edge.nodes.edge-1.memory', '2 GB', '1 GB', ()),
          ('crypto.pod_memory', '512 MiB', '1 GiB', MEMORY))),
    Effect('edge.rescheduling', 'null', '{grace: 1 s, eviction: 1 s, start: 1 s}', '-', 'latency', 'vitals',
           'the worker starts on the other node, and does not wait for its own', NODE_LOST),
    *(Effect(f'edge.rescheduling.{key}', '1 s', '5 s', '+', 'latency', 'vitals', 'the worker is elsewhere later',
             (*NODE_LOST, 'edge.rescheduling={grace: 1 s, eviction: 1 s, start: 1 s}'))
      for key in ('grace', 'eviction', 'start')),
    # Broker
    Effect('broker.node', 'server', 'edge-1', '+', 'latency', 'vitals', 'the broker is slower on a Pi'),
    Effect('broker.cores', '1', '2', '-', 'utilisation', 'broker', 'the same work on more cores'),
    Effect('broker.order', 'priority', 'in-turn', '+', 'latency', 'vitals', 'it waits behind models',
           ('broker.cores=1', 'broker.node=edge-1')),
    Effect('broker.deliver', '200 us', '20 ms', '+', 'latency', 'vitals', 'every message is delivered'),
    Effect('broker.acknowledge', '100 us', '150 ms', '+', 'latency', 'vitals', 'credit is back later'),
    Effect('broker.detect', '1 s', '8 s', '+', 'latency', 'vitals', 'what the dead worker held returns later',
           UNDER_WAY),
    Effect('broker.capacity', '1000000', '1', '+', 'dropped', 'vitals', 'a full queue refuses', SLOW_CREDIT),
    # Cryptography
    Effect('crypto.suite', 'classical', 'pqc-512', '+', 'wire_bytes', 'fl-update', 'a ciphertext, not a curve point'),
    Effect('crypto.suite', 'pqc-512', 'pqc-768', '+', 'wire_bytes', 'fl-update', 'a longer ciphertext'),
    Effect('crypto.suite', 'pqc-768', 'pqc-1024', '+', 'wire_bytes', 'fl-update', 'a longer ciphertext'),
    Effect('crypto.suite', 'pqc-768', 'hybrid', '+', 'wire_bytes', 'fl-update', 'a curve point beside the ciphertext'),
    Effect('crypto.suite', 'pqc-768', 'interpreted', '+', 'crypto_latency_share', 'fl-update',
           'Python seals and opens', ON_X86),
    Effect('crypto.aead', 'none', 'Ascon-AEAD128', '+', 'wire_bytes', 'vitals', 'nonce and tag'),
    Effect('crypto.aead', 'Ascon-AEAD128', 'ChaCha20-Poly1305', '-', 'wire_bytes', 'vitals', 'a shorter nonce', ALL_PI),
    Effect('crypto.aead', 'Ascon-128a', 'Ascon-128', '+', 'crypto_latency_share', 'fl-update',
           '8 bytes a permutation and not 16', ALL_PI),
    Effect('crypto.aead', 'AES-128-GCM', 'AES-256-GCM', '+', 'crypto_latency_share', 'fl-update',
           '14 rounds and not 10', ALL_PI),
    Effect('crypto.kem', 'X25519', 'ML-KEM-512', '+', 'wire_bytes', 'fl-update', 'a ciphertext, not a curve point'),
    Effect('crypto.kem', 'ML-KEM-512', 'ML-KEM-768', '+', 'wire_bytes', 'fl-update', 'a longer ciphertext'),
    Effect('crypto.kem', 'ML-KEM-768', 'ML-KEM-1024', '+', 'wire_bytes', 'fl-update', 'a longer ciphertext'),
    Effect('crypto.kem', 'X25519', 'P-256', '+', 'wire_bytes', 'fl-update', 'two coordinates and not one', ON_X86),
    Effect('crypto.kem', 'ML-KEM-768', 'X25519MLKEM768', '+', 'wire_bytes', 'fl-update', 'a curve point beside it'),
    Effect('crypto.signature', 'ECDSA-P256', 'ML-DSA-44', '+', 'wire_bytes', 'fl-update', 'a longer signature', SIGNED),
    Effect('crypto.signature', 'ML-DSA-44', 'ML-DSA-65', '+', 'wire_bytes', 'fl-update', 'a longer signature', SIGNED),
    Effect('crypto.implementation', 'native', 'interpreted', '+', 'crypto_latency_share', 'vitals', 'Python opens',
           ON_X86),
    Effect('crypto.learning_keys', 'established', 'per-round', '+', 'wire_bytes', 'fl-update', 'a KEM ciphertext'),
    Effect('crypto.learning_keys', 'per-round', 'group', '-', 'wire_bytes', 'fl-update', 'no ciphertext for a client'),
    Effect('crypto.learning_keys', 'established', 'group', '-', 'utilisation', 'crypto-1', 'the server seals, once'),
    Effect('crypto.sign_updates', 'false', 'true', '+', 'crypto_latency_share', 'fl-update', 'signing and verifying'),
    Effect('crypto.placement', 'distributed', 'sequential', '+', 'utilisation', 'crypto-1', 'one worker does all'),
    Effect('crypto.replicas', '1', '2', '-', 'utilisation', 'crypto-1', 'workers share'),
    Effect('crypto.policy', 'spread', 'pack', '+', 'utilisation', 'crypto-2', 'both workers are on the slow node',
           ('edge.nodes.edge-2.profile=x86-server',)),
    Effect('crypto.pod_cores', '1', '2', '-', 'utilisation', 'crypto-1', 'the same work on more cores'),
    Effect('crypto.prefetch', '1', '20', '-', 'latency', 'vitals', 'messages need not wait for credit', SLOW_CREDIT),
    # Keys
    Effect('keys.authority', 'server', 'edge-1', '+', 'latency', 'rekey', 'a Pi verifies and signs more slowly', KEYS),
    Effect('keys.cores', '1', '2', '-', 'utilisation', 'authority', 'the same work on more cores',
           (*KEYS, 'edge.server.cores=8')),
    Effect('keys.prefetch', '1', '20', '-', 'latency', 'rekey', 'messages need not wait for credit',
           (*KEYS, 'broker.acknowledge=150 ms', 'keys.rotation.every=1 s')),
    Effect('keys.priority', '0', '7', '+', 'latency', 'rekey', 'rekeying waits behind vitals for the air',
           (*KEYS, *CROWDED)),
    Effect('keys.rotation.every', '30 s', '10 s', '+', 'rekeys_due', '', 'keys are replaced more often', KEYS),
    Effect('keys.rotation.rounds', 'null', '1', '+', 'rekeys_due', '', 'clients replace theirs after each round', KEYS),
    Effect('keys.rotation.usage', '1 GiB', '2 kB', '+', 'rekeys_due', '', 'monitors seal as much in half a second',
           (*KEYS, 'keys.rotation.usage_check=1 s')),
    Effect('keys.rotation.usage_check', '1 s', '8 s', '-', 'rekeys_due', '', 'it is noticed later',
           (*KEYS, 'keys.rotation.usage=2 kB')),
    Effect('keys.overlap', '1 s', '10 ms', '+', 'rejected', 'vitals', 'what is under way is not opened any more',
           (*KEYS, 'access_points.gateway.latency=500 ms', 'keys.rotation.every=5 s')),
    Effect('keys.expiry', '60 s', '31 s', '+', 'keys_expired', '', 'nobody replaces them in time', NO_AUTHORITY),
    Effect('keys.deadline', '5 s', '100 ms', '+', 'launched', 'rekey', 'exchanges over the air are begun again', KEYS),
    Effect('keys.retry', '100 ms', '8 s', '-', 'launched', 'rekey', 'they are begun again later',
           (*NO_AUTHORITY, 'keys.deadline=1 s')),
    Effect('keys.revocations.0.devices', 'patch', 'monitor', '+', 'rejected', 'vitals', 'monitors send more', REVOKED),
    Effect('keys.revocations.0.index', 'null', '3', '-', 'rejected', 'vitals', 'one patch and not all', REVOKED),
    Effect('keys.revocations.0.at', '5 s', '10 s', '-', 'rejected', 'vitals', 'later', REVOKED),
    Effect('keys.revocations.0.enrol_again', 'null', '8 s', '-', 'rejected', 'vitals', 'they are admitted again',
           REVOKED),
    # Learning
    Effect('learning.clients', '[monitor]', '[monitor, pump]', '+', 'launched', 'fl-update', 'more clients'),
    Effect('learning.rounds', '1', '2', '+', 'launched', 'fl-update', 'one more round'),
    Effect('learning.fraction', '1.0', '0.4', '-', 'launched', 'fl-update', 'fewer clients a round'),
    Effect('learning.quorum', '1.0', '0.5', '-', 'round_time', '', 'the round closes before the last update',
           ('learning.clients=[monitor, pump]', 'learning.samples=10')),
    Effect('learning.deadline', '8 s', '100 ms', '-', 'rounds_complete', '', 'training takes 200 ms'),
    Effect('learning.start', '3 s', '19 s', '-', 'launched', 'fl-update', 'no time for the second round'),
    Effect('learning.pause', '1 s', '30 s', '-', 'launched', 'fl-update', 'no time for the second round'),
    Effect('learning.model', '200 kB', '400 kB', '+', 'wire_bytes', 'fl-update', 'the model goes to each client'),
    Effect('learning.update', '200 kB', '400 kB', '+', 'wire_bytes', 'fl-update', 'an update comes from each client'),
    Effect('learning.samples', '100', '200', '+', 'latency', 'fl-update', 'training takes longer'),
    Effect('learning.priority', '3', '0', '+', 'latency', 'vitals', 'training holds up the vitals of its monitor'),
    # Outages
    Effect('outages.0.target', 'edge-2', 'broker', '+', 'latency', 'vitals', 'nothing stands in for it', OUTAGE),
    Effect('outages.0.begin', '5 s', '9 s', '-', 'latency', 'vitals', 'it lasts shorter', OUTAGE),
    Effect('outages.0.end', '10 s', '15 s', '+', 'latency', 'vitals', 'it lasts longer', OUTAGE),
)
