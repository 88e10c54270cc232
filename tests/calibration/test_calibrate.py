"""A real calibration of a second or so: what it writes can be read, says where every number is from, and runs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from hil.calibration.calibrating import Calibration, calibrate
from hil.calibration.machine import inspect
from hil.calibration.operations import AEADS, operations
from hil.calibration.profile_file import profile_text, spell_time
from hil.crypto.providers import Provider, choose
from sim.flows import FLOWS
from sim.profiles import Profile, load_profile
from sim.suites import KEM_CATEGORY, SIGNATURE_CATEGORY, SUITES, variant
from sim.units import quantity
from tests.results.runs import ROOT, SHORT, ended, make, start

SECONDS = 1.0  # everything is called all the same, which takes a few
LIKE = 'x86-server'
PQCRYPTO = choose('pqcrypto')
NODES = ('edge.nodes.edge-1', 'edge.nodes.edge-2', 'edge.nodes.edge-3', 'edge.server', 'devices.bedside-monitor')


@pytest.fixture(scope='module')
def told() -> list[tuple[str, float]]:
    """What the calibration told of its progress."""
    return []


@pytest.fixture(scope='module')
def calibration(told: list[tuple[str, float]]) -> Calibration:
    """One calibration of this machine with a provider that pip installs."""
    return calibrate(PQCRYPTO, load_profile(LIKE), 'this-machine', SECONDS, lambda *what: told.append(what))


@pytest.fixture(scope='module')
def file(calibration: Calibration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of its profile."""
    path = tmp_path_factory.mktemp('profiles') / 'this-machine.yaml'
    path.write_text(calibration.text)
    return path


@pytest.fixture(scope='module')
def profile(file: Path) -> Profile:
    """Its profile, as scenarios read it."""
    return load_profile(file)


def needed(name: str) -> Iterator[tuple[str, str]]:
    """Yield every stage and variant that a suite's protocol goes through."""
    suite = SUITES[name]
    parts = {'kem': suite.kem, 'aead': variant(suite.aead, suite.implementation), 'sig': suite.signature}
    stages = {stage.name for flow in FLOWS.values() for stage in flow if stage.place != 'network'}
    for stage in sorted(stages):
        yield stage, parts.get(stage.split('.')[0], 'any')


@pytest.mark.parametrize('suite', SUITES)
def test_the_profile_has_every_stage_of_every_suite(suite: str, profile: Profile) -> None:
    """Claim: each stage of each flow has a cost in the variant of each shipped suite; a missing one raises."""
    stages = dict(needed(suite))
    assert {'aead.seal', 'aead.open', 'kem.encaps', 'sig.verify', 'fl.train', 'broker.route'} <= stages.keys()
    for stage, name in stages.items():
        assert profile.cost(stage, name).seconds[-1] > 0


def test_every_primitive_is_timed(profile: Profile, calibration: Calibration) -> None:
    """Claim: all stages of all KEMs, AEADs and signatures behind `hil.crypto` have a cost, and no other crypto."""
    wanted = {*product(('kem.keygen', 'kem.encaps', 'kem.decaps'), KEM_CATEGORY),
              *product(('sig.keygen', 'sig.sign', 'sig.verify'), SIGNATURE_CATEGORY),
              *product(('aead.seal', 'aead.open'), [variant(*which) for which in AEADS])}
    assert {key for key in profile.costs if key[0].startswith(('kem.', 'aead.', 'sig.'))} == wanted
    assert not calibration.missing


def test_what_was_measured_is_primary_and_says_when_where_and_how(profile: Profile) -> None:
    """Claim: each measured number is primary, names machine, library and number of calls; shown on every cost."""
    for (stage, name), cost in profile.costs.items():
        if stage == 'broker.route':
            continue
        assert cost.quality == 'primary', (stage, name)
        assert cost.source.startswith('measured 20'), (stage, name)
        assert 'pinned to core' in cost.source
        assert cost.formula is not None
        assert cost.formula.startswith('median of')
    assert 'pqcrypto 1.' in profile.cost('kem.encaps', 'ML-KEM-512').source
    assert 'cryptography 5' in profile.cost('sig.sign', 'ML-DSA-65').source
    assert 'numba' in profile.cost('aead.seal', 'Ascon-AEAD128').source
    assert 'network 187-1280-5' in profile.cost('fl.train', 'any').source


