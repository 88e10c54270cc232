"""Broker queues with competing consumers: credit, acknowledgement, bound, death."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import (
    CHECKS_KEY,
    CONSUMER,
    DELIVERED,
    DROPPED,
    ENDS_VISIT,
    FIFO,
    LISTED,
    POISSON,
    QUEUE,
    REJECTED,
    SAME_VISIT,
    SERVE,
)
from sim.results.recording import Recording
from sim.worlds import Controller, World
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import by_address, finished, hops, job_key, jobs, outcomes


def consumed(b: ModelBuilder, amount: float = 1.0, *, n_consumers: int = 1, n_servers: int = 1,
             **queue: float) -> list[Hop]:
    """Return the hops of a visit of one stage to one of some pods behind one queue."""
    pods = [b.station(f'pod {i}', (1.0,) * n_servers, discipline=FIFO) for i in range(n_consumers)]
    row = b.queue('q', pods, **queue)  # type: ignore[arg-type]
    return [Hop(QUEUE, row, 'broker.route'), Hop(SERVE, CONSUMER, amount=amount, flags=ENDS_VISIT)]


def visited(recording: Recording) -> dict[str, np.ndarray]:
    """Return the services at consumers, in the order of their starts."""
    table = hops(recording)
    chosen = np.flatnonzero(table['station'] >= 0)
    order = chosen[np.argsort(table['started_s'][chosen], kind='stable')]
    return {name: column[order] for name, column in table.items()}


@pytest.mark.parametrize('prefetch', [1, 2, 5])
def test_no_consumer_ever_holds_more_than_prefetch(engine: Engine, prefetch: int) -> None:
    """Overloaded Poisson arrivals at three pods: between delivery and acknowledgement lie at most prefetch messages.

    Counted from the trace: + 1 when the broker sends to a pod, - 1 when its acknowledgement is back.
    """
    b = ModelBuilder(seed=2)
    acknowledge_s = 0.25
    visit = consumed(b, n_consumers=3, prefetch=prefetch, deliver_s=0.1, acknowledge_s=acknowledge_s)
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [-1])
    b.route(stream, row, [visit[0], Hop(SERVE, CONSUMER, law=b.law(laws.EXPONENTIAL), flags=ENDS_VISIT)])
    b.source(stream, row, POISSON, 0.2)
    recording = engine(b.build(duration_s=200.0), trace='stages')
    table = hops(recording)
    waits, services = table['station'] < 0, table['station'] >= 0
    sent_s = dict(zip(table['job'][waits], table['started_s'][waits], strict=True))
    for pod in range(3):
        mine = services & (table['station'] == pod)
        changes = [(sent_s[job], 1) for job in table['job'][mine]]
        changes += [(end_s + acknowledge_s, -1) for end_s in table['finished_s'][mine]]
        held = np.cumsum([change for _, change in sorted(changes)])
        assert held.max() == prefetch


def test_head_goes_round_robin_to_consumers_with_credit(engine: Engine) -> None:
    """Three pods of one credit, seven messages of unlike length: the next pod with credit takes each.

    Pods 0, 1, 2 take the first three; at 10, 1 acknowledges and takes the fourth, then at 11 pod 0 takes the fifth
    (the round went on to 2, which is still busy). At 20 pods 0 and 1 are free and the round stands at 1.
    """
    b = ModelBuilder()
    visit = consumed(b, n_consumers=3)
    amounts = [11.0, 9.0, 100.0, 5.0, 5.0, 1.0, 1.0]
    times = [0.0, 1.0, 2.0, 3.0, 4.0, 20.0, 20.5]
    for i, (time_s, amount) in enumerate(zip(times, amounts, strict=True)):
        add_stream(b, f'm{i}', [time_s], [visit[0], Hop(SERVE, CONSUMER, amount=amount, flags=ENDS_VISIT)])
    table = visited(engine(b.build(duration_s=100.0), trace='stages'))
    assert table['stream'].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert table['station'].tolist() == [0, 1, 2, 1, 0, 1, 0]
    assert table['started_s'].tolist() == [0.0, 1.0, 2.0, 10.0, 11.0, 20.0, 20.5]


def test_credit_returns_with_the_acknowledgement(engine: Engine) -> None:
    """One credit, service 2 s, acknowledgement 1 s: services start every 3 s. With two credits the pod never idles."""
    starts = {}
    for prefetch in (1, 2):
        b = ModelBuilder()
        add_stream(b, 'x', [0.0] * 3, consumed(b, 2.0, prefetch=prefetch, acknowledge_s=1.0))
        starts[prefetch] = visited(engine(b.build(duration_s=10.0), trace='stages'))['started_s'].tolist()
    assert starts == {1: [0.0, 3.0, 6.0], 2: [0.0, 2.0, 4.0]}


def test_delivery_takes_its_time(engine: Engine) -> None:
    """A delivery of 0.5 s: the message is with the pod half a second after the head was sent."""
    b = ModelBuilder()
    add_stream(b, 'x', [1.0], consumed(b, deliver_s=0.5))
    recording = engine(b.build(duration_s=10.0), trace='stages')
    wait, service = (row for row in zip(*(hops(recording)[name] for name in ('arrived_s', 'started_s', 'finished_s')),
                                        strict=True))
    assert wait == (1.0, 1.0, 1.5)
    assert service == (1.5, 1.5, 2.5)


def test_nothing_overtakes_in_the_line_of_a_consumer(engine: Engine) -> None:
    """An urgent message that comes when the pod holds an ordinary one by prefetch is served after it."""
    b = ModelBuilder()
    visit = consumed(b, 4.0, prefetch=2)
    urgent = [Hop(QUEUE, b.queue('urgent', [0], prefetch=1), 'broker.route'), visit[1]]
    add_stream(b, 'x', [0.0, 1.0, 2.0], visit, priority=1)
    add_stream(b, 'alarm', [3.0], urgent, priority=0)
    recording = engine(b.build(duration_s=10.0))
    assert finished(recording, 'alarm') == [12.0]
    assert finished(recording, 'x') == [4.0, 8.0, 16.0]


def test_full_queue_refuses(engine: Engine) -> None:
    """Room for two beside the one at work: of five messages the last two are dropped, and one later finds room."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0, 2.0, 3.0, 4.0, 10.0], consumed(b, 10.0, capacity=2))
    recording = engine(b.build(duration_s=20.0))
    assert outcomes(recording, 'x') == [DELIVERED] * 3 + [DROPPED] * 2 + [DELIVERED]
    assert finished(recording, 'x') == [10.0, 20.0, 30.0, 3.0, 4.0, 40.0]
    assert recording.queue_dropped.tolist() == [2]
    assert recording.queue_delivered.tolist() == [3], 'the fourth is delivered in the drain'
    assert recording.queue_waiting_max.tolist() == [2]


