"""The tables of a run folder say the same thing, each in its way: what one implies about another is recomputed."""

import hashlib
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sim.errors import InputError
from sim.loading import SHIPPED, load
from sim.lowering import lower
from sim.model import LINK, OUTCOMES
from sim.profiles import load_profile
from sim.replicating import simulate
from sim.results import histogram
from sim.results.folder import Run, find_runs, read_run
from sim.results.recording import Trace
from tests.results.runs import QUIET, SHORT, ended, files, make, plan, seeds, settings, start

ALWAYS = {'manifest.json', 'scenario.yaml', 'summary.json', 'devices.parquet', 'stations.parquet', 'rounds.parquet'}
READ = {*(f'profiles/{name}.yaml' for name in ('esp32-pump', 'raspberry-pi-4', 'x86-server')),
        'arrivals/monitor.vitals.csv', 'arrivals/pump.alarm.csv'}  # by the quiet ward
WARM_UP_S, DURATION_S = 2.0, 20.0  # of the short ward


@pytest.mark.parametrize(('trace', 'more'), [
    ('none', set()), ('jobs', {'jobs.parquet'}), ('stages', {'jobs.parquet', 'stages.parquet'}),
])
def test_a_run_folder_holds_the_files_of_its_trace_level(trace: Trace, more: set[str], tmp_path: Path) -> None:
    """The names of all files of a run at each trace level."""
    assert files(make(tmp_path, QUIET, (), trace=trace).folder) == ALWAYS | READ | more


def test_a_run_without_learning_has_no_table_of_rounds(tmp_path: Path) -> None:
    """A ward that does not learn: no file, and an empty table to who asks for it."""
    run = make(tmp_path, QUIET, ['learning=null'])
    assert not (run.folder / 'rounds.parquet').exists()
    assert run.table('rounds').is_empty()


def test_the_table_of_keys_can_be_read_back(tmp_path: Path) -> None:
    """A ward whose keys rotate, and one whose keys are there: the rows that were recorded, and an empty table."""
    lives = ['keys={rotation: {every: 5 s}, overlap: 1 s}', *(
        f'devices.{name}.trust=pre-shared' for name in ('monitor', 'pump'))]
    keys = make(tmp_path / 'lives', QUIET, lives).table('keys')
    assert keys.height >= 6
    assert set(keys['event']) == {'rekey'}
    assert set(keys['class']) == {'monitor', 'pump'}
    assert make(tmp_path / 'stays', QUIET, ()).table('keys').is_empty()


def test_a_table_that_no_run_has_is_told(quiet: Run) -> None:
    """A misspelt name: an error of input that says which was meant, not an empty table."""
    with pytest.raises(InputError, match="'key' is no table of a run; did you mean 'keys'"):
        quiet.table('key')


def test_the_summary_is_the_same_at_every_trace_level(ward: Run, tmp_path: Path) -> None:
    """One seed with and without tracing: the bytes of summary.json are equal."""
    untraced = make(tmp_path, trace='none')
    assert (untraced.folder / 'summary.json').read_bytes() == (ward.folder / 'summary.json').read_bytes()


def test_two_processes_leave_the_same_bytes_for_a_seed(ward: Run, tmp_path: Path) -> None:
    """The ward here and in a process with another hash seed: tables, summary and scenario are equal bytes."""
    code, _, errors = ended(start('run', 'ward', *settings(SHORT), '--trace', 'stages', '--out', tmp_path, hash_seed=7))
    assert (code, errors) == (0, '')
    folder, = seeds(tmp_path)
    names = files(folder)
    assert names == {*files(ward.folder), 'report.html'}
    for name in names - {'manifest.json', 'report.html'}:  # these two tell when, and how long it took
        assert (folder / name).read_bytes() == (ward.folder / name).read_bytes()


def test_another_seed_leaves_other_tables_under_the_same_hash(ward: Run, tmp_path: Path) -> None:
    """Seeds 1 and 2 of the ward: jobs and summary differ, the scenario's hash does not."""
    other = make(tmp_path, seed=2)
    assert other.manifest['seed'] == 2
    assert other.manifest['scenario_hash'] == ward.manifest['scenario_hash']
    assert not other.table('jobs').equals(ward.table('jobs'))
    assert other.summary != ward.summary


