"""The command line: what its commands print, where they write, and how they refuse."""

import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

import iomtwin
from analysis.terminal import PIPED_COLUMNS
from sim.loading import load
from sim.profiles import load_profile, shipped_profiles, table
from sim.results.folder import Run, find_runs
from tests.results.runs import QUIET, ROOT, children, hash_of, make, seeds, settings

BRIEF = settings(('duration=8 s', 'warm_up=1 s', 'learning.start=2 s', 'learning.pause=1 s', 'learning.rounds=1'))
COMMANDS = ('check', 'run', 'compare', 'report', 'profiles')


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    errors: str


class CommandLine:
    """The command line in this process, with what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str | Path) -> Ended:
        """Run a command."""
        self._monkeypatch.setattr(sys, 'argv', ['iomtwin', *map(str, arguments)])
        code = 0
        try:
            iomtwin.main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        return Ended(code, *self._capsys.readouterr())


@pytest.fixture
def iomt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Return the command line, as wide as output to a file is."""
    monkeypatch.delenv('COLUMNS', raising=False)
    return CommandLine(capsys, monkeypatch)


def said(text: str) -> str:
    """Return a text as one line of single spaces."""
    return ' '.join(text.split())


# -- help, profiles, check ----------------------------------------------------------------------------------------


def test_help_lists_the_commands(iomt: CommandLine) -> None:
    """--help, and no argument at all: every command with a line on it."""
    for arguments in (['--help'], []):
        done = iomt(*arguments)
        text = done.out + done.errors
        for command in COMMANDS:
            assert re.search(rf'\b{command} +[A-Z]', text), (arguments, command)
    assert iomt('--help').code == 0
    for command in COMMANDS:
        assert iomt(command, '--help').code == 0


def test_profiles_lists_what_is_shipped(iomt: CommandLine) -> None:
    """Every shipped profile's name begins a line."""
    done = iomt('profiles')
    assert (done.code, done.errors) == (0, '')
    assert {line.split()[0] for line in done.out.splitlines() if line.strip()} >= set(shipped_profiles())
    assert '…' not in done.out


