"""A worker that stands by: ready when the broker was reached, at work when its order has come, over with its run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hil.broker import topology
from hil.broker.credentials import to_environment
from hil.broker.private import PrivateBroker
from hil.worker import standby
from hil.worker.keys import KeyStore
from hil.worker.orders import Order, packed, part_name, read_order
from tests.worker.rounds import assert_exactly_once, telemetry
from tests.worker.twin import PRIORITY, ROOT, WAIT_S_MAX, Twin, twin, wait_for


@contextmanager
def standing_by(broker: PrivateBroker, folder: Path, url: str = '') -> Iterator[subprocess.Popen[str]]:
    """Start a worker that stands by as the pod a-pod; end it behind."""
    (folder / 'orders').mkdir()
    arguments = ['--broker', url or broker.endpoint.url, '--ca', str(broker.endpoint.ca), '--node', 'pi-1',
                 '--pod', 'a-pod', '--orders', str(folder / 'orders'), '--work', str(folder / 'work'),
                 '--status', str(folder / 'status')]
    with (folder / 'log').open('w') as log, subprocess.Popen(
            [sys.executable, '-m', 'hil.worker.standby', *arguments], cwd=ROOT, text=True, stdout=log, stderr=log,
            env=os.environ | to_environment('crypto', broker.users['crypto'])) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def give(folder: Path, made: Twin, pod: str = 'a-pod') -> None:
    """Leave an order as a volume of Secrets would have it."""
    leave(folder / 'orders', Order(made.run, made.hospital.suite, 'pqcrypto', {'crypto': [0, PRIORITY]}, 4, 1 << 20,
                                   False, {pod: 'pi-1-crypto-1'}, made.hospital.store.to_json()))


def leave(orders: Path, order: Order) -> None:
    """Leave an order in a folder."""
    for i, part in enumerate(packed(order)):
        (orders / f'.{part_name(i)}').write_bytes(part)
        (orders / f'.{part_name(i)}').rename(orders / part_name(i))


def said(folder: Path) -> list[dict[str, Any]]:
    """Return the facts that it has told."""
    return [json.loads(line) for line in (folder / 'log').read_text().splitlines(keepends=True)
            if line.startswith('{') and line.endswith('\n')]


def test_an_order_that_is_replaced_while_it_is_read_is_the_next_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another order comes between the look at the first and its end: that one is not taken for it, nor for done."""
    first, second = (Order(run, 'pqc-768', 'pqcrypto', {'crypto': [0]}, 4, 1 << 20, False, {'a-pod': 'pi-1-crypto-1'},
                           KeyStore().to_json()) for run in ('first', 'second'))

    def read_late(folder: Path) -> Order | None:
        order = read_order(folder)
        leave(folder, second)
        return order

    leave(tmp_path, first)
    with monkeypatch.context() as late:
        late.setattr(standby, 'read_order', read_late)
        assert standby.next_order(tmp_path, None) is None
    found = standby.next_order(tmp_path, None)
    assert found is not None
    assert found[0] == second
    assert standby.next_order(tmp_path, found[1]) is None


def test_one_run_after_the_other_is_worked_through(broker: PrivateBroker, tmp_path: Path) -> None:
    """Each run has a process of its own, whose keys are gone when its queues are; an order for others is let be."""
    folder = tmp_path / 'pod'
    folder.mkdir()
    with standing_by(broker, folder) as process:
        wait_for(lambda: (folder / 'status' / 'ready').exists() or process.poll() is not None)
        assert [each['moment'] for each in said(folder)] == ['ready']
        for i, name in enumerate(('first', 'second')):
            (tmp_path / name).mkdir()
            with twin(broker, tmp_path / name) as made:
                give(folder, made, 'another-pod')
                give(folder, made)
                made.launch_all(telemetry(made, 20))
                assert_exactly_once(made, 20)
                assert (folder / 'work' / 'keys.json').stat().st_mode & 0o077 == 0
            wait_for(lambda n=3 + 2 * i: len(said(folder)) >= n or process.poll() is not None)
            assert process.poll() is None, (folder / 'log').read_text()
            assert not (folder / 'work' / 'keys.json').exists()
            assert said(folder)[-1]['moment'] == f'end of {made.run}'
            assert said(folder)[-1]['facts']['node'] == 'pi-1'
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S_MAX) == 0


def test_an_order_that_is_taken_back_ends_the_work(broker: PrivateBroker, tmp_path: Path) -> None:
    """The run's queues are still there: what was told ends the worker, and not that they are gone."""
    folder = tmp_path / 'pod'
    folder.mkdir()
    with standing_by(broker, folder) as process, twin(broker, tmp_path) as made:
        give(folder, made)
        made.launch_all(telemetry(made, 5))
        (folder / 'orders' / part_name(0)).unlink()
        wait_for(lambda: len(said(folder)) >= 3 or process.poll() is not None)
        assert [each['moment'] for each in said(folder)] == ['ready', f'begin of {made.run}', f'end of {made.run}']
        wait_for(lambda: [run.n_workers for run in topology.runs(made.sending) if run.name == made.run] == [0])


def test_a_broker_that_is_not_there_is_the_last_line(broker: PrivateBroker, tmp_path: Path) -> None:
    """After some attempts it ends: whoever runs pods shows the line, and starts it again."""
    with standing_by(broker, tmp_path, 'amqps://127.0.0.1:9/iomtwin') as process:
        assert process.wait(WAIT_S_MAX) == 1
        assert 'broker 127.0.0.1:9' in (tmp_path / 'log').read_text().splitlines()[-1]
        assert not (tmp_path / 'status' / 'ready').exists()