def test_messages_of_a_dead_consumer_return_to_their_place(engine: Engine) -> None:
    """Pod 0 dies at 5 holding messages 0 and 2; they return at 8, ahead of 4 and 5, which waited, with attempt 1.

    Pod 1 (service 10 s, two credits) holds 1 and 3 then and does all: 1, 3, 0, 2, 4, 5, one every ten seconds.
    """
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 1.0, 2.0, 3.0, 4.0, 4.5], consumed(b, 10.0, n_consumers=2, prefetch=2, detect_s=3.0))
    b.changes += [(5.0, 'pod 0', False)]
    recording = engine(b.build(duration_s=20.0), trace='stages')
    table = visited(recording)
    assert table['k'].tolist() == [1, 3, 0, 2, 4, 5]
    assert table['finished_s'].tolist() == [11.0, 21.0, 31.0, 41.0, 51.0, 61.0]
    assert jobs(recording)['attempt'].tolist() == [1, 0, 1, 0, 0, 0]
    assert outcomes(recording, 'x') == [DELIVERED] * 6
    assert recording.queue_redelivered.tolist() == [2]


def test_redelivered_message_keeps_its_draw(engine: Engine) -> None:
    """A pod dies halfway through exponential work: the other pod does the same amount from the time of detection on."""
    b = ModelBuilder(seed=6)
    visit = consumed(b, n_consumers=2, detect_s=2.0)
    work = Hop(SERVE, CONSUMER, law=b.law(laws.EXPONENTIAL), amount=10.0, flags=ENDS_VISIT)
    add_stream(b, 'x', [0.0], [visit[0], work])
    address = laws.name_key('server', 'work', 0, SERVE, 0)
    draw = 10.0 * -math.log(laws.uniform(job_key(6, 'x', 0, 'x', 0), laws.SERVICE, address, 0, 0))
    b.changes += [(draw / 2.0, 'pod 0', False)]
    assert finished(engine(b.build(duration_s=50.0)), 'x') == [draw / 2.0 + 2.0 + draw]


