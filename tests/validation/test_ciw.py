"""Networks with customer classes against Ciw, an independent simulator.

Both programs simulate the same network, 20 independent replications each (our seeds 1 to 20, Ciw's 1 to 20, which
share nothing). The mean sojourn of each class in a replication is one value; Welch's interval of the difference of
the two programs' means, at 99 %, must hold 0 for every class.

References
----------
.. [1] Palmer, Knight, Harper, Hawa, "Ciw: an open-source discrete event simulation library", Journal of
       Simulation 13, 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ciw
import numpy as np

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import POISSON, SERVE, Model
from tests import tables
from tests.engines import Engine
from tests.validation.intervals import SEEDS, Array, welch_interval

# Arrivals go on until DURATION_S, so that those launched before MEASURED_TO_S end under load in both programs.
WARM_UP_S, MEASURED_TO_S, DURATION_S = 200.0, 5_000.0, 5_200.0


@dataclass(frozen=True)
class Visit:
    """One node on the way of a class: service is uniform(low_s, high_s) or, without bounds, exponential."""

    node: int
    mean_s: float
    low_s: float = 0.0
    high_s: float = 0.0


@dataclass(frozen=True)
class Kind:
    """One class of customers; a smaller priority is more urgent."""

    rate: float
    priority: int
    way: tuple[Visit, ...]


def ours(seed: int, n_servers: tuple[int, ...], kinds: tuple[Kind, ...]) -> Model:
    """Return the network as a Model; each kind is a class of one entity."""
    b = ModelBuilder(seed=seed)
    nodes = [b.station(f'node {i}', (1.0,) * n) for i, n in enumerate(n_servers)]
    for i, kind in enumerate(kinds):
        row, stream = b.class_(f'kind {i}'), b.stream(f'kind {i}', f'kind {i}')
        b.entities(row, [-1])
        hops = [
            Hop(SERVE, nodes[visit.node], amount=visit.mean_s, law=b.law(laws.EXPONENTIAL)) if visit.high_s == 0.0 else
            Hop(SERVE, nodes[visit.node], law=b.law(laws.UNIFORM, visit.low_s, visit.high_s))
            for visit in kind.way
        ]
        b.route(stream, row, hops, priority=kind.priority)
        b.source(stream, row, POISSON, 1.0 / kind.rate)
    return b.build(duration_s=DURATION_S, warm_up_s=WARM_UP_S)


def our_sojourns(engine: Engine, seed: int, n_servers: tuple[int, ...], kinds: tuple[Kind, ...]) -> list[float]:
    """Return the mean sojourn of each kind in one replication."""
    table = tables.jobs(engine(ours(seed, n_servers, kinds)))
    measured = (table['launched_s'] >= WARM_UP_S) & (table['launched_s'] < MEASURED_TO_S)
    sojourn = table['finished_s'] - table['launched_s']
    return [float(sojourn[measured & (table['stream'] == i)].mean()) for i in range(len(kinds))]


def theirs(n_servers: tuple[int, ...], kinds: tuple[Kind, ...]) -> ciw.network.Network:
    """Return the network in Ciw's terms; the way of a kind is its own routing matrix."""
    n = len(n_servers)
    arrivals, services, routing = {}, {}, {}
    for i, kind in enumerate(kinds):
        name = f'kind {i}'
        first = kind.way[0].node
        arrivals[name] = [ciw.dists.Exponential(kind.rate) if node == first else None for node in range(n)]
        services[name] = [ciw.dists.Deterministic(0.0) for _ in range(n)]
        routing[name] = [[0.0] * n for _ in range(n)]
        for visit in kind.way:
            services[name][visit.node] = (ciw.dists.Exponential(1.0 / visit.mean_s) if visit.high_s == 0.0 else
                                          ciw.dists.Uniform(visit.low_s, visit.high_s))
        for here, there in zip(kind.way, kind.way[1:], strict=False):
            routing[name][here.node][there.node] = 1.0
    return ciw.create_network(
        arrival_distributions=arrivals, service_distributions=services, routing=routing,
        number_of_servers=list(n_servers),
        priority_classes={f'kind {i}': kind.priority for i, kind in enumerate(kinds)})


def their_sojourns(seed: int, n_servers: tuple[int, ...], kinds: tuple[Kind, ...]) -> list[float]:
    """Return the mean sojourn of each kind in one replication of Ciw, from its records, one for each node."""
    ciw.seed(seed)
    simulation = ciw.Simulation(theirs(n_servers, kinds))
    simulation.simulate_until_max_time(DURATION_S)
    first: dict[int, tuple[str, float]] = {}
    last: dict[int, float] = {}
    for record in simulation.get_all_records():
        arrived = first.get(record.id_number, (record.customer_class, record.arrival_date))[1]
        first[record.id_number] = (record.customer_class, min(arrived, record.arrival_date))
        if record.destination == -1:
            last[record.id_number] = record.exit_date
    values: list[list[float]] = [[] for _ in kinds]
    for customer, end_s in last.items():
        name, begin_s = first[customer]
        if WARM_UP_S <= begin_s < MEASURED_TO_S:
            values[int(name.split()[1])].append(end_s - begin_s)
    return [float(np.mean(found)) for found in values]


def assert_same_means(engine: Engine, n_servers: tuple[int, ...], kinds: tuple[Kind, ...]) -> None:
    """Assert that Welch's interval holds 0 for every class."""
    replicate: tuple[Callable[[int], list[float]], ...] = (
        lambda seed: our_sojourns(engine, seed, n_servers, kinds), lambda seed: their_sojourns(seed, n_servers, kinds))
    a, b = (np.array([one(seed) for seed in SEEDS]) for one in replicate)
    columns: list[tuple[Array, Array]] = list(zip(a.T, b.T, strict=True))
    for i, (mine, other) in enumerate(columns):
        low, high = welch_interval(mine, other)
        assert low <= 0.0 <= high, f'kind {i}: {mine.mean()} against {other.mean()}, difference in [{low}, {high}]'


def test_two_nodes_with_priorities_agree_with_ciw(engine: Engine) -> None:
    """One server, then two, three classes of unlike priority and law, loads 0.72 and 0.68: Welch holds 0 for each."""
    assert_same_means(engine, (1, 2), (
        Kind(0.24, 0, (Visit(0, 1.0), Visit(1, 1.5))),
        Kind(0.30, 1, (Visit(0, 1.0, 0.5, 1.5), Visit(1, 2.0, 0.0, 4.0))),
        Kind(0.20, 2, (Visit(0, 0.9), Visit(1, 2.0))),
    ))


def test_feed_forward_network_with_many_servers_agrees_with_ciw(engine: Engine) -> None:
    """Nodes of 2, 3 and 1 servers, three classes on unlike ways, one of them urgent: Welch holds 0 for each."""
    assert_same_means(engine, (2, 3, 1), (
        Kind(0.5, 1, (Visit(0, 1.2), Visit(1, 2.0, 1.0, 3.0), Visit(2, 0.5))),
        Kind(0.3, 1, (Visit(1, 2.5), Visit(2, 0.6, 0.2, 1.0))),
        Kind(0.4, 0, (Visit(0, 1.5), Visit(2, 0.4))),
    ))
