"""Connections to a broker: the only module that knows pika.

A connection belongs to the thread that opened it, and the broker hears of that thread's life only while it is in a call
of the connection: whoever computes for longer than two heartbeats is taken for dead. What pika and TLS raise becomes
one of the errors of `hil.broker.errors` here, once, and closes the connection: whoever gets one opens another
(`hil.broker.backoff`). Every wait has a bound; that for a broker which has stopped taking messages is
`Waits.blocked_s`, where pika by itself would wait for ever.
"""

import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from hil.broker.credentials import Credentials
from hil.broker.errors import BlockedError, BrokerError, MissingError, RefusedError, UnavailableError
from hil.broker.settings import HEARTBEAT_S
from sim.errors import InputError

SOCKET_S_MAX = 10.0  # to connect; twice that for TCP, TLS and AMQP together
BLOCKED_S_MAX = 60.0
NOT_FOUND = 404  # AMQP 0-9-1, section 1.2, as these:
REFUSALS = (403, 405, 406, 530, 540)  # access, locked, precondition, not allowed, not implemented
MISSING = re.compile(r'NOT_FOUND - no \w+ ')  # RabbitMQ says 404 as well of a queue that is there and has not started


@dataclass(frozen=True)
class Endpoint:
    """Where a broker is, and the certificate of the authority that its own is checked against."""

    url: str
    ca: Path

    def parts(self) -> tuple[str, int, str]:
        """Return host, port and virtual host.

        Raises
        ------
        InputError
            If the URL is not of the form ``amqps://HOST:PORT/VHOST``, or holds a user.
        """
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme != 'amqps' or parts.query or parts.fragment or '/' in parts.path[1:]:
            raise InputError(f"broker URL '{_without_user(self.url)}': expected amqps://HOST:PORT/VHOST; correct it")
        if '@' in parts.netloc:
            raise InputError(f"broker URL '{_without_user(self.url)}' names a user; leave it out: credentials come "
                             'from the environment or from a file of their own')
        return host, port or 5671, parts.path[1:] or '/'


def _without_user(url: str) -> str:
    scheme, slashes, rest = url.rpartition('//')
    return f'{scheme}{slashes}{rest.rpartition("@")[2]}'


@dataclass(frozen=True)
class Waits:
    """How long a connection waits for what."""

    socket_s: float = SOCKET_S_MAX
    blocked_s: float = BLOCKED_S_MAX
    heartbeat_s: int = HEARTBEAT_S


class Published(Enum):
    """What a broker said of a message."""

    CONFIRMED = 'confirmed'
    REFUSED = 'refused'  # its queue is full
    UNROUTABLE = 'unroutable'  # there is no such queue


@dataclass(frozen=True)
class Delivery:
    """A message that came."""

    queue: str
    body: bytes = field(repr=False)
    headers: Mapping[str, Any]
    is_redelivered: bool
    received_ns: int  # of this process's monotonic clock
    tag: int = field(repr=False)


