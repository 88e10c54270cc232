"""Tables for the terminal, in words and units that a hospital's IT department uses.

They fit 80 columns for names of usual length; what is wider is folded, never cut.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.formats import DEADLINE_MISSED, MESSAGE_BYTES, count, digits, seconds, security_said, share, spell
from analysis.replications import BOUNDS, summarise
from analysis.statistics import t_interval
from sim.results.folder import Run

Rows = dict[tuple[str, str | None], dict[str, Any]]  # (metric, flow or class) -> summary row

WARNINGS_SHOWN = 8
METRICS = {  # what a comparison calls them
    'deadline_miss_ratio': 'deadline missed', 'crypto_latency_share': 'crypto time', 'wire_bytes': 'message bytes',
    'crypto_wire_share': 'crypto bytes', 'crypto_energy_share': 'crypto energy', 'battery_days': 'battery',
    'clients_reached_ratio': 'clients reached',
    'round_time': 'round', 'distribution_time': 'distribution', 'utilisation': 'busy', 'utilisation_max': 'busiest',
}


def run_tables(runs: Sequence[Run]) -> RenderableType:
    """Return everything that `iomtwin run` prints: of one run, or means over several with their intervals."""
    summary = runs[0].summary if len(runs) == 1 else summarise(runs)
    rows: Rows = {(row['metric'], row['flow'] or row['class']): row for row in summary}
    stations = pl.concat([run.table('stations') for run in runs]).group_by('station', 'kind', maintain_order=True).agg(
        pl.col('utilisation'), pl.col('waiting_mean').mean(), pl.col('waiting_max').max())
    tables = (flow_table(rows), crypto_table(rows), device_table(rows, runs[0]), station_table(stations))
    parts: list[RenderableType] = [*(part for table in tables for part in (table, '')), security_line(runs[0])]
    if ('rounds_begun', None) in rows:
        parts.append(_rounds(rows, runs))
    if len(runs) > 1:
        parts.append(Text(f'All numbers are means of {len(runs)} runs, percentiles too: the mean of what each run '
                          'found. ±: the 95 % interval of that mean (pp: percentage points). The most in line is the '
                          'most in any of them; rounds are those of all runs together.'))
    parts += warning_lines(runs)
    return Group(*parts)


def security_line(run: Run, name: str = '') -> Text:
    """Return what the cryptography of a run is and claims, in a line."""
    said = '; '.join(f'{what}: {words}' for what, words in security_said(run.manifest.get('security')))
    return Text(f'{name}: {said}' if name else said)


def warning_lines(runs: Sequence[Run], name: str = '') -> list[Text]:
    """Return what the manifests warn of, with the seed if there are several."""
    told = [(run, warning) for run in runs for warning in run.manifest.get('warnings', ())]
    of_run = ', seed {}' if len(runs) > 1 else ''
    of = f'{name}: ' if name else ''
    lines = [Text(f'{of}Warning{of_run.format(run.manifest["seed"])}: {warning}.', style='bold red')
             for run, warning in told[:WARNINGS_SHOWN]]
    if len(told) > WARNINGS_SHOWN:
        lines.append(Text(f'and {len(told) - WARNINGS_SHOWN} more warnings, see the manifests'))
    return lines


def _table(title: str, headers: Sequence[str], caption: str = '', n_left: int = 1) -> Table:
    """Return an empty table, the first columns aligned to the left; cells are folded, never cut."""
    table = Table(title=title, title_justify='left', title_style='bold', caption=caption or None,
                  caption_justify='left', box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, header in enumerate(headers):
        table.add_column(header, justify='left' if i < n_left else 'right', overflow='fold')
    return table


def _names(rows: Rows, metric: str) -> list[str]:
    return [name for found, name in rows if found == metric and name is not None]


def _mean(rows: Rows, metric: str, name: str | None) -> float | None:
    mean: float | None = rows[metric, name]['mean'] if (metric, name) in rows else None
    return mean


def _cell(rows: Rows, metric: str, name: str | None, statistic: str = 'mean') -> str:
    """Return a number, and in a second line half the width of its interval, if several runs were made."""
    row = rows.get((metric, name))
    if row is None:
        return spell(None, '')
    low, high = (row.get(bound) for bound in BOUNDS[statistic])
    return spell(row[statistic], row['unit']) + _half('\n', low, high, row['unit'])


def _half(before: str, low: float | None, high: float | None, unit: str) -> str:
    """Write half the width of an interval, if there is one."""
    return '' if low is None or high is None else f'{before}± {_difference((high - low) / 2, unit)}'


def flow_table(rows: Rows) -> Table:
    """Return one line a flow: how many messages, how long they took, which failed."""
    table = _table('Messages', ('flow', 'launched', 'median', 'p95', 'p99', 'deadline\nmissed', 'failed'),
                   f'p95: 95 of 100 messages took no longer; deadline missed: {DEADLINE_MISSED}; failed: dropped, '
                   'rejected, lost or unfinished')
    for flow in _names(rows, 'launched'):
        failed = {name: _mean(rows, name, flow) for name in ('dropped', 'rejected', 'lost', 'unfinished')}
        table.add_row(
            flow, count(_mean(rows, 'launched', flow)),
            *(_cell(rows, 'latency', flow, p) for p in ('p50', 'p95', 'p99')), _cell(rows, 'deadline_miss_ratio', flow),
            ', '.join(f'{count(n)} {name}' for name, n in failed.items() if n) or '0')
    return table


def crypto_table(rows: Rows) -> Table:
    """Return one line a flow: what cryptography adds to its messages."""
    headers = ('flow', 'mean\nlatency', 'of it\ncrypto', 'message\nbytes', 'of them\ncrypto')
    table = _table('Cryptography in messages', headers,
                   'crypto: of the mean latency, which waiting may dominate, computing, without the time that its '
                   f'bytes take; message bytes: {MESSAGE_BYTES}')
    for flow in _names(rows, 'launched'):
        table.add_row(flow, *(_cell(rows, metric, flow) for metric in (
            'latency', 'crypto_latency_share', 'wire_bytes', 'crypto_wire_share')))
    return table


def device_table(rows: Rows, run: Run) -> Table:
    """Return one line a class of devices, of which there are as many in every run."""
    n_devices = {row['class']: row['n'] for row in run.summary if row['metric'] == 'energy'}
    headers = ('class', 'devices', 'energy\nof one', 'crypto\nshare', 'battery', 'battery\nwithout crypto')
    table = _table('Devices', headers,
                   'energy over the measured time; crypto: computing it, and sending and receiving its bytes')
    for name in _names(rows, 'energy'):
        on_battery = _mean(rows, 'battery_days', name) is not None
        table.add_row(
            name, count(n_devices[name]), _cell(rows, 'energy', name), _cell(rows, 'crypto_energy_share', name),
            _cell(rows, 'battery_days', name) if on_battery else 'mains',
            _cell(rows, 'battery_days_without_crypto', name))
    return table


def station_table(stations: pl.DataFrame) -> Table:
    """Return one line for each of the three busiest parts; `utilisation` is a list with one number a run."""
    real = stations.filter(pl.col('kind') != 'queue').with_columns(busy=pl.col('utilisation').list.mean())
    busiest = real.sort('busy', descending=True, maintain_order=True).head(3)
    table = _table('Busiest parts', ('part', 'kind', 'busy', 'in line,\nmean', 'in line,\nmost'),
                   'busy: share of the measured time; in line: messages, or segments of them, that wait', n_left=2)
    for row in busiest.iter_rows(named=True):
        busy = t_interval(row['utilisation'])
        table.add_row(row['station'], row['kind'], share(busy.mean) + _half('\n', busy.low, busy.high, '1'),
                      digits(row['waiting_mean']), count(row['waiting_max']))
    return table


def _rounds(rows: Rows, runs: Sequence[Run]) -> Text:
    text = Text(f'Federated learning: {rounds_said([row for run in runs for row in run.summary])}')
    for metric, words in (('round_time', 'a round took'),
                          ('distribution_time', 'the model was at its last client after')):
        if _mean(rows, metric, None) is not None:
            text.append(f'; {words} {_cell(rows, metric, None)} on average'.replace('\n', ' '))
    reached = _mean(rows, 'clients_reached_ratio', None)
    if reached is not None and reached < 1.0:
        text.append(f'; the model reached {share(reached)} of its clients')
    return text.append('.')


def rounds_said(summary: Sequence[dict[str, Any]]) -> str:
    """Return how many rounds of learning there were to be and what became of them, all runs of a summary together."""

    def total(metric: str, key: str = 'mean') -> int:
        return int(sum(row[key] for row in summary if row['metric'] == metric))

    measured, begun = total('rounds_complete', 'n'), total('rounds_begun')
    said = f'{begun} of {total("rounds_begun", "n")} planned rounds were begun'
    said += f', {measured} of them after the warm-up' if measured < begun else ''
    said += f', {total("rounds_complete")} completed'
    for metric, words in (('rounds_failed', 'failed'), ('rounds_without_quorum', 'without quorum')):
        said += f', {total(metric)} {words}' if total(metric) else ''
    return said


def comparison_table(differences: pl.DataFrame, base: str, other: str) -> Table:
    """Return the paired differences that are not zero in every pair, the settled ones marked."""
    different = differences.filter((pl.col('difference') != 0) | (pl.col('ci95_low') != pl.col('ci95_high')))
    n_equal = differences.height - different.height
    n = int(differences['n_pairs'].max() or 0)  # type: ignore[arg-type]  # a count
    caption = 'the two have no metric in common' if n == 0 else (
        'one pair of runs: no interval; use --replications') if n == 1 else (
        f'{n} pairs of runs with common random numbers; ±: the 95 % interval of the difference; *: it excludes zero; '
        'pp: percentage points')
    caption += f'; {n_equal} metrics are the same on both sides' if n_equal else ''
    table = _table(f'{other} against {base}', ('metric', 'of', *map(_heading, (base, other)), 'difference', '±', ''),
                   caption, n_left=2)
    for row in different.iter_rows(named=True):
        unit = row['unit']
        metric = METRICS.get(row['metric'], row['metric'].replace('_', ' '))
        metric += '' if row['statistic'] == 'mean' else f' {row["statistic"]}'
        difference = _difference(row['difference'], unit)
        half = '' if row['ci95_low'] is None else _difference((row['ci95_high'] - row['ci95_low']) / 2, unit)
        sign = '+' if row['difference'] > 0 and difference[0] != '<' else ''
        table.add_row(metric, row['of'], spell(row['base'], unit), spell(row['other'], unit), sign + difference, half,
                      '*' if row['is_settled'] else '', style='bold' if row['is_settled'] else None)
    return table


def _heading(name: str) -> str:
    """Return the name of a scenario in lines of a column's width."""
    return name if len(name) <= 12 else name.replace('-', '-\n')


def _difference(value: float, unit: str) -> str:
    """Write a difference; that of two shares is in percentage points."""
    return f'{digits(100 * value)} pp' if unit == '1' else spell(value, unit)


def profile_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return the numbers of a profile, each with its source."""
    table = _table('', ('number', 'value', 'quality', 'source'), n_left=4)
    for row in rows:
        name = ' '.join(filter(None, (row['stage'], row['variant'], row['what'])))
        has_seconds = row['seconds'] and not row['value'].endswith(' s')
        value = f'{row["value"]} = {seconds(float(row["seconds"]))}' if has_seconds else row['value']
        source = f'{row["source"]}: {row["formula"]}' if row['formula'] else row['source']
        table.add_row(*map(Text, (name, value, row['quality'], source)))
    return table


def plain_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return rows of texts under their keys."""
    table = _table('', tuple(rows[0]), n_left=len(rows[0]))
    for row in rows:
        table.add_row(*map(Text, row.values()))
    return table
