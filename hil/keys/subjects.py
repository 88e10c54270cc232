"""Subjects: who has an identity, and comes to one session key after another with the authority.

A device is one, and so is a place::

    enrol ──> take_certificate ──> begin_rekey ──> take_answer ──> take_activation ──> seals under the new key
              (once, if it signs)       ^   again at any time: the last request counts   │
                                        └────────────────────────────────────────────────┘
"""

import secrets
from dataclasses import dataclass, field

from hil.crypto.errors import CryptoError, ReplayError
from hil.crypto.interfaces import KeyPair
from hil.crypto.key_derivation import extract
from hil.crypto.suites import BoundSuite
from hil.keys import certificates, schedule
from hil.keys.certificates import Certificate
from hil.keys.errors import TamperedError, UnknownKeyError
from hil.keys.letters import open_letter
from hil.keys.messages import AUTHORITY_ID, RECORD, Kind, Message, epoch_of, header, subject_id
from hil.keys.rings import KeyRing
from hil.keys.schedule import Terms
from hil.keys.secret import Secret
from sim.wire import KEY_NONCE_BYTES, Trust

FOREVER = 2**64 - 1  # a subject is not told how long its key is valid: those who open refuse it when it is not


@dataclass(frozen=True)
class Commission:
    """What the authority gives a subject by hand, once, before it is in the network.

    The secret is a one-time secret for a subject that signs, and its pre-shared key for one that does not.
    """

    name: str
    trust: Trust
    enrolment: int  # the number of this enrolment, which is its certificate's serial number
    secret: bytes = field(repr=False)
    authority: bytes  # the authority's public key


@dataclass(frozen=True)
class _Begun:
    """A rekey that waits for its answer."""

    epoch: int
    request: bytes
    ephemeral: object = field(repr=False)


