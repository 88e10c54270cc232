"""The six outcomes, deadlines, the warm-up, the drain and the way chosen at launch."""

import math

import numpy as np
import pytest

from sim.building import Hop, ModelBuilder
from sim.model import (
    CHECKS_KEY,
    DELAY,
    DELIVERED,
    EXPIRED,
    LINK,
    LISTED,
    MARKED,
    OUTCOMES,
    OWN_CPU,
    QUEUE,
    REJECTED,
    SEALS,
    SERVE,
    UNFINISHED,
)
from sim.results.histogram import bin_of
from sim.results.recording import Trace
from sim.worlds import Controller, World
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import finished, hops, jobs, outcomes


def test_late_job_goes_on_and_its_latency_counts(engine: Engine) -> None:
    """Three jobs of 2 s arrive at once with a deadline of 4 s: the third ends at 6, expired, with a latency of 6 s."""
    b = ModelBuilder()
    station = b.station('s')
    for name in 'abc':
        add_stream(b, name, [0.0], [Hop(SERVE, station, amount=2.0)], deadline_s=4.0)
    recording = engine(b.build(duration_s=10.0))
    by_end = sorted(zip(jobs(recording)['finished_s'], jobs(recording)['outcome'], strict=True))
    assert by_end == [(2.0, DELIVERED), (4.0, DELIVERED), (6.0, EXPIRED)]
    assert recording.latency_sum_s.sum() == 12.0
    assert recording.latency.sum(axis=0)[bin_of(6.0)] == 1
    assert recording.deadlines.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize('trace', ['none', 'jobs', 'stages'])
def test_missed_deadlines_are_those_of_a_class(trace: Trace, engine: Engine) -> None:
    """Slow and quick devices send into one flow, in time up to 3 s: two of the slow one's three are late, untraced too.

    A quick one's last job is lost to the run's end, which is a miss as well; a class without a deadline has none.
    """
    b = ModelBuilder()
    stream = b.stream('alarm', 'alarm')
    for name, times, amount, deadline_s in (('quick', [0.0, 9.0], 2.0, 3.0), ('slow', [0.0, 0.5, 1.0], 2.0, 3.0),
                                            ('patient', [0.0], 5.0, math.inf)):
        row = b.class_(name)
        b.entities(row, [-1])
        b.route(stream, row, [Hop(SERVE, b.station(name), amount=amount)], deadline_s=deadline_s)
        b.source(stream, row, LISTED, listed=[(0, time_s) for time_s in times])
    recording = engine(b.build(duration_s=10.0, drain_s=0.0), trace=trace)
    assert recording.deadlines.tolist() == [[2, 3, 0]]
    assert recording.deadline_misses.tolist() == [[1, 2, 0]]


def test_job_that_ends_at_its_deadline_is_in_time(engine: Engine) -> None:
    """A job of 2 s with a deadline of 2 s is delivered; one of the next longer time is expired."""
    b = ModelBuilder()
    for name, amount in (('exact', 2.0), ('over', math.nextafter(2.0, 3.0))):
        add_stream(b, name, [0.0], [Hop(SERVE, b.station(name), amount=amount)], deadline_s=2.0)
    recording = engine(b.build(duration_s=10.0))
    assert outcomes(recording, 'exact') == [DELIVERED]
    assert outcomes(recording, 'over') == [EXPIRED]


def test_refused_key_rejects_where_it_is_checked(engine: Engine) -> None:
    """No key of a device is valid from 2 to 4: jobs whose check ends within are rejected there, after their cost."""

    async def revoke(world: World) -> None:
        await world.sleep(2.0)
        world.change(np.array([device]), valid_from=math.inf)
        await world.sleep(2.0)
        world.change(np.array([device]), valid_from=-math.inf)

    b = ModelBuilder()
    front, back = b.station('front'), b.station('back')
    way = [Hop(SERVE, front, flags=CHECKS_KEY), Hop(SERVE, back, amount=5.0)]
    device = add_stream(b, 'x', [0.0, 1.5, 4.0], way)
    add_stream(b, 'other', [2.75], way)
    recording = engine(b.build(duration_s=20.0), trace='stages', controllers=(Controller('revoke', revoke),))
    assert outcomes(recording, 'x') == [DELIVERED, REJECTED, DELIVERED]
    assert outcomes(recording, 'other') == [DELIVERED]
    assert finished(recording, 'x')[1] == 2.5
    assert recording.station_served.tolist() == [4, 3]


