"""Certificates: the authority's word that a public key is a subject's, from one time until another.

Ours and no X.509: the fields of `Certificate` in order, with fixed lengths, and the authority's signature of them. It
names no KEM: a certificate is good for every suite with its signature.
"""

import struct
from dataclasses import dataclass, field

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Signature
from hil.crypto.key_derivation import label
from hil.keys.errors import ExpiredError, TamperedError
from hil.keys.messages import cut
from sim.wire import CERTIFICATE_FIELDS_BYTES, SIGNATURE_BYTES, SIGNATURE_PUBLIC_KEY_BYTES, SUBJECT_BYTES

LABEL = b'iomtwin certificate 1'
FIELDS = struct.Struct(f'>{SUBJECT_BYTES}sQQQ')  # subject's id, serial number, valid from, valid until


@dataclass(frozen=True)
class Certificate:
    """What a certificate says; times are unix seconds, the last one is not included."""

    subject: bytes
    serial: int
    valid_from: int
    valid_until: int
    public: bytes = field(repr=False)


def issue(signature: Signature, private: object, certificate: Certificate) -> bytes:
    """Return a certificate as bytes, signed with the authority's private key."""
    fields = FIELDS.pack(certificate.subject, certificate.serial, certificate.valid_from, certificate.valid_until)
    said = fields + certificate.public
    return said + signature.sign(private, _to_sign(signature, said))


def check(signature: Signature, authority: bytes, raw: bytes, now: float) -> Certificate:
    """Return what a certificate says if the owner of the authority's public key signed it and it is valid now.

    Raises
    ------
    TamperedError
        If the signature does not fit.
    ExpiredError
        If it is not valid yet, or not any longer.
    """
    n_public = SIGNATURE_PUBLIC_KEY_BYTES[signature.name]
    parts = cut(raw, {'fields': CERTIFICATE_FIELDS_BYTES, 'public': n_public,
                      'signature': SIGNATURE_BYTES[signature.name]})
    try:
        signature.verify(authority, _to_sign(signature, parts['fields'] + parts['public']), parts['signature'])
    except CryptoError as why:
        raise TamperedError(f'certificate: {why}') from None
    subject, serial, valid_from, valid_until = FIELDS.unpack(parts['fields'])
    found = Certificate(subject, serial, valid_from, valid_until, parts['public'])
    check_time(found, now)
    return found


def check_time(certificate: Certificate, now: float) -> None:
    """Refuse a certificate that is not valid now.

    Raises
    ------
    ExpiredError
        If so.
    """
    if not certificate.valid_from <= now < certificate.valid_until:
        raise ExpiredError(f'a certificate is valid from {certificate.valid_from} until {certificate.valid_until}, and '
                           f'it is {now:.0f}; enrol again, or look at the clock')


def _to_sign(signature: Signature, said: bytes) -> bytes:
    return label(LABEL, signature.name.encode()) + said
