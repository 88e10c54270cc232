"""Controllers: what a World promises."""

from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from sim.building import Hop, ModelBuilder
from sim.model import (
    CONSUMER,
    DELAY,
    DELIVERED,
    DROPPED,
    ENDS_VISIT,
    EXPIRED,
    LISTED,
    MARKED,
    OWN_CPU,
    QUEUE,
    SEALS,
    SERVE,
    Model,
)
from sim.results.recording import Recording
from sim.worlds import Controller, Outcomes, World
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import finished, jobs


def controlled(engine: Engine, model: Model, *bodies: Callable[[World], Coroutine[Any, Any, None]]) -> Recording:
    """Run a model under controllers named after their functions."""
    return engine(model, controllers=tuple(Controller(body.__name__, body) for body in bodies))


def workers(n: int, *, duration_s: float = 100.0, deadline_s: float = float('inf')) -> Model:
    """Return n entities that do what they are asked on their own CPUs: stage `task`, a second per unit."""
    b = ModelBuilder()
    row, stream = b.class_('worker'), b.stream('task', 'task')
    b.entities(row, [-1] * n)
    b.variants.append('slow')
    b.route(stream, row, [Hop(SERVE, OWN_CPU, 'task')], deadline_s=deadline_s)
    b.route(stream, row, [Hop(DELAY, -1, 'pause', amount=10.0), Hop(SERVE, OWN_CPU, 'task')], variant='slow')
    return b.build(duration_s=duration_s)


def seen(outcomes: Outcomes) -> list[tuple[int, float]]:
    """Return (entity, finish time) in the order in which they came."""
    return list(zip(outcomes.entity.tolist(), outcomes.finished_s.tolist(), strict=True))


def test_controller_starts_at_zero_and_sleeps_exactly(engine: Engine) -> None:
    """Ten sleeps of 0.1 s: the times are the running sum, to the bit."""
    times = []

    async def sleeper(world: World) -> None:
        for _ in range(10):
            times.append(world.now())
            await world.sleep(0.1)

    controlled(engine, workers(1), sleeper)
    assert times == [float(t) for t in np.cumsum([0.0] + [0.1] * 9)]


def test_take_waits_for_as_many_as_asked(engine: Engine) -> None:
    """Four workers end at 1, 2, 3 and 4: a take of two returns at 2, one of one at 3, and one of one at 4."""
    taken = []

    async def collect(world: World) -> None:
        inbox = world.inbox()
        numbers = world.launch('task', np.arange(4), inbox=inbox, amounts={'task': np.array([3.0, 1.0, 4.0, 2.0])})
        assert numbers.tolist() == [0, 1, 2, 3]
        for n in (2, 1, 1):
            outcomes = await inbox.take(n)
            assert set(outcomes.outcome) == {DELIVERED}
            assert set(outcomes.launched_s) == {0.0}
            taken.append((world.now(), seen(outcomes)))

    controlled(engine, workers(4), collect)
    assert taken == [(2.0, [(1, 1.0), (3, 2.0)]), (3.0, [(0, 3.0)]), (4.0, [(2, 4.0)])]


def test_an_amount_is_of_one_launch_only(engine: Engine) -> None:
    """A launch gives the first stage, of 1 s, 5 s; another, later, the second 2 s: they end at 6 and 23 s."""
    b = ModelBuilder()
    station, worker = b.station('server'), b.class_('worker')
    b.entities(worker, [-1])
    for stream in ('x', 'y'):
        b.route(b.stream(stream, stream), worker, [Hop(SERVE, station, stage) for stage in ('first', 'second')])
    ended = []

    async def launch(world: World) -> None:
        for stream, amounts in (('x', {'first': 5.0}), ('y', {'second': 2.0})):
            inbox = world.inbox()
            world.launch(stream, np.array([0]), inbox=inbox, amounts=amounts)
            ended.append(float((await inbox.take(1)).finished_s[0]))
            await world.sleep(20.0 - world.now())

    controlled(engine, b.build(duration_s=100.0), launch)
    assert ended == [6.0, 23.0]


def test_take_returns_what_is_there_at_its_deadline_and_the_rest_in_a_later_take(engine: Engine) -> None:
    """Three workers end at 1, 5 and 9. A take of three with a deadline of 6 s has two; the next take has the third."""
    taken = []

    async def collect(world: World) -> None:
        inbox = world.inbox()
        world.launch('task', np.arange(3), inbox=inbox, amounts={'task': np.array([1.0, 5.0, 9.0])})
        for _ in range(2):
            outcomes = await inbox.take(3, deadline_s=6.0)
            taken.append((world.now(), seen(outcomes)))

    controlled(engine, workers(3), collect)
    assert taken == [(6.0, [(0, 1.0), (1, 5.0)]), (12.0, [(2, 9.0)])]


