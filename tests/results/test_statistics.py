"""Intervals over replications and paired differences are those of SciPy, and pair what belongs together."""

import json
import shutil
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import compare as comparison
from analysis.compare import COMPARED, compare
from analysis.replication_report import write_replications
from analysis.replications import BOUNDS, intervals, key_of, set_name, summarise, table, write
from analysis.statistics import t_interval
from sim.errors import InputError
from sim.replicating import simulate_all
from sim.results.folder import Run, find_runs, read_run
from sim.results.summary import row as summary_row
from tests.results.runs import QUIET, make, plan


def written(folder: Path, seed: int, rows: Sequence[dict[str, Any]]) -> Run:
    """Write a run folder by hand, with a seed and a summary."""
    target = folder / f'seed-{seed}'
    target.mkdir(parents=True)
    (target / 'manifest.json').write_text(json.dumps({'seed': seed}), 'utf-8')
    (target / 'summary.json').write_text(json.dumps(rows), 'utf-8')
    return read_run(target)


def energies(folder: Path, by_seed: dict[int, float | None], name: str = 'pump') -> list[Run]:
    """Write runs by hand that have one metric each."""
    return [written(folder, seed, [summary_row('energy', 'J', class_=name, n=4, mean=mean)])
            for seed, mean in by_seed.items()]


def only(differences: pl.DataFrame) -> dict[str, Any]:
    """Return the one row of a comparison."""
    assert differences.height == 1
    return differences.row(0, named=True)


# -- what is compared ---------------------------------------------------------------------------------------------


LIVES = ('keys={rotation: {every: 5 s}, overlap: 1 s, revocations: [{devices: pump, at: 6 s}]}',
         *(f'devices.{name}.trust=pre-shared' for name in ('monitor', 'pump')))


def test_every_metric_is_compared_or_said_to_be_left_out(tmp_path: Path) -> None:
    """Of a run with learning, keys that rotate and a revocation: no metric is absent without a word."""
    metrics = {row['metric'] for row in make(tmp_path, QUIET, LIVES).summary}
    assert {'rekey_time', 'exposure_time', 'rejected', 'aead_time', 'rounds_begun'} <= metrics
    silent = metrics - COMPARED.keys()
    assert silent
    assert all(f'`{metric}`' in str(comparison.__doc__) for metric in silent), silent


def test_policies_of_rotation_are_compared_on_keys(tmp_path: Path) -> None:
    """New keys every five seconds against every two: more of them, by as many as the tables of keys have more rows."""
    often = [LIVES[0].replace('every: 5 s', 'every: 2 s'), *LIVES[1:]]
    base, other = make(tmp_path, QUIET, LIVES), make(tmp_path, QUIET, often)
    found = compare([base], [other]).filter(metric='rekeys_done').row(0, named=True)
    n_base, n_other = (run.table('keys').filter((pl.col('event') == 'rekey') & pl.col('ended_s').is_finite()).height
                       for run in (base, other))
    assert (found['base'], found['other'], found['difference']) == (n_base, n_other, n_other - n_base)
    assert n_other > n_base
    assert {'rekey_time', 'exposure_time'} <= set(compare([base], [other])['metric'])


# -- intervals ----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_the_interval_of_a_mean_is_that_of_scipy(values: list[float]) -> None:
    """Mean and 95 % t interval of any two or more values."""
    found, n = t_interval(values), len(values)
    half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    size = 1e-9 * max(map(abs, values)) + 1e-12
    assert found.mean == pytest.approx(float(np.mean(values)), abs=size)
    assert found.low is not None
    assert found.high is not None
    assert [found.low, found.high] == pytest.approx([np.mean(values) - half, np.mean(values) + half], abs=size)


def test_an_interval_covers_the_truth_in_95_of_100_experiments() -> None:
    """4,000 experiments of five normal values: a binomial test at 0.1 % does not refuse a share covered of 0.95."""
    draws = np.random.default_rng(20260614).normal(3.0, 2.0, (4_000, 5))
    covered = sum(low <= 3.0 <= high for interval in map(t_interval, draws.tolist())
                  if (low := interval.low) is not None and (high := interval.high) is not None)
    assert stats.binomtest(covered, 4_000, 0.95).pvalue > 0.001


def test_a_single_value_has_a_mean_and_no_interval() -> None:
    """One replication: bounds are None and no sign is settled."""
    found = t_interval([7.0])
    assert (found.n, found.mean, found.low, found.high, found.excludes_zero) == (1, 7.0, None, None, False)


@pytest.mark.parametrize(('values', 'expected'), [([1.0, 1.0], True), ([-2.0, -2.1, -1.9], True), ([-1.0, 1.0], False),
                                                  ([0.0, 0.0], False)])