def test_delivery_under_way_to_a_dead_consumer_is_void(engine: Engine) -> None:
    """Pod 0 dies at 1 while a message is on its way (6 s); detected at 2, it goes to pod 1 and arrives there at 8.

    The first delivery would have come at 6, when the message belongs to pod 1 already: it must not be taken for the
    second one.
    """
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], consumed(b, n_consumers=2, deliver_s=6.0, detect_s=1.0))
    b.changes += [(1.0, 'pod 0', False)]
    recording = engine(b.build(duration_s=50.0), trace='stages')
    assert finished(recording, 'x') == [9.0]
    assert visited(recording)['station'].tolist() == [1]
    assert recording.outcomes.sum() == 1


def test_delivery_under_way_is_void_when_the_same_consumer_is_back(engine: Engine) -> None:
    """The only pod is down from 1 to 2; the message, sent at 0 (6 s), returns at 4 and arrives again at 10."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], consumed(b, deliver_s=6.0, detect_s=3.0))
    b.changes += [(1.0, 'pod 0', False), (2.0, 'pod 0', True)]
    recording = engine(b.build(duration_s=50.0))
    assert finished(recording, 'x') == [11.0]
    assert jobs(recording)['attempt'].tolist() == [1]


def test_acknowledgement_of_a_dead_consumer_gives_no_credit(engine: Engine) -> None:
    """A pod dies at 3 with an acknowledgement under way until 6 and is back at 4: it never holds two messages."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 0.0, 0.0], consumed(b, 2.0, acknowledge_s=4.0))
    b.changes += [(3.0, 'pod 0', False), (4.0, 'pod 0', True)]
    recording = engine(b.build(duration_s=50.0))
    assert finished(recording, 'x') == [2.0, 6.0, 12.0]


def test_waiting_messages_stay_with_the_broker_while_all_consumers_are_down(engine: Engine) -> None:
    """No pod is up from 0.5 to 7: three messages wait in the queue, count for its bound, and go out at 7."""
    b = ModelBuilder()
    add_stream(b, 'x', [1.0, 2.0, 3.0], consumed(b, 1.0, capacity=2))
    b.changes += [(0.5, 'pod 0', False), (7.0, 'pod 0', True)]
    recording = engine(b.build(duration_s=50.0))
    assert outcomes(recording, 'x') == [DELIVERED, DELIVERED, DROPPED]
    assert finished(recording, 'x')[:2] == [8.0, 9.0]
    assert recording.queue_waiting_s.tolist() == [6.0 + 5.0 + 1.0]


def test_work_that_came_without_the_broker_outlives_the_consumer(engine: Engine) -> None:
    """A pod of a queue and of direct jobs is down from 1 to 5: direct ones, at work and waiting, start over at 5."""
    b = ModelBuilder()
    add_stream(b, 'direct', [0.0, 0.5], [Hop(SERVE, b.station('pod', discipline=FIFO), amount=2.0)])
    queue = b.queue('q', [0], detect_s=1.0)
    add_stream(b, 'x', [0.75], [Hop(QUEUE, queue, 'broker.route'), Hop(SERVE, CONSUMER, amount=2.0, flags=ENDS_VISIT)])
    b.changes += [(1.0, 'pod', False), (5.0, 'pod', True)]
    recording = engine(b.build(duration_s=50.0))
    assert finished(recording, 'direct') == [7.0, 9.0]
    assert finished(recording, 'x') == [11.0]


def two_stage_visit(b: ModelBuilder, flags: int = 0, **queue: float) -> Sequence[Hop]:
    """Return a visit of two stages, 2 s and 3 s, to a pod of two unlike servers."""
    row = b.queue('q', [b.station('pod', (1.0, 0.5), discipline=FIFO)], **queue)  # type: ignore[arg-type]
    return [Hop(QUEUE, row, 'broker.route'), Hop(SERVE, CONSUMER, 'open', amount=2.0, flags=flags),
            Hop(SERVE, CONSUMER, 'store', amount=3.0, flags=SAME_VISIT | ENDS_VISIT)]


def test_stages_of_one_visit_run_on_the_same_server_without_a_break(engine: Engine) -> None:
    """Servers of speeds 1 and 0.5 and three messages at once: each does both its stages before the server is free.

    On server 0: 2 + 3 s, on server 1: 4 + 6 s; the third message waits until 5 although a stage ended at 2.
    """
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 0.0, 0.0], two_stage_visit(b, prefetch=10))
    recording = engine(b.build(duration_s=20.0), trace='stages')
    table = visited(recording)
    spans = list(zip(table['started_s'].tolist(), table['finished_s'].tolist(), strict=True))
    assert sorted(spans) == [(0.0, 2.0), (0.0, 4.0), (2.0, 5.0), (4.0, 10.0), (5.0, 7.0), (7.0, 10.0)]
    assert sorted(jobs(recording)['finished_s']) == [5.0, 10.0, 10.0]


