"""The command of a worker. It needs nothing of the command line of a simulation, so that a node need not have it.

``iomtwin worker`` is this where all of iomtwin is installed, and ``python -m hil.worker`` everywhere.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from hil.broker.connection import Connection, Endpoint, Waits, connect
from hil.broker.credentials import Credentials, from_environment, from_file
from hil.broker.names import WORKER_PLACES, check_run, key_of
from hil.broker.settings import BODY_BYTES_MAX, HEARTBEAT_S
from hil.crypto.providers import NAMES, choose
from hil.crypto.suites import bind, warm_up
from hil.keys.messages import subject_id
from hil.private_file import read_private
from hil.wire.names import run_id
from hil.worker.dispatcher import Dispatcher, clock_id
from hil.worker.hello import hello_of
from hil.worker.keys import KeyStore, Sealer
from hil.worker.orders import PREFETCH_MAX
from hil.worker.process import Post, Worker
from hil.worker.stages import Bench
from hil.worker.status import Status
from hil.worker.suspects import Suspects
from hil.worker.updates import UpdateStore
from sim.errors import InputError, IomtwinError
from sim.suites import DEFAULT, SUITES

PREFETCH = '1'  # of each class: nothing waits at a worker that another one could do
HEARTBEAT_S_MAX = 3_600
KEY_FILE_BYTES_MAX = 64 << 20  # half a million devices


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until SIGTERM or SIGINT; return the exit code, with one line for what went wrong."""
    return reported(work, sys.argv[1:] if arguments is None else arguments)


def reported(command: Callable[[Sequence[str]], None], arguments: Sequence[str], *,
             passing: type[IomtwinError] | tuple[()] = ()) -> int:
    """Do a command; return its exit code, with one line for what went wrong. What is `passing` is raised again."""
    try:
        command(arguments)
    except SystemExit:  # of --help
        return 0
    except passing:
        raise
    except IomtwinError as error:
        print(f'iomtwin: {error}', file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f'iomtwin: {error.filename or "the disk"}: {error.strerror or error}; look after the disk and the path',
              file=sys.stderr)
        return 1
    return 0


def work(arguments: Sequence[str]) -> None:
    """Work until SIGTERM or SIGINT, which let the job in hand be finished.

    Raises
    ------
    InputError
        If an argument, the key file or the credentials are wrong.
    BrokerError
        If the broker is not found for minutes, refuses the worker, or has no such run.
    OSError
        If the disk does not take what must be kept.
    """
    options = _parser().parse_args(arguments)
    if not 0 < options.heartbeat <= HEARTBEAT_S_MAX:
        raise InputError(f'--heartbeat {options.heartbeat}: expected 1 to {HEARTBEAT_S_MAX} seconds')
    if options.place == 'server' and options.state is None:
        raise InputError('worker: --place server keeps updates until all of a round are there; name a folder for them '
                         'with --state')
    status = Status(options.status)
    provider = choose(options.provider)
    bound = bind(options.suite, provider)
    run, state = check_run(options.run), options.state and options.state / options.run
    bench = Bench(bound, Sealer(bound.aead, read_keys(options.keys)), options.place, subject_id(options.node),
                  UpdateStore(state) if state else None)
    dispatcher = Dispatcher(run_id(run), bench, clock_id(), options.body_bytes_max,
                            Suspects(state / 'begun') if state else None, is_padded=options.padded)
    credentials = _credentials(options)
    endpoint = Endpoint(options.broker, options.ca)
    endpoint.parts()

    def connected(purpose: str) -> Connection:
        return connect(endpoint, credentials, f'{options.place} {options.node} {purpose}',
                       Waits(heartbeat_s=options.heartbeat))

    post = Post(run, options.place, _prefetches(options.queue or ['0']),
                hello_of(options.node, options.place, f'{provider.name} {provider.version}', options.suite))
    worker = Worker(post, dispatcher, connected, status)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    warm_up(bound)
    worker.run()


def read_keys(path: Path) -> KeyStore:
    """Return the keys in a file that nobody else may read.

    Raises
    ------
    InputError
        If it cannot be read, may be read by others, or holds no keys.
    """
    text = read_private(path, 'keys', KEY_FILE_BYTES_MAX)
    try:
        return KeyStore.from_json(json.loads(text))
    except (ValueError, RecursionError):
        raise InputError(f'{path}: is not JSON; let the twin write it') from None
    except InputError as error:
        raise InputError(f'{path}: {error}') from None


class OptionParser(argparse.ArgumentParser):
    """A parser whose mistakes are ours."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        raise InputError(f'{message}; {self.prog} --help lists the options')


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser('iomtwin worker', description='Do the work of one place of a run: what runs on a node.')
    add = parser.add_argument
    add('--broker', required=True, metavar='URL', help='amqps://HOST:PORT/VHOST, without a user')
    add('--ca', required=True, type=Path, metavar='FILE', help="certificate of the broker's authority")
    add('--credentials', type=Path, metavar='FILE', help='else IOMTWIN_PLACE_USER and IOMTWIN_PLACE_PASSWORD')
    add('--node', required=True, metavar='NAME', help='what this node is called in results')
    add('--run', required=True, metavar='RUN', help='the name of the run')
    add('--place', default='crypto', choices=WORKER_PLACES)
    add('--queue', action='append', metavar='PRIORITY[=PREFETCH]', help=f'repeatable; 0 alone; prefetch {PREFETCH}')
    add('--keys', required=True, type=Path, metavar='FILE', help='session keys and public keys, by the twin')
    add('--suite', default=DEFAULT, choices=SUITES)
    add('--provider', choices=NAMES, help='of ML-KEM; the fastest that is installed')
    add('--state', type=Path, metavar='DIR', help="for a run's updates, and notes of "
        'messages that end their worker: without it they are not counted, and come again for ever')
    add('--status', type=Path, metavar='DIR', help='where the files ready and health.json are written')
    add('--heartbeat', type=int, default=HEARTBEAT_S, metavar='SECONDS',
        help='a worker that is silent for twice as long is taken for dead; %(default)s')
    add('--padded', action='store_true', help='take as long for a message as it says, at least')
    add('--body-bytes-max', type=int, default=BODY_BYTES_MAX, metavar='BYTES')
    return parser


def _prefetches(texts: Sequence[str]) -> dict[int, int]:
    """Return the prefetch of each priority class."""
    found = {}
    for text in texts:
        priority, _, prefetch = text.partition('=')
        if not (priority.isdecimal() and (prefetch or PREFETCH).isdecimal()):
            raise InputError(f"--queue '{text}': expected PRIORITY or PRIORITY=PREFETCH, as in 0=8")
        key_of(int(priority))
        found[int(priority)] = int(prefetch or PREFETCH)
        if not 0 < found[int(priority)] <= PREFETCH_MAX:
            raise InputError(f"--queue '{text}': expected a prefetch of 1 to {PREFETCH_MAX}")
    return found


def _credentials(options: argparse.Namespace) -> Credentials:
    if options.credentials:
        return from_file(options.place, options.credentials)
    return from_environment(options.place)
