"""The way to the workers and back: a thread that publishes, a thread that listens, and one inbox for what happens.

The engine's thread launches messages and waits for the inbox; it never waits for the broker. A connection belongs to
the thread that opened it; one that is lost is opened again, and what was not confirmed is published again: a duplicate
is the ledger's business.
"""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hil.broker.backoff import Backoff, retried
from hil.broker.connection import Connection, Delivery, Published
from hil.broker.errors import BrokerError, UnavailableError
from hil.broker.names import DEAD, REPLY, exchange_of, key_of
from hil.ledger import Chain
from hil.wire.codec import decode, encode
from hil.wire.errors import DeadLetterError
from hil.wire.message import Message
from hil.worker.hello import Hello, hello_in

WAIT_S = 0.5  # how long a thread waits before it looks whether it is to stop
REPLIES_PREFETCH = 100
BACKOFF = Backoff(attempts_max=60)


@dataclass(frozen=True)
class Replied:
    """A worker's reply came."""

    message: Message
    received_ns: int


@dataclass(frozen=True)
class Refused:
    """The broker did not take a message: its queue is full."""

    chain: Chain
    refused_ns: int


@dataclass(frozen=True)
class Prepared:
    """A simulated device has done its part."""

    chain: Chain  # the one that its bytes are for
    message: Message
    prepared_ns: int


Happening = Replied | Refused | Prepared | Hello


class Hardware:
    """The twin's connections, as a context.

    Parameters
    ----------
    run
        The run's id, whose queues are declared.
    connect
        Opens a connection as the twin; its argument says what for.
    """

    def __init__(self, run: str, connect: Callable[[str], Connection]) -> None:
        self._run, self._connect = run, connect
        self._inbox = queue.SimpleQueue[Happening | Exception]()
        self._outbox = queue.SimpleQueue[Message | None]()
        self._stop = threading.Event()
        self._pauses = random.Random()
        self._threads = [threading.Thread(target=self._guarded, args=(work,), name=work.__name__)
                         for work in (self._publish, self._listen)]
        self._is_listening = threading.Event()

    def __enter__(self) -> Self:
        """Start, and return when replies can come."""
        for thread in self._threads:
            thread.start()
        self._is_listening.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Stop; what was not published is forgotten."""
        self._stop.set()
        self._outbox.put(None)
        for thread in self._threads:
            thread.join()

    def hellos(self, n: int, seconds_max: float) -> list[Hello]:
        """Return what workers say of themselves, once so many have or a time is over."""
        found: dict[str, Hello] = {}
        deadline = time.monotonic() + seconds_max
        while len(found) < n and (left_s := deadline - time.monotonic()) > 0.0:
            happening = self.wait(min(left_s, WAIT_S))
            if isinstance(happening, Hello):
                found[happening.node] = happening
        return [found[node] for node in sorted(found)]

    def send(self, message: Message) -> None:
        """Publish a message to the place of its first leg, soon."""
        self._outbox.put(message)

    def tell(self, happening: Happening | Exception) -> None:
        """Put something into the inbox; any thread may."""
        self._inbox.put(happening)

    def wait(self, seconds: float) -> Happening | None:
        """Return what happens next, or None if nothing does within a time; at once if that is over.

        Raises
        ------
        BrokerError
            If the broker is gone for good.
        CryptoError
            If a simulated device could not do its part.
        """
        try:
            happening = self._inbox.get(timeout=seconds) if seconds > 0.0 else self._inbox.get_nowait()
        except queue.Empty:
            return None
        if isinstance(happening, Exception):
            raise happening
        return happening

    def dead_chains(self) -> tuple[set[Chain], int]:
        """Return the chains whose messages lie in the dead letters, and how many letters there are."""
        connection = self._connect('dead letters')
        found, n = set[Chain](), 0
        with connection:
            connection.subscribe(exchange_of(self._run, DEAD), REPLIES_PREFETCH)
            while (letter := connection.receive(WAIT_S)) is not None:
                n += 1
                chain = _chain_of(letter.body)
                if chain is not None:
                    found.add(chain)
                connection.acknowledge(letter)
        return found, n

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # the engine's thread raises it again
            self._inbox.put(error)
        finally:
            self._is_listening.set()

    def _publish(self) -> None:
        connection: Connection | None = None

        def attempt(message: Message, raw: bytes) -> Published:
            nonlocal connection
            try:
                connection = connection or self._connect('publish')
                return connection.publish(exchange_of(self._run, message.slip[0].place), key_of(message.priority), raw,
                                          message_id=message.message_id, priority=message.priority)
            except UnavailableError:
                connection = None
                raise

        while not self._stop.is_set():
            try:
                message = self._outbox.get(timeout=WAIT_S)
            except queue.Empty:
                connection = _served(connection)
                continue
            if message is None:
                break
            raw = encode(message)
            said = retried(lambda message=message, raw=raw: attempt(message, raw),  # type: ignore[misc]
                           self._pauses, self._stop.wait, BACKOFF)
            if said is Published.REFUSED:
                self._inbox.put(Refused(Chain.of(message), time.monotonic_ns()))
            elif said is Published.UNROUTABLE:
                raise BrokerError(f'{message.slip[0].place}: has no queue of priority {message.priority}; somebody '
                                  'has removed it')
        if connection is not None:
            connection.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            connection = retried(lambda: self._connect('listen'), self._pauses, self._stop.wait, BACKOFF)
            try:
                connection.subscribe(exchange_of(self._run, REPLY), REPLIES_PREFETCH)
                self._is_listening.set()
                while not self._stop.is_set():
                    delivery = connection.receive(WAIT_S)
                    if delivery is None:
                        continue
                    heard = hello_in(delivery.headers) or _reply_in(delivery)
                    if heard is None:
                        connection.reject(delivery)  # to the dead letters, where it is counted
                    else:
                        self._inbox.put(heard)
                        connection.acknowledge(delivery)
                connection.close()
            except UnavailableError:
                continue


def _served(connection: Connection | None) -> Connection | None:
    """Let the broker hear of a connection; return it, or nothing when it is lost."""
    try:
        if connection is not None:
            connection.receive(0.0)
    except BrokerError:
        return None
    return connection


def _reply_in(delivery: Delivery) -> Replied | None:
    """Return the reply that a delivery is, None if it is none."""
    try:
        return Replied(decode(delivery.body), delivery.received_ns)
    except DeadLetterError:
        return None


def _chain_of(letter: bytes) -> Chain | None:
    """Return the chain that a dead letter was of, from its header; None if that is damaged."""
    try:
        return Chain.of(decode(letter, is_cut=True))
    except DeadLetterError:
        return None
