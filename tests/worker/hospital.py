"""A small hospital for the tests of workers: devices with keys, their messages, and what workers know of them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hil import learning
from hil.crypto.providers import choose
from hil.crypto.sealing import Direction, SealingKey
from hil.crypto.suites import BoundSuite, bind
from hil.keys.messages import subject_id
from hil.wire.message import KeyId, Leg, Message, SealedBy
from hil.wire.names import run_id
from hil.worker.dispatcher import Dispatcher, clock_id
from hil.worker.keys import KeyStore, Sealer
from hil.worker.learning import Parameters
from hil.worker.stages import Bench
from hil.worker.updates import UpdateStore
from sim import flows

RUN = 'test-run'
FIRST = learning.initial_model(np.random.default_rng(20_261_126))
LEARNING = frozenset({flows.PAIRWISE, flows.FRESH_KEY, flows.SIGNED})
TO_DEVICE, AT_DEVICE, FROM_DEVICE = Leg('crypto', 2, 4), Leg('device', 7, 12), Leg('crypto', 15, 17)


@dataclass
class Hospital:
    """Devices and their keys; drawn anew for each, except for session keys."""

    n_devices: int
    suite: str = 'pqc-512'
    run: str = RUN
    bound: BoundSuite = field(init=False)
    store: KeyStore = field(init=False)
    sealing: dict[int, SealingKey] = field(init=False)

    def __post_init__(self) -> None:
        """Make the keys."""
        self.bound = bind(self.suite, choose('pqcrypto'))
        ids = [self.device(i) for i in range(self.n_devices)]
        kems = {each: self.bound.kem.generate() for each in ids}
        signatures = {each: self.bound.signature.generate() for each in ids}
        self.store = KeyStore(
            {self.key(i): i.to_bytes(32, 'big') for i in range(self.n_devices)},
            {each: pair.public for each, pair in kems.items()}, {each: pair.private for each, pair in kems.items()},
            {each: pair.public for each, pair in signatures.items()},
            {each: pair.private for each, pair in signatures.items()})
        self.sealing = {i: SealingKey(self.bound.aead, self.store.session[self.key(i)], Direction.UP, each.hex())
                        for i, each in enumerate(ids)}

    def device(self, i: int) -> bytes:
        """Return the id of a device."""
        return subject_id(f'monitor-{i}')

    def key(self, i: int) -> KeyId:
        """Return the id of a device's session key."""
        return KeyId(self.device(i), 1)

    def dispatcher(self, place: str, node: str = 'pi-1', folder: Path | None = None, *,
                   is_padded: bool = False) -> Dispatcher:
        """Return a worker of a place, without a broker; folder is for updates."""
        bench = Bench(self.bound, Sealer(self.bound.aead, self.store), place, subject_id(node),
                      UpdateStore(folder) if folder else None)
        return Dispatcher(run_id(self.run), bench, clock_id(), is_padded=is_padded)

    def plain(self, job: int, device: int, flow: str, slip: tuple[Leg, ...], body: bytes, *,
              options: frozenset[str] = frozenset()) -> Message:
        """Return a message whose body is not sealed."""
        return Message(run_id(self.run), job, 0, flow, options, 1, 0, slip, 0, '', self.key(device), subject_id('twin'),
                       subject_id('twin'), None, (), body)

    def vitals(self, job: int, device: int, payload: bytes = b'{"spo2": 97}', flow: str = 'vitals') -> Message:
        """Return a message that a device has sealed for the crypto place."""
        message = replace(self.plain(job, device, flow, (Leg('crypto', 4, 5),), b''), sender=self.device(device),
                          receiver=subject_id('crypto'), sealed_by=SealedBy(0, bytes(16), 0))
        sealed = self.sealing[device].seal(payload, message.associated_data())
        return replace(message, sealed_by=SealedBy(0, sealed.boot_id, sealed.counter), body=sealed.body)

    def model(self, job: int, client: int, model: Parameters, slip: tuple[Leg, ...] = (TO_DEVICE,)) -> Message:
        """Return a message with a model that is on its way to a client."""
        return self.plain(job, client, 'fl-update', slip, model.to_bytes(), options=LEARNING)

    def update(self, job: int, update: Parameters) -> Message:
        """Return a message with an update for the aggregation."""
        return self.plain(job, update.client, 'fl-aggregate', (Leg('server', 0, 1),), update.to_bytes())


def first_model(client: int, n_clients: int, number: int = 0) -> Parameters:
    """Return the model that learning begins with, for one client; clients have different numbers of samples."""
    return Parameters(number, client, 40 + 13 * client, n_clients, FIRST)