@pytest.mark.parametrize('columns', ['80', '110'])
def test_a_profile_is_printed_with_quality_and_source(
        columns: str, iomt: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the Raspberry Pi 4: value with unit and source stand there whole, on 80 columns too."""
    monkeypatch.setenv('COLUMNS', columns)
    done = iomt('profiles', 'raspberry-pi-4')
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= int(columns)
    assert '…' not in done.out
    base = re.search(r'^ +power\.base +2\.7 W +secondary +\[(\d+)\]', done.out, re.MULTILINE)
    assert base is not None
    assert re.search(rf'^{base[1]} +pidramble\.com', done.out, re.MULTILINE)
    assert re.search(r'^ +clock +1\.8 GHz +primary ', done.out, re.MULTILINE)
    of_stage = done.out[done.out.index('\nkem.keygen'):done.out.index('\nkem.encaps')]
    assert re.search(r'^ +ML-KEM-768 +89412 cycles = 49\.7 µs +primary +\[\d+\]', of_stage, re.MULTILINE)
    sources = {row['source'] for row in table(load_profile('raspberry-pi-4'))}
    assert len(re.findall(r'^\d+ ', done.out, re.MULTILINE)) == len(sources)
    assert all(source in said(done.out) for source in sources)


def test_an_unknown_profile_is_bad_input(iomt: CommandLine) -> None:
    """Exit code 2, one line with the name and those that there are."""
    done = iomt('profiles', 'toaster')
    assert (done.code, done.out) == (2, '')
    assert done.errors.count('\n') == 1
    assert "'toaster'" in done.errors
    assert 'raspberry-pi-4' in done.errors


def test_help_is_what_nothing_asks_for(iomt: CommandLine) -> None:
    """Without arguments: the same page as with --help, and no error."""
    assert iomt() == iomt('--help')
    assert iomt().code == 0
    assert all(command in iomt().out for command in COMMANDS)


def test_check_prints_yaml_that_loads_as_the_same_scenario(iomt: CommandLine, tmp_path: Path) -> None:
    """The ward and an override, printed, written, loaded: equal; and the last line counts the parts."""
    done = iomt('check', 'ward', '--set', 'crypto.prefetch=7')
    assert (done.code, done.errors) == (0, '')
    (tmp_path / 'again.yaml').write_text(done.out, 'utf-8')
    again, _ = load(tmp_path / 'again.yaml')
    assert again == load('ward', ['crypto.prefetch=7'])[0]
    assert hash_of(tmp_path / 'again.yaml') == hash_of('ward', ['crypto.prefetch=7'])
    assert not re.findall(r'^ *- ', done.out, re.MULTILINE)
    assert re.search(r'\n# 120 devices of 3 classes, \d+ stations, \d+ route templates\n$', done.out)
    assert iomt('check', tmp_path / 'again.yaml').out == done.out


def test_check_names_the_files_that_a_scenario_reads(
        iomt: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile and arrivals beside a scenario in another folder: what is printed loads anywhere, to the same hash."""
    (tmp_path / 'own').mkdir()
    text = load_profile('esp32-pump').contents.decode().replace('name: esp32-pump', 'name: mine')
    (tmp_path / 'own' / 'mine.yaml').write_text(text, 'utf-8')
    (tmp_path / 'own' / 'alarms.csv').write_text('device,time_s\n' + '0,2.5\n' * 2, 'utf-8')
    (tmp_path / 'own' / 'quiet.yaml').write_text(QUIET.read_text('utf-8'), 'utf-8')
    overrides = ['devices.pump.profile=mine.yaml', 'devices.pump.streams.alarm.arrivals=alarms.csv']
    monkeypatch.chdir(tmp_path)
    done = iomt('check', 'own/quiet.yaml', *settings(overrides))
    assert (done.code, done.errors) == (0, '')
    assert f'arrivals: {tmp_path}/own/alarms.csv' in done.out
    (tmp_path / 'again.yaml').write_text(done.out, 'utf-8')
    assert hash_of('again.yaml') == hash_of('own/quiet.yaml', overrides)


def test_check_prints_a_schema_that_describes_scenarios(iomt: CommandLine) -> None:
    """--schema needs no scenario; without either, the error says what to give."""
    schema = json.loads(iomt('check', '--schema').out)
    assert {'name', 'duration', 'devices'} <= schema['properties'].keys()
    done = iomt('check')
    assert (done.code, done.out) == (2, '')
    assert 'give a SCENARIO, or --schema' in done.errors


@pytest.mark.parametrize(('arguments', 'message'), [
    (['fly'], "No such command 'fly'"), (['run'], "Missing argument 'SCENARIO'"),
    (['run', 'wart'], "did you mean 'ward'?"),
    (['run', 'ward', '--trace', 'all'], 'expected one of none, jobs, stages'),
    (['run', 'ward', '--seed', '-1'], '--seed'), (['run', 'ward', '--set', 'seed'], 'write KEY=VALUE'),
    (['run', 'ward', '--replications', '0'], '--replications'), (['compare', 'ward'], 'give at least two scenarios'),
    (['report', 'nowhere'], "'nowhere' holds no run; give a run folder"),
])
def test_what_cannot_be_understood_is_one_line_and_code_2(
        arguments: list[str], message: str, iomt: CommandLine) -> None:
    """Unknown commands, scenarios, options and values; nothing is written."""
    done = iomt(*arguments)
    assert (done.code, done.out) == (2, '')
    assert message in done.errors
    assert done.errors.startswith('iomtwin: ')
    assert done.errors.count('\n') == 1


# -- run ----------------------------------------------------------------------------------------------------------


def test_run_prints_its_tables_and_where_the_report_is(iomt: CommandLine, tmp_path: Path) -> None:
    """A ward: all tables and the line on learning, within the width of output to a file; the report is there."""
    done = iomt('run', 'ward', *BRIEF, '--out', tmp_path)
    assert (done.code, done.errors) == (0, '')
    for title in ('Flows', 'Cryptography in flows', 'Devices', 'Busiest stations', 'Federated learning: 1 of 1'):
        assert f'\n{title}' in f'\n{done.out}'
    *tables, counts, report = done.out.splitlines()
    assert max(map(len, tables)) <= PIPED_COLUMNS
    assert '…' not in done.out
    run, = find_runs(next(tmp_path.iterdir()))
    assert counts.startswith(f'{run.manifest["n_jobs"]:,} jobs, {run.manifest["n_hops"]:,} hops, ')
    assert report == f'report: {run.folder / "report.html"}'
    assert (run.folder / 'report.html').stat().st_size > 0


def test_run_takes_seed_and_trace_and_engine(iomt: CommandLine, tmp_path: Path) -> None:
    """--seed names the folder, --trace chooses the tables, --engine is in the manifest."""
    done = iomt('run', QUIET, '--seed', '40', '--trace', 'stages', '--engine', 'simpy', '--out', tmp_path)
    assert done.code == 0
    folder, = seeds(tmp_path)
    assert folder.name == 'seed-40'
    assert (folder / 'stages.parquet').exists()
    assert find_runs(folder)[0].manifest['engine'] == 'simpy'


def test_run_with_replications_writes_one_folder_a_seed_and_their_tables(iomt: CommandLine, tmp_path: Path) -> None:
    """Two seeds one after the other: folders, tables over both in one of their set, a page, and where they are."""
    done = iomt('run', QUIET, '--seed', '8', '--replications', '2', '--jobs', '1', '--out', tmp_path)
    assert (done.code, done.errors) == (0, '')
    folder, = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} == {'seed-8', 'seed-9', 'seeds-8-9'}
    both = folder / 'seeds-8-9'
    assert {path.name for path in both.iterdir()} == {'intervals.parquet', 'replications.parquet', 'report.html',
                                                      'summary.json'}
    assert set(pl.read_parquet(both / 'replications.parquet')['seed']) == {8, 9}
    assert done.out.splitlines()[-2:] == [
        f'2 runs; every mean and percentile with its 95 % interval: {both / "summary.json"}',
        f'report: {both / "report.html"}']
    assert 'All numbers are means of 2 runs' in done.out


