"""Whole lives of keys, with real primitives: enrolled, agreed on, handed out, used, replaced, revoked."""

import pytest

from hil.crypto.errors import ReplayError
from hil.keys.errors import ExpiredError, RevokedError, TamperedError, UnknownKeyError
from hil.keys.messages import Kind, group_id
from sim.errors import InputError
from sim.wire import Trust

from .hospital import NOW, OVERLAP_S, PERIODS, Hospital, opened


def test_a_device_and_all_places_understand_each_other(suite: str, trust: Trust) -> None:
    """By every suite and trust: a message up opens at both places, and one down from each of them at the device."""
    hospital = Hospital(suite, trust).start()
    sent = hospital.up('pump-1')
    for place in hospital.place.values():
        assert opened(place, sent).plaintext == b'pressure'
        assert opened(place, sent).is_duplicate
    device = hospital.device['pump-1']
    for name in hospital.place:
        assert opened(device, hospital.down(name, device.id)).plaintext == b'rate'


def test_a_device_seals_only_after_all_places_have_its_key() -> None:
    """Records are delivered one by one: no activation before the last acknowledgement, and no sealing before it."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    first = device.ring.active(device.id)
    letters = authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    assert [letter.to for letter in letters] == ['worker-1', 'server']
    acknowledgements = [hospital.place[letter.to].take_record(letter.message, NOW) for letter in letters]
    assert authority.take_acknowledgement(acknowledgements[0], NOW) == []
    assert authority.take_acknowledgement(acknowledgements[0], NOW) == []  # redelivered, and still but one place
    assert hospital.up('pump-1').epoch == first
    (activation,) = authority.take_acknowledgement(acknowledgements[1], NOW)
    assert activation.to == 'pump-1'
    device.take_activation(activation.message, NOW)
    assert hospital.up('pump-1').epoch == first + 1


def test_what_was_lost_is_sent_again() -> None:
    """Records, then an acknowledgement, then the activation get lost: what is outstanding brings each again."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    authority.take_confirmation(device.take_answer(answer, NOW), NOW)  # both records get lost
    one, other = authority.outstanding('pump-1', NOW)
    authority.take_acknowledgement(hospital.place[one.to].take_record(one.message, NOW), NOW)
    hospital.place[other.to].take_record(other.message, NOW)  # its acknowledgement gets lost
    (again,) = authority.outstanding('pump-1', NOW)
    assert again.to == other.to
    authority.take_acknowledgement(hospital.place[again.to].take_record(again.message, NOW), NOW)  # as does this
    hospital.deliver(authority.outstanding('pump-1', NOW))
    sent = hospital.up('pump-1')
    assert [opened(place, sent).plaintext for place in hospital.place.values()] == [b'pressure'] * 2


def test_a_place_that_comes_late_gets_all_that_there_is() -> None:
    """Two devices, a group and a revocation before a third place starts: it opens all but what is revoked."""
    hospital = Hospital(devices=('pump-1', 'pump-2', 'pump-3')).start()
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-3'], NOW))
    hospital.deliver(hospital.authority.revoke(['pump-3'], NOW))
    late = hospital.add_place('worker-2')
    hospital.begin('worker-2')
    assert [opened(late, hospital.up(name)).plaintext for name in ('pump-1', 'pump-2')] == [b'pressure'] * 2
    assert opened(hospital.device['pump-1'], hospital.down('worker-2', group_id('model'))).plaintext == b'rate'
    with pytest.raises(RevokedError):
        opened(late, hospital.up('pump-3'))


def test_an_acknowledgement_of_an_older_key_does_not_count() -> None:
    """A place's acknowledgement of the key before comes late: it does not stand for the key that came since."""
    hospital = Hospital(places=('server',)).start()
    device, authority, place = hospital.device['pump-1'], hospital.authority, hospital.place['server']

    def record() -> bytes:
        answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
        (letter,) = authority.take_confirmation(device.take_answer(answer, NOW), NOW)
        return letter.message

    late = place.take_record(record(), NOW)
    later = record()
    assert authority.take_acknowledgement(late, NOW) == []
    assert [letter.to for letter in authority.take_acknowledgement(place.take_record(later, NOW), NOW)] == ['pump-1']


