"""The authority: certifies identities, agrees on session keys, hands them to places, and revokes.

A device's key goes to every place that is in service, sealed for each under that place's own session key; only when all
have acknowledged it is the device told to seal under it. A place that comes into service later gets all that it lacks.
What the authority returns is letters: messages with the name of their receiver. All of them may be sent again.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from hil.crypto.errors import CryptoError, ReplayError
from hil.crypto.interfaces import Encapsulation
from hil.crypto.key_derivation import extract
from hil.crypto.suites import BoundSuite
from hil.keys import certificates, schedule
from hil.keys.certificates import Certificate
from hil.keys.errors import TamperedError, UnknownKeyError
from hil.keys.letters import Letter, open_letter, seal_letter
from hil.keys.messages import (
    ACKNOWLEDGED,
    AUTHORITY_ID,
    RECORD,
    SINCE,
    Kind,
    Message,
    enrolment_of,
    epoch_of,
    group_id,
    header,
    last_epoch,
)
from hil.keys.parties import Begun, Group, Party, Register, Role
from hil.keys.rings import KeyRing
from hil.keys.schedule import Terms
from hil.keys.secret import Secret
from hil.keys.subjects import Commission, closing
from sim.errors import InputError
from sim.wire import KEY_BYTES, KEY_NONCE_BYTES, Trust

CLOCK_SKEW_S = 300  # RFC 4120 §8.2: five minutes; a certificate is valid from so long before it was issued


@dataclass(frozen=True)
class Periods:
    """How long things last. NIST SP 800-57 part 1 rev. 5, 5.3.6, has the orders of magnitude."""

    key_s: float  # a session key or a group key
    certificate_s: float
    overlap_s: float  # how long an epoch opens beside a later one


class Authority:
    """The hospital's key authority.

    Invariant: an epoch of a subject is answered once, a key goes to places only after its subject confirmed it, and to
    nobody once its subject is revoked.
    """

    def __init__(self, bound: BoundSuite, periods: Periods) -> None:
        self._bound, self._periods = bound, periods
        self._identity = bound.signature.generate()
        self.public = self._identity.public
        self._ring = KeyRing(bound.aead, AUTHORITY_ID, periods.overlap_s)
        self._register = Register()
        self._groups: dict[bytes, Group] = {}
        self._notices: dict[bytes, bytes] = {}

    def commission(self, name: str, trust: Trust, role: Role = 'device') -> Commission:
        """Return what a new subject, or one that was revoked, is given by hand.

        Raises
        ------
        InputError
            If the name is in use, or a place would have no forward secrecy: the keys of all devices are sealed for it.
        """
        if role == 'place' and trust == 'pre-shared':
            raise InputError(f"the place '{name}' has trust 'pre-shared', with which recorded keys of devices can be "
                             "opened later; choose 'signed' or 'pre-shared-kem'")
        secret = secrets.token_bytes(KEY_BYTES)
        party = self._register.add(name, role, trust, secret)
        return Commission(name, trust, party.enrolment, secret, self.public)

    def answer_enrolment(self, raw: bytes, now: float) -> bytes:
        """Return the certificate for a subject that knows its one-time secret; the same one if it asks again.

        Raises
        ------
        UnknownKeyError, RevokedError
            If nobody of this name is commissioned, or it was revoked.
        ReplayError
            If its secret was used for another request.
        TamperedError
            If the subject does not know the secret, or does not own the public key.
        """
        party, terms = self._find(raw)
        message, digest = terms.read(raw, Kind.ENROL_REQUEST), hashlib.sha256(raw).digest()
        if party.enrolled:
            if digest != party.enrolled:
                raise ReplayError(f'{party.name}: its one-time secret was used for another request; drop the message')
            return party.answer
        if not terms.is_signed or message.epoch:
            raise TamperedError(f'{party.name}: a request for a certificate that it cannot have; drop the message')
        schedule.check_tag(terms, extract(party.secret.reveal()), message, message.before('tag'))
        public = message.fields['public']
        schedule.check_signature(terms, public, message)
        certificate = Certificate(party.id, party.enrolment, max(0, int(now) - CLOCK_SKEW_S),
                                  int(now + self._periods.certificate_s), public)
        party.answer = header(Kind.ENROL_ANSWER, party.id, epoch_of(party.enrolment, 0)) + certificates.issue(
            self._bound.signature, self._identity.private, certificate)
        party.enrolled = digest
        party.secret.erase()
        return party.answer

    def answer_rekey(self, raw: bytes, now: float) -> bytes:
        """Return the answer to a request for a session key; it takes the place of one that was not confirmed.

        Raises
        ------
        UnknownKeyError, RevokedError
            If nobody of this name is commissioned, or it was revoked.
        ReplayError
            If the epoch, or a later one, was asked for before, or is of another enrolment.
        TamperedError, ExpiredError
            If the subject did not make the request, or its certificate is not valid now.
        """
        party, terms = self._find(raw)
        message = terms.read(raw, Kind.REKEY_REQUEST)
        if not party.asked < message.epoch <= last_epoch(party.enrolment):
            raise ReplayError(f'{party.name}: epoch {message.epoch} is asked for after {party.asked}; drop the message')
        self._authenticate(party, terms, message, now)
        sent = self._encapsulate(terms, message)
        nonce = secrets.token_bytes(KEY_NONCE_BYTES)
        said = header(Kind.REKEY_ANSWER, party.id, message.epoch) + nonce + sent.ciphertext
        key = schedule.pseudorandom_key(sent.secret, b'' if terms.is_signed else party.secret.reveal())
        session = schedule.session_key(terms, key, raw + said)
        answer = said + schedule.tag(terms, key, Kind.REKEY_ANSWER, raw + said)
        if terms.is_signed:
            answer += schedule.sign(terms, self._identity.private, Kind.REKEY_ANSWER, raw + answer)
        if party.begun:
            party.begun.key.erase()
        party.begun = Begun(message.epoch, Secret(session), *closing(terms, key, party.id, message.epoch, raw + answer))
        party.asked = message.epoch
        return answer

    def take_confirmation(self, raw: bytes, now: float) -> list[Letter]:
        """Use a session key from now on; return the letters that follow.

        Of a device's key these are the records to places; of a place's, its activation and what it lacks.

        Raises
        ------
        UnknownKeyError, RevokedError
            If nobody of this name is commissioned, or it was revoked.
        ReplayError
            If no key of this epoch waits for its confirmation.
        TamperedError
            If it is not the subject's.
        """
        party, terms = self._find(raw)
        message, begun = terms.read(raw, Kind.REKEY_CONFIRM), party.begun
        if begun is None or message.epoch != begun.epoch:
            raise ReplayError(f'{party.name}: no key of epoch {message.epoch} waits for a confirmation; drop it')
        schedule.check_equal(message, raw, begun.confirm)
        valid_until = int(now + self._periods.key_s)
        self._ring.install(party.id, begun.epoch, begun.key.reveal(), valid_until, now)
        self._ring.activate(party.id, begun.epoch, now)
        party.epoch, party.valid_until, party.activation = begun.epoch, valid_until, begun.activation
        party.is_activated, party.acknowledged = False, {}
        begun.key.erase()
        party.begun = None
        return self.outstanding(party.name, now)

    def take_acknowledgement(self, raw: bytes, now: float) -> list[Letter]:
        """Note that a place has a key; return the activation of that key if this was the last place.

        Raises
        ------
        CryptoError
            As `KeyRing.open` has it, or if it comes from nobody who is commissioned.
        """
        place, terms = self._find(raw)
        message = terms.read(raw, Kind.KEY_ACKNOWLEDGE)
        subject, epoch = ACKNOWLEDGED.unpack(open_letter(self._ring, message, place.id, now))
        holder = self._groups.get(subject) or self._register.get(subject)
        if holder is None or epoch != holder.epoch:
            return []  # of a key that was replaced meanwhile
        holder.acknowledged[place.id] = place.enrolment
        return [] if isinstance(holder, Group) or holder.is_activated else self._activation(holder, now)

    def outstanding(self, name: str, now: float) -> list[Letter]:
        """Return what may have been lost of the letters about a subject's key, or to a place.

        Of a device's key these are the records that places have not acknowledged, or else its activation. A place gets
        its activation, the records that it has not acknowledged, and all notices. No record is sent a second time
        without need: sealed under a later key of the place, it would have to be kept secret for longer.

        Raises
        ------
        UnknownKeyError
            If nobody of this name is commissioned.
        """
        party = self._register.named(name)
        if not party.is_live(now):
            return []
        if party.role == 'device':
            lacking = [each for each in self._register.live('place', now) if not each.has_key_of(party)]
            return [self._record(place, party, now) for place in lacking] or self._activation(party, now)
        groups = [each for each in self._groups.values() if now < each.valid_until]
        holders: list[Party | Group] = [*self._register.live('device', now), *groups]
        notices = dict.fromkeys(self._notices.values())  # one may be about several
        return [*self._activation(party, now), *(Letter(name, notice) for notice in notices),
                *(self._record(party, each, now) for each in holders if not party.has_key_of(each))]

    def share_group_key(self, name: str, members: Iterable[str], now: float) -> list[Letter]:
        """Return a new key of a group for its members and for all places.

        Raises
        ------
        UnknownKeyError
            If a member has no session key.
        """
        before, after = self._groups.get(group_id(name)), frozenset(members)
        parties = [self._register.named(member) for member in sorted(after)]
        for each in parties:
            if not each.is_live(now):
                raise UnknownKeyError(f"'{each.name}' of the group '{name}' has no session key; it must agree on one")
        if before is None:
            epoch = epoch_of(1, 1)
        else:  # who leaves knows the old key, which then must not open anything for the overlap
            epoch = before.epoch + 1 if before.members <= after else epoch_of(enrolment_of(before.epoch) + 1, 1)
        group = Group(name, after, epoch, int(now + self._periods.key_s))
        self._ring.install(group.id, epoch, secrets.token_bytes(KEY_BYTES), group.valid_until, now)
        self._ring.activate(group.id, epoch, now)
        self._groups[group.id] = group
        return [*(self._sealed(Kind.GROUP_KEY, each, group, now) for each in parties),
                *(self._record(each, group, now) for each in self._register.live('place', now))]

    def revoke(self, names: Iterable[str], now: float) -> list[Letter]:
        """Revoke subjects for good; return notices, and new keys of their groups for those who remain.

        One notice is about all who are revoked at once. Who revokes a place must also have all devices agree on new
        keys: it holds those that they have. If activations waited for that place alone, they are among the letters.

        Raises
        ------
        UnknownKeyError
            If nobody of one of the names is commissioned.
        """
        parties = [self._register.named(name) for name in names]
        fresh = [each for each in parties if not each.is_revoked]
        for each in fresh:
            each.is_revoked = True
            each.erase()
            self._ring.revoke(each.id, last_epoch(each.enrolment))
        if fresh:
            self._notices |= dict.fromkeys((each.id for each in fresh), self._notice(fresh, now))
        notices = dict.fromkeys(self._notices[each.id] for each in parties)
        letters = [Letter(place.name, notice) for place in self._register.live('place', now) for notice in notices]
        revoked = {each.name for each in parties}
        for group in [each for each in self._groups.values() if revoked & each.members]:
            remaining = [member for member in group.members if self._register.named(member).is_live(now)]
            letters += self.share_group_key(group.name, remaining, now)
        waiting = [each for each in self._register.live('device', now) if not each.is_activated]
        return letters + [letter for each in waiting for letter in self._activation(each, now)]

    def _notice(self, parties: list[Party], now: float) -> bytes:
        """Return the signed notice that parties are revoked, in all enrolments that there were so far."""
        first, *others = (each.id for each in parties)
        head = header(Kind.REVOKE_NOTICE, first, last_epoch(self._register.n_enrolments))
        said = head + SINCE.pack(int(now)) + b''.join(others)
        return said + schedule.sign(Terms(self._bound, 'signed'), self._identity.private, Kind.REVOKE_NOTICE, said)

    def forget(self, now: float) -> None:
        """Erase all session keys that have ended."""
        self._ring.forget(now)

    def _find(self, raw: bytes) -> tuple[Party, Terms]:
        """Return whom a message is about, and the terms by which it is read."""
        party = self._register.find(raw)
        return party, Terms(self._bound, party.trust)

    def _authenticate(self, party: Party, terms: Terms, message: Message, now: float) -> None:
        """Refuse a request for a session key that the subject did not make."""
        if not terms.is_signed:
            schedule.check_tag(terms, extract(party.secret.reveal()), message, message.before('tag'))
            return
        found = certificates.check(self._bound.signature, self.public, message.fields['certificate'], now)
        if (found.subject, found.serial) != (party.id, party.enrolment):
            raise TamperedError(f'{party.name}: the certificate is for another subject or enrolment; drop the message')
        schedule.check_signature(terms, found.public, message)

    def _encapsulate(self, terms: Terms, message: Message) -> Encapsulation:
        """Return a fresh secret for the ephemeral public key of a request; an empty one where there is no KEM."""
        if not terms.has_kem:
            return Encapsulation(b'', b'')
        try:
            return self._bound.kem.encapsulate(message.fields['public'])
        except CryptoError as why:
            raise TamperedError(f'REKEY_REQUEST: {why}') from None

    def _activation(self, party: Party, now: float) -> list[Letter]:
        """Return the activation of a key, once all have it who need it: a device's key all places, a place's nobody."""
        if party.role == 'device' and not all(each.has_key_of(party) for each in self._register.live('place', now)):
            return []
        party.is_activated = True
        return [Letter(party.name, party.activation)]

    def _record(self, place: Party, holder: Party | Group, now: float) -> Letter:
        return self._sealed(Kind.KEY_RECORD, place, holder, now)

    def _sealed(self, kind: Kind, receiver: Party, holder: Party | Group, now: float) -> Letter:
        """Return the key of a device or a group, sealed for one receiver."""
        key = self._ring.session_key(holder.id, holder.epoch, now)
        content = RECORD.pack(holder.id, holder.epoch, holder.valid_until, key)
        return Letter(receiver.name, seal_letter(self._ring, self._bound.suite, kind, receiver.id, content, now))
