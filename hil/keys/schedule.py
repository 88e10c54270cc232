"""What keys, tags and signatures are made of: one secret, a purpose, and all that was said so far.

With ``h = SHA-256(all that was said)`` and ``context = label || AEAD || KEM || signature || trust || purpose``, each
part with its length before it::

    PRK         = HKDF-Extract(salt = none, KEM secret || pre-shared key)           whichever there are
    session key = HKDF-Expand(PRK, context('session key') || h, 32 bytes)
    tag         = AEAD(key = HKDF-Expand(PRK, context(purpose) || h), nonce = 0, no plaintext, associated data = h)
    signature   = Sign(private key, context(purpose) || all that was said)

The key of a tag depends on the whole of what it is over, so it is used for nothing else, and its nonce may be zero. The
names in the context keep the two sides from believing in different primitives.

References
----------
.. [1] NIST SP 800-56C rev. 2, 2020, section 5 (extraction, then expansion) and 2 (a further secret behind the first).
.. [2] RFC 5869, 2010 (HKDF).
"""

import hashlib
import hmac
from dataclasses import dataclass

from hil.crypto.errors import CryptoError
from hil.crypto.key_derivation import expand, extract, label
from hil.crypto.suites import BoundSuite
from hil.keys.errors import TamperedError
from hil.keys.messages import Kind, Message, read
from sim.wire import AEAD_NONCE_BYTES, KEY_BYTES, Trust

LABEL = b'iomtwin key life 1'


@dataclass(frozen=True)
class Terms:
    """What both sides hold to before the first message: a suite, and how they know each other."""

    bound: BoundSuite
    trust: Trust

    @property
    def has_kem(self) -> bool:
        """Say whether a key is agreed on with a KEM; without one nothing is forward secret."""
        return self.trust != 'pre-shared'

    @property
    def is_signed(self) -> bool:
        """Say whether both sides know each other by signatures."""
        return self.trust == 'signed'

    def read(self, raw: bytes, kind: Kind) -> Message:
        """Return the parts of a message under these terms; raises as `hil.keys.messages.read`."""
        return read(raw, kind, self.bound.suite, self.trust)

    def context(self, purpose: str) -> bytes:
        """Return what sets a purpose under these terms apart from all others."""
        suite = self.bound.suite
        return label(LABEL, *(part.encode() for part in (suite.aead, suite.kem, suite.signature, self.trust, purpose)))


def pseudorandom_key(*secrets: bytes) -> bytes:
    """Return the key that all others of an exchange are expanded from."""
    return extract(b''.join(secrets))


def session_key(terms: Terms, key: bytes, said: bytes) -> bytes:
    """Return the session key of an exchange."""
    return expand(key, terms.context('session key') + _digest(said), KEY_BYTES)


def tag(terms: Terms, key: bytes, kind: Kind, said: bytes) -> bytes:
    """Return what shows that its sender knows a key, and that it has seen the same messages."""
    aead, digest = terms.bound.aead, _digest(said)
    once = expand(key, terms.context(f'tag of {kind.name}') + digest, aead.key_bytes)
    return aead.seal(once, bytes(AEAD_NONCE_BYTES[aead.name]), b'', digest)


def check_tag(terms: Terms, key: bytes, message: Message, said: bytes) -> None:
    """Refuse a message whose tag is not that of what was said.

    Raises
    ------
    TamperedError
        If so.
    """
    check_equal(message, message.fields['tag'], tag(terms, key, message.kind, said))


def check_equal(message: Message, found: bytes, expected: bytes) -> None:
    """Refuse a message of which a part is not the one that was computed, in a time that says nothing of either.

    Raises
    ------
    TamperedError
        If so.
    """
    if not hmac.compare_digest(found, expected):
        raise TamperedError(f'{message.kind.name}: the tag does not fit what was said; drop the message')


def sign(terms: Terms, private: object, kind: Kind, said: bytes) -> bytes:
    """Return the signature of what was said."""
    return terms.bound.signature.sign(private, _to_sign(terms, kind, said))


def check_signature(terms: Terms, public: bytes, message: Message, said: bytes = b'') -> None:
    """Refuse a message that the owner of a public key did not sign.

    Parameters
    ----------
    said
        What was said before this message, and is signed with it.

    Raises
    ------
    TamperedError
        If the signature is not that of all that was said up to it.
    """
    signed = _to_sign(terms, message.kind, said + message.before('signature'))
    try:
        terms.bound.signature.verify(public, signed, message.fields['signature'])
    except CryptoError as why:
        raise TamperedError(f'{message.kind.name}: {why}') from None


def _to_sign(terms: Terms, kind: Kind, said: bytes) -> bytes:
    return terms.context(f'signature of {kind.name}') + said


def _digest(said: bytes) -> bytes:
    return hashlib.sha256(said).digest()
