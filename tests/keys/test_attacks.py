"""Who sits in the middle: can read, change, hold back, replay and splice, and owns a device of its own."""

from dataclasses import replace

import pytest

from hil.crypto.errors import CryptoError, ReplayError
from hil.keys import certificates, schedule
from hil.keys.authority import Authority
from hil.keys.certificates import Certificate
from hil.keys.devices import Device
from hil.keys.errors import TamperedError, UnknownKeyError
from hil.keys.messages import HEADER, Kind, Message, epoch_of, header, read
from hil.keys.schedule import Terms
from hil.keys.subjects import Commission
from sim.wire import Trust

from .hospital import NOW, OVERLAP_S, PERIODS, Hospital, opened

WITH_KEM: list[Trust] = ['signed', 'pre-shared-kem']
each_suite = pytest.mark.parametrize('suite', ['classical', 'pqc-768', 'hybrid'])
each_kem = pytest.mark.parametrize('trust', WITH_KEM)


def put(message: Message, **fields: bytes) -> bytes:
    """Return a message with other fields."""
    return message.header + b''.join((dict(message.fields) | fields).values())


def parts(hospital: Hospital, raw: bytes) -> Message:
    """Return the parts of a message."""
    return read(raw, Kind(raw[0]), hospital.bound.suite, hospital.trust)


def aim(raw: bytes, subject: bytes, epoch: int) -> bytes:
    """Return a message with another subject and epoch in its header."""
    return HEADER.pack(raw[0], raw[1], subject, epoch) + raw[HEADER.size:]


@each_suite
@each_kem
def test_another_public_key_is_not_answered(suite: str, trust: Trust) -> None:
    """The middle puts its own ephemeral key into a request, which it cannot sign; the real one is answered."""
    hospital = Hospital(suite, trust).start()
    request = hospital.device['pump-1'].begin_rekey(NOW)
    own = hospital.bound.kem.generate()
    with pytest.raises(TamperedError):
        hospital.authority.answer_rekey(put(parts(hospital, request), public=own.public), NOW)
    assert hospital.authority.answer_rekey(request, NOW)


@each_suite
@each_kem
def test_another_ciphertext_is_not_taken(suite: str, trust: Trust) -> None:
    """The middle encapsulates to the device itself, with the authority's tag or with one of its own."""
    hospital = Hospital(suite, trust).start()
    device = hospital.device['pump-1']
    request = device.begin_rekey(NOW)
    answer = parts(hospital, hospital.authority.answer_rekey(request, NOW))
    own = hospital.bound.kem.encapsulate(parts(hospital, request).fields['public'])
    changed = put(answer, ciphertext=own.ciphertext)
    terms, said = Terms(hospital.bound, trust), request + answer.before('ciphertext') + own.ciphertext
    tag = schedule.tag(terms, schedule.pseudorandom_key(own.secret, b''), Kind.REKEY_ANSWER, said)
    for each in (changed, put(parts(hospital, changed), tag=tag)):
        with pytest.raises(TamperedError):
            device.take_answer(each, NOW)
    assert device.take_answer(answer.raw, NOW)