class Connection:
    """A connection with one channel, on which every publication is confirmed; made by `connect`."""

    def __init__(self, connection: pika.BlockingConnection, where: str) -> None:
        self.where = where
        self._connection = connection
        self._thread = threading.get_ident()
        self._received: deque[Delivery] = deque()  # as many as the prefetches of all queues allow
        self._queues = list[str]()  # that were subscribed to
        self._is_cancelled = self._is_woken = False
        with _mapped(where):
            self._channel = connection.channel()
            self._channel.confirm_delivery()
            self._channel.add_on_cancel_callback(self._hear_cancel)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Close it."""
        self.close()

    @property
    def server_version(self) -> str:
        """RabbitMQ's own version, as it says itself."""
        properties = self._connection._impl.server_properties  # type: ignore[attr-defined]  # noqa: SLF001 - only there
        version: object = properties.get('version', 'unknown')
        return version.decode() if isinstance(version, bytes) else str(version)

    def publish(self, exchange: str, key: str, body: bytes, headers: Mapping[str, Any] | None = None, *,
                message_id: str | None = None, priority: int | None = None) -> Published:
        """Send a message, persistent and mandatory, and return what the broker said of it.

        Raises
        ------
        UnavailableError, BlockedError, RefusedError
            If it said nothing: the message may have come and may have not.
        """
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value,
                                          headers=dict(headers) if headers else None, message_id=message_id,
                                          priority=priority)
        with self._call():
            try:
                self._channel.basic_publish(exchange, key, body, properties, mandatory=True)
            except exceptions.NackError:
                return Published.REFUSED
            except exceptions.UnroutableError:
                return Published.UNROUTABLE
        return Published.CONFIRMED

    def subscribe(self, queue: str, prefetch: int) -> None:
        """Ask for the messages of a queue, at most `prefetch` of them unacknowledged at any time."""
        with self._call():
            self._queues.append(queue)
            self._channel.basic_qos(prefetch_count=prefetch)  # of the consumers that follow, each
            self._channel.basic_consume(queue, lambda _, method, properties, body: self._received.append(Delivery(
                queue, body, properties.headers or {}, bool(method.redelivered), time.monotonic_ns(),
                method.delivery_tag or 0)))

    def receive(self, wait_s: float) -> Delivery | None:
        """Return the next message, or None if none came in `wait_s` or before `wake`; heartbeats are sent meanwhile.

        Raises
        ------
        MissingError
            If a queue that was subscribed to was deleted.
        UnavailableError
            If the broker has ended a subscription for another reason, as it does when it stops; or there is none.
        """
        deadline = time.monotonic() + wait_s
        with self._call():
            while not self._received:
                left_s = 0.0 if self._is_woken else deadline - time.monotonic()
                self._connection.process_data_events(max(0.0, left_s))
                if self._is_cancelled:
                    self._tell_why_cancelled()
                if left_s <= 0 and not self._received:
                    self._is_woken = False
                    return None
        return self._received.popleft()

    def wake(self) -> None:
        """Let `receive` return at once, now or when it is called next; the one call that is another thread's."""
        with suppress(exceptions.ConnectionWrongStateError):  # whoever receives hears of the loss by himself
            self._connection.add_callback_threadsafe(self._hear_wake)

    def hear_blocked(self, hear: Callable[[str], None]) -> None:
        """Call a function with the broker's reason as soon as it says that it takes no messages of this connection.

        It is called within whatever call waits for the broker meanwhile; pika's own callback comes after that call.
        """
        inner = self._connection._impl  # type: ignore[attr-defined]  # noqa: SLF001 - only there
        inner.add_on_connection_blocked_callback(lambda _, frame: hear(str(frame.method.reason)))

    def acknowledge(self, delivery: Delivery) -> None:
        """Let the broker forget a message."""
        with self._call():
            self._channel.basic_ack(delivery.tag)

    def reject(self, delivery: Delivery) -> None:
        """Let the broker put a message among the dead ones."""
        with self._call():
            self._channel.basic_reject(delivery.tag, requeue=False)

    def give_back(self, delivery: Delivery) -> None:
        """Let the broker give a message to whoever is next."""
        with self._call():
            self._channel.basic_reject(delivery.tag, requeue=True)

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        """Lend a channel to this package, for declarations; what is refused there closes it, not the connection."""
        with _mapped(self.where):
            channel = self._connection.channel()
            try:
                yield channel
            finally:
                if channel.is_open:
                    channel.close()

    def close(self) -> None:
        """Close it; what was not acknowledged goes back."""
        with suppress(BrokerError), _mapped(self.where):
            if self._connection.is_open:
                self._connection.close()

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Be within a call to pika, of which an error is ours, and the connection's last."""
        if threading.get_ident() != self._thread:
            raise AssertionError(f'{self.where}: a connection belongs to the thread that opened it')
        try:
            with _mapped(self.where):
                yield
        except BrokerError:
            self.close()
            raise

    def _tell_why_cancelled(self) -> NoReturn:
        """Raise why the broker has ended a subscription, which it does not say."""
        for queue in self._queues:
            try:
                with self.channel() as channel:
                    channel.queue_declare(queue, passive=True)
            except MissingError:
                raise MissingError(f'{self.where}: the queue {queue} of this connection was deleted') from None
        raise UnavailableError(f'{self.where}: the broker has ended a subscription')

    def _hear_cancel(self, _: object) -> None:
        self._is_cancelled = True

    def _hear_wake(self) -> None:
        self._is_woken = True


