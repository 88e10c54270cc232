"""Confidence intervals computed from data, and how many of a validation's intervals have to cover.

Twenty independent intervals of confidence 99 % all cover with probability 0.82; at least 17 do with 0.99996.
So a validation runs seeds 1 to 20 and asks for 17: it fails a right engine once in 20,000 choices of seeds, and
an engine off by three standard errors nearly always. A smaller error shows in the mean over all seeds, whose
interval is four times narrower; it is asked to cover at 99.9 %, because there is one of it and not twenty.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.99
CONFIDENCE_POOLED = 0.999
SEEDS = range(1, 21)
N_COVERING = 17
N_BATCHES = 20

Array = NDArray[np.float64]
Interval = tuple[float, float]


def mean_interval(values: Array, confidence: float = CONFIDENCE) -> Interval:
    """Return Student's interval of the mean of independent values."""
    half = stats.t.ppf(0.5 + confidence / 2.0, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size)
    return values.mean() - half, values.mean() + half


def batch_means(values: Array) -> Array:
    """Return the means of `N_BATCHES` batches of consecutive values; what is left over at the end is not used."""
    size = values.size // N_BATCHES
    assert size >= 100, f'{values.size} values are too few for {N_BATCHES} batches'
    return values[:size * N_BATCHES].reshape(N_BATCHES, size).mean(axis=1)


def batched_presence(from_s: Array, to_s: Array, begin_s: float, end_s: float) -> Array:
    """Return the mean number of intervals [from_s, to_s) that hold a time, in `N_BATCHES` equal parts of the time."""
    edges = np.linspace(begin_s, end_s, N_BATCHES + 1)
    return np.array([
        np.sum(np.maximum(np.minimum(to_s, right) - np.maximum(from_s, left), 0.0)) / (right - left)
        for left, right in pairwise(edges)
    ])


def welch_interval(a: Array, b: Array) -> Interval:
    """Return Welch's interval of the difference of two means of independent values.

    References
    ----------
    .. [1] Welch, "The generalization of 'Student's' problem when several different population variances are
           involved", Biometrika 34, 1947.
    """
    va, vb = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
    freedom = (va + vb) ** 2 / (va ** 2 / (a.size - 1) + vb ** 2 / (b.size - 1))
    half = stats.t.ppf(0.5 + CONFIDENCE / 2.0, freedom) * math.sqrt(va + vb)
    return a.mean() - b.mean() - half, a.mean() - b.mean() + half


def share_interval(n_hits: int, n: int) -> Interval:
    """Return the exact interval of a probability.

    References
    ----------
    .. [1] Clopper, Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
           Biometrika 26, 1934.
    """
    found = stats.binomtest(n_hits, n).proportion_ci(CONFIDENCE, 'exact')
    return found.low, found.high


def assert_covered(exact: float, intervals: Iterable[Interval]) -> None:
    """Assert that enough of the intervals, one for each seed, hold the exact value, and that their middle does."""
    found = list(intervals)
    assert len(found) == len(SEEDS)
    n = sum(low <= exact <= high for low, high in found)
    assert n >= N_COVERING, f'{exact} is in {n} of {len(found)} intervals: {found}'
    low, high = mean_interval(np.array(found).mean(axis=1), CONFIDENCE_POOLED)
    assert low <= exact <= high, f'{exact} is not in [{low}, {high}], the interval of the mean over all seeds'
