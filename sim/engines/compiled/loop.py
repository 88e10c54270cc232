"""The event loop: the next arrival or the first event of the heap, whichever comes first.

It returns to Python when there is something that only Python can do (wake a controller, change a station, fetch
arrivals, make room) and is called again where it stopped.
"""

import math
from typing import Any

from sim.compiling import compiled, compiled_beside
from sim.engines.compiled.books import add_service, count_queue, count_waiting
from sim.engines.compiled.broker import acknowledged, returned
from sim.engines.compiled.heap import drop_first, first_event, first_time_s, has_event, push
from sim.engines.compiled.journey import (
    delivery_arrives,
    enter,
    job_arrives,
    segment_arrives,
    service_ends,
)
from sim.engines.compiled.layout import (
    LAUNCHED,
    NONE,
    SEGMENT_ARRIVES,
    Records,
    arrival_at,
    attachment_station_at,
    entity_at,
    event_at,
    fetch_entity,
    fetch_hop,
    fetch_job,
    fetch_route,
    fetch_server,
    fetch_station,
    free_job_at,
    job_at,
    route_at,
    server_at,
    station_at,
    stream_key_at,
    work_at,
)
from sim.engines.compiled.memory import ROWS_PER_EVENT
from sim.engines.compiled.pools import new_job, route_of
from sim.laws import ACKNOWLEDGE, ARRIVE, CHANGE, DELIVER, RETURN, SERVICE_END, WAKE, event_key, job_key
from sim.model import N_SLOTS

# How far ahead memory is asked for: chosen, no other values were compared.
ARRIVALS_A_STEP = 4
LAUNCHES_AHEAD = 16

# Why the loop returns to Python.
NOTHING_LEFT, TIME_IS_UP, NEEDS_ARRIVALS, NEEDS_ROOM, NEEDS_PYTHON, IS_LONG = range(6)


@compiled_beside
def run_until(m: Any, end_s: float, is_inclusive: bool, stops_when_idle: bool, n_events_max: int) -> int:
    """Act on events in their order, until one is for Python or the time is up; return why.

    An event for Python (a change, or a controller's wake-up) stays at the head of the heap, with the clock at it.
    """
    last_event = m.n_acted + n_events_max
    while True:
        margin = m.margin + m.n_unacknowledged
        if (m.n_free_events < margin or m.n_free_works < margin or m.n_free_jobs < 2
                or m.n_job_rows + ROWS_PER_EVENT > m.job_rows_max or m.n_hop_rows + ROWS_PER_EVENT > m.hop_rows_max
                or m.n_outcomes + ROWS_PER_EVENT > m.outcomes_max):
            return NEEDS_ROOM
        if m.n_acted >= last_event:
            return IS_LONG
        if m.next_arrival == m.n_arrivals:
            return NEEDS_ARRIVALS
        arrival = arrival_at(m, m.next_arrival)
        event_s = first_time_s(m)
        if m.n_arrivals == NONE:
            if not has_event(m):
                return NOTHING_LEFT
            is_arrival = False
        else:
            is_arrival = not has_event(m) or arrival.time_s < event_s or (
                arrival.time_s == event_s and arrival.key < event_at(m, first_event(m)).key)
        time_s = arrival.time_s if is_arrival else event_s
        if time_s > end_s or (time_s == end_s and not is_inclusive):
            return TIME_IS_UP
        if stops_when_idle and m.n_live == 0:
            return NOTHING_LEFT
        m.n_acted += 1
        m.now = time_s
        if is_arrival:
            m.next_arrival += 1
            _fetch_ahead(m)
            if entity_at(m, arrival.entity).sending:
                enter(m, new_job(m, arrival.job, arrival.stream, 0, arrival.entity, arrival.k), 0)
            continue
        event = event_at(m, first_event(m))
        kind, a, b = event.kind, event.a, event.b
        if kind in (WAKE, CHANGE):
            return NEEDS_PYTHON
        drop_first(m)
        _act(m, kind, a, b)


