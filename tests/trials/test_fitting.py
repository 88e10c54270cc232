"""From measured messages to a model of the testbed: what was put in comes out."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hil.validation.fitting import CABLES_BACK, CABLES_THERE, Fit, fit
from hil.validation.probing import MANY, N_TOGETHER, SIZES, Effort, Probe, probe_scenario
from hil.validation.testbed_profile import profile_of_testbed
from hil.validation.trials import settings_of_testbed
from sim.errors import RunError
from sim.flows import ON_TESTBED
from sim.loading import load
from sim.profiles import load_profile
from sim.results.tables import tables
from sim.running import prepare, run_model

DELIVER_S, LINK_S, ACKNOWLEDGE_S, WAIT_S, LATE_S = 0.4e-3, 0.3e-3, 0.9e-3, 0.2e-3, 0.1e-3
ROUNDS_S = 0.3  # apart
FACTS = {'broker': 'RabbitMQ 3.10.8', 'kem_provider': 'pqcrypto 0', 'testbed': 'host testbed'}


def route_s(n_bytes: int) -> float:
    """Return what the broker takes for a message."""
    return 1.5e-3 + 2e-8 * n_bytes


def answer_s(n_bytes: int) -> float:
    """Return what the broker takes for an answer."""
    return 0.8e-3 + 1e-8 * n_bytes


def open_s(n_bytes: int) -> float:
    """Return what a worker takes to open a message."""
    return 0.2e-3 + 1e-8 * n_bytes


def probe(prefetch: int, model_bytes: int) -> Probe:
    """Return what a testbed with these times would measure, without noise."""
    rows, now_s, back_s = [], 1.0, LINK_S + answer_s(0)
    for size in SIZES:
        for _ in range(12):
            now_s += 0.5
            there_s = route_s(size) + DELIVER_S + LINK_S - WAIT_S - LATE_S
            rows.append(('vitals', 'aead.open', size, True, now_s, there_s, WAIT_S, open_s(size), back_s))
    for size in SIZES:
        now_s += 1.0
        way_s = DELIVER_S + LINK_S
        cycle_s = route_s(size) if prefetch == MANY else way_s + open_s(size) + back_s + ACKNOWLEDGE_S
        for i in range(N_TOGETHER):
            replied_s = route_s(size) + way_s + open_s(size) + back_s + i * (route_s(size) + answer_s(0))
            there_s = route_s(size) + way_s + i * cycle_s
            rows.append(('vitals', 'aead.open', size, False, now_s, there_s, 0.0, open_s(size),
                         replied_s - there_s - open_s(size)))
    for i in range(3):  # the first round is slow
        now_s += ROUNDS_S
        for j in range(8):
            service_s = 0.3e-3 + open_s(model_bytes)
            there_s = route_s(model_bytes) * (1 + j)
            replied_s = there_s + service_s + (1 + j) * answer_s(model_bytes) * (1 if i else 7)
            rows.append(('fl-update', 'kem.encaps', model_bytes, False, now_s, there_s, 0.0, service_s,
                         replied_s - there_s - service_s))
    chains = pl.DataFrame(rows, ('flow', 'first_stage', 'n_bytes', 'is_alone', 'sent_s', 'there_s', 'waiting_s',
                                 'service_s', 'back_s'), orient='row').with_row_index('job').with_columns(
        sent_late_s=LATE_S, replied_s=pl.sum_horizontal('sent_s', 'there_s', 'waiting_s', 'service_s', 'back_s'))
    work = chains.filter(pl.col('flow') == 'fl-update').select('job', 'flow', stage=pl.lit('kem.encaps'), wall_s=0.3e-3)
    return Probe(prefetch, model_bytes, chains, work, FACTS)


def fitted() -> Fit:
    """Return what is made of two runs."""
    return fit([probe(1, 16_000), probe(MANY, 256_000)])


def test_what_was_put_in_comes_out() -> None:
    """Broker, ways, acknowledgement and the worker's stages are those that the times were made of."""
    found = fitted()
    assert found.deliver_s + CABLES_THERE * found.cable_s == pytest.approx(DELIVER_S + LINK_S)
    assert CABLES_BACK * found.cable_s == pytest.approx(LINK_S)
    assert found.acknowledge_s == pytest.approx(ACKNOWLEDGE_S)
    for size in SIZES:
        assert np.median(found.samples['broker.route'][size]) == pytest.approx(route_s(size))
        assert np.median(found.samples['aead.open'][size]) == pytest.approx(open_s(size))
        assert found.spacing_s[size] == pytest.approx(route_s(size))
    assert np.median(found.samples['broker.answer'][0]) == pytest.approx(answer_s(0))
    assert np.median(found.samples['broker.answer'][256_000]) == pytest.approx(answer_s(256_000))
    assert np.median(found.samples['kem.encaps'][0]) == pytest.approx(0.3e-3)
    assert np.median(found.samples['aead.seal'][16_000]) == pytest.approx(open_s(16_000))


