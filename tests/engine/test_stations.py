"""Stations: unlike servers, priority, preemption, up and down, capacity, by hand."""

import math

import pytest

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import AHEAD, DELIVERED, FIFO, IN_TURN, LISTED, OWN_CPU, PREEMPTIVE, SERVE, UNFINISHED
from sim.worlds import Controller, World
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import finished, hops, job_key, jobs, outcomes


def exponential_draw(seed: int, name: str, k: int, place: str = 'server', stage: str = 'work') -> float:
    """Return the exponential factor of the first such stage of a job of `add_stream`, from its address alone."""
    hop = laws.name_key(place, stage, 0, SERVE, 0)
    return -math.log(laws.uniform(job_key(seed, name, 0, name, k), laws.SERVICE, hop, 0, 0))


def test_server_idle_longest_takes_the_job_then_the_lowest_index(engine: Engine) -> None:
    """Servers of speeds 1, 2 and 4, amount 4, seven arrivals: times are amount / speed of who was idle longest.

    At 3 server 2 (idle since 2) goes before server 1 (since 2.5); at 4.5 servers 0 and 2 (both since 4) tie.
    """
    b = ModelBuilder()
    station = b.station('s', (1.0, 2.0, 4.0))
    add_stream(b, 'x', [0.0, 0.5, 1.0, 3.0, 3.5, 4.5, 4.75], [Hop(SERVE, station, amount=4.0)])
    on = [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0), (3.0, 4.0), (3.5, 2.0), (4.5, 1.0), (4.75, 4.0)]
    assert finished(engine(b.build(duration_s=5.0)), 'x') == [start + 4.0 / speed for start, speed in on]


def test_priority_classes_are_strict_and_fifo_within(engine: Engine) -> None:
    """While a job is served, two of each of three classes come: they are served by class, then by arrival."""
    b = ModelBuilder()
    station = b.station('s')
    hop = [Hop(SERVE, station, amount=10.0)]
    add_stream(b, 'first', [0.0], hop, priority=2)
    for priority, times in ((2, [1.0, 2.0]), (1, [3.0, 5.0]), (0, [4.0, 6.0])):
        add_stream(b, f'class {priority}', times, hop, priority=priority)
    recording = engine(b.build(duration_s=10.0))
    assert finished(recording, 'first') == [10.0]
    assert finished(recording, 'class 0') == [20.0, 30.0]
    assert finished(recording, 'class 1') == [40.0, 50.0]
    assert finished(recording, 'class 2') == [60.0, 70.0]


def test_answers_do_not_wait_for_all_that_have_asked(engine: Engine) -> None:
    """Three jobs at once, each let through twice in 10 s, with a second of other work between; answers go ahead.

    The first comes back at 11 and goes at 20, before the third, which has waited since 0; the second comes at 21 and
    goes at 30; then the third does, and comes back to an idle broker at 51. Without the flag all ask first.
    """
    for flags, expected in ((AHEAD, [30.0, 40.0, 61.0]), (0, [40.0, 50.0, 60.0])):
        b = ModelBuilder()
        broker, worker = b.station('broker', discipline=IN_TURN), b.station('worker')
        add_stream(b, 'x', [0.0, 0.0, 0.0], [Hop(SERVE, broker, amount=10.0), Hop(SERVE, worker, amount=1.0),
                                             Hop(SERVE, broker, amount=10.0, flags=flags)])
        assert sorted(finished(engine(b.build(duration_s=100.0)), 'x')) == expected


def test_fifo_station_does_not_look_at_priority(engine: Engine) -> None:
    """An urgent job that comes later waits behind an ordinary one."""
    b = ModelBuilder()
    station = b.station('s', discipline=FIFO)
    hop = [Hop(SERVE, station, amount=10.0)]
    add_stream(b, 'low', [0.0, 1.0], hop, priority=1)
    add_stream(b, 'high', [2.0], hop, priority=0)
    assert finished(engine(b.build(duration_s=10.0)), 'high') == [30.0]


def test_own_cpu_preempts_for_an_alarm_and_resumes_the_training(engine: Engine) -> None:
    """Training of 10 s from 0, interrupted by urgent work at 3 and by more urgent work at 4: each resumes where it was.

    0-3 training, 3-4 vitals, 4-6 alarm, 6-7 vitals, 7-14 training; equal classes do not interrupt each other.
    """
    b = ModelBuilder()
    row = b.class_('device')
    b.entities(row, [-1])
    plan = {'train': ([0.0], 10.0, 2), 'vitals': ([3.0], 2.0, 1), 'alarm': ([4.0], 2.0, 0), 'more': ([8.0], 1.0, 2)}
    for name, (times, amount, priority) in plan.items():
        stream = b.stream(name, name)
        b.route(stream, row, [Hop(SERVE, OWN_CPU, amount=amount)], priority=priority)
        b.source(stream, row, LISTED, listed=[(0, time_s) for time_s in times])
    recording = engine(b.build(duration_s=20.0), trace='stages')
    ends = {name: finished(recording, name) for name in plan}
    assert ends == {'train': [14.0], 'vitals': [7.0], 'alarm': [6.0], 'more': [15.0]}
    assert recording.busy_s[0].tolist() == [15.0, 0.0]
    assert hops(recording)['started_s'].tolist() == [4.0, 3.0, 0.0, 14.0]


