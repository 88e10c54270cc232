"""`iomtwin hil` as it is typed: what it prints, what it leaves behind, and how it refuses."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from hil.broker import topology
from hil.broker.connection import connect
from hil.broker.credentials import to_environment
from hil.broker.names import REPLY, exchange_of, new_run
from hil.broker.private import PrivateBroker
from tests.broker.processes import wait_until
from tests.paced.conftest import LAB
from tests.results.runs import ROOT, descendants, ended, is_alive, kill, start


def hil(*arguments: str | Path, temporary: Path) -> subprocess.Popen[str]:
    """Start a command, with a folder of its own for what it makes on the way."""
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, '-m', 'iomtwin', 'hil', *map(str, arguments)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                            env=os.environ | {'TMPDIR': str(temporary)})


@pytest.mark.usefixtures('rabbitmq')
def test_a_run_leaves_its_folder_and_nothing_else(tmp_path: Path) -> None:
    """Tables, summary and manifest say what was measured on what; no process and no temporary file stays."""
    command = hil('run', LAB, '--set', 'duration=4 s', '--set', 'learning.rounds=1', '--out', tmp_path / 'out',
                  temporary=tmp_path / 'tmp')
    code, out, errors = ended(command)
    assert (code, errors) == (0, '')
    for words in ('Host testbed', 'crypto, server on hardware', 'Measured on hardware', 'in part simulated',
                  'broker and wire', 'aead.open', 'Pace:'):
        assert words in out
    (folder,) = (tmp_path / 'out').glob('lab-*/seed-1-*')
    assert sorted(path.name for path in folder.iterdir()) == [
        'chains.parquet', 'jobs.parquet', 'manifest.json', 'profiles', 'rounds.parquet', 'scenario.yaml',
        'summary.json', 'work.parquet']
    manifest = json.loads((folder / 'manifest.json').read_text())
    assert (manifest['world'], manifest['engine'], manifest['hardware']['places']) == (
        'hil', 'paced', ['crypto', 'server'])
    assert manifest['is_valid'] == (not manifest['invalid_because'])
    chains = pl.read_parquet(folder / 'chains.parquet')
    parts = chains['waiting_s'] + chains['service_s'] + chains['broker_and_wire_s']
    assert (parts - chains['round_trip_s']).abs().max() < 1e-9  # type: ignore[operator]
    assert chains.select((pl.col('there_s') + pl.col('back_s') <= pl.col('round_trip_s')).all()).item()
    assert list((tmp_path / 'tmp').iterdir()) == []
    code, out, errors = ended(start('report', folder))
    assert (code, errors) == (0, '')
    page = Path(out.strip()).read_text('utf-8')
    for words in ('measured</span>', 'host testbed</span>', 'localhost-crypto-1', 'aead.open'):
        assert words in page


@pytest.mark.usefixtures('rabbitmq')
@pytest.mark.parametrize('n_processes', [1, 6], ids=['the broker starts', 'it runs'])
def test_ctrl_c_leaves_no_mess(tmp_path: Path, n_processes: int) -> None:
    """Whenever it comes: exit code 130, one line, no process, no folder."""
    command = hil('run', LAB, '--set', 'duration=200 s', '--out', tmp_path / 'out', temporary=tmp_path / 'tmp')
    try:
        wait_until(lambda: len(descendants(command.pid)) >= n_processes, f'{n_processes} processes run')
        begun = descendants(command.pid)
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        code, out, errors = ended(command)
    finally:
        kill(command)
    assert (code, out) == (130, '')
    assert errors.startswith('iomtwin: interrupted')
    wait_until(lambda: not any(is_alive(pid) for pid in begun), 'all are gone')  # Python's tracker ends after it
    assert not (tmp_path / 'out').exists()
    assert list((tmp_path / 'tmp').iterdir()) == []


@pytest.mark.usefixtures('rabbitmq')
def test_a_twin_that_is_killed_takes_all_with_it(tmp_path: Path) -> None:
    """No process stays, and no file with keys; of what was to be the run, a hidden folder without results."""
    command = hil('run', LAB, '--set', 'duration=200 s', '--out', tmp_path / 'out', temporary=tmp_path / 'tmp')
    try:
        wait_until(lambda: list((tmp_path / 'tmp').glob('*/iomtwin-run-*/localhost-crypto-1/ready')), 'it is ready')
        begun = descendants(command.pid)
    finally:
        command.kill()
        command.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in begun), 'they have ended')
    wait_until(lambda: not list((tmp_path / 'tmp').iterdir()), 'their files are gone')


@pytest.mark.usefixtures('rabbitmq')
def test_a_worker_that_dies_ends_the_run_with_its_word(tmp_path: Path) -> None:
    """Killed while the run goes on, its messages stay in the queue: the run says so, and leaves no folder."""
    command = hil('run', LAB, '--set', 'duration=200 s', '--out', tmp_path / 'out', temporary=tmp_path / 'tmp')
    try:
        wait_until(lambda: list((tmp_path / 'tmp').glob('*/iomtwin-run-*/localhost-crypto-1/ready')), 'it is ready')
        health = next((tmp_path / 'tmp').glob('*/iomtwin-run-*/localhost-crypto-1')) / 'health.json'
        wait_until(lambda: health.exists() and json.loads(health.read_text())['counts'], 'it has worked')
        os.kill(json.loads(health.read_text())['pid'], signal.SIGKILL)
        code, out, errors = ended(command)
    finally:
        kill(command)
    assert (code, out) == (1, '')
    assert errors.startswith('iomtwin: worker localhost-crypto-1: has ended with -9')
    assert errors.count('\n') == 1
    assert not (tmp_path / 'out').exists()
    assert list((tmp_path / 'tmp').iterdir()) == []


@pytest.mark.usefixtures('rabbitmq')
def test_check_says_what_is_good(tmp_path: Path) -> None:
    """Broker, rights, the load of each place and what workers say, with a testbed that is gone afterwards."""
    code, out, errors = ended(hil('check', LAB, temporary=tmp_path / 'tmp'))
    assert (code, errors) == (0, '')
    for words in ('RabbitMQ', 'TLS 1.3', 'rights', '1 worker, busy', 'localhost-crypto-1', 'MiB free'):
        assert words in out
    assert list((tmp_path / 'tmp').iterdir()) == []


@pytest.mark.usefixtures('rabbitmq')
def test_clean_removes_dead_runs_and_leaves_living_ones(tmp_path: Path) -> None:
    """A run without a twin is removed with its messages; one whose twin listens is left alone."""
    with PrivateBroker() as broker, connect(broker.endpoint, broker.users['twin']) as twin:
        dead, living = new_run(), new_run()
        topology.declare(twin, dead, {'crypto': [0]})
        topology.declare(twin, living, {'crypto': [0]})
        twin.subscribe(exchange_of(living, REPLY), 1)
        inventory = far_inventory(tmp_path, broker, 'crypto')
        code, out, errors = ended(hil('clean', '--inventory', inventory, temporary=tmp_path / 'tmp'))
        assert (code, errors) == (0, '')
        assert out.splitlines() == [f'{dead}: removed, with 0 messages', f'{living}: lives, 0 workers; left alone']
        assert [run.name for run in topology.runs(twin)] == [living]


@pytest.mark.usefixtures('rabbitmq')
def test_workers_elsewhere_are_waited_for(tmp_path: Path) -> None:
    """With the run's name and its keys, which only their owner may read, they are a part of it; the keys go with it."""
    with PrivateBroker(run='tuesday') as broker:
        inventory, keys = far_inventory(tmp_path, broker, 'crypto'), tmp_path / 'keys.json'
        command = hil('run', LAB, '--inventory', inventory, '--run', 'tuesday', '--keys-file', keys, '--set',
                      'duration=3 s', '--set', 'learning=null', '--out', tmp_path / 'out', temporary=tmp_path / 'tmp')
        wait_until(lambda: keys.exists() and keys.read_text().endswith('}'), 'the keys are there')
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600
        worker = subprocess.Popen(
            [sys.executable, '-m', 'hil.worker', '--broker', broker.endpoint.url, '--ca', str(broker.endpoint.ca),
             '--node', 'far', '--run', 'tuesday', '--keys', str(keys), '--queue=0', '--queue=1'], cwd=ROOT,
            env=os.environ | to_environment('crypto', broker.users['crypto']))
        try:
            code, out, errors = ended(command)
        finally:
            worker.terminate()
            worker.wait()
    assert (code, errors) == (0, '')
    assert 'crypto on hardware' in out
    assert not keys.exists()
    (folder,) = (tmp_path / 'out').glob('lab-*/seed-1-*')
    workers = json.loads((folder / 'manifest.json').read_text())['hardware']['workers']
    assert [each['node'] for each in workers] == ['far']
    assert pl.read_parquet(folder / 'work.parquet')['stage'].unique().to_list() == ['aead.open']


