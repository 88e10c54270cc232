"""What holds for every model, on random small ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import (
    CHECKS_KEY,
    DELAY,
    DELIVERED,
    EXPIRED,
    FIFO,
    LINK,
    LOST,
    OUTCOMES,
    POISSON,
    REJECTED,
    SERVE,
    UNFINISHED,
    Model,
)
from sim.results.recording import Recording
from tests.engine.cases import Case, build
from tests.engine.strategies import DURATION_S, Plan, plans
from tests.engines import Engine
from tests.tables import Array, by_address, contents, hops, hops_by_address, job_key, jobs

N_EXAMPLES = 200


def recorded(engine: Engine, case: Case) -> Recording:
    """Run a case, with every hop traced."""
    return engine(case.model, trace='stages', controllers=case.controllers)


@settings(max_examples=N_EXAMPLES)
@given(plan=plans())
def test_every_launched_job_has_exactly_one_outcome(engine: Engine, plan: Plan) -> None:
    """Launched = delivered + expired + dropped + rejected + lost + unfinished, of all jobs and of those that count."""
    recording = recorded(engine, build(plan))
    table = jobs(recording)
    assert table['job'].tolist() == list(range(recording.n_launched))
    assert set(table['outcome']) <= set(range(len(OUTCOMES)))
    assert len(by_address(recording)) == recording.n_launched
    counts = (table['launched_s'] >= plan.warm_up_s) & (table['launched_s'] < DURATION_S)
    for flow in range(len(recording.model.flows)):
        of_flow = counts & (recording.model.stream_flow[table['stream']] == flow)
        exact = np.bincount(table['outcome'][of_flow], minlength=len(OUTCOMES))
        assert recording.outcomes[flow].tolist() == exact.tolist()
        assert recording.latency[flow].sum() == exact[[DELIVERED, EXPIRED]].sum()


@settings(max_examples=N_EXAMPLES)
@given(plan=plans())
def test_times_go_forward_along_every_job(engine: Engine, plan: Plan) -> None:
    """Launch ≤ arrival ≤ start ≤ end of each hop; a hop begins when the one before is over; nothing after the drain."""
    recording = recorded(engine, build(plan))
    table, launched = hops(recording), jobs(recording)
    assert np.all(table['arrived_s'] <= table['started_s'])
    assert np.all(table['started_s'] <= table['finished_s'])
    assert not np.any(launched['launched_s'] > launched['finished_s'])  # NaN: unfinished
    assert np.all(table['arrived_s'] >= launched['launched_s'][table['job']])
    waits = recording.model.hops.kind[table['hop']] == DELAY  # written when they begin
    assert np.all(table['finished_s'][~waits] <= DURATION_S + plan.drain_s)
    for job in np.unique(table['job']):
        mine = np.flatnonzero((table['job'] == job) & (table['attempt'] == launched['attempt'][job]))
        for segment in np.unique(table['segment'][mine]):
            rows = mine[table['segment'][mine] == segment]
            order = rows[np.argsort(table['hop'][rows], kind='stable')]
            assert np.all(table['arrived_s'][order][1:] >= table['finished_s'][order][:-1])


@settings(max_examples=N_EXAMPLES)
@given(plan=plans())
def test_integrals_stay_within_what_is_possible(engine: Engine, plan: Plan) -> None:
    """Busy seconds stay below servers times time, a device's below the time, all radios' below all stations'."""
    recording = recorded(engine, build(plan))
    measured_s = DURATION_S - plan.warm_up_s
    n_servers = np.maximum(recording.model.stations.n_servers, 4)  # controllers go up to four
    assert np.all(recording.station_busy_s <= n_servers * measured_s * (1.0 + 1e-12))
    assert np.all(recording.busy_s[:, 0] <= measured_s * (1.0 + 1e-12))
    assert np.all(recording.busy_s[:, 1] <= recording.busy_s[:, 0] * (1.0 + 1e-12))
    on_air = recording.transmit_s[:, 0].sum() + recording.receive_s[:, 0].sum()
    assert on_air <= recording.station_busy_s.sum() * (1.0 + 1e-12)
    if plan.warm_up_s == 0.0:  # else what returns may have been delivered before anything is counted
        assert np.all(recording.queue_delivered >= recording.queue_redelivered)


@settings(max_examples=N_EXAMPLES)
@given(plan=plans())
def test_same_seed_gives_the_same_recording(engine: Engine, plan: Plan) -> None:
    """Built and run twice: every column, histogram and integral is equal, byte by byte."""
    a, b = (recorded(engine, build(plan)) for _ in range(2))
    assert contents(a) == contents(b)