def test_too_few_messages_are_refused() -> None:
    """Without bursts there is nothing to learn of the broker: an error, not a number."""
    alone = probe(MANY, 16_000)
    chains = alone.chains.filter(pl.col('is_alone') | (pl.col('flow') != 'vitals'))
    with pytest.raises(RunError, match='no whole burst'):
        fit([probe(1, 16_000), Probe(MANY, 16_000, chains, alone.work, FACTS)])


def test_rounds_that_did_not_come_back_are_refused() -> None:
    """Without a round of learning there is nothing to learn of answers with a model in them: an error, not a number."""
    whole = probe(MANY, 16_000)
    chains = whole.chains.filter(pl.col('flow') != 'fl-update')
    with pytest.raises(RunError, match='no round after its first'):
        fit([probe(1, 16_000), Probe(MANY, 16_000, chains, whole.work, FACTS)])


@pytest.mark.parametrize('only_broker', [False, True])
def test_the_profile_is_what_a_simulation_reads(tmp_path: Path, *, only_broker: bool) -> None:
    """Alone, a message takes in the model what was measured; on a padded testbed its worker is as its profile says."""
    found = fitted()
    like = load_profile('x86-server')
    text = profile_of_testbed('mine', like, {'pqc-768': found}, found, FACTS, only_broker=only_broker)
    (tmp_path / 'mine.yaml').write_text(text)
    scenario, origin = load('testbed', [
        'learning=null', 'devices.client.count=1', 'devices.client.streams.vitals.payload=1 KiB', 'crypto.prefetch=1',
        *settings_of_testbed(dataclasses.asdict(found)), f'edge.server.profile={tmp_path}/mine.yaml',
        *(f'edge.nodes.pi-{i}.profile={tmp_path}/mine.yaml' for i in (1, 2, 3))])
    stages = tables(run_model(prepare(scenario, origin, table=ON_TESTBED).model, trace='stages'))['stages']
    medians = {(place, stage): seconds for place, stage, seconds in stages.group_by('place', 'stage').agg(
        pl.col('service_s').median()).iter_rows()}
    opened = like.cost('aead.open', 'Ascon-AEAD128').seconds[0] if only_broker else open_s(1 << 10)
    assert medians['broker', 'broker.route'] == pytest.approx(route_s(1 << 10), rel=1e-3)
    assert medians['broker', 'broker.answer'] == pytest.approx(answer_s(0), rel=1e-3)
    if only_broker:
        assert medians['crypto', 'aead.open'] < open_s(1 << 10) / 2
        assert medians['crypto', 'aead.open'] > opened
    else:
        assert medians['crypto', 'aead.open'] == pytest.approx(opened, rel=1e-3)
    hardware = stages.filter(pl.col('hop') >= stages.filter(station='server-link-up')['hop'].min())
    trips = hardware.group_by('job').agg((pl.col('finished_s').max() - pl.col('arrived_s').min()).alias('seconds'))
    there_s, back_s = route_s(1 << 10) + DELIVER_S + LINK_S, LINK_S + answer_s(0)
    assert trips['seconds'].median() == pytest.approx(there_s + medians['crypto', 'aead.open'] + back_s, rel=1e-2)


def test_probes_do_not_wait_for_each_other() -> None:
    """Messages that come one by one are at least half a gap apart; those of a burst come together."""
    effort = Effort(4.0, 1, ((16_000, 1),))
    scenario, _ = probe_scenario('pqc-768', effort, 16_000, 1, seed=3)
    streams = scenario.devices['probe'].streams.values()
    times = sorted(time_s for stream in streams for _, time_s in stream.arrivals or ())
    alone = [time_s for time_s in times if time_s < 1.0 + effort.alone_s]
    assert len(alone) == 100
    assert np.diff(alone).min() >= 0.02 - 1e-12
    together = np.array(times[len(alone):])
    assert len(together) == len(SIZES) * N_TOGETHER
    assert all(np.ptp(burst) < 1e-5 for burst in together.reshape(-1, N_TOGETHER))
