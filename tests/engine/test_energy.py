"""Energy is the integral of power over the measured time, integrated again from the traced intervals."""

import numpy as np
import pytest

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.energy import energy_j
from sim.model import CRYPTO, FIRST_SLOT, LINK, LISTED, OWN_CPU, POISSON, RECEIVES, SERVE, TRANSMITS, Model
from sim.results.summary import device_energy
from sim.worlds import Controller, World
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import Array, hops

WARM_UP_S, DURATION_S = 50.0, 390.0
WATTS = {'base_w': 0.125, 'busy_w': 2.0, 'transmit_w': 0.75, 'receive_w': 0.5}


def ward(seed: int) -> Model:
    """Return four devices that work, send and receive over a lossy air, alarms before telemetry."""
    b = ModelBuilder(seed=seed)
    air = b.station('air', (20_000.0,), kind='air', frame_bytes=200, frame_overhead_bits=100.0, loss_ratio=0.1,
                    attempts_max=4)
    port = b.station('port', (1e6,), frame_bytes=1_500)
    server = b.station('server', (4.0,))
    row = b.class_('device', **WATTS)
    b.entities(row, [b.attachment('ward', 0, (air, air, port, port))] * 4)
    for name, priority, gap_s, amount in (('telemetry', 1, 12.0, 1.0), ('alarm', 0, 40.0, 2.0)):
        stream = b.stream(name, name)
        b.route(stream, row, [
            Hop(SERVE, OWN_CPU, 'read', amount=amount, law=b.law(laws.EXPONENTIAL)),
            Hop(SERVE, OWN_CPU, 'seal', amount=0.5, flags=CRYPTO),
            Hop(LINK, FIRST_SLOT, 'up', n_bytes=1_000, segment_bytes=400, window=2, radio=TRANSMITS, crypto_ratio=0.25),
            Hop(SERVE, server, 'answer'),
            Hop(LINK, FIRST_SLOT - 1, 'down', n_bytes=500, segment_bytes=400, window=2, radio=RECEIVES),
            Hop(SERVE, OWN_CPU, 'open', amount=0.25, flags=CRYPTO),
        ], priority=priority)
        b.source(stream, row, POISSON, gap_s)
    return b.build(duration_s=DURATION_S, warm_up_s=WARM_UP_S)


def clipped(from_s: Array, to_s: Array) -> float:
    """Return the length of intervals within the measured time."""
    return float(np.maximum(np.minimum(to_s, DURATION_S) - np.maximum(from_s, WARM_UP_S), 0.0).sum())


