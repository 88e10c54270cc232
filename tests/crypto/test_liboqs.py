"""The search for liboqs: what is not there costs nothing, and what must not be used is not.

liboqs itself is in no package. In its place stand a library of one function, compiled here, and a module ``oqs`` that
behaves as that of liboqs-python does; where a real one is installed, the tests of all providers use it.
"""

import ctypes.util
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

# What liboqs-python does when it finds no library, but for the clone of the sources.
TRAP = 'import time; time.sleep(5); raise SystemExit(1)'
# What it does when it finds one: it logs to the standard output, warns, and does the work; here pqcrypto does it.
STAND_IN = """
import ctypes, logging, sys, warnings
logger = logging.getLogger('oqs.oqs')
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(sys.stdout))
logger.info('liboqs-python faulthandler is disabled')
warnings.warn('liboqs version (major, minor) differs from liboqs-python version')

from pqcrypto import kem, sign

def padded(data, n_bytes):
    return ctypes.create_string_buffer(data, n_bytes).raw  # what is short is filled up with zeros

class Mechanism:
    def __init__(self, name, private=None):
        self.name, self.private = name, private
        self.module = getattr(kem if 'KEM' in name else sign, name.lower().replace('-', '_'))
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.private = None
    def generate_keypair(self):
        public, self.private = self.module.keygen()
        return public
    def export_secret_key(self):
        return self.private

class KeyEncapsulation(Mechanism):
    def encap_secret(self, public):
        try:
            return self.module.encaps(padded(public, self.module.PUBLIC_KEY_SIZE))
        except ValueError:
            raise RuntimeError('Can not encapsulate secret')
    def decap_secret(self, ciphertext):
        try:
            return self.module.decaps(self.private, padded(ciphertext, self.module.CIPHERTEXT_SIZE))
        except ValueError:
            raise RuntimeError('Can not decapsulate secret')

class Signature(Mechanism):
    def sign(self, message):
        return self.module.sign(self.private, message)
    def verify(self, message, signature, public):
        try:
            return self.module.verify(public, message, signature) is not False
        except Exception:
            return False

def is_kem_enabled(name):
    return True

def is_sig_enabled(name):
    return True
"""
# Notes on the error stream what waits or starts a program, before anything of ours is imported.
WATCH = """
import sys
def watch(event, arguments):
    if event == 'time.sleep' or event == 'subprocess.Popen' and 'git' in str(arguments[0]):
        print(event, arguments, file=sys.stderr)
sys.addaudithook(watch)
"""
REASON = "from hil.crypto.providers import choose; p = choose(); print(p.name, '|', p.version, '|', p.reason)"