def test_take_gives_all_that_is_there_when_there_is_more(engine: Engine) -> None:
    """Three outcomes have come by 10 s: a take of one returns at once, with all three, in the order of their ends."""
    taken = []

    async def collect(world: World) -> None:
        inbox = world.inbox()
        world.launch('task', np.arange(3), inbox=inbox, amounts={'task': np.array([3.0, 2.0, 1.0])})
        await world.sleep(10.0)
        outcomes = await inbox.take(1)
        taken.append((world.now(), seen(outcomes)))

    controlled(engine, workers(3), collect)
    assert taken == [(10.0, [(2, 1.0), (1, 2.0), (0, 3.0)])]


def test_outcome_at_the_deadline_is_in_time(engine: Engine) -> None:
    """A job that ends when the take's deadline is over is taken: rank 3 acts after all else."""
    taken = []

    async def collect(world: World) -> None:
        inbox = world.inbox()
        world.launch('task', np.arange(2), inbox=inbox, amounts={'task': 6.0})
        outcomes = await inbox.take(5, deadline_s=6.0)
        taken.extend([world.now(), outcomes.n])

    controlled(engine, workers(2), collect)
    assert taken == [6.0, 2]


def test_empty_take_ends_at_its_deadline(engine: Engine) -> None:
    """Nothing was launched: the take returns nothing after 3 s, one with a deadline that is over returns at once."""
    taken = []

    async def collect(world: World) -> None:
        inbox = world.inbox()
        for deadline_s in (3.0, 0.0):
            outcomes = await inbox.take(1, deadline_s=deadline_s)
            taken.append((world.now(), outcomes.n))

    controlled(engine, workers(1), collect)
    assert taken == [(3.0, 0), (3.0, 0)]


def test_deadline_of_a_take_that_was_satisfied_wakes_nobody(engine: Engine) -> None:
    """A take with a deadline of 10 s returns at 1; the sleep of 100 s after it ends at 101 and not at 10."""
    times = []

    async def collect(world: World) -> None:
        inbox = world.inbox()
        world.launch('task', np.arange(1), inbox=inbox)
        await inbox.take(1, deadline_s=10.0)
        times.append(world.now())
        await world.sleep(100.0)
        times.append(world.now())

    controlled(engine, workers(1, duration_s=200.0), collect)
    assert times == [1.0, 101.0]


def test_deadline_in_the_past_does_not_turn_back_the_time(engine: Engine) -> None:
    """A take or a sleep until a time that is over ends at once; the time of no event is before that of the last."""
    times = []

    async def late(world: World) -> None:
        await world.sleep(5.0)
        await world.inbox().take(1, deadline_s=-2.0)
        times.append(world.now())
        await world.sleep(-1.0)
        times.append(world.now())

    controlled(engine, workers(1), late)
    assert times == [5.0, 5.0]


def test_inboxes_are_apart(engine: Engine) -> None:
    """Two aggregators, each with an inbox: each takes the outcomes of its own jobs only."""
    taken: dict[str, list[tuple[int, float]]] = {}

    def aggregator(name: str, entities: list[int]) -> Callable[[World], Coroutine[Any, Any, None]]:
        async def body(world: World) -> None:
            inbox = world.inbox()
            world.launch('task', np.array(entities), inbox=inbox, amounts={'task': np.array([2.0, 1.0])})
            taken[name] = seen(await inbox.take(2))

        body.__name__ = name
        return body

    controlled(engine, workers(4), aggregator('east', [0, 1]), aggregator('west', [2, 3]))
    assert taken == {'east': [(1, 1.0), (0, 2.0)], 'west': [(3, 1.0), (2, 2.0)]}


def test_launch_chooses_the_variant_and_the_deadline(engine: Engine) -> None:
    """The slow variant pauses 10 s first; a deadline of a launch replaces the route's, and an outcome says expired."""
    taken = []

    async def launch(world: World) -> None:
        inbox = world.inbox()
        for variant, deadline_s in (('default', None), ('slow', None), ('slow', 20.0), ('default', 0.5)):
            world.launch('task', np.array([0]), inbox=inbox, variant=variant, deadline_s=deadline_s)
            outcomes = await inbox.take(1)
            taken.append((outcomes.finished_s[0] - outcomes.launched_s[0], outcomes.outcome[0]))

    controlled(engine, workers(1, deadline_s=5.0), launch)
    assert taken == [(1.0, DELIVERED), (11.0, DELIVERED), (11.0, DELIVERED), (1.0, EXPIRED)]


