"""What a broker and the way to it may do: end, block, fill up, stall. Each outcome comes once all the same."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hil.broker import topology
from hil.broker.connection import Waits, connect
from hil.broker.credentials import VHOST
from hil.broker.names import REPLY, exchange_of, queue_of
from hil.broker.private import PrivateBroker
from hil.broker.topology import Limits, Run
from tests.broker.control import rabbitmqctl
from tests.broker.proxy import Fault, FaultProxy, Kind
from tests.worker.rounds import (
    N_CLIENTS,
    acknowledgements,
    assert_exactly_once,
    learn_a_round,
    records,
    telemetry,
)
from tests.worker.twin import PRIORITY, ROOT, meanwhile, state_of, twin, wait_for

BLOCKED_S = 1.0
WATERMARK = ('set_vm_memory_high_watermark', 'absolute')
# Code that a worker runs first: it waits no longer for a broker that is blocked, and leaves a file when it gives up.
IMPATIENT = f"""
import sys
from pathlib import Path
from hil.broker import connection
connection.Waits.__init__.__defaults__ = (10.0, {BLOCKED_S}, 60)
real = connection.BlockedError
class Told(real):
    def __init__(self, *words):
        super().__init__(*words)
        Path(sys.argv[sys.argv.index('--status') + 1], 'blocked').touch()
