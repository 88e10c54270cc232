"""Nonces that cannot repeat: a key of its own for every start of a sender, and a counter.

A sender does not seal under the session key. At its start it draws a boot id and derives::

    sealing key = HKDF-SHA256(session key, info = label || AEAD || direction || sender || boot id)

each part but the last with its length before it. The nonce is a counter from 0. Nothing is kept on disk: after a
restart the boot id is another one, and so is the key. Boot id and counter travel in the message's header, and the
receiver derives the same key. A message that is sealed again takes the next counter.

Two things break this, and both are refused: a copy of a sealing key, and a process that was forked with one.

References
----------
.. [1] NIST SP 800-232, 2025, section 4.3 (how much one Ascon-AEAD128 key may see, nonces included).
.. [2] NIST SP 800-38D, 2007, section 8.3 (invocations of GCM under one key).
.. [3] RFC 8446, 2018, section 5.5 (records of AES-GCM and ChaCha20-Poly1305 under one key).
.. [4] RFC 4303, 2005, section 3.4.3 (windows against replay).
"""

import hashlib
import os
import secrets
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import NoReturn

from hil.crypto.errors import CryptoError, ExhaustedError, ReplayError
from hil.crypto.interfaces import Aead
from hil.crypto.key_derivation import derive, label
from sim.wire import AEAD_NONCE_BYTES, BOOT_ID_BYTES

LABEL = b'iomtwin sealing key 1'
SESSION_KEY_BYTES_MIN = 16  # a shorter one would be weaker than every AEAD here
WINDOW = 1024  # counters that may come late; [4] asks for 64 on a network that does not redeliver
BOOTS_MAX = 64  # starts of one sender under one session key that are told apart
FINGERPRINT_BYTES = 16


class Direction(Enum):
    """Which way a message goes, so that nobody can be sent his own messages."""

    UP = b'up'
    DOWN = b'down'


@dataclass(frozen=True)
class Limit:
    """What one sealing key may be used for."""

    n_messages: int
    n_bytes: int  # nonce, associated data and plaintext of all messages


_GENERIC = Limit(2**32, 2**38)  # [2]; [3] rounded down: 2^24.5 records of 2^14 bytes
LIMITS = {
    'Ascon-AEAD128': Limit(2**50, 2**54),  # [1]: 2^54 bytes, so no more nonces of 16 bytes than this
    'Ascon-128': Limit(2**50, 2**54),  # Ascon v1.2 allows 2^64 blocks; no reason to use the older one for longer
    'Ascon-128a': Limit(2**50, 2**54),
    'AES-128-GCM': _GENERIC,
    'ChaCha20-Poly1305': _GENERIC,
}


@dataclass(frozen=True)
class Sealed:
    """A sealed message and what its header says of how it was sealed."""

    boot_id: bytes
    counter: int
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Opened:
    """What was in a message; a duplicate is the same message once more, which is counted and not acted on again."""

    plaintext: bytes = field(repr=False)
    is_duplicate: bool