def test_noise_has_median_one_and_ascends(profile: Profile) -> None:
    """Claim: every law is a table of ascending factors whose middle is 1, so that the curve is the median."""
    laws = {key: cost.noise for key, cost in profile.costs.items() if cost.noise.law != 'constant'}
    for key, noise in laws.items():
        if key[0] == 'broker.route':
            continue
        assert noise.law == 'empirical', key
        assert list(noise.parameters) == sorted(noise.parameters), key
        assert noise.parameters[len(noise.parameters) // 2] == 1.0, key
    assert laws


def test_curves_rise_over_doubling_sizes(profile: Profile) -> None:
    """Claim: points lie at 64, 128, … bytes and never fall, with several of them for every AEAD and for averaging."""
    for (stage, name), cost in profile.costs.items():
        if stage.startswith('aead.') or stage == 'fl.aggregate':
            assert cost.amounts == tuple(float(64 << i) for i in range(len(cost.amounts))), (stage, name)
            assert list(cost.seconds) == sorted(cost.seconds), (stage, name)
            assert len(cost.amounts) >= 3, (stage, name)


def test_watts_and_the_broker_are_taken_over_and_say_so(profile: Profile) -> None:
    """Claim: what was not measured has the number, quality and source of the named profile, and that profile's name."""
    like = load_profile(LIKE)
    for part, figure in profile.power.items():
        assert (figure.value, figure.quality) == (like.power[part].value, like.power[part].quality)
        assert figure.source == f'taken over from the profile {LIKE}: {like.power[part].source}'
    mine, theirs = (each.cost('broker.route', 'any') for each in (profile, like))
    assert (mine.amounts, mine.seconds, mine.quality, mine.formula) == (
        theirs.amounts, theirs.seconds, theirs.quality, theirs.formula)
    assert mine.source == f'taken over from the profile {LIKE}: {theirs.source}'


@pytest.mark.parametrize('like', ['raspberry-pi-4', 'raspberry-pi-5', 'raspberry-pi-3', 'x86-server'])
def test_any_computer_can_be_the_one_that_is_taken_over(like: str, tmp_path: Path) -> None:
    """Claim: costs of other shipped profiles survive being taken over, in whatever form they are written."""
    theirs = load_profile(like)
    text = profile_text('other', inspect(), (), theirs, sources={}, implementation='none', record={'date': 'today'})
    (tmp_path / 'other.yaml').write_text(text)
    mine = load_profile(tmp_path / 'other.yaml')
    assert mine.costs.keys() == {key for key in theirs.costs if not key[0].startswith(('kem.', 'aead.', 'sig.'))}
    for key, cost in mine.costs.items():
        assert (cost.amounts, cost.seconds, cost.noise.law, cost.noise.parameters) == (
            theirs.costs[key].amounts, theirs.costs[key].seconds, theirs.costs[key].noise.law,
            theirs.costs[key].noise.parameters)


def test_the_profile_says_how_it_came_to_be(profile: Profile) -> None:
    """Claim: provider with its reason, machine, versions, date, load, and how well it predicts and repeats itself."""
    record = profile.calibration
    assert record['kem provider'].startswith('pqcrypto 1.')
    assert record['kem provider reason'] == 'asked for by name'
    assert {'date', 'cpu', 'cores', 'kernel', 'python', 'packages', 'load'} <= record.keys()
    assert 'are predicted within 5%' in record['held out']
    assert 'in two passes' in record['repeated']


def test_progress_is_told_from_beginning_to_end(calibration: Calibration, told: list[tuple[str, float]]) -> None:
    """Claim: shares rise from 0 to at most 1, through the sizes and both passes."""
    assert calibration.measured
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1] <= 1) == (0.0, True)
    assert {'pass 1 of 2', 'pass 2 of 2'} <= {what for what, _ in told}


def test_a_scenario_runs_on_the_profile(file: Path, tmp_path: Path) -> None:
    """The ward with its nodes, server and monitors on the profile as it is: rounds of learning end, as they should."""
    overrides = [*SHORT, 'crypto.suite=pqc-768', 'learning.rounds=1', f'edge.server.cores={os.cpu_count()}',
                 'edge.k3s_cores=0', *(f'{node}.profile={file}' for node in NODES)]
    run = make(tmp_path, 'ward', overrides)
    assert run.table('rounds').select('quorum_met', 'ended').row(0) == (True, 'complete')
    assert (run.folder / 'profiles' / 'this-machine.yaml').read_text() == file.read_text()


def test_the_command_prints_the_profile(file: Path) -> None:
    """`iomtwin profiles FILE` shows every number in lines of 110 columns, noise and the calibration's own words too."""
    code, out, errors = ended(start('profiles', file))
    assert (code, errors) == (0, '')
    assert max(len(line) for line in out.splitlines()) <= 110
    for words in ('Calibration, kem provider: pqcrypto', 'ML-KEM-768', 'quantiles from',
                  'taken over from the profile x86-server'):
        assert words in out


