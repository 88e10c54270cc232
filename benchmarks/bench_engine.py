"""How fast the engines are, and how much memory they take. Prints a table and writes RESULTS.md; asserts nothing.

Every row is a process of its own, so that its peak memory is its own; rates are of the engine alone, the best of the
repetitions, because other work on a machine only slows a run down. What must be compiled is, before time is taken.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent))  # beside this file
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from learning import learning
from machine import machine
from stars import plain_simpy, rich_star, star

from sim.agreement import check_agreement
from sim.loading import load
from sim.lowering import lower
from sim.model import Model
from sim.running import run_model

Row = dict[str, Any]
T = TypeVar('T')
MODELS: dict[str, Callable[..., Model]] = {'star': star, 'rich-star': rich_star, 'learning': learning}
RESULTS = Path(__file__).resolve().parent / 'RESULTS.md'
DAY = ('duration=24 h', 'starts_at=00:00', 'learning.rounds=100', 'learning.pause=10 min')
NOTES = (
    'Hops are services, link crossings and waits, each segment counted; segments are the link crossings after the '
    'warm-up.\nNothing is traced. Peak memory is that of the whole process, about 170 MiB of it the interpreter and '
    'the compiler.\nA row is the best of its runs, as other work only slows one down.')
COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ('case', lambda row: row['case']),
    ('engine', lambda row: row['engine']),
    ('devices', lambda row: f'{row["devices"]:,}'),
    ('messages', lambda row: f'{row["messages"]:,}'),
    ('hops', lambda row: f'{row["hops"]:,}'),
    ('hops/message', lambda row: f'{row["hops"] / row["messages"]:.1f}'),
    ('segments', lambda row: f'{row["segments"]:,}'),
    ('runs', lambda row: str(row.get('repetitions', 1))),
    ('build s', lambda row: f'{row["build_s"]:.2f}'),
    ('run s', lambda row: f'{row["seconds"]:.2f}'),
    ('messages/s', lambda row: f'{row["messages"] / row["seconds"]:,.0f}'),
    ('hops/s', lambda row: f'{row["hops"] / row["seconds"]:,.0f}'),
    ('peak MiB', lambda row: f'{row["mib"]:,.0f}'),
)


def main() -> None:
    """Run one case, or all of them in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--case', help='as JSON: one row, for the processes that this starts')
    parser.add_argument('--quick', action='store_true', help='no large cases, and RESULTS.md stays as it is')
    parser.add_argument('--only', default='', help='the cases whose name has this in it; RESULTS.md stays as it is')
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(**json.loads(arguments.case))))
        return
    head = machine(('numba', 'numpy', 'simpy'))
    print('\n'.join(head))
    rows = []
    for case in cases(quick=arguments.quick):
        if arguments.only in case['case']:
            rows.append(in_process(case))
            print('  '.join(f'{name} {text(rows[-1])}' for name, text in COLUMNS), flush=True)
    ratios = compared({(row['case'], row['engine']): row for row in rows})
    print('\n'.join(ratios))
    if not arguments.quick and not arguments.only:
        write(head, rows, ratios)


