"""Which runs there are on a broker: AMQP cannot list queues, so each run leaves its name in the queue `names.RUNS`.

A run is written down before its queues are declared and struck out after they are deleted, so that none is forgotten
whatever happens between. One connection at a time reads the queue: who holds an exclusive queue of an agreed name.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from hil.broker.connection import Connection, Published
from hil.broker.errors import BrokerError, MissingError, RefusedError
from hil.broker.names import RUNS, RUNS_LOCK

RUNS_MAX = 1_000  # on one broker; the dead ones are cleaned before
KEY = 'run'


def remember(connection: Connection, run: str, queues: Sequence[str]) -> None:
    """Write down that a run is there, and the queues of its places.

    Raises
    ------
    BrokerError
        If too many are.
    """
    with connection.channel() as channel:
        channel.exchange_declare(RUNS, 'direct', durable=True)
        channel.queue_declare(RUNS, durable=True, arguments={
            'x-queue-type': 'classic', 'x-max-length': RUNS_MAX, 'x-overflow': 'reject-publish'})
        channel.queue_bind(RUNS, RUNS, KEY)
    if connection.publish(RUNS, KEY, json.dumps([run, *queues]).encode()) is not Published.CONFIRMED:
        raise BrokerError(f'{connection.where}: there are {RUNS_MAX} runs on it already; clean those that are dead')


def remembered(connection: Connection) -> dict[str, list[str]]:
    """Return the names of all runs, in the order in which they came, and the queues of their places."""
    with _alone(connection):
        return _entries(connection)


def forget(connection: Connection, run: str) -> None:
    """Strike out a run."""
    with _alone(connection):
        _entries(connection, without=run)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Be the only connection that reads the list."""
    try:
        with connection.channel() as channel:
            channel.queue_declare(RUNS_LOCK, exclusive=True)
    except RefusedError as error:
        raise RefusedError(f'{connection.where}: somebody else reads the list of runs; try again ({error})') from None
    try:
        yield
    finally:
        with connection.channel() as channel:
            channel.queue_delete(RUNS_LOCK)


def _entries(connection: Connection, without: str | None = None) -> dict[str, list[str]]:
    """Return what is written down, and strike out one run; the rest goes back when the channel closes."""
    found = dict[str, list[str]]()
    with suppress(MissingError), connection.channel() as channel:
        for _ in range(RUNS_MAX):
            method, _properties, body = channel.basic_get(RUNS)
            if method is None:
                break
            run, *queues = json.loads(body or b'')  # only twins may write there
            if run == without:
                channel.basic_ack(method.delivery_tag or 0)
            else:
                found[run] = queues
    return found
