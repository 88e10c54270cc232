"""Every right of every role, both ways: what it may do is done, what it may not is refused by a real broker."""

from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from hil.broker.connection import Published, Waits, connect
from hil.broker.credentials import Credentials
from hil.broker.errors import BlockedError, RefusedError
from hil.broker.names import DEAD, REPLY, ROLES, RUNS, WORKER_PLACES, Place, exchange_of, key_of, new_run, queue_of
from hil.broker.private import PrivateBroker
from hil.broker.settings import Settings
from hil.broker.topology import declare
from tests.broker.conftest import Connect
from tests.broker.refusals import refused

EVERYWHERE = {place: [0, 1] for place in WORKER_PLACES}
SOON_S = 60.0  # bound of waiting for a message that is there


@pytest.fixture
def declared(opened: Connect, run: str) -> str:
    """A run with queues of two priority classes at every place."""
    declare(opened('twin'), run, EVERYWHERE)
    return run


@pytest.mark.parametrize('place', WORKER_PLACES)
def test_a_place_consumes_from_its_own_queues_and_from_no_other(opened: Connect, declared: str, place: Place) -> None:
    """Messages in its queues reach it; other places, replies, dead letters and the list of runs are refused."""
    twin, worker = opened('twin'), opened(place)
    for priority in (0, 1):
        worker.subscribe(queue_of(declared, place, priority), 1)
        assert twin.publish(exchange_of(declared, place), key_of(priority), b'work') is Published.CONFIRMED
        delivery = worker.receive(SOON_S)
        assert delivery is not None
        assert (delivery.queue, delivery.body) == (queue_of(declared, place, priority), b'work')
        worker.acknowledge(delivery)
    others = [queue_of(declared, other, 0) for other in WORKER_PLACES if other != place]
    for name in (*others, exchange_of(declared, REPLY), exchange_of(declared, DEAD), RUNS):
        refused(worker, lambda channel, name=name: channel.basic_consume(name, print))
        refused(worker, lambda channel, name=name: channel.basic_get(name))
        refused(worker, lambda channel, name=name: channel.queue_purge(name))


@pytest.mark.parametrize('place', WORKER_PLACES)
def test_a_place_publishes_to_the_exchanges_it_feeds_and_to_no_other(
        opened: Connect, declared: str, place: Place) -> None:
    """Other places, the reply and dead letters take its messages; every other exchange refuses them."""
    worker = opened(place)
    for other in WORKER_PLACES:
        if other != place:
            assert worker.publish(exchange_of(declared, other), '1', b'on') is Published.CONFIRMED
    for name in (REPLY, DEAD):
        assert worker.publish(exchange_of(declared, name), name, b'done') is Published.CONFIRMED
    for exchange in (exchange_of(declared, place), RUNS, '', 'amq.direct', 'amq.fanout'):
        refused(worker, lambda channel, exchange=exchange: channel.basic_publish(exchange, '1', b'', mandatory=True))


DECLARATIONS: dict[str, Callable[[BlockingChannel, str], object]] = {
    'a queue': lambda channel, run: channel.queue_declare(f'iomtwin.{run}.crypto.9'),
    'a queue of its own name': lambda channel, run: channel.queue_declare(f'iomtwin.{run}.mine'),
    'a queue that the broker names': lambda channel, _: channel.queue_declare('', exclusive=True),
    'an exchange': lambda channel, run: channel.exchange_declare(f'iomtwin.{run}.mine', 'direct'),
    'the end of a queue': lambda channel, run: channel.queue_delete(f'iomtwin.{run}.crypto.0'),
    'the end of an exchange': lambda channel, run: channel.exchange_delete(f'iomtwin.{run}.crypto'),
    'a binding': lambda channel, run: channel.queue_bind(f'iomtwin.{run}.crypto.0', f'iomtwin.{run}.server', '9'),
    'the end of a binding': lambda channel, run: channel.queue_unbind(
        f'iomtwin.{run}.crypto.0', f'iomtwin.{run}.crypto', '0'),
}


@pytest.mark.parametrize('place', WORKER_PLACES)
@pytest.mark.parametrize('what', DECLARATIONS)
def test_a_place_declares_nothing(opened: Connect, declared: str, place: Place, what: str) -> None:
    """Each thing that can be declared or deleted, tried by each place, is refused."""
    refused(opened(place), lambda channel: DECLARATIONS[what](channel, declared))


def test_the_twin_does_all_in_its_runs_and_nothing_outside(opened: Connect, declared: str) -> None:
    """It consumes and purges in a run; names outside, the default exchange and RabbitMQ's own are refused."""
    twin = opened('twin')
    with twin.channel() as channel:
        channel.queue_purge(queue_of(declared, 'crypto', 0))
        channel.queue_delete(queue_of(declared, 'crypto', 0))
    for name in ('other', 'iomtwin', f'x-iomtwin.{declared}.crypto', 'iomtwin.UPPER.crypto', 'amq.direct', ''):
        refused(twin, lambda channel, name=name: channel.basic_publish(name, '', b'', mandatory=True))
    for name in ('other', 'iomtwin', f'iomtwin-{declared}'):
        refused(twin, lambda channel, name=name: channel.queue_declare(name))
        refused(twin, lambda channel, name=name: channel.exchange_declare(name, 'direct'))


def test_nobody_else_is_let_in(broker: PrivateBroker) -> None:
    """RabbitMQ's guest, an unknown user, and each role with the password of another."""
    users = broker.users
    strangers = [Credentials('guest', 'guest'), Credentials('nobody', 'x'), Credentials('twin', '')]
    strangers += [Credentials(role, users[other].password) for role in ROLES for other in ROLES if other != role]
    for stranger in strangers:
        with pytest.raises(RefusedError, match='knows no such user and password'):
            connect(broker.endpoint, stranger)


@pytest.mark.usefixtures('rabbitmq')
def test_a_small_broker_for_one_run_knows_no_other_and_is_seen_to_be_full() -> None:
    """Rights that name a run, and less memory than RabbitMQ takes by itself; two claims of one broker's start.

    Its twin declares in that run, and is refused in others, those of like names too. The memory alarm blocks whoever
    publishes: he gets an error when his patience ends, where he would otherwise wait for ever.
    """
    with PrivateBroker(Settings(memory_bytes=16 << 20), run='only') as small:
        twin = connect(small.endpoint, small.users['twin'], waits=Waits(blocked_s=0.5))
        with twin.channel() as channel:
            channel.exchange_declare(exchange_of('only', 'crypto'), 'direct', durable=True)
        for other in ('only-2', 'onl', new_run()):
            refused(twin, lambda channel, other=other: channel.exchange_declare(exchange_of(other, 'crypto'), 'direct'))

        def publish_twice() -> None:
            for _ in range(2):  # the first message may still be taken
                declare(twin, 'only', EVERYWHERE)

        with pytest.raises(BlockedError, match='for want of memory'):
            publish_twice()
