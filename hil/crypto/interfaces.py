"""What the protocol asks of a primitive, whoever provides it.

Public keys, ciphertexts and signatures are bytes as their standards encode them, so that providers understand each
other. A private key is whatever its provider works with: it never leaves the process, and it is never printed.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class KeyPair:
    """A public key as bytes, and the private key in its provider's form."""

    public: bytes
    private: object = field(repr=False)


@dataclass(frozen=True)
class Encapsulation:
    """A shared secret, and the ciphertext that carries it to the owner of a public key."""

    ciphertext: bytes
    secret: bytes = field(repr=False)


class Kem(Protocol):
    """A key encapsulation mechanism: two parties come to one secret, one of them by sending a ciphertext."""

    @property
    def name(self) -> str:
        """Return the name that scenarios use."""

    @property
    def provider(self) -> str:
        """Return the library that does the work."""

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of a public key.

        Raises
        ------
        CryptoError
            If the bytes are no public key of this mechanism.
        """

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret that a ciphertext carries.

        A ciphertext of the right length that was made for another key gives, with ML-KEM, a secret that nobody else has
        (implicit rejection): what is sealed under it does not open.

        Raises
        ------
        CryptoError
            If the ciphertext or the key is malformed.
        """


class Aead(Protocol):
    """Authenticated encryption with associated data."""

    @property
    def name(self) -> str:
        """Return the name that scenarios use."""

    @property
    def implementation(self) -> str:
        """Return the code that does the work, such as ``cryptography`` or ``numba``."""

    @property
    def key_bytes(self) -> int:
        """Return the length of a key."""

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the ciphertext with its tag behind it. No nonce may come twice under one key.

        Raises
        ------
        CryptoError
            If the key or the nonce has the wrong length.
        """

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext of what `seal` returned.

        Raises
        ------
        CryptoError
            If anything differs from what was sealed, or has the wrong length.
        """


class Signature(Protocol):
    """A digital signature."""

    @property
    def name(self) -> str:
        """Return the name that scenarios use."""

    @property
    def provider(self) -> str:
        """Return the library that does the work."""

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""

    def sign(self, private: object, message: bytes) -> bytes:
        """Return the signature of a message.

        Raises
        ------
        CryptoError
            If the key is not one of this mechanism.
        """

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        """Return if the owner of a public key signed the message.

        Raises
        ------
        CryptoError
            If not.
        """
