"""Single queues and a tandem against the closed forms of queueing theory.

Every test runs seeds 1 to 20. The interval comes from the run's own data: 20 batches of consecutive customers
after a warm-up, Student's t with 19 degrees of freedom. At loads up to 0.7 the correlation of an M/M/1 dies out
within 1 / (mu (1 - sqrt(rho))^2) < 40 mean services [1], and a batch holds several hundred customers.

References
----------
.. [1] Kleinrock, "Queueing systems" I, 1975: M/M/1 (3.2), M/M/c (3.5, Erlang C), M/G/1 (5.6, Pollaczek-Khinchine);
       II, 1976: priorities (3.6). The relaxation time is in Cohen, "The single server queue", 1982, II.2.1.
.. [2] Cobham, "Priority assignment in waiting line problems", Operations Research 2, 1954.
.. [3] White, Christie, "Queuing with preemptive priorities or with breakdown", Operations Research 6, 1958.
.. [4] Jackson, "Networks of waiting lines", Operations Research 5, 1957.
"""

import math

import numpy as np

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import OWN_CPU, POISSON, SERVE, Model
from sim.results.recording import Recording
from tests import tables
from tests.engines import Engine
from tests.validation.intervals import SEEDS, assert_covered, batch_means, batched_presence, mean_interval

WARM_UP_S = 500.0


def measured(recording: Recording, stream: str | None = None) -> dict[str, tables.Array]:
    """Return the traced hops of jobs launched in the measured time, in the order of arrival."""
    model, hops = recording.model, tables.hops(recording)
    chosen = tables.jobs(recording)['launched_s'][hops['job']] >= model.warm_up_s
    if stream is not None:
        chosen &= hops['stream'] == model.streams.index(stream)
    order = np.argsort(hops['arrived_s'][chosen])
    return {name: column[chosen][order] for name, column in hops.items()}


def waits(recording: Recording, stream: str | None = None) -> tables.Array:
    """Return the waits before service, in the order of arrival."""
    hops = measured(recording, stream)
    return hops['started_s'] - hops['arrived_s']


def sojourns(recording: Recording, stream: str = 'x') -> tables.Array:
    """Return the times from launch to end of the jobs launched in the measured time, in the order of launch."""
    table = tables.jobs(recording)
    chosen = table['launched_s'] >= recording.model.warm_up_s
    chosen &= table['stream'] == recording.model.streams.index(stream)
    return (table['finished_s'] - table['launched_s'])[chosen]


def poisson_model(seed: int, rate: float, speeds: tuple[float, ...], duration_s: float, law: tuple[float, ...],
                  n_entities: int = 1) -> Model:
    """Return Poisson arrivals of a rate, from entities of equal shares, at one station; mean amount 1."""
    b = ModelBuilder(seed=seed)
    station, clients, x = b.station('s', speeds), b.class_('client'), b.stream('x', 'x')
    b.entities(clients, [-1] * n_entities)
    b.route(x, clients, [Hop(SERVE, station, law=b.law(*law))])
    b.source(x, clients, POISSON, n_entities / rate)
    return b.build(duration_s=duration_s, warm_up_s=WARM_UP_S)


def two_class_model(seed: int, station: int | None, rates: tuple[float, float], hops: tuple[dict[str, float], ...],
                    noises: tuple[tuple[float, ...], ...], duration_s: float) -> Model:
    """Return two Poisson streams of one entity, the first more urgent, at one server of speed 1."""
    b = ModelBuilder(seed=seed)
    server = b.station('s') if station is None else station
    clients = b.class_('client')
    b.entities(clients, [-1])
    for priority, (rate, hop, law) in enumerate(zip(rates, hops, noises, strict=True)):
        stream = b.stream(f'class {priority}', f'class {priority}')
        b.route(stream, clients, [Hop(SERVE, server, law=b.law(*law), **hop)], priority=priority)
        b.source(stream, clients, POISSON, 1.0 / rate)
    return b.build(duration_s=duration_s, warm_up_s=WARM_UP_S)


def test_mm1_has_the_sojourn_and_the_queue_of_theory(engine: Engine) -> None:
    """M/M/1, load 0.6, 11,700 customers: W = 1 / (mu - lambda) and Lq = rho^2 / (1 - rho) [1] by batch means.

    Lq is taken from the traced intervals; the engine's own integral is the same number by another way.
    """
    rate, duration_s = 0.6, 20_000.0
    sojourn, queue = [], []
    for seed in SEEDS:
        recording = engine(poisson_model(seed, rate, (1.0,), duration_s, (laws.EXPONENTIAL,)), trace='stages')
        sojourn.append(mean_interval(batch_means(sojourns(recording))))
        hops = tables.hops(recording)
        present = batched_presence(hops['arrived_s'], hops['started_s'], WARM_UP_S, duration_s)
        queue.append(mean_interval(present))
        integral = recording.station_waiting_s[0] / (duration_s - WARM_UP_S)
        assert math.isclose(present.mean(), integral, rel_tol=1e-9)
    assert_covered(1.0 / (1.0 - rate), sojourn)
    assert_covered(rate ** 2 / (1.0 - rate), queue)


def erlang_c(n_servers: int, offered_load: float) -> float:
    """Return the probability of waiting in M/M/c (Kleinrock I, 3.5)."""
    last = offered_load ** n_servers / math.factorial(n_servers) * n_servers / (n_servers - offered_load)
    return last / (sum(offered_load ** k / math.factorial(k) for k in range(n_servers)) + last)


