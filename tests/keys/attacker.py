"""An attacker who recorded everything and gets hold of keys later: derives and opens whatever follows from them."""

from collections.abc import Iterable
from dataclasses import dataclass

from hil.crypto.errors import CryptoError
from hil.crypto.sealing import Direction, OpeningKey
from hil.keys import schedule
from hil.keys.messages import RECORD, Kind, Message
from hil.keys.schedule import Terms

from .hospital import Hospital, Traffic, sender_of

SEALED = (Kind.KEY_RECORD, Kind.KEY_ACKNOWLEDGE, Kind.GROUP_KEY)


@dataclass
class Attacker:
    """What was recorded in a hospital, and what can be opened of it.

    The terms of every exchange are known, as all that is no secret: Kerckhoffs.
    """

    hospital: Hospital

    def opens(self, secrets: Iterable[bytes], privates: Iterable[object] = ()) -> set[bytes]:
        """Return the plaintexts of all recorded traffic that follow from secrets and private keys.

        Each secret is tried as session key, as pre-shared key and as the secret of a KEM; each private key on every
        ciphertext. A key that is found in a record is tried on everything else.
        """
        known = {each for each in secrets if len(each) >= 16}
        keys = known | self._agreed(known, list(privates))
        found: set[bytes] = set()
        letters = self._letters()
        while True:
            more = {RECORD.unpack(plaintext)[3] for letter in letters for plaintext in self._open(letter, keys)
                    if len(plaintext) == RECORD.size} - keys
            if not more:
                break
            keys |= more
        for traffic in self.hospital.traffic:
            found |= self._open(traffic, keys)
        return found

    def _agreed(self, known: set[bytes], privates: list[object]) -> set[bytes]:
        """Return the session keys of all recorded exchanges that follow."""
        keys: set[bytes] = set()
        for terms, request, answer in self._exchanges():
            said = request.raw + answer.before('tag')
            kem_secrets = self._decapsulated(answer, privates)
            pairs = [*((secret, pre_shared) for secret in {b'', *kem_secrets} for pre_shared in {b'', *known}),
                     *((secret, b'') for secret in known)]
            keys |= {schedule.session_key(terms, schedule.pseudorandom_key(*pair), said) for pair in pairs}
        return keys

    def _decapsulated(self, answer: Message, privates: list[object]) -> set[bytes]:
        assert self.hospital.bound
        secrets: set[bytes] = set()
        for private in privates if 'ciphertext' in answer.fields else ():
            try:
                secrets.add(self.hospital.bound.kem.decapsulate(private, answer.fields['ciphertext']))
            except CryptoError:
                continue
        return secrets

    def _exchanges(self) -> Iterable[tuple[Terms, Message, Message]]:
        """Yield every request for a session key with its answer."""
        assert self.hospital.bound
        trust = {each.name: each.trust for each in self.hospital.commissions}
        terms = {self.hospital.subject(name).id: Terms(self.hospital.bound, trust[name]) for name in trust}
        requests: dict[tuple[bytes, int], Message] = {}
        for raw in self.hospital.tape:
            kind, subject = Kind(raw[0]), raw[2:18]
            if kind == Kind.REKEY_REQUEST:
                message = terms[subject].read(raw, kind)
                requests[subject, message.epoch] = message
            if kind == Kind.REKEY_ANSWER:
                message = terms[subject].read(raw, kind)
                yield terms[subject], requests[subject, message.epoch], message

    def _letters(self) -> list[Traffic]:
        """Return all sealed messages of key life."""
        assert self.hospital.bound
        terms = Terms(self.hospital.bound, 'signed')
        messages = [terms.read(raw, Kind(raw[0])) for raw in self.hospital.tape if Kind(raw[0]) in SEALED]
        return [Traffic(each.subject, each.epoch, sender_of(each.kind, each.subject), each.sealed, each.header)
                for each in messages]

    def _open(self, traffic: Traffic, keys: set[bytes]) -> set[bytes]:
        assert self.hospital.bound
        direction = Direction.UP if traffic.subject == traffic.sender else Direction.DOWN
        found: set[bytes] = set()
        for key in keys:
            opening = OpeningKey(self.hospital.bound.aead, key, direction, traffic.sender.hex())
            try:
                found.add(opening.open(traffic.sealed, traffic.associated_data).plaintext)
            except CryptoError:
                continue
        return found
