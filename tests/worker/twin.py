"""A twin that is no simulation: it launches messages, plays the devices, and keeps the ledger; with real workers."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from hil.broker import topology
from hil.broker.backoff import retried
from hil.broker.connection import Connection, Delivery, Endpoint, Published, Waits, connect
from hil.broker.credentials import to_environment
from hil.broker.errors import BlockedError, UnavailableError
from hil.broker.names import DEAD, REPLY, Place, exchange_of, key_of, new_run, queue_of
from hil.broker.private import PrivateBroker
from hil.broker.topology import Limits
from hil.ledger import ChainId, Ledger
from hil.wire.codec import decode, encode
from hil.wire.message import Message
from hil.wire.names import run_id
from hil.worker.hello import hello_in
from hil.worker.process import BACKOFF
from tests.worker.hospital import Hospital

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_S_MAX = 240.0  # for anything: the machine may be busy
PRIORITY = 1


@dataclass
class Node:
    """A worker process."""

    process: subprocess.Popen[str]
    folder: Path

    @property
    def is_ready(self) -> bool:
        """Whether it says so."""
        return (self.folder / 'ready').exists()

    def has_begun(self) -> bool:
        """Return whether it is ready, or has ended."""
        return self.is_ready or self.process.poll() is not None

    @property
    def counts(self) -> dict[str, int]:
        """What it counted, as of about now."""
        found: dict[str, int] = json.loads((self.folder / 'health.json').read_text())['counts']
        return found

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def end(self) -> tuple[int, str]:
        """Ask it to end; return its exit code and what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=WAIT_S_MAX)
        return self.process.returncode, said