def test_launches_of_one_entity_are_counted(engine: Engine) -> None:
    """The number k counts the launches of an entity's stream, whatever others do in between."""

    async def launch(world: World) -> None:
        for entities in ([0, 1], [1], [1, 0, 2], [1]):
            world.launch('task', np.array(entities))
            await world.sleep(1.0)

    table = jobs(controlled(engine, workers(3), launch))
    by_entity = {entity: table['k'][table['entity'] == entity].tolist() for entity in range(3)}
    assert by_entity == {0: [0, 1], 1: [0, 1, 2, 3], 2: [0]}


def test_outcomes_carry_the_mark_and_every_kind_of_end(engine: Engine) -> None:
    """Two messages to a queue of one place, whose only pod is down: one is dropped and has no mark, one waits on."""
    taken = []

    async def launch(world: World) -> None:
        world.change('pod', up=False)
        await world.sleep(1.0)
        inbox = world.inbox()
        world.launch('x', np.array([0, 1]), inbox=inbox)
        dropped = await inbox.take(1)
        world.change('pod', up=True)
        served = await inbox.take(1)
        taken.extend([dropped.outcome.tolist(), np.isnan(dropped.mark_s[0]), served.outcome.tolist(), served.mark_s[0]])

    b = ModelBuilder()
    queue = b.queue('q', [b.station('pod')], capacity=1, deliver_s=2.0)
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [-1, -1])
    b.route(stream, row, [Hop(QUEUE, queue), Hop(SERVE, CONSUMER, flags=ENDS_VISIT | MARKED)])
    controlled(engine, b.build(duration_s=20.0), launch)
    assert taken == [[DROPPED], True, [DELIVERED], 3.0]


def test_controllers_end_with_the_run(engine: Engine) -> None:
    """At 10 s, the duration, a controller that wakes every 2.5 s is closed before it acts; its last time is 7.5 s."""
    times = []
    ended = []

    async def ticks(world: World) -> None:
        try:
            while True:
                times.append(world.now())
                await world.sleep(2.5)
        finally:
            ended.append(True)

    controlled(engine, workers(1, duration_s=10.0), ticks)
    assert times == [0.0, 2.5, 5.0, 7.5]
    assert ended == [True]


def test_error_in_a_controller_ends_the_run(engine: Engine) -> None:
    """A controller's exception comes out of the engine as it is."""

    async def broken(world: World) -> None:
        await world.sleep(1.0)
        raise LookupError('no such ward')

    with pytest.raises(LookupError, match='no such ward'):
        controlled(engine, workers(1), broken)


def test_source_is_switched_off_and_on(engine: Engine) -> None:
    """Launches every second from 0; off at 3, on at 6: those at 3, 4 and 5 do not happen, and k goes on counting."""

    async def switch(world: World) -> None:
        await world.sleep(2.5)
        world.change(np.array([quiet]), on=False)
        await world.sleep(3.0)
        world.change(np.array([quiet]), on=True)

    b = ModelBuilder()
    hop = [Hop(DELAY, -1, amount=0.5)]
    quiet = add_stream(b, 'quiet', [float(t) for t in range(10)], hop)
    add_stream(b, 'other', [float(t) for t in range(10)], hop)
    recording = controlled(engine, b.build(duration_s=20.0), switch)
    table = jobs(recording)
    assert table['k'][table['stream'] == 0].tolist() == [0, 1, 2, 6, 7, 8, 9]
    assert table['launched_s'][table['stream'] == 0].tolist() == [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 9.0]
    assert len(finished(recording, 'other')) == 10


def test_change_of_attachment_leads_later_jobs_another_way(engine: Engine) -> None:
    """A device moves from ward 0 to ward 1 at 2 s: the job on its way goes on in ward 0, the next goes to ward 1."""

    async def move(world: World) -> None:
        await world.sleep(2.0)
        world.change(device, attachment=1)

    b = ModelBuilder()
    airs = [b.station(f'air {i}', (1.0,)) for i in range(2)]
    for i, air in enumerate(airs):
        b.attachment(f'ward {i}', i, (air,) * 4)
    row, stream = b.class_('c'), b.stream('x', 'x')
    device = b.entities(row, [0])
    for group in range(2):
        b.route(stream, row, [Hop(DELAY, -1, amount=1.5), Hop(SERVE, -3, amount=1.0 + group)], group=group)
    b.source(stream, row, LISTED, listed=[(0, 1.0), (0, 3.0)])
    recording = controlled(engine, b.build(duration_s=20.0), move)
    assert jobs(recording)['route'].tolist() == [0, 1]
    assert finished(recording, 'x') == [3.5, 6.5]
    assert recording.station_served.tolist() == [1, 1]


