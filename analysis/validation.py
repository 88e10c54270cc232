"""How far off a model is: runs on a testbed beside runs of its model with the same seeds.

The unit of every interval is the run, never the job. What is compared of a run is a percentile of its jobs, or of the
work of its workers; measured and predicted are paired by seed, since both worlds draw the same arrivals. The noise
floor is how far two runs on the testbed with the same seed lie apart: no model can be told to be better than that.

Ordered pairs are of configurations whose measured intervals do not overlap; which of two others is faster, nobody has
measured.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import kendalltau

from analysis.statistics import Interval, t_interval
from sim.errors import InputError
from sim.results.folder import Run, find_runs

FLOWS = ('vitals', 'fl-update')
RANKED = (('latency', 'vitals', 'p50'), ('latency', 'fl-update', 'p50'), ('distribution', 'rounds', 'p50'))
N_FOR_P99 = 2_000
ALLOWED = {'p50': (0.05, 0.5e-3), 'p95': (0.10, 1e-3), 'p99': (0.10, 1e-3)}  # a share of what was measured, and s
STAGE_ALLOWED = (0.10, 0.0)
WRITTEN = {'configurations', 'mistakes', 'is_padded', 'deliver_s'}  # by `hil.validation.trials`
Key = tuple[str, str, str]  # what, of what, statistic


@dataclass(frozen=True)
class Error:
    """Predicted less measured, of one statistic in one configuration; s.

    Attributes
    ----------
    measured, predicted
        Means over the runs.
    difference
        With its 95 % interval over the runs, paired by seed.
    floor
        What two runs on the testbed differ by.
    allowed
        What the difference may be; None where no bound is set.
    """

    configuration: str
    what: str
    of: str
    statistic: str
    measured: float
    predicted: float
    difference: Interval
    floor: float
    allowed: float | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is the error of."""
        return self.configuration, self.what, self.of, self.statistic

    @property
    def is_within(self) -> bool | None:
        """Whether the model is as close as it is to be."""
        return None if self.allowed is None else abs(self.difference.mean) <= self.allowed


@dataclass(frozen=True)
class Effect:
    """What distributing the cryptography changes: distributed less sequential, s."""

    configuration: str
    base: str
    what: str
    of: str
    statistic: str
    measured: Interval
    predicted: Interval


@dataclass(frozen=True)
class Ranking:
    """Whether a model orders configurations as the testbed does, by one statistic."""

    what: str
    of: str
    statistic: str
    n_pairs: int  # whose measured intervals separate
    n_right: int
    tau: float | None  # Kendall's, over all configurations


@dataclass(frozen=True)
class Catch:
    """What a model that was made wrong on purpose is off by, where it shows most.

    Attributes
    ----------
    wrong, right
        The error of that model, and of the right one in the same statistic.
    n_beyond, n_beyond_right
        In how many statistics either is off by more than is allowed, with an interval that excludes zero.
    """

    title: str
    wrong: Error
    right: Error
    n_beyond: int
    n_beyond_right: int


@dataclass(frozen=True)
class Validation:
    """Everything that was found."""

    trials: Mapping[str, Any]
    errors: Sequence[Error]
    effects: Sequence[Effect]
    rankings: Sequence[Ranking]
    catches: Sequence[Catch]
    n_valid: Mapping[str, int]  # runs on the testbed, by configuration
    n_invalid: Mapping[str, int]
    latencies: Mapping[tuple[str, str, str], pl.Series]  # (configuration, flow, world) -> s, of all runs
    facts: Mapping[str, Any]  # of the testbed, from a manifest
    date: str  # of that run
    others: float  # share of the processors' time that other processes took, in the run or probe where it was most


