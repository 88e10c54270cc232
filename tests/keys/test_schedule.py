"""The key schedule against docs/key-life.md, computed here with nothing but HMAC, SHA-256 and the AEAD."""

import hashlib
import hmac
import struct

import pytest

from hil.crypto.suites import bind
from hil.keys import certificates, schedule
from hil.keys.certificates import Certificate
from hil.keys.errors import TamperedError
from hil.keys.messages import Kind
from hil.keys.schedule import Terms

from .hospital import NOW, PROVIDER, Hospital

SUITE = bind('classical', PROVIDER)
TERMS = Terms(SUITE, 'signed')
NAMES = [b'iomtwin key life 1', b'AES-128-GCM', b'X25519', b'ECDSA-P256', b'signed']


def context(purpose: bytes) -> bytes:
    """Return the parts of the page, each with two bytes of length before it."""
    return b''.join(bytes([0, len(part)]) + part for part in (*NAMES, purpose))


def hkdf(secret: bytes, info: bytes) -> bytes:
    """Return the first 32 bytes of RFC 5869 without salt."""
    key = hmac.digest(bytes(32), secret, 'sha256')
    return hmac.digest(key, info + b'\x01', 'sha256')


def test_a_session_key_is_what_the_page_says() -> None:
    """KEM secret and pre-shared key, one behind the other; the hash of all that was said in what is expanded."""
    expected = hkdf(b'kem secret' + b'pre-shared', context(b'session key') + hashlib.sha256(b'said').digest())
    key = schedule.pseudorandom_key(b'kem secret', b'pre-shared')
    assert schedule.session_key(TERMS, key, b'said') == expected


def test_a_tag_is_what_the_page_says() -> None:
    """A key that depends on kind and transcript, the zero nonce, no plaintext, and the hash as associated data."""
    digest = hashlib.sha256(b'said').digest()
    once = hkdf(b'secret', context(b'tag of REKEY_CONFIRM') + digest)[:16]
    tag = schedule.tag(TERMS, schedule.pseudorandom_key(b'secret'), Kind.REKEY_CONFIRM, b'said')
    assert tag == SUITE.aead.seal(once, bytes(12), b'', digest)
    assert len(tag) == 16


def test_a_signature_is_over_what_the_page_says() -> None:
    """The verifier of ECDSA itself, over context and transcript."""
    pair = SUITE.signature.generate()
    signature = schedule.sign(TERMS, pair.private, Kind.REKEY_REQUEST, b'said')
    SUITE.signature.verify(pair.public, context(b'signature of REKEY_REQUEST') + b'said', signature)


def test_a_certificate_is_signed_as_the_page_says() -> None:
    """Its fields by hand, and what sets a certificate's signature apart from all others."""
    pair = SUITE.signature.generate()
    certificate = Certificate(b'i' * 16, 7, 1, 2, b'k' * 65)
    raw = certificates.issue(SUITE.signature, pair.private, certificate)
    fields = struct.pack('>16sQQQ', b'i' * 16, 7, 1, 2) + b'k' * 65
    assert raw[:-64] == fields
    apart = b'\x00\x15iomtwin certificate 1' + b'\x00\x0aECDSA-P256'
    SUITE.signature.verify(pair.public, apart + fields, raw[-64:])
    assert certificates.check(SUITE.signature, pair.public, raw, 1.0) == certificate


def test_both_sides_come_to_the_key_of_their_transcript() -> None:
    """A whole exchange without KEM: from the pre-shared key and the recorded bytes alone, by the page."""
    hospital = Hospital('classical', 'pre-shared', places=())
    hospital.begin('pump-1')
    request, answer = hospital.tape[0], hospital.tape[1]
    info = b''.join(bytes([0, len(part)]) + part for part in (*NAMES[:-1], b'pre-shared', b'session key'))
    expected = hkdf(hospital.commissions[0].secret, info + hashlib.sha256(request + answer[:-16]).digest())
    device = hospital.device['pump-1']
    epoch = device.ring.active(device.id)
    assert device.ring.session_key(device.id, epoch, NOW) == expected
    assert hospital.authority._ring.session_key(device.id, epoch, NOW) == expected


def test_a_tag_of_anything_else_is_refused() -> None:
    """Another secret, kind, trust or transcript gives another tag, and the check says so."""
    key = schedule.pseudorandom_key(b'secret')
    right = schedule.tag(TERMS, key, Kind.REKEY_CONFIRM, b'said')
    others = [schedule.tag(TERMS, schedule.pseudorandom_key(b'other'), Kind.REKEY_CONFIRM, b'said'),
              schedule.tag(TERMS, key, Kind.KEY_ACTIVATE, b'said'),
              schedule.tag(TERMS, key, Kind.REKEY_CONFIRM, b'sai'),
              schedule.tag(Terms(SUITE, 'pre-shared'), key, Kind.REKEY_CONFIRM, b'said')]
    message = TERMS.read(bytes([Kind.REKEY_CONFIRM, 1]) + bytes(24) + right, Kind.REKEY_CONFIRM)
    schedule.check_tag(TERMS, key, message, b'said')
    for other in others:
        with pytest.raises(TamperedError):
            schedule.check_equal(message, other, right)
