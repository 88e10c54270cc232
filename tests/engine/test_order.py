"""Events are ordered by (time, rank, tie), never by when they were scheduled."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import CONSUMER, DELAY, DROPPED, ENDS_VISIT, FIFO, LISTED, POISSON, QUEUE, SERVE, Model
from sim.worlds import Controller, World
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import by_address, finished, hops, hops_by_address, job_key, outcomes
from tests.validation.intervals import share_interval


def busy_ward(order: random.Random) -> Model:
    """Return one and the same ward, its rows added in the order that a generator shuffles.

    Arrivals and services are whole seconds, so that nearly every event is one of several at its time.
    """
    b = ModelBuilder(seed=5)
    stations = {}
    for name in order.sample(('front', 'middle', 'back'), 3):
        stations[name] = b.station(name, (1.0, 2.0) if name == 'middle' else (1.0,))
    pods = {name: b.station(name, discipline=FIFO) for name in order.sample(('pod-a', 'pod-b'), 2)}
    work = b.queue('work', [pods['pod-a'], pods['pod-b']], prefetch=2, capacity=3, acknowledge_s=1.0)
    classes = {name: b.class_(name) for name in order.sample(('bed', 'pump', 'scanner'), 3)}
    for name in order.sample(sorted(classes), 3):
        b.entities(classes[name], [-1] * 3)
    names = ['alarm', 'image', 'vitals']
    streams = {name: b.stream(name, name) for name in order.sample(names, 3)}
    ways = {
        'alarm': [Hop(SERVE, stations['front']), Hop(SERVE, stations['back'])],
        'image': [Hop(SERVE, stations['middle'], amount=4.0, latency_s=1.0), Hop(SERVE, stations['back'], amount=2.0)],
        'vitals': [Hop(SERVE, stations['front']), Hop(QUEUE, work), Hop(SERVE, CONSUMER, flags=ENDS_VISIT, amount=2.0)],
    }
    pairs = [(stream, name) for stream in names for name in sorted(classes)]
    for stream, name in order.sample(pairs, len(pairs)):
        b.route(streams[stream], classes[name], ways[stream], priority=0 if stream == 'alarm' else 1)
    for stream, name in order.sample(pairs, len(pairs)):
        listed = [(index, float(2 * k)) for index in range(3) for k in range(20)]
        b.source(streams[stream], classes[name], LISTED, listed=order.sample(listed, len(listed)))
    return b.build(duration_s=60.0)


@pytest.mark.parametrize('shuffle', range(2, 6))
def test_ties_do_not_depend_on_the_order_in_which_a_model_is_built(engine: Engine, shuffle: int) -> None:
    """A ward full of ties, its rows added in two orders: every job and hop, by address, has the same times."""
    a, b = (engine(busy_ward(random.Random(seed)), trace='stages') for seed in (1, shuffle))
    assert len(by_address(a)) == a.n_launched == 540
    assert by_address(a) == by_address(b)
    assert hops_by_address(a) == hops_by_address(b)


@pytest.mark.parametrize('position', [0, 1, 2])
def test_simultaneous_arrivals_are_served_in_the_order_of_their_keys(engine: Engine, position: int) -> None:
    """Two entities arrive together 100 times: the smaller hash of (rank, job address, position) is served first.

    Which of the two it is changes from time to time, as a fair tie does: the share is inside the exact interval.
    """
    b = ModelBuilder(seed=3)
    station, beds, x = b.station('s'), b.class_('bed'), b.stream('x', 'x')
    b.entities(beds, [-1, -1])
    b.route(x, beds, [Hop(DELAY, -1, amount=0.5)] * position + [Hop(SERVE, station)])
    b.source(x, beds, LISTED, listed=[(index, 10.0 * k) for index in range(2) for k in range(100)])
    recording = engine(b.build(duration_s=1_000.0))
    n_first = 0
    for k in range(100):
        keys = [laws.event_key(laws.ARRIVE, job_key(3, 'bed', index, 'x', k), position, 0, 0) for index in range(2)]
        first = keys.index(min(keys))
        n_first += first
        begin_s = 10.0 * k + 0.5 * position
        assert finished(recording, 'x', first)[k] == begin_s + 1.0
        assert finished(recording, 'x', 1 - first)[k] == begin_s + 2.0
    low, high = share_interval(n_first, 100)
    assert low <= 0.5 <= high


def test_simultaneous_ends_of_service_free_their_servers_in_the_order_of_their_keys(engine: Engine) -> None:
    """Servers of speeds 1 and 2 end together at 4, and one job of 4 waits: the server of the smaller key takes it.

    Jobs a (4 at speed 1) and b (8 at speed 2) run from 0; forty names, so that either server is the first at times.
    """
    ends = []
    for i in range(40):
        b = ModelBuilder(seed=8)
        station = b.station('s', (1.0, 2.0))
        just_after_s = math.nextafter(0.0, 1.0)
        for name, time_s, amount in ((f'a{i}', 0.0, 4.0), (f'b{i}', just_after_s, 8.0), (f'c{i}', 1.0, 4.0)):
            add_stream(b, name, [time_s], [Hop(SERVE, station, amount=amount)])
        recording = engine(b.build(duration_s=10.0))
        assert finished(recording, f'a{i}') == finished(recording, f'b{i}') == [4.0]
        keys = [laws.event_key(laws.SERVICE_END, job_key(8, name, 0, name, 0), 0, 0, 0) for name in (f'a{i}', f'b{i}')]
        assert finished(recording, f'c{i}') == [8.0 if keys[0] < keys[1] else 6.0]
        ends += finished(recording, f'c{i}')
    assert set(ends) == {6.0, 8.0}


def test_change_precedes_the_end_of_service(engine: Engine) -> None:
    """A station goes down at the time at which a service would end: rank 0 acts first and the service restarts."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], [Hop(SERVE, b.station('s'), amount=2.0)])
    b.changes += [(2.0, 's', False), (3.0, 's', True)]
    assert finished(engine(b.build(duration_s=10.0)), 'x') == [5.0]


