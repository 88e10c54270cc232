"""No secret of a key's life is printed, copied or said in an error."""

import copy
import gc
import pickle
import traceback

import pytest

from hil.crypto.errors import CryptoError
from hil.keys.messages import Kind
from hil.keys.secret import Secret
from sim.wire import Trust

from .hospital import NOW, Hospital, opened


def spellings(secret: bytes) -> list[str]:
    """Return what a secret would look like in a text."""
    return [secret.hex(), repr(secret)[2:-1], repr(list(secret))[1:-1], str(int.from_bytes(secret, 'big'))]


def secrets_of(hospital: Hospital) -> list[bytes]:
    """Return all secrets that live in a hospital at the moment, and those that were given by hand.

    Other tests of the process may have left weak proxies of what is gone; to ask for their class is an error.
    """
    live = [each.reveal() for each in gc.get_objects() if type(each) is Secret and each._value]
    return [*live, *(each.secret for each in hospital.commissions)]


def test_nothing_that_is_printed_holds_a_secret(trust: Trust) -> None:
    """All parties, what they hold, commissions and traffic, as text and in containers."""
    hospital = Hospital('classical', trust).start()
    device = hospital.device['pump-1']
    hospital.authority.answer_rekey(device.begin_rekey(NOW), NOW)
    sent = hospital.up('pump-1', b'name of a patient')
    party = hospital.authority._register.named('pump-1')
    printed = [hospital.authority, party, party.begun, device, device._begun, device.ring, device.ring._keys,
               device._secret, hospital.commissions, hospital.place, sent, opened(hospital.place['server'], sent)]
    text = f'{printed} {[str(each) for each in printed]}'
    secrets = secrets_of(hospital)
    assert len(secrets) > 6
    for secret in (*secrets, b'name of a patient'):
        assert not [each for each in spellings(secret) if each in text]


def test_no_error_holds_a_secret(trust: Trust) -> None:
    """The last byte of each message changed: the whole of what is printed of the refusal."""
    texts: list[str] = []

    def change(kind: Kind, raw: bytes, take: object) -> None:
        assert callable(take)
        with pytest.raises(CryptoError) as refused:
            take(raw[:-1] + bytes([raw[-1] ^ 1]))
        texts.append(f'{kind} {traceback.format_exception(refused.value)} {refused.value.args}')

    hospital = Hospital('classical', trust, places=('server',))
    hospital.taps.append(change)
    hospital.start()
    assert len(texts) > 8
    for secret in secrets_of(hospital):
        assert not [each for each in spellings(secret) if each in ''.join(texts)]


@pytest.mark.parametrize('duplicate', [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_secret_cannot_be_copied(duplicate: object) -> None:
    """A copy would not be erased."""
    assert callable(duplicate)
    with pytest.raises(TypeError, match='cannot be copied'):
        duplicate(Secret(b'secret'))


def test_a_secret_is_gone_once_it_is_erased() -> None:
    """Its bytes are zeros, it is not revealed, and erasing it again does nothing."""
    secret = Secret(b'secret')
    value = secret._value
    assert secret.reveal() == b'secret'
    secret.erase()
    secret.erase()
    assert value == bytes(6)
    with pytest.raises(AssertionError, match='erased'):
        secret.reveal()


def test_one_time_secrets_are_erased_once_used() -> None:
    """After enrolment neither side holds it; a pre-shared key stays until its device is revoked."""
    hospital = Hospital().start()
    for holder in (hospital.device['pump-1'], *hospital.place.values()):
        assert not holder._secret._value
        assert not hospital.authority._register.named(holder.name).secret._value
    other = Hospital('classical', 'pre-shared').start()
    party = other.authority._register.named('pump-1')
    assert party.secret.reveal() == other.device['pump-1']._secret.reveal()
    other.deliver(other.authority.revoke(['pump-1'], NOW))
    assert not party.secret._value


def test_a_session_key_that_was_not_confirmed_is_erased() -> None:
    """The authority's key of a rekey that another one took the place of, and of one that a revocation ended."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    party = authority._register.named('pump-1')
    values = []
    for _ in range(2):
        authority.answer_rekey(device.begin_rekey(NOW), NOW)
        assert party.begun
        values.append(party.begun.key._value)
    assert [value == bytes(32) for value in values] == [True, False]
    authority.revoke(['pump-1'], NOW)
    assert values[1] == bytes(32)


def test_the_authority_erases_what_it_handed_on_or_revoked() -> None:
    """A confirmed key is on its ring and nowhere else, and is overwritten there when its subject is revoked."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    begun = authority._register.named('pump-1').begun
    assert begun
    waiting = begun.key._value
    authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    assert waiting == bytes(32)
    held = [key.secret._value for key in authority._ring._keys[device.id].values()]
    assert len(held) == 2
    assert bytes(32) not in held
    authority.revoke(['pump-1'], NOW)
    assert held == [bytes(32)] * 2