def hops_beside_the_newcomer(recording: Recording) -> dict[tuple[object, ...], tuple[float, float, float]]:
    """Return the hops of all others, but not what lost jobs still had under way after the duration.

    Such segments are followed for as long as any job is live.
    """
    outcome = {address: row[2] for address, row in by_address(recording).items()}
    return {
        address: times for address, times in hops_by_address(recording).items()
        if address[0] != 'newcomer' and (outcome[address[:4]] != LOST or times[2] < DURATION_S)  # type: ignore[index]
    }


@settings(max_examples=N_EXAMPLES)
@given(plan=plans())
def test_newcomer_that_shares_nothing_changes_nothing(engine: Engine, plan: Plan) -> None:
    """A further class with stations, queue and outages of its own, first in every table: no other time changes."""
    alone, beside = (recorded(engine, build(plan, newcomer=newcomer)) for newcomer in (False, True))
    others = {address: row for address, row in by_address(beside).items() if address[0] != 'newcomer'}
    assert len(others) == beside.n_launched - 24
    assert others == by_address(alone)
    assert hops_beside_the_newcomer(beside) == hops_beside_the_newcomer(alone)


@settings(max_examples=N_EXAMPLES // 2)
@given(plan=plans())
def test_trace_does_not_change_what_happens(engine: Engine, plan: Plan) -> None:
    """Traced or not: the same counts, histograms and integrals, byte by byte."""
    case = build(plan)
    traced = contents(recorded(engine, case), rows=False)
    assert contents(engine(case.model, trace='none', controllers=case.controllers), rows=False) == traced


@settings(max_examples=N_EXAMPLES // 2)
@given(plan=plans())
def test_refused_and_lost_jobs_end_where_it_happened(engine: Engine, plan: Plan) -> None:
    """A rejected job's last hop is where the key is checked; a lost job's is a link; an unfinished one has no end."""
    recording = recorded(engine, build(plan))
    launched = jobs(recording)
    assert np.all(np.isnan(launched['finished_s'][launched['outcome'] == UNFINISHED]))
    last: dict[int, set[int]] = {}
    table = hops(recording)
    for row in range(table['job'].size):
        job = int(table['job'][row])
        if table['finished_s'][row] == launched['finished_s'][job]:
            last.setdefault(job, set()).add(int(table['hop'][row]))
    hop_kind, flags = recording.model.hops.kind, recording.model.hops.flags
    for job in np.flatnonzero(launched['outcome'] == REJECTED):
        assert any(flags[hop] & CHECKS_KEY for hop in last[int(job)])
    for job in np.flatnonzero(launched['outcome'] == LOST):
        assert any(hop_kind[hop] == LINK for hop in last[int(job)])


def shared_station(seed: int, *, crowd: int) -> Model:
    """Return three beds at one FIFO server; a crowd adds beds and a further class with another stream."""
    b = ModelBuilder(seed=seed)
    station = b.station('s', discipline=FIFO)
    classes = [('scanner', crowd), ('bed', 3 + crowd)] if crowd else [('bed', 3)]
    for name, n in classes:
        row, stream = b.class_(name), b.stream(name, name)
        b.entities(row, [-1] * n)
        b.route(stream, row, [Hop(SERVE, station, law=b.law(laws.EXPONENTIAL))])
        b.source(stream, row, POISSON, 20.0)
    return b.build(duration_s=2_000.0)


def amounts(recording: Recording) -> dict[tuple[str, int, str, int], tuple[float, float]]:
    """Return (launch, seconds of service) by address."""
    found = {}
    for address, (arrived_s, started_s, finished_s) in hops_by_address(recording).items():
        found[address[:4]] = (arrived_s, finished_s - started_s)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_crowd_at_a_shared_station_delays_but_changes_no_draw(engine: Engine, seed: int) -> None:
    """Three beds alone and in a crowd: the same launches to the bit and the same amounts; the waits are longer.

    Amounts are read back as end - start, and compared with the draws' own addresses: equal up to rounding.
    """
    alone, crowded = (engine(shared_station(seed, crowd=crowd), trace='stages') for crowd in (0, 5))
    few, many = amounts(alone), amounts(crowded)
    hop = laws.name_key('server', 'work', 0, SERVE, 0)
    assert len(few) > 200
    for address, (launched_s, seconds) in few.items():
        exact = -math.log(laws.uniform(job_key(seed, *address), laws.SERVICE, hop, 0, 0))
        assert many[address][0] == launched_s
        assert seconds == pytest.approx(exact, abs=1e-9)
        assert many[address][1] == pytest.approx(exact, abs=1e-9)

    def waited(recording: Recording) -> Array:
        table = hops(recording)
        return table['started_s'] - table['arrived_s']

    assert waited(crowded).mean() > waited(alone).mean()