def test_preempted_work_resumes_at_the_speed_of_its_server(engine: Engine) -> None:
    """Amount 8 at speed 2, interrupted at 1 for 3 s: 2 are done, the other 6 take from 4 to 7."""
    b = ModelBuilder()
    station = b.station('s', (2.0,), discipline=PREEMPTIVE)
    add_stream(b, 'low', [0.0], [Hop(SERVE, station, amount=8.0)], priority=1)
    add_stream(b, 'high', [1.0], [Hop(SERVE, station, amount=6.0)], priority=0)
    recording = engine(b.build(duration_s=20.0))
    assert finished(recording, 'high') == [4.0]
    assert finished(recording, 'low') == [7.0]
    assert recording.station_busy_s.tolist() == [7.0]


def test_every_entity_has_a_cpu_of_its_own(engine: Engine) -> None:
    """Two entities of one class work at the same time without waiting for each other."""
    b = ModelBuilder()
    row, stream = b.class_('device'), b.stream('x', 'x')
    b.entities(row, [-1, -1])
    b.route(stream, row, [Hop(SERVE, OWN_CPU, amount=3.0)])
    b.source(stream, row, LISTED, listed=[(0, 0.0), (1, 1.0)])
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [3.0, 4.0]


@pytest.mark.parametrize('seed', range(1, 6))
def test_work_restarts_with_the_same_draw_after_an_outage(engine: Engine, seed: int) -> None:
    """Exponential work is interrupted by an outage: it ends at (time up) + (the draw at its address), to the bit."""
    b = ModelBuilder(seed=seed)
    station = b.station('s', (2.0,))
    add_stream(b, 'x', [0.0], [Hop(SERVE, station, amount=10.0, law=b.law(laws.EXPONENTIAL))])
    draw = 10.0 * exponential_draw(seed, 'x', 0)
    b.changes += [(draw / 4.0, 's', False), (100.0, 's', True)]  # half of draw / 2 seconds is done by then
    recording = engine(b.build(duration_s=20.0))
    assert finished(recording, 'x') == [100.0 + draw / 2.0]


def test_interrupted_work_keeps_its_place_in_the_line(engine: Engine) -> None:
    """A job in service at the outage goes before those that waited; those that came during the outage go last."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0, 2.5], [Hop(SERVE, b.station('s'), amount=4.0)])
    b.changes += [(2.0, 's', False), (3.0, 's', True)]
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [7.0, 11.0, 15.0]


def test_both_servers_restart_after_an_outage(engine: Engine) -> None:
    """Two jobs on unlike servers are interrupted: the earlier takes the lowest index, both idle since the time up."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0], [Hop(SERVE, b.station('s', (1.0, 2.0)), amount=4.0)])
    b.changes += [(2.0, 's', False), (10.0, 's', True)]
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [14.0, 12.0]


def test_station_that_stays_down_leaves_its_jobs_unfinished(engine: Engine) -> None:
    """Without an end of the outage both jobs, in service and waiting, are unfinished when nothing is left to happen."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0], [Hop(SERVE, b.station('s'), amount=4.0)])
    b.changes += [(2.0, 's', False)]
    assert outcomes(engine(b.build(duration_s=20.0)), 'x') == [UNFINISHED] * 2


def test_down_twice_is_down_once(engine: Engine) -> None:
    """A second notice of the same outage changes nothing; the first time up ends it."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], [Hop(SERVE, b.station('s'), amount=4.0)])
    b.changes += [(1.0, 's', False), (2.0, 's', False), (3.0, 's', True), (5.0, 's', True)]
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [7.0]


def test_work_that_was_put_back_before_an_outage_starts_over_as_well(engine: Engine) -> None:
    """4 s of training, an alarm of 2 s at 1, down from 2 to 3: the alarm ends at 5, the training not at 8 but at 9."""
    b = ModelBuilder()
    station = b.station('s', discipline=PREEMPTIVE)
    add_stream(b, 'training', [0.0], [Hop(SERVE, station, amount=4.0)], priority=1)
    add_stream(b, 'alarm', [1.0], [Hop(SERVE, station, amount=2.0)], priority=0)
    b.changes += [(2.0, 's', False), (3.0, 's', True)]
    recording = engine(b.build(duration_s=20.0))
    assert finished(recording, 'alarm') == [5.0]
    assert finished(recording, 'training') == [9.0]


