"""What is timed: every primitive behind `hil.crypto`, and what federated learning makes a node compute.

An operation is a stage in one variant, as profiles name them. `prepare` makes all that a call needs, for an amount, and
returns the call: what is timed is what a node does with a message, in Python, from bytes to bytes. So parsing a public
key counts with encapsulating, and the key derivation of a Diffie-Hellman KEM with both its sides.

Left out: ``broker.route``, which is the broker's; key derivation by itself, for which profiles have no stage; reading
and writing models, which is in ``fl.train`` and ``fl.aggregate``, because both take and return bytes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from hil import learning
from hil.calibration.timing import Call
from hil.crypto.aead import aead
from hil.crypto.interfaces import Aead, Kem, Signature
from hil.crypto.providers import Provider
from hil.crypto.suites import kem, signature
from sim.errors import InputError
from sim.suites import KEM_CATEGORY, SIGNATURE_CATEGORY, variant
from sim.wire import AEAD_NONCE_BYTES

AEADS = (('Ascon-AEAD128', 'native'), ('AES-128-GCM', 'native'), ('ChaCha20-Poly1305', 'native'),
         ('Ascon-AEAD128', 'interpreted'), ('Ascon-128', 'interpreted'), ('Ascon-128a', 'interpreted'))
ASSOCIATED_DATA = bytes(16)  # a header's identifiers
MESSAGE = bytes(64)  # what is signed: a hash and what it is for; longer messages are hashed first
N_UPDATES = 8  # that are averaged in one call: a message of so many updates is as large as its amount
UPDATES_BYTES = N_UPDATES * learning.PARAMETER.itemsize  # amounts of fl.aggregate are multiples of one parameter each
N_SAMPLES = 200  # that a client trains on in one call: as many as in a round of the shipped ward
BLOCK_BYTES = 1 << 16  # of random bytes, of which payloads are made
SEED = 1  # of payloads, models and data, none of which a duration depends on

Unit = Literal['op', 'byte', 'sample']


@dataclass(frozen=True)
class Operation:
    """A stage in one variant, and how a call of it is made."""

    stage: str
    variant: str
    unit: Unit  # of the amount
    done_by: str  # library, or what else does the work
    prepare: Callable[[int], Call]  # amount -> call
    multiple: int = 1  # amounts are multiples of it

    @property
    def name(self) -> str:
        """Return stage and variant."""
        return f'{self.stage} {self.variant}'


@dataclass(frozen=True)
class Operations:
    """What can be timed here, and why the rest cannot."""

    found: tuple[Operation, ...]
    missing: Mapping[str, str]  # variant -> reason


def operations(provider: Provider) -> Operations:
    """Return every operation that can be timed with one provider of post-quantum primitives."""
    makers: dict[str, Callable[[], Iterator[Operation]]] = {
        **{name: partial(_of_kem, name, provider) for name in KEM_CATEGORY},
        **{variant(*which): partial(_of_aead, *which) for which in AEADS},
        **{name: partial(_of_signature, name, provider) for name in SIGNATURE_CATEGORY},
    }
    found: list[Operation] = []
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            found += make()
        except InputError as why:
            missing[name] = str(why)
    return Operations((*found, *_of_learning()), missing)


def _of_kem(name: str, provider: Provider) -> Iterator[Operation]:
    mechanism: Kem = kem(name, provider)

    def encapsulation(_: int) -> Call:
        return partial(mechanism.encapsulate, mechanism.generate().public)

    def decapsulation(_: int) -> Call:
        keys = mechanism.generate()
        return partial(mechanism.decapsulate, keys.private, mechanism.encapsulate(keys.public).ciphertext)

    for stage, prepare in (('kem.keygen', lambda _: mechanism.generate), ('kem.encaps', encapsulation),
                           ('kem.decaps', decapsulation)):
        yield Operation(stage, name, 'op', mechanism.provider, prepare)


def _of_signature(name: str, provider: Provider) -> Iterator[Operation]:
    mechanism: Signature = signature(name, provider)

    def signing(_: int) -> Call:
        return partial(mechanism.sign, mechanism.generate().private, MESSAGE)

    def verification(_: int) -> Call:
        keys = mechanism.generate()
        return partial(mechanism.verify, keys.public, MESSAGE, mechanism.sign(keys.private, MESSAGE))

    for stage, prepare in (('sig.keygen', lambda _: mechanism.generate), ('sig.sign', signing),
                           ('sig.verify', verification)):
        yield Operation(stage, name, 'op', mechanism.provider, prepare)


def _of_aead(name: str, implementation: str) -> Iterator[Operation]:
    cipher: Aead = aead(name, implementation)
    key, nonce = bytes(cipher.key_bytes), bytes(AEAD_NONCE_BYTES[name])

    def sealing(n_bytes: int) -> Call:
        return partial(cipher.seal, key, nonce, _payload(n_bytes), ASSOCIATED_DATA)

    def opening(n_bytes: int) -> Call:
        return partial(cipher.open, key, nonce, cipher.seal(key, nonce, _payload(n_bytes), ASSOCIATED_DATA),
                       ASSOCIATED_DATA)

    for stage, prepare in (('aead.seal', sealing), ('aead.open', opening)):
        yield Operation(stage, variant(name, implementation), 'byte', cipher.implementation, prepare)


def _of_learning() -> Iterator[Operation]:
    def averaging(n_bytes: int) -> Call:
        parameters = np.random.default_rng(SEED).random(BLOCK_BYTES // learning.PARAMETER.itemsize, np.float32)
        updates = [_repeated(parameters.tobytes(), n_bytes // N_UPDATES) for _ in range(N_UPDATES)]
        return partial(learning.average, updates, [N_SAMPLES] * N_UPDATES)

    def training(n_samples: int) -> Call:
        generator = np.random.default_rng(SEED)
        beats = generator.standard_normal((n_samples, learning.N_INPUTS), np.float32)
        classes = generator.integers(learning.N_CLASSES, size=n_samples)
        return partial(learning.train, learning.initial_model(generator), beats, classes)

    yield Operation('fl.aggregate', 'any', 'byte', 'numpy', averaging, UPDATES_BYTES)
    yield Operation('fl.train', 'any', 'sample', 'numpy', training)


def _payload(n_bytes: int) -> bytes:
    return _repeated(np.random.default_rng(SEED).bytes(BLOCK_BYTES), n_bytes)


def _repeated(block: bytes, n_bytes: int) -> bytes:
    """Return a block again and again, in memory of its own; zeros might be one page that is read many times."""
    return (block * (n_bytes // len(block) + 1))[:n_bytes]
