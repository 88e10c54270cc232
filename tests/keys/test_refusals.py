"""Whatever is changed in whatever message is refused, with the outcome that its receiver acts on."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.crypto.errors import CryptoError, ExhaustedError, ReplayError
from hil.crypto.sealing import BOOTS_MAX, Direction, SealingKey
from hil.keys.errors import RevokedError, TamperedError, UnknownKeyError
from hil.keys.messages import Kind, layout
from sim.suites import SUITES
from sim.wire import SIGNATURE_BYTES, SIGNATURE_PUBLIC_KEY_BYTES, Trust

from .hospital import NOW, Hospital, Tap, opened

HEADER = {'kind': 1, 'version': 1, 'subject': 16, 'epoch': 8}
TO_AUTHORITY = {Kind.ENROL_REQUEST, Kind.REKEY_REQUEST, Kind.REKEY_CONFIRM, Kind.KEY_ACKNOWLEDGE}
# A changed epoch is one that is over, or that is not there; of the rest a signature tells.
BY_EPOCH: dict[Kind, type[CryptoError]] = {
    Kind.REKEY_REQUEST: ReplayError, Kind.REKEY_ANSWER: ReplayError, Kind.REKEY_CONFIRM: ReplayError,
    Kind.KEY_ACTIVATE: ReplayError, Kind.KEY_RECORD: UnknownKeyError, Kind.KEY_ACKNOWLEDGE: UnknownKeyError,
    Kind.GROUP_KEY: UnknownKeyError}


def fields(kind: Kind, suite: str, trust: Trust) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and length of all fields of a message, those of a certificate one by one."""
    names, at = SUITES[suite], 0
    certificate = {'owner': 16, 'serial': 8, 'from': 8, 'until': 8, 'certified': SIGNATURE_PUBLIC_KEY_BYTES[
        names.signature], 'authority': SIGNATURE_BYTES[names.signature]}
    for name, n_bytes in (HEADER | layout(kind, names, trust)).items():
        for part, n_part in (certificate if name == 'certificate' else {name: n_bytes}).items():
            yield part, at, n_part
            at += n_part


def flip(raw: bytes, bit: int) -> bytes:
    """Return a message with one bit changed."""
    changed = bytearray(raw)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


def expected(kind: Kind, name: str) -> type[CryptoError]:
    """Return the outcome of a changed field."""
    if name == 'subject' and kind in TO_AUTHORITY:
        return UnknownKeyError
    return BY_EPOCH.get(kind, TamperedError) if name == 'epoch' else TamperedError


def life(suite: str, trust: Trust, tap: Tap) -> Hospital:
    """Let one place and two devices live through every kind of message, under a tap."""
    hospital = Hospital(suite, trust, places=('server',), devices=('pump-1', 'pump-2'))
    hospital.begin('server')  # it may have another trust
    hospital.taps.append(tap)
    hospital.begin('pump-1', 'pump-2')
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    hospital.deliver(hospital.authority.revoke(['pump-1'], NOW))
    return hospital


@pytest.mark.parametrize('name', ['classical', 'pqc-768', 'hybrid'])
def test_every_field_of_every_message_counts(name: str, trust: Trust) -> None:
    """First and last bit of each field changed, before the real message comes: its outcome, and then the real one."""
    tried: set[tuple[Kind, str]] = set()

    def change(kind: Kind, raw: bytes, take: Callable[[bytes], object]) -> None:
        for field, at, n_bytes in fields(kind, name, trust):
            for bit in (8 * at, 8 * (at + n_bytes) - 1):
                with pytest.raises(CryptoError) as refused:
                    take(flip(raw, bit))
                assert type(refused.value) is expected(kind, field), (kind, field, refused.value)
            tried.add((kind, field))

    hospital = life(name, trust, change)
    assert opened(hospital.place['server'], hospital.up('pump-2')).plaintext == b'pressure'
    kinds = set(Kind) if trust == 'signed' else set(Kind) - {Kind.ENROL_REQUEST, Kind.ENROL_ANSWER}
    assert tried == {(kind, field) for kind in kinds for field, _, _ in fields(kind, name, trust)}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize('trust', ['signed', 'pre-shared-kem', 'pre-shared'])
