"""Several seeds of one scenario: one table of all their metrics, and one summary with intervals over the runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from analysis.statistics import t_interval
from sim.records import Run, complete_file, write_table

STATISTICS = ('mean', 'p50', 'p95', 'p99')
Key = tuple[str | None, ...]


def key_of(row: dict[str, Any]) -> Key:
    """Return what a metric is of: the part of a summary row that runs are matched by."""
    return (row['metric'], row['flow'], row['class'], row['station'], row['unit'])


def table(runs: Sequence[Run]) -> pl.DataFrame:
    """Return every metric of every run, one row each, with its seed."""
    return pl.DataFrame([{'seed': run.manifest['seed'], **row} for run in runs for row in run.summary],
                        infer_schema_length=None).drop('ci95_low', 'ci95_high')


def summarise(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one row a metric: its statistics averaged over the runs, the interval that of the mean."""
    values: dict[Key, list[dict[str, Any]]] = {}
    for run in runs:
        for row in run.summary:
            values.setdefault(key_of(row), []).append(row)
    return [_averaged(rows) for rows in values.values()]


def _averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    merged = dict(rows[0])
    for statistic in STATISTICS:
        known = [row[statistic] for row in rows if row[statistic] is not None]
        merged[statistic] = t_interval(known).mean if known else None
    means = [row['mean'] for row in rows if row['mean'] is not None]
    merged['n'] = len(means)
    if means:
        interval = t_interval(means)
        merged['ci95_low'], merged['ci95_high'] = interval.low, interval.high
    return merged


def write(runs: Sequence[Run], folder: Path) -> None:
    """Write replications.parquet and a summary.json with intervals beside the seeds' folders, each whole or not at all.

    Raises
    ------
    RunError
        If the disk is full, or refuses for another reason.
    """
    with complete_file(folder / 'replications.parquet') as path:
        write_table(table(runs), path)
    with complete_file(folder / 'summary.json') as path:
        path.write_text(json.dumps(summarise(runs), indent=1, allow_nan=False) + '\n', 'utf-8')
