"""Revocation and groups: who is out opens nothing and is not heard, and nothing but a new enrolment undoes it."""

import pytest

from hil.crypto.errors import CryptoError
from hil.keys.errors import RevokedError, TamperedError, UnknownKeyError
from hil.keys.messages import Kind, group_id
from sim.suites import SUITES
from sim.wire import revoke_notice_bytes

from .hospital import NOW, OVERLAP_S, Hospital, opened

GROUP = group_id('model')


def test_a_revoked_device_is_not_heard(suite: str, trust: str) -> None:
    """Its messages at all places, its requests and confirmations at the authority; the other device goes on."""
    hospital = Hospital(suite, trust, devices=('pump-1', 'pump-2')).start()
    device, authority = hospital.device['pump-1'], hospital.authority
    confirm = device.take_answer(authority.answer_rekey(device.begin_rekey(NOW), NOW), NOW)
    sent = hospital.up('pump-1')
    hospital.deliver(authority.revoke(['pump-1'], NOW))
    for place in hospital.place.values():
        with pytest.raises(RevokedError):
            opened(place, sent)
        with pytest.raises(RevokedError):
            place.ring.seal(device.id, b'', b'', NOW)
    with pytest.raises(RevokedError):
        authority.take_confirmation(confirm, NOW)
    with pytest.raises(RevokedError):
        authority.answer_rekey(device.begin_rekey(NOW), NOW)
    assert authority.outstanding('pump-1', NOW) == []
    assert opened(hospital.place['server'], hospital.up('pump-2')).plaintext == b'pressure'


def test_a_notice_says_since_when() -> None:
    """The time of the revocation is in the notice, and a place that is told again says the same."""
    hospital = Hospital().start()
    letters = hospital.authority.revoke(['pump-1'], NOW + 5)
    again = hospital.authority.revoke(['pump-1'], NOW + 50)
    assert letters == again
    place = hospital.place['server']
    for letter in letters:
        notice = place.take_notice(letter.message)
        assert (notice.subjects, notice.since) == ((hospital.device['pump-1'].id,), int(NOW) + 5)


def test_one_notice_is_about_all_who_are_revoked_at_once(suite: str) -> None:
    """Three of four devices: one notice a place, as long as a simulation counts; who enrols again is heard."""
    names = ('pump-1', 'pump-2', 'pump-3')
    hospital = Hospital(suite, devices=(*names, 'pump-4')).start()
    letters = hospital.authority.revoke(names, NOW)
    n_bytes = revoke_notice_bytes(SUITES[suite].signature, 3)
    assert [(letter.to, len(letter.message)) for letter in letters] == [('worker-1', n_bytes), ('server', n_bytes)]
    place = hospital.place['server']
    changed = letters[1].message[:34] + bytes(16) + letters[1].message[50:]  # an id that was not signed
    for wrong in (changed, letters[1].message[:34] + letters[1].message[50:]):
        with pytest.raises(TamperedError):
            place.take_notice(wrong)
    assert opened(place, hospital.up('pump-2')).plaintext == b'pressure'
    hospital.deliver(letters)
    for name in names:
        with pytest.raises(RevokedError):
            opened(place, hospital.up(name))
    hospital.add_device('pump-2')
    hospital.begin('pump-2')
    hospital.deliver(hospital.authority.revoke(names[::2], NOW))  # those who still are, told again
    assert [opened(place, hospital.up(name)).plaintext for name in ('pump-2', 'pump-4')] == [b'pressure'] * 2


def test_a_record_that_comes_after_the_notice_is_refused() -> None:
    """The broker brings the notice first: the key record of before does not bring the device back."""
    hospital = Hospital(places=('server',)).start()
    device, authority, place = hospital.device['pump-1'], hospital.authority, hospital.place['server']
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    (record,) = authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    (notice,) = authority.revoke(['pump-1'], NOW)
    place.take_notice(notice.message)
    with pytest.raises(RevokedError):
        place.take_record(record.message, NOW)


def test_only_a_new_enrolment_brings_a_device_back(trust: str) -> None:
    """Commissioned again it is heard under its new keys; its old messages and notices change nothing any more."""
    hospital = Hospital('classical', trust).start()
    old, place = hospital.up('pump-1'), hospital.place['server']
    letters = hospital.authority.revoke(['pump-1'], NOW)
    hospital.deliver(letters)
    hospital.add_device('pump-1')
    hospital.begin('pump-1')
    hospital.deliver(letters)  # the old notice once more
    new = hospital.up('pump-1')
    assert opened(place, new).plaintext == b'pressure'
    with pytest.raises(RevokedError):
        opened(place, old)


def test_a_certificate_of_before_is_of_no_use() -> None:
    """The old device, with its key and certificate, asks after the new one was enrolled under its name."""
    hospital = Hospital().start()
    thief = hospital.device['pump-1']
    hospital.deliver(hospital.authority.revoke(['pump-1'], NOW))
    hospital.add_device('pump-1')
    hospital.begin('pump-1')
    thief._epoch = hospital.device['pump-1']._epoch  # it may write what it likes
    with pytest.raises(TamperedError, match='another subject or enrolment'):
        hospital.authority.answer_rekey(thief.begin_rekey(NOW), NOW)