def test_a_sign_is_settled_when_zero_lies_outside(values: list[float], expected: bool) -> None:
    """Two equal values, three that nearly agree, two of unlike sign, and nothing at all."""
    assert t_interval(values).excludes_zero is expected


# -- replications -------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def replications(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three seeds of a ward for a few seconds, made by two processes."""
    plans = [plan(overrides=BRIEF, seed=seed) for seed in (5, 6, 7)]
    return simulate_all(plans, tmp_path_factory.mktemp('apart'), n_processes=2, trace='jobs')


BRIEF = ('duration=8 s', 'warm_up=1 s', 'learning.start=2 s', 'learning.pause=1 s', 'learning.rounds=1')


def test_replications_are_single_runs_with_the_seeds_that_follow(replications: list[Run], tmp_path: Path) -> None:
    """Three replications on two processes against three runs one by one: every table and summary equal, in order."""
    assert [run.manifest['seed'] for run in replications] == [5, 6, 7]
    for run in replications:
        alone = make(tmp_path, overrides=BRIEF, seed=run.manifest['seed'])
        assert alone.folder.name == run.folder.name
        assert alone.folder.parent.name == run.folder.parent.name
        for name in ('jobs', 'rounds', 'devices', 'stations', 'summary'):
            path = f'{name}.json' if name == 'summary' else f'{name}.parquet'
            assert (alone.folder / path).read_bytes() == (run.folder / path).read_bytes()


def test_the_number_of_processes_changes_nothing(replications: list[Run], tmp_path: Path) -> None:
    """One process and two: replications.parquet and the summary with intervals have the same bytes."""
    plans = [plan(overrides=BRIEF, seed=seed) for seed in (5, 6, 7)]
    in_order = simulate_all(plans, tmp_path / 'runs', n_processes=1, trace='none')
    for runs, folder in ((replications, tmp_path / 'apart'), (in_order, tmp_path / 'in-order')):
        folder.mkdir()
        write(runs, folder)
    for name in ('replications.parquet', 'intervals.parquet', 'summary.json'):
        assert (tmp_path / 'apart' / name).read_bytes() == (tmp_path / 'in-order' / name).read_bytes()


def test_the_summary_of_replications_has_means_over_runs_and_their_intervals(replications: list[Run]) -> None:
    """Every metric of three runs: mean and percentiles are averages, each with SciPy's interval; n counts observations.

    A row has the keys of one run's, `n_runs` and the bounds; numbers that do not vary have an interval without width.
    """
    by_key = [{key_of(r): r for r in run.summary} for run in replications]
    merged = summarise(replications)
    assert {key_of(r) for r in merged} == set().union(*by_key)
    n_with_interval = dict.fromkeys(BOUNDS, 0)
    for found in merged:
        rows = [of_run[key_of(found)] for of_run in by_key if key_of(found) in of_run]
        assert found.keys() == {*rows[0], 'n_runs', *(key for bounds in BOUNDS.values() for key in bounds)}
        assert found['n'] == sum(r['n'] for r in rows)
        assert found['n_runs'] == sum(r['mean'] is not None for r in rows)
        for statistic, (low, high) in BOUNDS.items():
            values = [r[statistic] for r in rows if r[statistic] is not None]
            assert found[statistic] == (pytest.approx(np.mean(values), rel=1e-12) if values else None)
            assert (found[low] is None) == (found[high] is None) == (len(values) < 2)
            if len(values) > 1 and np.ptp(values) > 1e-9 * abs(np.mean(values)):
                expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
                assert [found[low], found[high]] == pytest.approx(expected, rel=1e-9)
                n_with_interval[statistic] += 1
    assert n_with_interval['mean'] > 20
    assert min(n_with_interval.values()) > 0


def test_the_table_of_intervals_says_what_the_summary_says(replications: list[Run]) -> None:
    """One row a metric and statistic that is known, with the numbers of the summary; n counts jobs, n_runs runs."""
    found = intervals(replications)
    expected = [(*key_of(row), statistic, row['n'], row['n_runs'], row[statistic], row[low], row[high])
                for row in summarise(replications) for statistic, (low, high) in BOUNDS.items()
                if row[statistic] is not None]
    assert found.rows() == expected
    p99, = found.filter(metric='latency', flow='vitals', statistic='p99').to_dicts()
    assert p99['ci95_low'] < p99['mean'] < p99['ci95_high']
    assert p99['n_runs'] == 3
    assert p99['n'] == sum(run.table('jobs').filter(flow='vitals', is_counted=True).height for run in replications)


def test_the_table_of_replications_has_every_metric_of_every_run(replications: list[Run]) -> None:
    """Rows and seeds of replications.parquet, and one metric against the runs."""
    found = table(replications)
    assert found.height == sum(len(run.summary) for run in replications)
    of_vitals = found.filter((pl.col('metric') == 'latency') & (pl.col('flow') == 'vitals'))
    rows = [row for run in replications for row in run.summary]
    assert of_vitals['seed'].to_list() == [5, 6, 7]
    assert of_vitals['p99'].to_list() == [
        row['p99'] for row in rows if (row['metric'], row['flow']) == ('latency', 'vitals')]


