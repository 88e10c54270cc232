"""Intervals over replications: the unit is the run, never the job.

With n replications of mean m and standard deviation s, the 95 % interval of the mean is m ± t(0.975, n - 1) s / √n
(Law, "Simulation Modeling and Analysis", 5th ed., §4.5). Two scenarios run with the same seeds share the draws of
the entities they share, so their difference is taken seed by seed: the paired t interval (§10.2.1 there).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student_t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % t interval; the bounds are None for fewer than two values."""

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign of the mean is settled."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def welch_interval(base: Sequence[float], other: Sequence[float]) -> Interval:
    """Return the difference other - base of the means of two independent samples, with Welch's 95 % interval.

    The bounds are None unless each sample has two values or more; `n` counts those of the smaller one.

    References
    ----------
    Welch (1947), "The generalization of 'Student's' problem when several different population variances are involved",
    Biometrika 34, 28-35.
    """
    means = [math.fsum(values) / len(values) for values in (base, other)]
    difference, n = means[1] - means[0], min(len(base), len(other))
    if n < 2:
        return Interval(n, difference, None, None)
    squares = [math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
               for values, mean in zip((base, other), means, strict=True)]
    total = sum(squares)
    if total == 0.0:
        return Interval(n, difference, difference, difference)
    freedom = total**2 / sum(square**2 / (len(values) - 1)
                             for square, values in zip(squares, (base, other), strict=True))
    half = float(student_t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(total)
    return Interval(n, difference, difference - half, difference + half)


def t_interval(values: Sequence[float]) -> Interval:
    """Return mean and interval of one or more independent values."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(n, mean, None, None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(student_t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * math.sqrt(variance / n)
    return Interval(n, mean, mean - half, mean + half)