@dataclass
class Twin:
    """The twin's two connections, its ledger, and the first reply to each chain."""

    broker: PrivateBroker
    hospital: Hospital
    folder: Path
    chains_max: int = 64
    limits: Limits = field(default_factory=Limits)
    endpoint: Endpoint | None = None  # where workers find the broker, if not where the twin does
    waits: Waits = field(default_factory=Waits)
    python: tuple[str, ...] = (sys.executable,)  # what starts workers
    run: str = field(default_factory=new_run)
    nodes: list[Node] = field(default_factory=list)
    replies: dict[ChainId, Message] = field(default_factory=dict)
    seen: list[Message] = field(default_factory=list)  # all replies, duplicates too
    n_blocked: int = 0  # how often the broker took no messages for too long

    def __post_init__(self) -> None:
        """Declare the run."""
        self.hospital.run = self.run
        self.sending, self._pauses = self._connect(), random.Random()
        topology.declare(self.sending, self.run, {
            'crypto': [0, PRIORITY], 'server': [PRIORITY], 'authority': [PRIORITY]}, self.limits)
        self.receiving = self._subscribed()
        self.ledger = Ledger(run_id(self.run), self.chains_max, 32 << 20)
        self.keys = self.folder / 'keys.json'
        self.keys.touch(0o600)
        self.keys.write_text(json.dumps(self.hospital.store.to_json()))

    def _connect(self) -> Connection:
        return connect(self.broker.endpoint, self.broker.users['twin'], waits=self.waits)

    def _subscribed(self) -> Connection:
        connection = self._connect()
        connection.subscribe(exchange_of(self.run, REPLY), 100)
        return connection

    def start(self, place: Place, name: str, *, preload: str = '', prefetch: int = 4, heartbeat_s: int = 60,
              endpoint: Endpoint | None = None) -> Node:
        """Start a worker; `preload` is code that runs in it first, to make it fail at a certain point."""
        folder = self.folder / f'{name}-{len(self.nodes)}'  # a node's next worker finds nothing of the last one
        code = f'{preload}\nimport sys\nfrom hil.worker.command import main\nsys.exit(main())'
        endpoint = endpoint or self.endpoint or self.broker.endpoint
        arguments = ['--broker', endpoint.url, '--ca', str(endpoint.ca), '--node', name, '--run', self.run,
                     '--place', place, '--queue', f'{PRIORITY}={prefetch}', '--keys', str(self.keys),
                     '--suite', self.hospital.suite, '--status', str(folder), '--state', str(self.folder / 'state'),
                     '--heartbeat', str(heartbeat_s)]
        if place == 'crypto':
            arguments += ['--queue', '0=1']
        process = subprocess.Popen([*self.python, '-c', code, *arguments], cwd=ROOT, text=True,
                                   stderr=subprocess.PIPE,
                                   env=os.environ | to_environment(place, self.broker.users[place]))
        node = Node(process, folder)
        self.nodes.append(node)
        return node

    def wait_until_ready(self, *nodes: Node) -> None:
        """Wait until workers are ready, all of ours if none is named."""
        for node in nodes or self.nodes:
            wait_for(node.has_begun)
            assert node.process.poll() is None, node.process.communicate()[1]

    def launch(self, message: Message) -> None:
        """Launch a chain, as soon as the ledger has room for it: workers may be slower than we are."""
        raw = encode(message)
        deadline = time.monotonic() + WAIT_S_MAX
        while not self.ledger.has_room(len(raw)):
            self.take(0.2)
            assert time.monotonic() < deadline, self.ledger.counts
        self.ledger.launch(message, len(raw), time.monotonic_ns())
        said = self.send(raw, message.slip[0].place, message.priority)
        if said is Published.REFUSED:
            self.ledger.refuse(ChainId.of(message), time.monotonic_ns())
        else:
            assert said is Published.CONFIRMED

    def send(self, raw: bytes, place: str, priority: int = PRIORITY) -> Published:
        """Publish bytes to a place, again if nobody knows whether they came."""

        def attempt() -> Published:
            try:
                return self.sending.publish(exchange_of(self.run, place), key_of(priority), raw)
            except UnavailableError as error:
                self.n_blocked += isinstance(error, BlockedError)
                self.sending = self._connect()
                raise

        return retried(attempt, self._pauses, time.sleep, BACKOFF)

    def launch_all(self, messages: Iterable[Message]) -> None:
        """Launch chains as there is room for them, and wait until all have ended."""
        waiting = deque(messages)
        deadline = time.monotonic() + WAIT_S_MAX
        while waiting or self.ledger.n_in_flight:
            while waiting and self.ledger.has_room(len(waiting[0].body) + 1000):
                self.launch(waiting.popleft())
            self.take(0.2)
            assert time.monotonic() < deadline, (self.ledger.counts, [each.process.poll() for each in self.nodes])

    def take(self, wait_s: float) -> Message | None:
        """Take a reply, if one comes; subscribe again when the connection is lost."""
        try:
            delivery = self.receiving.receive(wait_s)
        except UnavailableError:
            self.receiving = retried(self._subscribed, self._pauses, time.sleep, BACKOFF)
            return None
        if delivery is None:
            return None
        with suppress(UnavailableError):  # then it comes again
            self.receiving.acknowledge(delivery)
        if hello_in(delivery.headers) is not None:
            return None
        reply = decode(delivery.body)
        self.seen.append(reply)
        if self.ledger.take(reply, delivery.received_ns):
            self.replies[ChainId.of(reply)] = reply
        return reply

    def n_waiting(self, place: Place) -> int:
        """Return how many messages wait for a place."""
        with self.sending.channel() as channel:
            return channel.queue_declare(queue_of(self.run, place, PRIORITY), passive=True).method.message_count

    def dead_letters(self, n: int) -> list[Delivery]:
        """Return as many dead letters as are expected."""
        with self._connect() as connection:
            connection.subscribe(exchange_of(self.run, DEAD), 1000)
            letters = []
            while len(letters) < n:
                letter = connection.receive(WAIT_S_MAX)
                assert letter is not None, f'{len(letters)} of {n} dead letters'
                letters.append(letter)
                connection.acknowledge(letter)
        return letters

    def close(self) -> None:
        """End the workers and remove the run."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
            if node.process.stderr is not None:
                node.process.stderr.close()
        self.receiving.close()
        self.sending.close()
        with self._connect() as connection:
            topology.clean(connection, self.run)


@contextmanager
def twin(broker: PrivateBroker, folder: Path, hospital: Hospital | None = None, **options: Any) -> Iterator[Twin]:
    """Make a twin and end it with all its workers."""
    made = Twin(broker, hospital or Hospital(6), folder, **options)
    try:
        yield made
    finally:
        with suppress(ChildProcessError):
            made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, 'waited for too long'
        time.sleep(0.05)


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[Thread]:
    """Do something in another thread, and wait until it is done."""
    thread = Thread(target=action)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def state_of(pid: int) -> str:
    """Return a process's state as in proc(5): T is stopped, Z has ended; nothing if it is not there."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, before it is read
        return ''


def nonces_of(messages: Iterable[Message]) -> Mapping[tuple[Any, ...], set[bytes]]:
    """Return the bodies that were sealed under each key and nonce."""
    found: dict[tuple[Any, ...], set[bytes]] = {}
    for each in messages:
        if each.sealed_by is not None:
            by = each.sealed_by
            found.setdefault((each.key, each.sender, by.boot_id, by.counter), set()).add(each.body)
    return found