def test_an_authority_of_its_own_is_not_believed(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    """A false authority, commissioned with the same names and numbers, certifies and answers: refused by the device."""
    hospital, false = Hospital('classical', trust, places=()), Authority(Hospital().bound, PERIODS)
    device = hospital.device['pump-1']
    commission = false.commission('pump-1', trust)
    assert commission.enrolment == hospital.commissions[0].enrolment
    if trust == 'signed':
        theirs = Device(hospital.bound, commission, OVERLAP_S)
        device.enrol()
        with pytest.raises(TamperedError):
            device.take_certificate(false.answer_enrolment(theirs.enrol(), NOW), NOW)
        hospital.enrol('pump-1')
    request = device.begin_rekey(NOW)
    with pytest.raises(TamperedError):
        false.answer_rekey(request, NOW)
    monkeypatch.setattr(Authority, '_authenticate', lambda *_: None)  # it answers whoever asks
    with pytest.raises(TamperedError):
        device.take_answer(false.answer_rekey(request, NOW), NOW)
    monkeypatch.undo()
    assert device.take_answer(hospital.authority.answer_rekey(request, NOW), NOW)


def test_an_older_answer_is_not_taken(trust: Trust) -> None:
    """The answer of the last session, as it was and with the new epoch written into it."""
    hospital = Hospital('classical', trust).start()
    device, authority = hospital.device['pump-1'], hospital.authority
    older = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    device.take_answer(older, NOW)
    request = device.begin_rekey(NOW)
    epoch = parts(hospital, request).epoch
    with pytest.raises(ReplayError):
        device.take_answer(older, NOW)
    with pytest.raises(TamperedError):
        device.take_answer(aim(older, device.id, epoch), NOW)
    assert device.take_answer(authority.answer_rekey(request, NOW), NOW)


def test_an_older_request_is_not_answered(trust: Trust) -> None:
    """A request again, and with a fresh epoch in its header: neither is answered, and the session of before stays."""
    hospital = Hospital('classical', trust).start()
    device, authority = hospital.device['pump-1'], hospital.authority
    request = device.begin_rekey(NOW)
    answer = authority.answer_rekey(request, NOW)
    with pytest.raises(ReplayError):
        authority.answer_rekey(request, NOW)
    with pytest.raises(TamperedError):
        authority.answer_rekey(aim(request, device.id, parts(hospital, request).epoch + 1), NOW)
    assert authority.take_confirmation(device.take_answer(answer, NOW), NOW)


@each_suite
def test_two_sessions_cannot_be_spliced(suite: str, trust: Trust) -> None:
    """Each field of one device's answer put into another's, and the whole answer readdressed: nothing is taken."""
    hospital = Hospital(suite, trust, devices=('pump-1', 'pump-2')).start()
    authority, devices = hospital.authority, hospital.device
    requests = {name: device.begin_rekey(NOW) for name, device in devices.items()}
    answers = {name: parts(hospital, authority.answer_rekey(request, NOW)) for name, request in requests.items()}
    victim, mine, theirs = devices['pump-1'], answers['pump-1'], answers['pump-2']
    spliced = [put(mine, **{name: value}) for name, value in theirs.fields.items()]
    for each in (*spliced, aim(theirs.raw, victim.id, mine.epoch)):
        with pytest.raises(TamperedError):
            victim.take_answer(each, NOW)
    confirms = {name: device.take_answer(answers[name].raw, NOW) for name, device in devices.items()}
    with pytest.raises(TamperedError):
        authority.take_confirmation(aim(confirms['pump-2'], victim.id, mine.epoch), NOW)
    assert authority.take_confirmation(confirms['pump-1'], NOW)


@each_suite
def test_another_devices_certificate_is_of_no_use(suite: str) -> None:
    """Put into a request as it is, or signed by who owns it; and given to a device as its own."""
    hospital = Hospital(suite, devices=('pump-1', 'pump-2')).start()
    authority, victim, owner = hospital.authority, hospital.device['pump-1'], hospital.device['pump-2']
    request, theirs = (parts(hospital, each.begin_rekey(NOW)) for each in (victim, owner))
    swapped = parts(hospital, put(request, certificate=theirs.fields['certificate']))
    signature = schedule.sign(Terms(hospital.bound, 'signed'), owner._identity.private, Kind.REKEY_REQUEST,
                              swapped.before('signature'))
    for each in (swapped.raw, put(swapped, signature=signature), aim(theirs.raw, victim.id, request.epoch)):
        with pytest.raises(TamperedError):
            authority.answer_rekey(each, NOW)
    fresh = hospital.add_device('pump-3')
    fresh.enrol()
    head = header(Kind.ENROL_ANSWER, fresh.id, epoch_of(hospital.commissions[-1].enrolment, 0))
    with pytest.raises(TamperedError):
        fresh.take_certificate(head + theirs.fields['certificate'], NOW)


def test_a_certificate_says_whose_and_of_which_enrolment_it_is() -> None:
    """Certificates that the real authority signed, for the right key, with another subject or number."""
    hospital = Hospital(places=(), devices=('pump-1', 'pump-2')).start()
    signer, authority = hospital.bound.signature, hospital.authority._identity
    owner, fresh = hospital.device['pump-1'], hospital.add_device('pump-3')
    request = parts(hospital, owner.begin_rekey(NOW))
    fresh.enrol()
    for device in (owner, fresh):
        right = Certificate(device.id, device._enrolment, int(NOW), int(NOW) + 9, device._identity.public)
        for wrong in (replace(right, subject=hospital.device['pump-2'].id), replace(right, serial=right.serial - 1)):
            certificate = certificates.issue(signer, authority.private, wrong)
            if device is fresh:
                head = header(Kind.ENROL_ANSWER, device.id, epoch_of(device._enrolment, 0))
                with pytest.raises(TamperedError, match='another subject, enrolment or key'):
                    device.take_certificate(head + certificate, NOW)
                continue
            said = put(request, certificate=certificate)[:-len(request.fields['signature'])]
            signed = schedule.sign(Terms(hospital.bound, 'signed'), device._identity.private, Kind.REKEY_REQUEST, said)
            with pytest.raises(TamperedError, match='another subject or enrolment'):
                hospital.authority.answer_rekey(said + signed, NOW)


def test_nobody_enrols_without_the_secret() -> None:
    """A public key of the middle's own, in a device's request and in a request made with another secret."""
    hospital = Hospital(places=())
    device, commission = hospital.device['pump-1'], hospital.commissions[0]
    guess = Commission('pump-1', 'signed', commission.enrolment, bytes(32), commission.authority)
    thief = Device(hospital.bound, guess, OVERLAP_S)
    request, theirs = parts(hospital, device.enrol()), parts(hospital, thief.enrol())
    swapped = parts(hospital, put(request, public=theirs.fields['public']))
    signature = schedule.sign(Terms(hospital.bound, 'signed'), thief._identity.private, Kind.ENROL_REQUEST,
                              swapped.before('signature'))
    for each in (theirs.raw, swapped.raw, put(swapped, signature=signature)):
        with pytest.raises(TamperedError):
            hospital.authority.answer_enrolment(each, NOW)
    hospital.enrol('pump-1')


def test_a_message_is_not_taken_for_one_of_another_kind() -> None:
    """The device's own confirmation sent back to it as an activation: one length, one session, another purpose."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    confirm = device.take_answer(authority.answer_rekey(device.begin_rekey(NOW), NOW), NOW)
    with pytest.raises(TamperedError):
        device.take_activation(bytes([Kind.KEY_ACTIVATE]) + confirm[1:], NOW)


def test_a_record_is_for_one_place() -> None:
    """A key record given to another place, as it is and readdressed: neither place nor device takes it."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    letters = authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    record = {letter.to: letter.message for letter in letters}['worker-1']
    server = hospital.place['server']
    for each in (record, aim(record, server.id, server.ring.active(server.id))):
        with pytest.raises(TamperedError):
            server.take_record(each, NOW)
    with pytest.raises(CryptoError):
        device.take_group_key(bytes([Kind.GROUP_KEY]) + record[1:], NOW)


def test_an_acknowledgement_is_only_of_the_place_that_sealed_it() -> None:
    """One place's acknowledgement readdressed as the other's brings no activation."""
    hospital = Hospital().start()
    device, authority = hospital.device['pump-1'], hospital.authority
    answer = authority.answer_rekey(device.begin_rekey(NOW), NOW)
    letters = authority.take_confirmation(device.take_answer(answer, NOW), NOW)
    message = hospital.place['worker-1'].take_record(letters[0].message, NOW)
    other = hospital.place['server']
    with pytest.raises(TamperedError):
        authority.take_acknowledgement(aim(message, other.id, other.ring.active(other.id)), NOW)
    assert authority.take_acknowledgement(message, NOW) == []


def test_no_other_key_opens_a_message() -> None:
    """Two devices, two epochs, both directions, two senders down: of all pairs only message and own key open."""
    hospital = Hospital(devices=('pump-1', 'pump-2')).start()
    places, devices = hospital.place, hospital.device

    def talk() -> None:
        for name, device in devices.items():
            hospital.up(name)
            for place in places:
                hospital.down(place, device.id)

    talk()
    for name in devices:
        hospital.rekey(name)
    talk()
    ring = hospital.add_place('worker-2')  # another receiver, which holds all keys of before and after
    for traffic in hospital.traffic:
        key = places['server'].ring.session_key(traffic.subject, traffic.epoch, NOW)
        ring.ring.install(traffic.subject, traffic.epoch, key, NOW + 1, NOW)
    keys = [(each.subject, each.epoch, each.sender) for each in hospital.traffic]
    assert len(set(keys)) == 2 * 2 * 3
    for i, message in enumerate(hospital.traffic):
        for k, (subject, epoch, sender) in enumerate(keys):
            if i == k:
                continue
            with pytest.raises(TamperedError):
                ring.ring.open(subject, epoch, sender, message.sealed, message.associated_data, NOW)
        assert opened(ring, message).plaintext in {b'pressure', b'rate'}


def test_a_stranger_is_not_known() -> None:
    """A device that was never commissioned here: every message of it is refused, whatever it says."""
    hospital = Hospital().start()
    stranger = Hospital(devices=('pump-9',)).start()
    with pytest.raises(UnknownKeyError):
        hospital.authority.answer_enrolment(stranger.device['pump-9'].enrol(), NOW)
    with pytest.raises(UnknownKeyError):
        hospital.authority.answer_rekey(stranger.device['pump-9'].begin_rekey(NOW), NOW)
    with pytest.raises(UnknownKeyError):
        opened(hospital.place['server'], stranger.up('pump-9'))
