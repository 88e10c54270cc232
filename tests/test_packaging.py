import json
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
PINS = [line for line in (ROOT / 'constraints.txt').read_text().splitlines() if not line.startswith('#')]
PINNED = {canonicalize_name(pin.split('==')[0]) for pin in PINS}


def reachable(requirement: Requirement, seen: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the names of all distributions that a requirement brings in on this interpreter."""
    for extra in {'', *requirement.extras}:
        key = (canonicalize_name(requirement.name), extra)
        if key in seen:
            continue
        seen.add(key)
        yield key[0]
        for text in requires(key[0]) or []:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({'extra': extra}):
                yield from reachable(child, seen)


@pytest.mark.parametrize('name', ['iomtwin', 'sim', 'sim.engines', 'hil', 'hil.calibration', 'hil.crypto', 'hil.keys',
                                  'analysis'])
def test_import_names_are_ours(name: str, tmp_path: Path) -> None:
    """The installation, not the working directory, leads each import name to this repository."""
    code = f'import {name}; print({name}.__file__)'
    found = subprocess.run([sys.executable, '-I', '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).resolve().is_relative_to(ROOT)


def test_every_package_is_listed() -> None:
    """The packages of pyproject.toml are those on disk; one left out would be missing from a wheel."""
    on_disk = {
        '.'.join(init.parent.relative_to(ROOT).parts)
        for top in ('analysis', 'commands', 'hil', 'sim')
        for init in (ROOT / top).rglob('__init__.py')
    }
    assert on_disk | {'k3s', 'scenarios'} == set(PROJECT['tool']['setuptools']['packages'])


def build_wheel(folder: Path) -> tuple[Path, set[str]]:
    """Return a wheel built from a copy of the sources, and the names of the files that it was built from."""
    source = folder / 'source'
    source.mkdir()
    for name in ('pyproject.toml', 'iomtwin.py', 'LICENSE', 'README.md'):
        copy2(ROOT / name, source)
    wanted = {'iomtwin.py'}
    for name in ('analysis', 'commands', 'hil', 'k3s', 'scenarios', 'sim'):
        copytree(ROOT / name, source / name, ignore=ignore_patterns('__pycache__', '*.md'))
        files = (path.relative_to(source) for path in (source / name).rglob('*') if path.is_file())
        wanted |= {path.as_posix() for path in files}
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index', '.', '-w', 'out']
    built = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = (source / 'out').glob('*.whl')
    return wheel, wanted


def test_wheel_holds_all_code_and_data(tmp_path: Path) -> None:
    """A wheel built from a copy of the sources holds each of their files except notes for readers, and nothing else."""
    wheel, wanted = build_wheel(tmp_path)
    held = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    assert held == wanted


HANDLE_A_MESSAGE = """
import importlib.util, json, sys
from dataclasses import replace
from hil.crypto.providers import choose
from hil.crypto.sealing import Direction, SealingKey
from hil.crypto.suites import bind
from hil.wire.codec import encode
from hil.wire.message import KeyId, Leg, Message, SealedBy
from hil.keys.messages import subject_id
from hil.wire.names import run_id
from hil.worker import command, stages
from hil.worker.dispatcher import Dispatcher
from hil.worker.keys import KeyStore, Sealer
bound, pump = bind('pqc-768', choose()), subject_id('pump')
command.warm_up(bound)
key = KeyId(pump, 1)
bench = stages.Bench(bound, Sealer(bound.aead, KeyStore({key: bytes(32)})), 'crypto', subject_id('pi'))
message = Message(run_id('r'), 1, 0, 'vitals', frozenset(), 0, 0, (Leg('crypto', 4, 5),), 0, '', key, pump,
                  subject_id('crypto'), SealedBy(0, bytes(16), 0), (), b'')
sealed = SealingKey(bound.aead, bytes(32), Direction.UP, pump.hex()).seal(b'97', message.associated_data())
message = replace(message, sealed_by=SealedBy(0, sealed.boot_id, sealed.counter), body=sealed.body)
outcome = Dispatcher(run_id('r'), bench, bytes(8)).handle(encode(message)).outcome
there = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
print(json.dumps([outcome, there]))
"""


def test_a_node_needs_the_worker_extra_alone(tmp_path: Path) -> None:
    """In a fresh environment with the extra `worker` and iomtwin itself, nothing else: a worker handles a message."""
    wheel, _ = build_wheel(tmp_path)
    venv.create(tmp_path / 'node', with_pip=True)
    python = tmp_path / 'node' / 'bin' / 'python'
    pip = [python, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet']
    extra = PROJECT['project']['optional-dependencies']['worker']
    subprocess.run([*pip, '--only-binary', ':all:', '--constraint', ROOT / 'constraints.txt', *extra], check=True)
    subprocess.run([*pip, '--no-deps', '--no-index', wheel], check=True)
    absent = ['simpy', 'pydantic', 'polars', 'networkx', 'pint', 'ruamel', 'scipy', 'typer', 'rich', 'matplotlib']
    done = subprocess.run([python, '-I', '-c', HANDLE_A_MESSAGE, *absent], cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert (done.stderr, done.returncode) == ('', 0)
    assert json.loads(done.stdout) == ['done', []]
    told = subprocess.run([python, '-I', '-m', 'hil.worker', '--help'], cwd=tmp_path, capture_output=True, text=True,
                          check=True)
    assert '--broker' in told.stdout


def test_every_dependency_is_pinned() -> None:
    """Each distribution that iomtwin, its extras, its tests or its build bring in has a version in constraints.txt."""
    built_by = [Requirement(text) for text in PROJECT['build-system']['requires']]
    needed = {canonicalize_name(requirement.name) for requirement in built_by}
    extras = PROJECT['project']['optional-dependencies'].values()
    needed |= {canonicalize_name(Requirement(text).name) for texts in extras for text in texts}
    needed |= set(reachable(Requirement('iomtwin[dev]'), set()))
    assert needed - PINNED == {'iomtwin'}


def test_pins_are_exact_and_sorted() -> None:
    """Each line of constraints.txt is one name and one version, in order and without a repetition."""
    assert all(re.fullmatch(r'[a-z0-9._-]+==[0-9][0-9a-z.]*', pin) for pin in PINS)
    names = [pin.split('==')[0] for pin in PINS]
    assert names == sorted(set(names))


@pytest.mark.parametrize('name', ['constraints.txt', 'pyproject.toml'])
def test_no_address_is_needed(name: str) -> None:
    """The installation works with whatever registry a machine is set up for: no file names one."""
    text = (ROOT / name).read_text()
    assert not re.search(r'://|index-url|find-links|\s@\s', text)
