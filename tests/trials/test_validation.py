"""How far off a model is: what `analysis.validation` says of runs whose difference is known.

The part of the testbed is played by the model of a testbed; so what is measured is known to the last bit, and a model
that is made wrong on purpose is wrong by a known amount.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from analysis.validation import Error, Validation, validate
from analysis.validation_report import doubt, sheets, write
from hil.inventory import Inventory, load_inventory
from hil.validation import trials
from hil.validation.configurations import DISTRIBUTED, SEQUENTIAL, Configuration
from hil.validation.mistakes import MISTAKES, Mistake, scaled
from hil.validation.probing import QUICK
from hil.validation.testbed_profile import profile_of_testbed
from sim.errors import InputError
from sim.profiles import load_profile
from sim.results.folder import read_run
from tests.trials.test_fitting import FACTS, fitted

CONFIGURATIONS = (Configuration('sequential', {**SEQUENTIAL, 'crypto.prefetch': '1'}),
                  Configuration('distributed', {**DISTRIBUTED, 'crypto.prefetch': '1'}, distributes='sequential'))
FOUND = {**FACTS, 'is_padded': False, 'places': ['crypto', 'server'], 'model': 'simulated', 'replies': {}, 'pacing': {},
         'steal': 0.0, 'workers': [{'node': 'pi-1', 'place': 'crypto', 'version': '0', 'provider': 'pqcrypto',
                                    'machine': 'x86_64', 'kernel': 'Linux', 'cores': 2, 'memory_mib': 1_000}]}
LARGE = ('duration=14 s', 'learning.model=200 kB', 'learning.update=200 kB', 'learning.samples=1', 'learning.pause=1 s')
SLOW = {'aead.open': 4.0, 'aead.seal': 4.0}  # so that a worker takes longer than the broker, and a second one helps
TRIALS = trials.Trials('testbed', LARGE, load_inventory('local'), CONFIGURATIONS, 3, QUICK)


def simulated(folder: Path, mistakes: Sequence[Mistake] = ()) -> Path:
    """Leave a folder as a validation does, its runs those of a model; return it."""
    folder.mkdir()
    found = fitted()
    for name in (*map(trials.profile_name, TRIALS.inventory.playing()), trials.SERVER):
        text = profile_of_testbed(name, load_profile('x86-server'), {'pqc-768': found}, found, FACTS, only_broker=False)
        (folder / f'{name}.yaml').write_text(scaled(text, SLOW))
    (folder / 'testbed.json').write_text(json.dumps({'deliver_s': 0.4e-3, 'cable_s': 0.1e-3, 'acknowledge_s': 0.9e-3}))
    described = {'scenario': 'testbed', 'is_padded': False, 'seeds': [1, 2, 3],
                 'mistakes': [{'name': each.name, 'title': each.title} for each in mistakes], 'configurations': [
                     {'name': each.name, 'settings': dict(each.settings), 'distributes': each.distributes}
                     for each in CONFIGURATIONS]}
    (folder / 'trials.json').write_text(json.dumps(described))
    for mistake in (None, *mistakes):
        trials.simulate(TRIALS, folder, mistake)
    return folder


@pytest.fixture(scope='module')
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runs that play the testbed's."""
    return simulated(tmp_path_factory.mktemp('trials') / 'measured') / 'simulated'


def compared(measured: Path, folder: Path) -> Validation:
    """Return what is found of a model whose runs are in a folder, against what was measured."""
    shutil.copytree(measured, folder / 'hil')
    for manifest in (folder / 'hil').glob('*/*/manifest.json'):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {'hardware': FOUND}))
    return validate(folder)


def error(found: Validation, configuration: str, what: str, of: str) -> Error:
    """Return the error of a median."""
    (each,) = [each for each in found.errors if (each.configuration, each.what, each.of, each.statistic) == (
        configuration, what, of, 'p50')]
    return each


def test_a_right_model_is_right(measured: Path, tmp_path: Path) -> None:
    """Equal runs: no error at all, all within, every separable pair in order, the effect predicted as measured."""
    found = compared(measured, simulated(tmp_path / 'right'))
    assert {each.of for each in found.errors} >= {'vitals', 'fl-update', 'vitals open', 'fl-update seal', 'rounds'}
    assert all(each.difference.mean == 0.0 and each.is_within in (True, None) for each in found.errors)
    assert all(each.measured == each.predicted for each in found.effects)
    assert all(each.n_right == each.n_pairs for each in found.rankings)
    assert sum(each.n_pairs for each in found.rankings) > 0
    write(found, tmp_path / 'right', 'iomtwin validate')
    page = (tmp_path / 'right' / 'validation.md').read_text()
    assert 'Host testbed' in page
    assert 'not run on a Pi yet' in page
    assert all((tmp_path / 'right' / f'{name}.svg').read_text().startswith('<?xml') for name in (
        'distributions', 'errors', 'effects'))
    assert 'more' not in [row[-1].text for row in sheets(found)[0].rows]


def test_a_machine_that_did_other_things_is_told(measured: Path, tmp_path: Path) -> None:
    """Other processes took 45 % of the processor time during one probe, and nothing during all else."""
    folder = simulated(tmp_path / 'busy')
    quiet = compared(measured, folder)
    probe = folder / 'probes' / 'pi-1' / 'pqc-768' / 'run-01' / 'probe.json'
    probe.parent.mkdir(parents=True)
    probe.write_text(json.dumps({'facts': {'others': 0.45}}))
    busy = validate(folder)
    assert (quiet.others, doubt(quiet)) == (0.0, '')
    assert busy.others == 0.45
    write(busy, folder, 'iomtwin validate')
    assert f'**{doubt(busy)}.**' in (folder / 'validation.md').read_text()
    assert '45 % of the processor time' in doubt(busy)