def test_mmc_waits_as_erlang_c_says(engine: Engine) -> None:
    """M/M/3, load 0.7, 13,650 customers of 7 entities: P(wait) = C(3, 2.1), Wq = C / (c mu - lambda) [1]."""
    n_servers, rate = 3, 2.1
    wait, delayed = [], []
    for seed in SEEDS:
        model = poisson_model(seed, rate, (1.0,) * n_servers, 7_000.0, (laws.EXPONENTIAL,), n_entities=7)
        found = waits(engine(model, trace='stages'))
        wait.append(mean_interval(batch_means(found)))
        delayed.append(mean_interval(batch_means((found > 0.0).astype(float))))
    assert_covered(erlang_c(n_servers, rate), delayed)
    assert_covered(erlang_c(n_servers, rate) / (n_servers - rate), wait)


def test_md1_waits_as_pollaczek_and_khinchine_say(engine: Engine) -> None:
    """M/D/1, load 0.6, 11,700 customers, speed 2: Wq = rho s / (2 (1 - rho)) [1]."""
    load = 0.6
    wait = []
    for seed in SEEDS:
        model = poisson_model(seed, 2.0 * load, (2.0,), 10_250.0, (laws.CONSTANT,))
        wait.append(mean_interval(batch_means(waits(engine(model, trace='stages')))))
    assert_covered(load * 0.5 / (2.0 * (1.0 - load)), wait)


def test_urgent_class_waits_less_as_cobham_says(engine: Engine) -> None:
    """M/G/1 with two classes, no preemption: W1 = W0 / (1 - r1), W2 = W0 / ((1 - r1) (1 - r1 - r2)) [2].

    W0 = sum of lambda E[S^2] / 2. Class 0: uniform in [0.5, 1.5], load 0.3; class 1: exponential of mean 2,
    load 0.4; 7,500 customers.
    """
    rates = (0.3, 0.2)
    second_moments = (13.0 / 12.0, 8.0)  # of uniform(0.5, 1.5): 1 + 1/12; of an exponential: 2 mean^2
    w0 = sum(rate * moment for rate, moment in zip(rates, second_moments, strict=True)) / 2.0
    loads = (0.3, 0.4)
    wait = ([], [])
    for seed in SEEDS:
        model = two_class_model(seed, None, rates, ({'amount': 1.0}, {'amount': 2.0}),
                                ((laws.UNIFORM, 0.5, 1.5), (laws.EXPONENTIAL,)), 15_500.0)
        recording = engine(model, trace='stages')
        for priority in range(2):
            wait[priority].append(mean_interval(batch_means(waits(recording, f'class {priority}'))))
    assert_covered(w0 / (1.0 - loads[0]), wait[0])
    assert_covered(w0 / ((1.0 - loads[0]) * (1.0 - sum(loads))), wait[1])


def test_own_cpu_preempts_and_resumes_as_white_and_christie_say(engine: Engine) -> None:
    """M/G/1 preemptive-resume on an entity's own CPU, two classes, 7,500 customers: T1 and T2 are those of [3].

    T1 = E[S1] + l1 E[S1^2] / (2 (1 - r1)) as if class 1 did not exist, and
    T2 = E[S2] / (1 - r1) + (l1 E[S1^2] + l2 E[S2^2]) / (2 (1 - r1) (1 - r1 - r2)).
    """
    (l1, l2), (r1, r2) = (0.3, 0.15), (0.3, 0.3)
    m1, m2 = 2.0, 4.0 * 13.0 / 12.0  # second moments: exponential of mean 1; 2 uniform(0.5, 1.5)
    sojourn = ([], [])
    for seed in SEEDS:
        model = two_class_model(seed, OWN_CPU, (l1, l2), ({'amount': 1.0}, {'amount': 2.0}),
                                ((laws.EXPONENTIAL,), (laws.UNIFORM, 0.5, 1.5)), 17_000.0)
        recording = engine(model)
        for priority in range(2):
            sojourn[priority].append(mean_interval(batch_means(sojourns(recording, f'class {priority}'))))
    assert_covered(1.0 + l1 * m1 / (2.0 * (1.0 - r1)), sojourn[0])
    assert_covered(2.0 / (1.0 - r1) + (l1 * m1 + l2 * m2) / (2.0 * (1.0 - r1) * (1.0 - r1 - r2)), sojourn[1])


def test_tandem_has_the_product_form_of_jackson(engine: Engine) -> None:
    """Three M/M/1 in a row, loads 0.6, 0.5, 0.7, 9,000 customers: W = sum of 1 / (mu_i - lambda) [4].

    The last station is compared by itself too: its arrivals are Poisson only if the first two are as they should be.
    """
    rate, speeds = 0.6, (1.0, 1.2, 0.6 / 0.7)
    total, last = [], []
    for seed in SEEDS:
        b = ModelBuilder(seed=seed)
        clients, x, noise = b.class_('client'), b.stream('x', 'x'), b.law(laws.EXPONENTIAL)
        b.entities(clients, [-1])
        b.route(x, clients, [Hop(SERVE, b.station(f's{i}', (speed,)), law=noise) for i, speed in enumerate(speeds)])
        b.source(x, clients, POISSON, 1.0 / rate)
        recording = engine(b.build(duration_s=15_500.0, warm_up_s=WARM_UP_S), trace='stages')
        total.append(mean_interval(batch_means(sojourns(recording))))
        hops = measured(recording)
        at_last = hops['hop'] == 2
        last.append(mean_interval(batch_means((hops['finished_s'] - hops['arrived_s'])[at_last])))
    assert_covered(sum(1.0 / (speed - rate) for speed in speeds), total)
    assert_covered(1.0 / (speeds[2] - rate), last)
