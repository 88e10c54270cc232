"""The tables of a run say the same thing, each in its way: what one implies about another is recomputed."""

import numpy as np
import polars as pl
import pytest

from sim.loading import load
from sim.lowering import lower
from sim.model import LINK, OUTCOMES
from sim.profiles import load_profile
from sim.results import histogram
from sim.results.folder import Run
from tests.results.runs import QUIET, metric

WARM_UP_S, DURATION_S = 2.0, 20.0  # of the short ward


def counted(run: Run, flow: str) -> pl.DataFrame:
    """Return the jobs of a flow that statistics are of."""
    return run.table('jobs').filter((pl.col('flow') == flow) & pl.col('is_counted'))


@pytest.mark.parametrize('run_name', ['ward', 'quiet'])
def test_every_launched_job_has_one_of_six_outcomes_in_both_tables(
        run_name: str, request: pytest.FixtureRequest) -> None:
    """For each flow: rows of jobs.parquet by outcome equal the summary, and add up to what was launched."""
    run: Run = request.getfixturevalue(run_name)
    assert run.table('jobs')['job'].is_unique().all()
    for flow in dict.fromkeys(row['flow'] for row in run.summary if row['flow']):
        found = dict(counted(run, flow).group_by('outcome').len().iter_rows())
        assert found.keys() <= set(OUTCOMES)
        in_summary = {outcome: metric(run, outcome, flow)['mean'] for outcome in OUTCOMES}
        assert in_summary == {outcome: found.get(outcome, 0) for outcome in OUTCOMES}
        assert sum(in_summary.values()) == metric(run, 'launched', flow)['mean'] == counted(run, flow).height


def test_jobs_count_when_they_are_launched_within_the_measured_time(ward: Run) -> None:
    """The column is_counted of the ward against its warm-up and duration; some jobs are outside."""
    jobs = ward.table('jobs')
    launched_s = jobs['launched_s'].to_numpy()
    within = (launched_s >= WARM_UP_S) & (launched_s < DURATION_S)
    assert jobs['is_counted'].to_list() == within.tolist()
    assert 0 < within.sum() < within.size


def test_an_expired_job_is_one_that_took_longer_than_its_deadline(quiet: Run) -> None:
    """Vitals of 300 kB with a deadline of 120 ms: outcome against latency, of both kinds; and the ratio."""
    jobs = counted(quiet, 'vitals')
    assert [outcome == 'expired' for outcome in jobs['outcome']] == [latency > 0.12 for latency in jobs['latency_s']]
    late = metric(quiet, 'expired', 'vitals')['mean']
    assert 0 < late < jobs.height
    assert metric(quiet, 'deadline_miss_ratio', 'vitals')['mean'] == late / jobs.height


@pytest.mark.parametrize('flow', ['vitals', 'alarm', 'fl-update'])
def test_percentiles_of_the_summary_are_those_of_the_jobs(ward: Run, flow: str) -> None:
    """The inverted empirical distribution of jobs.parquet, within the histogram's relative error; the mean exactly."""
    jobs = counted(ward, flow).filter(pl.col('outcome').is_in(['delivered', 'expired']))
    latency, of_flow = metric(ward, 'latency', flow), jobs['latency_s'].to_numpy()
    assert latency['n'] == of_flow.size > 0
    assert latency['mean'] == pytest.approx(of_flow.mean(), rel=1e-12)
    for name, q in (('p50', 0.5), ('p95', 0.95), ('p99', 0.99)):
        exact = float(np.quantile(of_flow, q, method='inverted_cdf'))
        assert latency[name] == pytest.approx(exact, rel=histogram.RATIO ** 0.5 - 1 + 1e-9)
    assert metric(ward, 'crypto_latency_share', flow)['mean'] == pytest.approx(
        jobs['crypto_s'].sum() / of_flow.sum(), rel=1e-12)
    assert metric(ward, 'wire_bytes', flow)['mean'] == counted(ward, flow)['wire_bytes'].sum()


# -- stages -------------------------------------------------------------------------------------------------------