def test_another_set_of_seeds_leaves_the_first_as_it_was(iomt: CommandLine, tmp_path: Path) -> None:
    """Seeds 1 and 2, then 3 and 4, then 2 and 3 of one scenario: three summaries, and the first has its bytes."""
    for i, seed in enumerate((1, 3, 2)):
        done = iomt('run', QUIET, '--seed', str(seed), '--replications', '2', '--jobs', '1', '--out', tmp_path)
        assert done.code == 0
        if i == 0:
            first = next(tmp_path.iterdir()) / 'seeds-1-2' / 'summary.json'
            before = first.read_bytes()
    assert first.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob('*/seeds-*')) == ['seeds-1-2', 'seeds-2-3', 'seeds-3-4']


def test_report_of_the_folder_of_all_seeds_is_of_their_set(iomt: CommandLine, tmp_path: Path) -> None:
    """Seeds 1 and 3 without one between: the page of both, in a folder that no other set has."""
    runs = [make(tmp_path, QUIET, (), seed=seed) for seed in (1, 3)]
    done = iomt('report', runs[0].folder.parent)
    page = Path(done.out.strip())
    assert done.code == 0
    assert re.fullmatch(r'seeds-1-3-[0-9a-f]{8}', page.parent.name)
    assert 'quiet: 2 replications' in page.read_text('utf-8')


