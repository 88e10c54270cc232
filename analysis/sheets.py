"""What people see of runs as tables without a medium: the terminal and the pages show the same sheets.

Numbers are of one run, or means over several with their intervals. What is not in a sheet is in the run folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from analysis.formats import NONE, digits, share, spell
from analysis.replications import BOUNDS
from analysis.statistics import t_interval
from analysis.words import (
    DEADLINE_MISSED,
    FAILED,
    MESSAGE_BYTES,
    OUTCOMES,
    THIN,
    THIN_NOTE,
    failures,
    is_thin,
    metric_name,
)
from sim.results.folder import Run

CRYPTO_TIMES = ('kem_time', 'aead_time', 'sig_time')
Mark = Literal['', 'bad', 'crypto']
Rows = dict[tuple[str, str | None, str | None], dict[str, Any]]  # (metric, flow, class) -> summary row


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a sheet."""

    text: str
    value: float | None = None  # in full, if it is a number
    unit: str = ''
    half: str = ''  # half the width of its 95 % interval
    mark: Mark = ''

    @property
    def lines(self) -> str:
        """The text and, beneath it, its interval."""
        return f'{self.text}\n{self.half}' if self.half else self.text


@dataclass(frozen=True)
class Sheet:
    """A table; the first `n_left` columns are names, and the `strong` rows stand out."""

    title: str
    headers: tuple[str, ...]  # with line breaks where a narrow medium may break them
    rows: Sequence[Sequence[Cell]]
    note: str = ''
    n_left: int = 1
    strong: frozenset[int] = frozenset()  # rows


def rows_of(summary: Sequence[dict[str, Any]]) -> Rows:
    """Return the rows of a summary by what they are of."""
    return {(row['metric'], row['flow'], row['class']): row for row in summary}


def mean(rows: Rows, metric: str, flow: str | None = None, class_: str | None = None) -> float | None:
    """Return a mean; None if there is none."""
    found: float | None = rows[metric, flow, class_]['mean'] if (metric, flow, class_) in rows else None
    return found


def cell(rows: Rows, metric: str, flow: str | None = None, class_: str | None = None, *, statistic: str = 'mean',
         mark: Mark = '') -> Cell:
    """Return a number, and half the width of its interval if several runs were made."""
    row = rows.get((metric, flow, class_))
    if row is None:
        return Cell(NONE)
    low, high = (row.get(bound) for bound in BOUNDS[statistic])
    thin = THIN if is_thin(statistic, _of_one_run(row)) else ''
    return Cell(spell(row[statistic], row['unit']) + thin, row[statistic], row['unit'],
                half(low, high, row['unit']), mark)


def half(low: float | None, high: float | None, unit: str) -> str:
    """Write half the width of an interval, if there is one."""
    return '' if low is None or high is None else f'± {difference((high - low) / 2, unit)}'


def difference(value: float, unit: str) -> str:
    """Write a difference shortly; that of two shares is in percentage points."""
    short = {'1': (100.0, 'pp'), 'd': (1.0, 'd')}
    if unit not in short:
        return spell(value, unit)
    factor, name = short[unit]
    return f'{digits(factor * value)} {name}'


def _of_one_run(row: dict[str, Any]) -> float:
    """Return the observations of a row; of several runs, those of one of them on average."""
    n: float = (row['n'] or 0) / max(1, row.get('n_runs', 1))
    return n


def _number(value: float | None, unit: str = '', mark: Mark = '') -> Cell:
    return Cell(spell(value, unit), value, unit, mark=mark)


def _flows(rows: Rows) -> list[str]:
    return [flow for metric, flow, _ in rows if metric == 'launched' and flow is not None]


