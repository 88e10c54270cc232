"""Real workers behind a real broker: telemetry and a round of learning, and workers that die at the wrong moment."""

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from select import POLLRDHUP, poll
from socket import AF_INET, AF_INET6, socket
from threading import Timer
from types import SimpleNamespace

import pytest

from hil.broker import connection
from hil.broker.connection import Waits, connect
from hil.broker.errors import UnavailableError
from hil.broker.private import PrivateBroker
from hil.broker.topology import Limits
from hil.ledger import ChainId
from hil.wire.codec import decode, encode
from sim.flows import PAIRWISE
from tests.broker.proxy import Fault, FaultProxy, Kind
from tests.worker.hospital import LEARNING, first_model
from tests.worker.mutations import mutated
from tests.worker.rounds import (
    DIE_BEFORE_THE_ACKNOWLEDGEMENT,
    DIE_IN_THE_FILE,
    DIE_IN_THE_MIDDLE,
    DIE_IN_THE_SUM,
    N_CLIENTS,
    SEED,
    assert_exactly_once,
    learn_a_round,
    telemetry,
)
from tests.worker.twin import WAIT_S_MAX, meanwhile, nonces_of, twin, wait_for

STANDS_FOR = 20  # reads of a clock; two calls take four


@pytest.mark.parametrize('n_crypto', [1, 2], ids=['sequential', 'distributed'])
def test_telemetry_and_a_round_of_learning(broker: PrivateBroker, tmp_path: Path, n_crypto: int) -> None:
    """200 messages and a round through crypto workers and a server: each once, and FedAvg equal to the last bit."""
    with twin(broker, tmp_path) as made:
        nodes = [made.start('crypto', f'pi-{i}') for i in range(n_crypto)]
        server = made.start('server', 'server')
        made.wait_until_ready()
        made.launch_all(telemetry(made, 200))
        learn_a_round(made, 1000)
        assert_exactly_once(made, 200 + 3 * N_CLIENTS)
        workers = {timing.node for reply in made.replies.values() for timing in reply.timings}
        assert len(workers) == n_crypto + 1
        for reply in made.replies.values():
            (timing,) = reply.timings
            assert timing.received_ns <= timing.started_ns <= timing.finished_ns
            assert timing.published_ns <= timing.confirmed_ns <= timing.finished_ns
            assert sum(each.cpu_ns for each in timing.stages) > 0
            assert sum(each.wall_ns for each in timing.stages) <= timing.finished_ns - timing.started_ns
        for node in (*nodes, server):
            assert node.end() == (0, '')
            assert not node.is_ready


@pytest.mark.parametrize('preload', [DIE_IN_THE_MIDDLE, DIE_BEFORE_THE_ACKNOWLEDGEMENT],
                         ids=['mid-compute', 'between publish and acknowledgement'])
def test_a_killed_worker_loses_nothing_and_doubles_nothing(broker: PrivateBroker, tmp_path: Path, preload: str) -> None:
    """One of two workers is killed in its third job: the other does it; outcomes come once, copies are duplicates."""
    with twin(broker, tmp_path) as made:
        doomed, other = made.start('crypto', 'doomed', preload=preload), made.start('crypto', 'other')
        made.start('server', 'server')
        made.wait_until_ready()
        made.launch_all(telemetry(made, 100))
        assert doomed.process.wait(WAIT_S_MAX) == -signal.SIGKILL
        if preload is DIE_BEFORE_THE_ACKNOWLEDGEMENT:  # the copy comes when the broker has noticed
            wait_for(lambda: made.take(0.1) is not None or bool(made.ledger.duplicates))
        learn_a_round(made, 1000)
        assert_exactly_once(made, 100 + 3 * N_CLIENTS)
        attempts = [reply.attempt for reply in made.seen]
        assert max(attempts) == 1
        if preload is DIE_BEFORE_THE_ACKNOWLEDGEMENT:
            assert made.ledger.counts['duplicate'] >= 1
            assert {attempt for _, attempt in made.ledger.duplicates} <= {0, 1}
        assert other.end() == (0, '')


