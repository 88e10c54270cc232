"""Compares scenarios metric by metric: paired differences under common random numbers, with 95 % t intervals.

Runs are paired by seed. A metric that only one side has is listed without a difference; a difference is settled when
its interval excludes zero. Left out: multiple-comparison correction; with many metrics, some intervals exclude zero by
chance; what was to happen, which a scenario says (`launched`, `rekeys_due`, `revocations_due`, `enrolments_due`,
`groups_due`, `rounds_begun`); what other rows imply (`delivered`, `revocations_done`, `enrolments_done`, `groups_done`,
`rounds_complete`, `rounds_failed`, `rounds_without_quorum`, `queue_length`, `battery_days_without_crypto`).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import polars as pl

from analysis.replications import Key, key_of
from analysis.statistics import t_interval
from analysis.words import subject
from sim.errors import InputError
from sim.results.folder import Run

COMPARED = {  # metric -> the statistics worth a row
    'latency': ('p50', 'p95', 'p99'), 'deadline_miss_ratio': ('mean',), 'crypto_latency_share': ('mean',),
    'kem_time': ('mean',), 'aead_time': ('mean',), 'sig_time': ('mean',),
    'wire_bytes': ('mean',), 'crypto_wire_share': ('mean',), 'energy': ('mean',), 'crypto_energy_share': ('mean',),
    'radio_bytes': ('mean',), 'battery_days': ('mean',), 'round_time': ('mean',), 'distribution_time': ('mean',),
    'clients_reached_ratio': ('mean',), 'rekeys_done': ('mean',), 'rekey_time': ('mean', 'p99'),
    'exposure_time': ('mean',), 'enrolment_time': ('mean',), 'group_rekey_time': ('mean',), 'keys_expired': ('mean',),
    'utilisation': ('mean',), 'utilisation_max': ('mean',), 'expired': ('mean',), 'dropped': ('mean',),
    'rejected': ('mean',), 'lost': ('mean',), 'unfinished': ('mean',),
    'measured_round_trip': ('p50', 'p95', 'p99'), 'measured_waiting': ('p50', 'p95'),
    'measured_service': ('p50', 'p95'), 'measured_broker_and_wire': ('p50', 'p95'), 'measured_stage': ('p50', 'p95'),
}

SCHEMA = {'metric': pl.String, 'statistic': pl.String, 'of': pl.String, 'unit': pl.String, 'n': pl.Int64,
          'n_pairs': pl.Int64, 'base': pl.Float64, 'other': pl.Float64, 'difference': pl.Float64,
          'ci95_low': pl.Float64, 'ci95_high': pl.Float64, 'is_settled': pl.Boolean}
StatisticKey = tuple[Key, str]


class Found(NamedTuple):
    """One statistic of a run, and the observations that it is of."""

    value: float
    n: int


def compare(base: Sequence[Run], other: Sequence[Run]) -> pl.DataFrame:
    """Return the paired differences other - base.

    Returns
    -------
    DataFrame
        Columns metric, statistic, of (flow, class or station), unit, n (observations of the run that has the fewest),
        n_pairs, base, other, difference, ci95_low, ci95_high (None for one pair), is_settled. A metric that one side
        lacks in every pair of runs has no pairs, None for that side and no difference.

    Raises
    ------
    InputError
        If no seed is on both sides, or a run is not valid.
    """
    base_by_seed = {run.manifest['seed']: run for run in base}
    other_by_seed = {run.manifest['seed']: run for run in other}
    for side, by_seed in ((base, base_by_seed), (other, other_by_seed)):
        if len(by_seed) < len(side):
            raise InputError(f"'{side[0].folder.parent}' holds several runs of one seed; name one run's folder")
    seeds = common_seeds(base_by_seed, other_by_seed)
    for seed in seeds:
        base_by_seed[seed].check_valid()
        other_by_seed[seed].check_valid()
    left = [_statistics(base_by_seed[seed]) for seed in seeds]
    right = [_statistics(other_by_seed[seed]) for seed in seeds]
    keys = dict.fromkeys(key for side in (*left, *right) for key in side)
    return pl.DataFrame([_compared(key, [side.get(key) for side in left], [side.get(key) for side in right])
                         for key in keys], schema=SCHEMA)


def _compared(key: StatisticKey, left: Sequence[Found | None], right: Sequence[Found | None]) -> dict[str, Any]:
    """Return the row of one statistic, of which each side has one value a seed, or None."""
    key_, statistic = key
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    sides = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if not pairs:
        sides = [a for a in left if a is not None], [b for b in right if b is not None]
    interval = t_interval([b.value - a.value for a, b in pairs]) if pairs else None
    base, other = (t_interval([found.value for found in side]).mean if side else None for side in sides)
    metric, flow, class_, station, unit = key_
    return {
        'metric': metric, 'statistic': statistic, 'unit': unit,
        'of': subject({'flow': flow, 'class': class_, 'station': station}),
        'n': min(found.n for side in sides for found in side), 'n_pairs': len(pairs), 'base': base, 'other': other,
        'difference': interval and interval.mean, 'ci95_low': interval and interval.low,
        'ci95_high': interval and interval.high, 'is_settled': interval is not None and interval.excludes_zero,
    }


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


def _statistics(run: Run) -> dict[StatisticKey, Found]:
    return {
        (key_of(row), statistic): Found(row[statistic], row['n'] or 0)
        for row in run.summary for statistic in COMPARED.get(row['metric'], ())
        if row[statistic] is not None and math.isfinite(row[statistic])
    }