def flow_sheet(rows: Rows) -> Sheet:
    """Return one line a flow: how many jobs, how long they took, how many failed."""
    lines = []
    for flow in _flows(rows):
        failed = {name: mean(rows, name, flow) for name in FAILED}
        lines.append((
            Cell(flow), cell(rows, 'launched', flow), *(
                cell(rows, 'latency', flow, statistic=statistic) for statistic in ('p50', 'p95', 'p99')),
            cell(rows, 'deadline_miss_ratio', flow, mark='bad' if mean(rows, 'deadline_miss_ratio', flow) else ''),
            Cell('\n'.join(failures(failed)), mark='bad' if any(failed.values()) else '')))
    note = ('launched: jobs, in the measured time; median, p95, p99: the latency that 50, 95 and 99 of 100 completed '
            f'jobs did not exceed; deadline missed: {DEADLINE_MISSED}; failed: '
            f'{", ".join(FAILED[:-1])} or {FAILED[-1]}')
    is_thinned = any(THIN in part.text for line in lines for part in line[2:5])
    return Sheet('Flows', ('flow', 'launched', 'median', 'p95', 'p99', 'deadline\nmissed', 'failed'), lines,
                 f'{note}; {THIN_NOTE}' if is_thinned else note)


def outcome_sheet(rows: Rows) -> Sheet:
    """Return one line a flow: how its jobs ended."""
    lines = [(Cell(flow), cell(rows, 'launched', flow), *(
        cell(rows, name, flow, mark='bad' if name != 'delivered' and mean(rows, name, flow) else '')
        for name in OUTCOMES)) for flow in _flows(rows)]
    return Sheet('Outcomes', ('flow', 'launched', *OUTCOMES), lines,
                 '; '.join(f'{name}: {meaning}' for name, meaning in OUTCOMES.items() if meaning))


def deadline_sheet(rows: Rows, *, only_missed: bool = False) -> Sheet:
    """Return one line a flow and class that has deadlines: whose jobs are late."""
    found = [(flow, class_, row) for (metric, flow, class_), row in rows.items()
             if metric == 'deadline_miss_ratio' and flow is not None and class_ is not None
             and (row['mean'] or not only_missed)]
    lines = [(Cell(flow), Cell(class_), _number(_of_one_run(row)),
              cell(rows, 'deadline_miss_ratio', flow, class_, mark='bad' if row['mean'] else ''))
             for flow, class_, row in found]
    return Sheet('Deadlines of each class', ('flow', 'class', 'jobs with\na deadline', 'deadline\nmissed'), lines,
                 'classes that are not listed missed none' if only_missed else '', n_left=2)


def crypto_sheet(rows: Rows) -> Sheet:
    """Return one line a flow: what cryptography adds to its jobs."""
    metrics = ('latency', 'crypto_latency_share', 'wire_bytes', 'crypto_wire_share')
    lines = [(Cell(flow), *(cell(rows, metric, flow, mark='crypto' if metric.startswith('crypto') else '')
                            for metric in metrics)) for flow in _flows(rows)]
    headers = ('flow', 'mean\nlatency', 'of it\ncrypto', 'message\nbytes', 'of them\ncrypto')
    return Sheet('Cryptography in flows', headers, lines,
                 'crypto: of the mean latency, which waiting may dominate, computing, without the time that its bytes '
                 f'take; message bytes: {MESSAGE_BYTES}')


def cause_sheet(rows: Rows) -> Sheet:
    """Return one line a flow for which cryptography computes anything: for what, and its share of all of that."""
    spent = {flow: [mean(rows, metric, flow) or 0.0 for metric in CRYPTO_TIMES] for flow in _flows(rows)}
    total_s = sum(map(sum, spent.values()))
    lines = [(Cell(flow), *(cell(rows, metric, flow) for metric in CRYPTO_TIMES),
              _number(sum(times) / total_s, '1', mark='crypto')) for flow, times in spent.items() if any(times)]
    headers = ('flow', 'keys\n(KEM)', 'sealing\n(AEAD)', 'signatures', 'share\nof all')
    return Sheet('What cryptography computes', headers, lines,
                 'computing on all devices and computers together, over the measured time')