def test_the_stages_of_a_job_fill_its_latency_without_gap_or_overlap(quiet: Run) -> None:
    """Each hop begins when the one before it has ended and its latency has passed; the last ends the job.

    A transfer of several segments is on several links at once: there the first link begins it and the last ends it,
    and each link begins and ends after the one before. Latencies of links are those of the lowered scenario.
    """
    model = lower(*load(QUIET))
    stages, jobs = quiet.table('stages'), quiet.table('jobs')
    assert (stages['attempt'] == 0).all()
    assert (stages['arrived_s'] <= stages['started_s']).all()
    assert (stages['started_s'] <= stages['finished_s']).all()
    assert (stages['n_segments'] > 1).any()
    for job in jobs.iter_rows(named=True):
        hops = stages.filter(pl.col('job') == job['job']).sort('hop').to_dicts()
        now_s, before = job['launched_s'], None
        for hop in hops:
            is_further_link = before is not None and (before['stage'] == hop['stage']) and (
                model.hops.kind[hop['hop']] == model.hops.kind[before['hop']] == LINK)
            if is_further_link and hop['n_segments'] > 1:
                assert before is not None
                assert before['arrived_s'] < hop['arrived_s'] <= now_s < hop['finished_s']
            else:
                assert hop['arrived_s'] == pytest.approx(now_s, rel=0, abs=1e-12)
            now_s, before = hop['finished_s'] + float(model.hops.latency_s[hop['hop']]), hop
        assert now_s == pytest.approx(job['finished_s'], rel=0, abs=1e-12)


def test_services_waits_and_latencies_add_up_to_the_latency_of_a_job(quiet: Run) -> None:
    """Alarms of the quiet ward, one segment each: waits + services + link latencies equal the latency."""
    model = lower(*load(QUIET))
    stages = quiet.table('stages').filter(pl.col('n_segments') == 1).with_columns(
        waited_s=pl.col('started_s') - pl.col('arrived_s'),
        under_way_s=pl.Series(model.hops.latency_s).gather(
            quiet.table('stages').filter(pl.col('n_segments') == 1)['hop']))
    sums = stages.group_by('job').agg(
        seconds=(pl.col('waited_s') + pl.col('service_s') + pl.col('under_way_s')).sum())
    both = quiet.table('jobs').filter(pl.col('flow') == 'alarm').join(sums, on='job')
    assert both.height == 3
    assert both['seconds'].to_list() == pytest.approx(both['latency_s'].to_list(), rel=1e-9)


def test_every_stage_names_the_station_that_did_it(quiet: Run) -> None:
    """A device's stages are at its own CPU, those of the broker's queues at a queue, crypto at a pod."""
    stages, stations = quiet.table('stages'), quiet.table('stations')
    kind = dict(stations.select('station', 'kind').iter_rows())
    expected = {'aead.seal': {'own', 'pod', 'cpu'}, 'broker.queue': {'queue'}, 'broker.route': {'broker'},
                'net.transfer': {'air', 'link'}, 'fl.train': {'own'}, 'fl.aggregate': {'cpu'}}
    for stage, kinds in expected.items():
        names = set(stages.filter(pl.col('stage') == stage)['station'])
        assert {kind.get(name, name) for name in names} == kinds
    of_device = stages.filter(pl.col('place') == 'device')
    assert set(of_device['station']) == {'own'}
    queues = stages.filter(pl.col('stage') == 'broker.queue').join(
        quiet.table('jobs').select('job', 'flow'), on='job')
    assert {flow: set(rows['station']) for (flow,), rows in queues.group_by('flow')} == {
        'alarm': {'queue crypto-0'}, 'vitals': {'queue crypto-1'}, 'fl-update': {'queue crypto-3'}}


# -- stations, devices, rounds ------------------------------------------------------------------------------------


def test_utilisation_is_the_service_of_all_stages_over_the_measured_time(quiet: Run) -> None:
    """All is done long before the end: service in stages.parquet by station over duration and servers."""
    assert quiet.table('jobs')['finished_s'].max() < DURATION_S  # type: ignore[operator]  # a float
    by_station = quiet.table('stages').group_by('station').agg(pl.col('service_s').sum(), pl.col('n_segments').sum())
    stations = quiet.table('stations').join(by_station, on='station', how='left').with_columns(
        pl.col('service_s', 'n_segments').fill_null(0))
    assert stations['served'].to_list() == stations['n_segments'].to_list()
    real = stations.filter(pl.col('kind') != 'queue')
    exact = (real['service_s'] / DURATION_S / real['servers']).to_list()
    assert real['utilisation'].to_list() == pytest.approx(exact, rel=1e-9)
    assert real.filter(pl.col('utilisation') > 0).height > 5


def test_the_line_at_a_station_is_the_waiting_of_all_stages(quiet: Run) -> None:
    """Little's law, exactly: the mean number in line times the time equals the seconds waited, at every station."""
    stages = quiet.table('stages').filter(pl.col('n_segments') == 1).with_columns(
        waited_s=pl.col('started_s') - pl.col('arrived_s'))
    whole = stages.group_by('station').agg(pl.col('waited_s').sum())
    segmented = set(quiet.table('stages').filter(pl.col('n_segments') > 1)['station']) | {'own'}
    stations = quiet.table('stations').filter(~pl.col('station').is_in(segmented)).join(whole, on='station')
    assert (stations['waited_s'] > 0).any()
    assert (stations['waiting_mean'] * DURATION_S).to_list() == pytest.approx(stations['waited_s'].to_list(), rel=1e-9)