def test_what_is_left_after_the_drain_is_unfinished(engine: Engine) -> None:
    """Jobs of 4 s at 0, 1, 2; sources stop at 5, the drain ends at 9: the third, at work, is unfinished."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0, 2.0, 6.0], [Hop(SERVE, b.station('s'), amount=4.0)])
    recording = engine(b.build(duration_s=5.0, drain_s=4.0))
    assert outcomes(recording, 'x') == [DELIVERED, DELIVERED, UNFINISHED]
    assert finished(recording, 'x')[:2] == [4.0, 8.0]
    assert recording.station_busy_s.tolist() == [5.0]
    assert recording.station_waiting_s.tolist() == [3.0 + 3.0]


def test_end_of_the_drain_belongs_to_the_drain(engine: Engine) -> None:
    """A job that ends exactly at duration + drain is delivered; without a drain it would be unfinished."""
    for drain_s, outcome in ((3.0, DELIVERED), (0.0, UNFINISHED)):
        b = ModelBuilder()
        add_stream(b, 'x', [1.0], [Hop(SERVE, b.station('s'), amount=7.0)])
        assert outcomes(engine(b.build(duration_s=5.0, drain_s=drain_s)), 'x') == [outcome]


def test_sources_stop_at_the_duration(engine: Engine) -> None:
    """Launches at 4.999… and before happen, those at 5 and later do not."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, math.nextafter(5.0, 0.0), 5.0, 6.0], [Hop(DELAY, -1, amount=1.0)])
    assert engine(b.build(duration_s=5.0)).n_launched == 2


def test_statistics_are_of_jobs_launched_between_warm_up_and_duration(engine: Engine) -> None:
    """Launches at 1, 2, 3 and 9.5, warm-up 2, duration 10: three count, whenever they end; the first is traced only."""
    b = ModelBuilder()
    add_stream(b, 'x', [1.0, 2.0, 3.0, 9.5], [Hop(SERVE, b.station('s'), amount=1.5)], wire_bytes=7, crypto_bytes=3)
    recording = engine(b.build(duration_s=10.0, warm_up_s=2.0))
    assert recording.n_launched == 4
    assert len(jobs(recording)['job']) == 4
    assert recording.outcomes.tolist() == [[3, 0, 0, 0, 0, 0]]
    assert recording.latency.sum() == 3
    assert recording.latency_sum_s[0] == (4.0 - 2.0) + (5.5 - 3.0) + 1.5
    assert (recording.wire_bytes[0], recording.crypto_bytes[0]) == (21, 9)


