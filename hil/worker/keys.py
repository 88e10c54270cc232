"""The keys that a worker holds, by subject and epoch, and what it has sealed and opened with them.

Memory is bounded by the keys that were given: no message adds one, and only what was authentic is remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Aead
from hil.crypto.sealing import Direction, Opened, OpeningKey, Sealed, SealingKey
from hil.wire.errors import UnknownKeyError
from hil.wire.message import KeyId
from sim.errors import InputError

SENDERS_MAX = 64  # who seal under one session key: its subject, or the nodes that send to it


@dataclass(frozen=True)
class KeyStore:
    """Keys as they were agreed on; private ones are their provider's objects, which never leave a process."""

    session: Mapping[KeyId, bytes] = field(default_factory=dict, repr=False)
    kem_public: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)  # by subject, as are the rest
    kem_private: Mapping[bytes, object] = field(default_factory=dict, repr=False)
    signature_public: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    signature_private: Mapping[bytes, object] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, list[list[Any]]]:
        """Return what a worker needs as plain data: session keys and public keys, each with its subject's id."""
        public = {'kem_public': self.kem_public, 'signature_public': self.signature_public}
        lists = {kind: [[subject.hex(), key.hex()] for subject, key in keys.items()] for kind, keys in public.items()}
        return {'session': [[key.subject.hex(), key.epoch, each.hex()] for key, each in self.session.items()], **lists}

    @classmethod
    def from_json(cls, data: Any) -> 'KeyStore':
        """Return what `to_json` returned.

        Raises
        ------
        InputError
            If it did not.
        """
        try:
            session = {KeyId(bytes.fromhex(subject), int(epoch)): bytes.fromhex(secret)
                       for subject, epoch, secret in data['session']}
            public = [{bytes.fromhex(subject): bytes.fromhex(key) for subject, key in data[kind]}
                      for kind in ('kem_public', 'signature_public')]
        except (TypeError, KeyError, ValueError):
            raise InputError('the key file is not one: expected lists session, kem_public and signature_public of '
                             'hexadecimal texts; let the twin write it') from None
        return cls(session, public[0], {}, public[1])


class Sealer:
    """Seals and opens with the keys of a store. Invariant: each key seals under one boot id and counter at a time."""

    def __init__(self, aead: Aead, store: KeyStore) -> None:
        self.aead, self.store = aead, store
        self._sealing: dict[tuple[KeyId, bytes], SealingKey] = {}
        self._opening: dict[KeyId, dict[bytes, OpeningKey]] = {}

    def seal(self, key: KeyId, sender: bytes, plaintext: bytes, associated_data: bytes) -> Sealed:
        """Return a body sealed under the next nonce.

        Raises
        ------
        UnknownKeyError
            If the store has no such key.
        CryptoError
            If it has sealed all it may.
        """
        sealing = self._sealing.get((key, sender))
        if sealing is None:
            sealing = SealingKey(self.aead, self._session_key(key), direction(key, sender), sender.hex())
            self._sealing[key, sender] = sealing
        return sealing.seal(plaintext, associated_data)

    def open(self, key: KeyId, sender: bytes, sealed: Sealed, associated_data: bytes) -> Opened:
        """Return what is in a body.

        Raises
        ------
        UnknownKeyError
            If the store has no such key.
        CryptoError
            If anything differs from what was sealed, or more have sealed than may.
        ReplayError
            If the nonce was another message's.
        """
        session_key = self._session_key(key)
        senders = self._opening.setdefault(key, {})
        opening = senders.get(sender) or OpeningKey(self.aead, session_key, direction(key, sender), sender.hex())
        if sender not in senders and len(senders) >= SENDERS_MAX:
            raise CryptoError(f'more than {SENDERS_MAX} seal under one session key; agree on a new one')
        opened = opening.open(sealed, associated_data)
        senders[sender] = opening
        return opened

    def _session_key(self, key: KeyId) -> bytes:
        found = self.store.session.get(key)
        if found is None:
            raise UnknownKeyError(f'no key of {key.subject.hex()} in epoch {key.epoch}; give it to the workers')
        return found


def direction(key: KeyId, sender: bytes) -> Direction:
    """Return the way of a message: up from a key's subject, and down to it from everybody else."""
    return Direction.UP if sender == key.subject else Direction.DOWN
