"""A run folder that is damaged is told in one line, with its file, before anything is computed or written."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sim.errors import InputError
from sim.results.folder import Run, find_runs
from tests.results.runs import QUIET, ended, start

Damage = Callable[[Path], object]


def manifest(**changed: object) -> Damage:
    """Return a damage that changes keys of the manifest; ... takes one away."""

    def write(folder: Path) -> None:
        data = json.loads((folder / 'manifest.json').read_text('utf-8')) | changed
        kept = {key: value for key, value in data.items() if value is not ...}
        (folder / 'manifest.json').write_text(json.dumps(kept), 'utf-8')

    return write


def text(name: str, content: str) -> Damage:
    """Return a damage that puts another text into a file."""
    return lambda folder: (folder / name).write_text(content, 'utf-8')


def table(name: str, *columns: pl.Expr, without: str = '') -> Damage:
    """Return a damage that changes or drops columns of a table."""

    def write(folder: Path) -> None:
        path = folder / f'{name}.parquet'
        pl.read_parquet(path).with_columns(*columns).drop(*filter(None, [without])).write_parquet(path)

    return write


def cut(name: str) -> Damage:
    """Return a damage that ends a file in its middle."""
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


ROW = '[{"metric": "latency", "flow": null, "class": null, "station": null, "unit": "s", "n": 1, "mean": %s, "p50": 1}]'
DAMAGES = {  # what is done to a folder, and what the line says of it
    'no manifest': (lambda folder: (folder / 'manifest.json').unlink(), 'is not a run folder'),
    'no summary': (lambda folder: (folder / 'summary.json').unlink(), 'is not a run folder'),
    'no scenario': (lambda folder: (folder / 'scenario.yaml').unlink(), 'scenario.yaml: cannot be read'),
    'no stations': (lambda folder: (folder / 'stations.parquet').unlink(), 'stations.parquet: is not a whole Parquet'),
    'no jobs that were traced': (lambda folder: (folder / 'jobs.parquet').unlink(), 'jobs.parquet: is not a whole'),
    'half a manifest': (cut('manifest.json'), 'manifest.json: is not JSON'),
    'half a summary': (cut('summary.json'), 'summary.json: is not JSON'),
    'half a scenario': (cut('scenario.yaml'), 'has no page'),
    'half a table': (cut('stages.parquet'), 'stages.parquet: is not a whole Parquet file'),
    'empty table': (text('jobs.parquet', ''), 'jobs.parquet: is not a whole Parquet file'),
    'manifest that is a list': (text('manifest.json', '[1]'), 'manifest.json: '),
    'manifest without its seed': (manifest(seed=...), 'manifest.json: seed: is missing; make the run again'),
    'manifest without its engine': (manifest(engine=...), 'has no page'),
    'security without its suite': (manifest(security={'kem': 'X25519'}), 'manifest.json: security.suite: is missing'),
    'seed that is a text': (manifest(seed='1'), "manifest.json: seed: found '1'; expected a valid integer; make"),
    'seed of many digits': (manifest(seed=10**400), 'manifest.json: seed: '),
    'warnings that are a text': (manifest(warnings='text'), "manifest.json: warnings: found 'text'; expected a list"),
    'reason that is a number': (manifest(invalid_because=1), 'manifest.json: invalid_because: '),
    'compile time that is a text': (manifest(compile_wall_s='1'), "compile_wall_s: found '1'; expected a valid number"),
    'trace of no kind': (manifest(trace='all'), "manifest.json: trace: found 'all'; expected 'none', 'jobs' or"),
    'summary of another shape': (text('summary.json', '{"a": 1}'), 'summary.json: '),
    'summary of numbers': (text('summary.json', '[1]'), 'summary.json: [0]: '),
    'summary of a row without keys': (text('summary.json', ROW % 1), 'summary.json: [0].p95: is missing'),
    'summary of a text': (text('summary.json', ROW % '"1"'), "summary.json: [0].mean: found '1'; expected a valid"),
    'summary nested deep': (text('summary.json', '[' * 100_000), 'summary.json: is not JSON'),
    'summary that is no text': (lambda folder: (folder / 'summary.json').write_bytes(b'\xff'), 'summary.json: is not'),
    'scenario that is none': (text('scenario.yaml', 'a: 1'), 'has no page'),
    'scenario that is a list': (text('scenario.yaml', '- 1'), 'scenario.yaml:1: holds no keys'),
    'scenario that is no YAML': (text('scenario.yaml', 'a: [\n'), 'scenario.yaml:2: is not YAML'),
    'table without a column': (table('jobs', without='latency_s'), "jobs.parquet: has no column 'latency_s'"),
    'column of another kind': (table('jobs', pl.col('latency_s').cast(pl.String)), "'latency_s' holds texts, not numb"),
    'text in place of a count': (table('stations', pl.lit('1').alias('served')), "'served' holds texts, not whole"),
}


@pytest.mark.parametrize(('damage', 'words'), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_told_in_one_line_and_no_page_is_written(
        damage: Damage, words: str, quiet: Run, tmp_path: Path) -> None:
    """A traced run, damaged in one way: its page is refused with the file, and none is there afterwards."""
    from analysis.report import write_report

    folder = Path(shutil.copytree(quiet.folder, tmp_path / 'seed-1', ignore=shutil.ignore_patterns('report.html')))
    damage(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(InputError) as caught:
        write_report(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert str(folder) in message
    assert words in message
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize('name', ['a' * 300, 'nowhere', 'file'])
def test_path_that_is_no_folder_is_told(name: str, tmp_path: Path) -> None:
    """A name that no file can have, one that is not there and one of a file: each holds no run."""
    (tmp_path / 'file').write_text('', 'utf-8')
    with pytest.raises(InputError, match='holds no run; give a run folder'):
        find_runs(tmp_path / name)


@pytest.mark.parametrize(('damage', 'words'), [
    (lambda folder: (folder / 'manifest.json').unlink(), 'holds no run'), (manifest(seed=77), 'no seed is on both'),
    (cut('summary.json'), 'summary.json: is not JSON')])
def test_a_side_that_cannot_be_compared_is_told_before_the_other_is_simulated(
        damage: Damage, words: str, quiet: Run, tmp_path: Path) -> None:
    """A scenario against a damaged folder: code 2, one line, and no run of the scenario was made."""
    folder = Path(shutil.copytree(quiet.folder, tmp_path / 'side' / 'seed-1'))
    damage(folder)
    code, out, errors = ended(start('compare', QUIET, folder.parent, '--out', tmp_path / 'out'))
    assert (code, out) == (2, '')
    assert errors.startswith('iomtwin: ')
    assert errors.count('\n') == 1
    assert words in errors
    assert not (tmp_path / 'out').exists()
