"""Which events the compiled engine lets follow each other, and arrivals made beside its loop."""

import threading

import numpy as np

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.engines.compiled.beside import ArrivalsBeside
from sim.engines.compiled.layout import NONE
from sim.engines.compiled.memory import Memory
from sim.model import LINK, POISSON, SERVE, Model
from sim.sources import Arrivals


def two_routes() -> Model:
    """Return two classes that send equal messages over like links, then to servers of constant and of random time."""
    b = ModelBuilder()
    exponential = b.law(laws.EXPONENTIAL)
    for name in ('pump', 'monitor'):
        class_row = b.class_(name)
        b.entities(class_row, [-1] * 1_000)
        stream = b.stream(name, name)
        link, server = b.station(f'{name} link', (1e6,), kind='link'), b.station(f'{name} server')
        work = b.curve((0.0,), (1e-3,))
        b.route(stream, class_row, [
            Hop(LINK, link, 'transfer', latency_s=1e-4, n_bytes=256, segment_bytes=256),
            Hop(SERVE, server, 'open', curve=work, latency_s=2e-4),
            Hop(SERVE, server, 'store', curve=work, law=exponential, latency_s=1e-4),
        ])
        b.source(stream, class_row, POISSON, 1.0)
    return b.build(duration_s=200.0)


def test_convoys_are_of_equal_distances() -> None:
    """Routes share convoys where distances are equal; what chance lengthens has none."""
    hops = Memory(two_routes(), 'none', 0)['hops'].reshape(2, 3)
    assert (hops['arrival_convoy'][0] == hops['arrival_convoy'][1]).all()
    link, opened, stored = hops['arrival_convoy'][0].tolist()
    assert link == stored != opened
    assert hops['end_convoy'][0, 0] == hops['end_convoy'][1, 0] != NONE
    assert (hops['end_convoy'][:, 2] == NONE).all()


def test_blocks_made_beside_are_those_made_in_turn() -> None:
    """Several blocks, row by row; the thread that made them is gone when it is closed, in mid-run too."""
    model, run_key = two_routes(), laws.name_key('run', 1)
    in_turn, beside = Arrivals(model, run_key), ArrivalsBeside(Arrivals(model, run_key))
    n_blocks = 0
    while (block := in_turn.next_block()) is not None:
        other = beside.next_block()
        assert other is not None
        assert np.array_equal(block, other)
        n_blocks += 1
    assert n_blocks > 3
    assert beside.next_block() is None
    assert beside.next_block() is None
    unused = ArrivalsBeside(Arrivals(model, run_key))
    beside.close()
    unused.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('arrivals')]