def test_a_metric_that_a_run_lacks_is_averaged_over_the_others(tmp_path: Path) -> None:
    """Means 1, None and 3: the mean is 2, of two runs."""
    merged, = summarise(energies(tmp_path, {1: 1.0, 2: None, 3: 3.0}))
    assert (merged['n_runs'], merged['mean']) == (2, 2.0)
    nothing, = summarise(energies(tmp_path / 'nothing', {1: None, 2: None}))
    assert (nothing['n_runs'], nothing['mean'], nothing['ci95_low']) == (0, None, None)


# -- comparison ---------------------------------------------------------------------------------------------------


def test_a_paired_difference_is_that_of_scipy(tmp_path: Path) -> None:
    """Five pairs of numbers by hand: difference, means and interval against the paired t test of SciPy."""
    base, other = [10.0, 12.0, 9.0, 14.0, 11.0], [10.5, 12.1, 9.9, 14.2, 11.4]
    found = only(compare(energies(tmp_path / 'a', dict(enumerate(base))),
                         energies(tmp_path / 'b', dict(enumerate(other)))))
    interval = stats.ttest_rel(other, base).confidence_interval(0.95)
    assert (found['metric'], found['statistic'], found['of'], found['unit'], found['n_pairs']) == (
        'energy', 'mean', 'pump', 'J', 5)
    assert found['base'] == pytest.approx(np.mean(base), rel=1e-12)
    assert found['other'] == pytest.approx(np.mean(other), rel=1e-12)
    assert found['difference'] == pytest.approx(np.mean(other) - np.mean(base), rel=1e-9)
    assert [found['ci95_low'], found['ci95_high']] == pytest.approx([interval.low, interval.high], rel=1e-9)
    assert found['is_settled'] is bool(interval.low > 0)


def test_percentiles_that_all_differ_by_the_same_have_no_interval(tmp_path: Path) -> None:
    """Two runs a side, 3 ms and 4 ms: as a median, which is known to a bin, nothing is settled; as a mean it is."""

    def runs(side: str, metric: str, statistic: str, value: float) -> list[Run]:
        row = summary_row(metric, 's', class_='pump', n=4) | {statistic: value}
        return [written(tmp_path / metric / side, seed, [row]) for seed in (1, 2)]

    median, mean = (only(compare(runs('a', *of, 3e-3), runs('b', *of, 4e-3)))
                    for of in (('latency', 'p50'), ('energy', 'mean')))
    assert median['difference'] == mean['difference'] == pytest.approx(1e-3)
    assert (median['ci95_low'], median['ci95_high'], median['is_settled']) == (None, None, False)
    assert (mean['ci95_low'], mean['ci95_high'], mean['is_settled']) == (mean['difference'], mean['difference'], True)


def test_only_seeds_on_both_sides_are_compared_whatever_their_order(tmp_path: Path) -> None:
    """Seeds 3, 1, 2 against 2, 9, 3: the pairs of 2 and 3."""
    found = only(compare(energies(tmp_path / 'a', {3: 30.0, 1: 1e6, 2: 20.0}),
                         energies(tmp_path / 'b', {2: 21.0, 9: 1e9, 3: 33.0})))
    assert (found['n_pairs'], found['base'], found['other'], found['difference']) == (2, 25.0, 27.0, 2.0)


def test_no_common_seed_is_an_error_that_names_the_seeds(tmp_path: Path) -> None:
    """Seeds 1, 2 against 3: one line that says what to do."""
    with pytest.raises(InputError, match=r'no seed is on both sides: \[1, 2\] and \[3\]; run both with the same seeds'):
        compare(energies(tmp_path / 'a', {1: 1.0, 2: 2.0}), energies(tmp_path / 'b', {3: 3.0}))


def test_a_metric_that_the_first_seed_lacks_is_compared_in_the_others(tmp_path: Path) -> None:
    """No number for seed 1: the pairs of seeds 2 and 3 count."""
    found = only(compare(energies(tmp_path / 'a', {1: None, 2: 2.0, 3: 3.0}),
                         energies(tmp_path / 'b', {1: 1.0, 2: 4.0, 3: 5.0})))
    assert (found['n_pairs'], found['difference'], found['ci95_low']) == (2, 2.0, 2.0)