def cases(*, quick: bool) -> list[Row]:
    """Return the rows of the table."""
    n = 20_000 if quick else 200_000
    rows: list[Row] = [
        {'case': f'star, {n_devices:,}', 'engine': engine, 'what': 'star', 'arguments': [n_devices, n],
         'repetitions': {'simpy': 1, 'plain simpy': 5, 'compiled': 15}[engine]}
        for n_devices in (100, 1_000, 10_000) for engine in ('plain simpy', 'simpy', 'compiled')]
    rows += [{'case': 'rich-star, 10,000', 'engine': 'simpy', 'what': 'rich-star', 'arguments': [10_000, n // 4]}]
    rows += [{'case': f'rich-star, {k:,}', 'engine': 'compiled', 'what': 'rich-star', 'arguments': [k, max(n, 2 * k)],
              'repetitions': 3} for k in (1_000, 10_000, *(() if quick else (100_000, 1_000_000)))]
    rows += [{'case': name, 'engine': engine, 'what': name} for name in ('ward', 'teaching-hospital')
             for engine in ('simpy', 'compiled')]
    if quick:
        return rows
    return [
        *rows,
        {'case': 'learning, 131,072 clients x 100 rounds, 100 kB', 'engine': 'compiled', 'what': 'learning',
         'arguments': [131_072, 100, 100_000, 100_000]},
        {'case': 'learning, 131,072 clients x 5 rounds, 1 MB', 'engine': 'compiled', 'what': 'learning',
         'arguments': [131_072, 5, 1_000_000, 65_536]},
        {'case': 'teaching-hospital, 24 h', 'engine': 'compiled', 'what': 'teaching-hospital', 'overrides': DAY},
        {'case': 'campus-100k, 1 h', 'engine': 'compiled', 'what': 'campus-100k'},
        {'case': 'region-1m, 10 min', 'engine': 'compiled', 'what': 'region-1m'},
    ]


def in_process(case: Row) -> Row:
    """Measure one case in a process of its own."""
    done = subprocess.run([sys.executable, __file__, '--case', json.dumps(case)], stdout=subprocess.PIPE, text=True,
                          check=True)
    return {**case, **json.loads(done.stdout)}


def measure(case: str, engine: str, what: str, arguments: tuple[int, ...] = (), overrides: tuple[str, ...] = (),
            repetitions: int = 1) -> Row:
    """Return what one case did and took."""
    del case
    if engine == 'plain simpy':
        seconds, messages = min(_timed(lambda: plain_simpy(*arguments)) for _ in range(repetitions))
        return {'devices': arguments[0], 'messages': messages, 'hops': 3 * messages, 'segments': messages,
                'seconds': seconds, 'build_s': 0.0, 'mib': _peak_mib()}
    if engine == 'compiled':
        check_agreement()
        run_model(star(100, 10), engine='compiled', trace='none')  # loads from the cache what nobody compiled now
    build_s, model = _timed(lambda: MODELS[what](*arguments) if what in MODELS else lower(*load(what, overrides)))
    found: Row = {'seconds': float('inf')}
    for _ in range(repetitions):
        seconds, recording = _timed(lambda: run_model(model, engine=engine, trace='none'))
        crosses = [kind in ('air', 'link') for kind in model.stations.kind]
        found = {'devices': int((model.entities.attachment >= 0).sum()), 'messages': recording.n_launched,
                 'hops': recording.n_hops, 'segments': int(recording.station_served[crosses].sum()),
                 'seconds': min(seconds, found['seconds'])}
        del recording
    return {**found, 'build_s': build_s, 'mib': _peak_mib()}


def compared(rows: dict[tuple[str, str], Row]) -> list[str]:
    """Return the ratios between rows that belong together."""

    def ratio(text: str, upper: tuple[str, str], lower: tuple[str, str], of: str) -> list[str]:
        if upper not in rows or lower not in rows:
            return []
        a, b = (rows[key][of] / rows[key]['seconds'] for key in (upper, lower))
        return [f'- {text}: {a / b:.1f}']

    star_10k = 'star, 10,000'
    return [
        *ratio('star of 10,000 devices, compiled by plain SimPy, messages/s', (star_10k, 'compiled'),
               (star_10k, 'plain simpy'), 'messages'),
        *ratio('star of 10,000 devices, compiled by our SimPy engine, messages/s', (star_10k, 'compiled'),
               (star_10k, 'simpy'), 'messages'),
        *ratio('rich star, 1,000 by 1,000,000 devices, hops/s', ('rich-star, 1,000', 'compiled'),
               ('rich-star, 1,000,000', 'compiled'), 'hops'),
        *([f'- rich star, bytes a device beyond 1,000 devices: {_bytes_a_device(rows):,.0f}']
          if ('rich-star, 1,000,000', 'compiled') in rows and ('rich-star, 1,000', 'compiled') in rows else []),
    ]


def write(head: list[str], rows: list[Row], ratios: list[str]) -> None:
    """Write all that was measured."""
    table = [' | '.join(name for name, _ in COLUMNS), ' | '.join('---' for _ in COLUMNS)]
    table += [' | '.join(text(row) for _, text in COLUMNS) for row in rows]
    lines = ['# What bench_engine.py measured', '', *head, f'- load {os.getloadavg()[0]:.1f} at the end', '',
             *ratios, '', NOTES, '', *(f'| {line} |' for line in table), '']
    RESULTS.write_text('\n'.join(lines), 'utf-8')


def _bytes_a_device(rows: dict[tuple[str, str], Row]) -> float:
    many, few = (rows[f'rich-star, {n}', 'compiled'] for n in ('1,000,000', '1,000'))
    return float((many['mib'] - few['mib']) * 2**20 / (many['devices'] - few['devices']))


def _timed(function: Callable[[], T]) -> tuple[float, T]:
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == '__main__':
    main()
