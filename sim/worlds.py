"""The seam between controllers and what they control: the same coroutine runs in simulation and on hardware.

A controller is linear ``async def`` code that holds a `World`. It waits with ``await world.sleep(…)`` and ``await
inbox.take(…)``; both yield a request (`Sleep`, `Take`) to whoever drives the coroutine, and receive its answer.

The seam is wider than the controllers that there are. Variants (`launch`), all but `valid_from` of `change` and all
but `sealed_bytes` of `read` are for those to come: adaptive cryptography, roaming, autoscaling. Until then tests of
both engines use them, and the check that the engines agree.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sim.model import Floats, Ints


@dataclass(frozen=True)
class Outcomes:
    """Jobs that have ended, in the order in which they did; shape of every array ``(n_jobs,)``."""

    job: Ints
    entity: Ints
    outcome: Ints  # rows of model.OUTCOMES
    launched_s: Floats
    finished_s: Floats
    mark_s: Floats  # when the job passed its marked stage; NaN where it did not

    @property
    def n(self) -> int:
        """How many jobs."""
        return self.job.size


@dataclass(frozen=True)
class Sleep:
    """A request to be woken at a time."""

    until_s: float

    def __await__(self) -> Generator[Sleep, None, None]:
        yield self


@dataclass(frozen=True)
class Take:
    """A request for outcomes: `n` of them, or what is there at `until_s`."""

    inbox: Inbox
    n: int
    until_s: float

    def __await__(self) -> Generator[Take, Outcomes, Outcomes]:
        outcomes = yield self
        return outcomes


class Inbox(Protocol):
    """Where the outcomes of launched jobs arrive."""

    def take(self, n: int, deadline_s: float = ...) -> Take:
        """Wait until `n` outcomes are there, or `deadline_s` seconds from now, and take all that are there."""


class World(Protocol):
    """What a controller may see and do."""

    def now(self) -> float:
        """Return the seconds since the start of the run."""

    def sleep(self, seconds: float) -> Sleep:
        """Wait."""

    def start(self, controller: Controller) -> None:
        """Start a controller, after all else that happens now. Its name is its own: it orders what happens at once."""

    def inbox(self) -> Inbox:
        """Return a new inbox."""

    def launch(self, stream: str, entities: Ints, *, inbox: Any = None, variant: str = 'default',
               amounts: Mapping[str, float | Floats] | None = None, deadline_s: float | None = None) -> Ints:
        """Launch one job of a stream for each entity row and return the job numbers, shape ``(n_entities,)``.

        `amounts` replaces the amount of a stage, by name: one number, or one for each entity. `deadline_s` counts
        from now.
        """

    def read(self, quantity: str, targets: Any) -> Floats:
        """Return a quantity of each target, as of now.

        Of named targets `waiting`, `busy` or `up`; of broker queues, by name, `waiting`; of entity rows `up`,
        `energy_j` or `charge_j`: used since the end of the warm-up, by slices of work that have ended; `sealed_bytes`,
        of payload since the start of the run.
        """

    def change(self, target: Any, **to: Any) -> None:
        """Change at once: `up` or `servers` of a named target; `up`, `on`, `attachment` or `valid_from` of entity rows.

        What entities have sealed before `valid_from`, in seconds, is refused where keys are checked; inf: everything.
        """

    def uniform(self, entities: Ints, purpose: str, k: int) -> Floats:
        """Return one uniform in (0, 1) for each entity, addressed by the entity, the purpose and k."""


@dataclass(frozen=True)
class Controller:
    """A named coroutine function over a World."""

    name: str
    start: Callable[[World], Coroutine[Sleep | Take, Any, None]]
