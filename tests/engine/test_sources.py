"""Sources: periods with a drawn phase, Poisson streams, hours of the day, lists."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import sim.sources
from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import DELAY, LISTED, PERIODIC, POISSON, Model
from sim.sources import Arrivals, unwarp
from tests.engines import Engine
from tests.tables import Array, job_key, jobs
from tests.validation.intervals import CONFIDENCE

HOUR_S, DAY_S = 3_600.0, 86_400.0
BUSY_DAY = (0.25,) * 6 + (1.0, 2.0, 3.5, 3.0, 2.0, 1.5) + (1.0,) * 6 + (0.75, 0.5, 0.5, 0.25, 0.0, 0.25)


def sourced(timing: int, gap_s: float, duration_s: float, *, seed: int = 1, n_entities: int = 1, name: str = 'x',
            by_hour: tuple[float, ...] | None = None, starts_at_s: float = 0.0,
            listed: tuple[tuple[int, float], ...] = ()) -> Model:
    """Return entities whose jobs do nothing but arrive."""
    b = ModelBuilder(seed=seed)
    row, stream = b.class_('c'), b.stream(name, name)
    b.entities(row, [-1] * n_entities)
    b.route(stream, row, [Hop(DELAY, -1, amount=0.0)])
    b.source(stream, row, timing, gap_s, by_hour, listed)
    return b.build(duration_s=duration_s, starts_at_s=starts_at_s)


def launches(engine: Engine, model: Model, entity: int = 0) -> Array:
    """Return the launch times of an entity."""
    table = jobs(engine(model))
    return table['launched_s'][table['entity'] == entity]


def exposure(time_s: float, starts_at_s: float, by_hour: tuple[float, ...]) -> float:
    """Return the integral of the multipliers from the start to a time, hour by hour."""
    begin_s, end_s = starts_at_s, starts_at_s + time_s
    hours = range(int(begin_s // HOUR_S), int(end_s // HOUR_S) + 1)
    parts = [by_hour[hour % 24] * (min(end_s, (hour + 1) * HOUR_S) - max(begin_s, hour * HOUR_S)) for hour in hours]
    return math.fsum(parts)


def test_period_has_a_drawn_phase(engine: Engine) -> None:
    """Period 10 s, five entities: arrival k is at 10 (k + u), u drawn at the entity's address, to the bit."""
    model = sourced(PERIODIC, 10.0, 1_000.0, seed=7, n_entities=5)
    phases = []
    for entity in range(5):
        phase = laws.uniform(job_key(7, 'c', entity, 'x', 0), laws.PHASE, 0, 0, 0)
        assert launches(engine, model, entity).tolist() == [(phase + k) * 10.0 for k in range(100)]
        phases.append(phase)
    assert len(set(phases)) == 5


def test_phases_are_uniform_over_the_period() -> None:
    """2,000 entities: the phases pass a Kolmogorov-Smirnov test of uniformity at 1 %."""
    block = Arrivals(sourced(PERIODIC, 10.0, 10.0, n_entities=2_000), laws.name_key('run', 1)).next_block()
    assert block is not None
    assert block.size == 2_000
    assert stats.kstest(block['time_s'] / 10.0, 'uniform').pvalue > 1.0 - CONFIDENCE


def test_poisson_gaps_are_exponential() -> None:
    """Mean gap 2 s, 20,000 s: the gaps pass a Kolmogorov-Smirnov test, and the count is in the exact interval.

    The interval of a Poisson count is between the chi-square quantiles (Garwood 1936).
    """
    block = Arrivals(sourced(POISSON, 2.0, 20_000.0), laws.name_key('run', 1)).next_block()
    assert block is not None
    gaps = np.diff(block['time_s'], prepend=0.0)
    assert stats.kstest(gaps, 'expon', (0.0, 2.0)).pvalue > 1.0 - CONFIDENCE
    tail = (1.0 - CONFIDENCE) / 2.0
    low = stats.chi2.ppf(tail, 2 * gaps.size) / 2.0
    high = stats.chi2.ppf(1.0 - tail, 2 * (gaps.size + 1)) / 2.0
    assert low <= 20_000.0 / 2.0 <= high


@pytest.mark.parametrize('starts_at_s', [0.0, 7.75 * HOUR_S, DAY_S - 1.0])
def test_hourly_multipliers_keep_hourly_rates(engine: Engine, starts_at_s: float) -> None:
    """Poisson arrivals of 40 entities over two days: counts by hour of the day fit the multipliers (chi-square, 1 %).

    An hour of multiplier 0 has none at all.
    """
    model = sourced(POISSON, 1_800.0, 2 * DAY_S, n_entities=40, by_hour=BUSY_DAY, starts_at_s=starts_at_s)
    hour = (np.array(engine(model).jobs['launched_s']) + starts_at_s) % DAY_S // HOUR_S
    counts = np.bincount(hour.astype(int), minlength=24)
    expected = 2 * 40 * 2.0 * np.array(BUSY_DAY)
    assert counts[22] == 0
    open_hours = expected > 0.0
    score = np.sum((counts - expected)[open_hours] ** 2 / expected[open_hours])
    assert score < stats.chi2.ppf(CONFIDENCE, open_hours.sum())


