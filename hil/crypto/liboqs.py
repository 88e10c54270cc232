"""liboqs, if a shared library of it is really there; else the reason why not.

Importing the package ``liboqs-python`` (whose module is ``oqs``) without the library waits five seconds, then clones
and builds liboqs, prints, and may end the program with SystemExit. So everything is looked at before it is imported:
the package, that no other package owns the name of its module, the library in the places and the order in which the
package looks, and the library's version. Nothing here is done before `find` is called.
"""

import ctypes
import ctypes.util
import importlib
import importlib.metadata
import logging
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Encapsulation, Kem, KeyPair, Signature
from hil.crypto.mlkem import LEVELS as KEM_LEVELS
from hil.crypto.mlkem import check_ciphertext, check_public_key, expanded
from hil.crypto.signatures import LEVELS as SIGNATURE_LEVELS
from hil.crypto.signatures import refusal
from sim.wire import SIGNATURE_BYTES, SIGNATURE_PUBLIC_KEY_BYTES

PACKAGE, MODULE = 'liboqs-python', 'oqs'
VERSION_MIN = (0, 11)  # liboqs 0.11.0 release notes: the first with ML-KEM as FIPS 203 has it
SIGNATURE_PRIVATE_KEY_BYTES = {'ML-DSA-44': 2560, 'ML-DSA-65': 4032}  # FIPS 204 table 2


class Unusable(Exception):  # noqa: N818 - a reason to go on without, not an error
    """liboqs is not there, or must not be used; the message says why."""


@dataclass(frozen=True)
class Liboqs:
    """The module ``oqs`` with a library that it has loaded."""

    module: ModuleType
    version: str  # of the library, and of the package

    def kems(self) -> dict[str, Kem]:
        """Return the levels of ML-KEM that this build has."""
        return {name: LiboqsMlKem(name, self.module) for name in KEM_LEVELS if self.module.is_kem_enabled(name)}

    def signatures(self) -> dict[str, Signature]:
        """Return the levels of ML-DSA that this build has."""
        return {name: LiboqsMlDsa(name, self.module) for name in SIGNATURE_LEVELS if self.module.is_sig_enabled(name)}


@dataclass(frozen=True)
class LiboqsMlKem:
    """ML-KEM by liboqs; private keys are the standard's expanded bytes."""

    name: str
    module: ModuleType
    provider: str = 'liboqs'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        with self.module.KeyEncapsulation(self.name) as kem:
            public: bytes = kem.generate_keypair()
            return KeyPair(public, kem.export_secret_key())

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of a public key."""
        check_public_key(self.name, public)
        with self.module.KeyEncapsulation(self.name) as kem:
            try:
                return Encapsulation(*kem.encap_secret(public))
            except RuntimeError:
                raise CryptoError(f'{self.name}: the public key is malformed; drop the message') from None

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret that a ciphertext carries."""
        own = expanded(self.name, private)
        check_ciphertext(self.name, ciphertext)
        with self.module.KeyEncapsulation(self.name, own) as kem:
            try:
                secret: bytes = kem.decap_secret(ciphertext)
            except RuntimeError:
                raise CryptoError(f'{self.name}: the private key is malformed') from None
        return secret


@dataclass(frozen=True)
class LiboqsMlDsa:
    """ML-DSA by liboqs; private keys are the standard's bytes."""

    name: str
    module: ModuleType
    provider: str = 'liboqs'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        with self.module.Signature(self.name) as signer:
            public: bytes = signer.generate_keypair()
            return KeyPair(public, signer.export_secret_key())

    def sign(self, private: object, message: bytes) -> bytes:
        """Return the signature of a message."""
        if not isinstance(private, bytes) or len(private) != SIGNATURE_PRIVATE_KEY_BYTES[self.name]:
            raise CryptoError(f'{self.name}: the private key is not one of {self.name} by {self.provider}')
        with self.module.Signature(self.name, private) as signer:
            signature: bytes = signer.sign(message)
        return signature

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        """Return if the owner of a public key signed the message."""
        lengths = len(public), len(signature)
        if lengths != (SIGNATURE_PUBLIC_KEY_BYTES[self.name], SIGNATURE_BYTES[self.name]):
            raise refusal(self.name)
        with self.module.Signature(self.name) as signer:
            if not signer.verify(message, signature, public):
                raise refusal(self.name)


def find() -> Liboqs:
    """Return liboqs.

    Raises
    ------
    Unusable
        If it is not there, too old, or not what it seems; the message says what was found and where it was looked for.
    """
    package = _package()
    path, version = _library()
    if _numbers(version) < VERSION_MIN:
        raise Unusable(f'liboqs {version} ({path}) is older than {".".join(map(str, VERSION_MIN))}, the first with the '
                       'final ML-KEM')
    return Liboqs(_imported(), f'{version} (liboqs-python {package})')


def _package() -> str:
    """Return the version of the package."""
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise Unusable(f'{PACKAGE} is not installed') from None
    try:
        importlib.metadata.version(MODULE)
    except importlib.metadata.PackageNotFoundError:
        return version
    raise Unusable(f'the package {MODULE} is installed, another project with a module of the same name; uninstall both '
                   f'and install {PACKAGE} again')


def _library() -> tuple[str, str]:
    """Return the shared library that the package would load, and its version."""
    root = Path(os.environ.get('OQS_INSTALL_PATH', Path.home() / '_oqs'))
    candidates = (ctypes.util.find_library('liboqs'), ctypes.util.find_library('oqs'),
                  str(root / 'lib' / 'liboqs.so'), str(root / 'lib64' / 'liboqs.so'))
    for path in filter(None, candidates):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        try:
            function = library.OQS_version
        except AttributeError:
            raise Unusable(f'{path} is not liboqs: it has no OQS_version') from None
        function.restype = ctypes.c_char_p
        return path, function().decode()
    raise Unusable(f'no shared liboqs is installed, nor in {root}; OQS_INSTALL_PATH names another place')


def _imported() -> ModuleType:
    """Return the module, which is silenced: on import it logs to the standard output and warns of versions."""
    logging.getLogger('oqs.oqs').disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            module = importlib.import_module(MODULE)
    except (Exception, SystemExit) as error:  # whatever it is, there is another provider
        raise Unusable(f'{PACKAGE} cannot be imported: {error!r}') from None
    if not hasattr(module, 'KeyEncapsulation'):
        raise Unusable(f'the module {MODULE} ({getattr(module, "__file__", "?")}) is not that of {PACKAGE}')
    return module


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version such as ``0.16.0-rc1``."""
    found = re.match(r'\d+(\.\d+)*', version)
    return tuple(int(number) for number in found[0].split('.')) if found else ()