def test_metrics_of_one_side_only_are_listed_without_a_difference(tmp_path: Path) -> None:
    """Pumps here and patches there, two seeds: a row each, the mean of who has it, and nothing to compare."""
    found = compare(energies(tmp_path / 'a', {1: 1.0, 2: 3.0}), energies(tmp_path / 'b', {1: 5.0, 2: 7.0}, 'patch'))
    assert found.select('of', 'n_pairs', 'base', 'other', 'difference', 'ci95_low', 'is_settled').rows() == [
        ('pump', 0, 2.0, None, None, None, False), ('patch', 0, None, 6.0, None, None, False)]


def test_a_scenario_does_not_differ_from_itself(replications: list[Run]) -> None:
    """Every difference of three runs with themselves is exactly zero, and none is settled."""
    found = compare(replications, find_runs(replications[0].folder.parent))
    assert found.height > 30
    assert found['n_pairs'].max() == 3
    assert (found['difference'] == 0.0).all()
    assert not found['is_settled'].any()


def test_common_random_numbers_make_differences_vary_less(tmp_path: Path) -> None:
    """Ascon against no sealing, eight seeds each: the paired difference varies less than one of unlike seeds.

    Unpaired, the variance of a difference is the sum of both. The mean latency of vitals is what a crypto change moves;
    it varies with phases and losses, which both sides share. The bound is that of an F test at 0.1 %.
    """
    def latencies(aead: str) -> list[float]:
        overrides = (*BRIEF[:2], 'learning=null', f'crypto.aead={aead}')
        plans = [plan(overrides=overrides, seed=seed) for seed in range(1, 9)]
        rows = [row for run in simulate_all(plans, tmp_path, n_processes=1, trace='none') for row in run.summary]
        return [row['mean'] for row in rows if (row['metric'], row['flow']) == ('latency', 'vitals')]

    ascon, plain = np.array(latencies('Ascon-AEAD128')), np.array(latencies('none'))
    assert (ascon > plain).all()
    ratio = np.var(ascon - plain, ddof=1) / (np.var(ascon, ddof=1) + np.var(plain, ddof=1))
    assert ratio < 1 / stats.f.ppf(0.999, 7, 7)


def test_the_files_of_replications_replace_earlier_ones_whole(tmp_path: Path) -> None:
    """A summary that cannot be written leaves the earlier files as they were, and nothing hidden."""
    runs = [make(tmp_path / 'runs', QUIET, (), seed=seed) for seed in (1, 2)]
    folder = write_replications(runs, tmp_path)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.name for path in before} == {
        'replications.parquet', 'intervals.parquet', 'summary.json', 'report.html'}
    runs[0].summary[0]['mean'] = float('nan')
    with pytest.raises(ValueError, match='Out of range float'):
        write_replications(runs, tmp_path)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not list(tmp_path.glob('.*'))


def test_no_two_sets_of_seeds_have_the_same_name() -> None:
    """All sets of five seeds: as many names as sets; what has no gap says its first and its last."""
    sets = [seeds for n in range(1, 6) for seeds in combinations(range(5), n)]
    assert len({set_name(seeds) for seeds in sets}) == len(sets)
    assert set_name([7, 5, 6]) == 'seeds-5-7'
    assert len(set_name(range(0, 2**62, 2**52))) < 60


def test_the_quiet_ward_can_be_replicated_too(tmp_path: Path) -> None:
    """Listed arrivals do not depend on the seed: two replications launch the same number of messages."""
    runs = simulate_all([plan(QUIET, (), seed) for seed in (1, 2)], tmp_path, n_processes=1, trace='none')
    launched = [r for r in summarise(runs) if r['metric'] == 'launched' and r['flow'] == 'vitals']
    assert [(r['mean'], r['ci95_low'], r['ci95_high']) for r in launched] == [(6.0, 6.0, 6.0)]


def test_several_runs_of_one_seed_are_not_paired_by_chance(replications: list[Run]) -> None:
    """Measurements of one seed are several runs: which of them is meant must be said."""
    with pytest.raises(InputError, match='several runs of one seed'):
        compare([*replications, replications[0]], replications)


def test_a_run_that_is_not_valid_is_never_averaged_or_compared(replications: list[Run], tmp_path: Path) -> None:
    """One of three whose manifest says so: both refuse, with its folder and the first reason."""
    copied = [Run(Path(shutil.copytree(run.folder, tmp_path / run.folder.name))) for run in replications]
    summarise(copied)
    compare(copied, replications)
    spoilt = copied[1].folder
    manifest = json.loads((spoilt / 'manifest.json').read_text('utf-8'))
    (spoilt / 'manifest.json').write_text(json.dumps(
        manifest | {'is_valid': False, 'invalid_because': ['the twin was late', 'somebody else computed']}), 'utf-8')
    copied = [Run(run.folder) for run in copied]
    for refuse in (lambda: summarise(copied), lambda: compare(copied, replications),
                   lambda: compare(replications, copied)):
        with pytest.raises(InputError, match=r'seed-6.*not valid \(the twin was late\)'):
            refuse()