def test_mistakes_are_caught(measured: Path, tmp_path: Path) -> None:
    """Opening 30 % too fast, sealing too, or a prefetch that is ignored: each is off beyond its interval.

    The right model beside them stays right, and so do the stages that are left alone.
    """
    sealing = Mistake('seal-too-fast', 'sealing is 30 % too fast', factors={'aead.seal': 0.7})
    found = compared(measured, simulated(tmp_path / 'wrong', (*MISTAKES, sealing)))
    opens, held, seals = found.catches
    assert [each.title for each in found.catches] == [each.title for each in (*MISTAKES, sealing)]
    for catch in found.catches:
        assert catch.wrong.difference.excludes_zero
        assert catch.right.difference.mean == 0.0
        assert catch.n_beyond > catch.n_beyond_right == 0
    assert opens.wrong.of.endswith(' open')
    assert opens.wrong.predicted == pytest.approx(0.7 * opens.wrong.measured, rel=0.02)
    assert (seals.wrong.of, seals.wrong.difference.mean < 0.0) == ('fl-update seal', True)
    tail = held.wrong.of, held.wrong.statistic, held.wrong.difference.mean > 0.0
    assert tail == ('vitals', 'p95', True)  # it waits behind models that its worker holds already
    (sheet,) = [each for each in sheets(found) if each.title == 'Models made wrong on purpose']
    assert [row[0].text for row in sheet.rows] == [each.title for each in found.catches]


def test_a_mistake_that_is_not_caught_is_told_too(measured: Path, tmp_path: Path) -> None:
    """A model that is no worse than the right one has a row as well: no figure of it is beyond what is allowed."""
    none = Mistake('none', 'nothing is wrong')
    found = compared(measured, simulated(tmp_path / 'none', (none,)))
    (catch,) = found.catches
    assert (catch.title, catch.n_beyond, catch.wrong.difference.mean) == (none.title, 0, 0.0)
    assert not catch.wrong.difference.excludes_zero


def test_each_node_has_what_was_measured_on_it(tmp_path: Path) -> None:
    """Of two nodes the second is half as fast: in the model the worker on it is, and those on the first are not."""
    places = {'one': {'crypto': 1, 'server': 1}, 'other': {'crypto': 1}}
    inventory = Inventory.model_validate({'broker': {'private': True}, 'nodes': {
        name: {'workers': 'started', 'places': each} for name, each in places.items()}})
    assert [list(inventory.with_crypto_on(name).nodes) for name in places] == [['one'], ['one', 'other']]
    assert inventory.with_crypto_on('other').nodes['one'].places == {'server': 1}
    folder = simulated(tmp_path / 'unlike')
    fast = (folder / 'testbed-localhost.yaml').read_text()
    for name, factor in (('one', 1.0), ('other', 2.0)):
        text = scaled(fast, {'aead.open': factor}).replace('testbed-localhost', f'testbed-{name}')
        (folder / f'testbed-{name}.yaml').write_text(text)
    shutil.rmtree(folder / 'simulated')
    trials.simulate(replace(TRIALS, inventory=inventory, configurations=CONFIGURATIONS[1:], n_replicates=1), folder)
    stages = read_run(folder / 'simulated' / 'distributed' / 'seed-1').table('stages').filter(stage='aead.open')
    medians = dict(stages.filter(place='crypto').group_by('station').agg(pl.col('service_s').median()).iter_rows())
    assert medians['crypto-2'] == pytest.approx(2 * medians['crypto-1'], rel=0.02)
    assert medians['crypto-3'] == pytest.approx(medians['crypto-1'], rel=0.02)


def test_a_mistake_is_of_every_suite_and_size(tmp_path: Path) -> None:
    """Costs by operation and by size are scaled, of all suites; what is not named is as it was."""
    factors, path = {'aead.open': 0.5, 'kem.encaps': 2.0}, tmp_path / 'raspberry-pi-4.yaml'
    before = load_profile('raspberry-pi-4')
    path.write_text(scaled(before.contents.decode(), factors))
    after = load_profile(path)
    assert {stage for stage, _ in before.costs} > factors.keys()
    for (stage, variant), cost in before.costs.items():
        scale = factors.get(stage, 1.0)
        assert after.costs[stage, variant].seconds == pytest.approx([scale * each for each in cost.seconds], rel=1e-5)


def test_runs_that_are_not_valid_are_left_out(measured: Path, tmp_path: Path) -> None:
    """One invalid run is counted and not taken; with none that is valid there is nothing to say."""
    folder = simulated(tmp_path / 'some')
    compared(measured, folder)
    for manifest in (folder / 'hil' / 'sequential').glob('*/manifest.json'):
        spoilt = json.loads(manifest.read_text()) | {'is_valid': False, 'invalid_because': ['late']}
        manifest.write_text(json.dumps(spoilt))
    found = validate(folder)
    assert found.n_valid == {'sequential': 0, 'distributed': 3}
    assert found.n_invalid == {'sequential': 3, 'distributed': 0}
    assert {each.configuration for each in found.errors} == {'distributed'}
    assert found.effects == []
    for manifest in (folder / 'hil' / 'distributed').glob('*/manifest.json'):
        manifest.write_text(manifest.read_text().replace('"is_valid": true', '"is_valid": false'))
    with pytest.raises(InputError, match='no configuration with a valid run'):
        validate(folder)


@pytest.mark.parametrize('text', ['', 'no JSON', '[]', '[1]', '7', 'null', '{}', '{"configurations": []}'])
def test_folder_of_something_else_is_told_from_a_validation(tmp_path: Path, text: str) -> None:
    """No files, files that are no JSON, and JSON of another kind: one line each."""
    for name in ('trials.json', 'testbed.json'):
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match='found no trials'):
        validate(tmp_path)