def validate(folder: Path) -> Validation:
    """Compare what `iomtwin validate` has left in a folder.

    Raises
    ------
    InputError
        If it is none, or no configuration has a valid run in both worlds.
    """
    trials = _trials(folder)
    names = [each['name'] for each in trials['configurations']]
    measured = {name: _by_seed(find_runs(folder / 'hil' / name)) for name in names}
    predicted = {name: _by_seed(find_runs(folder / 'simulated' / name)) for name in names}
    usable = [name for name in names if measured[name].valid and predicted[name].valid]
    if not usable:
        raise InputError(f"'{folder}': found no configuration with a valid run on the testbed; see invalid_because in "
                         'the manifests; give the testbed a machine of its own')
    floors = _floors([measured[name] for name in usable])
    values = {name: (_statistics(measured[name].valid), _statistics(predicted[name].valid)) for name in usable}
    errors = [error for name in usable for error in _errors(name, *values[name], floors)]
    effects = [effect for each in trials['configurations'] for effect in _effects(each, values)]
    rankings = [_ranking(key, values) for key in RANKED]
    catches: list[Catch] = []
    for mistake in trials['mistakes']:
        runs = {name: _by_seed(find_runs(folder / 'mistaken' / mistake['name'] / name)) for name in usable}
        wrong = [error for name in usable
                 for error in _errors(name, values[name][0], _statistics(runs[name].valid), floors)]
        catches += _catches(mistake['title'], wrong, errors)
    latencies = {(name, flow, world): pl.concat([_latencies(run, flow) for run in found[name].valid.values()])
                 for name in usable for flow in FLOWS
                 for world, found in (('measured', measured), ('predicted', predicted))}
    manifest = next(iter(measured[usable[0]].valid.values())).manifest
    return Validation(trials, errors, effects, rankings, catches, {name: len(measured[name].valid) for name in names},
                      {name: measured[name].n_invalid for name in names}, latencies, manifest['hardware'],
                      manifest['written_at'][:10], _others(folder, measured.values()))


def _trials(folder: Path) -> dict[str, Any]:
    """Return what was tried, and on what testbed."""
    found: dict[str, Any] = {}
    with suppress(OSError, ValueError, TypeError):  # no such file, no JSON, or JSON of another kind
        for name in ('trials.json', 'testbed.json'):
            found.update(json.loads((folder / name).read_text('utf-8')))
    if not found.keys() >= WRITTEN:
        raise InputError(f"'{folder}': found no trials.json with its testbed.json; expected the folder of an `iomtwin "
                         'validate` that was not interrupted')
    return found


def _others(folder: Path, measured: Iterable['_Runs']) -> float:
    """Return the greatest share of the processors' time that went to other processes during a run or a probe."""
    facts = [run.manifest['hardware'] for runs in measured for run in runs.valid.values()]
    facts += [json.loads(path.read_text('utf-8'))['facts'] for path in (folder / 'probes').rglob('probe.json')]
    return max(float(each.get('others', 0.0)) for each in facts)


@dataclass(frozen=True)
class _Runs:
    """The runs of a configuration in one world: the first valid one of each seed, and the others."""

    valid: Mapping[int, Run]
    others: Mapping[int, Sequence[Run]]
    n_invalid: int


def _by_seed(runs: Iterable[Run]) -> _Runs:
    valid: dict[int, Run] = {}
    others: dict[int, list[Run]] = {}
    n_invalid = 0
    for run in runs:
        seed = run.manifest['seed']
        if not run.manifest['is_valid']:
            n_invalid += 1
        elif seed in valid:
            others.setdefault(seed, []).append(run)
        else:
            valid[seed] = run
    return _Runs(valid, others, n_invalid)


# -- what is compared of a run ----------------------------------------------------------------------------------


def _statistics(runs: Mapping[int, Run]) -> dict[Key, dict[int, float]]:
    """Return each statistic by seed."""
    found: dict[Key, dict[int, float]] = {}
    for seed, run in runs.items():
        for key, value in _of_run(run).items():
            found.setdefault(key, {})[seed] = value
    return found


def _of_run(run: Run) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for flow in FLOWS:
        seconds = _latencies(run, flow)
        for q, statistic in ((0.5, 'p50'), (0.95, 'p95'), (0.99, 'p99')):
            if len(seconds) and (statistic != 'p99' or len(seconds) >= N_FOR_P99):
                found['latency', flow, statistic] = float(np.quantile(seconds, q))
    for (flow, leg), seconds in _legs(run):
        found['stage', f'{flow} {leg}', 'p50'] = float(np.median(seconds))
    rounds = run.table('rounds').filter(pl.col('distribution_time_s').is_finite())['distribution_time_s']
    if len(rounds):
        found['distribution', 'rounds', 'p50'] = float(np.median(rounds))
    return found


def _latencies(run: Run, flow: str) -> pl.Series:
    jobs = run.table('jobs')
    return jobs.filter(pl.col('is_counted'), pl.col('flow') == flow, pl.col('outcome') == 'delivered')['latency_s']


