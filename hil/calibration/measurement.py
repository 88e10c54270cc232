"""What was found of one operation: its curve, its noise, and how well both passes and the sizes held out fit it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hil.calibration.operations import Operation
from hil.calibration.schedule import Cell, Timed
from hil.calibration.spread import Spread, rising, spread


class Point(NamedTuple):
    """One amount of an operation."""

    amount: int
    is_held_out: bool
    passes: tuple[NDArray[np.float64], ...]  # of each pass, what its calls took, s

    @property
    def durations(self) -> NDArray[np.float64]:
        """Return what all calls took, s."""
        return np.concatenate(self.passes)

    @property
    def median_s(self) -> float:
        """Return the median of all calls."""
        return float(np.median(self.durations))

    @property
    def difference(self) -> float:
        """Return how far the second pass's median is from the first one's, as a share of that."""
        first, second = (float(np.median(each)) for each in self.passes)
        return second / first - 1.0


@dataclass(frozen=True)
class Measurement:
    """What was found of one operation; points in ascending order of their amounts."""

    operation: Operation
    points: tuple[Point, ...]
    n_lost: int  # calls that lost the core meanwhile

    @property
    def kept(self) -> list[Point]:
        """Return the points that the profile is made of."""
        return [point for point in self.points if not point.is_held_out]

    @property
    def n_calls(self) -> int:
        """Return how many calls were timed, those held out included."""
        return sum(len(point.durations) for point in self.points)

    def curve(self) -> tuple[list[int], list[float]]:
        """Return the amounts and seconds of the profile's points."""
        return [point.amount for point in self.kept], rising([point.median_s for point in self.kept])

    def spread(self) -> Spread:
        """Return the law of the factor on the curve."""
        return spread([point.durations for point in self.kept])

    def errors(self) -> list[tuple[int, float]]:
        """Return each size that was held out, with how far the profile's prediction is from its median, as a share."""
        amounts, seconds = self.curve()
        held_out = [point for point in self.points if point.is_held_out]
        return prediction_errors(amounts, seconds, [point.amount for point in held_out],
                                 [point.median_s for point in held_out])


def prediction_errors(amounts: Sequence[int], seconds: Sequence[float], held_out: Sequence[int],
                      medians: Sequence[float]) -> list[tuple[int, float]]:
    """Return predicted / measured - 1 at sizes between a curve's first and last point, each with its size."""
    predicted = np.interp(held_out, amounts, seconds)
    return [(size, float(guess / median - 1.0))
            for size, guess, median in zip(held_out, predicted, medians, strict=True)]


def measurements(found: Sequence[Cell], passes: Sequence[Sequence[Timed]]) -> list[Measurement]:
    """Return what was found of each operation, in the order of the cells."""
    points: dict[Operation, list[tuple[Point, int]]] = {}
    for cell, *timed in zip(found, *passes, strict=True):
        point = Point(cell.amount, cell.is_held_out, tuple(each.seconds() for each in timed))
        points.setdefault(cell.operation, []).append((point, sum(each.n_lost for each in timed)))
    return [Measurement(operation, tuple(sorted((point for point, _ in rows), key=lambda point: point.amount)),
                        sum(n_lost for _, n_lost in rows))
            for operation, rows in points.items()]