def set_servers(*steps: tuple[float, int]) -> Controller:
    """Return a controller that sets the servers of station s at given times."""

    async def scale(world: World) -> None:
        for time_s, n in steps:
            await world.sleep(time_s - world.now())
            world.change('s', servers=n)

    return Controller('scale', scale)


def test_added_server_takes_who_waits_and_a_removed_one_finishes_first(engine: Engine) -> None:
    """Four jobs of 10 s at 0. A second server from 2 to 5 takes the second job at 2 and no other afterwards."""
    b = ModelBuilder()
    station = b.station('s')
    for name in 'abcd':
        add_stream(b, name, [0.0], [Hop(SERVE, station, amount=10.0)])
    recording = engine(b.build(duration_s=50.0), controllers=(set_servers((2.0, 2), (5.0, 1)),))
    assert sorted(jobs(recording)['finished_s']) == [10.0, 12.0, 20.0, 30.0]


def test_server_that_was_removed_while_busy_comes_back_once(engine: Engine) -> None:
    """Two servers, one removed while both are busy and added again before it has finished: never three at work."""
    b = ModelBuilder()
    station = b.station('s', (1.0, 1.0))
    for name in 'abcdef':
        add_stream(b, name, [0.0], [Hop(SERVE, station, amount=10.0)])
    recording = engine(b.build(duration_s=50.0), controllers=(set_servers((2.0, 1), (5.0, 2)),))
    assert sorted(jobs(recording)['finished_s']) == [10.0, 10.0, 20.0, 20.0, 30.0, 30.0]


def test_station_scales_to_nothing_and_back_beyond_its_first_size(engine: Engine) -> None:
    """Servers of speeds 1 and 2 are taken away and become four: the new ones repeat the first speeds, 1 and 2."""
    b = ModelBuilder()
    station = b.station('s', (1.0, 2.0))
    for name in 'abcd':
        add_stream(b, name, [1.0], [Hop(SERVE, station, amount=4.0)])
    recording = engine(b.build(duration_s=50.0), controllers=(set_servers((0.0, 0), (5.0, 4)),))
    assert sorted(jobs(recording)['finished_s']) == [7.0, 7.0, 9.0, 9.0]
    assert set(jobs(recording)['outcome']) == {DELIVERED}


def test_cpu_of_an_entity_goes_down_and_comes_up(engine: Engine) -> None:
    """A device that is down from 1 to 5 starts its work over at 5."""

    async def outage(world: World) -> None:
        await world.sleep(1.0)
        world.change(device, up=False)
        await world.sleep(1.0)
        states.append(world.read('up', device)[0])
        await world.sleep(3.0)
        world.change(device, up=True)

    states: list[float] = []
    b = ModelBuilder()
    row, stream = b.class_('device'), b.stream('x', 'x')
    device = b.entities(row, [-1])
    b.route(stream, row, [Hop(SERVE, OWN_CPU, amount=3.0)])
    b.source(stream, row, LISTED, listed=[(0, 0.0)])
    recording = engine(b.build(duration_s=20.0), controllers=(Controller('outage', outage),))
    assert finished(recording, 'x') == [8.0]
    assert states == [0.0]
    assert recording.busy_s[0, 0] == 4.0  # the second that was lost costs energy as well


def test_stage_amounts_follow_a_piecewise_linear_curve(engine: Engine) -> None:
    """Costs (0, 1), (10, 3), (20, 13): constant below the first point, linear between, the last slope beyond."""
    b = ModelBuilder()
    station = b.station('s')
    curve = b.curve((5.0, 10.0, 20.0), (1.0, 3.0, 13.0))
    exact = {2.0: 1.0, 5.0: 1.0, 7.5: 2.0, 10.0: 3.0, 15.0: 8.0, 20.0: 13.0, 30.0: 23.0}
    for i, amount in enumerate(exact):
        add_stream(b, f'{amount}', [100.0 * i], [Hop(SERVE, station, curve=curve, amount=amount)])
    recording = engine(b.build(duration_s=1_000.0))
    assert {amount: finished(recording, f'{amount}')[0] - 100.0 * i for i, amount in enumerate(exact)} == exact


def test_thousands_of_devices_come_up_at_once(engine: Engine) -> None:
    """Three thousand devices, each with a job that waits, go down and come up: all are served at once."""
    n = 3_000

    async def outage(world: World) -> None:
        world.change(devices, up=False)
        await world.sleep(2.0)
        world.change(devices, up=True)

    b = ModelBuilder()
    row, stream = b.class_('device'), b.stream('x', 'x')
    devices = b.entities(row, [-1] * n)
    b.route(stream, row, [Hop(SERVE, OWN_CPU, amount=3.0)])
    b.source(stream, row, LISTED, listed=[(index, 1.0) for index in range(n)])
    recording = engine(b.build(duration_s=20.0), controllers=(Controller('outage', outage),))
    assert finished(recording, 'x') == [5.0] * n
