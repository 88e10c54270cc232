"""The histogram that every percentile comes from keeps its promises on error, order and emptiness."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.results.histogram import N_BINS, RATIO, SMALLEST, bin_of, quantile

ERROR_MAX = RATIO - 1 + 1e-9  # a bin, and rounding
LARGEST = 1e12
values = st.floats(2 * SMALLEST, LARGEST)


def bins_of(observations: list[float]) -> np.ndarray:
    """Return the histogram of observations."""
    bins = np.zeros(N_BINS, np.int64)
    for observation in observations:
        bins[bin_of(observation)] += 1
    return bins


def test_the_stated_error_is_within_what_the_documents_promise() -> None:
    """A bin is at most 0.5 %."""
    assert ERROR_MAX < 0.005


@given(values)
def test_a_single_value_comes_back_within_the_relative_error(value: float) -> None:
    """Every quantile of one observation from 2 ns to 1e12."""
    for q in (0.01, 0.5, 0.99, 1.0):
        found = quantile(bins_of([value]), q)
        assert found is not None
        assert abs(found - value) <= ERROR_MAX * value


@given(st.lists(values, min_size=1, max_size=60), st.floats(0.001, 1.0))
def test_a_quantile_is_the_smallest_value_with_its_share_at_or_below(observations: list[float], q: float) -> None:
    """The q-quantile against the ceil(q n)-th smallest observation, within the relative error."""
    found = quantile(bins_of(observations), q)
    exact = sorted(observations)[math.ceil(q * len(observations)) - 1]
    assert found is not None
    assert abs(found - exact) <= ERROR_MAX * exact


@given(st.lists(values, min_size=1, max_size=60), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_quantiles_do_not_fall(observations: list[float], one: float, other: float) -> None:
    """A larger share never has a smaller quantile."""
    low, high = (quantile(bins_of(observations), q) for q in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high


@given(values, values)
def test_bins_keep_the_order_of_values(one: float, other: float) -> None:
    """A larger value is never in an earlier bin."""
    assert bin_of(min(one, other)) <= bin_of(max(one, other))


@pytest.mark.parametrize(('value', 'expected'), [(0.0, 0), (SMALLEST, 0), (10 * LARGEST, N_BINS - 1)])
def test_values_outside_fall_in_the_first_and_the_last_bin(value: float, expected: int) -> None:
    """Nothing, the smallest, and too much."""
    assert bin_of(value) == expected


def test_runs_that_differ_a_little_have_other_quantiles() -> None:
    """A thousand values within one bin and a few below it: one more below moves the median by a thousandth of a bin."""
    inside = [1.0 * RATIO ** 0.5] * 1_000
    medians = [quantile(bins_of([*inside, *[0.5] * n]), 0.5) for n in (100, 102)]
    assert None not in medians
    assert 0.0 < medians[0] - medians[1] < 2e-5  # type: ignore[operator]


def test_an_empty_histogram_has_no_quantile() -> None:
    """None, not zero."""
    assert quantile(np.zeros(N_BINS, np.int64), 0.5) is None
