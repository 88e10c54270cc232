"""Controllers: what a World promises (DESIGN 7), and the rounds of federated learning."""

from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from sim.building import Hop, ModelBuilder
from sim.controllers import federated_learning
from sim.model import (
    CONSUMER, DELAY, DELIVERED, DROPPED, ENDS_VISIT, EXPIRED, LISTED, MARKED, OWN_CPU, QUEUE, SERVE, LearningPlan,
    Model,
)
from sim.recording import Recording, RoundRow
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
    """k counts the launches of an entity's stream, whatever others do in between."""

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


# -- federated learning ------------------------------------------------------------------------------------------

def learning_model(n_clients: int) -> tuple[Model, int]:
    """Return a server (the last row) that publishes and aggregates in 0.5 s, and clients that train on their CPUs."""
    b = ModelBuilder()
    clients, server = b.class_('client'), b.class_('server')
    b.entities(clients, [-1] * n_clients)
    server_row = int(b.entities(server, [-1])[0])
    flows = {'fl-publish': (server, 'publish', 0.5), 'fl-update': (clients, 'fl.train', 1.0),
             'fl-aggregate': (server, 'fl.aggregate', 0.0)}
    for name, (row, stage, amount) in flows.items():
        curve = b.curve((0.0, 1_000.0), (0.5, 0.5)) if stage == 'fl.aggregate' else 0
        b.route(b.stream(name, name), row, [Hop(SERVE, OWN_CPU, stage, amount=amount, curve=curve)])
    return b.build(duration_s=1_000.0), server_row


def learn(engine: Engine, samples: list[float], **plan: float) -> list[RoundRow]:
    """Run rounds in which client i trains for samples[i] seconds."""
    model, server = learning_model(len(samples))
    settings = {'rounds': 2, 'fraction': 1.0, 'quorum': 1.0, 'deadline_s': 100.0, 'start_s': 0.0, 'pause_s': 0.0}
    rounds: list[RoundRow] = []
    learning = LearningPlan(clients=np.arange(len(samples)), server=server, samples=np.array(samples), update_bytes=100,
                            **(settings | plan))  # type: ignore[arg-type]
    engine(model, controllers=(federated_learning(learning, rounds),))
    return rounds


def test_synchronous_round_waits_for_all(engine: Engine) -> None:
    """Clients train 1, 2 and 3 s: published at 0.5, closed at 3.5, aggregated at 4; the second round is the same."""
    rounds = learn(engine, [1.0, 2.0, 3.0], start_s=10.0, pause_s=2.0)
    assert [(r.started_s, r.closed_s, r.aggregated_s, r.n_in_time) for r in rounds] == [
        (10.0, 13.5, 14.0, 3), (16.0, 19.5, 20.0, 3)]


def test_round_closes_at_its_quorum(engine: Engine) -> None:
    """Quorum 0.5 of four clients: the round closes with the second update, at 0.5 + 2 s."""
    rounds = learn(engine, [4.0, 1.0, 2.0, 3.0], quorum=0.5, rounds=1)
    assert [(r.closed_s, r.n_in_time, r.aggregated_s) for r in rounds] == [(2.5, 2, 3.0)]


def test_quorum_is_rounded_up(engine: Engine) -> None:
    """Quorum 0.5 of three clients is two of them."""
    assert [(r.closed_s, r.n_in_time) for r in learn(engine, [1.0, 2.0, 3.0], quorum=0.5, rounds=1)] == [(2.5, 2)]


def test_round_closes_at_its_deadline_with_what_is_there(engine: Engine) -> None:
    """Clients train 1 s and 50 s, the deadline is 5 s after publication: closed at 5.5 with one update."""
    rounds = learn(engine, [1.0, 50.0], deadline_s=5.0, rounds=1)
    assert [(r.closed_s, r.n_in_time, r.aggregated_s) for r in rounds] == [(5.5, 1, 6.0)]


def test_round_without_an_update_is_not_aggregated(engine: Engine) -> None:
    """Nobody is in time: the round closes at its deadline and nothing is aggregated."""
    rounds = learn(engine, [50.0], deadline_s=5.0, rounds=1)
    assert (rounds[0].closed_s, rounds[0].n_in_time) == (5.5, 0)
    assert np.isnan(rounds[0].aggregated_s)


def test_late_update_is_ignored_in_next_round(engine: Engine) -> None:
    """Client 1 trains 7 s, beyond the deadline of 5 s; its first update comes at 7.5, within the second round.

    The second round runs from 6 (published 6.5) to its deadline at 11.5, because it counts client 0 (7.5) only: had
    the late update counted, it would have closed with two at 7.5.
    """
    rounds = learn(engine, [1.0, 7.0], deadline_s=5.0)
    assert [(r.started_s, r.closed_s, r.n_in_time) for r in rounds] == [(0.0, 5.5, 1), (6.0, 11.5, 1)]


def test_fraction_of_the_clients_is_chosen_anew_each_round(engine: Engine) -> None:
    """A fifth of 20 clients: four a round, by draws that do not repeat from round to round."""
    model, server = learning_model(20)
    rounds: list[RoundRow] = []
    plan = LearningPlan(clients=np.arange(20), server=server, rounds=10, fraction=0.2, quorum=1.0, deadline_s=9.0,
                        start_s=0.0, pause_s=0.0, samples=np.ones(20), update_bytes=1)
    table = jobs(engine(model, controllers=(federated_learning(plan, rounds),)))
    chosen = [frozenset(table['entity'][r.jobs].tolist()) for r in rounds]
    assert {len(clients) for clients in chosen} == {4}
    assert len(set(chosen)) > 1
