"""The crypto of simulated devices, done for real ahead of time: what a worker opens must have been sealed by somebody.

Devices live in processes of their own, so that sealing a model does not hold up the clock; one device always in the
same one, because it counts its nonces there. A device's stages are done by the code that a worker runs, under the
place `device`. Private keys never leave the process that made them.
"""

import ctypes
import multiprocessing
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from threadpoolctl import threadpool_limits

from hil.crypto.errors import CryptoError
from hil.crypto.providers import choose
from hil.crypto.suites import bind
from hil.keys.messages import subject_id
from hil.wire.codec import decode, encode
from hil.wire.message import KeyId, Message
from hil.wire.names import run_id
from hil.worker.dispatcher import Dispatcher, clock_id
from hil.worker.keys import KeyRing, KeyStore
from hil.worker.stages import Bench
from sim.errors import one_line

PR_SET_PDEATHSIG = 1  # linux/prctl.h
EPOCH = 1  # of every session key of a run
BROADCAST = subject_id('model broadcast')  # whose key the server seals a model under that it publishes

_dispatcher: Dispatcher  # of a device process


class Devices:
    """Simulated devices that do their crypto for real, as a context; `store` is what workers are given of their keys.

    Parameters
    ----------
    run
        The run's id.
    suite, provider
        Names of the suite, and of who does its ML-KEM; None for the fastest that is installed.
    subjects
        Ids of all devices that seal or open.
    clients
        Of these, the ones that learn, and so have key pairs.
    body_bytes_max
        What no message may be longer than.
    """

    def __init__(self, run: str, suite: str, provider: str | None, subjects: Sequence[bytes],
                 clients: Sequence[bytes], body_bytes_max: int, n_processes: int = 1) -> None:
        self._run, self._suite, self._provider = run, suite, provider
        self._body_bytes_max, self._clients = body_bytes_max, clients
        self._session = {KeyId(subject, EPOCH): secrets.token_bytes(32) for subject in (*subjects, BROADCAST)}
        self._process_of = {subject: i % n_processes for i, subject in enumerate(subjects)}
        self._processes: list[ProcessPoolExecutor] = []
        self.store = KeyStore()

    def __enter__(self) -> Self:
        """Start the processes and let them make the key pairs."""
        context = multiprocessing.get_context('spawn')
        n = max(self._process_of.values(), default=0) + 1
        self._processes = [ProcessPoolExecutor(1, context) for _ in range(n)]
        try:
            with _unheard(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # by the processes: the twin ends them
                begun = [process.submit(_begin, self._run, self._suite, self._provider, self._session,
                                        [each for each in self._clients if self._process_of[each] == i],
                                        self._body_bytes_max, os.getpid())
                         for i, process in enumerate(self._processes)]
            public = [each.result() for each in begun]
        except BaseException:
            self._end()
            raise
        self.store = KeyStore(self._session, {k: v for kems, _ in public for k, v in kems.items()},
                              signature_public={k: v for _, keys in public for k, v in keys.items()})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End the processes."""
        self._end()

    def prepare(self, message: Message, tell: Callable[[Message | Exception], None]) -> None:
        """Let a device do the next leg of a message; `tell` is called in another thread with what came of it."""

        def done(future: Future[bytes]) -> None:
            if not future.cancelled():
                error = future.exception()
                tell(decode(future.result()) if error is None else error)  # type: ignore[arg-type]  # raised by us

        process = self._processes[self._process_of[message.key.subject]]
        process.submit(_handle, encode(message)).add_done_callback(done)

    def _end(self) -> None:
        for process in self._processes:
            process.shutdown(wait=True, cancel_futures=True)
        self._processes = []


@contextmanager
def _unheard(*signals: signal.Signals) -> Iterator[None]:
    """Hold signals back until the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(twin: int) -> None:
    """Let the kernel kill this process when the twin ends, however it does: nobody else would end it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != twin:  # it has ended already
        os._exit(1)


def _begin(run: str, suite: str, provider: str | None, session: dict[KeyId, bytes], clients: Sequence[bytes],
           body_bytes_max: int, twin: int) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Make the keys of this process's devices; return the public ones of KEM and signature."""
    _end_with(twin)
    global _dispatcher  # noqa: PLW0603 - a process has no other place for what lasts from call to call
    threadpool_limits(1)  # linear algebra must not take the twin's processor as well
    bound = bind(suite, choose(provider))
    kems = {client: bound.kem.generate() for client in clients}
    signatures = {client: bound.signature.generate() for client in clients}
    kem_public = {client: pair.public for client, pair in kems.items()}
    signature_public = {client: pair.public for client, pair in signatures.items()}
    store = KeyStore(session, kem_public, {client: pair.private for client, pair in kems.items()}, signature_public,
                     {client: pair.private for client, pair in signatures.items()})
    _dispatcher = Dispatcher(run_id(run), Bench(bound, KeyRing(bound.aead, store), 'device', subject_id('devices')),
                             clock_id(), body_bytes_max)
    return kem_public, signature_public


def _handle(raw: bytes) -> bytes:
    handled = _dispatcher.handle(raw)
    if handled.result is None:
        raise CryptoError(one_line(f'a simulated device could not do its part: {handled.why or handled.outcome}'))
    return encode(handled.result)
