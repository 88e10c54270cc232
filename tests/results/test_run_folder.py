"""What a run folder holds, that the same run leaves the same bytes, and that it runs again from there."""

import hashlib
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from sim.errors import InputError
from sim.loading import SHIPPED, load
from sim.profiles import load_profile
from sim.replicating import simulate
from sim.results.folder import Run, find_runs, read_run
from sim.results.recording import Trace
from tests.results.runs import QUIET, SHORT, ended, files, make, metric, plan, seeds, settings, start

ALWAYS = {'manifest.json', 'scenario.yaml', 'summary.json', 'devices.parquet', 'stations.parquet', 'rounds.parquet'}
READ = {*(f'profiles/{name}.yaml' for name in ('esp32-pump', 'raspberry-pi-4', 'x86-server')),
        'arrivals/monitor.vitals.csv', 'arrivals/pump.alarm.csv'}  # by the quiet ward


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