connection.BlockedError = Told
"""


@pytest.mark.parametrize('is_killed', [False, True], ids=['stopped', 'killed'])
def test_a_broker_that_starts_again_loses_nothing(broker: PrivateBroker, tmp_path: Path, *, is_killed: bool) -> None:
    """It ends and starts in a round of learning, with messages that wait: workers and twin come back; each once."""
    with twin(broker, tmp_path) as made:
        nodes = [made.start('crypto', 'pi-1'), made.start('server', 'server')]
        made.wait_until_ready()
        for message in records(made, 20, first_job=5000):
            made.launch(message)
        assert made.n_waiting('authority') == 20
        with meanwhile(lambda: broker.restart(is_killed=is_killed)):
            nodes.append(made.start('authority', 'authority'))  # which finds no broker
            learn_a_round(made, 1000)
            made.launch_all(telemetry(made, 100))
        assert_exactly_once(made, 20 + 3 * N_CLIENTS + 100)
        assert [node.end() for node in nodes] == [(0, '')] * 3


def test_queues_that_fail_within_a_broker_lose_nothing(broker: PrivateBroker, tmp_path: Path) -> None:
    """The broker's processes of the crypto queue and of the replies are killed under load: consumers come back.

    What such a queue has not confirmed the broker may refuse: then it is dropped. What is launched afterwards is not.
    """
    with twin(broker, tmp_path) as made:
        node = made.start('crypto', 'pi-1')
        made.wait_until_ready()

        def kill_queues() -> None:
            for queue in (queue_of(made.run, 'crypto', PRIORITY), exchange_of(made.run, REPLY)):
                rabbitmqctl(broker, 'eval', f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{VHOST}">>, queue, '
                                            f'<<"{queue}">>)), exit(amqqueue:get_pid(Q), kill).')

        n = 0
        with meanwhile(kill_queues) as killing:
            while killing.is_alive():
                made.launch_all(telemetry(made, 100, first_job=n))
                n += 100
        made.launch_all(telemetry(made, 100, first_job=n))
        outcomes = Counter(each.outcome for each in made.ledger.ended.values())
        assert outcomes.total() == n + 100
        assert set(outcomes) <= {'delivered', 'dropped'}
        assert made.ledger.counts['unknown'] == 0
        assert {made.ledger.ended[chain].outcome for chain in made.ledger.ended if chain.job >= n} == {'delivered'}
        assert node.end() == (0, '')


def test_a_broker_without_memory_holds_nobody_up_for_ever(broker: PrivateBroker, tmp_path: Path) -> None:
    """Its memory alarm is on when a worker has results and the twin begins a round: both give up, and try again.

    When both have, the alarm ends: each outcome comes once.
    """
    with twin(broker, tmp_path, waits=Waits(blocked_s=BLOCKED_S)) as made:
        node, server = made.start('crypto', 'pi-1', preload=IMPATIENT), made.start('server', 'server')
        made.wait_until_ready()
        node.process.send_signal(signal.SIGSTOP)
        for message in telemetry(made, 20):
            made.launch(message)

        def end_alarm() -> None:
            try:
                wait_for(lambda: made.n_blocked > 0 and (node.folder / 'blocked').exists())
            finally:
                rabbitmqctl(broker, *WATERMARK, str(broker.settings.memory_bytes))

        rabbitmqctl(broker, *WATERMARK, '1')
        with meanwhile(end_alarm):
            node.process.send_signal(signal.SIGCONT)
            learn_a_round(made, 1000)
        assert made.n_blocked > 0
        assert_exactly_once(made, 20 + 3 * N_CLIENTS)
        assert [each.end() for each in (node, server)] == [(0, '')] * 2


def test_a_full_queue_between_two_places_drops_what_does_not_fit(broker: PrivateBroker, tmp_path: Path) -> None:
    """Twelve messages go on to a queue for five that nobody reads: the worker before it replies that seven are dropped.

    When there is somebody who reads it, the five are delivered.
    """
    with twin(broker, tmp_path, limits=Limits(messages_max=5)) as made:
        made.start('crypto', 'pi-1')
        made.wait_until_ready()
        for i, message in enumerate(acknowledgements(made, 12)):
            made.launch(message)
            wait_for(lambda i=i: made.take(0.05) is not None or made.n_waiting('authority') + len(made.seen) > i)
        assert made.ledger.counts == {'dropped': 7}
        assert {(reply.outcome, reply.done, len(reply.timings)) for reply in made.seen} == {('dropped', 1, 1)}
        made.start('authority', 'authority')
        made.launch_all([])
        assert made.ledger.counts == {'dropped': 7, 'delivered': 5}
        assert {reply.body for reply in made.seen if reply.outcome == 'delivered'} == {b'acknowledgement'}


def test_a_way_that_stalls_and_breaks_changes_no_sum(broker: PrivateBroker, tmp_path: Path) -> None:
    """The server's connections fail in the midst of updates of 1 MB and of their average: the sum is the same.

    The first stalls in the second update. The third, which takes its place, is cut; so is the second, which publishes,
    half-way through the average.
    """
    host, port, _ = broker.endpoint.parts()
    faults = [Fault(0, 'down', 1_500_000, Kind.STALL), Fault(2, 'down', 2_500_000, Kind.CUT),
              Fault(1, 'up', 500_000, Kind.CUT)]
    with (FaultProxy((host, port), faults) as way, twin(broker, tmp_path) as made):
        url = broker.endpoint.url.replace(str(port), str(way.address[1]))
        made.start('crypto', 'pi-1')
        server = made.start('server', 'server', prefetch=1, heartbeat_s=2,
                            endpoint=replace(broker.endpoint, url=url))
        made.wait_until_ready()
        learn_a_round(made, 1000)
        assert_exactly_once(made, 3 * N_CLIENTS)
        assert [way.n_forwarded[each.connection, each.direction] for each in faults] == [
            each.after_bytes for each in faults]
        assert {i for i, _ in list(way.n_forwarded)} == set(range(5))
        assert server.end() == (0, '')


def test_two_twins_do_not_hear_of_each_other_and_a_dead_one_is_cleaned_away(
        broker: PrivateBroker, tmp_path: Path) -> None:
    """Two runs with the same jobs and keys; the twin of one is killed, and its run removed under the other's load.

    What the dead one left were messages, and a worker, which ends when its queues are gone.
    """
    (tmp_path / 'doomed').mkdir()
    words = {'url': broker.endpoint.url, 'ca': str(broker.endpoint.ca), 'folder': str(tmp_path / 'doomed'),
             'users': {role: asdict(user) for role, user in broker.users.items()}}
    doomed = subprocess.Popen([sys.executable, '-m', 'tests.worker.doomed_twin'], cwd=ROOT, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with doomed, twin(broker, tmp_path) as made:
        doomed.stdin.write(json.dumps(words) + '\n')
        doomed.stdin.flush()
        nodes = [made.start('crypto', 'pi-1'), made.start('server', 'server')]
        made.launch_all(telemetry(made, 100))
        said = json.loads(doomed.stdout.readline())
        doomed.kill()
        assert doomed.wait() == -signal.SIGKILL
        assert said['counts'] == {'delivered': 100}
        for message in telemetry(made, 20, first_job=100):
            made.launch(message)
        with connect(broker.endpoint, broker.users['twin']) as connection:
            wait_for(lambda: not found_in(topology.runs(connection), said['run']).has_twin)
            assert found_in(topology.runs(connection), said['run']) == Run(said['run'], False, 2, 20)
            topology.clean(connection, said['run'])
            assert said['run'] not in [run.name for run in topology.runs(connection)]
        wait_for(lambda: state_of(said['worker']) in {'', 'Z'})
        learn_a_round(made, 1000)
        assert_exactly_once(made, 120 + 3 * N_CLIENTS)
        assert made.ledger.counts['duplicate'] == 0
        assert [node.end() for node in nodes] == [(0, '')] * 2


def found_in(runs: list[Run], name: str) -> Run:
    """Return a run by its name."""
    (found,) = (run for run in runs if run.name == name)
    return found
