"""The queues of a run on a real broker: their bounds, what they do not take, and how they are removed."""

import pytest

from hil.broker.connection import Connection, Delivery, Published
from hil.broker.errors import MissingError, RefusedError
from hil.broker.names import DEAD, N_PRIORITIES, REPLY, RUNS_LOCK, exchange_of, new_run, queue_of
from hil.broker.settings import BODY_BYTES_MAX
from hil.broker.topology import Limits, Run, clean, declare, runs
from sim.wire import PRIORITIES_MAX
from tests.broker.conftest import Connect
from tests.broker.processes import wait_until
from tests.broker.refusals import refused

SOON_S = 60.0  # bound of waiting for a message that is there


def work(connection: Connection, run: str, body: bytes) -> Published:
    """Publish to the crypto place."""
    return connection.publish(exchange_of(run, 'crypto'), '1', body)


def n_waiting(connection: Connection, run: str) -> int:
    """Return how many messages wait for the crypto place."""
    with connection.channel() as channel:
        return channel.queue_declare(queue_of(run, 'crypto', 1), passive=True).method.message_count


def taken(connection: Connection) -> Delivery:
    """Return the next delivery."""
    delivery = connection.receive(SOON_S)
    assert delivery is not None
    return delivery


def drained(connection: Connection, queue: str) -> list[bytes]:
    """Return all that waits in a queue, in order."""
    bodies = []
    with connection.channel() as channel:
        while True:
            method, _, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return bodies
            bodies.append(body)


@pytest.mark.parametrize(('limits', 'body'), [
    (Limits(messages_max=3), b'x'), (Limits(bytes_max=3_000), bytes(1_000))], ids=['messages', 'bytes'])
def test_a_full_queue_refuses_and_keeps_what_it_has(opened: Connect, run: str, limits: Limits, body: bytes) -> None:
    """Three messages fit, by number or by bytes: the fourth is answered with a refusal, unless there is room again."""
    twin = opened('twin')
    declare(twin, run, {'crypto': [1]}, limits)
    assert [work(twin, run, body) for _ in range(4)] == [Published.CONFIRMED] * 3 + [Published.REFUSED]
    assert n_waiting(twin, run) == 3
    worker = opened('crypto')
    worker.subscribe(queue_of(run, 'crypto', 1), 1)
    worker.acknowledge(taken(worker))
    taken(worker)
    assert work(twin, run, body) is Published.CONFIRMED


def test_what_has_no_queue_is_told_to_the_publisher(opened: Connect, run: str) -> None:
    """A priority class that was not declared."""
    twin = opened('twin')
    declare(twin, run, {'crypto': [1]})
    assert twin.publish(exchange_of(run, 'crypto'), '2', b'') is Published.UNROUTABLE


def test_a_body_above_the_limit_is_refused(opened: Connect, run: str) -> None:
    """The largest body passes; with one byte more it is refused, nothing waits, and the connection is over."""
    twin = opened('twin')
    declare(twin, run, {'crypto': [1]})
    assert work(twin, run, bytes(BODY_BYTES_MAX)) is Published.CONFIRMED
    assert drained(twin, queue_of(run, 'crypto', 1)) == [bytes(BODY_BYTES_MAX)]
    with pytest.raises(RefusedError, match=f'{BODY_BYTES_MAX + 1} is larger than configured max size {BODY_BYTES_MAX}'):
        work(twin, run, bytes(BODY_BYTES_MAX + 1))
    with pytest.raises(Exception, match='connection is lost'):
        work(twin, run, b'')
    assert n_waiting(opened('twin'), run) == 0


def test_rejected_messages_are_kept_up_to_a_bound(opened: Connect, run: str) -> None:
    """Three messages are rejected and two fit among the dead: the last two stay, and nothing is refused for that."""
    twin, worker = opened('twin'), opened('crypto')
    declare(twin, run, {'crypto': [1]}, Limits(dead_messages_max=2))
    worker.subscribe(queue_of(run, 'crypto', 1), 1)
    for body in (b'first', b'second', b'third'):
        assert work(twin, run, body) is Published.CONFIRMED
        worker.reject(taken(worker))
    worker.close()
    assert dead_letters(twin, run) == [b'second', b'third']


def dead_letters(twin: Connection, run: str) -> list[bytes]:
    """Return all dead letters, once the one that is called the third is among them."""
    found = list[bytes]()

    def look() -> bool:
        found.clear()
        with twin.channel() as channel:  # what is not acknowledged goes back with the channel
            while (letter := channel.basic_get(exchange_of(run, DEAD)))[0] is not None:
                found.append(letter[2])
        return b'third' in found

    wait_until(look, 'the third was among the dead letters')
    return found


def test_what_a_worker_had_when_it_left_is_given_to_another(opened: Connect, run: str) -> None:
    """One connection closes with a message in its hands, one gives it back: the next hears that it is not the first."""
    twin = opened('twin')
    declare(twin, run, {'crypto': [1]})
    work(twin, run, b'job')
    for n in range(3):
        worker = opened('crypto')
        worker.subscribe(queue_of(run, 'crypto', 1), 1)
        delivery = taken(worker)
        assert (delivery.body, delivery.is_redelivered) == (b'job', n > 0)
        if n == 1:
            worker.give_back(delivery)
        worker.close()


