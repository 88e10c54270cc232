import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hil.calibration.spread import N_FOR_LAW, N_QUANTILES, agree, p95, quantiles, rising, spread
from sim.laws import empirical_noise

DURATIONS = st.lists(st.floats(1e-9, 1e3), min_size=3, max_size=400).map(np.array)


def law(samples: np.ndarray, n: int = 20_000) -> np.ndarray:
    """Return evenly spread draws of the law that a profile would have, as engines make them."""
    table = np.array(quantiles(samples / np.median(samples)))
    return np.array([empirical_noise(table, 0, table.size, (i + 0.5) / n) for i in range(n)])


@given(DURATIONS)
def test_a_law_is_ascending_factors_with_median_one(durations: np.ndarray) -> None:
    """Claim: an odd number of ascending, non-negative factors, the middle one exactly 1; shown on random durations."""
    found = quantiles(durations / np.median(durations))
    assert len(found) % 2 == 1
    assert len(found) <= min(N_QUANTILES, len(durations))
    assert list(found) == sorted(found)
    assert found[0] >= 0
    assert found[len(found) // 2] == 1.0
    table = np.array(found)
    assert empirical_noise(table, 0, table.size, 0.5) == 1.0, "the engines' law has the curve for its median"


@pytest.mark.parametrize('n', [0, 1, 2])
def test_too_few_durations_have_no_law(n: int) -> None:
    """Of fewer than three durations nothing is said: the cost is then constant."""
    assert quantiles(np.ones(n)) == ()


def test_a_law_keeps_the_mean_of_a_long_tail() -> None:
    """Durations of a rejection loop, as ML-DSA signs: the law has their mean, p95 and p99, within 1 %.

    Geometric, 4.25 attempts on average; 1 % is what the straight pieces between quantiles round off.
    """
    durations = stats.geom(1 / 4.25).rvs(4_000, random_state=1) + stats.uniform.rvs(size=4_000, random_state=2) * 0.1
    drawn, ratios = law(durations), durations / np.median(durations)
    assert drawn.mean() == pytest.approx(ratios.mean(), rel=0.01)
    for level in (0.95, 0.99):
        assert np.quantile(drawn, level) == pytest.approx(np.quantile(ratios, level), rel=0.01)


def test_one_outlier_weighs_as_much_as_it_did() -> None:
    """One call of 4,000 took 10,000 times as long: the law's mean is theirs, 3.5, within 2 %; a line to it gives 50."""
    durations = np.append(np.linspace(0.99, 1.01, 3_999), 1e4)
    assert law(durations).mean() == pytest.approx(durations.mean(), rel=0.02)


@given(st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=30))
def test_medians_never_fall_and_change_no_more_than_they_must(medians: list[float]) -> None:
    """Claim: no curve falls, its sum is kept, and one that rises already stays as it is; shown on random medians."""
    found = rising(medians)
    assert found == sorted(found)
    assert sum(found) == pytest.approx(sum(medians), rel=1e-9)
    assert rising(sorted(medians)) == pytest.approx(sorted(medians), rel=1e-12)


def sample(n: int, sigma: float, median: float, seed: int) -> np.ndarray:
    """Return lognormal durations."""
    return np.asarray(stats.lognorm(sigma, scale=median).rvs(n, random_state=seed))


def test_sizes_that_agree_are_pooled() -> None:
    """Three sizes with the same law of 1 % and enough calls: all make the law together."""
    found = spread([sample(400, 0.01, median, i) for i, median in enumerate((1e-6, 1e-5, 1e-4))])
    assert (found.used, found.n) == ((0, 1, 2), 1_200)


def test_where_sizes_differ_the_largest_that_was_timed_often_counts() -> None:
    """Small messages spread by 30 %, larger ones by 1 %, the largest have few calls: the law is that of the second."""
    found = spread([sample(400, 0.3, 1e-6, 0), sample(400, 0.01, 1e-5, 1), sample(4, 0.01, 1.0, 2)])
    assert (found.used, found.n) == ((1,), 400)
    assert found.quantiles[95] == pytest.approx(np.exp(0.01 * 1.645), abs=0.003)


def test_where_no_size_was_timed_often_the_one_with_most_calls_counts() -> None:
    """Sizes with 30, 40 and 20 calls: the law is that of the 40."""
    found = spread([sample(n, 0.01, 1.0, n) for n in (30, 40, 20)])
    assert N_FOR_LAW > 40
    assert (found.used, found.n, len(found.quantiles)) == ((1,), 40, 39)


def test_distributions_agree_up_to_a_twentieth_of_the_median() -> None:
    """Uniform on 1 +- w, p5 and p95 are 1 +- 0.9 w: widths of 0.10 and 0.15 agree, of 0.10 and 0.16 do not."""
    ramp = np.linspace(-1, 1, 10_001)
    assert agree(1 + 0.10 * ramp, 1 + 0.15 * ramp)
    assert not agree(1 + 0.10 * ramp, 1 + 0.16 * ramp)


def test_the_interval_of_a_p95_covers_it() -> None:
    """Of 400 intervals of 500 exponential durations, at least as many hold the true p95 as 95 % are by chance.

    The count is above the 1st percentile of a binomial law of 95 %, and below the 99th of the 97.5 % that ranks, being
    whole numbers, may make of it.
    """
    rng = np.random.default_rng(1)
    true = -np.log(0.05)
    covers = 0
    for _ in range(400):
        _, low, high = p95(rng.exponential(size=500))
        covers += low <= true <= high
    assert stats.binom(400, 0.95).ppf(0.01) <= covers <= stats.binom(400, 0.975).ppf(0.99)


def test_few_durations_have_no_upper_bound_of_their_p95() -> None:
    """The largest of 40 durations is below the p95 with a probability of 13 %: it is no bound. Of 100 there is one."""
    assert p95(np.arange(40.0))[2] == np.inf
    assert np.isfinite(p95(np.arange(100.0))[2])