@pytest.mark.parametrize('options', [LEARNING, frozenset({PAIRWISE})], ids=['fresh key', 'session key'])
def test_a_seal_that_is_done_again_has_another_nonce(
        broker: PrivateBroker, tmp_path: Path, options: frozenset[str]) -> None:
    """A worker is killed when a sealed model was published and not acknowledged: the second seal is another one.

    The other one has the same name, so the same sender's keys, and seals another text: its model is changed on the way.
    It is the first model, because the acknowledgement of one before it would be on its way or not.
    """
    other_text = """
from hil.worker import stages
real = stages.seal
def seal(bench, work, at):
    work.body = work.body[::-1]
    real(bench, work, at)
stages.FUNCTIONS = {**stages.FUNCTIONS, 'aead.seal': seal}
"""
    with twin(broker, tmp_path) as made:
        doomed = made.start('crypto', 'pi-1', preload=DIE_BEFORE_THE_ACKNOWLEDGEMENT.replace('n == 3', 'n == 1'))
        made.wait_until_ready()
        made.start('crypto', 'pi-1', preload=other_text)
        made.launch_all(replace(made.hospital.model(i, i, first_model(i, N_CLIENTS)), options=options)
                        for i in range(N_CLIENTS))
        assert doomed.process.wait(WAIT_S_MAX) == -signal.SIGKILL
        wait_for(lambda: made.take(0.1) is not None or bool(made.ledger.duplicates))
        ((chain, attempt),) = made.ledger.duplicates
        copies = [reply for reply in made.seen if ChainId.of(reply) == chain]
        assert attempt == 1
        assert len({each.body for each in copies}) == len(nonces_of(copies)) == 2
        assert_exactly_once(made, N_CLIENTS)


@pytest.mark.parametrize('preload', [DIE_IN_THE_FILE, DIE_BEFORE_THE_ACKNOWLEDGEMENT, DIE_IN_THE_SUM],
                         ids=['in the file', 'between publish and acknowledgement', 'in the sum'])
def test_a_killed_server_is_replaced_and_the_sum_is_the_same(
        broker: PrivateBroker, tmp_path: Path, preload: str) -> None:
    """The server dies with updates on disk: as it writes the third, has not acknowledged it, or sums; the same sum."""
    with twin(broker, tmp_path) as made:
        made.start('crypto', 'pi-1')
        server = made.start('server', 'server', preload=preload, prefetch=1)
        made.wait_until_ready()
        made.launch_all(telemetry(made, 3))

        def replace_server() -> None:
            wait_for(lambda: server.process.poll() is not None)
            made.start('server', 'server-2')

        with meanwhile(replace_server):
            learn_a_round(made, 1000)
        assert server.process.returncode == -signal.SIGKILL
        assert_exactly_once(made, 3 + 3 * N_CLIENTS)


def test_a_thousand_damaged_messages_stop_nothing(broker: PrivateBroker, tmp_path: Path) -> None:
    """1,000 damaged copies between 100 sound messages: these are delivered, each dead letter has its reason."""
    with twin(broker, tmp_path) as made:
        node = made.start('crypto', 'pi-1', prefetch=20)
        made.wait_until_ready()
        generator = random.Random(SEED)
        sound = telemetry(made, 100)
        copies = [encode(each) for each in sound]
        kinds = ['body', 'run', 'key', 'sender', 'counter', 'cut', 'longer', 'noise', 'length', 'version']
        for message in sound:
            for _ in range(10):
                made.send(mutated(copies, generator, generator.choice(kinds))[1], 'crypto')
            made.launch(message)
            made.take(0.0)
        made.launch_all([])
        assert_exactly_once(made, 100)
        letters = made.dead_letters(1000)
        reasons = Counter(str(letter.headers['reason']) for letter in letters)
        assert set(reasons) == {'malformed', 'oversized', 'version', 'unknown-run', 'unknown-key', 'tampered',
                                'replayed'}
        assert all(letter.headers['why'] for letter in letters)
        print(f'seed {SEED}: {dict(reasons)}')
        code, said = node.end()
        assert (code, said) == (0, '')
        counts = node.counts
        assert counts.pop('done') == 100
        assert counts == reasons


def test_a_worker_ends_with_the_job_in_hand_done(broker: PrivateBroker, tmp_path: Path) -> None:
    """SIGTERM while messages wait: exit code 0, and each message is either replied to or still in the queue."""
    with twin(broker, tmp_path) as made:
        node = made.start('crypto', 'pi-1', prefetch=1)
        made.wait_until_ready()
        messages = telemetry(made, 60)
        for message in messages:
            made.launch(message)
        made.take(20.0)
        assert node.end() == (0, '')
        other = made.start('crypto', 'pi-2')
        made.launch_all([])
        assert_exactly_once(made, 60)
        assert made.ledger.counts['duplicate'] == 0
        other.end()


def test_a_worker_whose_queue_is_gone_ends(broker: PrivateBroker, tmp_path: Path) -> None:
    """A queue that is deleted ends its workers with one line and code 1: they do not wait for what cannot come."""
    with twin(broker, tmp_path) as made:
        node = made.start('crypto', 'pi-1')
        made.wait_until_ready()
        made.launch_all(telemetry(made, 5))
        with made.sending.channel() as channel:
            channel.queue_delete(f'iomtwin.{made.run}.crypto.1')
        wait_for(lambda: node.process.poll() is not None)
        code, said = node.end()
        assert code == 1
        assert said.count('\n') == 1
        assert 'was deleted' in said


