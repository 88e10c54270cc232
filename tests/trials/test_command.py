"""`iomtwin validate --quick` as it is typed: a real broker, real workers, and the model of them."""

import json
import shutil
from pathlib import Path

import pytest

from sim.profiles import load_profile
from sim.results.folder import read_run
from tests.results.runs import ended, start

SHORT = ('--quick', '--set', 'duration=8 s', '--set', 'warm_up=2 s', '--set', 'learning.start=2 s')
ATTEMPTS_MAX = 3


def validated(folder: Path) -> tuple[Path, int, str, str]:
    """Return where a validation is, its exit code, output and errors.

    On a busy machine what is timed may contradict itself; the command says so and asks for another try: it gets some.
    """
    for i in range(ATTEMPTS_MAX):
        out = folder / f'out-{i}'
        code, printed, errors = ended(start('validate', *SHORT, '--out', out), 900)
        if 'the calibration contradicts itself' not in errors:
            break
        assert (code, errors.splitlines()[-1].startswith('iomtwin: the calibration')) == (1, True)
    return out, code, printed, errors


@pytest.mark.usefixtures('rabbitmq')
def test_quick_compares_a_testbed_with_its_model(tmp_path: Path) -> None:
    """Both worlds have all runs, and the profiles what was measured. A machine too busy for a valid run says so.

    With `--resume` what is missing is made, and nothing else.
    """
    out, code, printed, errors = validated(tmp_path)
    profile = load_profile(out / 'testbed-localhost.yaml')
    assert {('broker.route', 'any'), ('broker.answer', 'any'), ('aead.seal', 'Ascon-AEAD128')} <= profile.costs.keys()
    assert 'over the broker, host testbed' in profile.cost('broker.route', 'any').source
    for configuration in ('sequential', 'distributed'):
        measured = {path.name: read_run(path) for path in (out / 'hil' / configuration).iterdir()}
        assert sorted(measured) == ['seed-1', 'seed-1-twice', 'seed-2']
        assert all(run.manifest['world'] == 'hil' for run in measured.values())
        simulated = [read_run(out / 'simulated' / configuration / f'seed-{seed}') for seed in (1, 2)]
        assert all('broker.answer' in run.table('stages')['stage'].to_list() for run in simulated)
        for run in simulated:  # the same arrivals in both worlds
            jobs, others = (each.table('jobs').filter(flow='vitals') for each in (
                run, measured[f'seed-{run.manifest["seed"]}']))
            assert set(jobs.select('device', 'k').rows()) == set(others.select('device', 'k').rows())
    valid = [json.loads(manifest.read_text())['is_valid'] for manifest in out.glob('hil/*/*/manifest.json')]
    if any(valid):
        assert code == 0
        assert 'Predicted less measured (host testbed)' in printed
        assert '*not run on a Pi yet*' in (out / 'validation.md').read_text()
    else:
        assert (code, printed) == (2, '')
        assert 'found no configuration with a valid run on the testbed' in errors.splitlines()[-1]
    code, printed, errors = ended(start('validate', *SHORT, '--out', out))
    assert (code, printed, errors.count('\n')) == (2, '', 1)
    assert '--resume' in errors
    gone = out / 'hil' / 'sequential' / 'seed-2'
    shutil.rmtree(gone)
    (out / 'testbed.json').unlink()
    kept = {path: path.stat().st_mtime_ns for path in out.glob('*/*/*/*/probe.json')} | {
        path: path.stat().st_mtime_ns for path in out.glob('*/*/*/manifest.json')}
    code, printed, errors = ended(start('validate', *SHORT, '--out', out, '--resume'), 900)
    made = [line for line in errors.splitlines() if 'on the testbed' in line]
    assert len(made) == 1
    assert 'sequential, seed 2:' in made[0]
    assert (gone / 'manifest.json').is_file()
    assert (out / 'testbed.json').is_file()
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
