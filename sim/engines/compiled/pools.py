"""Slots of jobs and works, and what one job asks of one hop."""

import math
from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.layout import (
    NONE,
    amount_at,
    amount_column_at,
    attachment_station_at,
    consumer_station_at,
    curve_amounts_in,
    curve_at,
    curve_seconds_in,
    entity_at,
    free_job_at,
    free_work_at,
    group_at,
    guard_at,
    hop_at,
    job_at,
    law_at,
    quantiles_in,
    route_at,
    route_row_at,
    station_at,
    work_at,
)
from sim.laws import CONSTANT, EMPIRICAL, SERVICE, cost, empirical_noise, noise, uniform
from sim.model import CONSUMER, FIRST_CONSUMER_SLOT, FIRST_SLOT, N_CONSUMER_SLOTS, N_SLOTS, OWN_CPU


@compiled
def new_job(m: Any, key: int, stream: int, variant: int, entity: int, k: int) -> int:
    """Make a job at the present time, on the route that is up, and return its slot."""
    by = entity_at(m, entity)
    m.n_free_jobs -= 1
    slot = free_job_at(m, m.n_free_jobs).value
    route = route_of(m, stream, variant, entity)
    while route_at(m, route).fallback >= 0 and not _is_open(m, route):
        route = route_at(m, route).fallback
    job = job_at(m, slot)
    job.key, job.id, job.route, job.entity, job.attachment, job.k = key, m.n_launched, route, entity, by.attachment, k
    job.launched_s, job.deadline_s = m.now, route_at(m, route).deadline_s
    job.attempt, job.consumer, job.inbox, job.has_amounts, job.done = 0, NONE, NONE, 0, 0
    job.crypto_s, job.mark_s, job.sealed_s = 0.0, math.nan, -math.inf
    job.under_way = 0
    m.n_launched += 1
    m.n_live += 1
    return slot


@compiled
def route_of(m, stream, variant, entity):
    """Return the row of the route that an entity's jobs of a stream take when everything is up."""
    by = entity_at(m, entity)
    return route_row_at(m, ((stream * m.n_variants + variant) * m.n_classes + by.class_row) * m.n_groups
                        + group_at(m, by.attachment + 1).value).value


@compiled
def _is_open(m, route):
    first = route_at(m, route).guard_first
    for guard in range(first, first + route_at(m, route).n_guards):
        if not station_at(m, guard_at(m, guard).value).up:
            return False
    return True


@compiled
def new_work(m, slot, hop, segment, amount):
    """Make the work that a hop is for a station, and return its slot."""
    job = job_at(m, slot)
    job.under_way += 1
    m.n_free_works -= 1
    row = free_work_at(m, m.n_free_works).value
    work = work_at(m, row)
    work.job, work.hop, work.segment, work.amount, work.remaining = slot, hop, segment, amount, amount
    work.lost, work.server, work.first_started_s = 0, NONE, -1.0
    work.attempt, work.delivery = job.attempt, job.delivery
    work.epoch += 1  # an event for the slot's former work is void
    return row


@compiled
def free_work(m, row):
    """Give back the slot of a work; events for it are void."""
    work = work_at(m, row)
    work.epoch += 1
    job_at(m, work.job).under_way -= 1
    free_job(m, work.job)
    free_work_at(m, m.n_free_works).value = row
    m.n_free_works += 1


@compiled
def free_job(m, slot):
    """Give back the slot of a job once it is done and none of its works is left."""
    job = job_at(m, slot)
    if job.done and job.under_way == 0:
        free_job_at(m, m.n_free_jobs).value = slot
        m.n_free_jobs += 1


@compiled
def draw(m, slot, hop, offset):
    """Return how much a hop asks of a server: seconds at speed 1."""
    at, job = hop_at(m, hop), job_at(m, slot)
    base = at.base
    amount = at.amount
    column = amount_column_at(m, at.stage).value
    if job.has_amounts and column >= 0:
        given = amount_at(m, slot * m.n_amounts + column).value
        amount = amount if math.isnan(given) else given
    if offset != 0 or amount != at.amount:
        curve = curve_at(m, at.curve + offset)
        base = cost(curve_amounts_in(m), curve_seconds_in(m), curve.first, curve.n, amount)
    law = law_at(m, at.law + offset)
    if law.kind == CONSTANT:
        return base
    u = uniform(job.key, SERVICE, at.key, 0, 0)
    if law.kind == EMPIRICAL:
        return base * empirical_noise(quantiles_in(m), int(law.a), int(law.b), u)
    return base * noise(law.kind, law.a, law.b, law.c, u)


@compiled
def station_of(m, slot, hop):
    """Return the row of the station that a hop means for a job; NONE: a link between two places on one computer."""
    reference = hop_at(m, hop).station
    if reference >= 0:
        return reference
    job = job_at(m, slot)
    if reference == OWN_CPU:
        return m.n_stations + job.entity
    if reference == CONSUMER:
        return job.consumer
    if reference > FIRST_CONSUMER_SLOT:
        return attachment_station_at(m, job.attachment * N_SLOTS + FIRST_SLOT - reference).value
    return consumer_station_at(m, job.consumer * N_CONSUMER_SLOTS + FIRST_CONSUMER_SLOT - reference).value

