"""Links between the broker and its consumers: time, contention, order, and messages to the dead."""

import pytest

from sim.building import NO_SLOTS, Hop, ModelBuilder
from sim.model import CONSUMER, CONSUMER_SLOTS, ENDS_VISIT, FIFO, FIRST_CONSUMER_SLOT, LINK, QUEUE, SERVE
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import finished, hops, jobs

OUT, IN, BACK, HOME = (FIRST_CONSUMER_SLOT - slot for slot in range(len(CONSUMER_SLOTS)))
RATE_BPS = 8_000.0  # a thousand bytes a second


def cluster(b: ModelBuilder, n_remote: int = 1, *, at_hand: bool = False, **queue: float) -> int:
    """Add pods behind a queue, each on a cable of its own; the broker's cable is shared. Return the queue."""
    out, home = (b.station(f'broker-{way}', (RATE_BPS,), kind='link') for way in ('out', 'home'))
    pods = []
    for i in range(n_remote):
        there, back = (b.station(f'node-{i}-{way}', (RATE_BPS,), kind='link') for way in ('in', 'back'))
        pods.append(b.station(f'pod {i}', discipline=FIFO, slots=(out, there, back, home)))
    if at_hand:
        pods.append(b.station('pod at hand', discipline=FIFO, slots=NO_SLOTS))
    return b.queue('q', pods, **queue)  # type: ignore[arg-type]


def visit(queue: int, n_bytes: int, *, amount: float = 1.0, segment_bytes: int = 1_000, window: int = 16,
          latency_s: float = 0.0) -> list[Hop]:
    """Return a queue, the way to a pod, and the pod's work."""
    way = [Hop(LINK, slot, 'net', n_bytes=n_bytes, segment_bytes=segment_bytes, window=window, latency_s=latency_s)
           for slot in (OUT, IN)]
    return [Hop(QUEUE, queue, 'broker.queue'), *way, Hop(SERVE, CONSUMER, amount=amount, flags=ENDS_VISIT)]


def test_message_crosses_both_links_and_their_latencies(engine: Engine) -> None:
    """A delivery of 0.5 s, two links of 2 s and 0.25 s each, work of 1 s: it is done after 6 s."""
    b = ModelBuilder()
    queue = cluster(b, deliver_s=0.5)
    add_stream(b, 'x', [1.0], visit(queue, 2_000, segment_bytes=2_000, latency_s=0.25))
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [7.0]


def test_segments_follow_each_other_to_the_pod(engine: Engine) -> None:
    """Four segments of 1 s over two links: the last is there after 5 s, not 8."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], visit(cluster(b), 4_000))
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [6.0]


def test_pod_on_the_brokers_own_computer_needs_no_link(engine: Engine) -> None:
    """A pod at hand: the message is there at once, and no hop of a link is written."""
    b = ModelBuilder()
    queue = cluster(b, 0, at_hand=True)
    add_stream(b, 'x', [0.0], visit(queue, 4_000))
    recording = engine(b.build(duration_s=20.0), trace='stages')
    assert finished(recording, 'x') == [1.0]
    assert recording.n_hops == 2


def test_pods_share_the_brokers_cable_and_not_their_own(engine: Engine) -> None:
    """Two messages of 3 s for two pods: the second waits for the broker's cable, then each has its node's own."""
    b = ModelBuilder()
    queue = cluster(b, 2)
    for name in ('x', 'y'):
        add_stream(b, name, [0.0], visit(queue, 3_000, segment_bytes=3_000))
    recording = engine(b.build(duration_s=20.0))
    assert sorted(finished(recording, 'x') + finished(recording, 'y')) == [7.0, 10.0]


def test_small_message_does_not_overtake_a_large_one_of_its_queue(engine: Engine) -> None:
    """Prefetch 2, five segments before one: on links and in the pod's line the order of the queue holds."""
    b = ModelBuilder()
    queue = cluster(b, prefetch=2)
    add_stream(b, 'large', [0.0], visit(queue, 5_000))
    add_stream(b, 'small', [0.5], visit(queue, 1_000))
    recording = engine(b.build(duration_s=20.0))
    assert finished(recording, 'large') == [7.0]
    assert finished(recording, 'small') == [8.0]


