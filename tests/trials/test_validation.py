"""How far off a model is: what `analysis.validation` says of runs whose difference is known.

The part of the testbed is played by the model of a testbed; so what is measured is known to the last bit, and a model
that is made wrong on purpose is wrong by a known amount.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.validation import Error, Validation, validate
from analysis.validation_report import sheets, write
from hil.inventory import load_inventory
from hil.validation import trials
from hil.validation.configurations import DISTRIBUTED, SEQUENTIAL, Configuration
from hil.validation.probing import QUICK
from hil.validation.testbed_profile import profile_of_testbed
from sim.errors import InputError
from sim.profiles import load_profile
from tests.trials.test_fitting import FACTS, fitted

CONFIGURATIONS = (Configuration('sequential', {**SEQUENTIAL, 'crypto.prefetch': '1'}),
                  Configuration('distributed', {**DISTRIBUTED, 'crypto.prefetch': '1'}, distributes='sequential'))
FOUND = {**FACTS, 'is_padded': False, 'places': ['crypto', 'server'], 'model': 'simulated', 'replies': {}, 'pacing': {},
         'steal': 0.0, 'workers': [{'node': 'pi-1', 'place': 'crypto', 'version': '0', 'provider': 'pqcrypto',
                                    'machine': 'x86_64', 'kernel': 'Linux', 'cores': 2, 'memory_mib': 1_000}]}
LARGE = ('duration=14 s', 'learning.model=200 kB', 'learning.update=200 kB', 'learning.samples=1', 'learning.pause=1 s')
TRIALS = trials.Trials('testbed', LARGE, load_inventory('local'), CONFIGURATIONS, 3, QUICK)


def simulated(folder: Path, profile: Callable[[str], str] = lambda text: text) -> Path:
    """Leave a folder as a validation does, its runs those of a model; return it."""
    folder.mkdir()
    for name in (trials.NODES, trials.SERVER):
        text = profile_of_testbed(name, load_profile('x86-server'), {'pqc-768': fitted()}, FACTS, only_broker=False)
        (folder / f'{name}.yaml').write_text(profile(text))
    described = {'scenario': 'testbed', 'is_padded': False, 'seeds': [1, 2, 3], 'deliver_s': 0.4e-3,
                 'link_s': 0.2e-3, 'acknowledge_s': 0.9e-3, 'configurations': [
                     {'name': each.name, 'settings': dict(each.settings), 'distributes': each.distributes}
                     for each in CONFIGURATIONS]}
    (folder / 'trials.json').write_text(json.dumps(described))
    trials.simulate(TRIALS, folder)
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


def test_a_stage_that_is_too_fast_is_caught(measured: Path, tmp_path: Path) -> None:
    """Sealing 30 % too fast: its interval excludes zero, and it is more than what is allowed; opening stays right."""

    def faster(text: str) -> str:
        seal = text.index('aead.seal:')
        points = text.index('points:', text.index('Ascon-AEAD128:', seal))
        end = text.index(']', points)
        found = [each.split(':') for each in text[points:end].replace('}', '').split('value: ')[1:]]
        made = text[points:end]
        for (value, *_) in found:
            number, unit = value.split(',')[0].split()
            made = made.replace(f'{number} {unit}', f'{0.7 * float(number):.6g} {unit}')
        return text[:points] + made + text[end:]

    found = compared(measured, simulated(tmp_path / 'fast', profile=faster))
    for name in ('sequential', 'distributed'):
        sealing = error(found, name, 'stage', 'fl-update seal')
        assert sealing.difference.excludes_zero
        assert sealing.is_within is False
        assert sealing.difference.mean < 0.0
        assert error(found, name, 'stage', 'vitals open').is_within


def test_a_prefetch_that_is_ignored_is_caught(measured: Path, tmp_path: Path) -> None:
    """Workers that hold any number in the model and one on the testbed: updates are too fast, beyond their interval."""
    found = compared(measured, simulated(tmp_path / 'held'))
    assert error(found, 'sequential', 'latency', 'fl-update').difference.mean == 0.0
    wrong = tuple(Configuration(each.name, {**each.settings, 'crypto.prefetch': '1000'}, each.distributes)
                  for each in CONFIGURATIONS)
    folder = tmp_path / 'held'
    shutil.rmtree(folder / 'simulated')
    trials.simulate(trials.Trials('testbed', LARGE, TRIALS.inventory, wrong, 3, QUICK), folder)
    updates = error(validate(folder), 'sequential', 'latency', 'fl-update')
    assert updates.difference.excludes_zero
    assert updates.is_within is False
    assert updates.difference.mean < 0.0


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