@pytest.mark.parametrize('starts_at_s', [0.0, 7.75 * HOUR_S])
def test_periodic_arrivals_stand_at_equal_steps_of_exposure(engine: Engine, starts_at_s: float) -> None:
    """With multipliers, arrival k is where the exposure, integrated hour by hour, is period (k + phase)."""
    model = sourced(PERIODIC, 600.0, 3 * DAY_S, seed=3, by_hour=BUSY_DAY, starts_at_s=starts_at_s)
    found = launches(engine, model)
    phase = laws.uniform(job_key(3, 'c', 0, 'x', 0), laws.PHASE, 0, 0, 0)
    exact = [(phase + k) * 600.0 for k in range(found.size)]
    assert [exposure(t, starts_at_s, BUSY_DAY) for t in found] == pytest.approx(exact, rel=1e-12, abs=1e-6)
    last = exposure(3 * DAY_S, starts_at_s, BUSY_DAY)
    assert found.size == math.floor(last / 600.0 - phase) + 1


def test_a_day_is_a_day(engine: Engine) -> None:
    """A period that divides the day's exposure: every arrival has another one exactly 24 hours later."""
    per_day = round(sum(BUSY_DAY) * HOUR_S / 450.0)
    assert per_day * 450.0 == sum(BUSY_DAY) * HOUR_S
    found = launches(engine, sourced(PERIODIC, 450.0, 3 * DAY_S, by_hour=BUSY_DAY, starts_at_s=5_000.0))
    assert found.size == 3 * per_day
    assert found[per_day:] - found[:-per_day] == pytest.approx(DAY_S, rel=1e-12)


@given(x=st.floats(0.0, 1e7), starts_at_s=st.floats(0.0, DAY_S, exclude_max=True),
       by_hour=st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]), min_size=24, max_size=24))
def test_unwarp_inverts_the_exposure(x: float, starts_at_s: float, by_hour: list[float]) -> None:
    """For any day with some activity, the exposure at unwarp(x) is x."""
    assume(any(by_hour))
    time_s = unwarp(x, starts_at_s, np.array(by_hour))
    assert time_s >= -1e-9
    assert exposure(max(time_s, 0.0), starts_at_s, tuple(by_hour)) == pytest.approx(x, rel=1e-9, abs=1e-6)


def test_listed_arrivals_happen_when_listed(engine: Engine) -> None:
    """A list in any order, with a repetition: each entity launches at its own times, k in the order of time."""
    listed = ((1, 4.0), (0, 7.5), (1, 0.0), (0, 2.5), (1, 4.0), (0, 99.0))
    model = sourced(LISTED, 0.0, 50.0, n_entities=3, listed=listed)
    table = jobs(engine(model))
    rows = sorted(zip(table['entity'].tolist(), table['k'].tolist(), table['launched_s'].tolist(), strict=True))
    assert rows == [(0, 0, 2.5), (0, 1, 7.5), (1, 0, 0.0), (1, 1, 4.0), (1, 2, 4.0)]


def test_two_lists_of_one_class_do_not_mix(engine: Engine) -> None:
    """Two streams of a class with lists of their own: every stream has its times."""
    b = ModelBuilder()
    row = b.class_('c')
    b.entities(row, [-1, -1])
    lists = {'a': [(0, 1.0), (1, 2.0)], 'b': [(0, 3.0), (0, 4.0)]}
    for name, listed in lists.items():
        stream = b.stream(name, name)
        b.route(stream, row, [Hop(DELAY, -1, amount=0.0)])
        b.source(stream, row, LISTED, listed=listed)
    table = jobs(engine(b.build(duration_s=10.0)))
    found = list(zip(table['stream'].tolist(), table['entity'].tolist(), table['launched_s'].tolist(), strict=True))
    assert found == [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 0, 4.0)]


@pytest.mark.parametrize('timing', [PERIODIC, POISSON])
def test_blocks_follow_each_other_without_a_gap(timing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arrivals in one block and in blocks of about ten: the same columns to the bit, in order of time."""
    model = sourced(timing, 5.0, 300.0, n_entities=20, by_hour=(1.0, 2.0) * 12)

    def columns() -> list[Array]:
        arrivals = Arrivals(model, laws.name_key('run', 1))
        blocks = []
        while (block := arrivals.next_block()) is not None:
            blocks.append(block)
        found = [np.concatenate([block[name] for block in blocks])
                 for name in ('time_s', 'key', 'job', 'entity', 'stream', 'k')]
        return [*found, np.array([len(blocks)])]

    *whole, n_whole = columns()
    monkeypatch.setattr(sim.sources, 'BLOCK_ARRIVALS', 10)
    *parts, n_parts = columns()
    assert n_whole == 1
    assert n_parts > 50
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a, b)
    assert all(a <= b for a, b in pairwise(whole[0]))


def test_other_seed_gives_other_arrivals(engine: Engine) -> None:
    """Seeds 1 and 2 share no Poisson arrival; seed 1 twice shares all."""
    a, b, again = (set(launches(engine, sourced(POISSON, 1.0, 100.0, seed=seed)).tolist()) for seed in (1, 2, 1))
    assert not a & b
    assert a == again