def test_a_record_that_overtakes_a_places_activation_is_taken() -> None:
    """The broker brings a place its records first: it acknowledges them, as its key must be confirmed."""
    hospital = Hospital(places=('server',)).start()
    place, authority = hospital.add_place('worker-1'), hospital.authority
    hospital.enrol('worker-1')
    answer = authority.answer_rekey(place.begin_rekey(NOW), NOW)
    activation, record = authority.take_confirmation(place.take_answer(answer, NOW), NOW)
    assert authority.take_acknowledgement(place.take_record(record.message, NOW), NOW) == []  # the device has its own
    place.take_activation(activation.message, NOW)
    assert opened(place, hospital.up('pump-1')).plaintext == b'pressure'


def test_a_place_whose_key_is_over_is_not_waited_for() -> None:
    """One of two places changes its key in time: only that one gets records, and devices go on with it."""
    hospital = Hospital().start()
    end = NOW + PERIODS.key_s
    hospital.rekey('server', end - 1)
    hospital.rekey('pump-1', end)
    assert opened(hospital.place['server'], hospital.up('pump-1', now=end), end).plaintext == b'pressure'
    with pytest.raises(UnknownKeyError):
        opened(hospital.place['worker-1'], hospital.traffic[-1], end)
    hospital.rekey('worker-1', end)
    assert opened(hospital.place['worker-1'], hospital.traffic[-1], end).plaintext == b'pressure'


def test_a_later_rekey_takes_the_place_of_one_under_way() -> None:
    """Two requests, then the answers to both: the first answer is refused, the second gives the key."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answers = [authority.answer_rekey(device.begin_rekey(NOW), NOW) for _ in range(2)]
    with pytest.raises(ReplayError):
        device.take_answer(answers[0], NOW)
    hospital.deliver(authority.take_confirmation(device.take_answer(answers[1], NOW), NOW))
    assert opened(hospital.place['server'], hospital.up('pump-1')).plaintext == b'pressure'


def test_a_confirmation_of_a_rekey_that_was_replaced_is_refused() -> None:
    """The authority answers again before the first confirmation comes: only the second one counts."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    first = device.take_answer(authority.answer_rekey(device.begin_rekey(NOW), NOW), NOW)
    second = device.take_answer(authority.answer_rekey(device.begin_rekey(NOW), NOW), NOW)
    with pytest.raises(ReplayError):
        authority.take_confirmation(first, NOW)
    assert authority.take_confirmation(second, NOW)


def test_the_old_epoch_opens_for_the_overlap_and_no_longer() -> None:
    """A message of before a rekey opens a moment before the overlap has passed, and not when it has."""
    hospital = Hospital().start()
    before = [hospital.up('pump-1', bytes([i])) for i in range(2)]
    hospital.rekey('pump-1')
    place = hospital.place['server']
    assert hospital.up('pump-1').epoch == before[0].epoch + 1
    assert opened(place, before[0], NOW + OVERLAP_S - 0.001).plaintext == b'\0'
    with pytest.raises(UnknownKeyError):
        opened(place, before[1], NOW + OVERLAP_S)
    assert opened(place, hospital.traffic[-1], NOW + OVERLAP_S).plaintext == b'pressure'


def test_a_place_begins_the_overlap_with_the_record() -> None:
    """A device is told a second before the overlap is over that all places have its key: they count from the record."""
    hospital = Hospital(places=('server',)).start()
    device, authority, place = hospital.device['pump-1'], hospital.authority, hospital.place['server']
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    (record,) = authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    (activation,) = authority.take_acknowledgement(place.take_record(record.message, NOW), NOW)
    late = NOW + OVERLAP_S - 1
    before = [hospital.up('pump-1', bytes([i]), now=late) for i in range(2)]
    device.take_activation(activation.message, late)
    assert opened(place, before[0], late).plaintext == b'\0'
    with pytest.raises(UnknownKeyError):
        opened(place, before[1], NOW + OVERLAP_S)
    assert opened(place, hospital.up('pump-1', now=late), NOW + OVERLAP_S).plaintext == b'pressure'


