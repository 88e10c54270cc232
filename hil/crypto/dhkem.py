"""Diffie-Hellman as a KEM: the ciphertext is an ephemeral public key, the secret depends on both public keys.

The hash over both keys is what makes it a KEM. X25519 ignores a bit of its input, so without the hash a changed
ciphertext would carry the same secret.

References
----------
.. [1] RFC 9180, "Hybrid Public Key Encryption", 2022, section 4.1 (DHKEM) and 7.1 (its registry).
"""

from dataclasses import dataclass

from hil.crypto.diffie_hellman import P256, X25519, Group
from hil.crypto.interfaces import Encapsulation, KeyPair
from hil.crypto.key_derivation import expand, extract

VERSION = b'HPKE-v1'  # [1] section 4
SECRET_BYTES = 32  # [1] table 2, Nsecret


@dataclass(frozen=True)
class DhKem:
    """DHKEM(group, HKDF-SHA256)."""

    name: str
    group: Group
    kem_id: int
    provider: str = 'cryptography'

    def generate(self) -> KeyPair:
        """Return a fresh key pair."""
        return self.group.generate()

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of a public key."""
        ephemeral = self.group.generate()
        shared = self.group.exchange(ephemeral.private, public)
        return Encapsulation(ephemeral.public, self._secret(shared, ephemeral.public + public))

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret that a ciphertext carries."""
        shared = self.group.exchange(private, ciphertext)
        return self._secret(shared, ciphertext + self.group.public(private))

    def _secret(self, shared: bytes, context: bytes) -> bytes:
        """Return ExtractAndExpand of [1] section 4.1."""
        suite = VERSION + b'KEM' + self.kem_id.to_bytes(2, 'big')
        key = extract(suite + b'eae_prk' + shared)
        label = SECRET_BYTES.to_bytes(2, 'big') + suite + b'shared_secret'
        return expand(key, label + context, SECRET_BYTES)


X25519_KEM = DhKem('X25519', X25519(), 0x0020)  # [1] table 2
P256_KEM = DhKem('P-256', P256(), 0x0010)  # [1] table 2