def test_a_run_folder_runs_again_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario with a profile and arrivals of its own and wards unsaid; its run folder is moved, the rest deleted.

    The scenario in the folder runs by the command line from another place: every file has the same bytes, under the
    same hash. The file was found from the scenario's folder, not from where the command was given.
    """
    monkeypatch.chdir(tmp_path)
    own, out = tmp_path / 'own', tmp_path / 'out'
    (own / 'costs').mkdir(parents=True)
    profile = load_profile('esp32-pump').contents.decode().replace('name: esp32-pump', 'name: my-pump')
    (own / 'costs' / 'my-pump.yaml').write_text(profile, 'utf-8')
    (own / 'alarms.csv').write_text('device,time_s\n0,1.1\n0,12.000000000000002\n', 'utf-8')
    overrides = ['devices.pump.profile=costs/my-pump.yaml', 'devices.pump.streams.alarm.arrivals=alarms.csv', 'seed=5',
                 'replications=3']
    (own / 'quiet.yaml').write_text(QUIET.read_text('utf-8'), 'utf-8')
    first = make(out, own / 'quiet.yaml', overrides, seed=6, trace='stages')
    assert first.manifest['profiles']['my-pump'] == load_profile(own / 'costs' / 'my-pump.yaml').sha256
    kept = first.folder.rename(tmp_path / 'kept')
    shutil.rmtree(own)
    code, _, errors = ended(start('run', kept / 'scenario.yaml', '--trace', 'stages', '--out', tmp_path / 'again'))
    assert (code, errors) == (0, '')
    folder, = seeds(tmp_path / 'again')
    assert (folder.parent.name, folder.name) == (first.folder.parent.name, 'seed-6')
    assert files(folder) == {*files(kept), 'report.html'}
    for name in files(kept) - {'manifest.json'}:  # it tells when, and how long it took
        assert (folder / name).read_bytes() == (kept / name).read_bytes()


def test_the_saved_scenario_names_what_was_left_to_the_hospital(ward: Run) -> None:
    """Classes of the ward name no wards: the folder's scenario says which; nothing in it is an empty list of wards."""
    text = (SHIPPED / 'ward.yaml').read_text('utf-8')
    scenario, _ = load(ward.folder / 'scenario.yaml')
    assert 'wards: [' not in text
    assert {device.wards for device in scenario.devices.values()} == {tuple(scenario.wards)}
    assert ward.scenario_text.count(f'wards: [{", ".join(scenario.wards)}]') == len(scenario.devices)


def test_profiles_of_one_name_lie_side_by_side(tmp_path: Path) -> None:
    """Two files called pump.yaml with unlike power: both are kept, both count in the hash, and the run repeats."""
    text = load_profile('esp32-pump').contents.decode().replace('name: esp32-pump', 'name: pump')
    for folder, label in (('a', text), ('b', text + '# otherwise\n')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'pump.yaml').write_text(label, 'utf-8')
    paths = [f'devices.{name}.profile={tmp_path}/{folder}/pump.yaml' for name, folder in
             (('pump', 'a'), ('monitor', 'b'))]
    run = make(tmp_path / 'out', QUIET, [*paths, 'learning=null'])
    names = [name for name in run.manifest['profiles'] if name.endswith('/pump')]
    assert len(names) == 2
    assert {f'profiles/{name}.yaml' for name in names} < files(run.folder)
    again = make(tmp_path / 'again', run.folder / 'scenario.yaml', ())
    assert again.scenario_text == run.scenario_text
    assert again.folder.parent.name == run.folder.parent.name
    other = make(tmp_path / 'other', QUIET, [paths[0], 'learning=null'])
    assert other.manifest['scenario_hash'] != run.manifest['scenario_hash']


def test_a_day_of_arrivals_runs_again_from_its_folder(tmp_path: Path) -> None:
    """30,000 rows, more than a scenario's file may hold: launched, saved as CSV, and loaded again as the same."""
    rows = ''.join(f'{i % 2},{i * 0.0005!r}\n' for i in range(30_000))
    (tmp_path / 'day.csv').write_text(f'device,time_s\n{rows}', 'utf-8')
    csv = f'devices.monitor.streams.vitals.arrivals={tmp_path}/day.csv'
    overrides = [csv, 'learning=null', 'devices.monitor.streams.vitals.payload=10 B', 'drain=0 s']
    run = make(tmp_path, QUIET, overrides, trace='none')
    assert metric(run, 'launched', 'vitals')['n'] == 30_000
    assert (run.folder / 'arrivals' / 'monitor.vitals.csv').read_text('utf-8').count('\n') == 30_001
    again, as_given = (load(*source)[0].devices['monitor'].streams for source in (
        (run.folder / 'scenario.yaml',), (QUIET, overrides)))
    assert again == as_given


