"""A key ring: which session keys its owner holds, which of them still open, and the one that seals.

A key is known by the id of its subject and its epoch. It may open from the moment it is installed. Once it is activated
it is the one that seals, and all earlier epochs end: those of the same enrolment after the overlap, because messages
under them may be on their way, those of earlier enrolments at once. A key that has ended is erased when its subject is
next touched, or by `forget`; it opens nothing from the second it ends, erased or not.

Messages go up from a subject and down to it. Who seals under its own key sends up; whoever seals under another's, or
under a group's, sends down.
"""

from dataclasses import dataclass, field

from hil.crypto.errors import CryptoError, ExhaustedError, ReplayError
from hil.crypto.interfaces import Aead
from hil.crypto.sealing import Direction, Opened, OpeningKey, Sealed, SealingKey
from hil.keys.errors import ExpiredError, RevokedError, TamperedError, UnknownKeyError
from hil.keys.messages import enrolment_of
from hil.keys.secret import Secret

EPOCHS_MAX = 4  # of one subject; a subject that agrees on keys faster than they end loses the oldest


@dataclass
class _Key:
    """One session key, and what was made of it."""

    secret: Secret
    until: float  # unix seconds, not included
    sealing: SealingKey | None = field(default=None, repr=False)
    opening: dict[bytes, OpeningKey] = field(default_factory=dict, repr=False)  # by sender


class KeyRing:
    """The session keys of one owner.

    Invariant: of each subject only the newest activated epoch seals, and nothing revoked or ended does anything.

    Parameters
    ----------
    owner
        The owner's id.
    overlap_s
        How long an epoch opens after a later one of the same enrolment has been activated.
    """

    def __init__(self, aead: Aead, owner: bytes, overlap_s: float) -> None:
        self._aead, self._owner, self._overlap_s = aead, owner, overlap_s
        self._keys: dict[bytes, dict[int, _Key]] = {}
        self._active: dict[bytes, int] = {}
        self._revoked: dict[bytes, int] = {}

    def install(self, subject: bytes, epoch: int, key: bytes, valid_until: float, now: float) -> None:
        """Open messages under a key from now on; nothing happens if the epoch is installed.

        Raises
        ------
        RevokedError
            If the subject is revoked up to this epoch or a later one.
        ReplayError
            If a later epoch is active.
        ExpiredError
            If the key is not valid any longer.
        """
        self._check_revoked(subject, epoch)
        if epoch < self._active.get(subject, 0):
            raise ReplayError(f'a key of epoch {epoch}, and {self._active[subject]} is active; drop the message')
        if valid_until <= now:
            raise ExpiredError(f'a key was valid until {valid_until:.0f}, and it is {now:.0f}; agree on another one')
        keys = self._live(subject, now)
        if epoch in keys:
            return
        if len(keys) >= EPOCHS_MAX:
            keys.pop(min(each for each in keys if each != self._active.get(subject))).secret.erase()
        self._keys[subject] = keys | {epoch: _Key(Secret(key), valid_until)}

    def activate(self, subject: bytes, epoch: int, now: float) -> None:
        """Seal under an epoch that is installed, and let the earlier ones end; nothing happens if it is active.

        Raises
        ------
        UnknownKeyError
            If it is not installed, or has ended.
        """
        keys = self._live(subject, now)
        self._key(subject, epoch, now)
        if epoch <= self._active.get(subject, 0):
            return
        self._active[subject] = epoch
        for earlier in [each for each in keys if each < epoch]:
            if enrolment_of(earlier) < enrolment_of(epoch):
                keys.pop(earlier).secret.erase()
            else:
                keys[earlier].until = min(keys[earlier].until, now + self._overlap_s)

    def revoke(self, subject: bytes, epoch: int) -> None:
        """Refuse a subject's epochs up to this one for ever, and erase their keys; nothing undoes it."""
        self._revoked[subject] = max(epoch, self._revoked.get(subject, 0))
        keys = self._keys.get(subject, {})
        for each in [each for each in keys if each <= epoch]:
            keys.pop(each).secret.erase()

    def seal(self, subject: bytes, plaintext: bytes, associated_data: bytes, now: float) -> tuple[int, Sealed]:
        """Return the epoch that seals, and a message sealed under it.

        Raises
        ------
        RevokedError, UnknownKeyError, ExhaustedError
            If the subject is revoked, no key of its is active and valid, or that key has sealed all it may.
        """
        epoch = self.active(subject)
        key = self._key(subject, epoch, now)
        if key.sealing is None:
            direction = Direction.UP if subject == self._owner else Direction.DOWN
            key.sealing = SealingKey(self._aead, key.secret.reveal(), direction, self._owner.hex())
        return epoch, key.sealing.seal(plaintext, associated_data)

    def open(self, subject: bytes, epoch: int, sender: bytes, message: Sealed, associated_data: bytes,
             now: float) -> Opened:
        """Return what is in a message that a sender sealed under a subject's key.

        Raises
        ------
        RevokedError
            If the subject is revoked up to this epoch or a later one.
        UnknownKeyError
            If there is no such key, or it has ended.
        TamperedError
            If anything differs from what this sender sealed, or it is the owner's own message.
        ReplayError, ExhaustedError
            As `hil.crypto.sealing.OpeningKey` has it.
        """
        key = self._key(subject, epoch, now)
        if sender == self._owner:
            raise TamperedError('the owner of a key ring was sent its own message; drop it')
        direction = Direction.UP if subject == sender else Direction.DOWN
        opening = key.opening.get(sender) or OpeningKey(self._aead, key.secret.reveal(), direction, sender.hex())
        try:
            opened = opening.open(message, associated_data)
        except (ReplayError, ExhaustedError):
            raise
        except CryptoError as why:
            raise TamperedError(str(why)) from None
        key.opening[sender] = opening  # only what was authentic takes room
        return opened

    def active(self, subject: bytes) -> int:
        """Return the epoch of a subject that seals.

        Raises
        ------
        UnknownKeyError
            If none was activated.
        """
        if subject not in self._active:
            raise UnknownKeyError(f'no key of {subject.hex()} is active; agree on one')
        return self._active[subject]

    def session_key(self, subject: bytes, epoch: int, now: float) -> bytes:
        """Return a key to hand it on; raises as `open` does if there is none."""
        return self._key(subject, epoch, now).secret.reveal()

    def forget(self, now: float) -> None:
        """Erase all keys that have ended."""
        for subject in list(self._keys):
            self._live(subject, now)

    def _key(self, subject: bytes, epoch: int, now: float) -> _Key:
        """Return a key that has not ended."""
        self._check_revoked(subject, epoch)
        key = self._live(subject, now).get(epoch)
        if key is None:
            raise UnknownKeyError(f'no key of {subject.hex()} in epoch {epoch}, not yet or not any longer; drop the '
                                  'message')
        return key

    def _live(self, subject: bytes, now: float) -> dict[int, _Key]:
        """Return a subject's keys after those that have ended were erased."""
        keys = self._keys.get(subject, {})
        for epoch in [each for each, key in keys.items() if key.until <= now]:
            keys.pop(epoch).secret.erase()
        return keys

    def _check_revoked(self, subject: bytes, epoch: int) -> None:
        if epoch <= self._revoked.get(subject, -1):
            raise RevokedError(f'{subject.hex()} is revoked up to epoch {self._revoked[subject]}; drop the message')
