"""Random plans of small models: everything an engine can meet, at times that tie.

A `Plan` is plain drawn data; `cases.build` turns it into a model and its controllers. Times, amounts and rates are
multiples of an eighth or of a quarter wherever no law draws them, so that most events share their time with others.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

from sim import laws
from sim.model import AHEAD, CHECKS_KEY, CRYPTO, FIFO, IN_TURN, LISTED, MARKED, PERIODIC, POISSON, PRIORITY, SEALS

DURATION_S = 12.0
LAWS: tuple[tuple[float, ...], ...] = (
    (laws.CONSTANT,), (laws.CONSTANT,), (laws.EXPONENTIAL,), (laws.UNIFORM, 0.5, 1.5), (laws.LOGNORMAL, 0.5),
    (laws.GEOMETRIC, 0.0, 0.5, 0.5), (laws.EMPIRICAL, 0.5, 1.0, 4.0),
)

eighths = st.integers(0, 16).map(lambda n: n / 8.0)
quarters = st.integers(1, 8).map(lambda n: n / 4.0)
whole_times = st.integers(0, int(DURATION_S)).map(float)


@dataclass(frozen=True)
class Servers:
    """A station of servers."""

    speeds: tuple[float, ...]
    discipline: int


@dataclass(frozen=True)
class Link:
    """A station that carries frames."""

    rate_bps: float
    frame_bytes: int
    overhead_bits: float
    loss_ratio: float
    attempts_max: int
    discipline: int


@dataclass(frozen=True)
class Queue:
    """A broker queue over some of the pods."""

    pods: tuple[int, ...]
    prefetch: int
    capacity: int
    deliver_s: float
    acknowledge_s: float
    detect_s: float


@dataclass(frozen=True)
class Step:
    """Part of a way: what it is, which of those there are, and how much of it."""

    kind: str  # serve, cpu, delay, transfer, air, visit
    which: int
    amount: float
    law: int
    latency_s: float
    n_bytes: int
    segment_bytes: int
    window: int
    flags: int
    n_legs: int  # of a transfer, or stages of a visit


@dataclass(frozen=True)
class Way:
    """A stream of a class: its steps and how it is launched."""

    class_index: int
    steps: tuple[Step, ...]
    priority: int
    deadline_s: float
    timing: int  # a timing of sim.model; -1: launched by a controller only
    gap_s: float
    times_s: tuple[tuple[int, float], ...]
    guard: int  # station whose outage sends the job the short way; -1: none


@dataclass(frozen=True)
class Act:
    """Something that a controller does, at a whole second."""

    time_s: float
    what: str  # servers, outage, on, valid_from, attachment, up, ask
    which: int
    value: int


@dataclass(frozen=True)
class Plan:
    """What a random model consists of."""

    seed: int
    warm_up_s: float
    drain_s: float
    servers: tuple[Servers, ...]
    links: tuple[Link, ...]
    pods: tuple[Servers, ...]
    pod_cables: tuple[tuple[int, int, int, int], ...]  # of each pod: cables from the broker and back; -1: none
    queues: tuple[Queue, ...]
    class_sizes: tuple[int, ...]
    ways: tuple[Way, ...]
    outages: tuple[tuple[int, float, float], ...]  # station, from, length
    acts: tuple[Act, ...]


def servers() -> st.SearchStrategy[Servers]:
    """Return stations of one to three servers, often unlike."""
    speeds = st.lists(st.sampled_from([0.5, 1.0, 1.0, 2.0]), min_size=1, max_size=3).map(tuple)
    return st.builds(Servers, speeds, st.sampled_from([PRIORITY, FIFO, IN_TURN]))


def links() -> st.SearchStrategy[Link]:
    """Return links on which 100 bytes take a whole number of eighths of a second, some of them lossy."""
    return st.builds(
        Link, rate_bps=st.sampled_from([1_600.0, 3_200.0, 6_400.0]), frame_bytes=st.sampled_from([50, 100, 1_000]),
        overhead_bits=st.sampled_from([0.0, 0.0, 400.0]), loss_ratio=st.sampled_from([0.0, 0.0, 0.3]),
        attempts_max=st.integers(1, 3), discipline=st.sampled_from([PRIORITY, FIFO]))


def queues(n_pods: int) -> st.SearchStrategy[Queue]:
    """Return broker queues over some of the pods, in any order."""
    return st.builds(
        Queue, pods=st.lists(st.integers(0, n_pods - 1), min_size=1, max_size=n_pods, unique=True).map(tuple),
        prefetch=st.integers(1, 3), capacity=st.sampled_from([0, 1, 2, 1_000, 1_000, 1_000]),
        deliver_s=st.sampled_from([0.0, 0.25, 2.0]),
        acknowledge_s=st.sampled_from([0.0, 0.5]), detect_s=st.sampled_from([0.0, 0.5, 1.0]))


def steps() -> st.SearchStrategy[Step]:
    """Return parts of a way."""
    return st.builds(
        Step, kind=st.sampled_from(['serve', 'cpu', 'delay', 'transfer', 'air', 'visit', 'visit']),
        which=st.integers(0, 5), amount=eighths, law=st.integers(0, len(LAWS) - 1),
        latency_s=st.sampled_from([0.0, 0.0, 0.25]), n_bytes=st.sampled_from([0, 100, 300, 950]),
        segment_bytes=st.sampled_from([100, 200, 1_000]), window=st.integers(1, 4),
        flags=st.sampled_from([0, CRYPTO | SEALS, SEALS, CHECKS_KEY, CHECKS_KEY, MARKED, AHEAD]),
        n_legs=st.integers(1, 3))


def cables() -> st.SearchStrategy[tuple[int, int, int, int]]:
    """Return cables between the broker and a pod: the broker's and the node's, both ways; often fewer, or none."""
    return st.one_of(st.just((-1, -1, -1, -1)), st.just((0, 1, 2, 3)), st.just((0, 2, 1, 3)),
                     st.tuples(*[st.integers(-1, 3)] * 4))


@st.composite
def ways(draw: st.DrawFn, class_sizes: tuple[int, ...]) -> Way:
    """Draw a stream of one of the classes."""
    class_index = draw(st.integers(0, len(class_sizes) - 1))
    entities = st.integers(0, class_sizes[class_index] - 1)
    times = st.lists(st.tuples(entities, st.integers(0, 22).map(lambda n: n / 2.0)), min_size=2, max_size=10)
    return Way(
        class_index, tuple(draw(st.lists(steps(), min_size=1, max_size=4))), draw(st.integers(0, 2)),
        draw(st.sampled_from([float('inf'), 1.0, 3.0])), draw(st.sampled_from([-1, LISTED, LISTED, PERIODIC, POISSON])),
        draw(quarters) * 4.0, tuple(draw(times)), draw(st.integers(-1, 3)))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan."""
    pods = draw(st.lists(servers(), min_size=1, max_size=3))
    class_sizes = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    acts = st.builds(
        Act, time_s=whole_times,
        what=st.sampled_from(['servers', 'outage', 'on', 'valid_from', 'attachment', 'up', 'ask']),
        which=st.integers(0, 12), value=st.integers(0, 4))
    outages = st.tuples(st.integers(0, 12), whole_times, st.integers(1, 4).map(float))
    return Plan(
        seed=draw(st.integers(1, 1_000)), warm_up_s=draw(st.sampled_from([0.0, 3.0])),
        drain_s=draw(st.sampled_from([0.0, 4.0, float('inf'), float('inf')])),
        servers=tuple(draw(st.lists(servers(), min_size=1, max_size=3))),
        links=tuple(draw(st.lists(links(), min_size=2, max_size=3))), pods=tuple(pods),
        pod_cables=tuple(draw(cables()) for _ in pods),
        queues=tuple(draw(st.lists(queues(len(pods)), min_size=1, max_size=2))), class_sizes=class_sizes,
        ways=tuple(draw(st.lists(ways(class_sizes), min_size=2, max_size=5))),
        outages=tuple(draw(st.lists(outages, max_size=4))), acts=tuple(draw(st.lists(acts, max_size=6))))
