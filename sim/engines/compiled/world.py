"""The compiled engine's side of the seam: wake-ups are events of its heap, launches are one compiled call."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.engines.bridge import Driver, EngineWorld
from sim.engines.compiled.books import satisfy
from sim.engines.compiled.heap import push
from sim.engines.compiled.layout import NONE
from sim.engines.compiled.loop import launch, launch_keys
from sim.engines.compiled.memory import larger
from sim.laws import WAKE
from sim.worlds import Outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.engines.compiled.engine import Engine
    from sim.model import Floats, Ints

BULK = 1_000  # jobs of a launch, from which on it matters that neighbours in time are neighbours in memory


class CompiledWorld(EngineWorld):
    """`worlds.World` over the compiled engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.model, engine.run_key)
        # The engine holds its world; held in turn, its tables would stay until the garbage collector comes by.
        self._engine: Engine = weakref.proxy(engine)
        self._launches: dict[int, Ints] = {}
        self._taken: list[Any] = []  # outcomes with marks, of jobs that a controller has taken

    def close(self) -> None:
        """End all controllers: the run's duration is over."""
        super().close()
        self._engine.memory['inboxes']['wanted'] = NONE

    def plan_wake(self, time_s: float, driver: Driver) -> None:
        """Plan the event that ends a driver's present wait."""
        self._engine.memory.make_room()
        push(self._engine.machine, time_s, driver.wake_key(), WAKE, driver.row, driver.n_waits)

    def await_outcomes(self, inbox: int, n: int, driver: Driver) -> None:
        """Wake a driver once `n` outcomes are in an inbox."""
        row = self._engine.memory['inboxes'][inbox]
        assert row['wanted'] == NONE, 'another controller waits for this inbox'
        row['wanted'], row['driver'], row['wait'], row['key'] = n, driver.row, driver.n_waits, driver.wake_key()
        satisfy(self._engine.machine, inbox)

    def collect(self, inbox: int) -> Outcomes:
        """Take all outcomes that are in an inbox."""
        m, memory = self._engine.machine, self._engine.memory
        rows = memory['outcomes'][:m['n_outcomes']]
        mine = rows['inbox'] == inbox
        taken, rest = (rows, rows[:0]) if mine.all() else (rows[mine], rows[~mine])
        memory['outcomes'][:rest.size] = rest
        m['n_outcomes'] = rest.size
        memory['inboxes'][inbox]['n'] = 0
        memory['inboxes'][inbox]['wanted'] = NONE
        self._taken.append(_marks_of(taken))
        names = ('job', 'entity', 'outcome', 'launched_s', 'finished_s', 'mark_s')
        return Outcomes(*(taken[name].copy() for name in names))

    def marks(self) -> dict[int, float]:
        """Return when marked jobs of controllers passed their mark."""
        left = self._engine.memory['outcomes'][:self._engine.machine['n_outcomes']]
        rows = [*self._taken, _marks_of(left)]
        return {job: mark_s for part in rows for job, mark_s in zip(part['job'].tolist(), part['mark_s'].tolist(),
                                                                    strict=True)}

    def now(self) -> float:
        """Return the seconds since the start of the run."""
        return float(self._engine.machine['now'])

    def _change(self, target: Any, to: Mapping[str, Any]) -> None:
        self._engine.change(target, to)

    def _add_inbox(self, row: int) -> None:
        memory = self._engine.memory
        if row >= memory['inboxes'].size:
            memory['inboxes'] = larger(memory['inboxes'], row + 1)
        memory['inboxes'][row]['wanted'] = NONE

    def _launch(self, stream: int, variant: int, entities: Ints, inbox: int, amounts: Mapping[int, Floats],
                deadline_s: float) -> Ints:
        engine = self._engine
        engine.memory.make_room(entities.size)
        if entities.size >= BULK:
            engine.memory.sort_free_slots()
        launches = self._launches.setdefault(stream, np.zeros(self.model.entities.key.size, np.int64))
        k = launches[entities]
        launches[entities] += 1
        jobs, keys, slots = np.empty((3, entities.size), np.int64)
        first = int(engine.machine['n_launched'])
        launch_keys(engine.machine, stream, entities, k, jobs, keys)
        launch(engine.machine, stream, variant, entities, k, jobs, keys, np.argsort(keys),
               inbox, deadline_s, bool(amounts), slots)
        columns = {self._amount_column(stage): amount for stage, amount in amounts.items()}
        if columns:
            rows = engine.memory['amounts']['value'].reshape(-1, int(engine.machine['n_amounts']))
            rows[slots] = np.nan  # what jobs had that were in these slots before
            for column, amount in columns.items():
                rows[slots, column] = amount
        return first + np.arange(entities.size)

    def _amount_column(self, stage: int) -> int:
        """Return the column of a stage's given amounts, added when first asked for."""
        memory, columns = self._engine.memory, self._engine.memory['amount_columns']['value']
        if columns[stage] == NONE:
            columns[stage] = columns.max() + 1
            if columns[stage] >= self._engine.machine['n_amounts']:
                memory.widen_amounts(int(columns[stage]) + 1)
        return int(columns[stage])

    def _read_target(self, quantity: str, name: str) -> float:
        if quantity == 'waiting' and name in self.model.queues.name:
            return float(self._engine.memory['queues'][self.model.queues.name.index(name)]['n_waiting'])
        rows = self._engine.memory['stations'][list(self.model.targets[name])]
        if quantity == 'waiting':
            return float(rows['n_waiting'].sum())
        if quantity == 'busy':
            servers = self._engine.memory['servers']['work']
            return float(sum(np.count_nonzero(servers[row['first_server']:row['first_server'] + row['n_rows']] != NONE)
                             for row in rows))
        assert quantity == 'up', f'a target has no {quantity}'
        return float(rows['up'].all())

    def _entities_up(self, entities: Ints) -> Floats:
        up: Floats = self._engine.memory['stations']['up'][self.model.stations.n + entities].astype(np.float64)
        return up

    def _sealed_bytes(self, entities: Ints) -> Floats:
        n_bytes: Floats = self._engine.memory['entities']['sealed_bytes'][entities]
        return n_bytes

    def _seconds(self, entities: Ints) -> tuple[Floats, Floats, Floats]:
        by = self._engine.memory['entities'][entities]
        return by['busy_s'], by['transmit_s'], by['receive_s']


def _marks_of(outcomes: Any) -> Any:
    """Return the numbers and marks of jobs that have one; a copy, since a view would keep all columns."""
    marked = outcomes[~np.isnan(outcomes['mark_s'])]
    rows = np.empty(marked.size, [('job', np.int64), ('mark_s', np.float64)])
    rows['job'], rows['mark_s'] = marked['job'], marked['mark_s']
    return rows