def test_message_goes_back_over_the_links_of_its_pod(engine: Engine) -> None:
    """After the visit 1,000 bytes take 1 s on the node's cable and 1 s on the broker's; a pod at hand takes none."""
    ends = []
    for at_hand in (False, True):
        b = ModelBuilder()
        queue = cluster(b, 0 if at_hand else 1, at_hand=at_hand)
        back = [Hop(LINK, slot, 'back', n_bytes=1_000, segment_bytes=1_000) for slot in (BACK, HOME)]
        add_stream(b, 'x', [0.0], [*visit(queue, 1_000), *back])
        ends += finished(engine(b.build(duration_s=20.0)), 'x')
    assert ends == [5.0, 1.0]


@pytest.mark.parametrize(('detect_s', 'end_s'), [(1.0, 13.0), (4.0, 13.5)])
def test_message_on_its_way_to_a_dead_pod_is_delivered_to_another(engine: Engine, detect_s: float,
                                                                 end_s: float) -> None:
    """Five segments are on the broker's cable when pod 0 dies at 1.5 s: they hold it until 5 s, and go no further.

    The message returns after `detect_s`. Found after 1 s, at 2.5, it waits for the cable until 5 s, has its five
    segments at pod 1 at 11 s and is done at 13 s, the work being of 2 s. Found after 4 s, at 5.5, nothing is before it.
    """
    b = ModelBuilder()
    queue = cluster(b, 2, detect_s=detect_s)
    add_stream(b, 'x', [0.0], visit(queue, 5_000, amount=2.0))
    b.changes += [(1.5, 'pod 0', False)]
    recording = engine(b.build(duration_s=30.0), trace='stages')
    table = hops(recording)
    names = [recording.model.stations.name[row] if row >= 0 else 'queue' for row in table['station'].tolist()]
    crossed = [(name, attempt) for name, attempt in zip(names, table['attempt'].tolist(), strict=True)]
    assert crossed.count(('broker-out', 0)) == 5
    assert crossed.count(('node-0-in', 0)) == 1, 'the segment that was on it when the pod died'
    assert crossed.count(('node-1-in', 1)) == 5
    assert jobs(recording)['attempt'].tolist() == [1]
    assert finished(recording, 'x') == [end_s]


def test_link_down_holds_messages_until_it_is_up(engine: Engine) -> None:
    """The node's cable is down from 0 to 5 s: the message waits at it, and is done 2 s after."""
    b = ModelBuilder()
    queue = cluster(b)
    add_stream(b, 'x', [0.0], visit(queue, 1_000))
    b.changes += [(0.0, 'node-0-in', False), (5.0, 'node-0-in', True)]
    assert finished(engine(b.build(duration_s=20.0)), 'x') == [7.0]


def publishing(b: ModelBuilder, n_remote: int, **queue: float) -> list[Hop]:
    """Return a visit whose worker publishes 1,000 bytes to the broker, which routes them in 1 s; then acknowledges."""
    row = cluster(b, n_remote, **queue)
    there = visit(row, 1_000)
    there[-1] = Hop(SERVE, CONSUMER, amount=1.0)
    back = [Hop(LINK, slot, 'back', n_bytes=1_000, segment_bytes=1_000) for slot in (BACK, HOME)]
    return [*there, *back, Hop(SERVE, b.station('broker'), 'broker.route', flags=ENDS_VISIT)]


def test_worker_acknowledges_what_it_published_when_the_broker_has_it(engine: Engine) -> None:
    """One credit: 2 s there, 1 s of work, 2 s back and 1 s of routing; the next message is sent at 6 s, not at 3."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0, 0.5], publishing(b, 1))
    assert finished(engine(b.build(duration_s=30.0)), 'x') == [6.0, 12.0]


@pytest.mark.parametrize(('dies_s', 'end_s'), [(3.5, 10.5), (5.5, 12.5)])
def test_what_a_dead_worker_had_published_is_done_again_by_another(engine: Engine, dies_s: float, end_s: float) -> None:
    """Dead on the way back or during routing, found after 1 s: 6 s later it is done by pod 1, and it ends once."""
    b = ModelBuilder()
    add_stream(b, 'x', [0.0], publishing(b, 2, detect_s=1.0))
    b.changes += [(dies_s, 'pod 0', False)]
    recording = engine(b.build(duration_s=30.0))
    assert finished(recording, 'x') == [end_s]
    assert recording.queue_redelivered.tolist() == [1]
    assert recording.n_launched == recording.outcomes.sum() == 1
