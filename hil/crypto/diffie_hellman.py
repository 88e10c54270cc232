"""Diffie-Hellman over X25519 and P-256: what the classical and the hybrid KEM are made of.

References
----------
.. [1] RFC 7748, "Elliptic Curves for Security", 2016, section 6.1.
.. [2] NIST SP 800-56A rev. 3, "Pair-Wise Key-Establishment Using Discrete Logarithm Cryptography", 2018, 5.7.1.2.
.. [3] SEC 1 version 2.0, 2009, section 2.3.3 (points as bytes).
"""

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import KeyPair


class Group(Protocol):
    """A group in which two parties come to one secret by sending each other a public key."""

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""

    def public(self, private: object) -> bytes:
        """Return the public key of a private one."""

    def exchange(self, private: object, public: bytes) -> bytes:
        """Return the secret of one's own private and another's public key.

        Raises
        ------
        CryptoError
            If a key is none of this group, or so chosen that the secret would be known to all.
        """


class X25519:
    """Curve25519 [1]; public keys are 32 bytes."""

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        private = X25519PrivateKey.generate()
        return KeyPair(self.public(private), private)

    def public(self, private: object) -> bytes:
        """Return the public key of a private one."""
        return self._own(private).public_key().public_bytes_raw()

    def exchange(self, private: object, public: bytes) -> bytes:
        """Return the secret; a public key of small order, which makes it zero, is refused as [1] allows."""
        own = self._own(private)
        try:
            return own.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise CryptoError('X25519: the public key is malformed or of small order; drop the message') from None

    @staticmethod
    def _own(private: object) -> X25519PrivateKey:
        if not isinstance(private, X25519PrivateKey):
            raise CryptoError('X25519: the private key is not one of X25519')
        return private


class P256:
    """NIST's curve P-256 [2]; public keys are 65 bytes, uncompressed [3]."""

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        private = ec.generate_private_key(ec.SECP256R1())
        return KeyPair(self.public(private), private)

    def public(self, private: object) -> bytes:
        """Return the public key of a private one."""
        return self._own(private).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def exchange(self, private: object, public: bytes) -> bytes:
        """Return the secret, which is the x coordinate of the common point."""
        own = self._own(private)
        if not public.startswith(b'\x04'):  # one encoding of a key, so that nobody can change it into another
            raise CryptoError('P-256: the public key is not an uncompressed point; drop the message')
        try:
            return own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public))
        except ValueError:
            raise CryptoError('P-256: the public key is not on the curve; drop the message') from None

    @staticmethod
    def _own(private: object) -> ec.EllipticCurvePrivateKey:
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise CryptoError('P-256: the private key is not one of P-256')
        return private