def test_a_key_is_not_used_after_its_time() -> None:
    """A day after its confirmation places and authority know the key no more; a new one works."""
    hospital = Hospital().start()
    end = NOW + PERIODS.key_s
    sent = hospital.up('pump-1')
    assert opened(hospital.place['server'], sent, end - 1).plaintext == b'pressure'
    with pytest.raises(UnknownKeyError):
        opened(hospital.place['server'], sent, end)
    with pytest.raises(UnknownKeyError):
        hospital.down('server', hospital.device['pump-1'].id, now=end)
    for name in (*hospital.place, 'pump-1'):
        hospital.rekey(name, end)
    assert opened(hospital.place['server'], hospital.up('pump-1', now=end), end).plaintext == b'pressure'


def test_certificates_are_good_for_their_time_only() -> None:
    """Before the clock skew, and from the last second on, neither a device nor the authority uses a certificate."""
    hospital = Hospital(places=())
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_enrolment(device.enrol(), NOW)
    for now in (NOW - 301, NOW + PERIODS.certificate_s):
        with pytest.raises(ExpiredError, match='look at the clock'):
            device.take_certificate(answer, now)
    device.take_certificate(answer, NOW - 300)
    request = device.begin_rekey(NOW)
    for now in (NOW - 301, NOW + PERIODS.certificate_s):
        with pytest.raises(ExpiredError):
            authority.answer_rekey(request, now)
        with pytest.raises(ExpiredError):
            device.begin_rekey(now)
    assert authority.answer_rekey(request, NOW + PERIODS.certificate_s - 1)


def test_a_one_time_secret_is_good_for_one_request() -> None:
    """The same request again gets the same certificate; another one with the same secret none."""
    hospital = Hospital(places=())
    device, authority = hospital.device['pump-1'], hospital.authority
    request = device.enrol()
    assert device.enrol() == request
    assert authority.answer_enrolment(request, NOW) == authority.answer_enrolment(request, NOW + 1)
    thief = type(device)(hospital.bound, hospital.commissions[0], OVERLAP_S)  # with a copy of the secret
    with pytest.raises(ReplayError):
        authority.answer_enrolment(thief.enrol(), NOW)
    device.take_certificate(authority.answer_enrolment(request, NOW), NOW)
    with pytest.raises(ReplayError):
        device.take_certificate(authority.answer_enrolment(request, NOW), NOW)


def test_what_cannot_begin_says_why(trust: Trust) -> None:
    """A rekey without certificate, a name twice, nobody's name, a group without keys, a place without KEM."""
    hospital = Hospital('classical', trust)
    authority, device = hospital.authority, hospital.device['pump-1']
    if trust == 'signed':
        with pytest.raises(UnknownKeyError, match='has no certificate; enrol'):
            device.begin_rekey(NOW)
    with pytest.raises(InputError, match="'pump-1' is commissioned; revoke it first"):
        authority.commission('pump-1', trust)
    with pytest.raises(UnknownKeyError, match="'nobody'"):
        authority.revoke(['nobody'], NOW)
    with pytest.raises(UnknownKeyError, match='has no session key'):
        authority.share_group_key('model', ['pump-1'], NOW)
    with pytest.raises(InputError, match='can be opened later'):
        authority.commission('worker-2', 'pre-shared', 'place')
    with pytest.raises(UnknownKeyError):
        hospital.up('pump-1')
    assert authority.outstanding('pump-1', NOW) == []
    with pytest.raises(TamperedError, match='header alone'):
        authority.answer_rekey(bytes([Kind.REKEY_REQUEST]), NOW)