def test_no_station_is_busier_than_always(ward: Run) -> None:
    """Utilisation of every station of the ward lies in [0, 1]; queues have none."""
    stations = ward.table('stations')
    real = stations.filter(pl.col('kind') != 'queue')['utilisation']
    assert real.is_between(0.0, 1.0).all()
    assert stations.filter(pl.col('kind') == 'queue')['utilisation'].is_nan().all()


@pytest.mark.parametrize('run_name', ['ward', 'quiet'])
def test_energy_is_watts_of_the_profile_times_seconds_of_the_table(
        run_name: str, request: pytest.FixtureRequest) -> None:
    """Base power all the measured time, and busy, sending and receiving above it, with the numbers of the profile."""
    run: Run = request.getfixturevalue(run_name)
    scenario, _ = load(run.folder / 'scenario.yaml')
    measured_s = scenario.duration - scenario.warm_up
    devices = run.table('devices')
    assert set(devices['class']) == set(scenario.devices)
    for device in devices.iter_rows(named=True):
        power = load_profile(scenario.devices[device['class']].profile).power
        above, crypto = (
            power['busy'].value * device[f'busy{of}_s'] + power['transmit'].value * device[f'tx{of}_s']
            + power['receive'].value * device[f'rx{of}_s'] for of in ('', '_crypto'))
        assert device['energy_j'] == pytest.approx(power['base'].value * measured_s + above, rel=1e-12)
        assert device['crypto_energy_j'] == pytest.approx(crypto, rel=1e-9, abs=1e-15)
        assert 0.0 <= device['busy_crypto_s'] <= device['busy_s'] <= measured_s
        battery_j = scenario.devices[device['class']].battery
        if battery_j is not None:
            days = battery_j / device['energy_j'] * measured_s / 86_400
            assert device['battery_days'] == pytest.approx(days, rel=1e-12)
            assert device['battery_days_without_crypto'] > device['battery_days']


def test_a_device_is_busy_for_as_long_as_its_stages_take(quiet: Run) -> None:
    """Stages at own CPUs never overlap here: their service by device equals busy seconds of the table."""
    own = quiet.table('stages').filter(pl.col('station') == 'own').join(
        quiet.table('jobs').select('job', 'class', 'device'), on='job')
    by_device = own.group_by('class', 'device').agg(pl.col('service_s').sum())
    both = quiet.table('devices').join(by_device, on=['class', 'device'])
    assert both.height == quiet.table('devices').height
    assert both['busy_s'].to_list() == pytest.approx(both['service_s'].to_list(), rel=1e-9)


@pytest.mark.parametrize('run_name', ['ward', 'quiet'])
def test_rounds_say_of_learning_what_the_jobs_say(run_name: str, request: pytest.FixtureRequest) -> None:
    """For each round, from its update jobs: clients, when the last one opened the model, when the quorum was there."""
    run: Run = request.getfixturevalue(run_name)
    scenario, _ = load(run.folder / 'scenario.yaml')
    assert scenario.learning is not None
    rounds, jobs = run.table('rounds').to_dicts(), run.table('jobs')
    assert [row['round'] for row in rounds] == list(range(scenario.learning.rounds))
    for row, ends_s in zip(rounds, [*(row['started_s'] for row in rounds[1:]), float('inf')], strict=True):
        mine = jobs.filter(pl.col('launched_s').is_between(row['started_s'], ends_s, closed='left'))
        updates = mine.filter(pl.col('flow') == 'fl-update')
        aggregation = mine.filter(pl.col('flow') == 'fl-aggregate')
        assert updates.height == row['n_selected'] == row['n_distributed']
        assert row['distributed_s'] == updates['mark_s'].max()
        assert row['distribution_time_s'] == row['distributed_s'] - row['started_s']
        quorum = int(np.ceil(scenario.learning.quorum * row['n_selected']))
        assert row['closed_s'] == updates['finished_s'].sort()[quorum - 1]
        assert row['quorum_met']
        assert row['n_delivered'] == quorum
        assert [row['aggregated_s']] == aggregation['finished_s'].to_list()
        assert row['round_time_s'] == row['aggregated_s'] - row['started_s']


# -- reading ------------------------------------------------------------------------------------------------------