@compiled
def _fetch_ahead(m):
    """Ask for the memory of the devices that send next, in steps: what one brings tells the next where to look."""
    far = m.next_arrival + 2 * ARRIVALS_A_STEP
    if far >= m.n_arrivals:
        return
    entity = arrival_at(m, far).entity
    fetch_entity(m, entity)
    fetch_station(m, m.n_stations + entity)
    fetch_server(m, m.n_stations + entity)
    near = arrival_at(m, far - ARRIVALS_A_STEP)
    fetch_route(m, route_of(m, near.stream, 0, near.entity))
    attachment = entity_at(m, near.entity).attachment
    if attachment != NONE:
        air = attachment_station_at(m, attachment * N_SLOTS).value
        fetch_station(m, air)
        fetch_server(m, air)
    soon = arrival_at(m, m.next_arrival + 1)
    hop = route_at(m, route_of(m, soon.stream, 0, soon.entity)).first
    fetch_hop(m, hop)
    fetch_hop(m, hop + 1)


@compiled
def _act(m, kind, a, b):
    if kind == SERVICE_END:
        service_ends(m, a, b)
    elif kind == ARRIVE:
        job_arrives(m, a, b)
    elif kind == SEGMENT_ARRIVES:
        segment_arrives(m, a)
    elif kind == DELIVER:
        delivery_arrives(m, a, b)
    elif kind == ACKNOWLEDGE:
        acknowledged(m, a, b)
    elif kind == LAUNCHED:
        _launched(m, a)
    elif kind == RETURN:
        returned(m, a, b)


@compiled
def launch_keys(m: Any, stream: int, entities: Records, k: Records, jobs: Records, keys: Records) -> None:
    """Write the keys of the jobs that entities launch, and those of their arrivals at the first hop."""
    for i in range(entities.size):
        entity_key = entity_at(m, entities[i]).key
        jobs[i] = job_key(m.run_key, entity_key, stream_key_at(m, stream).value, k[i])
        keys[i] = event_key(ARRIVE, jobs[i], 0, 0, 0)


@compiled
def launch(m: Any, stream: int, variant: int, entities: Records, k: Records, jobs: Records, keys: Records,
           order: Records, inbox: int, deadline_s: float, has_amounts: bool, slots: Records) -> None:
    """Make one job for each entity; each arrives at its first hop now, as an event of its own, in an order of keys.

    The heap only ever holds the first of these events: the jobs are a list, and each event puts the next one in its
    place. `deadline_s` NaN: the route's own. The slots of the jobs are written to `slots`.
    """
    first, previous = m.n_launched, NONE
    for at in range(order.size):
        i = order[at]
        fetch_entity(m, entities[order[min(at + LAUNCHES_AHEAD, order.size - 1)]])
        fetch_job(m, free_job_at(m, max(m.n_free_jobs - 1 - LAUNCHES_AHEAD, 0)).value)
        slot = new_job(m, jobs[i], stream, variant, entities[i], k[i])
        job = job_at(m, slot)
        job.id, job.inbox, job.next, job.has_amounts = first + i, inbox, NONE, has_amounts
        if not math.isnan(deadline_s):
            job.deadline_s = deadline_s
        slots[i] = slot
        if previous == NONE:
            push(m, m.now, keys[i], LAUNCHED, slot, 0)
        else:
            job_at(m, previous).next = slot
        previous = slot


@compiled
def _launched(m, slot):
    """Let a launched job arrive, and plan the arrival of the next one of its launch."""
    following = job_at(m, slot).next
    if following != NONE:
        push(m, m.now, event_key(ARRIVE, job_at(m, following).key, 0, 0, 0), LAUNCHED, following, 0)
    enter(m, slot, 0)


@compiled
def close(m: Any) -> None:
    """Account for what is in service and what waits at the end of the run."""
    for row in range(m.n_rows):
        station = station_at(m, row)
        for server in range(station.first_server, station.first_server + station.n_rows):
            work_row = server_at(m, server).work
            if work_row != NONE:
                add_service(m, row, work_row, work_at(m, work_row).started_s, m.now)
        count_waiting(m, row)
    for row in range(m.n_queues):
        count_queue(m, row)
