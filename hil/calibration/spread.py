"""From durations to what a profile holds: medians that do not fall with size, and quantiles of the factor on them.

A profile's law of noise is a table of equally spaced quantiles, between which a draw is interpolated. Its middle is 1:
the curve is the median. The two ends are no extremes: the largest of many durations, joined by a straight line to the
99th percentile, would stand for far more of them than there were. They are chosen so that the first and the last piece
have the mean of the durations that lie there::

    end = 2 * mean(piece) - inner quantile

so the law has, but for what interpolation rounds off inside, the mean that was measured, long tail included.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import binom

N_QUANTILES = 101  # every percent
N_FOR_LAW = 200  # durations that the law of an operation with sizes is first looked for in: a p95 between p91 and p98
AGREEMENT = 0.05  # of a median: how far two distributions may lie apart, and a prediction from what was measured
COMPARED = (0.05, 0.25, 0.75, 0.95)  # where distributions are compared

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """The law of the factor on a median."""

    quantiles: tuple[float, ...]  # equally spaced, ascending, the middle one 1; none if there are too few durations
    n: int  # durations behind it
    used: tuple[int, ...]  # which of the samples given they are


def spread(samples: Sequence[Floats]) -> Spread:
    """Return the law of an operation that was timed at one or more sizes, in ascending order.

    It is that of the largest size that was timed often enough, together with all sizes that agree with it: so it is
    right where time is spent, and small messages do not blur it with what is only theirs.
    """
    ratios = [sample / np.median(sample) for sample in samples]
    often = [i for i, ratio in enumerate(ratios) if len(ratio) >= N_FOR_LAW]
    reference = often[-1] if often else max(range(len(ratios)), key=lambda i: len(ratios[i]))
    used = tuple(i for i, ratio in enumerate(ratios) if i == reference or (
        len(ratio) >= N_FOR_LAW and agree(ratio, ratios[reference])))
    pooled = np.concatenate([ratios[i] for i in used])
    return Spread(quantiles(pooled), len(pooled), used)


def agree(one: Floats, other: Floats) -> bool:
    """Return whether two distributions of factors lie no further apart than `AGREEMENT`."""
    return bool(np.all(np.abs(np.quantile(one, COMPARED) - np.quantile(other, COMPARED)) <= AGREEMENT))


def quantiles(ratios: Floats) -> tuple[float, ...]:
    """Return equally spaced quantiles, an odd number of them, so that the middle one is the median, which is made 1."""
    n = min(N_QUANTILES, len(ratios) - 1 + len(ratios) % 2)
    if n < 3:
        return ()
    found = np.quantile(ratios, np.linspace(0.0, 1.0, n))
    low, high = ratios[ratios <= found[1]].mean(), ratios[ratios >= found[-2]].mean()
    found[0] = min(max(2 * low - found[1], found[0]), found[1])
    found[-1] = max(2 * high - found[-2], found[-2])
    return tuple(round(float(value), 5) for value in found / found[n // 2])


def rising(medians: Sequence[float]) -> list[float]:
    """Return medians at ascending sizes without the falls that noise makes: the nearest that never fall (isotonic)."""
    return [float(value) for value in isotonic_regression(np.array(medians)).x]


def p95(sample: Floats) -> tuple[float, float, float]:
    """Return the 95th percentile and the bounds of its 95 % interval, whatever the distribution.

    The bounds are order statistics: how many durations lie below the true percentile is binomial. The lower one is 0
    and the upper one infinite where there are too few durations for it.
    """
    ordered = np.concatenate([[0.0], np.sort(sample), [np.inf]])
    low, high = binom(len(sample), 0.95).ppf((0.025, 0.975))
    return float(np.quantile(sample, 0.95)), float(ordered[int(low)]), float(ordered[int(high) + 1])
