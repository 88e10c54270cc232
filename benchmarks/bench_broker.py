"""How fast messages go from a twin to workers and back. Prints a table and writes BROKER.md; asserts nothing.

The broker, the workers and the twin are real processes of this machine. A row is measured twice: with one message at a
time, whose round trips are timed; and with as many in flight as keep the workers busy, for the throughput.
"""

import argparse
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # beside this file
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import machine

from hil.broker.connection import Published, connect
from hil.broker.errors import BrokerError
from hil.broker.installation import find_port_mapper, find_server
from hil.broker.log import log_lines
from hil.broker.names import exchange_of, key_of
from hil.broker.private import PrivateBroker
from hil.wire.codec import encode
from hil.wire.message import Message
from tests.worker.hospital import Hospital
from tests.worker.twin import PRIORITY, Twin, twin

RESULTS = Path(__file__).resolve().parent / 'BROKER.md'
SUITE = 'pqc-768'
SIZES = (64, 1 << 10, 16 << 10, 256 << 10, 1 << 20)
N_DEVICES = 16
N_WARM_UP = 20
N_TRIPS = 2_000  # a p99 of fewer is not given
TRIPS_S_MAX = 20.0
BURST_BYTES = 96 << 20  # of one burst, which is sealed beforehand
IN_FLIGHT = 4  # for each message that the workers may hold
NOTES = (
    'A message is sealed telemetry (flow `vitals`, Ascon-AEAD128): the twin publishes it, a crypto worker opens it,\n'
    'and its reply comes without the payload. Every publication is persistent and confirmed one by one, by the twin\n'
    'and by the workers. Round trips are of one message at a time; throughput is with four in flight for each that\n'
    'the workers may hold. All processes share the machine.')
HEAD = ('body', 'prefetch', 'workers', 'trips', 'p50 ms', 'p95 ms', 'p99 ms', 'messages', 'messages/s', 'MB/s')


@dataclass(frozen=True)
class Row:
    """What was measured of one size, prefetch and number of workers; times in seconds."""

    n_bytes: int
    prefetch: int
    n_workers: int
    trips: list[float]
    n_messages: int
    seconds: float

    def cells(self) -> list[str]:
        """Return the row of the table."""
        p50, p95, p99 = (f'{1000 * each:.2f}' for each in np.percentile(self.trips, (50, 95, 99)))
        rate = self.n_messages / self.seconds
        size = f'{self.n_bytes} B' if self.n_bytes < 1 << 10 else (
            f'{self.n_bytes >> 10} KiB' if self.n_bytes < 1 << 20 else f'{self.n_bytes >> 20} MiB')
        return [size, str(self.prefetch), str(self.n_workers), f'{len(self.trips):,}', p50, p95,
                p99 if len(self.trips) >= N_TRIPS else '', f'{self.n_messages:,}', f'{rate:,.0f}',
                f'{rate * self.n_bytes / 1e6:.2f}']


def main() -> None:
    """Measure all rows on one broker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='a tenth of it, and BROKER.md stays as it is')
    arguments = parser.parse_args()
    try:
        find_server()
        find_port_mapper()
    except BrokerError as why:
        print(f'nothing measured: {why}')
        return
    with PrivateBroker() as broker:
        head = [*machine(('pika', 'cryptography', 'numba')), f'- {versions(broker)}',
                f'- made by `{Path(sys.executable).name} benchmarks/bench_broker.py`']
        print('\n'.join(head))
        print(f'| {" | ".join(HEAD)} |', flush=True)
        rows = []
        for n_workers in (1, 2):
            for prefetch in (1, 8):
                for row in measure(broker, prefetch, n_workers, scale=0.1 if arguments.quick else 1.0):
                    rows.append(row.cells())
                    print(f'| {" | ".join(rows[-1])} |', flush=True)
    if not arguments.quick:
        write(head, rows)


def versions(broker: PrivateBroker) -> str:
    """Return the versions of RabbitMQ and Erlang, as RabbitMQ logs them."""
    found = next(filter(None, (re.search(r'Starting (RabbitMQ \S+) on (Erlang \S+)', line)
                               for line in log_lines(broker.paths))), None)
    return ', '.join(found.groups()) if found else 'RabbitMQ of an unknown version'


def measure(broker: PrivateBroker, prefetch: int, n_workers: int, scale: float) -> Iterator[Row]:
    """Yield the rows of all sizes for some workers."""
    with tempfile.TemporaryDirectory() as folder, twin(
            broker, Path(folder), chains_max=1_000_000, hospital=Hospital(N_DEVICES, SUITE)) as made:
        for i in range(n_workers):
            made.start('crypto', f'pi-{i}', prefetch=prefetch)
        made.wait_until_ready()
        for n_bytes in SIZES:
            trips = measure_trips(made, n_bytes, int(scale * N_TRIPS), scale * TRIPS_S_MAX)
            n = int(scale * min(N_TRIPS, BURST_BYTES // n_bytes))
            yield Row(n_bytes, prefetch, n_workers, trips, n,
                      measure_burst(made, n_bytes, n, IN_FLIGHT * n_workers * prefetch))


def measure_trips(made: Twin, n_bytes: int, n_max: int, seconds_max: float) -> list[float]:
    """Return the seconds from publication to reply, for one message at a time, without the first ones."""
    found, until = list[float](), time.monotonic() + seconds_max
    while len(found) < N_WARM_UP + n_max and (time.monotonic() < until or len(found) <= N_WARM_UP):
        raw, began = sealed(made, n_bytes), time.perf_counter()
        made.send(raw, 'crypto')
        take(made)
        found.append(time.perf_counter() - began)
    return found[N_WARM_UP:]


def measure_burst(made: Twin, n_bytes: int, n: int, n_in_flight: int) -> float:
    """Return the seconds for some messages, from the first publication to the last reply."""
    raws = [sealed(made, n_bytes) for _ in range(n)]
    room = threading.Semaphore(n_in_flight)

    def publish() -> None:
        with connect(made.broker.endpoint, made.broker.users['twin']) as connection:
            for raw in raws:
                room.acquire()
                said = connection.publish(exchange_of(made.run, 'crypto'), key_of(PRIORITY), raw)
                assert said is Published.CONFIRMED

    thread, began = threading.Thread(target=publish), time.perf_counter()
    thread.start()
    for _ in range(n):
        take(made)
        room.release()
    seconds = time.perf_counter() - began
    thread.join()
    return seconds


def sealed(made: Twin, n_bytes: int) -> bytes:
    """Return the next message, and take note of it."""
    job = made.ledger.n_in_flight + len(made.ledger.ended)
    message: Message = made.hospital.vitals(job, job % N_DEVICES, bytes(n_bytes))
    made.ledger.launch(message, 0, 0)
    return encode(message)


def take(made: Twin) -> None:
    """Take the next reply; workers say who they are in between."""
    until = time.monotonic() + 60.0
    while made.take(1.0) is None:
        assert time.monotonic() < until, 'no reply for a minute'


def write(head: list[str], rows: list[list[str]]) -> None:
    """Write all that was measured."""
    table = [HEAD, ['---'] * len(HEAD), *rows]
    lines = ['# Round trips and throughput over the broker', '', *head,
             f'- load {os.getloadavg()[0]:.1f} at the end', '', NOTES, '',
             *(f'| {" | ".join(line)} |' for line in table), '']
    RESULTS.write_text('\n'.join(lines), 'utf-8')


if __name__ == '__main__':
    main()