def key_sheet(rows: Rows) -> Sheet:
    """Return one line for each kind of thing that happened to keys: how many, and how long it took."""
    lines = []
    for name, event, metric in (('new keys', 'rekey', 'rekey_time'), ('revocations', 'revocation', 'exposure_time'),
                                ('enrolments', 'enrolment', 'enrolment_time'),
                                ('group keys', 'group', 'group_rekey_time')):
        if mean(rows, f'{event}s_due'):
            lines.append((Cell(name), cell(rows, f'{event}s_due'), cell(rows, f'{event}s_done'), *(
                cell(rows, metric, statistic=statistic) for statistic in ('mean', 'p50', 'p99'))))
    if mean(rows, 'keys_expired'):
        lines.append((Cell('expired', mark='bad'), cell(rows, 'keys_expired'), *[Cell(NONE)] * 4))
    return Sheet('Keys', ('', 'due', 'done', 'mean time', 'median', 'p99'), lines,
                 'from when it was due to when it was done: a new key is in use; every place refuses who is revoked, '
                 'who is exposed until then; device by device in keys.parquet')


def device_sheet(rows: Rows) -> Sheet:
    """Return one line a class of devices, of which there are as many in every run."""
    lines = []
    for _, _, name in (key for key in rows if key[0] == 'energy'):
        lasts = cell(rows, 'battery_days', None, name)
        lines.append((
            Cell(name or ''), _number(_of_one_run(rows['energy', None, name])), cell(rows, 'energy', None, name),
            cell(rows, 'crypto_energy_share', None, name, mark='crypto'),
            lasts if lasts.value is not None else Cell('mains'), cell(rows, 'battery_days_without_crypto', None, name)))
    return Sheet('Devices', ('class', 'devices', 'energy\neach', 'of it\ncrypto', 'battery\nlasts', 'without\ncrypto'),
                 lines, 'energy: over the measured time, mean of the devices of a class; crypto: computing it, and '
                 'sending and receiving its bytes, above base power; battery: a full one at this mean power; all of '
                 'the board that computes and sends, without what else the device drives: motors, lamps, tubes')


def station_sheet(runs: Sequence[Run], n: int) -> Sheet:
    """Return one line for each of the `n` busiest stations that were used."""
    stations = _stations(runs).filter((pl.col('kind') != 'queue') & (pl.col('served') > 0))
    busiest = stations.with_columns(busy=pl.col('utilisation').list.mean()).filter(pl.col('busy').is_finite()).sort(
        'busy', descending=True, maintain_order=True).head(n)
    lines = []
    for row in busiest.iter_rows(named=True):
        busy = t_interval(row['utilisation'])
        lines.append((
            Cell(row['station']), Cell(row['kind']), _number(row['servers']),
            Cell(share(busy.mean), busy.mean, '1', half(busy.low, busy.high, '1')), _number(row['waiting_mean']),
            _number(row['waiting_max'])))
    headers = ('station', 'kind', 'servers', 'utilisation', 'waiting,\nmean', 'waiting,\nmost')
    return Sheet('Busiest stations', headers, lines,
                 'utilisation: share of the measured time in which a server is busy; waiting: jobs, or segments of '
                 'them, in line', n_left=2)


def queue_sheet(runs: Sequence[Run], n: int) -> Sheet:
    """Return one line for each of the broker's `n` longest queues."""
    queues = _stations(runs).filter(pl.col('kind') == 'queue')
    longest = queues.sort('waiting_mean', descending=True, maintain_order=True).head(n)
    lines = [(Cell(row['station']), *(_number(row[name]) for name in ('served', 'waiting_mean', 'waiting_max')),
              *(_number(row[name], mark='bad' if row[name] else '') for name in ('dropped', 'redelivered')))
             for row in longest.iter_rows(named=True)]
    headers = ('queue', 'delivered', 'waiting,\nmean', 'waiting,\nmost', 'dropped', 'redelivered')
    return Sheet('Broker queues', headers, lines,
                 'waiting: jobs that are ready in the queue; redelivered: they come back when their worker dies')


def _stations(runs: Sequence[Run]) -> pl.DataFrame:
    """Return the stations of all runs: `utilisation` a list with one number a run, the rest means, but the most."""
    tables = [run.table('stations') for run in runs]
    return pl.concat(tables).group_by('station', 'kind', maintain_order=True).agg(
        pl.col('servers').first(), pl.col('utilisation'), pl.col('waiting_mean').mean(), pl.col('waiting_max').max(),
        *(pl.col(name).mean() for name in ('served', 'dropped', 'redelivered')))