def _legs(run: Run) -> Iterable[tuple[tuple[str, str], pl.Series]]:
    """Yield what the crypto place's work on a message took, by flow and by whether it opens or seals."""
    if run.manifest['world'] == 'hil':
        rows = run.table('chains').filter(
            'is_counted', pl.col('flow').is_in(FLOWS), pl.col('outcome').is_in(['delivered', 'expired'])).select(
            'flow', leg=pl.when(pl.col('first_stage') == 'aead.open').then(pl.lit('open')).otherwise(pl.lit('seal')),
            service_s='service_s')
    else:
        counted = run.table('jobs').filter('is_counted').select('job', 'flow')
        rows = run.table('stages').filter(pl.col('place') == 'crypto').join(counted, on='job').with_columns(
            leg=pl.when(pl.col('stage').is_in(['aead.open', 'sig.verify'])).then(pl.lit('open')).otherwise(
                pl.lit('seal'))).group_by('job', 'flow', 'leg').agg(pl.col('service_s').sum())
    for (flow, leg), each in sorted(rows.group_by('flow', 'leg')):
        yield (str(flow), str(leg)), each['service_s']


# -- errors, effects, ranking -----------------------------------------------------------------------------------


def _floors(runs: Sequence[_Runs]) -> dict[Key, float]:
    """Return by how much of its value each statistic differs between two runs on the testbed with one seed.

    The root mean square over configurations of |a - b| / mean(a, b); nothing for what no seed was run twice.
    """
    found: dict[Key, list[float]] = {}
    for each in runs:
        for seed, others in each.others.items():
            first = _of_run(each.valid[seed])
            for other in others:
                second = _of_run(other)
                for key in first.keys() & second.keys():
                    found.setdefault(key, []).append(2 * abs(first[key] - second[key]) / (first[key] + second[key]))
    return {key: float(np.sqrt(np.mean(np.square(values)))) for key, values in found.items()}


def _errors(configuration: str, measured: Mapping[Key, Mapping[int, float]],
            predicted: Mapping[Key, Mapping[int, float]], floors: Mapping[Key, float]) -> Iterable[Error]:
    for key in sorted(measured.keys() & predicted.keys()):
        seeds = sorted(measured[key].keys() & predicted[key].keys())
        if not seeds:
            continue
        truth = t_interval([measured[key][seed] for seed in seeds]).mean
        what, _, statistic = key
        floor = floors.get(key, 0.0) * truth
        share, least = STAGE_ALLOWED if what == 'stage' else ALLOWED[statistic]
        yield Error(configuration, *key, truth, t_interval([predicted[key][seed] for seed in seeds]).mean,
                    t_interval([predicted[key][seed] - measured[key][seed] for seed in seeds]), floor,
                    None if what == 'distribution' else max(share * truth, least, floor))


def _catches(title: str, wrong: Sequence[Error], right: Sequence[Error]) -> list[Catch]:
    """Return where a wrong model shows most: where it is off by most of what was measured, and the right one is not.

    An interval that excludes zero goes before all others; where there is none, the mistake is shown as not caught.
    """
    of_right = {each.key: each for each in right}
    both = [each for each in wrong if each.key in of_right]
    if not both:
        return []
    shown = max(both, key=lambda each: (each.difference.excludes_zero, _share(each) - _share(of_right[each.key])))
    return [Catch(title, shown, of_right[shown.key], _n_beyond(wrong), _n_beyond(right))]


def _share(error: Error) -> float:
    """Return an error as a share of what was measured."""
    return abs(error.difference.mean) / error.measured


def _n_beyond(errors: Iterable[Error]) -> int:
    return sum(each.is_within is False and each.difference.excludes_zero for each in errors)


def _effects(configuration: Mapping[str, Any],
             values: Mapping[str, tuple[Mapping[Key, Mapping[int, float]], ...]]) -> Iterable[Effect]:
    name, base = configuration['name'], configuration['distributes']
    if base is None or name not in values or base not in values:
        return
    for key in RANKED:
        seeds = sorted(set.intersection(*(set(world.get(key, {})) for side in (name, base) for world in values[side])))
        if seeds:
            measured, predicted = (
                t_interval([values[name][world][key][seed] - values[base][world][key][seed] for seed in seeds])
                for world in (0, 1))
            yield Effect(name, base, *key, measured, predicted)


def _ranking(key: Key, values: Mapping[str, tuple[Mapping[Key, Mapping[int, float]], ...]]) -> Ranking:
    found = {name: (t_interval([*measured[key].values()]), t_interval([*predicted[key].values()]).mean)
             for name, (measured, predicted) in values.items() if key in measured and key in predicted}
    n_pairs = n_right = 0
    for (one, guess), (other, other_guess) in combinations(found.values(), 2):
        if None in (one.low, other.low) or not (one.high < other.low or other.high < one.low):  # type: ignore[operator]
            continue
        n_pairs += 1
        n_right += (one.mean < other.mean) == (guess < other_guess)
    tau = float(kendalltau([each.mean for each, _ in found.values()], [guess for _, guess in found.values()]).statistic
                ) if len(found) > 2 else None
    return Ranking(*key, n_pairs, n_right, tau)