def test_without_ml_kem_512_the_other_levels_are_timed_and_it_is_told() -> None:
    """Claim: with cryptography as provider ML-KEM-512 is missing with a reason, and nothing of it is in the list."""
    found = operations(choose('cryptography'))
    assert list(found.missing) == ['ML-KEM-512']
    assert 'has no KEM' in found.missing['ML-KEM-512']
    variants = {operation.variant for operation in found.found}
    assert 'ML-KEM-512' not in variants
    assert {'ML-KEM-768', 'ML-KEM-1024', 'X25519MLKEM768'} <= variants


def test_every_operation_does_its_work(provider: Provider) -> None:
    """Claim: each operation can be prepared and called, twice, at its smallest amount; with every provider there is."""
    found = operations(provider).found
    assert len(found) > 30
    for operation in found:
        call = operation.prepare(64 if operation.unit == 'byte' else 1)
        assert type(call()) is type(call())


@pytest.fixture(params=['pqcrypto', 'cryptography', None], ids=str)
def provider(request: pytest.FixtureRequest) -> Provider:
    """Providers that pip installs, and whichever is chosen by itself."""
    return choose(request.param)


@pytest.mark.parametrize('seconds', [1e-9, 3.4567e-7, 1e-6, 0.0123456, 1.0, 250.0])
def test_times_are_written_with_five_digits(seconds: float) -> None:
    """Claim: what is written reads back within half a unit of the fifth digit; shown on times of every unit."""
    assert quantity(spell_time(seconds), 'time') == pytest.approx(seconds, rel=5e-5)


def test_the_command_writes_a_profile_and_says_who_did_the_work(tmp_path: Path) -> None:
    """One second of the real command: the provider and why, a line for each suite, the file, and no errors."""
    target = tmp_path / 'node.yaml'
    code, out, errors = ended(start('calibrate', '--seconds', '1', '--out', target, '--provider', 'pqcrypto'))
    assert (code, errors) == (0, '')
    lines = out.splitlines()
    assert lines[0].startswith('ML-KEM by pqcrypto 1.')
    assert lines[0].endswith(': asked for by name')
    assert lines[-1] == f'profile: {target}'
    for words in ('aead.seal Ascon-AEAD128', *SUITES, 'sizes held out are predicted', 'in two passes'):
        assert words in out
    assert load_profile(target).name == 'node'
    assert [path.name for path in tmp_path.iterdir()] == ['node.yaml']


def test_an_interrupted_calibration_leaves_no_file(tmp_path: Path) -> None:
    """Ctrl-C once the provider is told: code 130, one line, and the folder is as empty as before."""
    process = start('calibrate', '--seconds', '600', '--out', tmp_path / 'node.yaml')
    assert process.stdout is not None
    assert process.stdout.readline().startswith('ML-KEM by ')
    process.send_signal(2)
    code, _, errors = ended(process)
    assert code == 130
    assert errors.startswith('iomtwin: interrupted')
    assert errors.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(('arguments', 'words'), [
    (('--out', 'nowhere/at-all.yaml'), 'expected a folder that is there'),
    (('--out', 'profile.txt'), 'ends in .yaml'),
    (('--provider', 'openssl'), "there is no provider 'openssl'"),
    (('--like', 'abacus'), "no file for profile 'abacus'"),
    (('--quick', '--seconds', '5'), 'either --quick or --seconds'),
    (('--seconds', '0'), '--seconds'),
])
def test_a_mistake_is_one_line_and_code_two(arguments: tuple[str, ...], words: str) -> None:
    """Claim: each mistake is told before anything is timed, in one line that says what to do."""
    code, _, errors = ended(start('calibrate', *arguments))
    assert code == 2
    assert words in errors
    assert errors.count('\n') == 1


def test_missing_liboqs_is_told_and_neither_imported_nor_waited_for(tmp_path: Path) -> None:
    """In an installation whose module oqs would wait and end the program, the command's modules do not import it."""
    (tmp_path / 'oqs.py').write_text('import time; time.sleep(5); raise SystemExit(1)')
    code = ('import sys; import hil.calibration.calibrating; from hil.crypto.providers import choose; '
            "print(choose().reason); assert 'oqs' not in sys.modules")
    ran = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False, env={
        **os.environ, 'PYTHONPATH': os.pathsep.join((str(tmp_path), str(ROOT))), 'HOME': str(tmp_path)})
    if ran.stdout.startswith('it is installed'):
        pytest.skip('a real liboqs is installed')
    assert (ran.returncode, ran.stderr) == (0, '')
    assert ran.stdout.startswith('no liboqs: ')