def connect(endpoint: Endpoint, credentials: Credentials, name: str = 'iomtwin',
            waits: Waits | None = None) -> Connection:
    """Open a connection over TLS.

    Parameters
    ----------
    name
        What the broker calls it in its log.

    Raises
    ------
    InputError
        If the URL is none, or the authority's certificate cannot be read.
    UnavailableError
        If nobody answers, or not in time.
    RefusedError
        If the certificate does not hold, or the credentials are wrong.
    """
    waits = waits or Waits()
    host, port, vhost = endpoint.parts()
    parameters = pika.ConnectionParameters(
        host, port, vhost, pika.PlainCredentials(credentials.user, credentials.password),
        heartbeat=waits.heartbeat_s, ssl_options=pika.SSLOptions(_tls(endpoint.ca), host), connection_attempts=1,
        socket_timeout=waits.socket_s, stack_timeout=2 * waits.socket_s, blocked_connection_timeout=waits.blocked_s,
        client_properties={'connection_name': name})
    where = f'broker {host}:{port}'
    with _mapped(where):
        return Connection(pika.BlockingConnection(parameters), where)


def _tls(ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        cause = 'no certificate in it' if isinstance(error, ssl.SSLError) else error.strerror
        raise InputError(f"{ca}: cannot be read ({cause}); expected the PEM certificate of the broker's "
                         'authority') from None
    return context


@contextmanager
def _mapped(where: str) -> Iterator[None]:
    """Raise one of our errors for what pika, TLS or the socket raised."""
    try:
        yield
    except (exceptions.AMQPError, exceptions.ChannelError, AMQPConnectorException, OSError) as error:
        raise _ours(where, error) from None


def _ours(where: str, error: BaseException) -> BrokerError:
    for cause in (error, *_causes(error)):
        match cause:
            case ssl.SSLCertVerificationError():
                return RefusedError(f'{where}: its certificate does not hold ({cause.verify_message}); name the '
                                    'certificate of the authority that signed it, and the host as it is written there')
            case exceptions.ProbableAuthenticationError() if _is_refusal(cause):
                return RefusedError(f'{where}: knows no such user and password; give it the ones that were made for it')
            case exceptions.ConnectionBlockedTimeout():
                return BlockedError(f'{where}: has taken no messages for too long, for want of memory or disk; end '
                                    'what fills it, or give it more')
            case exceptions.ProbableAccessDeniedError() if _is_refusal(cause):
                return RefusedError(f'{where}: refuses the virtual host ({cause.args[-1]}); correct the URL')
            case exceptions.ConnectionClosedByBroker() | exceptions.ChannelClosedByBroker():
                return _kind(cause.reply_code, cause.reply_text)(f'{where}: {cause.reply_code} {cause.reply_text}')
            case OSError() if cause.strerror:
                return UnavailableError(f'{where}: {cause.strerror}; look after the broker and the way to it')
    said = ' '.join(str(part) for part in error.args)
    return UnavailableError(f'{where}: the connection is lost ({said or type(error).__name__})')


def _kind(code: int, text: str) -> type[BrokerError]:
    """Return the error that a broker's reason for closing is."""
    if code == NOT_FOUND:
        return MissingError if MISSING.match(text) else UnavailableError
    return RefusedError if code in REFUSALS else UnavailableError


def _is_refusal(probable: exceptions.AMQPConnectionError) -> bool:
    """Return whether the broker itself ended a handshake, for a reason that stays; pika also guesses so of a loss."""
    said = re.match(r'ConnectionClosedByBroker: \((\d+)\)', str(probable.args[-1]))
    return said is not None and int(said[1]) in REFUSALS


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that an error was made of; pika keeps them among its arguments."""
    for inner in (*error.args, getattr(error, 'exception', None)):
        if isinstance(inner, BaseException):
            yield inner
            yield from _causes(inner)