def test_uniforms_of_a_controller_are_addressed(engine: Engine) -> None:
    """The same entity, purpose and k give the same number in (0, 1); another of the three gives another number."""
    drawn = {}

    async def draw(world: World) -> None:
        everyone = np.arange(100)
        for purpose, k in (('select', 0), ('select', 1), ('other', 0)):
            drawn[purpose, k] = world.uniform(everyone, purpose, k)
        drawn['reverse'] = world.uniform(everyone[::-1], 'select', 0)[::-1]

    controlled(engine, workers(100), draw)
    assert np.array_equal(drawn['reverse'], drawn['select', 0])
    values = np.concatenate([drawn['select', 0], drawn['select', 1], drawn['other', 0]])
    assert np.unique(values).size == 300
    assert values.min() > 0.0
    assert values.max() < 1.0


def test_one_entity_twice_in_a_launch_is_refused(engine: Engine) -> None:
    """Both jobs would be its next one and share their draws: a mistake of the controller, told at once."""

    async def launch(world: World) -> None:
        world.launch('x', np.array([0, 1, 0]))
        await world.sleep(1.0)

    b = ModelBuilder()
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [-1, -1])
    b.route(stream, row, [Hop(SERVE, b.station('s'))])
    with pytest.raises(AssertionError, match='x twice for one entity'):
        engine(b.build(duration_s=5.0), controllers=(Controller('launcher', launch),))


def test_entity_cannot_move_where_it_has_no_route(engine: Engine) -> None:
    """A route from floor 0 only: a move to floor 1 is a mistake of the controller, told at once."""

    async def move(world: World) -> None:
        world.change(np.array([0]), attachment=1)
        await world.sleep(1.0)

    b = ModelBuilder()
    for floor in range(2):
        link = b.station(f'link {floor}', kind='link')
        b.attachment(f'floor {floor}', floor, (link, link, link, link))
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [0])
    b.route(stream, row, [Hop(SERVE, b.station('s'))], group=0)
    with pytest.raises(AssertionError, match=r"no route from floor 1 for \['c'\]"):
        engine(b.build(duration_s=5.0), controllers=(Controller('mover', move),))


def test_controller_starts_others_in_the_order_of_their_names(engine: Engine) -> None:
    """Two controllers started at 1 act at 1, after their parent's turn, and go on by themselves once it has ended."""
    seen_at: list[tuple[str, float]] = []

    def child(name: str) -> Controller:
        async def run(world: World) -> None:
            seen_at.append((name, world.now()))
            await world.sleep(2.0)
            seen_at.append((name, world.now()))

        return Controller(name, run)

    async def parent(world: World) -> None:
        await world.sleep(1.0)
        for name in ('one', 'two'):
            world.start(child(name))
        seen_at.append(('parent', world.now()))

    controlled(engine, workers(1), parent)
    assert seen_at[0] == ('parent', 1.0)
    assert sorted(seen_at[1:3]) == [('one', 1.0), ('two', 1.0)]
    assert sorted(seen_at[3:]) == [('one', 3.0), ('two', 3.0)]


def test_controller_reads_what_devices_have_sealed(engine: Engine) -> None:
    """A device seals 100 bytes at 1, 2 and 3, warm-up or not: the sum is 200 just after 2, of another device 0."""
    read: list[list[float]] = []

    async def reader(world: World) -> None:
        await world.sleep(2.5)
        read.append(world.read('sealed_bytes', np.array([0, 1])).tolist())

    b = ModelBuilder()
    free = b.curve((0.0,), (0.0,))
    add_stream(b, 'x', [1.0, 2.0, 3.0], [Hop(SERVE, OWN_CPU, 'seal', curve=free, amount=100.0, flags=SEALS)])
    add_stream(b, 'y', [1.0], [Hop(SERVE, OWN_CPU, 'work')])
    controlled(engine, b.build(duration_s=5.0, warm_up_s=1.5), reader)
    assert read == [[200.0, 0.0]]
