"""Workers that hang and come back, and messages that end whoever takes them."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from hil.broker.private import PrivateBroker
from hil.ledger import ChainId
from hil.wire.codec import decode
from hil.worker.suspects import DEATHS_MAX
from tests.worker.rounds import (
    N_CLIENTS,
    STOP_IN_THE_MIDDLE,
    STOP_IN_THE_SUM,
    assert_exactly_once,
    learn_a_round,
    telemetry,
)
from tests.worker.twin import WAIT_S_MAX, meanwhile, state_of, twin, wait_for

# Code that a worker runs first: one message ends it, whenever it comes.
POISONED = """
import os, signal
from hil.worker import stages
real = stages.open_
def open_(bench, work, at):
    if work.message.job == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    real(bench, work, at)
stages.FUNCTIONS = {**stages.FUNCTIONS, 'aead.open': open_}
"""


@pytest.mark.parametrize(('place', 'preload'), [('crypto', STOP_IN_THE_MIDDLE), ('server', STOP_IN_THE_SUM)],
                         ids=['crypto', 'server'])
def test_a_worker_that_hangs_is_replaced_and_is_late_when_it_comes_back(
        broker: PrivateBroker, tmp_path: Path, place: str, preload: str) -> None:
    """One is stopped with a job in hand: the broker misses its heartbeats, and another one does what it held.

    When it goes on, it finishes its job and says so: a duplicate, of the first attempt. Then it works as before.
    """
    with twin(broker, tmp_path) as made:
        hung = made.start(place, 'hung', preload=preload, prefetch=1, heartbeat_s=2)
        made.start('server' if place == 'crypto' else 'crypto', 'sound')
        made.wait_until_ready()

        def replace_it() -> None:
            wait_for(lambda: state_of(hung.process.pid) == 'T')
            made.start(place, 'other')

        with meanwhile(replace_it):
            made.launch_all(telemetry(made, 20))
            learn_a_round(made, 1000)
        assert state_of(hung.process.pid) == 'T'
        assert made.ledger.counts['duplicate'] == 0
        hung.process.send_signal(signal.SIGCONT)
        wait_for(lambda: made.take(0.1) is not None)
        assert made.ledger.duplicates[0][1] == 0
        learn_a_round(made, 2000)
        assert_exactly_once(made, 20 + 2 * 3 * N_CLIENTS)
        assert hung.end() == (0, '')


def test_a_message_that_ends_its_workers_is_begun_twice_and_no_more(broker: PrivateBroker, tmp_path: Path) -> None:
    """A worker that dies of the eighth message is started again and again: the third time it is a dead letter.

    All other messages are delivered, each once.
    """
    with twin(broker, tmp_path) as made:
        for message in telemetry(made, 20):
            made.launch(message)
        for _ in range(DEATHS_MAX):
            assert made.start('crypto', 'pi-1', preload=POISONED).process.wait(WAIT_S_MAX) == -signal.SIGKILL
        node = made.start('crypto', 'pi-1', preload=POISONED)
        wait_for(lambda: made.take(0.1) is None and made.ledger.n_in_flight == 1)
        (letter,) = made.dead_letters(1)
        assert letter.headers['reason'] == 'poison'
        assert letter.headers['why'].startswith('a message that has ended its worker 2 times')
        chain = ChainId.of(decode(letter.body))
        assert chain.job == 7
        made.ledger.close({chain}, time.monotonic_ns())
        assert Counter(each.outcome for each in made.ledger.ended.values()) == {'delivered': 19, 'rejected': 1}
        assert node.end() == (0, '')
        assert node.counts['poison'] == 1