def test_visit_starts_over_when_its_consumer_dies_in_the_second_stage(engine: Engine) -> None:
    """The pod is down from 3 to 4, in the second stage: after detection at 5 both stages run again, 5 to 7 to 10."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], two_stage_visit(b, detect_s=2.0))
    b.changes += [(3.0, 'pod', False), (4.0, 'pod', True)]
    recording = engine(b.build(duration_s=20.0), trace='stages')
    table = visited(recording)
    assert table['attempt'].tolist() == [0, 1, 1]
    assert table['finished_s'].tolist() == [2.0, 7.0, 10.0]
    assert finished(recording, 'x') == [10.0]


def test_refused_job_leaves_the_visit_and_gives_its_credit_back(engine: Engine) -> None:
    """A device without a valid key: the first stage, 2 s, finds out; the second is left out and the next job starts."""

    async def revoke(world: World) -> None:
        world.change(np.array([0]), valid_from=math.inf)

    b = ModelBuilder()
    visit = two_stage_visit(b, flags=CHECKS_KEY)
    add_stream(b, 'revoked', [1.0], visit)
    add_stream(b, 'valid', [2.0], visit)
    recording = engine(b.build(duration_s=20.0), controllers=(Controller('revoke', revoke),))
    assert outcomes(recording, 'revoked') == [REJECTED]
    assert finished(recording, 'revoked') == [3.0]
    assert finished(recording, 'valid') == [3.0 + 4.0 + 6.0]  # server 1, idle since 0, at speed 0.5


def test_consumer_does_a_stage_at_the_cost_of_its_own_profile(engine: Engine) -> None:
    """Pods of unlike hardware behind one queue: each takes the curve and the law in its own row of the stage's blocks.

    Amount 2 costs 2 s on pod 0, of constant law, and 10 s times the exponential draw of the job on pod 1.
    """
    b = ModelBuilder(seed=3)
    pods = [b.station(f'pod {i}', discipline=FIFO, law_offset=i) for i in range(2)]
    curve = b.curve_block([((0.0, 1.0), (0.0, 1.0)), ((0.0, 1.0), (0.0, 5.0))])
    law = b.law_block([(laws.CONSTANT, ()), (laws.EXPONENTIAL, ())])
    visit = [Hop(QUEUE, b.queue('q', pods), 'broker.route'),
             Hop(SERVE, CONSUMER, curve=curve, law=law, amount=2.0, flags=ENDS_VISIT)]
    add_stream(b, 'x', [0.0, 1.0], visit)
    address = laws.name_key('server', 'work', 0, SERVE, 0)
    draw = -math.log(laws.uniform(job_key(3, 'x', 0, 'x', 1), laws.SERVICE, address, 0, 0))
    assert finished(engine(b.build(duration_s=50.0)), 'x') == [2.0, 1.0 + 10.0 * draw]


@pytest.mark.parametrize('seed', range(1, 6))
def test_every_job_ends_once_whatever_dies(engine: Engine, seed: int) -> None:
    """Three pods die and return all the time: each of 300 jobs has one outcome, most are delivered in a later attempt.

    Nothing is lost: without a bound and with all pods up in the end, every job is delivered.
    """
    b = ModelBuilder(seed=seed)
    visit = consumed(b, n_consumers=3, n_servers=2, prefetch=4, deliver_s=0.75, acknowledge_s=0.5, detect_s=0.5)
    row, stream = b.class_('c'), b.stream('x', 'x')
    b.entities(row, [-1] * 30)
    b.route(stream, row, [visit[0], Hop(SERVE, CONSUMER, law=b.law(laws.EXPONENTIAL), amount=2.0, flags=ENDS_VISIT)])
    b.source(stream, row, LISTED, listed=[(index, 10.0 * k + index / 3.0) for index in range(30) for k in range(10)])
    for i in range(60):
        b.changes += [(1.0 + 2 * i, f'pod {i % 3}', False), (3.0 + 2 * i, f'pod {i % 3}', True)]
    recording = engine(b.build(duration_s=500.0))
    table = jobs(recording)
    assert table['job'].tolist() == list(range(recording.n_launched))
    assert len(by_address(recording)) == recording.n_launched
    assert set(table['outcome']) == {DELIVERED}
    assert table['attempt'].sum() == recording.queue_redelivered[0] > 100
    assert recording.queue_delivered[0] == recording.n_launched + recording.queue_redelivered[0]
