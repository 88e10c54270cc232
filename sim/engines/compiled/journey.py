"""The journey of a job: it enters a hop, a station serves it, it arrives at the next, it finishes.

Each kind of event is one function; what the reference engine does in one event is done here in one event, in the same
order and with the same operations on floats, so that every time of every hop is equal bit for bit.
"""

from sim.compiling import compiled
from sim.engines.compiled.ahead import plan_fetch
from sim.engines.compiled.books import add_service, end_service, finish, trace_wait
from sim.engines.compiled.broker import acknowledge, publish
from sim.engines.compiled.heap import push_behind
from sim.engines.compiled.layout import (
    NONE,
    SEGMENT_ARRIVES,
    SLOT_BITS,
    SLOTS_MAX,
    entity_at,
    hop_at,
    job_at,
    route_at,
    server_at,
    station_at,
    work_at,
)
from sim.engines.compiled.pools import draw, free_work, new_work, station_of
from sim.engines.compiled.stations import dispatch, free_server, start, station_takes
from sim.laws import ARRIVE, event_key, transmission
from sim.model import (
    CHECKS_KEY,
    CONSUMER,
    DELAY,
    DELIVERED,
    ENDS_VISIT,
    EXPIRED,
    LINK,
    LOST,
    MARKED,
    REJECTED,
    SAME_VISIT,
    SEALS,
    SERVE,
)


@compiled
def enter(m, slot, position):
    """Let a job begin the hop at a position of its route, or finish behind the last."""
    job = job_at(m, slot)
    route = route_at(m, job.route)
    hop = route.first + position
    while hop < route.end and hop_at(m, hop).kind == LINK and station_of(m, slot, hop) == NONE:
        hop += 1  # both ends of the link are one computer
    if hop == route.end:
        _complete(m, slot)
        return
    position = hop - route.first
    at = hop_at(m, hop)
    _note(m, slot, hop)
    if at.kind == SERVE:
        row = station_of(m, slot, hop)
        station_takes(m, row, new_work(m, slot, hop, 0, draw(m, slot, hop, station_at(m, row).law_offset)))
    elif at.kind == LINK:
        job.first_leg, job.entered, job.arrived = hop, 0, 0
        job.n_segments = at.n_segments
        for _ in range(min(at.window, job.n_segments)):
            _enter_next_segment(m, slot)
    elif at.kind == DELAY:
        until_s = m.now + draw(m, slot, hop, 0)
        trace_wait(m, slot, hop, -1, m.now, m.now, until_s)
        _job_arrives_at(m, NONE, until_s + at.latency_s, slot, position + 1)
    else:
        publish(m, at.station, slot, position)


@compiled
def _note(m, slot, hop):
    """Note what the beginning of a hop means for a job."""
    at, job = hop_at(m, hop), job_at(m, slot)
    if at.flags & MARKED:
        job.mark_s = m.now
    if at.flags & SEALS:
        job.sealed_s = m.now
        entity_at(m, job.entity).sealed_bytes += at.amount


@compiled
def delivery_arrives(m, slot, delivery):
    """Let a job begin its visit to the consumer, unless that has died since."""
    job = job_at(m, slot)
    if job.delivery != delivery:  # its consumer has died since
        return
    hop = route_at(m, job.route).first + job.position
    trace_wait(m, slot, hop, -2 - hop_at(m, hop).station, job.queued_s, job.sent_s, m.now)
    enter(m, slot, job.position + 1)


@compiled
def service_ends(m, work_row, epoch):
    """End a service, unless it was suspended since; the server goes on at once."""
    work = work_at(m, work_row)
    if work.epoch != epoch:
        return
    server, row = work.server, work.station
    add_service(m, row, work_row, work.started_s, m.now)
    following = _next_of_visit(m, work_row, row)
    if following != NONE:
        server_at(m, server).work = NONE
        station_at(m, row).n_idle += 1  # which start takes back
        after = work_at(m, following)
        after.arrived_s, after.order, after.priority, after.station = m.now, work.order, work.priority, row
        start(m, row, following, server)
    else:
        free_server(m, row, server)
        dispatch(m, row)
    _served(m, work_row, row)


@compiled
def _next_of_visit(m, work_row, row):
    work = work_at(m, work_row)
    hop = work.hop + 1
    end = route_at(m, job_at(m, work.job).route).end
    if hop == end or not hop_at(m, hop).flags & SAME_VISIT or _is_refused(m, work_row):
        return NONE
    _note(m, work.job, hop)
    return new_work(m, work.job, hop, 0, draw(m, work.job, hop, station_at(m, row).law_offset))


@compiled
def _is_refused(m, work_row):
    work = work_at(m, work_row)
    job = job_at(m, work.job)
    return (hop_at(m, work.hop).flags & CHECKS_KEY != 0
            and job.sealed_s < entity_at(m, job.entity).valid_from_s)