@dataclass
class Installation:
    """A folder of packages and a prefix of libraries, as a user would have them."""

    root: Path

    def package(self, name: str, version: str) -> None:
        """Install a package's metadata."""
        folder = self.root / 'site' / f'{name.replace("-", "_")}-{version}.dist-info'
        folder.mkdir(parents=True)
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')

    def module(self, source: str) -> None:
        """Install the module oqs, which leaves a mark when it is imported."""
        folder = self.root / 'site' / 'oqs'
        folder.mkdir(parents=True)
        mark = "import pathlib; pathlib.Path(__file__).with_name('imported').touch()\n"
        (folder / '__init__.py').write_text(mark + source)

    def library(self, source: str, folder: str = 'lib') -> None:
        """Compile a shared library liboqs."""
        compiler = shutil.which('cc')
        if compiler is None:
            pytest.skip('there is no C compiler to make the stand-in with')
        target = self.root / 'prefix' / folder / 'liboqs.so'
        target.parent.mkdir(parents=True)
        command = [compiler, '-shared', '-fPIC', '-x', 'c', '-', '-o', str(target)]
        subprocess.run(command, input=source.encode(), check=True)

    def run(self, code: str) -> str:
        """Run a program in this installation; it must end well and say nothing but its output, which is returned."""
        paths = [str(self.root / 'site'), *filter(None, [os.environ.get('PYTHONPATH')])]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths), 'HOME': str(self.root),
                       'OQS_INSTALL_PATH': str(self.root / 'prefix')}
        program = [sys.executable, '-c', WATCH + textwrap.dedent(code)]
        ran = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, '')
        return ran.stdout.strip()

    @property
    def was_imported(self) -> bool:
        """Return whether the module oqs was imported."""
        return (self.root / 'site' / 'oqs' / 'imported').exists()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation with the package liboqs-python, and nothing else yet."""
    if ctypes.util.find_library('oqs'):
        pytest.skip('a real liboqs is installed, which would be found before the stand-in')
    made = Installation(tmp_path)
    made.package('liboqs-python', '0.16.0.1')
    return made


def version_function(version: str) -> str:
    """Return the source of a library that says it is this version of liboqs."""
    return f'const char *OQS_version(void) {{ return "{version}"; }}'


def test_importing_looks_for_nothing(installation: Installation) -> None:
    """All modules imported beside a package that would wait and exit: nothing waits, is printed or looked for."""
    installation.module(TRAP)
    files = (Path(__file__).parents[2] / 'hil' / 'crypto').glob('*.py')
    eager = [path.stem for path in files if path.stem not in {'__init__', 'ascon_kernel'}]  # that one is Numba's
    assert installation.run(f"""
        import importlib, subprocess
        def refused(*arguments, **options):
            raise AssertionError('a program was started')
        subprocess.Popen.__init__ = refused
        for name in {eager}:
            importlib.import_module(f'hil.crypto.{{name}}')
        print(sorted({{'oqs', 'pqcrypto', 'ascon', 'numba'}} & set(sys.modules)))""") == '[]'
    assert 'liboqs' in eager
    assert not installation.was_imported


def test_without_the_package_the_next_provider_is_taken(tmp_path: Path) -> None:
    """No liboqs-python: pqcrypto, and the reason says so."""
    said = Installation(tmp_path).run(f"""
        import importlib.metadata
        found = importlib.metadata.version
        def version(name):
            if name == 'liboqs-python':
                raise importlib.metadata.PackageNotFoundError(name)
            return found(name)
        importlib.metadata.version = version
        {REASON}""")
    assert said.startswith('pqcrypto | 1.')
    assert said.endswith('| no liboqs: liboqs-python is not installed')


def test_without_the_library_the_package_is_not_imported(installation: Installation) -> None:
    """The package alone: not imported, no wait, no clone, nothing printed; the reason says where was looked."""
    installation.module(TRAP)
    said = installation.run(REASON)
    assert said.startswith('pqcrypto | 1.')
    assert f'no liboqs: no shared liboqs is installed, nor in {installation.root / "prefix"}' in said
    assert not installation.was_imported


@pytest.mark.parametrize('version', ['0.10.1', '0.9.0', '0.10.2-dev', 'unknown'])
def test_a_library_with_the_draft_is_refused(installation: Installation, version: str) -> None:
    """Versions before 0.11, which know ML-KEM by a draft only: nothing is imported, and the reason says which."""
    installation.module(TRAP)
    installation.library(version_function(version))
    said = installation.run(REASON)
    assert said.startswith('pqcrypto | 1.')
    assert f'liboqs {version} ({installation.root / "prefix/lib/liboqs.so"}) is older than 0.11' in said
    assert not installation.was_imported


@pytest.mark.parametrize(('version', 'folder'), [('0.11.0', 'lib'), ('0.16.0-rc1', 'lib64'), ('1.0.0', 'lib')])
def test_a_library_with_the_standard_is_taken(installation: Installation, version: str, folder: str) -> None:
    """Versions from 0.11 on: taken, with both versions told, and without the module's own words."""
    installation.module(STAND_IN)
    installation.library(version_function(version), folder)
    said = installation.run(REASON)
    assert said == f'liboqs | {version} (liboqs-python 0.16.0.1) | it is installed, and the fastest'
    assert installation.was_imported