def test_run_follows_the_scenario_when_no_option_says_otherwise(iomt: CommandLine, tmp_path: Path) -> None:
    """Seed and replications of the file, in a folder 'results' of where one is."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert iomt('run', QUIET, '--set', 'seed=6', '--set', 'replications=2', '--jobs', '1').code == 0
    finally:
        os.chdir(before)
    assert [folder.name for folder in seeds(tmp_path / 'results')] == ['seed-6', 'seed-7']


def test_report_writes_the_page_of_a_run_again(iomt: CommandLine, quiet: Run) -> None:
    """The page of a run made without one; its path is printed."""
    done = iomt('report', quiet.folder)
    assert (done.code, done.out.strip()) == (0, str(quiet.folder / 'report.html'))
    (quiet.folder / 'report.html').unlink()


# -- compare ------------------------------------------------------------------------------------------------------


def test_folders_of_runs_are_compared_without_simulating(iomt: CommandLine, tmp_path: Path) -> None:
    """A scenario's folder of two seeds, another's, and a single run: called by where they lie, pairs, two pages."""
    runs = {aead: [make(tmp_path / aead, QUIET, [f'crypto.aead={aead}'], seed=seed) for seed in (1, 2)]
            for aead in ('Ascon-AEAD128', 'none')}
    before = sorted(tmp_path.rglob('*'))
    folders = [side[0].folder.parent for side in runs.values()]
    done = iomt('compare', *folders, '--out', tmp_path)
    assert (done.code, done.errors) == (0, '')
    assert done.out.startswith('none against Ascon-AEAD128')
    assert '2 pairs of runs with common random numbers' in said(done.out)
    for name, aead in (('Ascon-AEAD128', 'Suite: pqc-768 (ML-KEM-768, Ascon-AEAD128, ML-DSA-65)'),
                       ('none', 'Suite: none of the shipped ones (ML-KEM-768, none, ML-DSA-65)')):
        assert f'{name}: {aead}; Keys: ' in said(done.out)
    single = iomt('compare', runs['Ascon-AEAD128'][1].folder, folders[1], '--out', tmp_path)
    assert 'one pair of runs' in said(single.out)
    pages = {Path(out.splitlines()[-1].removeprefix('report: ')) for out in (done.out, single.out)}
    assert len(pages) == 2
    assert set(tmp_path.rglob('*')) - set(before) == {tmp_path / 'compare', *pages}


def test_folders_of_runs_in_one_folder_are_called_by_their_own_names(iomt: CommandLine, tmp_path: Path) -> None:
    """Two scenarios of one --out."""
    folders = [make(tmp_path, QUIET, [f'crypto.aead={aead}']).folder.parent for aead in ('Ascon-AEAD128', 'none')]
    done = iomt('compare', *folders, '--out', tmp_path)
    assert done.out.startswith(f'{folders[1].name} against {folders[0].name}')


def test_three_scenarios_are_compared_with_the_first(iomt: CommandLine, tmp_path: Path) -> None:
    """A shipped name, a file, and a folder: two tables, both against the first."""
    text = (ROOT / 'scenarios' / 'ward.yaml').read_text('utf-8').replace('name: ward\n', 'name: plain\n')
    (tmp_path / 'plain.yaml').write_text(text.replace('  suite: ', '  aead: none\n  suite: '), 'utf-8')
    overrides = [part for part in BRIEF if part != '--set']
    folder = [make(tmp_path / 'made', overrides=(*overrides, 'crypto.prefetch=9'), seed=seed) for seed in (1, 2)]
    done = iomt('compare', 'ward', tmp_path / 'plain.yaml', folder[0].folder.parent, *BRIEF, '--replications', '2',
                '--jobs', '1', '--out', tmp_path / 'results')
    assert (done.code, done.errors) == (0, '')
    assert 'plain: Suite: none of the shipped ones' in said(done.out)
    titles = [line.strip() for line in done.out.splitlines() if ' against ' in line]
    assert titles == ['plain against ward', f'{folder[0].folder.parent.name} against ward']
    assert len(seeds(tmp_path / 'results' / 'compare')) == 4
    assert not list((tmp_path / 'results').rglob('jobs.parquet'))


def test_a_scenario_compared_with_itself_shows_no_difference(iomt: CommandLine, tmp_path: Path) -> None:
    """The same run on both sides, made by two processes at the same time into one folder."""
    before = set(children(os.getpid()))  # such as the guardian of a broker of other tests, which itself starts more
    done = iomt('compare', QUIET, QUIET, '--replications', '1', '--jobs', '2', '--out', tmp_path)
    assert (done.code, done.errors) == (0, '')
    lines = done.out.splitlines()
    assert lines[0].strip() == 'quiet against quiet'
    assert re.fullmatch(r'metric +of +quiet +quiet +difference +± *', lines[1])
    assert 'metrics are the same on both sides' in said(done.out)
    assert len(seeds(tmp_path / 'compare')) == 1
    assert all(map(_is_tracker, set(children(os.getpid())) - before))


def _is_tracker(pid: int) -> bool:
    """Return whether a process is Python's own tracker of shared resources, which lives as long as its parent."""
    return b'resource_tracker' in Path(f'/proc/{pid}/cmdline').read_bytes()


def test_runs_without_a_common_seed_are_refused(iomt: CommandLine, tmp_path: Path) -> None:
    """Seed 1 against seed 2: one line, code 2."""
    folders = [make(tmp_path, QUIET, (), seed=seed).folder for seed in (1, 2)]
    done = iomt('compare', *folders)
    assert (done.code, done.out) == (2, '')
    assert done.errors == 'iomtwin: no seed is on both sides: [1] and [2]; run both with the same seeds\n'
    empty = tmp_path / 'empty'
    empty.mkdir()
    assert iomt('compare', folders[0], empty).code == 2
