"""Simulation's side of the seam: drives controllers as events of rank 3, after all else at the same time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.laws import WAKE, event_key, name_key, selection
from sim.worlds import Controller, Floats, Ints, Outcomes, Sleep, Take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.engines.reference.clock import Occurrence
    from sim.engines.reference.engine import Engine
    from sim.engines.reference.routes import Job

NOTHING = Outcomes(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0),
                   np.empty(0))


class Driver:
    """One running controller. Each wait has a number; a wake-up for an earlier wait is void."""

    def __init__(self, world: SimWorld, controller: Controller) -> None:
        self._world = world
        self._key = name_key('controller', controller.name)
        self._coroutine = controller.start(world)
        self._n_waits = 0
        self._inbox: SimInbox | None = None
        self.open = True

    def wake_at(self, time_s: float, n_waits: int) -> None:
        """Plan to end a wait at a time, or at once when that is over."""
        key = event_key(WAKE, self._key, n_waits, 0, 0)
        self._world.engine.env.at(max(time_s, self._world.now()), key, self._wakes, n_waits)

    def _wakes(self, event: Occurrence) -> None:
        if event._value == self._n_waits and self.open:
            inbox, self._inbox = self._inbox, None
            self.step(None if inbox is None else inbox.collect())

    def step(self, answer: Outcomes | None) -> None:
        """Let the controller go on to its next wait."""
        try:
            request = self._coroutine.send(answer)
        except StopIteration:
            self.open = False
            return
        self._n_waits += 1
        if isinstance(request, Sleep):
            self.wake_at(request.until_s, self._n_waits)
            return
        assert isinstance(request, Take)
        assert isinstance(request.inbox, SimInbox)
        self._inbox = request.inbox
        request.inbox.await_outcomes(self, self._n_waits, request.n)
        if request.until_s < math.inf:
            self.wake_at(request.until_s, self._n_waits)

    def close(self) -> None:
        """End the controller where it waits."""
        self.open = False
        self._coroutine.close()


class SimInbox:
    """Outcomes that a controller has not taken yet."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._rows: list[tuple[int, int, int, float, float, float]] = []
        self._waiting: tuple[Driver, int, int] | None = None

    def take(self, n: int, deadline_s: float = math.inf) -> Take:
        """Request `n` outcomes, or what is there after `deadline_s`."""
        return Take(self, n, self._world.now() + deadline_s)

    def put(self, job: Job, outcome: int, now: float) -> None:
        """Add the outcome of a job."""
        self._rows.append((job.id, job.entity, outcome, job.launched_s, now, job.mark_s))
        self._satisfy()

    def await_outcomes(self, driver: Driver, n_waits: int, n: int) -> None:
        """Wake a driver once `n` outcomes are there."""
        assert self._waiting is None, 'another controller waits for this inbox'
        self._waiting = (driver, n_waits, n)
        self._satisfy()

    def collect(self) -> Outcomes:
        """Take all that is there."""
        self._waiting = None
        if not self._rows:
            return NOTHING
        job, entity, outcome, launched_s, finished_s, mark_s = zip(*self._rows, strict=True)
        self._rows = []
        return Outcomes(np.array(job, np.int64), np.array(entity, np.int64), np.array(outcome, np.int64),
                        np.array(launched_s, np.float64), np.array(finished_s, np.float64),
                        np.array(mark_s, np.float64))

    def _satisfy(self) -> None:
        if self._waiting is not None and len(self._rows) >= self._waiting[2]:
            driver, n_waits, _ = self._waiting
            self._waiting = None
            driver.wake_at(self._world.now(), n_waits)


class SimWorld:
    """`worlds.World` over the reference engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._drivers: list[Driver] = []

    def start(self, controller: Controller) -> None:
        """Start a controller at time 0, in its turn."""
        driver = Driver(self, controller)
        self._drivers.append(driver)
        driver.wake_at(0.0, 0)

    def close(self) -> None:
        """End all controllers: the run's duration is over."""
        for driver in self._drivers:
            driver.close()
        self._drivers.clear()

    def now(self) -> float:
        """Return the seconds since the start of the run."""
        return self.engine.env.now

    def sleep(self, seconds: float) -> Sleep:
        """Wait."""
        return Sleep(self.now() + seconds)

    def inbox(self) -> SimInbox:
        """Return a new inbox."""
        return SimInbox(self)

    def launch(self, flow: str, entities: Ints, *, inbox: SimInbox | None = None, variant: str = 'default',
               amounts: Mapping[str, float | Floats] | None = None, deadline_s: float | None = None) -> Ints:
        """Launch one job for each entity row."""
        model = self.engine.model
        stream, variant_row = model.streams.index(flow), model.variants.index(variant)
        assert stream not in model.sources.stream, f'{flow} has a source, which counts its own launches'
        numbers = np.empty(len(entities), np.int64)
        stage_amounts = {model.stages.index(stage): np.broadcast_to(amount, numbers.shape).tolist()
                         for stage, amount in (amounts or {}).items()}
        for i, entity in enumerate(np.asarray(entities).tolist()):
            job = self.engine.launch(stream, variant_row, entity)
            job.inbox = inbox
            if stage_amounts:
                job.amounts = {stage: column[i] for stage, column in stage_amounts.items()}
            if deadline_s is not None:
                job.deadline_s = deadline_s
            numbers[i] = job.id
        return numbers

    def read(self, quantity: str, targets: Any) -> Floats:
        """Return a quantity of named targets or of entity rows."""
        if isinstance(targets, str):
            targets = [targets]
        if isinstance(targets, list):
            return np.array([self._read_station(quantity, name) for name in targets], np.float64)
        if quantity == 'up':
            return np.array([self.engine.cpu_up(entity) for entity in targets.tolist()], np.float64)
        energy_j = np.array([self.engine.record.energy_j(entity, self.now()) for entity in targets.tolist()])
        if quantity == 'energy_j':
            return energy_j
        assert quantity == 'charge_j', f'an entity has no {quantity}'
        model = self.engine.model
        capacity: Floats = model.classes.battery_j[model.entities.class_row[targets]] - energy_j
        return np.maximum(capacity, 0.0)

    def _read_station(self, quantity: str, name: str) -> float:
        if quantity == 'waiting' and name in self.engine.model.queues.name:
            return float(self.engine.queues[self.engine.model.queues.name.index(name)].n_waiting)
        stations = [self.engine.stations[row] for row in self.engine.model.targets[name]]
        if quantity == 'waiting':
            return float(sum(station.n_waiting for station in stations))
        if quantity == 'busy':
            return float(sum(station.n_busy for station in stations))
        assert quantity == 'up', f'a target has no {quantity}'
        return float(all(station.up for station in stations))

    def change(self, target: Any, **to: Any) -> None:
        """Change a target or entities: it acts at once, so that a launch after it sees it."""
        self.engine.change(target, to)

    def uniform(self, entities: Ints, purpose: str, k: int) -> Floats:
        """Return one addressed uniform for each entity."""
        draws: Floats = selection(self.engine.run_key, self.engine.model.entities.key[entities],
                                  name_key('controller', purpose), k)
        return draws
