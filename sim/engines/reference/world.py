"""The reference engine's side of the seam: wake-ups are SimPy events, inboxes are lists."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.engines.bridge import Driver, EngineWorld
from sim.engines.reference.changes import change
from sim.worlds import Outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.engines.reference.clock import Occurrence
    from sim.engines.reference.engine import Engine
    from sim.engines.reference.routes import Job
    from sim.model import Floats, Ints


class SimInbox:
    """Outcomes that a controller has not taken yet, and the driver that waits for `wanted` of them."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.wanted = 0
        self.driver: Driver | None = None


class SimWorld(EngineWorld):
    """`worlds.World` over the reference engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.model, engine.run_key)
        self._engine = engine
        self._inboxes: list[SimInbox] = []

    def close(self) -> None:
        """End all controllers: the run's duration is over."""
        super().close()
        for inbox in self._inboxes:
            inbox.driver = None

    def put(self, job: Job, outcome: int) -> None:
        """Add the outcome of a job to its inbox."""
        inbox = self._inboxes[job.inbox]
        inbox.rows.append((job.id, job.entity, outcome, job.launched_s, self.now(), job.mark_s))
        self._satisfy(inbox)

    def plan_wake(self, time_s: float, driver: Driver) -> None:
        """Plan the event that ends a driver's present wait."""
        self._engine.env.at(time_s, driver.wake_key(), self._wakes, (driver.row, driver.n_waits))

    def _wakes(self, event: Occurrence) -> None:
        self.wake(*event._value)

    def await_outcomes(self, inbox: int, n: int, driver: Driver) -> None:
        """Wake a driver once `n` outcomes are there."""
        waited = self._inboxes[inbox]
        assert waited.driver is None, 'another controller waits for this inbox'
        waited.driver, waited.wanted = driver, n
        self._satisfy(waited)

    def _satisfy(self, inbox: SimInbox) -> None:
        if inbox.driver is not None and len(inbox.rows) >= inbox.wanted:
            driver, inbox.driver = inbox.driver, None
            driver.wake_at(self.now())

    def collect(self, inbox: int) -> Outcomes:
        """Take all outcomes that are in an inbox."""
        waited = self._inboxes[inbox]
        rows, waited.rows, waited.driver = waited.rows, [], None
        job, entity, outcome, launched_s, finished_s, mark_s = zip(*rows, strict=True) if rows else ((),) * 6
        return Outcomes(
            np.array(job, np.int64), np.array(entity, np.int64), np.array(outcome, np.int64),
            np.array(launched_s, np.float64), np.array(finished_s, np.float64), np.array(mark_s, np.float64))

    def now(self) -> float:
        """Return the seconds since the start of the run."""
        return self._engine.env.now

    def _change(self, target: Any, to: Mapping[str, Any]) -> None:
        change(self._engine, target, to)

    def _add_inbox(self, row: int) -> None:
        assert row == len(self._inboxes)
        self._inboxes.append(SimInbox())

    def _launch(self, stream: int, variant: int, entities: Ints, inbox: int, amounts: Mapping[int, Floats],
                deadline_s: float) -> Ints:
        columns = {stage: column.tolist() for stage, column in amounts.items()}
        numbers = np.empty(len(entities), np.int64)
        for i, entity in enumerate(entities.tolist()):
            job = self._engine.launch(stream, variant, entity)
            job.inbox = inbox
            if columns:
                job.amounts = {stage: column[i] for stage, column in columns.items()}
            if not math.isnan(deadline_s):
                job.deadline_s = deadline_s
            numbers[i] = job.id
        return numbers

    def _read_target(self, quantity: str, name: str) -> float:
        engine = self._engine
        if quantity == 'waiting' and name in self.model.queues.name:
            return float(engine.queues[self.model.queues.name.index(name)].n_waiting)
        stations = [engine.stations[row] for row in self.model.targets[name]]
        if quantity == 'waiting':
            return float(sum(station.n_waiting for station in stations))
        if quantity == 'busy':
            return float(sum(station.n_busy for station in stations))
        assert quantity == 'up', f'a target has no {quantity}'
        return float(all(station.up for station in stations))

    def _entities_up(self, entities: Ints) -> Floats:
        return np.array([self._engine.cpu_up(entity) for entity in entities.tolist()], np.float64)

    def _seconds(self, entities: Ints) -> tuple[Floats, Floats, Floats]:
        return self._engine.record.seconds(entities)

    def _sealed_bytes(self, entities: Ints) -> Floats:
        return self._engine.record.sealed_bytes(entities)
