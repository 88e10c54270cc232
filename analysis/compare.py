"""Compares scenarios metric by metric: paired differences under common random numbers, with 95 % t intervals.

Runs are paired by seed. Only metrics that both sides have are compared; a difference is settled when its interval
excludes zero. Left out: multiple-comparison correction; with many metrics, some intervals exclude zero by chance.
"""

import math
from collections.abc import Iterable, Sequence

import polars as pl

from analysis.replications import Key, key_of
from analysis.statistics import t_interval
from sim.errors import InputError
from sim.results.folder import Run

COMPARED = {  # metric -> the statistics worth a row
    'latency': ('p50', 'p95', 'p99'), 'deadline_miss_ratio': ('mean',), 'crypto_latency_share': ('mean',),
    'wire_bytes': ('mean',), 'crypto_wire_share': ('mean',), 'energy': ('mean',), 'crypto_energy_share': ('mean',),
    'battery_days': ('mean',), 'round_time': ('mean',), 'distribution_time': ('mean',),
    'clients_reached_ratio': ('mean',), 'utilisation': ('mean',),
    'utilisation_max': ('mean',), 'lost': ('mean',), 'dropped': ('mean',), 'unfinished': ('mean',),
}

SCHEMA = {'metric': pl.String, 'statistic': pl.String, 'of': pl.String, 'unit': pl.String, 'n_pairs': pl.Int64,
          'base': pl.Float64, 'other': pl.Float64, 'difference': pl.Float64, 'ci95_low': pl.Float64,
          'ci95_high': pl.Float64, 'is_settled': pl.Boolean}


def compare(base: Sequence[Run], other: Sequence[Run]) -> pl.DataFrame:
    """Return the paired differences other - base.

    Returns
    -------
    DataFrame
        Columns metric, statistic, of (flow, class or station), unit, n_pairs, base, other, difference, ci95_low,
        ci95_high (None for one pair), is_settled.

    Raises
    ------
    InputError
        If no seed is on both sides.
    """
    base_by_seed = {run.manifest['seed']: run for run in base}
    other_by_seed = {run.manifest['seed']: run for run in other}
    seeds = common_seeds(base_by_seed, other_by_seed)
    left = [_statistics(base_by_seed[seed]) for seed in seeds]
    right = [_statistics(other_by_seed[seed]) for seed in seeds]
    rows = []
    for key in dict.fromkeys(key for side in left for key in side):
        pairs = [(a[key], b[key]) for a, b in zip(left, right, strict=True) if key in a and key in b]
        if not pairs:
            continue
        (metric, flow, class_, station, unit), statistic = key
        interval = t_interval([b - a for a, b in pairs])
        rows.append({
            'metric': metric, 'statistic': statistic, 'of': flow or class_ or station or '', 'unit': unit,
            'n_pairs': len(pairs), 'base': t_interval([a for a, _ in pairs]).mean,
            'other': t_interval([b for _, b in pairs]).mean, 'difference': interval.mean,
            'ci95_low': interval.low, 'ci95_high': interval.high, 'is_settled': interval.excludes_zero,
        })
    return pl.DataFrame(rows, schema=SCHEMA)


def common_seeds(base: Iterable[int], other: Iterable[int]) -> list[int]:
    """Return the seeds that are on both sides.

    Raises
    ------
    InputError
        If there is none.
    """
    left, right = sorted(set(base)), sorted(set(other))
    seeds = [seed for seed in left if seed in right]
    if not seeds:
        raise InputError(f'no seed is on both sides: {left} and {right}; run both with the same seeds')
    return seeds


def _statistics(run: Run) -> dict[tuple[Key, str], float]:
    return {
        (key_of(row), statistic): row[statistic]
        for row in run.summary for statistic in COMPARED.get(row['metric'], ())
        if row[statistic] is not None and math.isfinite(row[statistic])
    }
