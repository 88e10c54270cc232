"""RSA-2048 with OAEP as a KEM: what it cost before, as a baseline of time, in no suite.

The secret is drawn and encrypted. Keys are far too slow to make to be ephemeral.

References
----------
.. [1] RFC 8017, "PKCS #1: RSA Cryptography Specifications Version 2.2", 2016, section 7.1.
"""

import secrets
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Encapsulation, KeyPair

SECRET_BYTES = 32
KEY_BITS = 2048
EXPONENT = 65_537  # NIST SP 800-56B rev. 2, 6.2: odd, above 2^16
PADDING = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@dataclass(frozen=True)
class RsaOaep:
    """RSAES-OAEP [1] with 2048 bits, SHA-256 and MGF1-SHA-256; public keys are SubjectPublicKeyInfo (DER)."""

    name: str = 'RSA-2048-OAEP'
    provider: str = 'cryptography'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        private = rsa.generate_private_key(EXPONENT, KEY_BITS)
        return KeyPair(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), private)

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of a public key."""
        try:
            key = load_der_public_key(public)
        except (ValueError, UnsupportedAlgorithm):
            raise CryptoError(f'{self.name}: the public key is malformed; drop the message') from None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS:
            raise CryptoError(f'{self.name}: the public key is not one of RSA with {KEY_BITS} bits; drop the message')
        secret = secrets.token_bytes(SECRET_BYTES)
        return Encapsulation(key.encrypt(secret, PADDING), secret)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret that a ciphertext carries."""
        if not isinstance(private, rsa.RSAPrivateKey):
            raise CryptoError(f'{self.name}: the private key is not one of RSA')
        try:
            secret = private.decrypt(ciphertext, PADDING)
        except ValueError:
            raise CryptoError(f'{self.name}: the ciphertext does not decrypt; drop the message') from None
        if len(secret) != SECRET_BYTES:
            raise CryptoError(f'{self.name}: the ciphertext carries no secret of {SECRET_BYTES} bytes; drop it')
        return secret
