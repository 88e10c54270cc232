"""Places: subjects that open the messages of devices, with keys that the authority sends to each of them.

All places hold the same session key of a device, and trust each other: any of them could seal in the device's name.
"""

from dataclasses import dataclass

from hil.keys import schedule
from hil.keys.letters import seal_letter
from hil.keys.messages import ACKNOWLEDGED, SINCE, Kind
from hil.keys.schedule import Terms
from hil.keys.subjects import Subject
from sim.wire import SUBJECT_BYTES


@dataclass(frozen=True)
class Notice:
    """What a notice said: the epochs of subjects up to this one are refused; since when their messages are in doubt."""

    subjects: tuple[bytes, ...]
    epoch: int
    since: int  # unix seconds


class Place(Subject):
    """A worker that opens devices' messages, or the server; its ring holds their keys beside its own."""

    def take_record(self, raw: bytes, now: float) -> bytes:
        """Hold another's session key, or a group's, from now on; return the acknowledgement.

        Raises
        ------
        CryptoError
            As `KeyRing.open` and `KeyRing.install` have it.
        """
        own_epoch, subject, epoch = self._take_key(Kind.KEY_RECORD, raw, now)
        # What a place seals under its own key goes to the authority alone, which has confirmed the epoch it writes in.
        self.ring.activate(self.id, own_epoch, now)
        content = ACKNOWLEDGED.pack(subject, epoch)
        return seal_letter(self.ring, self._bound.suite, Kind.KEY_ACKNOWLEDGE, self.id, content, now)

    def take_notice(self, raw: bytes) -> Notice:
        """Refuse subjects' messages from now on; only keys of a later enrolment are taken for them again.

        Raises
        ------
        TamperedError
            If the authority did not sign it.
        """
        terms = Terms(self._bound, 'signed')  # whatever this place has in common with the authority
        message = terms.read(raw, Kind.REVOKE_NOTICE)
        schedule.check_signature(terms, self._authority, message)
        others = message.fields['others']
        subjects = message.subject, *(others[at:at + SUBJECT_BYTES] for at in range(0, len(others), SUBJECT_BYTES))
        for subject in subjects:
            self.ring.revoke(subject, message.epoch)
        return Notice(subjects, message.epoch, *SINCE.unpack(message.fields['since']))