def test_change_precedes_an_arrival(engine: Engine) -> None:
    """A station comes up and a less urgent job, which waited, starts before the urgent one of the same time."""
    b = ModelBuilder()
    station = b.station('s')
    add_stream(b, 'low', [1.0], [Hop(SERVE, station, amount=2.0)], priority=1)
    add_stream(b, 'high', [3.0], [Hop(SERVE, station, amount=2.0)], priority=0)
    b.changes += [(0.0, 's', False), (3.0, 's', True)]
    recording = engine(b.build(duration_s=10.0))
    assert finished(recording, 'low') == [5.0]
    assert finished(recording, 'high') == [7.0]


def test_end_of_service_precedes_an_arrival(engine: Engine) -> None:
    """A server is freed at 2 and takes who waits then; the urgent job that arrives at 2 comes after."""
    b = ModelBuilder()
    station = b.station('s')
    add_stream(b, 'low', [0.0, 1.0], [Hop(SERVE, station, amount=2.0)], priority=1)
    add_stream(b, 'high', [2.0], [Hop(SERVE, station, amount=2.0)], priority=0)
    recording = engine(b.build(duration_s=10.0))
    assert finished(recording, 'low') == [2.0, 4.0]
    assert finished(recording, 'high') == [6.0]


def test_acknowledgement_precedes_an_arrival(engine: Engine) -> None:
    """A credit returns at 2 and empties the queue of one place before the message that arrives at 2 wants it."""
    b = ModelBuilder()
    pod = b.station('pod', discipline=FIFO)
    visit = [Hop(QUEUE, b.queue('q', [pod], capacity=1)), Hop(SERVE, CONSUMER, amount=2.0, flags=ENDS_VISIT)]
    add_stream(b, 'x', [0.0, 1.0, 2.0], visit)
    add_stream(b, 'refused', [1.5], visit)
    recording = engine(b.build(duration_s=10.0))
    assert finished(recording, 'x') == [2.0, 4.0, 6.0]
    assert outcomes(recording, 'refused') == [DROPPED]


