"""A worker that stands by in a pod: it warms up, looks whether the broker is there, and waits for the order of a run.

::

    warm up ─> reach the broker ─> ready ─> (order that names this pod) ─> a worker process, until the run is over ─┐
                                     ^                                                                             │
                                     └─────────────────────────────────────────────────────────────────────────────┘

The worker itself is a process of its own for each run, as it would be on a node without Kubernetes: with its own boot
id, and with nothing left of former keys. If it fails, so does the pod, with the same line: whoever runs pods starts
it again, the order is still there, and the work goes on. So nothing is told twice, and a restart shows where people
look for one.

What is written for the twin to standard output, a line of JSON each time, are facts of the computer: its model, its
temperature, and whether it was throttled, before and after each run.
"""

import argparse
import json
import multiprocessing
import random
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from hil.broker.backoff import Backoff, retried
from hil.broker.connection import Endpoint, connect
from hil.broker.credentials import from_environment
from hil.broker.errors import MissingError
from hil.broker.names import WORKER_PLACES
from hil.calibration.machine import condition, inspect
from hil.crypto.providers import choose
from hil.crypto.suites import bind, warm_up
from hil.worker.command import OptionParser, reported, work
from hil.worker.orders import Order, digest_in, read_order
from hil.worker.status import Status
from sim.errors import RunError
from sim.suites import DEFAULT

POLL_S = 0.5  # how often it looks for an order
END_S_MAX = 60.0  # that a worker may take to end, when its run is over
REACH = Backoff(attempts_max=3)  # then the pod fails and says so, and is started again
RUN_IS_OVER = 3  # exit code of a worker process whose queues are gone


def main(arguments: Sequence[str] | None = None) -> int:
    """Stand by until SIGTERM or SIGINT; return the exit code, with one line for what went wrong."""
    return reported(stand_by, sys.argv[1:] if arguments is None else arguments)


def stand_by(arguments: Sequence[str]) -> None:
    """Stand by until SIGTERM or SIGINT.

    Raises
    ------
    InputError
        If an argument or an order is wrong.
    BrokerError
        If the broker is not found, or refuses the worker.
    RunError
        If a worker process ends before its run is over.
    """
    options = _parser().parse_args(arguments)
    stop, status = threading.Event(), Status(options.status)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    warm_up(bind(DEFAULT, choose(None)))
    retried(lambda: _reach(options), random.Random(), stop.wait, REACH)
    _tell('ready', options)
    status.set_ready(is_ready=True)
    done: bytes | None = None  # the order that is done, or none of ours, while it is still there
    while not stop.wait(POLL_S):
        found = next_order(options.orders, done)
        if found is None:
            continue
        order, done = found
        if options.pod in order.posts:
            _tell(f'begin of {order.run}', options)
            _work_through(order, done, options, stop)
            _tell(f'end of {order.run}', options)


def next_order(folder: Path, done: bytes | None) -> tuple[Order, bytes] | None:
    """Return the order in a folder with its digest; None if it is done, there is none, or it changes as it is read."""
    digest = digest_in(folder)
    if digest is None or digest == done:
        return None
    order = read_order(folder)
    return None if order is None or digest_in(folder) != digest else (order, digest)


def _reach(options: argparse.Namespace) -> None:
    """Connect to the broker, as the worker will."""
    connect(Endpoint(options.broker, options.ca), from_environment(options.place),
            f'{options.place} {options.node} looks').close()


def _tell(moment: str, options: argparse.Namespace) -> None:
    """Write facts of this computer for the twin."""
    facts = {'node': options.node, 'pod': options.pod, **inspect().describe(), **condition().describe()}
    print(json.dumps({'moment': moment, 'facts': facts}), flush=True)


def _work_through(order: Order, digest: bytes, options: argparse.Namespace, stop: threading.Event) -> None:
    """Let a process do the work of an order, until the run is over or the order has gone."""
    options.work.mkdir(parents=True, exist_ok=True)
    keys = options.work / 'keys.json'
    keys.unlink(missing_ok=True)
    keys.touch(0o600)
    keys.write_text(json.dumps(order.keys))
    arguments = order.arguments(options.place, order.posts[options.pod], {
        'broker': options.broker, 'ca': options.ca, 'keys': keys, 'status': options.work / 'status',
        'state': options.work / 'state'})
    process = multiprocessing.get_context('spawn').Process(target=_worker, args=(arguments,))
    process.start()
    try:
        while process.is_alive() and not stop.is_set() and digest_in(options.orders) == digest:
            process.join(POLL_S)
    finally:
        _end(process)
        keys.unlink()
    if process.exitcode not in (0, RUN_IS_OVER, -signal.SIGTERM):
        raise RunError(f'worker {order.posts[options.pod]}: has ended with {process.exitcode}; its last line says why')


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.terminate()
        process.join(END_S_MAX)
    if process.is_alive():
        process.kill()
        process.join()


def _worker(arguments: Sequence[str]) -> None:
    """Work; the body of the process of one run."""
    try:
        code = reported(work, arguments, passing=MissingError)
    except MissingError:  # the twin removes the queues of a run that is over
        code = RUN_IS_OVER
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser('python -m hil.worker.standby', description='Wait for the orders of runs: what a pod runs.')
    add = parser.add_argument
    add('--broker', required=True, metavar='URL', help='amqps://HOST:PORT/VHOST, without a user')
    add('--ca', required=True, type=Path, metavar='FILE', help="certificate of the broker's authority")
    add('--node', required=True, metavar='NAME', help='the computer')
    add('--pod', required=True, metavar='NAME', help='what orders call this pod')
    add('--place', default='crypto', choices=WORKER_PLACES)
    add('--orders', required=True, type=Path, metavar='DIR', help='where orders come')
    add('--work', required=True, type=Path, metavar='DIR', help='for keys and state, in memory')
    add('--status', required=True, type=Path, metavar='DIR', help='where the file ready is written')
    return parser


if __name__ == '__main__':
    sys.exit(main())
