"""What is counted and written down: integrals, outcomes, traces, and the inboxes of controllers."""

import math
from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.heap import push
from sim.engines.compiled.layout import (
    NONE,
    deadline_at,
    entity_at,
    flow_at,
    hop_at,
    hop_row_at,
    inbox_at,
    job_at,
    job_row_at,
    latency_bin_at,
    outcome_at,
    queue_at,
    route_at,
    server_at,
    stage_seconds_at,
    station_at,
    work_at,
)
from sim.engines.compiled.pools import free_job
from sim.laws import WAKE
from sim.model import CRYPTO, DELIVERED, EXPIRED, TRANSMITS, UNFINISHED
from sim.results.histogram import N_BINS, bin_of


@compiled
def count_waiting(m: Any, row: int) -> None:
    """Add to a station's integral of the number waiting, up to now."""
    _count(m, station_at(m, row))


@compiled
def count_queue(m: Any, row: int) -> None:
    """Add to a queue's integral of the messages waiting, up to now."""
    _count(m, queue_at(m, row))


@compiled
def _count(m, line):
    if line.n_waiting:
        seconds = min(m.now, m.to_s) - max(line.waiting_since_s, m.from_s)
        if seconds > 0.0:
            line.waiting_s += line.n_waiting * seconds
            line.waiting_max = max(line.waiting_max, line.n_waiting)
    line.waiting_since_s = m.now


@compiled
def is_measured(m: Any) -> bool:
    """Return whether what happens now is counted."""
    return bool(m.from_s <= m.now <= m.to_s)


@compiled
def add_service(m: Any, row: int, work_row: int, from_s: float, to_s: float) -> None:
    """Add a slice of service to the station, the entity's CPU and the entity's radio."""
    work = work_at(m, work_row)
    from_s, to_s = max(from_s, m.from_s), min(to_s, m.to_s)
    if to_s <= from_s:
        return
    seconds = to_s - from_s
    hop, by = hop_at(m, work.hop), entity_at(m, job_at(m, work.job).entity)
    if row < m.n_stations:
        station_at(m, row).busy_s += seconds
    else:
        by.busy_s += seconds
        if hop.flags & CRYPTO:
            by.busy_crypto_s += seconds
    if hop.radio == TRANSMITS:
        by.transmit_s += seconds
        by.transmit_crypto_s += seconds * hop.crypto_ratio
    elif hop.radio:
        by.receive_s += seconds
        by.receive_crypto_s += seconds * hop.crypto_ratio


@compiled
def end_service(m, work_row, row):
    """Note that a work is served, and write the row of its hop when traced."""
    work = work_at(m, work_row)
    hop, job = hop_at(m, work.hop), job_at(m, work.job)
    m.n_hops += 1
    seconds = work.amount / server_at(m, work.server).speed
    if hop.flags & CRYPTO:
        job.crypto_s += seconds
    if is_measured(m):
        flow = route_at(m, job.route).flow
        stage_seconds_at(m, flow * m.n_stages + hop.stage).value += seconds
        if row < m.n_stations:
            station_at(m, row).served += 1
        if hop.radio == TRANSMITS:
            entity_at(m, job.entity).transmit_bytes += (work.amount - work.gap_bits) / 8.0
        elif hop.radio:
            entity_at(m, job.entity).receive_bytes += (work.amount - work.gap_bits) / 8.0
    if m.traces_hops:
        _trace(m, work.job, work.hop, work.segment, work.attempt, row if row < m.n_stations else -1, work.arrived_s,
               work.first_started_s, m.now, seconds)


@compiled
def trace_wait(m: Any, slot: int, hop: int, row: int, arrived_s: float, started_s: float,
               finished_s: float) -> None:
    """Count a hop without a server, and write its row when traced."""
    m.n_hops += 1
    if m.traces_hops:
        _trace(m, slot, hop, 0, job_at(m, slot).attempt, row, arrived_s, started_s, finished_s,
               finished_s - started_s)


@compiled
def _trace(m, slot, hop, segment, attempt, station, arrived_s, started_s, finished_s, service_s):
    row = hop_row_at(m, m.n_hop_rows)
    m.n_hop_rows += 1
    row.job, row.hop, row.segment = job_at(m, slot).id, hop, segment
    row.attempt, row.station = attempt, station
    row.arrived_s, row.started_s, row.finished_s, row.service_s = arrived_s, started_s, finished_s, service_s


@compiled
def finish(m: Any, slot: int, outcome: int) -> None:
    """End a job with its outcome."""
    job = job_at(m, slot)
    route = route_at(m, job.route)
    flow = flow_at(m, route.flow)
    job.done = 1
    m.n_live -= 1
    if m.from_s <= job.launched_s < m.to_s:
        flow.outcomes[outcome] += 1
        flow.wire_bytes += route.wire_bytes
        flow.crypto_bytes += route.crypto_bytes
        if job.deadline_s != math.inf:
            deadline = deadline_at(m, route.flow * m.n_classes + route.class_row)
            deadline.n += 1
            deadline.n_missed += outcome != DELIVERED
        if outcome in (DELIVERED, EXPIRED):
            latency_bin_at(m, route.flow * N_BINS + bin_of(m.now - job.launched_s)).value += 1
            flow.latency_sum_s += m.now - job.launched_s
            flow.crypto_sum_s += job.crypto_s
    if m.traces_jobs:
        row = job_row_at(m, m.n_job_rows)
        m.n_job_rows += 1
        row.job, row.stream, row.entity, row.k, row.route = job.id, route.stream, job.entity, job.k, job.route
        row.launched_s, row.crypto_s, row.mark_s = job.launched_s, job.crypto_s, job.mark_s
        row.finished_s = math.nan if outcome == UNFINISHED else m.now
        row.outcome, row.attempt = outcome, job.attempt
    if job.inbox != NONE:
        _put(m, slot, outcome)
    free_job(m, slot)


@compiled
def _put(m, slot, outcome):
    """Add an outcome to the inbox of the controller that launched the job, and wake it when it has what it wants."""
    job = job_at(m, slot)
    row = outcome_at(m, m.n_outcomes)
    m.n_outcomes += 1
    row.inbox, row.job, row.entity, row.outcome = job.inbox, job.id, job.entity, outcome
    row.launched_s, row.finished_s, row.mark_s = job.launched_s, m.now, job.mark_s
    inbox_at(m, job.inbox).n += 1
    satisfy(m, job.inbox)


@compiled
def satisfy(m: Any, row: int) -> None:
    """Wake the controller that waits for an inbox, if it has enough."""
    inbox = inbox_at(m, row)
    if inbox.wanted != NONE and inbox.n >= inbox.wanted:
        inbox.wanted = NONE
        push(m, m.now, inbox.key, WAKE, inbox.driver, inbox.wait)