def test_a_library_of_another_kind_is_refused(installation: Installation) -> None:
    """A liboqs.so without OQS_version, or a file that is no library at all."""
    installation.module(TRAP)
    installation.library('int other(void) { return 0; }')
    assert 'is not liboqs: it has no OQS_version' in installation.run(REASON)
    (installation.root / 'prefix/lib/liboqs.so').write_text('not a library')
    assert 'no shared liboqs is installed' in installation.run(REASON)
    assert not installation.was_imported


def test_the_other_package_with_that_name_is_refused(installation: Installation) -> None:
    """PyPI oqs is an expression language with the same module: it is not imported for a library of lattices."""
    installation.package('oqs', '0.10.2')
    installation.module(TRAP)
    installation.library(version_function('0.16.0'))
    assert 'the package oqs is installed, another project' in installation.run(REASON)
    assert not installation.was_imported


@pytest.mark.parametrize(('source', 'reason'), [
    ('x = 1', r'is not that of liboqs-python'), ('raise SystemExit(1)', r'cannot be imported: SystemExit(1)'),
    ('1 / 0', r'cannot be imported: ZeroDivisionError')])
def test_a_module_that_fails_is_survived(installation: Installation, source: str, reason: str) -> None:
    """Whatever its import does, also an exit: another provider is taken, and the reason says what happened."""
    installation.module(source)
    installation.library(version_function('0.16.0'))
    said = installation.run(REASON)
    assert said.startswith('pqcrypto | 1.')
    assert reason in said


def test_by_name_it_is_there_or_an_error(installation: Installation) -> None:
    """Asked for by name, nothing else is taken in its place."""
    assert installation.run("""
        from hil.crypto.providers import choose
        from sim.errors import InputError
        try:
            choose('liboqs')
        except InputError as error:
            print(error)""").startswith("the provider 'liboqs' cannot be used: no shared liboqs is installed")


def test_its_primitives_are_called_as_its_package_wants(installation: Installation) -> None:
    """Both ways with pqcrypto on all levels, signatures with cryptography; what is malformed or changed is refused."""
    installation.module(STAND_IN)
    installation.library(version_function('0.16.0'))
    said = installation.run("""
        from hil.crypto.errors import CryptoError
        from hil.crypto.providers import choose
        from hil.crypto.suites import bind
        from sim.suites import SUITES
        ours, theirs = choose('liboqs'), choose('pqcrypto')
        def refused(function, *arguments):
            try:
                function(*arguments)
            except CryptoError:
                return True
        for name, kem in ours.kems.items():
            for a, b in ((kem, theirs.kems[name]), (theirs.kems[name], kem)):
                pair = a.generate()
                sent = b.encapsulate(pair.public)
                assert a.decapsulate(pair.private, sent.ciphertext) == sent.secret
            pair = kem.generate()
            assert refused(kem.encapsulate, pair.public[:-1]) and refused(kem.encapsulate, b'\\xff' * len(pair.public))
            assert refused(kem.decapsulate, pair.private, b'short')
            assert refused(kem.decapsulate, b'short', sent.ciphertext)
            assert refused(kem.decapsulate, bytes(len(pair.private)), sent.ciphertext)
        for name, signer in ours.signatures.items():
            pair = signer.generate()
            signed = signer.sign(pair.private, b'message')
            for each in (signer, theirs.signatures[name]):
                each.verify(pair.public, b'message', signed)
                assert refused(each.verify, pair.public, b'massage', signed)
                assert refused(each.verify, pair.public, b'message', signed[:-1])
            assert refused(signer.sign, b'short', b'message')
        for name in SUITES:
            try:
                suite = bind(name, ours)
            except Exception as error:
                assert 'ascon' in str(error)
                continue
            assert suite.kem.provider == ('cryptography' if name == 'classical' else 'liboqs')
        print(*ours.describe().values(), sep='|')""")
    library = 'liboqs 0.16.0 (liboqs-python 0.16.0.1)'
    assert said.startswith(f'{library}|asked for by name|{library}|cryptography ')
