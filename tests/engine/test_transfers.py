"""Transfers: segments, windows, frames, losses and the shared air."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import DELIVERED, FIRST_SLOT, LINK, LOST, RECEIVES, SERVE, TRANSMITS
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import finished, hops, job_key, outcomes

AIR_UP, AIR_DOWN = FIRST_SLOT, FIRST_SLOT - 1


def pipeline(engine: Engine, rates_bps: Sequence[float], latencies_s: Sequence[float], n_segments: int, window: int,
             last_bytes: int = 1_000, wrap_bytes: int = 0) -> float:
    """Return when a message of 1,000-byte segments (the last may be shorter) has crossed empty links, from 0."""
    b = ModelBuilder()
    n_bytes = 1_000 * (n_segments - 1) + last_bytes
    legs = [
        Hop(LINK, b.station(f'link {i}', (rate,), frame_bytes=250, frame_overhead_bits=80.0), stage='net.transfer',
            n_bytes=n_bytes, segment_bytes=1_000, window=window, latency_s=latency, wrap_bytes=wrap_bytes)
        for i, (rate, latency) in enumerate(zip(rates_bps, latencies_s, strict=True))
    ]
    add_stream(b, 'x', [0.0], legs)
    return finished(engine(b.build(duration_s=1.0)), 'x')[0]


FULL_BITS = 8.0 * 1_000 + 4 * 80.0  # four frames of 250 bytes
RATES = (FULL_BITS / 0.25, FULL_BITS / 0.5, FULL_BITS / 0.125)  # so that a segment takes dyadic seconds: sums are exact
LATENCIES = (0.5, 0.25, 1.0)


@pytest.mark.parametrize('n_segments', [1, 2, 7, 40])
def test_segments_follow_each_other_through_a_pipeline(engine: Engine, n_segments: int) -> None:
    """Three empty links, no binding window: T = sum(t_i + latency_i) + (n - 1) max(t_i), to the bit."""
    times = (0.25, 0.5, 0.125)
    exact = sum(times) + sum(LATENCIES) + (n_segments - 1) * max(times)
    assert pipeline(engine, RATES, LATENCIES, n_segments, window=n_segments) == exact


@pytest.mark.parametrize('window', [1, 2, 3, 4])
@pytest.mark.parametrize('n_segments', [1, 2, 5, 12])
def test_binding_window_costs_a_trip_for_each_window(engine: Engine, window: int, n_segments: int) -> None:
    """With w max(t_i) < the trip R = sum(t_i + latency_i), windows of w follow each other at R.

    T = R (1 + (n - 1) div w) + ((n - 1) mod w) max(t_i), to the bit. R is 2.625 s, max(t_i) 0.5 s.
    """
    trip_s = sum((0.25, 0.5, 0.125)) + sum(LATENCIES)
    exact = trip_s * (1 + (n_segments - 1) // window) + (n_segments - 1) % window * 0.5
    assert pipeline(engine, RATES, LATENCIES, n_segments, window) == exact


def recursion(bits: Sequence[Sequence[float]], rates_bps: Sequence[float], latencies_s: Sequence[float],
              window: int) -> float:
    """Return the end of a transfer alone in the network: segment i enters when segment i - window is there.

    On each link, start = max(arrival, end of the segment before).
    """
    free_s = [0.0] * len(rates_bps)
    ends: list[float] = []
    for segment, on_leg in enumerate(bits):
        now = 0.0 if segment < window else ends[segment - window]
        for leg, rate in enumerate(rates_bps):
            now = free_s[leg] = max(now, free_s[leg]) + on_leg[leg] / rate
            now += latencies_s[leg]
        ends.append(now)
    return ends[-1]


@given(rates=st.lists(st.floats(1e3, 1e7), min_size=1, max_size=4), n_segments=st.integers(1, 20),
       window=st.integers(1, 8), last_bytes=st.integers(1, 1_000), wrap_bytes=st.integers(0, 300), data=st.data())
def test_any_pipeline_follows_the_recursion_to_the_bit(
    engine: Engine, rates: list[float], n_segments: int, window: int, last_bytes: int, wrap_bytes: int,
    data: st.DataObject,
) -> None:
    """Links of any rate and latency, any window, a short last segment, the wrap spread over all: as the recursion says.

    The frames of a segment carry 250 bytes and 80 bits of overhead each.
    """
    latencies = data.draw(st.lists(st.floats(0.0, 0.1), min_size=len(rates), max_size=len(rates)))
    sizes = [1_000] * (n_segments - 1) + [last_bytes]
    sizes = [size + wrap_bytes // n_segments + (i < wrap_bytes % n_segments) for i, size in enumerate(sizes)]
    bits = [[8.0 * size + math.ceil(size / 250) * 80.0] * len(rates) for size in sizes]
    found = pipeline(engine, rates, latencies, n_segments, window, last_bytes, wrap_bytes)
    assert found == recursion(bits, rates, latencies, window)


def test_stage_starts_when_its_last_segment_is_there(engine: Engine) -> None:
    """Four segments of a second each, then work: the work starts at 4 and not before."""
    b = ModelBuilder()
    link = b.station('link', (8_000.0,), frame_bytes=1_000)
    add_stream(b, 'x', [0.0], [Hop(LINK, link, 'net.transfer', n_bytes=4_000, segment_bytes=1_000, window=16),
                               Hop(SERVE, b.station('cpu'), amount=2.0)])
    recording = engine(b.build(duration_s=1.0), trace='stages')
    assert hops(recording)['started_s'].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert finished(recording, 'x') == [6.0]


def test_empty_message_crosses_as_one_empty_segment(engine: Engine) -> None:
    """A message of no bytes takes the latency and nothing else; wrapped in 500 bytes it takes half a second more."""
    b = ModelBuilder()
    link = b.station('link', (8_000.0,), frame_bytes=1_000)
    for name, wrap_bytes in (('bare', 0), ('wrapped', 500)):
        add_stream(b, name, [0.0], [Hop(LINK, link, segment_bytes=1_000, wrap_bytes=wrap_bytes, latency_s=3.0)])
    recording = engine(b.build(duration_s=1.0))
    assert finished(recording, 'bare')[0] in {3.0, 3.5}  # the tie decides who is first
    assert finished(recording, 'wrapped') == [3.5]


def test_long_message_does_not_own_a_link(engine: Engine) -> None:
    """A study of 100 segments of a second with a window of 2: an alarm at 10.5 waits for the two in front of it."""
    b = ModelBuilder()
    link = b.station('link', (8_000.0,), frame_bytes=1_000)
    add_stream(b, 'study', [0.0], [Hop(LINK, link, n_bytes=100_000, segment_bytes=1_000, window=2)], priority=1)
    add_stream(b, 'alarm', [10.5], [Hop(LINK, link, n_bytes=1_000, segment_bytes=1_000)], priority=1)
    add_stream(b, 'urgent', [50.5], [Hop(LINK, link, n_bytes=1_000, segment_bytes=1_000)], priority=0)
    recording = engine(b.build(duration_s=60.0))
    assert finished(recording, 'alarm') == [13.0]
    assert finished(recording, 'urgent') == [52.0]
    assert finished(recording, 'study') == [102.0]


def test_air_is_half_duplex(engine: Engine) -> None:
    """Up and down of one access point queue together: two messages of 2 s that start at 0 end at 2 and 4."""
    b = ModelBuilder()
    air, port = (b.station(name, (8_000.0,), kind='air', frame_bytes=2_000) for name in ('air', 'port'))
    ward = b.attachment('ward', 0, (air, air, port, port))
    other_air = b.station('other air', (8_000.0,), kind='air', frame_bytes=2_000)
    other = b.attachment('other', 0, (other_air, other_air, port, port))
    add_stream(b, 'up', [0.0], [Hop(LINK, AIR_UP, n_bytes=2_000, segment_bytes=2_000)], attachment=ward)
    add_stream(b, 'down', [0.0], [Hop(LINK, AIR_DOWN, n_bytes=2_000, segment_bytes=2_000)], attachment=ward)
    add_stream(b, 'elsewhere', [0.0], [Hop(LINK, AIR_DOWN, n_bytes=2_000, segment_bytes=2_000)], attachment=other)
    recording = engine(b.build(duration_s=10.0))
    assert sorted(finished(recording, 'up') + finished(recording, 'down')) == [2.0, 4.0]
    assert finished(recording, 'elsewhere') == [2.0]


def test_attempts_hold_the_air_back_to_back(engine: Engine) -> None:
    """Each frame is sent as often as its own draw says, with its overhead each time, before anyone else is served."""
    b = ModelBuilder(seed=4)
    air = b.station('air', (1_000.0,), frame_bytes=100, frame_overhead_bits=200.0, loss_ratio=0.5, attempts_max=50)
    legs = [Hop(LINK, air, 'net.transfer', n_bytes=250, segment_bytes=250)]
    add_stream(b, 'x', [0.0], legs)
    add_stream(b, 'y', [0.5], legs)
    recording = engine(b.build(duration_s=10.0))
    now = 0.0
    for name in 'xy':
        key, hop = job_key(4, name, 0, name, 0), laws.name_key('server', 'net.transfer', 0, LINK, 0)
        attempts = [1 + math.floor(math.log2(1.0 / laws.uniform(key, laws.FRAME, hop, 0, frame))) for frame in range(3)]
        now += (1_000.0 * attempts[0] + 1_000.0 * attempts[1] + 600.0 * attempts[2]) / 1_000.0
        assert finished(recording, name) == [pytest.approx(now, rel=1e-12)]


def lossy(engine: Engine, seed: int) -> tuple[int, list[tuple[int, int]], list[tuple[float, bool]]]:
    """Run six segments with a window of 3 over two links, the first lossy, one attempt; return what happened.

    The outcome, the (hop, segment) of every crossing, and the (bits, lost) of each segment by its address.
    """
    b = ModelBuilder(seed=seed)
    air = b.station('air', (8_000.0,), frame_bytes=1_000, loss_ratio=0.2)
    wire = b.station('wire', (8e6,), frame_bytes=1_000)
    add_stream(b, 'x', [0.0], [
        Hop(LINK, station, 'net.transfer', n_bytes=6_000, segment_bytes=1_000, window=3, radio=radio)
        for station, radio in ((air, TRANSMITS), (wire, RECEIVES))
    ])
    recording = engine(b.build(duration_s=100.0), trace='stages')
    table = hops(recording)
    key, hop = job_key(seed, 'x', 0, 'x', 0), laws.name_key('server', 'net.transfer', 0, LINK, 0)
    fates = [laws.transmission(key, hop, segment, 1_000, 1_000, 0.0, 0.2, 1) for segment in range(6)]
    crossings = list(zip(table['hop'].tolist(), table['segment'].tolist(), strict=True))
    return outcomes(recording, 'x')[0], crossings, [(bits, lost) for bits, _, lost in fates]


def test_lost_segment_ends_the_job_and_cancels_what_has_not_entered(engine: Engine) -> None:
    """Forty seeds, window 3, each segment 1 s on the air and 1 ms on the wire.

    With the first loss at segment i, segments up to i + 2 had entered: they cross the air, those that pass cross the
    wire as well, and nothing behind them is sent. Without a loss all six cross both.
    """
    n_lost = 0
    for seed in range(1, 41):
        outcome, crossings, fates = lossy(engine, seed)
        losses = [segment for segment, (_, lost) in enumerate(fates) if lost]
        n_entered = min(6, losses[0] + 3) if losses else 6
        assert outcome == (LOST if losses else DELIVERED)
        assert sorted(crossings) == sorted(
            [(0, segment) for segment in range(n_entered)]
            + [(1, segment) for segment in range(n_entered) if not fates[segment][1]])
        n_lost += bool(losses)
    assert 0 < n_lost < 40


def test_link_that_goes_down_sends_the_segment_again(engine: Engine) -> None:
    """Three segments of 2 s; the link is down from 3 to 10: the second is sent anew from 10."""
    b = ModelBuilder()
    link = b.station('link', (4_000.0,), frame_bytes=1_000)
    add_stream(b, 'x', [0.0], [Hop(LINK, link, n_bytes=3_000, segment_bytes=1_000, window=2, radio=TRANSMITS)])
    b.changes += [(3.0, 'link', False), (10.0, 'link', True)]
    recording = engine(b.build(duration_s=20.0))
    assert finished(recording, 'x') == [14.0]
    assert recording.transmit_s[0, 0] == 7.0  # the second of the segment sent in vain costs too