class SealingKey:
    """The key of one start of one sender; seals, and never twice under one nonce.

    Parameters
    ----------
    session_key
        The secret that sender and receiver share; at least 16 bytes. It is not kept.
    sender
        The sender's name, by which the receiver knows it.
    """

    def __init__(self, aead: Aead, session_key: bytes, direction: Direction, sender: str) -> None:
        self.boot_id = secrets.token_bytes(BOOT_ID_BYTES)
        self._aead, self._limit = aead, LIMITS[aead.name]
        self._key = _sealing_key(aead, session_key, direction, sender, self.boot_id)
        self._lock, self._process = threading.Lock(), os.getpid()
        self._counter = self._n_bytes = 0

    def seal(self, plaintext: bytes, associated_data: bytes) -> Sealed:
        """Return a message under the next nonce; threads may call at once.

        Raises
        ------
        ExhaustedError
            If the key has seen what it may see.
        CryptoError
            If it was made before the process was forked.
        """
        n_bytes = AEAD_NONCE_BYTES[self._aead.name] + len(associated_data) + len(plaintext)
        counter = self._take(n_bytes)
        body = self._aead.seal(self._key, _nonce(self._aead, counter), plaintext, associated_data)
        return Sealed(self.boot_id, counter, body)

    def _take(self, n_bytes: int) -> int:
        """Return a counter that nobody else gets."""
        if os.getpid() != self._process:
            raise CryptoError('a sealing key was taken through a fork, where nonces would repeat; make one after it')
        with self._lock:
            if self._counter >= self._limit.n_messages or self._n_bytes + n_bytes > self._limit.n_bytes:
                raise ExhaustedError(f'a sealing key has sealed {self._counter} messages and {self._n_bytes} bytes '
                                     f'with {self._aead.name}, which is all it may; agree on a new session key')
            counter = self._counter
            self._counter += 1
            self._n_bytes += n_bytes
        return counter

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: two of one kind would use each nonce twice."""
        raise TypeError('a sealing key cannot be copied or pickled; make another one')


class OpeningKey:
    """What one sender's messages are opened with, however often it starts; remembers which it has opened.

    Memory is bounded: of each start the last `WINDOW` counters, and `BOOTS_MAX` starts. What is older than the window
    is refused, and so is a start beyond the last that fits; nothing is forgotten that could then be replayed. Only
    what was authentic is remembered.
    """

    def __init__(self, aead: Aead, session_key: bytes, direction: Direction, sender: str) -> None:
        _check_session_key(session_key)
        self._aead, self._limit = aead, LIMITS[aead.name]
        self._session_key, self._direction, self._sender = session_key, direction, sender
        self._boots: dict[bytes, _Boot] = {}
        self._lock = threading.Lock()

    def open(self, message: Sealed, associated_data: bytes) -> Opened:
        """Return what is in a message.

        Raises
        ------
        CryptoError
            If anything differs from what was sealed.
        ExhaustedError
            If the sender started too often.
        ReplayError
            If the nonce came with other associated data before, or so long ago that this cannot be told.
        """
        if len(message.boot_id) != BOOT_ID_BYTES or not 0 <= message.counter < self._limit.n_messages:
            raise CryptoError('the header has a boot id or a counter that no sealing key makes; drop the message')
        fingerprint = hashlib.blake2b(associated_data, digest_size=FINGERPRINT_BYTES).digest()
        with self._lock:
            boot = self._boots.get(message.boot_id) or self._new_boot(message.boot_id)
            before = boot.seen.get(message.counter)
            if before is not None and before != fingerprint:
                raise ReplayError('a nonce came again with other associated data; drop the message')
            nonce = _nonce(self._aead, message.counter)
            plaintext = self._aead.open(boot.key, nonce, message.body, associated_data)
            if before is None:
                if message.counter <= boot.newest - WINDOW:
                    raise ReplayError(f'a message is {WINDOW} or more behind the newest of its sender, too old to tell '
                                      'from a replay; drop it')
                boot.remember(message.counter, fingerprint)
                self._boots[message.boot_id] = boot
        return Opened(plaintext, is_duplicate=before is not None)

    def _new_boot(self, boot_id: bytes) -> '_Boot':
        """Return the state of a start that no authentic message has come from yet."""
        if len(self._boots) >= BOOTS_MAX:
            raise ExhaustedError(f'a sender started more than {BOOTS_MAX} times under one session key; agree on a '
                                 'new one')
        return _Boot(_sealing_key(self._aead, self._session_key, self._direction, self._sender, boot_id))

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: a copy would not know what the other has opened."""
        raise TypeError('an opening key cannot be copied or pickled; make another one')


@dataclass
class _Boot:
    """One start of a sender: its key, and the fingerprints of the messages that came last."""

    key: bytes = field(repr=False)
    newest: int = -1
    seen: dict[int, bytes] = field(default_factory=dict)

    def remember(self, counter: int, fingerprint: bytes) -> None:
        """Keep a counter; forget those behind the window once as many have come together."""
        self.newest = max(self.newest, counter)
        self.seen[counter] = fingerprint
        if len(self.seen) > 2 * WINDOW:
            self.seen = {at: found for at, found in self.seen.items() if at > self.newest - WINDOW}


def _sealing_key(aead: Aead, session_key: bytes, direction: Direction, sender: str, boot_id: bytes) -> bytes:
    """Return the key of one start of one sender."""
    _check_session_key(session_key)
    info = label(LABEL, aead.name.encode(), direction.value, sender.encode()) + boot_id
    return derive(session_key, info, aead.key_bytes)


def _check_session_key(session_key: bytes) -> None:
    if len(session_key) < SESSION_KEY_BYTES_MIN:
        raise CryptoError(f'a session key of {len(session_key)} bytes; expected at least {SESSION_KEY_BYTES_MIN}')


def _nonce(aead: Aead, counter: int) -> bytes:
    return counter.to_bytes(AEAD_NONCE_BYTES[aead.name], 'big')
