"""X25519MLKEM768: two key establishments at once, so that both must be broken.

Public key, ciphertext and secret are those of ML-KEM-768 followed by those of X25519. The secret of 64 bytes is no key
yet: whoever uses it puts it through a key derivation together with the transcript, as TLS 1.3 does.

References
----------
.. [1] draft-ietf-tls-ecdhe-mlkem, "Post-quantum hybrid ECDHE-MLKEM Key Agreement for TLSv1.3", section 4.
"""

from dataclasses import dataclass, field

from hil.crypto.diffie_hellman import X25519
from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Encapsulation, Kem, KeyPair
from sim.wire import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_KEY_BYTES

NAME, POST_QUANTUM = 'X25519MLKEM768', 'ML-KEM-768'


@dataclass(frozen=True)
class _Private:
    """Both private keys."""

    post_quantum: object = field(repr=False)
    classical: object = field(repr=False)


@dataclass(frozen=True)
class Hybrid:
    """X25519MLKEM768 [1] over any provider's ML-KEM-768."""

    post_quantum: Kem
    name: str = NAME

    @property
    def provider(self) -> str:
        """Return the library of the post-quantum half; the other one is always that of `hil.crypto.diffie_hellman`."""
        return self.post_quantum.provider

    def generate(self) -> KeyPair:
        """Return a fresh key pair of both kinds."""
        post_quantum, classical = self.post_quantum.generate(), X25519().generate()
        return KeyPair(post_quantum.public + classical.public, _Private(post_quantum.private, classical.private))

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret of both kinds for the owner of a public key."""
        first, second = _split(public, KEM_PUBLIC_KEY_BYTES, 'public key')
        post_quantum = self.post_quantum.encapsulate(first)
        ephemeral = X25519().generate()
        classical = X25519().exchange(ephemeral.private, second)
        return Encapsulation(post_quantum.ciphertext + ephemeral.public, post_quantum.secret + classical)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return both secrets that a ciphertext carries."""
        if not isinstance(private, _Private):
            raise CryptoError(f'{NAME}: the private key is not one of {NAME}')
        first, second = _split(ciphertext, KEM_CIPHERTEXT_BYTES, 'ciphertext')
        post_quantum = self.post_quantum.decapsulate(private.post_quantum, first)
        return post_quantum + X25519().exchange(private.classical, second)


def _split(data: bytes, sizes: dict[str, int], what: str) -> tuple[bytes, bytes]:
    """Return the two halves of a public key or a ciphertext."""
    if len(data) != sizes[NAME]:
        raise CryptoError(f'{NAME}: a {what} of {len(data)} bytes; expected {sizes[NAME]}')
    at = sizes[POST_QUANTUM]
    return data[:at], data[at:]
