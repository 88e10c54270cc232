"""Tables for the terminal, in words and units that a hospital's IT department uses."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.replications import summarise
from sim.records import Run

Rows = dict[tuple[str, str | None], dict[str, Any]]  # (metric, flow or class) -> summary row


def seconds(value: float | None) -> str:
    """Write a duration with the unit that suits it."""
    if value is None or math.isnan(value):
        return '-'
    for limit, factor, unit in ((1e-3, 1e6, 'µs'), (1.0, 1e3, 'ms'), (120.0, 1.0, 's')):
        if abs(value) < limit:
            return f'{value * factor:.3g} {unit}'
    return f'{value / 60:.3g} min'


def n_bytes(value: float | None) -> str:
    """Write a size with the unit that suits it."""
    if value is None:
        return '-'
    for unit in ('B', 'kB', 'MB', 'GB'):
        if abs(value) < 1000 or unit == 'GB':
            return f'{value:.3g} {unit}'
        value /= 1000
    raise AssertionError(value)


def share(value: float | None) -> str:
    """Write a ratio as a percentage."""
    return '-' if value is None else f'{100 * value:.3g} %'


def count(value: float | None) -> str:
    """Write a number of things."""
    return '-' if value is None else f'{value:,.0f}'


def energy(value: float | None) -> str:
    """Write joules."""
    if value is None:
        return '-'
    return f'{value * 1000:.3g} mJ' if abs(value) < 1 else f'{value:,.3g} J' if value < 10_000 else f'{value:,.0f} J'


def run_tables(runs: Sequence[Run]) -> RenderableType:
    """Return everything that `iomtwin run` prints: of one run, or averaged over several seeds."""
    summary = runs[0].summary if len(runs) == 1 else summarise(runs)
    rows: Rows = {(row['metric'], row['flow'] or row['class']): row for row in summary}
    stations = pl.concat([run.table('stations') for run in runs]).group_by('station', 'kind').agg(
        pl.col('utilisation', 'waiting_mean').mean(), pl.col('waiting_max').max())
    parts: list[RenderableType] = [flow_table(rows), device_table(rows), _stations(stations)]
    if ('round_time', None) in rows or ('rounds_complete', None) in rows:
        parts.append(_rounds(rows))
    return Group(*parts)


def _names(rows: Rows, metric: str) -> list[str]:
    return [name for found, name in rows if found == metric and name is not None]


def _mean(rows: Rows, metric: str, name: str | None) -> float | None:
    mean: float | None = rows[metric, name]['mean'] if (metric, name) in rows else None
    return mean


def flow_table(rows: Rows) -> Table:
    """Return one line a flow."""
    table = Table(title='Messages', title_justify='left', caption_justify='left',
                  caption='crypto: share of the mean latency spent computing it, and of the bytes sent')
    for header in ('flow', 'launched', 'p50', 'p95', 'p99', 'late or missing', 'not delivered', 'crypto: time',
                   'bytes', 'crypto: bytes'):
        table.add_column(header, justify='left' if header == 'flow' else 'right')
    for flow in _names(rows, 'launched'):
        latency = rows['latency', flow]
        failed = {name: int(rows[name, flow]['mean']) for name in ('dropped', 'rejected', 'lost', 'unfinished')}
        table.add_row(
            flow, count(_mean(rows, 'launched', flow)), *(seconds(latency[p]) for p in ('p50', 'p95', 'p99')),
            share(_mean(rows, 'deadline_miss_ratio', flow)),
            ', '.join(f'{n:,} {name}' for name, n in failed.items() if n) or '0',
            share(_mean(rows, 'crypto_latency_share', flow)), n_bytes(_mean(rows, 'wire_bytes', flow)),
            share(_mean(rows, 'crypto_wire_share', flow)))
    return table


def device_table(rows: Rows) -> Table:
    """Return one line a class of devices."""
    table = Table(title='Devices', title_justify='left', caption_justify='left',
                  caption='energy: of one device over the measured time; crypto: computing it, and sending its bytes')
    for header in ('class', 'devices', 'energy', 'crypto', 'battery', 'without crypto'):
        table.add_column(header, justify='left' if header == 'class' else 'right')
    for name in _names(rows, 'energy'):
        days, without = _mean(rows, 'battery_days', name), _mean(rows, 'battery_days_without_crypto', name)
        table.add_row(
            name, count(rows['energy', name]['n']), energy(_mean(rows, 'energy', name)),
            share(_mean(rows, 'crypto_energy_share', name)), 'mains' if days is None else f'{days:.3g} days',
            '' if without is None else f'{without:.3g} days')
    return table


def _stations(stations: pl.DataFrame) -> RenderableType:
    busiest = stations.filter(pl.col('kind') != 'queue').sort('utilisation', descending=True).head(3)
    table = Table(title='Busiest parts', title_justify='left')
    for header in ('part', 'kind', 'busy', 'waiting, mean', 'waiting, most'):
        table.add_column(header, justify='left' if header in ('part', 'kind') else 'right')
    for row in busiest.iter_rows(named=True):
        table.add_row(row['station'], row['kind'], share(row['utilisation']), f'{row["waiting_mean"]:.3g}',
                      count(row['waiting_max']))
    return table


def _rounds(rows: Rows) -> Text:
    text = Text('Federated learning: ')
    complete = rows['rounds_complete', None]
    text.append(f'{complete["mean"]:.0f} of {complete["n"]} rounds begun were completed')
    for metric, words in (('round_time', 'round'), ('distribution_time', 'model at its last client after')):
        row = rows.get((metric, None))
        if row is not None:
            text.append(f'; {words} {seconds(row["mean"])} (p95 {seconds(row["p95"])})')
    return text


def comparison_table(differences: pl.DataFrame, base: str, other: str) -> Table:
    """Return the paired differences that are not zero in every pair, the settled ones marked."""
    different = differences.filter((pl.col('difference') != 0) | (pl.col('ci95_low') != pl.col('ci95_high')))
    n_equal = differences.height - different.height
    n = int(differences['n'].max() or 0)  # type: ignore[arg-type]  # a count
    caption = (f'{n} pairs under common random numbers; [bold]bold[/]: the 95 % interval excludes zero' if n > 1 else
               'one pair: no interval; use --replications')
    caption += f'; {n_equal} metrics are the same on both sides' if n_equal else ''
    table = Table(title=f'{other} against {base}', title_justify='left', caption=caption, caption_justify='left')
    for header in ('metric', 'of', base, other, 'difference', '95 % interval'):
        table.add_column(header, justify='left' if header in ('metric', 'of') else 'right')
    for row in different.iter_rows(named=True):
        write = _writer(row['unit'])
        metric = row['metric'].replace('_', ' ') + ('' if row['statistic'] == 'mean' else f' {row["statistic"]}')
        interval = '' if row['ci95_low'] is None else f'{write(row["ci95_low"])} to {write(row["ci95_high"])}'
        table.add_row(metric, row['of'], write(row['base']), write(row['other']), write(row['difference']), interval,
                      style='bold' if row['is_settled'] else None)
    return table


def _writer(unit: str) -> Any:
    return {'s': seconds, 'B': n_bytes, '1': share, 'J': energy, 'd': lambda days: f'{days:.3g} days'}.get(
        unit, lambda value: f'{value:.3g}')


def plain_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return rows of texts under their keys."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(Text(value) for value in row.values()))
    return table
