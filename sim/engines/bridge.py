"""The bridge between controllers and an engine: what both engines do alike.

A controller is a coroutine that yields what it waits for. Its `Driver` plans the wake-up as an event of rank 3, after
all else at the same time, and answers it. Each wait has a number; a wake-up for an earlier wait is void. What an
engine adds is `EngineWorld`'s abstract methods: its clock, its events, its tables.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.energy import energy_j
from sim.laws import WAKE, event_key, name_key, selection
from sim.worlds import Controller, Outcomes, Sleep, Take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.model import Floats, Ints, Model


class Inbox:
    """Where the outcomes of launched jobs arrive; its row says which."""

    def __init__(self, world: EngineWorld, row: int) -> None:
        self._world = world
        self.row = row

    def take(self, n: int, deadline_s: float = math.inf) -> Take:
        """Request `n` outcomes, or what is there after `deadline_s`."""
        return Take(self, n, self._world.now() + deadline_s)


class Driver:
    """One running controller."""

    def __init__(self, world: EngineWorld, row: int, controller: Controller) -> None:
        self._world = world
        self.row = row
        self._key = name_key('controller', controller.name)
        self._coroutine = controller.start(world)
        self.n_waits = 0
        self._inbox: Inbox | None = None

    def wake_key(self) -> int:
        """Return the event key that ends the present wait."""
        return event_key(WAKE, self._key, self.n_waits, 0, 0)

    def wake_at(self, time_s: float) -> None:
        """Plan to end the present wait at a time, or at once when that is over."""
        self._world.plan_wake(max(time_s, self._world.now()), self)

    def wake(self, n_waits: int) -> bool:
        """Let the controller go on to its next wait, if this one still lasts; return whether there is one."""
        if n_waits != self.n_waits:
            return True
        inbox, self._inbox = self._inbox, None
        try:
            request = self._coroutine.send(None if inbox is None else self._world.collect(inbox.row))
        except StopIteration:
            return False
        self.n_waits += 1
        if isinstance(request, Sleep):
            self.wake_at(request.until_s)
            return True
        assert isinstance(request, Take)
        assert isinstance(request.inbox, Inbox)
        self._inbox = request.inbox
        self._world.await_outcomes(request.inbox.row, request.n, self)
        if request.until_s < math.inf:
            self.wake_at(request.until_s)
        return True

    def close(self) -> None:
        """End the controller where it waits."""
        self._coroutine.close()


class EngineWorld(ABC):
    """`worlds.World` over an engine."""

    def __init__(self, model: Model, run_key: int) -> None:
        self.model = model
        self._run_key = run_key
        self._drivers: dict[int, Driver] = {}  # those that have not ended, by their rows
        self._n_drivers = self._n_inboxes = 0

    # -- for the engine ---------------------------------------------------------------------------------------

    def wake(self, row: int, n_waits: int) -> None:
        """Let a controller go on, if it still waits for this."""
        driver = self._drivers.get(row)
        if driver is not None and not driver.wake(n_waits):
            del self._drivers[row]

    def close(self) -> None:
        """End all controllers: the run's duration is over."""
        for driver in self._drivers.values():
            driver.close()
        self._drivers.clear()

    @abstractmethod
    def plan_wake(self, time_s: float, driver: Driver) -> None:
        """Plan the event that ends a driver's present wait."""

    @abstractmethod
    def await_outcomes(self, inbox: int, n: int, driver: Driver) -> None:
        """Plan that event as soon as `n` outcomes are in an inbox."""

    @abstractmethod
    def collect(self, inbox: int) -> Outcomes:
        """Take all outcomes that are in an inbox, and wait for it no longer."""

    # -- for controllers --------------------------------------------------------------------------------------

    def start(self, controller: Controller) -> None:
        """Start a controller now, as an event of its own."""
        driver = self._drivers[self._n_drivers] = Driver(self, self._n_drivers, controller)
        self._n_drivers += 1
        driver.wake_at(self.now())

    @abstractmethod
    def now(self) -> float:
        """Return the seconds since the start of the run."""

    def sleep(self, seconds: float) -> Sleep:
        """Wait."""
        return Sleep(self.now() + seconds)

    def inbox(self) -> Inbox:
        """Return a new inbox."""
        self._n_inboxes += 1
        self._add_inbox(self._n_inboxes - 1)
        return Inbox(self, self._n_inboxes - 1)

    def launch(self, stream: str, entities: Ints, *, inbox: Inbox | None = None, variant: str = 'default',
               amounts: Mapping[str, float | Floats] | None = None, deadline_s: float | None = None) -> Ints:
        """Launch one job of a stream for each entity row."""
        model = self.model
        row = model.streams.index(stream)
        assert row not in model.sources.stream, f'{stream} has a source, which counts its own launches'
        entities = np.asarray(entities, np.int64)
        assert (np.diff(np.sort(entities)) > 0).all(), f'{stream} twice for one entity in one launch'
        columns = {model.stages.index(stage): np.broadcast_to(np.asarray(amount, np.float64), entities.shape)
                   for stage, amount in (amounts or {}).items()}
        return self._launch(row, model.variants.index(variant), entities, -1 if inbox is None else inbox.row,
                            columns, math.nan if deadline_s is None else deadline_s)

    def read(self, quantity: str, targets: Any) -> Floats:
        """Return a quantity of named targets or of entity rows."""
        if isinstance(targets, str):
            targets = [targets]
        if isinstance(targets, list):
            return np.array([self._read_target(quantity, name) for name in targets], np.float64)
        if quantity == 'up':
            return self._entities_up(targets)
        if quantity == 'sealed_bytes':
            return self._sealed_bytes(targets)
        model = self.model
        classes, of = model.classes, model.entities.class_row[targets]
        seconds = max(0.0, min(self.now(), model.duration_s) - model.warm_up_s)
        used_j = energy_j(classes, of, seconds, *self._seconds(targets))
        if quantity == 'energy_j':
            return used_j
        assert quantity == 'charge_j', f'an entity has no {quantity}'
        charge_j: Floats = np.maximum(classes.battery_j[of] - used_j, 0.0)
        return charge_j

    def change(self, target: Any, **to: Any) -> None:
        """Change a target or entities: it acts at once, so that a launch after it sees it."""
        if 'attachment' in to:
            self._check_routes(np.atleast_1d(target), int(to['attachment']))
        self._change(target, to)

    def _check_routes(self, entities: Ints, attachment: int) -> None:
        """Assert that entities find their routes where they are to be attached."""
        model = self.model
        classes = np.unique(model.entities.class_row[entities])
        groups = np.unique(model.attachments.group[model.entities.attachment[entities]])
        ways = model.route_of[:, :, classes, :]
        has_way = (ways[..., groups] >= 0).any(-1)
        assert (ways[..., model.attachments.group[attachment]] >= 0)[has_way].all(), (
            f'no route from {model.attachments.name[attachment]} for {[model.classes.name[row] for row in classes]}')

    def uniform(self, entities: Ints, purpose: str, k: int) -> Floats:
        """Return one addressed uniform for each entity."""
        draws: Floats = selection(self._run_key, self.model.entities.key[entities],
                                  name_key('controller', purpose), k)
        return draws

    # -- an engine's own --------------------------------------------------------------------------------------

    @abstractmethod
    def _change(self, target: Any, to: Mapping[str, Any]) -> None:
        """Change a target or entities at once."""

    @abstractmethod
    def _add_inbox(self, row: int) -> None:
        """Make room for an inbox."""

    @abstractmethod
    def _launch(self, stream: int, variant: int, entities: Ints, inbox: int, amounts: Mapping[int, Floats],
                deadline_s: float) -> Ints:
        """Launch; `amounts` are by rows of `Model.stages`, `deadline_s` NaN is the route's own."""

    @abstractmethod
    def _read_target(self, quantity: str, name: str) -> float:
        """Return a quantity of a named target or queue."""

    @abstractmethod
    def _entities_up(self, entities: Ints) -> Floats:
        """Return which entities' own CPUs are up."""

    @abstractmethod
    def _sealed_bytes(self, entities: Ints) -> Floats:
        """Return the bytes that entities have sealed so far."""

    @abstractmethod
    def _seconds(self, entities: Ints) -> tuple[Floats, Floats, Floats]:
        """Return the seconds, within the measured time, that entities have been busy, sending and receiving."""
