"""Stations: servers of possibly unlike speed, and linked lists of the works that wait for them.

Who waits longest in the most urgent class is served next; work that was taken out of service goes back to its place
by the order in which it arrived at the station.
"""

import math
from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.ahead import plan_fetch
from sim.engines.compiled.books import add_service, count_waiting
from sim.engines.compiled.heap import push_behind
from sim.engines.compiled.layout import (
    NONE,
    fetch_job,
    fetch_work,
    hop_at,
    job_at,
    line_at,
    route_at,
    server_at,
    station_at,
    work_at,
)
from sim.engines.compiled.pools import free_work
from sim.laws import SERVICE_END, event_key
from sim.model import AHEAD, CONSUMER, FIFO, IN_TURN, PREEMPTIVE


@compiled
def station_takes(m, row, work_row):
    """Serve new work now if a server is free or can be freed for it, else let it wait."""
    station, work = station_at(m, row), work_at(m, work_row)
    work.arrived_s, work.station = m.now, row
    station.n_arrived += 1
    work.order = station.n_arrived
    work.priority = _class_of(m, station, work)
    if station.n_idle and station.up and not station.n_waiting:
        start(m, row, work_row, _longest_idle(m, row))
        return
    if station.discipline == PREEMPTIVE and station.n_idle < station.n_servers:
        current = server_at(m, station.first_server).work
        if current != NONE and work.priority < work_at(m, current).priority:
            _suspend(m, row, current)
            start(m, row, work_row, _longest_idle(m, row))
            return
    _wait(m, row, work_row)


@compiled
def _class_of(m, station, work):
    if station.discipline == IN_TURN:
        return 0 if hop_at(m, work.hop).flags & AHEAD else 1
    return 0 if station.discipline == FIFO else route_at(m, job_at(m, work.job).route).priority


@compiled
def _longest_idle(m, row):
    station = station_at(m, row)
    if station.n_servers == 1:
        return station.first_server
    best, since = NONE, math.inf
    for server in range(station.first_server, station.first_server + station.n_servers):
        if server_at(m, server).work == NONE and server_at(m, server).idle_since_s < since:
            best, since = server, server_at(m, server).idle_since_s
    return best


@compiled
def start(m, row, work_row, server):
    """Let a server begin, or go on with, a work."""
    station, work = station_at(m, row), work_at(m, work_row)
    work.server, work.started_s = server, m.now
    if work.first_started_s < 0.0:
        work.first_started_s = m.now
    server_at(m, server).work = work_row
    station.n_idle -= 1
    job = job_at(m, work.job)
    position = work.hop - route_at(m, job.route).first
    hop = hop_at(m, work.hop)
    event = push_behind(m, hop.end_convoy, m.now + work.remaining / server_at(m, server).speed,
                        event_key(SERVICE_END, job.key, position, work.segment, work.attempt), SERVICE_END, work_row,
                        work.epoch)
    is_accounted = hop.radio or row >= m.n_stations  # to the entity
    plan_fetch(m, event, work.job, work.hop, job.entity if is_accounted else NONE, row)


@compiled
def free_server(m, row, server):
    """Let a server be idle from now on."""
    station = station_at(m, row)
    server_at(m, server).work = NONE
    server_at(m, server).idle_since_s = m.now
    if server < station.first_server + station.n_servers:
        station.n_idle += 1


@compiled
def _suspend(m, row, work_row):
    """Take work out of service and back to its place in the line."""
    work = work_at(m, work_row)
    server = work.server
    add_service(m, row, work_row, work.started_s, m.now)
    work.remaining -= (m.now - work.started_s) * server_at(m, server).speed
    work.epoch += 1
    free_server(m, row, server)
    _wait(m, row, work_row)


@compiled
def _wait(m, row, work_row):
    """Put work into the line of its class, in the order of arrival at the station."""
    count_waiting(m, row)
    station, work = station_at(m, row), work_at(m, work_row)
    station.n_waiting += 1
    line = line_at(m, row * m.n_priorities + work.priority)
    before, after = NONE, line.first
    if line.last != NONE and work_at(m, line.last).order < work.order:
        before, after = line.last, NONE
    while after != NONE and work_at(m, after).order < work.order:
        before, after = after, work_at(m, after).next
    work.next = after
    if before == NONE:
        line.first = work_row
    else:
        work_at(m, before).next = work_row
    if after == NONE:
        line.last = work_row


@compiled
def _take_first(m, row):
    """Take the work that waits first in the most urgent class."""
    for priority in range(m.n_priorities):
        line = line_at(m, row * m.n_priorities + priority)
        work_row = line.first
        if work_row != NONE:
            line.first = work_at(m, work_row).next
            if line.first == NONE:
                line.last = NONE
            else:  # what is taken next is asked for now, and the one behind it
                following = work_at(m, line.first)
                fetch_job(m, following.job)
                if following.next != NONE:
                    fetch_work(m, following.next)
            station_at(m, row).n_waiting -= 1
            return work_row
    return NONE


@compiled
def dispatch(m: Any, row: int) -> None:
    """Let idle servers of a station take the best work that waits."""
    station = station_at(m, row)
    while station.up and station.n_idle and station.n_waiting:
        count_waiting(m, row)
        work_row = _take_first(m, row)
        start(m, row, work_row, _longest_idle(m, row))


@compiled
def set_station_up(m: Any, row: int, up: bool) -> None:
    """Go down or come up; work in service, or put back before, restarts later with the same amount."""
    station = station_at(m, row)
    if station.up == up:
        return
    station.up = up
    for server in range(station.first_server, station.first_server + station.n_rows):
        work_row = server_at(m, server).work
        if work_row != NONE:
            _suspend(m, row, work_row)
        if up:
            server_at(m, server).idle_since_s = m.now
    for priority in range(m.n_priorities):
        work_row = line_at(m, row * m.n_priorities + priority).first
        while work_row != NONE:
            work = work_at(m, work_row)
            work.remaining, work_row = work.amount, work.next
    if up:
        dispatch(m, row)


@compiled
def forget_deliveries(m: Any, row: int) -> None:
    """Take from a station's lines the work that a broker brought: it will be delivered again."""
    count_waiting(m, row)
    for priority in range(m.n_priorities):
        line = line_at(m, row * m.n_priorities + priority)
        work_row, last = line.first, NONE
        line.first, line.last = NONE, NONE
        while work_row != NONE:
            following = work_at(m, work_row).next
            if hop_at(m, work_at(m, work_row).hop).station == CONSUMER:
                station_at(m, row).n_waiting -= 1
                free_work(m, work_row)
            else:
                work_at(m, work_row).next = NONE
                if last == NONE:
                    line.first = work_row
                else:
                    work_at(m, last).next = work_row
                line.last = last = work_row
            work_row = following
