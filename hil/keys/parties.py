"""What the authority knows of those it hands keys to. Their session keys are on its ring."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hil.keys.errors import RevokedError, UnknownKeyError
from hil.keys.messages import epoch_of, group_id, read_subject, subject_id
from hil.keys.secret import Secret
from sim.errors import InputError
from sim.wire import Trust

Role = Literal['device', 'place']


@dataclass(frozen=True)
class Begun:
    """A session key that was answered and waits for the subject's confirmation."""

    epoch: int
    key: Secret
    confirm: bytes  # the only one that will be taken
    activation: bytes


@dataclass
class Party:
    """A subject as it was commissioned last."""

    name: str
    role: Role
    trust: Trust
    enrolment: int
    secret: Secret
    enrolled: bytes = b''  # hash of the request that got the certificate
    answer: bytes = b''  # with the certificate
    asked: int = 0  # the last epoch that was asked for
    begun: Begun | None = None
    epoch: int = 0  # of the key that was confirmed last
    valid_until: int = 0  # unix seconds: of that key
    activation: bytes = b''  # of that key
    is_activated: bool = False  # whether the activation was sent
    acknowledged: dict[bytes, int] = field(default_factory=dict)  # who says to have that key, with the enrolment
    is_revoked: bool = False

    def __post_init__(self) -> None:
        self.id = subject_id(self.name)
        self.asked = epoch_of(self.enrolment, 0)

    def is_live(self, now: float) -> bool:
        """Say whether there is a session key that messages can be sealed under."""
        return bool(self.epoch) and now < self.valid_until and not self.is_revoked

    def has_key_of(self, other: 'Party | Group') -> bool:
        """Say whether this place, as it was commissioned last, has acknowledged another's last key, or a group's."""
        return other.acknowledged.get(self.id) == self.enrolment

    def erase(self) -> None:
        """Erase all secrets that are not on the ring."""
        self.secret.erase()
        if self.begun:
            self.begun.key.erase()
        self.begun = None


@dataclass(frozen=True)
class Group:
    """Devices that share a key, and its last epoch. A new enrolment of the group begins when a member leaves."""

    name: str
    members: frozenset[str]
    epoch: int
    valid_until: int  # unix seconds
    acknowledged: dict[bytes, int] = field(default_factory=dict)  # as a party's

    @property
    def id(self) -> bytes:
        """Return the group's id."""
        return group_id(self.name)


class Register:
    """All parties by their ids, each as it was commissioned last; no two commissions have one number."""

    def __init__(self) -> None:
        self.n_enrolments = 0
        self._parties: dict[bytes, Party] = {}

    def add(self, name: str, role: Role, trust: Trust, secret: bytes) -> Party:
        """Return a new party, or one anew that was revoked.

        Raises
        ------
        InputError
            If the name is in use.
        """
        found = self._parties.get(subject_id(name))
        if found and not found.is_revoked:
            raise InputError(f"'{name}' is commissioned; revoke it first")
        self.n_enrolments += 1
        party = Party(name, role, trust, self.n_enrolments, Secret(secret))
        self._parties[party.id] = party
        return party

    def find(self, raw: bytes) -> Party:
        """Return whom a message is about.

        Raises
        ------
        UnknownKeyError, RevokedError, TamperedError
            If nobody of this name is commissioned, it was revoked, or the message has no header.
        """
        subject = read_subject(raw)
        party = self.get(subject)
        if party is None:
            raise UnknownKeyError(f'nobody with the id {subject.hex()} is commissioned; drop the message')
        if party.is_revoked:
            raise RevokedError(f'{party.name} is revoked; drop the message')
        return party

    def get(self, subject: bytes) -> Party | None:
        """Return a party by its id."""
        return self._parties.get(subject)

    def named(self, name: str) -> Party:
        """Return a party by its name.

        Raises
        ------
        UnknownKeyError
            If there is none.
        """
        party = self.get(subject_id(name))
        if party is None:
            raise UnknownKeyError(f"nobody of the name '{name}' is commissioned; commission it")
        return party

    def live(self, role: Role, now: float) -> Iterator[Party]:
        """Yield the parties of a role that have a session key."""
        return (each for each in self._parties.values() if each.role == role and each.is_live(now))