@pytest.mark.parametrize(('keys', 'word'), [('there.json', 'is there already'), ('no/keys.json', 'no such folder')])
def test_keys_overwrite_nothing(tmp_path: Path, keys: str, word: str) -> None:
    """A file that is somebody's stays as it is, and is not removed; a folder that is not there is told at once."""
    (tmp_path / 'there.json').write_text('years of work')
    inventory = tmp_path / 'inventory.yaml'
    inventory.write_text('broker: {url: "amqps://192.0.2.1/x", ca: ca.pem, credentials: c.json}\n'
                         'nodes: {far: {places: {crypto: 1}}}\n')
    code, out, errors = ended(hil('run', LAB, '--inventory', inventory, '--run', 'tuesday', '--keys-file',
                                  tmp_path / keys, temporary=tmp_path / 'tmp'))
    assert (code, out, errors.count('\n')) == (2, '', 1)
    assert word in errors
    assert (tmp_path / 'there.json').read_text() == 'years of work'


def far_inventory(folder: Path, broker: PrivateBroker, place: str) -> Path:
    """Write an inventory of a node elsewhere that offers a place, on a broker that is there."""
    credentials, inventory = folder / 'credentials.json', folder / 'inventory.yaml'
    credentials.touch(0o600)
    credentials.write_text(json.dumps({role: {'user': user.user, 'password': user.password}
                                       for role, user in broker.users.items()}))
    inventory.write_text(json.dumps({
        'broker': {'url': broker.endpoint.url, 'ca': str(broker.endpoint.ca), 'credentials': str(credentials)},
        'nodes': {'far': {'places': {place: 1}}}}))
    return inventory


REFUSED = {
    'no such inventory': (['run', LAB, '--inventory', 'nowhere'], 'nowhere'),
    'no such scenario': (['run', 'nowhere'], 'nowhere'),
    'keys that live': (['check', 'teaching-hospital'], 'keys=null'),
    'nothing to clean': (['clean'], 'private broker'),
    'keys for nobody': (['run', LAB, '--keys-file', 'keys.json'], 'leave it out'),
    'an empty name': (['check', LAB, '--run', ''], "run ''"),
    'an unknown provider': (['check', LAB, '--provider', 'abacus'], 'abacus'),
}


@pytest.mark.parametrize(('arguments', 'word'), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str | Path], word: str) -> None:
    """With exit code 2, and nothing started."""
    code, out, errors = ended(hil(*arguments, temporary=tmp_path / 'tmp'))
    assert (code, out, errors.count('\n')) == (2, '', 1)
    assert errors.startswith('iomtwin: ')
    assert word in errors
    assert list((tmp_path / 'tmp').iterdir()) == []
