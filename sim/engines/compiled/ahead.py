"""Memory asked for ahead of its use: a simulation of many devices waits for little else.

What an event touches is found by going from record to record: the event, its work, the work's job and station, the
job's entity. So it is asked for in steps, each when the one before it has come: an event takes one step each time that
it rises one of the heap's uppermost levels, and is then among the next few to happen.
"""

from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.layout import (
    SEGMENT_ARRIVES,
    SLOTS_MAX,
    event_at,
    fetch_entity,
    fetch_job,
    fetch_server,
    fetch_station,
    fetch_work,
    job_at,
    work_at,
)
from sim.laws import ARRIVE, DELIVER, SERVICE_END


@compiled
def fetch_first(m: Any, row: int) -> None:
    """Ask for an event's work or job."""
    event = event_at(m.events, row)
    if event.kind in (SERVICE_END, SEGMENT_ARRIVES):
        fetch_work(m.works, event.a)
    elif event.kind in (ARRIVE, DELIVER):
        fetch_job(m.jobs, event.a & SLOTS_MAX)


@compiled
def fetch_second(m: Any, row: int) -> None:
    """Ask for the job and the station of an event's work."""
    event = event_at(m.events, row)
    if event.kind in (SERVICE_END, SEGMENT_ARRIVES):
        work = work_at(m.works, event.a)
        fetch_job(m.jobs, work.job)
        if event.kind == SERVICE_END:
            fetch_station(m.stations, work.station)
            fetch_server(m.servers, work.server)


@compiled
def fetch_third(m: Any, row: int) -> None:
    """Ask for the entity of an event's job."""
    event = event_at(m.events, row)
    if event.kind in (SERVICE_END, SEGMENT_ARRIVES):
        fetch_entity(m.entities, job_at(m.jobs, work_at(m.works, event.a).job).entity)
