"""Trying again: pauses that grow, each drawn anew, and an end to them.

Clients that lost the same broker at the same time would come back at the same time; so each pause is drawn from zero to
its bound ("full jitter"), and the bound doubles.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from hil.broker.errors import UnavailableError

T = TypeVar('T')


@dataclass(frozen=True)
class Backoff:
    """How often something is tried, and the bounds of the pauses between."""

    first_s: float = 0.1
    longest_s: float = 5.0
    attempts_max: int = 12  # half a minute at most, a quarter on average

    def pauses(self, generator: random.Random) -> Iterator[float]:
        """Yield the pauses between the attempts, in seconds."""
        for i in range(self.attempts_max - 1):
            yield generator.uniform(0.0, min(self.longest_s, self.first_s * 2.0**i))


def retried(attempt: Callable[[], T], generator: random.Random, wait: Callable[[float], object],
            backoff: Backoff | None = None) -> T:
    """Return what an attempt returns, the first one that finds the broker.

    Parameters
    ----------
    attempt
        For example ``lambda: connect(endpoint, credentials)``.
    generator
        Pauses are drawn from it.
    wait
        Waits for some seconds, for example the ``wait`` of a `threading.Event` that is set when there is no need to go
        on: what it returns is true then.

    Raises
    ------
    UnavailableError
        If the last attempt did not find it either, or `wait` returned something true. Any other error is raised as it
        comes.
    """
    pauses = (backoff or Backoff()).pauses(generator)
    n = 1
    while True:
        try:
            return attempt()
        except UnavailableError as error:
            pause_s = next(pauses, None)
            if pause_s is None or wait(pause_s):
                raise UnavailableError(f'{error} (attempt {n})') from None
        n += 1