def test_any_bit_of_any_message_counts(trust: Trust, seed: int) -> None:
    """Eight bits anywhere in each message of a life, drawn by hypothesis: each refused, and the real message taken."""
    def change(kind: Kind, raw: bytes, take: Callable[[bytes], object]) -> None:
        for i in range(8):
            with pytest.raises(CryptoError):
                take(flip(raw, (seed * 8_191 + i * 7_919 + kind * 104_729) % (8 * len(raw))))

    hospital = life('classical', trust, change)
    assert opened(hospital.place['server'], hospital.up('pump-2')).plaintext == b'pressure'


def test_every_message_again_changes_nothing(trust: Trust) -> None:
    """Each message of a life a second time, and once more at its end: refused as a replay, or taken as the same."""
    log: list[tuple[Kind, bytes, Callable[[bytes], object]]] = []
    hospital = life('classical', trust, lambda kind, raw, take: log.append((kind, raw, take)))
    active = {name: device.ring.active(device.id) for name, device in hospital.device.items()}
    same = {Kind.KEY_RECORD, Kind.KEY_ACKNOWLEDGE, Kind.REVOKE_NOTICE, Kind.GROUP_KEY, Kind.ENROL_REQUEST}
    outcomes: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for kind, raw, take in log:
        try:
            take(raw)
            outcomes[kind].add('taken')
        except CryptoError as refused:
            outcomes[kind].add(type(refused).__name__)
    revoked = {'RevokedError'}  # what concerns pump-1, which is
    for kind, found in outcomes.items():
        assert found <= ({'taken', 'ReplayError'} if kind in same else {'ReplayError'}) | revoked, kind
    assert active == {name: device.ring.active(device.id) for name, device in hospital.device.items()}
    assert opened(hospital.place['server'], hospital.up('pump-2')).plaintext == b'pressure'
    with pytest.raises(RevokedError):
        opened(hospital.place['server'], hospital.up('pump-1'))


def test_a_message_under_a_session_key_is_refused_for_its_own_reason(suite: str) -> None:
    """Ciphertext, tag, data, key id, sender, nonce and revocation: four outcomes, told apart."""
    hospital = Hospital(suite, devices=('pump-1', 'pump-2')).start()
    place, sent = hospital.place['server'], hospital.up('pump-1')
    body, other = sent.sealed.body, hospital.device['pump-2']
    tampered = [replace(sent, sealed=replace(sent.sealed, body=flip(body, 0))),
                replace(sent, sealed=replace(sent.sealed, body=flip(body, 8 * len(body) - 1))),
                replace(sent, sealed=replace(sent.sealed, boot_id=bytes(16))),
                replace(sent, sealed=replace(sent.sealed, counter=1)),
                replace(sent, associated_data=b'job 2'),
                replace(sent, subject=other.id, epoch=other.ring.active(other.id), sender=other.id),
                replace(sent, sender=other.id), replace(sent, sender=place.id)]
    for each in tampered:
        with pytest.raises(TamperedError):
            opened(place, each)
    for each in (replace(sent, epoch=sent.epoch + 1), replace(sent, subject=bytes(16))):
        with pytest.raises(UnknownKeyError):
            opened(place, each)
    assert opened(place, sent).plaintext == b'pressure'
    with pytest.raises(ReplayError):
        opened(place, replace(sent, associated_data=b'job 2'))
    hospital.deliver(hospital.authority.revoke(['pump-1'], NOW))
    with pytest.raises(RevokedError):
        opened(place, sent)


def test_a_device_that_starts_too_often_must_agree_on_a_new_key() -> None:
    """More starts under one key than are told apart: an outcome of its own, which forgeries do not bring about."""
    hospital = Hospital().start()
    device, place = hospital.device['pump-1'], hospital.place['server']
    epoch = device.ring.active(device.id)
    key = device.ring.session_key(device.id, epoch, NOW)
    sent = hospital.up('pump-1')
    for _ in range(BOOTS_MAX + 1):
        with pytest.raises(TamperedError):
            opened(place, replace(sent, sealed=replace(sent.sealed, boot_id=secrets.token_bytes(16))))
    for _ in range(BOOTS_MAX):
        start = SealingKey(hospital.bound.aead, key, Direction.UP, device.id.hex())
        opened(place, replace(sent, sealed=start.seal(b'', b'job 1')))
    with pytest.raises(ExhaustedError):
        opened(place, sent)
    hospital.rekey('pump-1')
    assert opened(place, hospital.up('pump-1')).plaintext == b'pressure'