def test_station_integrals_cover_warm_up_to_duration(engine: Engine) -> None:
    """Work from 0 to 12 with one waiting from 1 to 6: between 2 and 10 the server is busy 8 s, one waits 4 s."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0], [Hop(SERVE, b.station('s'), amount=6.0)])
    recording = engine(b.build(duration_s=10.0, warm_up_s=2.0))
    assert recording.station_busy_s.tolist() == [8.0]
    assert recording.station_waiting_s.tolist() == [4.0]
    assert recording.station_waiting_max.tolist() == [1]


def test_queue_integral_covers_warm_up_to_duration(engine: Engine) -> None:
    """No consumer is up; messages wait from 1 and from 4 on: between 2 and 10 they wait 8 + 6 s."""
    b = ModelBuilder()
    queue = b.queue('q', [b.station('pod')])
    add_stream(b, 'x', [1.0, 4.0], [Hop(QUEUE, queue)])
    b.changes += [(0.0, 'pod', False)]
    recording = engine(b.build(duration_s=10.0, warm_up_s=2.0))
    assert recording.queue_waiting_s.tolist() == [14.0]
    assert recording.outcomes[0, UNFINISHED] == 1  # the other was launched in the warm-up


def test_trace_level_changes_no_statistic(engine: Engine) -> None:
    """The same model at the three levels: equal counts, histograms and integrals; rows only where asked for."""
    recordings = {}
    for trace in ('none', 'jobs', 'stages'):
        b = ModelBuilder()
        add_stream(b, 'x', [0.25 * k for k in range(100)], [Hop(SERVE, b.station('s'), amount=0.375)], deadline_s=5.0)
        recordings[trace] = engine(b.build(duration_s=30.0), trace=trace)
    for found in recordings.values():
        for name in ('outcomes', 'latency', 'latency_sum_s', 'station_busy_s', 'station_waiting_s'):
            assert np.array_equal(getattr(found, name), getattr(recordings['none'], name))
    rows = {trace: (len(found.jobs['job']), len(found.hops['job'])) for trace, found in recordings.items()}
    assert rows == {'none': (0, 0), 'jobs': (100, 0), 'stages': (100, 100)}


def test_latency_lies_between_a_hop_and_the_next(engine: Engine) -> None:
    """Work, latency 1 s, a drawn wait of 2 s, latency 0.5 s, work: 0-1, 2-4, 4.5-5.5."""
    b = ModelBuilder()
    station = b.station('s')
    add_stream(b, 'x', [0.0], [Hop(SERVE, station, latency_s=1.0), Hop(DELAY, -1, amount=2.0, latency_s=0.5),
                               Hop(SERVE, station)])
    table = hops(engine(b.build(duration_s=10.0), trace='stages'))
    assert table['started_s'].tolist() == [0.0, 2.0, 4.5]
    assert table['finished_s'].tolist() == [1.0, 4.0, 5.5]


def test_last_link_ends_when_its_latency_is_over(engine: Engine) -> None:
    """A message of 1 s on a link of latency 3 s has arrived at 4."""
    b = ModelBuilder()
    link = b.station('link', (8_000.0,), frame_bytes=1_000)
    add_stream(b, 'x', [0.0], [Hop(LINK, link, n_bytes=1_000, segment_bytes=1_000, latency_s=3.0)])
    assert finished(engine(b.build(duration_s=10.0)), 'x') == [4.0]


def test_mark_is_the_time_of_entering_the_marked_stage(engine: Engine) -> None:
    """Work of 2 s before a marked stage: the mark is 3 for a launch at 1; a job that does not come to it has none."""
    b = ModelBuilder()
    station, slow = b.station('s'), b.station('slow')
    add_stream(b, 'x', [1.0], [Hop(SERVE, station, amount=2.0), Hop(SERVE, slow, amount=4.0, flags=MARKED)])
    add_stream(b, 'y', [1.0], [Hop(SERVE, slow, amount=99.0, flags=0), Hop(SERVE, slow, flags=MARKED)])
    table = jobs(engine(b.build(duration_s=10.0, drain_s=0.0)))
    assert table['mark_s'][table['stream'] == 0].tolist() == [3.0]
    assert np.isnan(table['mark_s'][table['stream'] == 1]).all()


def test_fallback_is_taken_by_jobs_launched_while_a_guard_is_down(engine: Engine) -> None:
    """An edge is down from 2 to 6. Jobs launched within go to the cloud, even if they get there later; others wait."""
    b = ModelBuilder()
    edge, cloud = b.station('edge'), b.station('cloud')
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [-1])
    there = b.route(stream, row, [Hop(DELAY, -1, amount=5.0), Hop(SERVE, cloud)], listed=False)
    b.route(stream, row, [Hop(DELAY, -1, amount=1.5), Hop(SERVE, edge)], guards=(edge,), fallback=there)
    b.source(stream, row, LISTED, listed=[(0, 0.0), (0, 1.0), (0, 2.0), (0, 5.0), (0, 6.0)])
    b.changes += [(2.0, 'edge', False), (6.0, 'edge', True)]
    recording = engine(b.build(duration_s=20.0))
    assert jobs(recording)['route'].tolist() == [1, 1, 0, 0, 1]
    assert finished(recording, 'x') == [7.0, 8.0, 8.0, 11.0, 9.0]


def test_fallback_of_a_fallback_is_taken_when_both_are_down(engine: Engine) -> None:
    """Edge and cloud are down: the job goes the third way, which has no guard."""
    b = ModelBuilder()
    edge, cloud, paper = b.station('edge'), b.station('cloud'), b.station('paper')
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [-1])
    last = b.route(stream, row, [Hop(SERVE, paper)], listed=False)
    second = b.route(stream, row, [Hop(SERVE, cloud)], listed=False, guards=(cloud,), fallback=last)
    b.route(stream, row, [Hop(SERVE, edge)], guards=(edge,), fallback=second)
    b.source(stream, row, LISTED, listed=[(0, 1.0), (0, 3.0), (0, 5.0)])
    b.changes += [(0.0, 'edge', False), (0.0, 'cloud', False), (2.0, 'cloud', True), (4.0, 'edge', True)]
    assert jobs(engine(b.build(duration_s=20.0)))['route'].tolist() == [last, second, 2]


def test_outcome_rows_are_named() -> None:
    """The six outcomes of the design, in the order of their numbers."""
    assert OUTCOMES == ('delivered', 'expired', 'dropped', 'rejected', 'lost', 'unfinished')


def test_what_was_sealed_under_an_old_key_is_refused(engine: Engine) -> None:
    """Keys are valid from 2 on: after 5.5, what was sealed before is rejected when it is opened; at 2, it is not.

    What was sealed at 1 is opened at 5, when the old key still opens.
    """

    async def rotate(world: World) -> None:
        await world.sleep(5.5)
        world.change(np.array([device]), valid_from=2.0)

    b = ModelBuilder()
    way = [Hop(SERVE, OWN_CPU, 'seal', amount=0.0, flags=SEALS), Hop(DELAY, -1, 'wait', amount=4.0),
           Hop(SERVE, b.station('open'), 'open', amount=0.0, flags=CHECKS_KEY)]
    device = add_stream(b, 'x', [1.0, 1.75, 2.0], way)
    recording = engine(b.build(duration_s=20.0), controllers=(Controller('rotate', rotate),))
    assert outcomes(recording, 'x') == [DELIVERED, REJECTED, DELIVERED]