@compiled
def _served(m, work_row, row):
    """Lead a job on from a hop that a station has served."""
    work = work_at(m, work_row)
    slot, hop = work.job, hop_at(m, work.hop)
    end_service(m, work_row, row)
    if hop.kind == LINK:
        _crossed(m, work_row)
        return
    job, flags, end = job_at(m, slot), hop.flags, route_at(m, job_at(m, slot).route).end
    following, is_void = work.hop + 1, work.delivery != job.delivery
    refused = _is_refused(m, work_row)
    free_work(m, work_row)
    if is_void:  # its consumer has died since, and the job is delivered again
        return
    if flags & ENDS_VISIT or (refused and hop.station == CONSUMER):
        acknowledge(m, slot)
    if refused:
        finish(m, slot, REJECTED)
    elif following == end:
        _complete(m, slot)
    elif not hop_at(m, following).flags & SAME_VISIT:
        position = following - route_at(m, job.route).first
        _job_arrives_at(m, hop.arrival_convoy, m.now + hop.latency_s, slot, position)


@compiled
def _complete(m, slot):
    job = job_at(m, slot)
    finish(m, slot, EXPIRED if m.now > job.launched_s + job.deadline_s else DELIVERED)


@compiled
def _job_arrives_at(m, convoy, time_s, slot, position):
    job = job_at(m, slot)
    key = event_key(ARRIVE, job.key, position, 0, job.attempt)
    event = push_behind(m, convoy, time_s, key, ARRIVE, _subject_of(m, slot), position)
    hop = route_at(m, job.route).first + position
    plan_fetch(m, event, slot, hop, NONE, _station_ahead(m, slot, hop))


@compiled
def _station_ahead(m, slot, hop):
    """Return the row of the station that a job will ask for at a hop; NONE where it asks for none."""
    if hop == route_at(m, job_at(m, slot).route).end or hop_at(m, hop).kind not in (SERVE, LINK):
        return NONE
    return station_of(m, slot, hop)


@compiled
def _subject_of(m, slot):
    """Return a job with its present delivery, in one number, for an event that is void after another delivery."""
    return slot | job_at(m, slot).delivery << SLOT_BITS


@compiled
def job_arrives(m, subject, position):
    """Let a job begin a hop, unless its consumer has died since."""
    slot = subject & SLOTS_MAX
    if job_at(m, slot).delivery == subject >> SLOT_BITS:
        enter(m, slot, position)


@compiled
def _enter_next_segment(m, slot):
    job = job_at(m, slot)
    segment = job.entered
    job.entered += 1
    _cross(m, slot, job.first_leg, segment, station_of(m, slot, job.first_leg))


@compiled
def _cross(m, slot, hop, segment, row):
    """Let a segment join the line of a leg, at the station that the leg means for the job."""
    at, job = hop_at(m, hop), job_at(m, slot)
    n_bytes = min(at.segment_bytes, at.n_bytes - segment * at.segment_bytes)
    if job.n_segments == 1:  # a division takes long
        n_bytes += at.wrap_bytes
    else:
        n_bytes += at.wrap_bytes // job.n_segments + (segment < at.wrap_bytes % job.n_segments)
    link = station_at(m, row)
    bits, n_frames, lost = transmission(job.key, at.key, segment, n_bytes, link.frame_bytes, link.frame_overhead_bits,
                                 link.loss_ratio, link.attempts_max)
    work_row = new_work(m, slot, hop, segment, bits)
    work_at(m, work_row).lost = lost
    work_at(m, work_row).gap_bits = n_frames * link.frame_gap_bits
    station_takes(m, row, work_row)


@compiled
def _crossed(m, work_row):
    work = work_at(m, work_row)
    slot = work.job
    job = job_at(m, slot)
    if work.lost:
        if not job.done:
            finish(m, slot, LOST)
        free_work(m, work_row)
        return
    position = work.hop - route_at(m, job.route).first
    key = event_key(ARRIVE, job.key, position + 1, work.segment, work.attempt)
    hop = hop_at(m, work.hop)
    event = push_behind(m, hop.arrival_convoy, m.now + hop.latency_s, key, SEGMENT_ARRIVES, work_row, 0)
    plan_fetch(m, event, slot, work.hop + 1, NONE, _station_ahead(m, slot, work.hop + 1))


@compiled
def segment_arrives(m, work_row):
    """Let a segment join the next leg; at the end of the last, let the next one enter."""
    work = work_at(m, work_row)
    slot, leg, segment = work.job, work.hop + 1, work.segment
    job, last_leg = job_at(m, slot), work.hop + hop_at(m, work.hop).legs_behind
    is_void = job.delivery != work.delivery  # the consumer that it went to has died
    row = NONE
    while not is_void and leg <= last_leg:
        row = station_of(m, slot, leg)
        if row != NONE:
            break
        leg += 1
    if row != NONE:
        _cross(m, slot, leg, segment, row)
        free_work(m, work_row)  # not before: the job's slot is free when no work of it is left
        return
    is_void = is_void or job.done
    free_work(m, work_row)
    if is_void:
        return
    job.arrived += 1
    if job.entered < job.n_segments:
        _enter_next_segment(m, slot)
    if job.arrived == job.n_segments:
        enter(m, slot, last_leg + 1 - route_at(m, job.route).first)
