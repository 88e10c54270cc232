"""The command of a worker: what is wrong with its arguments is one line and code 2, before any broker is looked for."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hil.calibration import __main__ as calibration
from hil.wire.message import KeyId
from hil.worker import command, standby
from hil.worker.keys import KeyStore
from sim.errors import InputError

KEYS = KeyStore({KeyId(bytes(16), 3): bytes(32)}, {bytes(16): b'kem'}, {}, {bytes(16): b'signature'})


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Arguments that are right, but for a broker that is not there."""
    keys = tmp_path / 'keys.json'
    keys.touch(0o600)
    keys.write_text(json.dumps(KEYS.to_json()))
    return ['--broker', 'amqps://127.0.0.1:1/iomtwin', '--ca', str(tmp_path / 'ca.pem'), '--node', 'pi-1', '--run', 'r',
            '--keys', str(keys)]


@pytest.mark.parametrize(('change', 'says'), [
    ({'--broker': 'http://somewhere'}, 'expected amqps://HOST:PORT/VHOST'), ({'--run': 'A B'}, "run 'A B'"),
    ({'--place': 'moon'}, "invalid choice: 'moon'"),
    ({'--place': 'server'}, 'with --state'), ({'--queue': 'x'}, "--queue 'x'"),
    ({'--queue': '1=0'}, 'prefetch'), ({'--queue': '11'}, 'priority 11'), ({'--suite': 'rot13'}, 'rot13'),
    ({'--provider': 'me'}, 'me'),
    ({'--keys': '/nowhere'}, '/nowhere: cannot be read'), ({'--keys': '/'}, '/: '),
    ({'--body-bytes-max': 'many'}, 'many'), ({'--speed': '3'}, '--speed'),
    ({'--heartbeat': '0'}, '--heartbeat 0'), ({'--heartbeat': 'soon'}, 'soon')])
def test_a_wrong_argument_is_one_line(arguments: list[str], change: dict[str, str], says: str,
                                      monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each option with a value that it does not take, and one that there is not."""
    monkeypatch.setenv('IOMTWIN_CRYPTO_USER', 'crypto')
    monkeypatch.setenv('IOMTWIN_CRYPTO_PASSWORD', 'secret')
    assert command.main([*arguments, *next(iter(change.items()))]) == 2
    said = capsys.readouterr().err
    assert said.startswith('iomtwin: ')
    assert says in said
    assert said.count('\n') == 1
    assert 'secret' not in said


def test_a_worker_without_credentials_says_which_it_wants(arguments: list[str], monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    """No variable and no file: the name of the variable."""
    monkeypatch.delenv('IOMTWIN_CRYPTO_USER', raising=False)
    assert command.main(arguments) == 2
    assert 'IOMTWIN_CRYPTO_USER' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"session": 3}', '{"session": [["zz", 1, "00"]]}', '"\\ud800"',
                                  '[' * 100_000])
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """Empty, of another form, not hexadecimal, or nested without end."""
    path = tmp_path / 'keys.json'
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(InputError, match=r'keys\.json: '):
        command.read_keys(path)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Mode 640: the message says what to do."""
    path = tmp_path / 'keys.json'
    path.touch()
    path.chmod(0o640)
    with pytest.raises(InputError, match=r'may be read by others \(mode 640\); run: chmod 600'):
        command.read_keys(path)


def test_keys_come_back_as_they_were() -> None:
    """What the twin writes is what the worker holds; the private keys of others are not in it."""
    assert KeyStore.from_json(json.loads(json.dumps(KEYS.to_json()))) == KEYS
    assert repr(KEYS) == 'KeyStore()'


@pytest.mark.parametrize(('run', 'name'), [
    (command.work, 'iomtwin worker'), (standby.stand_by, 'python -m hil.worker.standby'),
    (calibration.run, 'python -m hil.calibration')])
def test_each_command_names_its_own_help(run: Callable[[Sequence[str]], None], name: str) -> None:
    """An option that there is not: where the options are listed is what was called."""
    with pytest.raises(InputError, match=f'; {re.escape(name)} --help lists the options$'):
        run(['--speed', '3'])


def test_both_doors_lead_to_the_same_command() -> None:
    """``iomtwin worker --help`` and ``python -m hil.worker --help`` print the same options, with code 0."""
    doors = [[sys.executable, '-m', 'iomtwin', 'worker', '--help'], [sys.executable, '-m', 'hil.worker', '--help']]
    first, second = (subprocess.run(door, capture_output=True, text=True, check=True).stdout for door in doors)
    assert first == second
    assert '--broker URL' in first
