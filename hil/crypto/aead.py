"""The AEADs behind one interface: Ascon in three forms, AES-128-GCM and ChaCha20-Poly1305.

References
----------
.. [1] NIST SP 800-232, 2025 (Ascon-AEAD128).
.. [2] Dobraunig, Eichlseder, Mendel, Schläffer, "Ascon v1.2", submission to NIST, 2021 (Ascon-128, Ascon-128a).
.. [3] NIST SP 800-38D, 2007 (GCM).
.. [4] RFC 8439, 2018 (ChaCha20-Poly1305).
"""

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Aead
from hil.crypto.lengths import KEY_BYTES, check_lengths
from sim.errors import InputError

LEGACY_VERSION = '0.0.9'  # PyPI ascon: the last that is v1.2 of the cipher, and says so


@dataclass(frozen=True)
class CryptographyAead:
    """An AEAD of the package ``cryptography``, which sets a key up anew for every message."""

    name: str
    cipher: type[AESGCM] | type[ChaCha20Poly1305]
    implementation: str = 'cryptography'

    @property
    def key_bytes(self) -> int:
        """Return the length of a key."""
        return KEY_BYTES[self.name]

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the ciphertext with its tag behind it."""
        check_lengths(self.name, len(key), len(nonce))
        return self.cipher(key).encrypt(nonce, plaintext, associated_data)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext."""
        check_lengths(self.name, len(key), len(nonce), len(sealed))
        try:
            return self.cipher(key).decrypt(nonce, sealed, associated_data)
        except InvalidTag:
            raise CryptoError(f'{self.name}: the tag does not fit the message; drop it') from None


@dataclass(frozen=True)
class Ascon:
    """Ascon-AEAD128 [1] by one of our two modules, which are equal in all but speed."""

    implementation: str
    module: ModuleType
    name: str = 'Ascon-AEAD128'

    @property
    def key_bytes(self) -> int:
        """Return the length of a key."""
        return KEY_BYTES[self.name]

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the ciphertext with its tag behind it."""
        sealed: bytes = self.module.seal(key, nonce, plaintext, associated_data)
        return sealed

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext."""
        plaintext: bytes = self.module.open_(key, nonce, sealed, associated_data)
        return plaintext


@dataclass(frozen=True)
class LegacyAscon:
    """Ascon v1.2 [2] by the PyPI package ``ascon``: interpreted, slower than linear in size, and not the standard.

    It compares tags byte by byte, as the package does: a baseline of time, not what secrets should be sealed with.
    """

    name: str
    encrypt: Callable[[bytes, bytes, bytes, bytes, str], bytes]
    decrypt: Callable[[bytes, bytes, bytes, bytes, str], bytes | None]
    implementation: str = 'ascon'

    @property
    def key_bytes(self) -> int:
        """Return the length of a key."""
        return KEY_BYTES[self.name]

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the ciphertext with its tag behind it."""
        check_lengths(self.name, len(key), len(nonce))
        return self.encrypt(key, nonce, associated_data, plaintext, self.name)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext."""
        check_lengths(self.name, len(key), len(nonce), len(sealed))
        plaintext = self.decrypt(key, nonce, associated_data, sealed, self.name)
        if plaintext is None:
            raise CryptoError(f'{self.name}: the tag does not fit the message; drop it')
        return plaintext


def aead(name: str, implementation: str = 'native') -> Aead:
    """Return an AEAD by its name.

    Parameters
    ----------
    implementation
        ``native``, or ``interpreted`` for plain Python: of Ascon-AEAD128 both, of the others what there is.

    Raises
    ------
    InputError
        If there is none of this name and implementation, or it is not installed.
    """
    if name == 'Ascon-AEAD128' and implementation in {'native', 'interpreted'}:
        is_native = implementation == 'native'  # Numba is imported for it, and only for it
        module = importlib.import_module('hil.crypto.ascon_kernel' if is_native else 'hil.crypto.ascon')
        return Ascon('numba' if is_native else 'python', module)
    if name in {'Ascon-128', 'Ascon-128a'} and implementation == 'interpreted':
        return _legacy(name)
    if name == 'AES-128-GCM' and implementation == 'native':
        return CryptographyAead(name, AESGCM)
    if name == 'ChaCha20-Poly1305' and implementation == 'native':
        return CryptographyAead(name, ChaCha20Poly1305)
    raise InputError(f"there is no {implementation} AEAD '{name}'; native are Ascon-AEAD128, AES-128-GCM and "
                     'ChaCha20-Poly1305, interpreted are Ascon-AEAD128, Ascon-128 and Ascon-128a')


def _legacy(name: str) -> LegacyAscon:
    """Return a cipher of the package ``ascon``."""
    try:
        found = importlib.import_module('ascon')
        version = importlib.metadata.version('ascon')
    except ImportError:
        version = 'none'
    if version != LEGACY_VERSION:
        raise InputError(f'{name} needs version {LEGACY_VERSION} of the package ascon, and {version} is installed; '
                         f'run: pip install ascon=={LEGACY_VERSION}')
    return LegacyAscon(name, found.encrypt, found.decrypt)
