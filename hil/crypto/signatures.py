"""The signatures behind one interface: ML-DSA, and ECDSA over P-256 as what came before.

References
----------
.. [1] FIPS 204, "Module-Lattice-Based Digital Signature Standard", 2024; section 5.2 for the context.
.. [2] FIPS 186-5, "Digital Signature Standard", 2023, section 6 (ECDSA).
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA44PublicKey,
    MLDSA65PrivateKey,
    MLDSA65PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import KeyPair, Signature
from sim.wire import SIGNATURE_BYTES

LEVELS = ('ML-DSA-44', 'ML-DSA-65')
HASH = ec.ECDSA(hashes.SHA256())
SCALAR_BYTES = SIGNATURE_BYTES['ECDSA-P256'] // 2


@dataclass(frozen=True)
class CryptographyMlDsa:
    """ML-DSA [1] by ``cryptography``, hedged; private keys are its objects.

    The protocol signs without a context: what a signature is for stands in the message (`hil.keys.schedule`). A context
    can be given because the published answers have one.
    """

    name: str
    own: type[MLDSA44PrivateKey] | type[MLDSA65PrivateKey]
    theirs: type[MLDSA44PublicKey] | type[MLDSA65PublicKey]
    provider: str = 'cryptography'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        private = self.own.generate()
        return KeyPair(private.public_key().public_bytes_raw(), private)

    def sign(self, private: object, message: bytes, context: bytes = b'') -> bytes:
        """Return the signature of a message in a context of at most 255 bytes."""
        if not isinstance(private, self.own):
            raise CryptoError(f'{self.name}: the private key is not one of {self.name} by {self.provider}')
        try:
            return private.sign(message, context)
        except ValueError:
            raise CryptoError(f'{self.name}: a context of {len(context)} bytes; at most 255') from None

    def verify(self, public: bytes, message: bytes, signature: bytes, context: bytes = b'') -> None:
        """Return if the owner of a public key signed the message in this context."""
        try:
            self.theirs.from_public_bytes(public).verify(signature, message, context)
        except (InvalidSignature, ValueError):
            raise refusal(self.name) from None


@dataclass(frozen=True)
class EcdsaP256:
    """ECDSA [2] with SHA-256; public keys are 65 bytes, signatures two integers of 32 bytes."""

    name: str = 'ECDSA-P256'
    provider: str = 'cryptography'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        private = ec.generate_private_key(ec.SECP256R1())
        return KeyPair(private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), private)

    def sign(self, private: object, message: bytes) -> bytes:
        """Return the signature of a message."""
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise CryptoError(f'{self.name}: the private key is not one of P-256')
        numbers = decode_dss_signature(private.sign(message, HASH))
        return b''.join(number.to_bytes(SCALAR_BYTES, 'big') for number in numbers)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        """Return if the owner of a public key signed the message."""
        if len(signature) != SIGNATURE_BYTES[self.name]:
            raise refusal(self.name)
        numbers = (int.from_bytes(signature[at:at + SCALAR_BYTES], 'big') for at in (0, SCALAR_BYTES))
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
            key.verify(encode_dss_signature(*numbers), message, HASH)
        except (InvalidSignature, ValueError):
            raise refusal(self.name) from None


def cryptography_signatures() -> dict[str, Signature]:
    """Return ML-DSA by ``cryptography``."""
    return {
        'ML-DSA-44': CryptographyMlDsa('ML-DSA-44', MLDSA44PrivateKey, MLDSA44PublicKey),
        'ML-DSA-65': CryptographyMlDsa('ML-DSA-65', MLDSA65PrivateKey, MLDSA65PublicKey),
    }


def refusal(name: str) -> CryptoError:
    """Return the error of a signature that does not verify; it does not say why."""
    return CryptoError(f'{name}: the signature does not fit message and key; drop the message')
