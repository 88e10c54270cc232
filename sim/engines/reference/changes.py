"""Changes: what goes down and comes up, servers that come and go, entities that move, fall silent or change keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.laws import CHANGE, event_key, name_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.engines.reference.clock import Occurrence
    from sim.engines.reference.engine import Engine

Target = str | np.ndarray  # a name of `Model.targets`, or rows of entities


def plan_change(engine: Engine, time_s: float, target: Target, to: Mapping[str, Any]) -> None:
    """Plan a change for a time.

    Changes of one target at one time have equal keys and take effect in the order in which they were asked for.
    """
    name = target if isinstance(target, str) else 'entities'

    def act(_: Occurrence) -> None:
        change(engine, target, to)

    engine.env.at(time_s, event_key(CHANGE, name_key('change', name), 0, 0, 0), act, None)


def change(engine: Engine, target: Target, to: Mapping[str, Any]) -> None:
    """Change `up` or `servers` of a named target, or `up`, `on`, `attachment` or `valid_from` of entities, now."""
    for what, value in to.items():
        if isinstance(target, str):
            for row in engine.model.targets[target]:
                _change_station(engine, row, what, value)
        else:
            for entity in np.atleast_1d(target).tolist():
                _change_entity(engine, entity, what, value)


def _change_station(engine: Engine, row: int, what: str, value: Any) -> None:
    station = engine.stations[row]
    if what == 'servers':
        station.set_servers(int(value))
        return
    assert what == 'up', f'a station has no {what}'
    station.set_up(bool(value))
    for queue in engine.queues:
        if queue.broker == row:
            queue.set_up(bool(value))
    if row in engine.consumers:
        if not value:
            station.forget_deliveries()
        for queue in engine.queues:
            queue.consumer_up(row, bool(value))


def _change_entity(engine: Engine, entity: int, what: str, value: Any) -> None:
    if what == 'on':
        engine.sending[entity] = bool(value)
    elif what == 'attachment':
        engine.attachment[entity] = int(value)
    elif what == 'valid_from':
        engine.valid_from_s[entity] = float(value)
    else:
        assert what == 'up', f'an entity has no {what}'
        engine.cpu(entity).set_up(bool(value))
