"""Several seeds of one scenario: all their metrics in one table, and the means over the runs with their intervals.

In every summary `n` counts observations: the jobs, devices or rounds that a number is of. Over several runs it counts
those of all of them, and `n_runs` the runs that have the metric. A mean, median or other percentile over runs is the
mean of what each run found, and its bounds are the 95 % t interval of that mean: the unit is the run, never the job.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from analysis.statistics import t_interval
from sim.results.folder import Run, write_table

BOUNDS = {  # statistic -> the keys of its interval
    'mean': ('ci95_low', 'ci95_high'), 'p50': ('p50_ci95_low', 'p50_ci95_high'),
    'p95': ('p95_ci95_low', 'p95_ci95_high'), 'p99': ('p99_ci95_low', 'p99_ci95_high'),
}
NAMES = ('metric', 'flow', 'class', 'station', 'unit')
SCHEMA = {**dict.fromkeys((*NAMES, 'statistic'), pl.String), 'n': pl.Int64, 'n_runs': pl.Int64,
          'mean': pl.Float64, 'ci95_low': pl.Float64, 'ci95_high': pl.Float64}
Key = tuple[str | None, ...]


def key_of(row: dict[str, Any]) -> Key:
    """Return what a metric is of: the part of a summary row that runs are matched by."""
    return tuple(row[name] for name in NAMES)


def table(runs: Sequence[Run]) -> pl.DataFrame:
    """Return every metric of every run, one row each, with its seed."""
    return pl.DataFrame([{'seed': run.manifest['seed'], **row} for run in runs for row in run.summary],
                        infer_schema_length=None).drop('ci95_low', 'ci95_high')


def summarise(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one row a metric: the keys of one run's summary, `n_runs`, and the bounds of each percentile.

    Bounds are None where fewer than two runs have the metric.

    Raises
    ------
    InputError
        If one of the runs is not valid.
    """
    values: dict[Key, list[dict[str, Any]]] = {}
    for run in runs:
        run.check_valid()
        for row in run.summary:
            values.setdefault(key_of(row), []).append(row)
    return [_averaged(rows) for rows in values.values()]


def _averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    merged = {**rows[0], 'n': sum(row['n'] or 0 for row in rows),
              'n_runs': sum(row['mean'] is not None for row in rows)}
    for statistic, (low, high) in BOUNDS.items():
        known = [row[statistic] for row in rows if row[statistic] is not None]
        interval = t_interval(known) if known else None
        merged[statistic] = interval and interval.mean
        merged[low], merged[high] = interval and interval.low, interval and interval.high
    return merged


def intervals(runs: Sequence[Run]) -> pl.DataFrame:
    """Return the summary of several runs with one row a metric and statistic, as plots and papers want it.

    Returns
    -------
    DataFrame
        Columns metric, flow, class, station, unit, statistic (mean, p50, p95, p99: of each run), n, n_runs, mean (over
        the runs), ci95_low, ci95_high.
    """
    rows = [{**{name: row[name] for name in (*NAMES, 'n', 'n_runs')}, 'statistic': statistic, 'mean': row[statistic],
             'ci95_low': row[low], 'ci95_high': row[high]}
            for row in summarise(runs) for statistic, (low, high) in BOUNDS.items() if row[statistic] is not None]
    return pl.DataFrame(rows, schema=SCHEMA)


def set_name(seeds: Sequence[int]) -> str:
    """Return the name of the folder of a set of seeds: no two sets have the same.

    ``seeds-1-4`` are the seeds from 1 to 4; where some between are not in it, a digest of all follows.
    """
    first, last = min(seeds), max(seeds)
    name = f'seeds-{first}-{last}'
    if len(set(seeds)) == last - first + 1:
        return name
    return f'{name}-{hashlib.sha256(repr(sorted(set(seeds))).encode()).hexdigest()[:8]}'


def write(runs: Sequence[Run], folder: Path) -> None:
    """Write replications.parquet, intervals.parquet and summary.json of a set of seeds into its folder."""
    write_table(table(runs), folder / 'replications.parquet')
    write_table(intervals(runs), folder / 'intervals.parquet')
    (folder / 'summary.json').write_text(json.dumps(summarise(runs), indent=1, allow_nan=False) + '\n', 'utf-8')