def test_a_profile_that_changes_while_a_run_goes_on_is_saved_as_it_was_used(tmp_path: Path) -> None:
    """The file is overwritten between reading and writing: folder, manifest and hash are those of the first."""
    path = tmp_path / 'pump.yaml'
    text = load_profile('esp32-pump').contents.decode().replace('name: esp32-pump', 'name: pump')
    path.write_text(text, 'utf-8')
    of_run = plan(QUIET, [f'devices.pump.profile={path}', 'learning=null'])
    changes = iter([text + '# otherwise\n'])
    run = simulate(of_run, tmp_path, trace='none', progress=lambda *_: path.write_text(next(changes, text + '#\n')))
    assert path.read_text('utf-8') != text
    assert (run.folder / 'profiles' / 'pump.yaml').read_text('utf-8') == text
    assert run.manifest['profiles']['pump'] == hashlib.sha256(text.encode()).hexdigest()
    assert run.folder.parent.name.endswith(run.manifest['scenario_hash'][:8])


def test_the_manifest_says_what_was_run_and_with_what(ward: Run) -> None:
    """World, engine, seed, validity, versions, profiles by their hashes, and the counts of the other tables."""
    manifest = ward.manifest
    assert (manifest['scenario'], manifest['seed'], manifest['world'], manifest['engine'], manifest['is_valid']) == (
        'ward', 1, 'simulated', 'compiled', True)
    assert manifest['profiles'] == {name: load_profile(name).sha256 for name in (
        'cortex-m4-wearable', 'esp32-pump', 'raspberry-pi-4', 'x86-server')}
    assert {f'profiles/{name}.yaml' for name in manifest['profiles']} < files(ward.folder)
    assert manifest['versions'].keys() >= {'python', 'iomtwin', 'simpy', 'numpy', 'numba'}
    assert manifest['n_jobs'] == ward.table('jobs').height
    assert manifest['n_devices'] == ward.table('devices').height
    assert manifest['n_hops'] == ward.table('stages')['n_segments'].sum()
    assert manifest['engine_wall_s'] > 0.0
    assert manifest['compile_wall_s'] >= 0.0
    assert manifest['peak_memory_mib'] > 0


def test_peak_memory_is_that_of_the_run_and_not_of_what_its_process_did_before(tmp_path: Path) -> None:
    """Half a gigabyte is filled and given back before a run of three devices: its manifest does not say so."""
    del (much := [np.ones(64 << 20)])[0]
    assert much == []
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found_mib = make(tmp_path, QUIET, ()).manifest['peak_memory_mib']
    assert 0 < found_mib < peak_mib - 200


# -- jobs ---------------------------------------------------------------------------------------------------------


def metric(run: Run, name: str, flow: str) -> dict[str, float]:
    """Return the row of a flow's metric."""
    return next(row for row in run.summary if (row['metric'], row['flow']) == (name, flow))


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


def test_runs_of_a_scenario_are_found_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    """Folders of seeds 2 and 10, and a hidden one: found as 2, 10."""
    for name in ('seed-10', 'seed-2', '.seed-3.17-ab.partial'):
        (tmp_path / name).mkdir()
        for file in ('manifest.json', 'summary.json'):
            (tmp_path / name / file).write_text(json.dumps({}), 'utf-8')
    assert [run.folder.name for run in find_runs(tmp_path)] == ['seed-2', 'seed-10']


def test_a_run_folder_may_be_anywhere(tmp_path: Path) -> None:
    """A folder with brackets, a line break and a byte that is no letter in its name: written and read as any other."""
    run = make(tmp_path / os.fsdecode(b'a[b]{c}*\n\xe4'), QUIET, ())
    assert run.table('jobs').height == run.manifest['n_jobs']
    assert find_runs(run.folder.parent) == [run]


def test_what_is_no_run_folder_is_an_error_that_says_what_one_holds(tmp_path: Path) -> None:
    """An empty folder, read as one run and searched for several."""
    with pytest.raises(InputError, match=r'is not a run folder; expected manifest.json and summary.json in it'):
        read_run(tmp_path)
    with pytest.raises(InputError, match=r'holds no run; give a run folder'):
        find_runs(tmp_path)
