"""ML-KEM by each of its providers, all of them to FIPS 203, and so able to talk to each other.

Lengths are checked here: a provider that pads a short ciphertext with zeros would take it for another one.

References
----------
.. [1] FIPS 203, "Module-Lattice-Based Key-Encapsulation Mechanism Standard", 2024; section 7 for what is checked.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Encapsulation, Kem, KeyPair
from sim.wire import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_KEY_BYTES

LEVELS = ('ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024')
PRIVATE_KEY_BYTES = {'ML-KEM-512': 1632, 'ML-KEM-768': 2400, 'ML-KEM-1024': 3168}  # [1] table 3, the expanded form


@dataclass(frozen=True)
class PqcryptoMlKem:
    """ML-KEM by ``pqcrypto``; private keys are the standard's expanded bytes."""

    name: str
    module: ModuleType
    provider: str = 'pqcrypto'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        public, private = self.module.keygen()
        return KeyPair(public, private)

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of a public key."""
        check_public_key(self.name, public)
        try:
            ciphertext, secret = self.module.encaps(public)
        except ValueError:
            raise _malformed_key(self.name) from None
        return Encapsulation(ciphertext, secret)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret that a ciphertext carries."""
        own = expanded(self.name, private)
        check_ciphertext(self.name, ciphertext)
        try:
            secret: bytes = self.module.decaps(own, ciphertext)
        except ValueError:
            raise CryptoError(f'{self.name}: the private key is malformed') from None
        return secret


@dataclass(frozen=True)
class CryptographyMlKem:
    """ML-KEM by ``cryptography``; private keys are its objects, and there is no ML-KEM-512."""

    name: str
    own: type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey]
    theirs: type[MLKEM768PublicKey] | type[MLKEM1024PublicKey]
    provider: str = 'cryptography'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        private = self.own.generate()
        return KeyPair(private.public_key().public_bytes_raw(), private)

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of a public key."""
        check_public_key(self.name, public)
        try:
            secret, ciphertext = self.theirs.from_public_bytes(public).encapsulate()
        except ValueError:
            raise _malformed_key(self.name) from None
        return Encapsulation(ciphertext, secret)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret that a ciphertext carries."""
        if not isinstance(private, self.own):
            raise CryptoError(f'{self.name}: the private key is not one of {self.name} by {self.provider}')
        check_ciphertext(self.name, ciphertext)
        return private.decapsulate(ciphertext)


def pqcrypto_kems() -> dict[str, Kem]:
    """Return all levels by ``pqcrypto``."""
    kem = importlib.import_module('pqcrypto.kem')
    modules = {level: getattr(kem, level.lower().replace('-', '_')) for level in LEVELS}
    return {level: PqcryptoMlKem(level, module) for level, module in modules.items()}


def cryptography_kems() -> dict[str, Kem]:
    """Return the levels that ``cryptography`` has."""
    return {
        'ML-KEM-768': CryptographyMlKem('ML-KEM-768', MLKEM768PrivateKey, MLKEM768PublicKey),
        'ML-KEM-1024': CryptographyMlKem('ML-KEM-1024', MLKEM1024PrivateKey, MLKEM1024PublicKey),
    }


def check_public_key(name: str, public: bytes) -> None:
    """Refuse a public key of the wrong length; [1] section 7.2.

    Raises
    ------
    CryptoError
        If the length is wrong.
    """
    if len(public) != KEM_PUBLIC_KEY_BYTES[name]:
        raise CryptoError(f'{name}: a public key of {len(public)} bytes; expected {KEM_PUBLIC_KEY_BYTES[name]}')


def check_ciphertext(name: str, ciphertext: bytes) -> None:
    """Refuse a ciphertext of the wrong length; [1] section 7.3.

    Raises
    ------
    CryptoError
        If the length is wrong.
    """
    if len(ciphertext) != KEM_CIPHERTEXT_BYTES[name]:
        raise CryptoError(f'{name}: a ciphertext of {len(ciphertext)} bytes; expected {KEM_CIPHERTEXT_BYTES[name]}')


def expanded(name: str, private: object) -> bytes:
    """Return a private key in the standard's expanded form.

    Raises
    ------
    CryptoError
        If it is none, or has the wrong length.
    """
    if not isinstance(private, bytes) or len(private) != PRIVATE_KEY_BYTES[name]:
        raise CryptoError(f'{name}: the private key is not one of {name}; expected {PRIVATE_KEY_BYTES[name]} bytes')
    return private


def _malformed_key(name: str) -> CryptoError:
    return CryptoError(f'{name}: the public key has a coefficient that is not reduced; drop the message')
