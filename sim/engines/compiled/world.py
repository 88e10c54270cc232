"""The compiled engine's side of the seam: controllers are driven by its wake-up events, launches are one call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.engines.compiled.books import satisfy
from sim.engines.compiled.heap import push
from sim.engines.compiled.layout import NONE
from sim.engines.compiled.loop import launch
from sim.engines.compiled.memory import larger
from sim.laws import WAKE, event_key, name_key, selection
from sim.worlds import Controller, Floats, Ints, Outcomes, Sleep, Take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.engines.compiled.engine import Engine


class CompiledInbox:
    """Outcomes that a controller has not taken yet."""

    def __init__(self, world: CompiledWorld, row: int) -> None:
        self._world = world
        self.row = row

    def take(self, n: int, deadline_s: float = math.inf) -> Take:
        """Request `n` outcomes, or what is there after `deadline_s`."""
        return Take(self, n, self._world.now() + deadline_s)


class Driver:
    """One running controller. Each wait has a number; a wake-up for an earlier wait is void."""

    def __init__(self, world: CompiledWorld, row: int, controller: Controller) -> None:
        self._world = world
        self._row = row
        self._key = name_key('controller', controller.name)
        self._coroutine = controller.start(world)
        self._n_waits = 0
        self._inbox: CompiledInbox | None = None
        self._open = True

    def wake_at(self, time_s: float) -> None:
        """Plan to end the present wait at a time, or at once when that is over."""
        time_s = max(time_s, self._world.now())
        self._world.engine.memory.make_room()
        push(self._world.engine.machine, time_s, self.key(), WAKE, self._row, self._n_waits)

    def key(self) -> int:
        """Return the event key that ends the present wait."""
        return event_key(WAKE, self._key, self._n_waits, 0, 0)

    def wake(self, n_waits: int) -> None:
        """Let the controller go on, if it still waits for this."""
        if n_waits != self._n_waits or not self._open:
            return
        inbox, self._inbox = self._inbox, None
        answer = None if inbox is None else self._world.collect(inbox.row)
        try:
            request = self._coroutine.send(answer)
        except StopIteration:
            self._open = False
            return
        self._n_waits += 1
        if isinstance(request, Sleep):
            self.wake_at(request.until_s)
            return
        assert isinstance(request, Take)
        assert isinstance(request.inbox, CompiledInbox)
        self._inbox = request.inbox
        self._world.want(request.inbox.row, request.n, self._row, self._n_waits, self.key())
        if request.until_s < math.inf:
            self.wake_at(request.until_s)

    def close(self) -> None:
        """End the controller where it waits."""
        self._open = False
        self._coroutine.close()


class CompiledWorld:
    """`worlds.World` over the compiled engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._drivers: list[Driver] = []
        self._n_inboxes = 0
        self._launches: dict[int, Ints] = {}
        self._taken: list[Any] = []  # outcomes with marks, of jobs that a controller has taken

    def start(self, controller: Controller) -> None:
        """Start a controller at time 0, in its turn."""
        driver = Driver(self, len(self._drivers), controller)
        self._drivers.append(driver)
        driver.wake_at(0.0)

    def wake(self, row: int, n_waits: int) -> None:
        """Let a controller go on."""
        self._drivers[row].wake(n_waits)

    def close(self) -> None:
        """End all controllers: the run's duration is over."""
        for driver in self._drivers:
            driver.close()
        self.engine.memory['inboxes']['wanted'] = NONE

    def now(self) -> float:
        """Return the seconds since the start of the run."""
        return float(self.engine.machine['now'])

    def sleep(self, seconds: float) -> Sleep:
        """Wait."""
        return Sleep(self.now() + seconds)

    def inbox(self) -> CompiledInbox:
        """Return a new inbox."""
        memory, row = self.engine.memory, self._n_inboxes
        self._n_inboxes += 1
        if row >= memory['inboxes'].size:
            memory['inboxes'] = larger(memory['inboxes'], row + 1)
        memory['inboxes'][row]['wanted'] = NONE
        return CompiledInbox(self, row)

    def want(self, row: int, n: int, driver: int, n_waits: int, key: int) -> None:
        """Wake a driver once `n` outcomes are in an inbox."""
        inbox = self.engine.memory['inboxes'][row]
        assert inbox['wanted'] == NONE, 'another controller waits for this inbox'
        inbox['wanted'], inbox['driver'], inbox['wait'], inbox['key'] = n, driver, n_waits, key
        satisfy(self.engine.machine, row)

    def collect(self, row: int) -> Outcomes:
        """Take all outcomes that are in an inbox."""
        m, memory = self.engine.machine, self.engine.memory
        rows = memory['outcomes'][:m['n_outcomes']]
        mine = rows['inbox'] == row
        taken, rest = rows[mine], rows[~mine]
        memory['outcomes'][:rest.size] = rest
        m['n_outcomes'] = rest.size
        memory['inboxes'][row]['n'] = 0
        memory['inboxes'][row]['wanted'] = NONE
        self._taken.append(taken[~np.isnan(taken['mark_s'])][['job', 'mark_s']])
        return Outcomes(*(np.ascontiguousarray(taken[name]) for name in
                          ('job', 'entity', 'outcome', 'launched_s', 'finished_s', 'mark_s')))

    def marks(self) -> dict[int, float]:
        """Return when marked jobs of controllers passed their mark."""
        left = self.engine.memory['outcomes'][:self.engine.machine['n_outcomes']]
        rows = [*self._taken, left[~np.isnan(left['mark_s'])][['job', 'mark_s']]]
        return {job: mark_s for part in rows for job, mark_s in zip(part['job'].tolist(), part['mark_s'].tolist(),
                                                                    strict=True)}

    def launch(self, flow: str, entities: Ints, *, inbox: CompiledInbox | None = None, variant: str = 'default',
               amounts: Mapping[str, float | Floats] | None = None, deadline_s: float | None = None) -> Ints:
        """Launch one job for each entity row."""
        engine = self.engine
        model = engine.model
        stream, variant_row = model.streams.index(flow), model.variants.index(variant)
        assert stream not in model.sources.stream, f'{flow} has a source, which counts its own launches'
        entities = np.asarray(entities, np.int64)
        engine.memory.make_room(entities.size)
        launches = self._launches.setdefault(stream, np.zeros(model.entities.key.size, np.int64))
        k = launches[entities]
        launches[entities] += 1
        slots = np.empty(entities.size, np.int64)
        launch(engine.machine, stream, variant_row, entities, k, NONE if inbox is None else inbox.row,
                      math.nan if deadline_s is None else deadline_s, slots)
        for stage, amount in (amounts or {}).items():
            column = self._amount_column(model.stages.index(stage))
            n = int(engine.machine['n_amounts'])
            engine.memory['amounts']['value'].reshape(-1, n)[slots, column] = amount
            engine.memory['jobs']['has_amounts'][slots] = 1
        numbers: Ints = engine.memory['jobs']['id'][slots].copy()
        return numbers

    def _amount_column(self, stage: int) -> int:
        """Return the column of a stage's given amounts, added when first asked for."""
        memory, columns = self.engine.memory, self.engine.memory['amount_columns']['value']
        if columns[stage] == NONE:
            columns[stage] = columns.max() + 1
            if columns[stage] >= self.engine.machine['n_amounts']:
                memory.widen_amounts(int(columns[stage]) + 1)
        return int(columns[stage])

    def read(self, quantity: str, targets: Any) -> Floats:
        """Return a quantity of named targets or of entity rows."""
        if isinstance(targets, str):
            targets = [targets]
        if isinstance(targets, list):
            return np.array([self._read_stations(quantity, name) for name in targets], np.float64)
        memory, model = self.engine.memory, self.engine.model
        if quantity == 'up':
            up: Floats = memory['stations']['up'][model.stations.n + targets].astype(np.float64)
            return up
        classes, of, by = model.classes, model.entities.class_row[targets], memory['entities'][targets]
        seconds = max(0.0, min(self.now(), model.duration_s) - model.warm_up_s)
        energy_j: Floats = (classes.base_w[of] * seconds + classes.busy_w[of] * by['busy_s']
                            + classes.transmit_w[of] * by['transmit_s'] + classes.receive_w[of] * by['receive_s'])
        if quantity == 'energy_j':
            return energy_j
        assert quantity == 'charge_j', f'an entity has no {quantity}'
        charge_j: Floats = np.maximum(classes.battery_j[of] - energy_j, 0.0)
        return charge_j

    def _read_stations(self, quantity: str, name: str) -> float:
        if quantity == 'waiting' and name in self.engine.model.queues.name:
            return float(self.engine.memory['queues'][self.engine.model.queues.name.index(name)]['n_waiting'])
        rows = self.engine.memory['stations'][list(self.engine.model.targets[name])]
        if quantity == 'waiting':
            return float(rows['n_waiting'].sum())
        if quantity == 'busy':
            servers = self.engine.memory['servers']['work']
            return float(sum(np.count_nonzero(servers[row['first_server']:row['first_server'] + row['n_rows']] != NONE)
                             for row in rows))
        assert quantity == 'up', f'a target has no {quantity}'
        return float(rows['up'].all())

    def change(self, target: Any, **to: Any) -> None:
        """Change a target or entities: it acts at once, so that a launch after it sees it."""
        self.engine.change(target, to)

    def uniform(self, entities: Ints, purpose: str, k: int) -> Floats:
        """Return one addressed uniform for each entity."""
        draws: Floats = selection(self.engine.run_key, self.engine.model.entities.key[entities],
                                  name_key('controller', purpose), k)
        return draws
