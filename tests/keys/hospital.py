"""A hospital for tests: an authority, places and devices, and a network on which all is recorded."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from hil.crypto.providers import choose
from hil.crypto.sealing import Opened, Sealed
from hil.crypto.suites import BoundSuite, bind
from hil.keys.authority import Authority, Periods
from hil.keys.devices import Device
from hil.keys.letters import Letter
from hil.keys.messages import AUTHORITY_ID, Kind
from hil.keys.parties import Role
from hil.keys.places import Place
from hil.keys.subjects import Commission
from sim.wire import Trust

T = TypeVar('T')
NOW = 1_800_000_000.0  # a time in 2027
OVERLAP_S = 60.0
PERIODS = Periods(key_s=86_400.0, certificate_s=365 * 86_400.0, overlap_s=OVERLAP_S)
PROVIDER = choose('pqcrypto')  # with every level of ML-KEM, whatever is installed


class Tap(Protocol):
    """Who sits on the wire: sees a message before its receiver does, and can call the receiver."""

    def __call__(self, kind: Kind, raw: bytes, take: Callable[[bytes], object]) -> None:
        """See a message."""


@dataclass(frozen=True)
class Traffic:
    """A message under a session key, with what its header says in clear."""

    subject: bytes
    epoch: int
    sender: bytes
    sealed: Sealed
    associated_data: bytes


@dataclass
class Hospital:
    """All parties; messages reach their receivers at once, past every tap."""

    suite: str = 'classical'
    trust: Trust = 'signed'
    places: tuple[str, ...] = ('worker-1', 'server')
    devices: tuple[str, ...] = ('pump-1',)
    bound: BoundSuite | None = None
    taps: list[Tap] = field(default_factory=list)
    tape: list[bytes] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bound = self.bound or bind(self.suite, PROVIDER)
        self.authority = Authority(self.bound, PERIODS)
        self.commissions: list[Commission] = []
        self.place: dict[str, Place] = {}
        self.device: dict[str, Device] = {}
        for name in self.places:
            self.add_place(name)
        for name in self.devices:
            self.add_device(name)

    def add_place(self, name: str) -> Place:
        """Commission a place, which always signs unless it shares a key and has a KEM."""
        trust: Trust = 'pre-shared-kem' if self.trust == 'pre-shared-kem' else 'signed'
        self.place[name] = Place(self._suite, self._commission(name, trust, 'place'), OVERLAP_S)
        return self.place[name]

    def add_device(self, name: str) -> Device:
        """Commission a device."""
        self.device[name] = Device(self._suite, self._commission(name, self.trust, 'device'), OVERLAP_S)
        return self.device[name]

    def _commission(self, name: str, trust: Trust, role: Role) -> Commission:
        self.commissions.append(self.authority.commission(name, trust, role))
        return self.commissions[-1]

    @property
    def _suite(self) -> BoundSuite:
        assert self.bound
        return self.bound

    def subject(self, name: str) -> Device | Place:
        """Return a device or a place."""
        return self.device.get(name) or self.place[name]

    def start(self, now: float = NOW) -> 'Hospital':
        """Enrol all that sign, and agree on a key with each: the places first."""
        self.begin(*self.place, *self.device, now=now)
        return self

    def begin(self, *names: str, now: float = NOW) -> None:
        """Enrol subjects and agree on a key with each."""
        for name in names:
            self.enrol(name, now)
            self.rekey(name, now)

    def enrol(self, name: str, now: float = NOW) -> None:
        """Get a certificate, if the subject signs."""
        subject = self.subject(name)
        if subject._terms.is_signed:
            answer = self.hand(subject.enrol(), lambda raw: self.authority.answer_enrolment(raw, now))
            self.hand(answer, lambda raw: subject.take_certificate(raw, now))

    def rekey(self, name: str, now: float = NOW) -> None:
        """Agree on a session key, and deliver all that follows."""
        subject, authority = self.subject(name), self.authority
        answer = self.hand(subject.begin_rekey(now), lambda raw: authority.answer_rekey(raw, now))
        confirm = self.hand(answer, lambda raw: subject.take_answer(raw, now))
        self.deliver(self.hand(confirm, lambda raw: authority.take_confirmation(raw, now)), now)

    def deliver(self, letters: Iterable[Letter], now: float = NOW) -> None:
        """Bring letters to their receivers, and what those answer to the authority, until nothing is left."""
        queue = list(letters)
        while queue:
            to, raw = queue.pop(0)
            answer = self.hand(raw, self.taker(to, Kind(raw[0]), now))
            if answer:
                queue += self.hand(answer, lambda each: self.authority.take_acknowledgement(each, now))

    def taker(self, to: str, kind: Kind, now: float) -> Callable[[bytes], bytes | None]:
        """Return how a subject takes a letter of a kind; of a record an acknowledgement comes back."""
        def take(raw: bytes) -> bytes | None:
            match kind:
                case Kind.KEY_RECORD:
                    return self.place[to].take_record(raw, now)
                case Kind.REVOKE_NOTICE:
                    self.place[to].take_notice(raw)
                case Kind.GROUP_KEY:
                    self.device[to].take_group_key(raw, now)
                case _:
                    self.subject(to).take_activation(raw, now)
            return None
        return take

    def hand(self, raw: bytes, take: Callable[[bytes], T]) -> T:
        """Bring one message to its receiver, past the taps; return what the receiver made of it."""
        self.tape.append(raw)
        for tap in self.taps:
            tap(Kind(raw[0]), raw, take)
        return take(raw)

    def up(self, name: str, plaintext: bytes = b'pressure', data: bytes = b'job 1', now: float = NOW) -> Traffic:
        """Seal what a device has to say."""
        device = self.device[name]
        return self._record(device.id, device.id, device.ring.seal(device.id, plaintext, data, now), data)

    def down(self, place: str, subject: bytes, plaintext: bytes = b'rate', data: bytes = b'job 1',
             now: float = NOW) -> Traffic:
        """Seal what a place has to say to a device or a group."""
        sender = self.place[place]
        return self._record(subject, sender.id, sender.ring.seal(subject, plaintext, data, now), data)

    def _record(self, subject: bytes, sender: bytes, sealed: tuple[int, Sealed], data: bytes) -> Traffic:
        self.traffic.append(Traffic(subject, sealed[0], sender, sealed[1], data))
        return self.traffic[-1]


def opened(receiver: Device | Place, traffic: Traffic, now: float = NOW) -> Opened:
    """Return what a receiver finds in a message."""
    return receiver.ring.open(traffic.subject, traffic.epoch, traffic.sender, traffic.sealed, traffic.associated_data,
                              now)


def sender_of(kind: Kind, subject: bytes) -> bytes:
    """Return who seals a message of key life that is under a subject's key."""
    return subject if kind == Kind.KEY_ACKNOWLEDGE else AUTHORITY_ID