def comparison_sheet(differences: pl.DataFrame, base: str, other: str, worlds: tuple[str, str] = ('', '')) -> Sheet:
    """Return the differences that are not zero in every pair, settled ones marked; then what a side lacks.

    Parameters
    ----------
    worlds
        In what world the numbers of each side came about, as `words.world_said` has it; empty texts where that is the
        same simulation for both. Of two worlds, what one lacks is counted only: a measurement lacks much.
    """
    paired = differences.filter(pl.col('n_pairs') > 0)
    different = paired.filter((pl.col('difference') != 0) | (pl.col('ci95_low') != pl.col('ci95_high')))
    lacking = differences.filter(pl.col('n_pairs') == 0)
    is_of_one = worlds[0] == worlds[1]
    lines = [_compared(row) for row in (*different.iter_rows(named=True),
                                        *(lacking.iter_rows(named=True) if is_of_one else ()))]
    marks = [f'\n{world}'.replace(', ', ',\n') if world else '' for world in worlds]
    names = [f'{name} ({world})' if world else name for name, world in zip((base, other), worlds, strict=True)]
    title = f'{other} against {base}'
    title += f' ({worlds[1]}, against {worlds[0]})' if any(worlds) else ''
    return Sheet(
        title, ('metric', 'of', f'{_heading(base)}{marks[0]}', f'{_heading(other)}{marks[1]}', 'difference', '±', ''),
        lines,
        '; '.join(filter(None, (_pairs_said(paired, worlds), _same_said(paired.height - different.height),
                                _lacking_said(lacking, *names), THIN_NOTE if _is_thinned(lines) else ''))),
        n_left=2, strong=frozenset(different['is_settled'].arg_true().to_list()))


def _compared(row: dict[str, Any]) -> tuple[Cell, ...]:
    unit, name = row['unit'], metric_name(row['metric'], row['statistic'])
    name += THIN if is_thin(row['statistic'], row['n']) else ''
    sides = (_number(row['base'], unit), _number(row['other'], unit))
    if row['difference'] is None:
        return (Cell(name), Cell(row['of']), *sides, Cell(NONE), Cell(''), Cell(''))
    text = difference(row['difference'], unit)
    sign = '+' if row['difference'] > 0 and text[0] != '<' else ''
    return (Cell(name), Cell(row['of']), *sides, Cell(sign + text, row['difference'], unit),
            Cell(half(row['ci95_low'], row['ci95_high'], unit).removeprefix('± ')),
            Cell('*' if row['is_settled'] else ''))


def _pairs_said(paired: pl.DataFrame, worlds: tuple[str, str]) -> str:
    n = int(paired['n_pairs'].max() or 0)  # type: ignore[arg-type]  # a count
    if n and not paired['is_paired'].all():
        return f"{n} runs or more on each side, the unit of every interval; ±: Welch's 95 % interval of the difference"
    if n and any(worlds):
        return (f'{n} {"runs" if n > 1 else "run, and no interval; make more"}, each against that of its seed, with '
                'the same arrivals; ±: the 95 % interval of the difference, of which the unit is the run')
    if n < 2:
        return 'one pair of runs: no interval; use --replications' if n else 'the two have no metric in common'
    return (f'{n} pairs of runs with common random numbers; ±: the 95 % interval of the difference; *: it excludes '
            'zero; pp: percentage points')


def _same_said(n: int) -> str:
    return f'{n} metrics are the same on both sides' if n else ''


def _lacking_said(lacking: pl.DataFrame, base: str, other: str) -> str:
    """Return who lacks how many metrics."""
    n_lacking = ((base, lacking['base'].null_count()), (other, lacking['other'].null_count()))
    said = ', '.join(f'{name} lacks {n} metrics' for name, n in n_lacking if n)
    return f'{NONE}: {said}' if said else ''


def _is_thinned(lines: Sequence[Sequence[Cell]]) -> bool:
    return any(line[0].text.endswith(THIN) for line in lines)


def _heading(name: str) -> str:
    """Return the name of a scenario in lines of a column's width."""
    return name if len(name) <= 12 else name.replace('-', '-\n')
