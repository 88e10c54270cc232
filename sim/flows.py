"""The protocol as a table: what one exchange of each kind goes through. There is no other place that says so.

A flow is an ordered list of stages; it never forks, joins or branches. A stage names its place, the work, and
what its amount is; `when` names an option that must be on. Options are resolved at lowering: those of learning for the
scenario, those of keys for each class of devices.

====================  =================================================================================
amount                meaning
====================  =================================================================================
``payload``           bytes of the stream's payload
``model``             bytes of the global model
``update``            bytes of a client's update
``updates``           bytes of all updates that are aggregated; given at launch
``samples``           training samples; given at launch
``op``                one operation
``confirmation``      bytes that a confirming or authenticating tag is over: a hash of what was said
``record``            bytes of a key and what belongs to it: whose it is, its epoch, how long it is valid
``acknowledgement``   bytes that name a record
a message's name      its bytes, all of them there because of cryptography: `key_life.key_messages`
====================  =================================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

FAMILIES = ('kem', 'aead', 'sig')  # of cryptography's stages
CRYPTO_STAGES = tuple(f'{family}.' for family in FAMILIES)  # what their names begin with

# What goes over a link beside the payload.
SEALED, KEM_CIPHERTEXT, SIGNATURE = 'sealed', 'kem-ciphertext', 'signature'

# Ways of a transfer: a device to the cluster, back; the broker to a worker that it chooses, whatever came before to the
# broker, and the broker to one place that is named, the launching entity.
UP, DOWN, DELIVER, PUBLISH, TELL = 'up', 'down', 'deliver', 'publish', 'tell'

# Options that a stage may ask for. Sealing is no option: the cipher `none` costs nothing and adds no byte.
FRESH_KEY, PAIRWISE, SIGNED = 'fresh-key', 'pairwise', 'signed'  # of learning
CERTIFIED, PRE_SHARED, EPHEMERAL = 'certified', 'pre-shared', 'ephemeral'  # of a device's keys
TRUST_OPTIONS = {'signed': frozenset({CERTIFIED, EPHEMERAL}), 'pre-shared-kem': frozenset({PRE_SHARED, EPHEMERAL}),
                 'pre-shared': frozenset({PRE_SHARED})}


@dataclass(frozen=True)
class Stage:
    """One unit of work at one place."""

    place: str  # device, network, broker, crypto, server, authority
    name: str
    amount: str = 'op'
    when: str | None = None
    carries: tuple[tuple[str, str | None], ...] = ()  # transfers: (what, the option it needs)
    direction: str = ''  # transfers: one of the five above
    publisher: str = ''  # transfers to the broker that are no device's: the place that they come from
    is_marked: bool = False  # the time at which it begins is an outcome of the job
    seals: bool = False  # the device's present key is the one that is checked later
    checks_key: bool = False  # refuses what was sealed under a key that is no longer valid


def _transfer(direction: str, amount: str, *extra: tuple[str, str | None], when: str | None = None,
              publisher: str = '') -> Stage:
    return Stage('network', 'net.transfer', amount, when, carries=((SEALED, None), *extra), direction=direction,
                 publisher=publisher)


def _key_transfer(direction: str, message: str, publisher: str = '') -> Stage:
    return Stage('network', 'net.transfer', message, direction=direction, publisher=publisher)


def _seal(place: str, amount: str, when: str | None = None, *, seals: bool = False) -> Stage:
    return Stage(place, 'aead.seal', amount, when, seals=seals)


def _open(place: str, amount: str, when: str | None = None, *, checks_key: bool = False) -> Stage:
    return Stage(place, 'aead.open', amount, when, checks_key=checks_key)


def _route(amount: str, when: str | None = None) -> Stage:
    return Stage('broker', 'broker.route', amount, when)


def _to_authority(message: str) -> tuple[Stage, ...]:
    return _key_transfer(UP, message), _route(message), _key_transfer(DELIVER, message)


def _from_authority(direction: str, message: str) -> tuple[Stage, ...]:
    return _key_transfer(PUBLISH, message, 'authority'), _route(message), _key_transfer(direction, message)


_TELEMETRY = (_seal('device', 'payload', seals=True), _transfer(UP, 'payload'), _route('payload'),
              _transfer(DELIVER, 'payload'), _open('crypto', 'payload', checks_key=True))

FLOWS: dict[str, tuple[Stage, ...]] = {
    'vitals': _TELEMETRY,
    'alarm': _TELEMETRY,
    # A study is too large for a broker: it goes to the server itself.
    'imaging': (_seal('device', 'payload', seals=True), _transfer(UP, 'payload'),
                _open('server', 'payload', checks_key=True)),

    # Under a group key the server seals the model once; else the crypto place seals it for each client.
    'fl-publish': (_seal('server', 'model'), _transfer(PUBLISH, 'model', publisher='server'), _route('model')),
    'fl-update': (
        _route('model', PAIRWISE), _transfer(DELIVER, 'model', when=PAIRWISE),
        Stage('crypto', 'kem.encaps', when=FRESH_KEY), _seal('crypto', 'model', PAIRWISE),
        _transfer(PUBLISH, 'model', (KEM_CIPHERTEXT, FRESH_KEY), when=PAIRWISE, publisher='crypto'), _route('model'),
        _transfer(DOWN, 'model', (KEM_CIPHERTEXT, FRESH_KEY)),
        Stage('device', 'kem.decaps', when=FRESH_KEY), _open('device', 'model'),
        Stage('device', 'fl.train', 'samples', is_marked=True),
        _seal('device', 'update', seals=True), Stage('device', 'sig.sign', when=SIGNED),
        _transfer(UP, 'update', (SIGNATURE, SIGNED)), _route('update'),
        _transfer(DELIVER, 'update', (SIGNATURE, SIGNED)),
        Stage('crypto', 'sig.verify', when=SIGNED), _open('crypto', 'update', checks_key=True),
    ),
    'fl-aggregate': (Stage('server', 'fl.aggregate', 'updates'),),

    # The life of a key; docs/key-life.md says who checks what. First a device's own certificate.
    'enrol': (
        Stage('device', 'sig.keygen'), _seal('device', 'confirmation'), Stage('device', 'sig.sign'),
        *_to_authority('enrol-request'),
        _open('authority', 'confirmation'), Stage('authority', 'sig.verify'), Stage('authority', 'sig.sign'),
        *_from_authority(DOWN, 'enrol-answer'), Stage('device', 'sig.verify'),
    ),
    # A new session key: agreed on, and confirmed by both sides.
    'rekey': (
        Stage('device', 'kem.keygen', when=EPHEMERAL),
        Stage('device', 'sig.sign', when=CERTIFIED), _seal('device', 'confirmation', PRE_SHARED),
        *_to_authority('rekey-request'),
        Stage('authority', 'sig.verify', when=CERTIFIED), Stage('authority', 'sig.verify', when=CERTIFIED),
        _open('authority', 'confirmation', PRE_SHARED),
        Stage('authority', 'kem.encaps', when=EPHEMERAL), _seal('authority', 'confirmation'),
        Stage('authority', 'sig.sign', when=CERTIFIED),
        *_from_authority(DOWN, 'rekey-answer'),
        Stage('device', 'sig.verify', when=CERTIFIED), Stage('device', 'kem.decaps', when=EPHEMERAL),
        _open('device', 'confirmation'), _seal('device', 'confirmation'),
        *_to_authority('rekey-confirm'), _open('authority', 'confirmation'),
    ),
    # To each place that opens devices' messages, and its answer; then the device may use the key.
    'key-record': (_seal('authority', 'record'), *_from_authority(TELL, 'key-record'), _open('crypto', 'record'),
                   _seal('crypto', 'acknowledgement'), _key_transfer(PUBLISH, 'key-acknowledge', 'crypto'),
                   _route('key-acknowledge'), _key_transfer(DELIVER, 'key-acknowledge'),
                   _open('authority', 'acknowledgement')),
    'key-activate': (_seal('authority', 'confirmation'), *_from_authority(DOWN, 'key-activate'),
                     _open('device', 'confirmation')),
    # The end of devices' keys: a notice that names all of them is signed once, and told to each place.
    'revoke': (Stage('authority', 'sig.sign'),),
    'revoke-notice': (*_from_authority(TELL, 'revoke-notice'), Stage('crypto', 'sig.verify')),
    # The key of the model's broadcast, to each member; places get it as a key-record.
    'group-key': (_seal('authority', 'record'), *_from_authority(DOWN, 'group-key'), _open('device', 'record')),
}

Table = Mapping[str, tuple[Stage, ...]]
ANSWER = 'broker.answer'


def _answered(flow: tuple[Stage, ...], answer: str) -> tuple[Stage, ...]:
    """Return a flow as a testbed does it: the crypto place tells the twin what it has made, through the broker."""
    told = (replace(stage, name=ANSWER) if stage.place == 'broker' and before.direction == PUBLISH else stage
            for before, stage in zip((flow[0], *flow), flow, strict=False))
    return *told, _transfer(PUBLISH, answer, publisher='crypto'), Stage('broker', ANSWER, answer)


# The protocol as a testbed does it, for a model of the testbed: workers answer the twin, which plays the devices. What
# was opened stays at the worker, but for an update, which the twin gives to the server.
ON_TESTBED: Table = {**FLOWS, 'vitals': _answered(FLOWS['vitals'], 'op'), 'alarm': _answered(FLOWS['alarm'], 'op'),
                     'fl-update': _answered(FLOWS['fl-update'], 'update')}

LEARNING_FLOWS = ('fl-publish', 'fl-update', 'fl-aggregate')  # launched by the learning controller
# By the key authority.
KEY_FLOWS = ('enrol', 'rekey', 'key-record', 'key-activate', 'revoke', 'revoke-notice', 'group-key')
