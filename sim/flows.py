"""The protocol as a table: what one exchange of each kind goes through. There is no other place that says so.

A flow is an ordered list of stages; it never forks, joins or branches. A stage names its place, the work, and
what its amount is; `when` names an option that must be on. Options are resolved at lowering.

====================  =================================================================================
amount                meaning
====================  =================================================================================
``payload``           bytes of the stream's payload
``model``             bytes of the global model
``update``            bytes of a client's update
``updates``           bytes of all updates that are aggregated; given at launch
``samples``           training samples; given at launch
``op``                one operation
====================  =================================================================================
"""

from dataclasses import dataclass

# What goes over a link beside the payload.
SEALED, KEM_CIPHERTEXT, SIGNATURE = 'sealed', 'kem-ciphertext', 'signature'

# Ways of a transfer: a device to the cluster, back, the broker to the crypto place, whatever came before to the broker.
UP, DOWN, DELIVER, PUBLISH = 'up', 'down', 'deliver', 'publish'

# Options that a stage may ask for. Sealing is no option: the cipher `none` costs nothing and adds no byte.
FRESH_KEY, SIGNED = 'fresh-key', 'signed'


@dataclass(frozen=True)
class Stage:
    """One unit of work at one place."""

    place: str  # device, network, broker, crypto, server
    name: str
    amount: str = 'op'
    when: str | None = None
    carries: tuple[tuple[str, str | None], ...] = ()  # transfers: (what, the option it needs)
    direction: str = ''  # transfers: one of the four below
    is_marked: bool = False  # the time at which it begins is an outcome of the job
    checks_key: bool = False  # refuses an entity whose key is not valid


def _transfer(direction: str, amount: str, *extra: tuple[str, str | None]) -> Stage:
    return Stage('network', 'net.transfer', amount, carries=((SEALED, None), *extra), direction=direction)


def _seal(place: str, amount: str) -> Stage:
    return Stage(place, 'aead.seal', amount)


def _open(place: str, amount: str, *, checks_key: bool = False) -> Stage:
    return Stage(place, 'aead.open', amount, checks_key=checks_key)


def _route(amount: str) -> Stage:
    return Stage('broker', 'broker.route', amount)


_TELEMETRY = (_seal('device', 'payload'), _transfer(UP, 'payload'), _route('payload'),
              _transfer(DELIVER, 'payload'), _open('crypto', 'payload', checks_key=True))

FLOWS: dict[str, tuple[Stage, ...]] = {
    'vitals': _TELEMETRY,
    'alarm': _TELEMETRY,
    # A study is too large for a broker: it goes to the server itself.
    'imaging': (_seal('device', 'payload'), _transfer(UP, 'payload'), _open('server', 'payload', checks_key=True)),
    'fl-publish': (_seal('server', 'model'), _transfer(PUBLISH, 'model'), _route('model')),
    'fl-update': (
        _route('model'), _transfer(DELIVER, 'model'),
        Stage('crypto', 'kem.encaps', when=FRESH_KEY), _seal('crypto', 'model'),
        _transfer(PUBLISH, 'model', (KEM_CIPHERTEXT, FRESH_KEY)), _route('model'),
        _transfer(DOWN, 'model', (KEM_CIPHERTEXT, FRESH_KEY)),
        Stage('device', 'kem.decaps', when=FRESH_KEY), _open('device', 'model'),
        Stage('device', 'fl.train', 'samples', is_marked=True),
        _seal('device', 'update'), Stage('device', 'sig.sign', when=SIGNED),
        _transfer(UP, 'update', (SIGNATURE, SIGNED)), _route('update'),
        _transfer(DELIVER, 'update', (SIGNATURE, SIGNED)),
        Stage('crypto', 'sig.verify', when=SIGNED), _open('crypto', 'update', checks_key=True),
    ),
    'fl-aggregate': (Stage('server', 'fl.aggregate', 'updates'),),
}

LEARNING_FLOWS = ('fl-publish', 'fl-update', 'fl-aggregate')  # launched by the learning controller