def test_the_reply_says_what_was_done(broker: PrivateBroker, tmp_path: Path) -> None:
    """A reply is the message with its slip done: decoded, it has the stage's time, and no telemetry in it."""
    with twin(broker, tmp_path) as made:
        made.start('crypto', 'pi-1')
        made.wait_until_ready()
        (message,) = telemetry(made, 1)
        made.launch_all([message])
        reply = made.replies[ChainId.of(message)]
        assert decode(encode(reply)) == reply
        assert reply.is_reply
        assert reply.body == b''
        assert [each.stage for each in reply.timings[0].stages] == [4]


def test_a_worker_reconnects_when_its_connections_are_cut(broker: PrivateBroker, tmp_path: Path) -> None:
    """Each of the first four connections is cut under load after 16 KB: each outcome comes once."""
    host, port, _ = broker.endpoint.parts()
    faults = [Fault(i, 'up' if i % 2 else 'down', 16_000, Kind.CUT) for i in range(4)]
    with FaultProxy((host, port), faults) as way:
        url = broker.endpoint.url.replace(str(port), str(way.address[1]))
        with twin(broker, tmp_path, chains_max=20, endpoint=replace(broker.endpoint, url=url)) as made:
            node = made.start('crypto', 'pi-1', prefetch=8)
            made.wait_until_ready()
            made.launch_all(telemetry(made, 200))
            assert_exactly_once(made, 200)
            assert len({i for i, _ in list(way.n_forwarded)}) >= 4
            assert node.end() == (0, '')


def sockets_to(port: int) -> list[int]:
    """Return the descriptors of this process's connections to a port."""
    found = []
    for path in Path('/proc/self/fd').iterdir():
        if path.is_symlink() and str(path.readlink()).startswith('socket:'):
            with socket(fileno=os.dup(int(path.name))) as end, suppress(OSError):  # one that nobody is connected to
                if end.family in (AF_INET, AF_INET6) and end.getpeername()[1] == port:
                    found.append(int(path.name))
    return found


def test_heartbeats_are_kept_while_a_long_job_is_computed(broker: PrivateBroker, tmp_path: Path) -> None:
    """A job of ten seconds with heartbeats of three, by which a silent connection is lost after nine: none comes again.

    The first job is short: with its reply, the connection that publishes is there. That silence is heard of is shown
    with heartbeats of one second.
    """
    slow = """
import time
from hil.worker import stages
real = stages.open_
def open_(bench, work, at):
    until = time.thread_time() + 0.01
    if work.message.job == 1:
        time.sleep(10.0)
    while time.thread_time() < until:
        pass
    real(bench, work, at)
stages.FUNCTIONS = {**stages.FUNCTIONS, 'aead.open': open_}
"""
    with connect(broker.endpoint, broker.users['twin'], waits=Waits(heartbeat_s=1)) as silent:
        gone = poll()  # it says so without reading, which would keep the connection
        for descriptor in sockets_to(broker.endpoint.parts()[1]):
            gone.register(descriptor, POLLRDHUP)
        wait_for(lambda: bool(gone.poll(0)))
        with pytest.raises(UnavailableError):
            silent.receive(0.0)
    with twin(broker, tmp_path) as made:
        node = made.start('crypto', 'pi-1', preload=slow, heartbeat_s=3)
        made.wait_until_ready()
        made.launch_all(telemetry(made, 2))
        assert_exactly_once(made, 2)
        assert made.ledger.counts['duplicate'] == 0
        assert {timing.is_redelivered for reply in made.seen for timing in reply.timings} == {False}
        assert node.end() == (0, '')


def test_a_full_queue_drops_what_does_not_fit(broker: PrivateBroker, tmp_path: Path) -> None:
    """Twenty messages to a queue for five before there is a worker: what is refused is dropped, nothing is lost."""
    with twin(broker, tmp_path, limits=Limits(messages_max=5)) as made:
        for message in telemetry(made, 20):
            made.launch(message)
        n_dropped = made.ledger.counts['dropped']
        made.start('crypto', 'pi-1')
        made.wait_until_ready()
        made.launch_all([])
        assert 0 < n_dropped <= 15
        assert Counter(each.outcome for each in made.ledger.ended.values()) == {
            'dropped': n_dropped, 'delivered': 20 - n_dropped}


def test_a_receiver_is_woken_by_another_thread(broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still no wait is ever over: a call returns None when another thread asks for it.

    That thread asks before the call or within it. Were it not heard, the clock would be read until it goes on.
    """
    reads = count()
    clock = SimpleNamespace(monotonic=lambda: 0.0 if next(reads) < STANDS_FOR else 3_600.0)
    with connect(broker.endpoint, broker.users['twin']) as made:
        monkeypatch.setattr(connection, 'time', clock)
        made.wake()
        assert made.receive(60.0) is None
        waker = Timer(0.5, made.wake)
        waker.start()
        assert made.receive(60.0) is None
        assert next(reads) < STANDS_FOR
        waker.join()
