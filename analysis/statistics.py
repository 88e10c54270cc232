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


def t_interval(values: Sequence[float]) -> Interval:
    """Return mean and interval of one or more independent values."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(n, mean, None, None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(student_t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * math.sqrt(variance / n)
    return Interval(n, mean, mean - half, mean + half)