def test_a_place_does_not_believe_everyone_who_revokes() -> None:
    """A notice of another hospital's authority, about a device of the same name and number."""
    hospital, other = Hospital().start(), Hospital().start()
    place = hospital.place['server']
    notice = other.authority.revoke(['pump-1'], NOW)[0].message
    assert notice[0] == Kind.REVOKE_NOTICE
    with pytest.raises(TamperedError):
        place.take_notice(notice)
    assert opened(place, hospital.up('pump-1')).plaintext == b'pressure'


def test_a_revoked_place_gets_nothing_and_holds_nobody_up() -> None:
    """A key waits for one place alone, which is revoked: the device is told to go on."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    letters = {letter.to: letter for letter in authority.take_confirmation(device.take_answer(answer, NOW), NOW)}
    hospital.deliver([letters['server']])
    letters = authority.revoke(['worker-1'], NOW)
    assert [(letter.to, Kind(letter.message[0])) for letter in letters] == [
        ('server', Kind.REVOKE_NOTICE), ('pump-1', Kind.KEY_ACTIVATE)]
    hospital.deliver(letters)
    hospital.rekey('pump-1')
    with pytest.raises(UnknownKeyError):
        opened(hospital.place['worker-1'], hospital.up('pump-1'))
    assert opened(hospital.place['server'], hospital.traffic[-1]).plaintext == b'pressure'


def test_a_group_hears_each_broadcast_once_sealed(suite: str, trust: str) -> None:
    """A model sealed once by the server opens at each member, and at no device that is none."""
    hospital = Hospital(suite, trust, devices=('pump-1', 'pump-2', 'pump-3')).start()
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    model = hospital.down('server', GROUP, b'weights')
    for name in ('pump-1', 'pump-2'):
        assert opened(hospital.device[name], model).plaintext == b'weights'
    with pytest.raises(UnknownKeyError):
        opened(hospital.device['pump-3'], model)


def test_who_is_revoked_is_out_of_its_groups_at_once() -> None:
    """A new epoch for those who remain: the revoked member cannot open it, and the old key opens nothing."""
    hospital = Hospital(devices=('pump-1', 'pump-2')).start()
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    before = hospital.down('server', GROUP, b'old weights')
    letters = hospital.authority.revoke(['pump-1'], NOW)
    assert 'pump-1' not in {letter.to for letter in letters}
    hospital.deliver(letters)
    after = hospital.down('server', GROUP, b'new weights')
    assert after.epoch > before.epoch
    member, out = hospital.device['pump-2'], hospital.device['pump-1']
    assert opened(member, after).plaintext == b'new weights'
    with pytest.raises(UnknownKeyError):  # no overlap, because the one who left knows the key
        opened(member, before)
    with pytest.raises(UnknownKeyError):
        opened(out, after)
    for letter in letters:
        if letter.message[0] == Kind.GROUP_KEY:
            with pytest.raises(CryptoError):
                out.take_group_key(letter.message, NOW)


def test_a_group_that_grows_or_stays_keeps_its_old_key_for_the_overlap() -> None:
    """Nobody left: a broadcast of before opens until the overlap has passed; the newcomer cannot open it."""
    hospital = Hospital(devices=('pump-1', 'pump-2')).start()
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1'], NOW))
    before = [hospital.down('server', GROUP, b'weights') for _ in range(2)]
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    member = hospital.device['pump-1']
    assert opened(member, before[0], NOW + OVERLAP_S - 1).plaintext == b'weights'
    with pytest.raises(UnknownKeyError):
        opened(member, before[1], NOW + OVERLAP_S)
    with pytest.raises(UnknownKeyError):
        opened(hospital.device['pump-2'], before[0])
    assert opened(hospital.device['pump-2'], hospital.down('server', GROUP, b'weights')).plaintext == b'weights'


def test_who_leaves_a_group_does_not_hear_it_again() -> None:
    """Shared again without a member that is not revoked: it is heard, and hears the group no more."""
    hospital = Hospital(devices=('pump-1', 'pump-2')).start()
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    before = hospital.down('server', GROUP, b'weights')
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-2'], NOW))
    with pytest.raises(UnknownKeyError):
        opened(hospital.device['pump-1'], hospital.down('server', GROUP, b'weights'))
    with pytest.raises(UnknownKeyError):
        opened(hospital.device['pump-2'], before)
    assert opened(hospital.place['server'], hospital.up('pump-1')).plaintext == b'pressure'


def test_a_group_key_does_not_activate_a_device_key() -> None:
    """Sealed under a confirmed key that a place still lacks: it opens, and the old one goes on sealing."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    first = device.ring.active(device.id)
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    hospital.deliver(authority.share_group_key('model', ['pump-1'], NOW))
    assert opened(device, hospital.down('server', GROUP, b'weights')).plaintext == b'weights'
    assert device.ring.active(device.id) == first
