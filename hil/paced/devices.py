"""The crypto of simulated devices, done for real ahead of time: what a worker opens must have been sealed by somebody.

Devices live in processes of their own, so that sealing a model does not hold up the clock; one device always in the
same one, because it counts its nonces there. A device's stages are done by the code that a worker runs, under the
place `device`. Private keys never leave the process that made them.
"""

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from threadpoolctl import threadpool_limits

from hil.crypto.errors import CryptoError
from hil.crypto.providers import choose
from hil.crypto.suites import bind, warm_up
from hil.keys.messages import subject_id
from hil.ledger import ChainId
from hil.paced.apart import Apart, sent
from hil.wire.codec import encode
from hil.wire.message import KeyId, Message
from hil.wire.names import run_id
from hil.worker.dispatcher import Dispatcher, clock_id
from hil.worker.keys import KeyStore, Sealer
from hil.worker.stages import Bench
from sim.errors import one_line

EPOCH = 1  # of every session key of a run
BROADCAST = subject_id('model broadcast')  # whose key the server seals a model under that it publishes


@dataclass(frozen=True)
class Prepared:
    """A simulated device has done its part."""

    chain: ChainId  # the one that its bytes are for
    raw: bytes  # the message
    prepared_ns: int


class Devices:
    """Simulated devices that do their crypto for real, as a context; `store` is what workers are given of their keys.

    Parameters
    ----------
    run
        The run's name.
    suite, provider
        Names of the suite, and of who does its ML-KEM; None for the fastest that is installed.
    subjects
        Ids of all devices that seal or open.
    clients
        Of these, the ones that learn, and so have key pairs.
    body_bytes_max
        What no message may be longer than.
    n_processes
        How many share the work.
    """

    def __init__(self, run: str, suite: str, provider: str | None, subjects: Sequence[bytes],
                 clients: Sequence[bytes], body_bytes_max: int, n_processes: int = 1) -> None:
        self._session = {KeyId(subject, EPOCH): secrets.token_bytes(32) for subject in (*subjects, BROADCAST)}
        self._process_of = {subject: i % n_processes for i, subject in enumerate(subjects)}
        self._stack = ExitStack()
        self.processes = [
            Apart(_work, run, suite, provider, self._session,
                  [each for each in clients if self._process_of[each] == i], body_bytes_max)
            for i in range(max(self._process_of.values(), default=-1) + 1)]
        self.store = KeyStore()

    def __enter__(self) -> Self:
        """Start the processes and let them make the key pairs."""
        with ExitStack() as stack:
            for process in self.processes:
                stack.enter_context(process)
            public = [process.receive() for process in self.processes]
            self._stack = stack.pop_all()
        self.store = KeyStore(self._session, {k: v for kems, _ in public for k, v in kems.items()},
                              signature_public={k: v for _, keys in public for k, v in keys.items()})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End the processes."""
        self._stack.close()

    def prepare(self, chain: ChainId, message: Message) -> None:
        """Let a device do the next leg of a message; a `Prepared` for the chain comes from its process."""
        self.processes[self._process_of[message.key.subject]].send((chain, encode(message)))


def _work(pipe: Connection, run: str, suite: str, provider: str | None, session: dict[KeyId, bytes],
          clients: Sequence[bytes], body_bytes_max: int) -> None:
    """Make the keys of this process's devices, say the public ones of KEM and signature, and do what devices do."""
    threadpool_limits(1)  # linear algebra must not take the twin's processor as well
    bound = bind(suite, choose(provider))
    kems = {client: bound.kem.generate() for client in clients}
    signatures = {client: bound.signature.generate() for client in clients}
    kem_public = {client: pair.public for client, pair in kems.items()}
    signature_public = {client: pair.public for client, pair in signatures.items()}
    store = KeyStore(session, kem_public, {client: pair.private for client, pair in kems.items()}, signature_public,
                     {client: pair.private for client, pair in signatures.items()})
    dispatcher = Dispatcher(run_id(run), Bench(bound, Sealer(bound.aead, store), 'device', subject_id('devices')),
                            clock_id(), body_bytes_max)
    warm_up(bound)
    pipe.send((kem_public, signature_public))
    for chain, raw in sent(pipe):
        handled = dispatcher.handle(raw)
        if handled.result is None:
            raise CryptoError(one_line(f'a simulated device could not do its part: {handled.why or handled.outcome}'))
        pipe.send(Prepared(chain, encode(handled.result), time.monotonic_ns()))
