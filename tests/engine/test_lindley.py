"""FIFO queues against the recursion of Lindley, evaluated one customer after the other, bit for bit.

    start_n = max(arrival_n, finish_(n-1)),    finish_n = start_n + amount_n / speed

The witness knows nothing of the engine: arrival times and amounts come from the draws' addresses alone.

References
----------
.. [1] Lindley, "The theory of queues with a single server", Proc. Cambridge Phil. Soc. 48, 1952.
"""

import math
from dataclasses import dataclass

import pytest

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import POISSON, SERVE
from tests.engines import Engine
from tests.tables import by_address, job_key

DURATION_S = 2_000.0
MEAN_GAP_S = 3.0


@dataclass(frozen=True)
class Leg:
    """A FIFO station of one server on the way."""

    name: str
    speed: float
    amount: float
    latency_s: float


FRONT = Leg('front', 1.0, 0.7, 0.0)
MIDDLE = Leg('middle', 0.75, 0.5, 0.3)
BACK = Leg('back', 1.6, 1.1, 0.05)

# Three classes of two entities; each station is reached from launches and other stations, never from later ones.
WAYS = {'long': (FRONT, MIDDLE, BACK), 'short': (MIDDLE, BACK), 'last': (BACK,)}


def arrivals(seed: int) -> dict[tuple[str, int, str, int], float]:
    """Return all launch times by address: sums of exponential gaps."""
    times = {}
    for name in WAYS:
        for index in range(2):
            time_s, k = 0.0, 0
            while True:
                draw = laws.uniform(job_key(seed, name, index, name, k), laws.GAP, 0, 0, 0)
                time_s = time_s - math.log(draw) * MEAN_GAP_S
                if time_s >= DURATION_S:
                    break
                times[name, index, name, k] = time_s
                k += 1
    return times


def witness(seed: int) -> dict[tuple[str, int, str, int], float]:
    """Return the finish times by address: one station after the other, each by its recursion."""
    now = arrivals(seed)
    position = dict.fromkeys(now, 0)
    for leg in (FRONT, MIDDLE, BACK):
        keys = {}
        for address in now:
            if leg in WAYS[address[0]]:
                keys[address] = job_key(seed, *address)
        free_s = 0.0
        order = {a: (now[a], laws.event_key(laws.ARRIVE, keys[a], position[a], 0, 0)) for a in keys}
        for address in sorted(keys, key=order.__getitem__):
            hop = laws.name_key('server', leg.name, 0, SERVE, 0)
            amount = leg.amount * -math.log(laws.uniform(keys[address], laws.SERVICE, hop, 0, 0))
            free_s = max(now[address], free_s) + amount / leg.speed
            position[address] += 1
            is_last = position[address] == len(WAYS[address[0]])
            now[address] = free_s if is_last else free_s + leg.latency_s
    return now


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_feed_forward_fifo_network_follows_lindley_to_the_bit(engine: Engine, seed: int) -> None:
    """Three stations in a tandem with joining streams, 4,000 jobs: every launch and every end equal the witness's."""
    b = ModelBuilder(seed=seed)
    stations = {leg.name: b.station(leg.name, (leg.speed,)) for leg in (BACK, FRONT, MIDDLE)}
    noise = b.law(laws.EXPONENTIAL)
    for name, way in WAYS.items():
        row, stream = b.class_(name), b.stream(name, name)
        b.entities(row, [-1, -1])
        b.route(stream, row, [Hop(SERVE, stations[leg.name], stage=leg.name, law=noise, amount=leg.amount,
                                  latency_s=leg.latency_s) for leg in way])
        b.source(stream, row, POISSON, MEAN_GAP_S)
    found = by_address(engine(b.build(duration_s=DURATION_S)))
    assert len(found) > 3_000
    assert {address: launched_s for address, (launched_s, _, _) in found.items()} == arrivals(seed)
    assert {address: finished_s for address, (_, finished_s, _) in found.items()} == witness(seed)
