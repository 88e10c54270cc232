"""The way to the workers and back: a process with a thread for each queue that it publishes to, and one that listens.

The engine launches messages and waits for what happens; it never waits for the broker. Each queue has a connection of
its own, so that nobody's message waits until somebody else's is confirmed. A connection belongs to the thread that
opened it; one that is lost is opened again, and what was not confirmed is published again: a duplicate is the ledger's
business.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Self

from hil.broker import topology
from hil.broker.backoff import Backoff, retried
from hil.broker.connection import Connection, Delivery, Endpoint, Published, connect
from hil.broker.credentials import Credentials
from hil.broker.errors import BrokerError, UnavailableError
from hil.broker.names import DEAD, REPLY, Place, exchange_of, key_of
from hil.ledger import ChainId
from hil.paced.apart import Apart, Inbox, sent
from hil.paced.devices import Prepared
from hil.wire.codec import decode, encode
from hil.wire.errors import DeadLetterError
from hil.wire.message import Message
from hil.worker.hello import Hello, hello_in

WAIT_S = 0.5  # how long a thread waits before it looks whether it is to stop
REPLIES_PREFETCH = 100
DEPTHS_EVERY_S = 1.0  # how often the broker is asked what waits in its queues
BACKOFF = Backoff(attempts_max=60)


@dataclass(frozen=True)
class Line:
    """How the twin reaches its broker."""

    endpoint: Endpoint
    credentials: Credentials

    def connect(self, purpose: str) -> Connection:
        """Open a connection."""
        return connect(self.endpoint, self.credentials, f'twin {purpose}')


@dataclass(frozen=True)
class Replied:
    """A worker's reply came."""

    raw: bytes  # a message
    received_ns: int


@dataclass(frozen=True)
class Refused:
    """The broker did not take a message: its queue is full."""

    chain: ChainId
    refused_ns: int


@dataclass(frozen=True)
class Blocked:
    """The broker has stopped taking messages, for want of memory or disk."""

    reason: str  # in its own words
    blocked_ns: int


@dataclass(frozen=True)
class Depths:
    """How many messages were ready in each queue."""

    ready: Mapping[str, int]


Happening = Replied | Refused | Blocked | Depths | Prepared | Hello


@dataclass(frozen=True)
class _Outgoing:
    place: str
    priority: int
    message_id: str
    chain: ChainId
    raw: bytes