def test_prefetch_bounds_what_a_worker_holds(opened: Connect, run: str) -> None:
    """Two of three messages come to a prefetch of two; the third comes once one of them is acknowledged."""
    twin, worker = opened('twin'), opened('crypto')
    declare(twin, run, {'crypto': [1]})
    for body in (b'1', b'2', b'3'):
        work(twin, run, body)
    worker.subscribe(queue_of(run, 'crypto', 1), 2)
    first, second = taken(worker), taken(worker)
    assert n_waiting(twin, run) == 1
    assert worker.receive(0.0) is None
    worker.acknowledge(first)
    assert [second.body, taken(worker).body] == [b'2', b'3']


def test_a_quorum_queue_gives_a_message_a_bounded_number_of_times(opened: Connect, run: str) -> None:
    """A limit of two redeliveries: the third time that it is given back, a message goes to the dead ones."""
    twin, worker = opened('twin'), opened('crypto')
    declare(twin, run, {'crypto': [1]}, Limits(is_quorum=True, deliveries_max=2))
    worker.subscribe(queue_of(run, 'crypto', 1), 1)
    assert work(twin, run, b'third') is Published.CONFIRMED
    for n in range(3):
        delivery = taken(worker)
        assert delivery.is_redelivered == (n > 0)
        worker.give_back(delivery)
    assert dead_letters(twin, run) == [b'third']
    assert worker.receive(0.0) is None


def test_a_queue_that_is_deleted_is_told_to_its_consumer(opened: Connect, run: str) -> None:
    """A worker that waits for a run that is cleaned away gets an error."""
    twin, worker = opened('twin'), opened('crypto')
    declare(twin, run, {'crypto': [1]})
    worker.subscribe(queue_of(run, 'crypto', 1), 1)
    clean(twin, run)
    with pytest.raises(RefusedError, match='was deleted'):
        worker.receive(SOON_S)


def test_runs_beside_each_other_share_nothing_and_a_dead_one_is_cleaned_alone(opened: Connect) -> None:
    """Two runs with the same places: messages stay in their run; only the one whose twin has gone is cleaned."""
    alive, dead = new_run(), new_run()
    twin, gone, worker = opened('twin'), opened('twin'), opened('crypto')
    for owner, run in ((twin, alive), (gone, dead)):
        declare(owner, run, {'crypto': [0, 1], 'server': [1]})
        owner.subscribe(exchange_of(run, REPLY), 1)
    worker.subscribe(queue_of(dead, 'crypto', 1), 1)
    work(twin, alive, b'of the living')
    work(gone, dead, b'of the dead')
    work(gone, dead, b'of the dead too')
    assert taken(worker).body == b'of the dead'
    gone.close()

    found = {run.name: run for run in runs(twin)}
    assert list(found).index(alive) < list(found).index(dead)
    assert found[alive] == Run(alive, has_twin=True, n_workers=0, n_messages=1)
    assert found[dead] == Run(dead, has_twin=False, n_workers=1, n_messages=1)

    other = opened('twin')
    with pytest.raises(RefusedError, match='lives, its twin takes replies'):
        clean(other, alive)
    for _ in range(2):  # the second time there is nothing to do
        clean(other, dead)
        assert [run.name for run in runs(other) if run.name in (alive, dead)] == [alive]
    for name in (queue_of(dead, 'crypto', 0), exchange_of(dead, REPLY), exchange_of(dead, DEAD)):
        refused(other, lambda channel, name=name: channel.queue_declare(name, passive=True), 'NOT_FOUND')
    for name in ('crypto', 'server', REPLY, DEAD):
        refused(other, lambda channel, name=name: channel.exchange_declare(exchange_of(dead, name), passive=True),
                'NOT_FOUND')
    assert drained(twin, queue_of(alive, 'crypto', 1)) == [b'of the living']
    assert twin.publish(exchange_of(alive, 'server'), '1', b'') is Published.CONFIRMED


def test_one_connection_at_a_time_reads_the_list_of_runs(opened: Connect, run: str) -> None:
    """While another holds it, the list cannot be read; when it is gone, it can, and nothing is lost of it."""
    holder, twin = opened('twin'), opened('twin')
    declare(twin, run, {'crypto': [1]})
    with holder.channel() as channel:
        channel.queue_declare(RUNS_LOCK, exclusive=True)
    with pytest.raises(RefusedError, match='somebody else reads the list'):
        runs(twin)
    holder.close()
    assert run in [found.name for found in runs(twin)]


def test_a_run_that_nobody_declared_is_nothing(opened: Connect, run: str) -> None:
    """It is not listed, it may be cleaned away, and there is nothing to publish to."""
    twin = opened('twin')
    assert run not in [found.name for found in runs(twin)]
    clean(twin, run)
    with pytest.raises(MissingError):
        work(twin, run, b'')


def test_every_priority_class_of_a_scenario_has_a_name() -> None:
    """There are as many names as a scenario may have classes."""
    assert PRIORITIES_MAX <= N_PRIORITIES
