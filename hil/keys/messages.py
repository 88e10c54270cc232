"""The messages of a key's life as tables of fields: big-endian, of fixed lengths, with a header before them.

The header is kind, version, id of the subject, epoch. The subject is whose key the message is about; of a sealed
message it is the one whose session key seals it. A message with a byte too many or too few is refused. Only a notice
has no fixed length: it may be about several subjects, of which the header has the first.

An epoch is two numbers: the subject's enrolment in its upper half, and a count within it in the lower one. So a later
epoch is a greater number, also after a subject was enrolled again. As no two enrolments of a hospital have one number,
a single epoch says how far several subjects are revoked: up to the last of the latest enrolment of anybody.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hil.crypto.sealing import Sealed
from hil.keys.errors import TamperedError
from sim.suites import Suite
from sim.wire import (
    ACKNOWLEDGED_BYTES,
    AEAD_NONCE_BYTES,
    AEAD_TAG_BYTES,
    BOOT_ID_BYTES,
    KEM_CIPHERTEXT_BYTES,
    KEM_PUBLIC_KEY_BYTES,
    KEY_BYTES,
    KEY_HEADER_BYTES,
    KEY_NONCE_BYTES,
    KEY_RECORD_BYTES,
    NOTICE_FIELDS_BYTES,
    SIGNATURE_BYTES,
    SIGNATURE_PUBLIC_KEY_BYTES,
    SUBJECT_BYTES,
    Trust,
    certificate_bytes,
)

VERSION = 1
HEADER = struct.Struct(f'>BB{SUBJECT_BYTES}sQ')  # kind, version, subject's id, epoch
RECORD = struct.Struct(f'>{SUBJECT_BYTES}sQQ{KEY_BYTES}s')  # id of a subject or a group, epoch, valid until, its key
ACKNOWLEDGED = struct.Struct(f'>{SUBJECT_BYTES}sQ')  # id and epoch of a record
SINCE = struct.Struct('>Q')  # unix seconds
COUNT_BITS = 32  # of an epoch: the count within one enrolment


class Kind(IntEnum):
    """What a message is."""

    ENROL_REQUEST = 1
    ENROL_ANSWER = 2
    REKEY_REQUEST = 3
    REKEY_ANSWER = 4
    REKEY_CONFIRM = 5
    KEY_RECORD = 6
    KEY_ACKNOWLEDGE = 7
    KEY_ACTIVATE = 8
    REVOKE_NOTICE = 9
    GROUP_KEY = 10


@dataclass(frozen=True)
class Message:
    """A message that was read, of which nothing but its form has been checked."""

    kind: Kind
    subject: bytes
    epoch: int
    fields: Mapping[str, bytes] = field(repr=False)
    raw: bytes = field(repr=False)

    def before(self, name: str) -> bytes:
        """Return all that stands before a field, which is what a tag or a signature in it is over."""
        names = list(self.fields)
        n_behind = sum(len(self.fields[each]) for each in names[names.index(name):])
        return self.raw[:len(self.raw) - n_behind]

    @property
    def header(self) -> bytes:
        """Return the header, which is the associated data of a sealed message."""
        return self.raw[:KEY_HEADER_BYTES]

    @property
    def sealed(self) -> Sealed:
        """Return what a sealed message carries."""
        counter = int.from_bytes(self.fields['counter'], 'big')
        return Sealed(self.fields['boot_id'], counter, self.fields['sealed'])


def layout(kind: Kind, suite: Suite, trust: Trust) -> dict[str, int]:
    """Return the fields behind the header of one kind of message, in order, with their lengths in bytes.

    Of a notice, these are the lengths if it is about one subject; the ids of others would be between its fields.
    """
    signature, tag = {'signature': SIGNATURE_BYTES[suite.signature]}, {'tag': AEAD_TAG_BYTES}
    nonce = {'nonce': KEY_NONCE_BYTES}
    has_kem, is_signed = trust != 'pre-shared', trust == 'signed'
    match kind:
        case Kind.ENROL_REQUEST:
            return nonce | {'public': SIGNATURE_PUBLIC_KEY_BYTES[suite.signature]} | tag | signature
        case Kind.ENROL_ANSWER:
            return {'certificate': certificate_bytes(suite.signature)}
        case Kind.REKEY_REQUEST:
            public = {'public': KEM_PUBLIC_KEY_BYTES[suite.kem]} if has_kem else {}
            certified = {'certificate': certificate_bytes(suite.signature)} | signature
            return nonce | public | (certified if is_signed else tag)
        case Kind.REKEY_ANSWER:
            ciphertext = {'ciphertext': KEM_CIPHERTEXT_BYTES[suite.kem]} if has_kem else {}
            return nonce | ciphertext | tag | (signature if is_signed else {})
        case Kind.REKEY_CONFIRM | Kind.KEY_ACTIVATE:
            return tag
        case Kind.KEY_RECORD | Kind.GROUP_KEY:
            return _sealed(suite, KEY_RECORD_BYTES)
        case Kind.KEY_ACKNOWLEDGE:
            return _sealed(suite, ACKNOWLEDGED_BYTES)
        case Kind.REVOKE_NOTICE:
            return {'since': NOTICE_FIELDS_BYTES, 'others': 0} | signature


def _sealed(suite: Suite, n_bytes: int) -> dict[str, int]:
    return {'boot_id': BOOT_ID_BYTES, 'counter': AEAD_NONCE_BYTES[suite.aead], 'sealed': n_bytes + AEAD_TAG_BYTES}


def header(kind: Kind, subject: bytes, epoch: int) -> bytes:
    """Return the header of a message."""
    return HEADER.pack(kind, VERSION, subject, epoch)


def sealed_fields(suite: Suite, message: Sealed) -> bytes:
    """Return a sealed message's fields as bytes."""
    return message.boot_id + message.counter.to_bytes(AEAD_NONCE_BYTES[suite.aead], 'big') + message.body