class Subject:
    """A device or a place: its identity, its session keys, and the ring that they are on.

    Invariant: an epoch is asked for once, and the ephemeral private key of a request is held until its answer was taken
    or another request was made, and no longer.

    The count of epochs must survive a restart, with the identity; else the subject is commissioned again.
    """

    def __init__(self, bound: BoundSuite, commission: Commission, overlap_s: float) -> None:
        self.name, self.id = commission.name, subject_id(commission.name)
        self.ring = KeyRing(bound.aead, self.id, overlap_s)
        self._terms, self._bound = Terms(bound, commission.trust), bound
        self._authority, self._enrolment = commission.authority, commission.enrolment
        self._secret = Secret(commission.secret)
        self._epoch = epoch_of(self._enrolment, 0)  # the last that was asked for
        self._identity: KeyPair | None = None
        self._request = b''  # for a certificate
        self._certificate: Certificate | None = None
        self._certified = b''
        self._begun: _Begun | None = None
        self._activation: tuple[int, bytes] | None = None  # epoch and bytes of the only one that will be taken

    def enrol(self) -> bytes:
        """Return the request for a certificate; the same one each time, as the secret is good for one."""
        if not self._terms.is_signed:
            raise AssertionError(f'{self.name} has a pre-shared key and needs no certificate')
        if self._identity is None:
            self._identity = self._bound.signature.generate()
            said = header(Kind.ENROL_REQUEST, self.id, 0) + secrets.token_bytes(KEY_NONCE_BYTES) + self._identity.public
            said += schedule.tag(self._terms, extract(self._secret.reveal()), Kind.ENROL_REQUEST, said)
            self._request = said + schedule.sign(self._terms, self._identity.private, Kind.ENROL_REQUEST, said)
        return self._request

    def take_certificate(self, raw: bytes, now: float) -> None:
        """Take the answer to `enrol`, and erase the one-time secret.

        Raises
        ------
        ReplayError
            If there is a certificate already, or none was asked for.
        TamperedError, ExpiredError
            If it is not the authority's, for another subject, enrolment or key, or not valid now.
        """
        if self._certificate or self._identity is None:
            raise ReplayError(f'{self.name} waits for no certificate; drop the message')
        message = self._terms.read(raw, Kind.ENROL_ANSWER)
        certified = message.fields['certificate']
        found = certificates.check(self._bound.signature, self._authority, certified, now)
        own = Certificate(self.id, self._enrolment, found.valid_from, found.valid_until, self._identity.public)
        if found != own or (message.subject, message.epoch) != (self.id, epoch_of(self._enrolment, 0)):
            raise TamperedError(f'{self.name}: a certificate for another subject, enrolment or key; drop the message')
        self._certificate, self._certified = found, certified
        self._secret.erase()

    def begin_rekey(self, now: float) -> bytes:
        """Return a request for a session key of the next epoch; it takes the place of one that was not answered.

        Raises
        ------
        UnknownKeyError, ExpiredError
            If the subject signs and has no certificate, or none that is valid now.
        """
        pair = self._bound.kem.generate() if self._terms.has_kem else KeyPair(b'', None)
        epoch = self._epoch + 1
        said = header(Kind.REKEY_REQUEST, self.id, epoch) + secrets.token_bytes(KEY_NONCE_BYTES) + pair.public
        if self._terms.is_signed:
            if self._identity is None or self._certificate is None:
                raise UnknownKeyError(f'{self.name} has no certificate; enrol')
            certificates.check_time(self._certificate, now)
            said += self._certified
            request = said + schedule.sign(self._terms, self._identity.private, Kind.REKEY_REQUEST, said)
        else:
            request = said + schedule.tag(self._terms, extract(self._secret.reveal()), Kind.REKEY_REQUEST, said)
        self._epoch, self._begun = epoch, _Begun(epoch, request, pair.private)
        return request

    def take_answer(self, raw: bytes, now: float) -> bytes:
        """Return the confirmation of a new session key, which opens messages from now on.

        Raises
        ------
        ReplayError
            If no rekey waits for an answer, or another one than this message answers.
        TamperedError
            If it is not the authority's answer to the last request.
        """
        begun = self._begun
        message = self._terms.read(raw, Kind.REKEY_ANSWER)
        if begun is None or message.epoch != begun.epoch:
            raise ReplayError(f'{self.name} waits for no answer of epoch {message.epoch}; drop the message')
        if self._terms.is_signed:
            schedule.check_signature(self._terms, self._authority, message, begun.request)
        key = self._agree(begun, message)
        said = begun.request + message.before('tag')
        schedule.check_tag(self._terms, key, message, said)
        self._begun = None
        self.ring.install(self.id, begun.epoch, schedule.session_key(self._terms, key, said), FOREVER, now)
        confirm, activation = closing(self._terms, key, self.id, begun.epoch, begun.request + raw)
        self._activation = begun.epoch, activation
        return confirm

    def _agree(self, begun: _Begun, message: Message) -> bytes:
        """Return the key that all keys of this exchange are made of."""
        pre_shared = b'' if self._terms.is_signed else self._secret.reveal()
        if not self._terms.has_kem:
            return schedule.pseudorandom_key(pre_shared)
        try:
            secret = self._bound.kem.decapsulate(begun.ephemeral, message.fields['ciphertext'])
        except CryptoError as why:
            raise TamperedError(f'{self.name}: {why}') from None
        return schedule.pseudorandom_key(secret, pre_shared)

    def take_activation(self, raw: bytes, now: float) -> None:
        """Seal under the session key that was confirmed last; earlier ones open for the overlap.

        Raises
        ------
        ReplayError
            If no key waits for its activation, or one of another epoch.
        TamperedError
            If it is not the authority's.
        """
        message = self._terms.read(raw, Kind.KEY_ACTIVATE)
        if self._activation is None or message.epoch != self._activation[0]:
            raise ReplayError(f'{self.name} waits for no activation of epoch {message.epoch}; drop the message')
        schedule.check_equal(message, raw, self._activation[1])
        self.ring.activate(self.id, message.epoch, now)
        self._activation = None

    def _take_key(self, kind: Kind, raw: bytes, now: float) -> tuple[int, bytes, int]:
        """Hold a key that the authority sent; return under which own epoch it came, the key's subject and its epoch."""
        message = self._terms.read(raw, kind)
        if message.subject != self.id:
            raise TamperedError(f'{self.name}: a {kind.name} for another receiver; drop it')
        subject, epoch, valid_until, key = RECORD.unpack(open_letter(self.ring, message, AUTHORITY_ID, now))
        self.ring.install(subject, epoch, key, valid_until, now)
        self.ring.activate(subject, epoch, now)
        return message.epoch, subject, epoch


def closing(terms: Terms, key: bytes, subject: bytes, epoch: int, said: bytes) -> tuple[bytes, bytes]:
    """Return the confirmation and the activation that end an exchange, which both sides know once it is answered."""
    confirm = header(Kind.REKEY_CONFIRM, subject, epoch)
    confirm += schedule.tag(terms, key, Kind.REKEY_CONFIRM, said + confirm)
    activation = header(Kind.KEY_ACTIVATE, subject, epoch)
    return confirm, activation + schedule.tag(terms, key, Kind.KEY_ACTIVATE, said + confirm + activation)
