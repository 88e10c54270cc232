"""Compares scenarios metric by metric: paired differences under common random numbers, with 95 % t intervals.

Runs are paired by seed, several measurements of one seed as `compare` says. A metric that only one side has is listed
without a difference; a difference is settled when its interval excludes zero. Left out: multiple-comparison correction;
with many metrics, some intervals exclude zero by chance; what was to happen, which a scenario says (`launched`,
`rekeys_due`, `revocations_due`, `enrolments_due`, `groups_due`, `rounds_begun`); what other rows imply (`delivered`,
`revocations_done`, `enrolments_done`, `groups_done`, `rounds_complete`, `rounds_failed`, `rounds_without_quorum`,
`queue_length`, `battery_days_without_crypto`).
"""

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import polars as pl

from analysis.replications import Key, key_of
from analysis.statistics import Interval, t_interval, welch_interval
from analysis.words import subject, world_said
from sim.errors import InputError
from sim.results.folder import Run

# Statistics that are known to a share of a bin. Where all runs differ by the same, to the last bit, there is no spread
# that an interval could be of: too few observations lie there for the place in the bin to differ.
BINNED = ('p50', 'p95', 'p99')
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
          'n_pairs': pl.Int64, 'is_paired': pl.Boolean, 'base': pl.Float64, 'other': pl.Float64,
          'difference': pl.Float64, 'ci95_low': pl.Float64, 'ci95_high': pl.Float64, 'is_settled': pl.Boolean}
SIMULATED_ONLY = ('kem_time', 'aead_time', 'sig_time', 'wire_bytes', 'crypto_wire_share')  # on hardware, of the rest
StatisticKey = tuple[Key, str]


class Found(NamedTuple):
    """One statistic of a run, and the observations that it is of."""

    value: float
    n: int


def compare(base: Sequence[Run], other: Sequence[Run]) -> pl.DataFrame:
    """Return the differences other - base: paired by seed, unless both sides have several runs of one seed.

    Only measurements can have several runs of one seed. Against a simulation, each of them is paired with the simulated
    run of its seed; against other measurements, the two sides are independent samples, with Welch's interval.

    Returns
    -------
    DataFrame
        Columns metric, statistic, of (flow, class or station), unit, n (observations of the run that has the fewest),
        n_pairs (of independent samples, the runs of the smaller one), is_paired, base, other, difference, ci95_low,
        ci95_high (None for one pair), is_settled. A metric that one side lacks in every pair of runs has no pairs, None
        for that side and no difference.

    Raises
    ------
    InputError
        If no seed is on both sides, a run is not valid, or the runs cannot be compared: several simulations of one
        seed, several worlds on one side, whole jobs with those of a testbed alone.
    """
    check_comparable(base, other)
    seeds = common_seeds(*([run.manifest['seed'] for run in side] for side in (base, other)))
    left, right = ({seed: [_statistics(run) for run in side if run.manifest['seed'] == seed] for seed in seeds}
                   for side in (base, other))
    is_paired = all(len(left[seed]) == 1 or len(right[seed]) == 1 for seed in seeds)
    if is_paired:
        pairs = [pair for seed in seeds for pair in product(left[seed], right[seed])]
        sides = [a for a, _ in pairs], [b for _, b in pairs]
    else:
        sides = [found for seed in seeds for found in left[seed]], [found for seed in seeds for found in right[seed]]
    keys = dict.fromkeys(key for side in sides for found in side for key in found)
    if base[0].is_measured != other[0].is_measured:
        keys = {key: None for key in keys if key[0][0] not in SIMULATED_ONLY}
    return pl.DataFrame([_compared(key, *([found.get(key) for found in side] for side in sides), is_paired=is_paired)
                         for key in keys], schema=SCHEMA)


def check_comparable(base: Sequence[Run], other: Sequence[Run]) -> None:
    """Return if two sides may be compared.

    Raises
    ------
    InputError
        As `compare` says.
    """
    for side in (base, other):
        seeds = {run.manifest['seed'] for run in side}
        if len(seeds) < len(side) and not all(run.is_measured for run in side):
            raise InputError(f"'{side[0].folder.parent}' holds several runs of one seed; name one run's folder")
        worlds = sorted({world_said(run.manifest) for run in side})
        if len(worlds) > 1:
            raise InputError(f"'{side[0].folder.parent}' holds runs of several worlds ({'; '.join(worlds)}); name one "
                             "run's folder")
    alone = {bool(run.is_measured and run.manifest['hardware']['model'] == 'none'): run for run in (*base, *other)}
    if len(alone) > 1:
        raise InputError(f"'{alone[True].folder}' is of a testbed alone, and '{alone[False].folder}' of whole jobs; "
                         'make both with --only-bound, or none')
    common = common_seeds(*([run.manifest['seed'] for run in side] for side in (base, other)))
    for run in (*base, *other):
        if run.manifest['seed'] in common:
            run.check_valid()


def _compared(key: StatisticKey, left: Sequence[Found | None], right: Sequence[Found | None], *,
              is_paired: bool) -> dict[str, Any]:
    """Return the row of one statistic, of which each side has one value a run, or None."""
    key_, statistic = key
    if is_paired:
        both = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
        left, right = ([pair[i] for pair in both] for i in (0, 1)) if both else (left, right)
    sides = [a for a in left if a is not None], [b for b in right if b is not None]
    values = [[found.value for found in side] for side in sides]
    if not all(values):
        interval = None
    elif is_paired:
        interval = None if not both else t_interval([b - a for a, b in zip(*values, strict=True)])
    else:
        interval = welch_interval(*values)
    if interval is not None and interval.low == interval.high != 0.0 and statistic in BINNED:
        interval = Interval(interval.n, interval.mean, None, None)
    base, other = (t_interval(side).mean if side else None for side in values)
    metric, flow, class_, station, unit = key_
    return {
        'metric': metric, 'statistic': statistic, 'unit': unit,
        'of': subject({'flow': flow, 'class': class_, 'station': station}),
        'n': min(found.n for side in sides for found in side), 'n_pairs': interval.n if interval else 0,
        'is_paired': is_paired, 'base': base, 'other': other,
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