def test_arrival_precedes_a_controller(engine: Engine) -> None:
    """A controller that wakes when a job arrives and another ends sees the one and not the other."""
    seen: list[float] = []

    async def look(world: World) -> None:
        await world.sleep(2.0)
        seen.extend([world.read('busy', 's')[0], world.read('waiting', 's')[0]])

    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 2.0, 2.0], [Hop(SERVE, b.station('s'), amount=2.0)])
    engine(b.build(duration_s=10.0), controllers=(Controller('look', look),))
    assert seen == [1.0, 1.0]


def test_event_keys_put_the_rank_above_the_tie() -> None:
    """Keys of 4,000 addresses: every key of a lower rank is below every key of a higher one, and none is negative."""
    ranks = {}
    for kind in (laws.CHANGE, laws.SERVICE_END, laws.ARRIVE, laws.WAKE):
        ranks[kind] = [laws.event_key(kind, job_key(1, 'c', 0, 'x', k), k, k, 0) for k in range(1_000)]
        assert len(set(ranks[kind])) == 1_000
    ordered = list(ranks.values())
    assert min(ordered[0]) >= 0
    for lower, higher in pairwise(ordered):
        assert max(lower) < min(higher)


def test_poisson_arrivals_do_not_depend_on_the_order_of_sources(engine: Engine) -> None:
    """Two Poisson streams, added in either order: the same launch times by address."""
    found = []
    for names in (('a', 'b'), ('b', 'a')):
        b = ModelBuilder(seed=9)
        station = b.station('s')
        for name in names:
            row, stream = b.class_(name), b.stream(name, name)
            b.entities(row, [-1, -1])
            b.route(stream, row, [Hop(SERVE, station)])
            b.source(stream, row, POISSON, 2.0)
        found.append(by_address(engine(b.build(duration_s=100.0))))
    assert found[0] == found[1]


def test_changes_of_one_target_act_in_the_order_in_which_they_are_asked_for(engine: Engine) -> None:
    """Twenty stations restarted at one instant by a controller, and planned outages back to back, the same way.

    Down and up at 1: the work of 4 s starts over at 1. Outages from 1 to 2 and from 2 to 3: it starts over at 3.
    """

    async def restart(world: World) -> None:
        await world.sleep(1.0)
        for i in range(20):
            world.change(f's{i}', up=False)
            world.change(f's{i}', up=True)

    for controllers, back_s in (((Controller('restart', restart),), 1.0), ((), 3.0)):
        b = ModelBuilder()
        for i in range(20):
            add_stream(b, f'x{i}', [0.0], [Hop(SERVE, b.station(f's{i}'), amount=4.0)])
            if not controllers:
                b.changes += [(1.0, f's{i}', False), (2.0, f's{i}', True), (2.0, f's{i}', False), (3.0, f's{i}', True)]
        recording = engine(b.build(duration_s=10.0), controllers=controllers)
        assert [finished(recording, f'x{i}') for i in range(20)] == [[back_s + 4.0]] * 20


def test_outage_elsewhere_does_not_turn_a_tie(engine: Engine) -> None:
    """Twenty times two pods come up together and one message waits: who takes it does not depend on other outages."""
    takers = []
    for n_others in range(4):
        b = ModelBuilder()
        b.station('elsewhere')
        b.changes += [(float(i), 'elsewhere', bool(i % 2)) for i in range(n_others)]
        for i in range(20):
            pods = [b.station(f'{name} {i}', discipline=FIFO) for name in 'ab']
            visit = [Hop(QUEUE, b.queue(f'q{i}', pods), 'broker.route'), Hop(SERVE, CONSUMER, flags=ENDS_VISIT)]
            add_stream(b, f'x{i}', [1.0], visit)
            b.changes += [(time_s, f'{name} {i}', time_s > 0.0) for name in 'ab' for time_s in (0.0, 5.0)]
        recording = engine(b.build(duration_s=10.0), trace='stages')
        rows = hops(recording)
        served = rows['station'] >= 0
        takers.append(rows['station'][served][np.argsort(rows['stream'][served])].tolist())
    assert takers.count(takers[0]) == len(takers)
    assert len(set(np.array(takers[0]) % 2)) == 2