def read_subject(raw: bytes) -> bytes:
    """Return the id of the subject that a message is about, by which its receiver knows how to read the rest.

    Raises
    ------
    TamperedError
        If the message is shorter than a header.
    """
    if len(raw) < KEY_HEADER_BYTES:
        raise TamperedError(f'a message of {len(raw)} bytes; a header alone has {KEY_HEADER_BYTES}; drop it')
    subject: bytes = HEADER.unpack_from(raw)[2]
    return subject


def read(raw: bytes, kind: Kind, suite: Suite, trust: Trust = 'signed') -> Message:
    """Return the parts of a message.

    Raises
    ------
    TamperedError
        If it is of another kind, version or length.
    """
    lengths = layout(kind, suite, trust)
    n_bytes = KEY_HEADER_BYTES + sum(lengths.values())
    if 'others' in lengths:
        lengths['others'] = max(0, len(raw) - n_bytes) // SUBJECT_BYTES * SUBJECT_BYTES
        n_bytes += lengths['others']
    if len(raw) != n_bytes:
        raise TamperedError(f'{kind.name}: a message of {len(raw)} bytes; expected {n_bytes}; drop it')
    found, version, subject, epoch = HEADER.unpack_from(raw)
    if (found, version) != (kind, VERSION):
        raise TamperedError(f'{kind.name}: a message of kind {found}, version {version}; expected {kind.value}, '
                            f'version {VERSION}; drop it')
    return Message(kind, subject, epoch, cut(raw[KEY_HEADER_BYTES:], lengths), raw)


def cut(data: bytes, lengths: Mapping[str, int]) -> dict[str, bytes]:
    """Return fields that lie one behind the other."""
    fields, at = {}, 0
    for name, n_bytes in lengths.items():
        fields[name] = data[at:at + n_bytes]
        at += n_bytes
    return fields


def subject_id(name: str) -> bytes:
    """Return the id of a device, a place or the authority by its name."""
    return _id(name, b'iomtwin subject')


def group_id(name: str) -> bytes:
    """Return the id of a group by its name; no subject has it."""
    return _id(name, b'iomtwin group')


def _id(name: str, person: bytes) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=SUBJECT_BYTES, person=person).digest()


AUTHORITY_ID = _id('authority', b'iomtwin hospital')  # of the one authority; no subject and no group has it


def epoch_of(enrolment: int, count: int) -> int:
    """Return an epoch by the number of the enrolment and the count within it."""
    return enrolment << COUNT_BITS | count


def last_epoch(enrolment: int) -> int:
    """Return the last epoch that an enrolment can have."""
    return epoch_of(enrolment, 2**COUNT_BITS - 1)


def enrolment_of(epoch: int) -> int:
    """Return the number of the enrolment that an epoch belongs to."""
    return epoch >> COUNT_BITS