def union(from_s: Array, to_s: Array) -> tuple[Array, Array]:
    """Return disjoint intervals that cover the same times."""
    order = np.argsort(from_s)
    from_s, to_s = from_s[order], np.maximum.accumulate(to_s[order])
    begins = np.concatenate([[True], from_s[1:] > to_s[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return from_s[begins], to_s[ends]


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_seconds_equal_the_integral_of_the_traced_intervals(engine: Engine, seed: int) -> None:
    """Four devices with preemption and retransmission: busy, sending and receiving seconds from the trace, clipped.

    A CPU is at work whenever any of its work is between first start and end, preempted or not: busy seconds are the
    length of the union. Radio hops are never preempted: their seconds are the sum of the intervals.
    """
    recording = engine(ward(seed), trace='stages')
    table = hops(recording)
    for entity in range(4):
        mine = table['entity'] == entity
        at_cpu = mine & (table['station'] == -1)
        started, finished = table['started_s'], table['finished_s']
        busy_s = clipped(*union(started[at_cpu], finished[at_cpu]))
        assert recording.busy_s[entity, 0] == pytest.approx(busy_s, rel=1e-12)
        for hop, seconds in ((2, recording.transmit_s), (4, recording.receive_s)):
            at_air = mine & (table['hop'] % 6 == hop)
            exact = clipped(started[at_air], finished[at_air])
            assert seconds[entity, 0] == pytest.approx(exact, rel=1e-12)
            assert seconds[entity, 1] == pytest.approx(0.25 * exact if hop == 2 else 0.0, rel=1e-12)


def test_some_work_was_preempted_and_some_time_was_clipped(engine: Engine) -> None:
    """The ward of these tests has what they are about: intervals at a CPU that overlap, and hops before the warm-up."""
    table = hops(engine(ward(1), trace='stages'))
    at_cpu = (table['entity'] == 0) & (table['station'] == -1)
    started, finished = table['started_s'][at_cpu], table['finished_s'][at_cpu]
    first, last = union(started, finished)
    assert (last - first).sum() < (finished - started).sum() - 1.0
    assert (started < WARM_UP_S).any()
    assert table['finished_s'].max() > DURATION_S


def test_cryptographic_seconds_leave_out_the_slices_of_others(engine: Engine) -> None:
    """A seal of 4 s is interrupted for 3 s of other work: 7 s busy, 4 s by cryptography, for the job as well."""
    b = ModelBuilder()
    row = b.class_('device')
    b.entities(row, [-1])
    for name, time_s, amount, flags, priority in (('seal', 0.0, 4.0, CRYPTO, 1), ('alarm', 1.0, 3.0, 0, 0)):
        stream = b.stream(name, name)
        b.route(stream, row, [Hop(SERVE, OWN_CPU, amount=amount, flags=flags)], priority=priority)
        b.source(stream, row, LISTED, listed=[(0, time_s)])
    recording = engine(b.build(duration_s=10.0))
    assert recording.busy_s.tolist() == [[7.0, 4.0]]
    assert recording.crypto_sum_s.tolist() == [4.0, 0.0]


def test_work_that_straddles_the_measured_time_counts_for_its_part(engine: Engine) -> None:
    """Work from 1 to 4 and from 9 to 14, measured from 2 to 10: 2 s and 1 s."""
    b = ModelBuilder()
    row, stream = b.class_('device'), b.stream('x', 'x')
    b.entities(row, [-1])
    b.route(stream, row, [Hop(SERVE, OWN_CPU, amount=3.0)])
    b.source(stream, row, LISTED, listed=[(0, 1.0), (0, 9.0)])
    assert engine(b.build(duration_s=10.0, warm_up_s=2.0)).busy_s.tolist() == [[3.0, 0.0]]


def test_joules_are_watts_times_seconds(engine: Engine) -> None:
    """Read at 7 s, when all is quiet: base power all the time, and 3 s busy, 2 s sending, 1 s receiving above it.

    The tables, of 20 s, say the same with the base power of the rest.
    """
    read = {}

    async def meter(world: World) -> None:
        await world.sleep(7.0)
        read['energy'] = world.read('energy_j', np.array([device]))[0]
        read['charge'] = world.read('charge_j', np.array([device]))[0]

    b = ModelBuilder()
    link = b.station('link', (8_000.0,), frame_bytes=1_000)
    device = add_stream(b, 'x', [0.0], [
        Hop(SERVE, OWN_CPU, amount=3.0),
        Hop(LINK, link, 'up', n_bytes=2_000, segment_bytes=1_000, radio=TRANSMITS),
        Hop(LINK, link, 'down', n_bytes=1_000, segment_bytes=1_000, radio=RECEIVES),
    ], watts=WATTS | {'battery_j': 10.0})
    recording = engine(b.build(duration_s=20.0), controllers=(Controller('meter', meter),))
    exact = 0.125 * 7.0 + 2.0 * 3.0 + 0.75 * 2.0 + 0.5 * 1.0
    assert read == {'energy': exact, 'charge': 10.0 - exact}
    assert (recording.transmit_bytes[0], recording.receive_bytes[0]) == (2_000.0, 1_000.0)
    in_all, by_crypto = device_energy(recording)
    assert (in_all[0], by_crypto[0]) == (exact + 0.125 * 13.0, 0.0)


def test_energy_is_the_formula_with_each_power_once() -> None:
    """Two classes of unlike watts, each power of ten its own term: the digits of the sum tell what was multiplied."""
    b = ModelBuilder()
    for name, watts in (('a', 1.0), ('b', 2.0)):
        b.entities(b.class_(name, base_w=watts, busy_w=10.0 * watts, transmit_w=100.0 * watts,
                            receive_w=1_000.0 * watts), [-1])
    b.route(b.stream('x', 'x'), 0, [Hop(SERVE, OWN_CPU)])
    classes, of = b.build(duration_s=1.0).classes, np.array([1, 0, 1])
    seconds = np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [3.0, 1.0, 1.0]])
    assert energy_j(classes, of, 4.0, *seconds).tolist() == [2.0 * 3_214.0, 1_114.0, 2.0 * 1_004.0]
    assert energy_j(classes, of, 0.0, *seconds).tolist() == [2.0 * 3_210.0, 1_110.0, 2.0 * 1_000.0]


def test_a_battery_holds_no_less_than_nothing(engine: Engine) -> None:
    """A device that has used more than its battery held reads a charge of 0."""
    read = []

    async def meter(world: World) -> None:
        await world.sleep(90.0)
        read.append(world.read('charge_j', np.array([device]))[0])

    b = ModelBuilder()
    device = add_stream(b, 'x', [0.0], [Hop(SERVE, OWN_CPU)], watts={'base_w': 1.0, 'battery_j': 60.0})
    engine(b.build(duration_s=100.0), controllers=(Controller('meter', meter),))
    assert read == [0.0]