class Hardware:
    """The twin's way to the workers of one run, as a context; what comes back comes from `process`.

    Parameters
    ----------
    run
        The run's name, whose queues are declared.
    line
        To its broker.
    queues
        The places and priority classes that messages go to.
    counted
        The queues of which it is told now and then how many messages wait in them.
    """

    def __init__(self, run: str, line: Line, queues: Mapping[Place, Sequence[int]],
                 counted: Sequence[str] = ()) -> None:
        self._run, self._line = run, line
        fed = [(place, each) for place, every in queues.items() for each in every]
        self.process = Apart(_carry, run, line, fed, counted)

    def __enter__(self) -> Self:
        """Start, and return when all connections are open."""
        self.process.__enter__()
        try:
            self.process.receive()
        except BaseException:
            self.process.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Stop; what was not published is forgotten."""
        self.process.__exit__(kind, error, traceback)

    def hellos(self, n: int, seconds_max: float, watch: Callable[[], None] = lambda: None) -> list[Hello]:
        """Return what workers say of themselves, once so many have or a time is over; `watch` is called meanwhile."""
        found: dict[str, Hello] = {}
        deadline, inbox = time.monotonic() + seconds_max, Inbox(self.process)
        while len(found) < n and (left_s := deadline - time.monotonic()) > 0.0:
            happening = inbox.wait(min(left_s, WAIT_S))
            if happening is None:
                watch()
            if isinstance(happening, Hello):
                found[happening.node] = happening
        return [found[node] for node in sorted(found)]

    def send(self, message: Message) -> None:
        """Publish a message to the place of its first leg, soon."""
        self.process.send(_Outgoing(message.slip[0].place, message.priority, message.message_id, ChainId.of(message),
                                    encode(message)))

    def dead_chains(self) -> tuple[set[ChainId], int]:
        """Return the chains whose messages lie in the dead letters, and how many letters there are."""
        found, n = set[ChainId](), 0
        with self._line.connect('dead letters') as connection:
            connection.subscribe(exchange_of(self._run, DEAD), REPLIES_PREFETCH)
            while (letter := connection.receive(WAIT_S)) is not None:
                n += 1
                chain = _chain_of(letter.body)
                if chain is not None:
                    found.add(chain)
                connection.acknowledge(letter)
        return found, n


def _carry(pipe: Pipe, run: str, line: Line, queues: Sequence[tuple[str, int]], counted: Sequence[str]) -> None:
    """Publish what the twin sends, and tell it what comes."""
    with _Carrier(run, line, pipe, queues, counted) as carrier:
        for outgoing in sent(pipe):
            carrier.publish(outgoing)


class _Carrier:
    """The threads, in their process."""

    def __init__(self, run: str, line: Line, pipe: Pipe, queues: Sequence[tuple[str, int]],
                 counted: Sequence[str]) -> None:
        self._run, self._line, self._pipe, self._counted = run, line, pipe, counted
        self._lock = threading.Lock()  # of the pipe
        self._outboxes = {each: queue.SimpleQueue[_Outgoing | None]() for each in queues}
        self._stop = threading.Event()
        n_threads = len(queues) + 1 + bool(counted)
        self._open = threading.Barrier(n_threads, lambda: self._tell(None))  # the first connection of each
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Open the connections."""
        self._start(self._listen)
        for outbox in self._outboxes.values():
            self._start(partial(self._publish, outbox))
        if self._counted:
            self._start(self._count)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Let the threads end."""
        self._stop.set()
        for outbox in self._outboxes.values():
            outbox.put(None)
        for thread in self._threads:
            thread.join()

    def publish(self, outgoing: _Outgoing) -> None:
        """Publish a message, in the order of those of its queue."""
        self._outboxes[outgoing.place, outgoing.priority].put(outgoing)

    def _start(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # the engine raises it again
                self._tell(error)
                self._open.abort()

        self._threads.append(threading.Thread(target=guarded))
        self._threads[-1].start()

    def _tell(self, happening: object) -> None:
        """Tell the twin, unless it is gone."""
        with self._lock:
            try:
                self._pipe.send(happening)
            except OSError:
                self._stop.set()

    def _publisher(self) -> Connection:
        """Open a connection to publish on; the twin is told when the broker stops taking what comes there."""
        connection = self._line.connect('publish')
        connection.hear_blocked(lambda reason: self._tell(Blocked(reason, time.monotonic_ns())))
        return connection

    def _publish(self, outbox: 'queue.SimpleQueue[_Outgoing | None]') -> None:
        pauses = random.Random()
        connection: Connection | None = retried(self._publisher, pauses, self._stop.wait, BACKOFF)
        self._is_open()

        def attempt(outgoing: _Outgoing) -> Published:
            nonlocal connection
            try:
                connection = connection or self._publisher()
                return connection.publish(exchange_of(self._run, outgoing.place), key_of(outgoing.priority),
                                          outgoing.raw, message_id=outgoing.message_id, priority=outgoing.priority)
            except UnavailableError:
                connection = None
                raise

        while not self._stop.is_set():
            try:
                outgoing = outbox.get(timeout=WAIT_S)
            except queue.Empty:
                connection = _served(connection)
                continue
            if outgoing is None:
                break
            said = retried(lambda outgoing=outgoing: attempt(outgoing),  # type: ignore[misc]
                           pauses, self._stop.wait, BACKOFF)
            if said is Published.REFUSED:
                self._tell(Refused(outgoing.chain, time.monotonic_ns()))
            elif said is Published.UNROUTABLE:
                raise BrokerError(f'{outgoing.place}: has no queue of priority {outgoing.priority}; somebody has '
                                  'removed it')
        if connection is not None:
            connection.close()

    def _listen(self) -> None:
        pauses = random.Random()
        is_first = True
        while not self._stop.is_set():
            connection = retried(lambda: self._line.connect('listen'), pauses, self._stop.wait, BACKOFF)
            try:
                connection.subscribe(exchange_of(self._run, REPLY), REPLIES_PREFETCH)
                if is_first:
                    self._is_open()
                is_first = False
                while not self._stop.is_set():
                    delivery = connection.receive(WAIT_S)
                    if delivery is None:
                        continue
                    heard = hello_in(delivery.headers) or _reply_in(delivery)
                    if heard is None:
                        connection.reject(delivery)  # to the dead letters, where it is counted
                    else:
                        self._tell(heard)
                        connection.acknowledge(delivery)
                connection.close()
            except UnavailableError:
                continue

    def _is_open(self) -> None:
        """Wait for the others; the last one tells the twin."""
        with suppress(threading.BrokenBarrierError):  # one of them has told why
            self._open.wait()

    def _count(self) -> None:
        """Ask the broker now and then what waits in the queues, on a connection of its own."""
        pauses, is_counting = random.Random(), False
        while not self._stop.is_set():
            connection = retried(lambda: self._line.connect('count'), pauses, self._stop.wait, BACKOFF)
            if not is_counting:
                self._is_open()
                is_counting = True
            with connection, suppress(UnavailableError):
                while not self._stop.wait(DEPTHS_EVERY_S):
                    self._tell(Depths(topology.ready(connection, self._counted)))


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
        decode(delivery.body)
    except DeadLetterError:
        return None
    return Replied(delivery.body, delivery.received_ns)


def _chain_of(letter: bytes) -> ChainId | None:
    """Return the chain that a dead letter was of, from its header; None if that is damaged."""
    try:
        return ChainId.of(decode(letter, is_cut=True))
    except DeadLetterError:
        return None
