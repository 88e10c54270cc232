"""The exchanges and queues of a run: declared by the twin, bounded, and removed without touching those of others.

One queue for each place and priority class, because a classic queue gives prefetch and order to a class only if the
class is alone in it. A full queue refuses what is published to it (``reject-publish``), and the publisher hears so;
what workers reject goes to the run's dead-letter queue, which forgets its oldest when it is full.

A classic queue does not count deliveries, in no version: a message that kills whoever takes it comes back for ever, and
those who take it must know (`hil.worker.suspects`). `Limits.deliveries_max` holds for quorum queues.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pika.adapters.blocking_connection import BlockingChannel

from hil.broker import registry
from hil.broker.connection import Connection
from hil.broker.errors import MissingError, RefusedError
from hil.broker.names import DEAD, N_PRIORITIES, REPLY, WORKER_PLACES, Place, exchange_of, key_of, queue_of

Places = Mapping[Place, Sequence[int]]  # the priority classes of each


@dataclass(frozen=True)
class Limits:
    """What the queues of a run may hold, and how often they give one message to somebody."""

    messages_max: int = 10_000  # of one queue, those that wait
    bytes_max: int = 128 << 20  # of one queue, bodies that wait: ten of the largest
    dead_messages_max: int = 1_000
    dead_bytes_max: int = 32 << 20
    is_quorum: bool = False
    deliveries_max: int = 20  # of a quorum queue: RabbitMQ's own since 4.0, in 3.10 there is none


@dataclass(frozen=True)
class Run:
    """What is on a broker of one run."""

    name: str
    has_twin: bool  # somebody consumes the replies, which only the twin may
    n_workers: int  # subscriptions of places
    n_messages: int  # that wait, dead ones not counted


def declare(connection: Connection, run: str, places: Places, limits: Limits | None = None) -> None:
    """Declare what a run needs; the twin then subscribes to the replies, for a run without that is taken for dead.

    Raises
    ------
    RefusedError
        If the credentials are not the twin's, or what is there differs.
    """
    limits = limits or Limits()
    registry.remember(connection, run, [
        queue_of(run, place, priority) for place, priorities in places.items() for priority in priorities])
    with connection.channel() as channel:
        _declare_pair(channel, exchange_of(run, DEAD), DEAD, {
            'x-queue-type': 'classic', 'x-overflow': 'drop-head',
            'x-max-length': limits.dead_messages_max, 'x-max-length-bytes': limits.dead_bytes_max})
        arguments = _arguments(run, limits)
        _declare_pair(channel, exchange_of(run, REPLY), REPLY, arguments)
        for place, priorities in places.items():
            exchange = exchange_of(run, place)
            channel.exchange_declare(exchange, 'direct', durable=True)
            for priority in priorities:
                queue = queue_of(run, place, priority)
                channel.queue_declare(queue, durable=True, arguments=arguments)
                channel.queue_bind(queue, exchange, key_of(priority))


def _arguments(run: str, limits: Limits) -> dict[str, str | int]:
    arguments: dict[str, str | int] = {
        'x-queue-type': 'classic', 'x-overflow': 'reject-publish',
        'x-max-length': limits.messages_max, 'x-max-length-bytes': limits.bytes_max,
        'x-dead-letter-exchange': exchange_of(run, DEAD), 'x-dead-letter-routing-key': DEAD}
    if limits.is_quorum:
        arguments |= {'x-queue-type': 'quorum', 'x-delivery-limit': limits.deliveries_max}
    return arguments


def _declare_pair(channel: BlockingChannel, name: str, key: str, arguments: Mapping[str, str | int]) -> None:
    """Declare an exchange and its only queue, of the same name."""
    channel.exchange_declare(name, 'direct', durable=True)
    channel.queue_declare(name, durable=True, arguments=dict(arguments))
    channel.queue_bind(name, name, key)


def clean(connection: Connection, run: str) -> None:
    """Delete the queues and exchanges of a dead run, with all they hold, and nothing else; twice is as good as once.

    Raises
    ------
    RefusedError
        If the run lives: somebody consumes its replies.
    """
    if _counts(connection, exchange_of(run, REPLY))[1]:
        raise RefusedError(f'{connection.where}: run {run} lives, its twin takes replies; end it first')
    with connection.channel() as channel:
        for place in WORKER_PLACES:
            for priority in range(N_PRIORITIES):
                channel.queue_delete(queue_of(run, place, priority))
        for name in (REPLY, DEAD):
            channel.queue_delete(exchange_of(run, name))
        for name in (*WORKER_PLACES, REPLY, DEAD):
            channel.exchange_delete(exchange_of(run, name))
    registry.forget(connection, run)


def runs(connection: Connection) -> list[Run]:
    """Return the runs that were declared on a broker and not cleaned away, in the order in which they came."""
    return [_look(connection, run, queues) for run, queues in registry.remembered(connection).items()]


def _look(connection: Connection, run: str, queues: Sequence[str]) -> Run:
    _, n_twins = _counts(connection, exchange_of(run, REPLY))
    counts = [_counts(connection, queue) for queue in queues]
    return Run(run, n_twins > 0, sum(n for _, n in counts), sum(n for n, _ in counts))


def ready(connection: Connection, queues: Sequence[str]) -> dict[str, int]:
    """Return how many messages wait in each queue, those that are with a worker not counted.

    Raises
    ------
    MissingError
        If there is no such queue.
    """
    with connection.channel() as channel:
        return {queue: channel.queue_declare(queue, passive=True).method.message_count for queue in queues}


def _counts(connection: Connection, queue: str) -> tuple[int, int]:
    """Return the messages that wait in a queue, and its consumers; nothing of a queue that is not there."""
    try:
        with connection.channel() as channel:
            found = channel.queue_declare(queue, passive=True).method
            return found.message_count, found.consumer_count
    except MissingError:
        return 0, 0
