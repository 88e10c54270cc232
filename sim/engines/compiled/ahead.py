"""Memory asked for ahead of its use, so that a simulation of many devices does not wait for it.

Each event says when it is made what it will act on, as far as that is known by then: its work, job, hop, entity and
station. That is asked for when the event is among the next few to happen: when it rises in the heap, or comes to the
front of its convoy.
"""

from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.layout import (
    NONE,
    SEGMENT_ARRIVES,
    event_at,
    fetch_entity,
    fetch_hop,
    fetch_job,
    fetch_server,
    fetch_station,
    fetch_work,
)
from sim.laws import SERVICE_END


@compiled
def plan_fetch(m: Any, row: int, job: int, hop: int, entity: int, station: int) -> None:
    """Note what an event will act on; NONE where that is not known, or nothing."""
    event = event_at(m, row)
    event.job, event.hop, event.entity, event.station = job, hop, entity, station


@compiled
def fetch_planned(m: Any, row: int) -> None:
    """Ask for the memory of what an event will act on."""
    event = event_at(m, row)
    if event.kind in (SERVICE_END, SEGMENT_ARRIVES):
        fetch_work(m, event.a)
    if event.job != NONE:
        fetch_job(m, event.job)
    if event.hop != NONE:
        fetch_hop(m, event.hop)
    if event.entity != NONE:
        fetch_entity(m, event.entity)
    if event.station != NONE:
        fetch_station(m, event.station)
        fetch_server(m, event.station)
