"""The dispatcher: what is done again and what is not, what is refused and why."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hil.broker.names import DEAD, REPLY
from hil.crypto.sealing import Direction, OpeningKey, Sealed
from hil.keys.messages import subject_id
from hil.wire.codec import decode, encode
from hil.wire.message import KeyId, Leg, Message, SealedBy
from hil.wire.names import run_id
from hil.worker import dispatcher as dispatching
from hil.worker.dispatcher import DONE, DUPLICATE, Handled
from hil.worker.learning import Parameters, train
from tests.worker.hospital import AT_DEVICE, FROM_DEVICE, TO_DEVICE, Hospital, first_model


@pytest.fixture(scope='module')
def hospital() -> Hospital:
    """Two devices."""
    return Hospital(2)


def test_a_model_goes_to_a_device_and_comes_back_as_an_update(hospital: Hospital) -> None:
    """One message through three legs with a fresh key, a signature and real training; each leg leaves its times."""
    model = first_model(1, 2)
    message = hospital.model(1, 1, model, (TO_DEVICE, AT_DEVICE, FROM_DEVICE))
    raw, to = encode(message), ''
    for place, next_place in (('crypto', 'device'), ('device', 'crypto'), ('crypto', REPLY)):
        handled = hospital.dispatcher(place).handle(raw)
        assert handled.outcome == DONE, handled.why
        assert handled.publication is not None
        raw, to = handled.publication.body, handled.publication.to
        assert to == next_place
    reply = decode(raw)
    assert reply.body == train(model).to_bytes()
    assert [[each.stage for each in timing.stages] for timing in reply.timings] == [[2, 3], [7, 8, 9, 10, 11], [15, 16]]


def test_a_leg_takes_at_least_as_long_as_it_is_to(hospital: Hospital) -> None:
    """The worker is done no sooner; what it tells of its stages is what they really took."""
    hold_ns = 200_000_000
    (leg,) = hospital.vitals(1, 0).slip
    raw = encode(replace(hospital.vitals(1, 0), slip=(replace(leg, hold_ns=hold_ns),)))
    assert hospital.dispatcher('crypto').handle(raw).outcome == 'misrouted'  # by a worker that plays nobody
    handled = hospital.dispatcher('crypto', is_padded=True).handle(raw)
    assert handled.result is not None
    (timing,) = handled.result.timings
    assert timing.finished_ns - timing.started_ns >= hold_ns
    assert sum(stage.cpu_ns for stage in timing.stages) < hold_ns


def test_a_copy_is_a_duplicate_once_its_result_was_confirmed(hospital: Hospital) -> None:
    """Before that it is done again; afterwards it is dropped, as often as it comes; attempts are counted."""
    worker = hospital.dispatcher('crypto')
    raw = encode(hospital.vitals(1, 0))
    first = worker.handle(raw)
    again = worker.handle(raw, is_redelivered=True)
    assert (first.outcome, again.outcome) == (DONE, DONE)
    assert again.result is not None
    assert again.result.attempt == 1
    assert again.result.timings[0].is_redelivered
    worker.confirmed(again, 1, 2)
    for _ in range(3):
        assert worker.handle(raw) == Handled(DUPLICATE, None)
    assert worker.counts == {DONE: 2, DUPLICATE: 3}


def test_what_was_confirmed_is_remembered_within_bounds(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two results: a copy of an older one is done again, which the twin knows to handle."""
    monkeypatch.setattr(dispatching, 'CONFIRMED_MAX', 2)
    worker = hospital.dispatcher('crypto')
    raws = [encode(hospital.vitals(job, 0)) for job in range(3)]
    for raw in raws:
        worker.confirmed(worker.handle(raw), 1, 2)
    assert [worker.handle(raw).outcome for raw in raws] == [DONE, DUPLICATE, DUPLICATE]


def test_a_nonce_for_another_job_is_a_replay(hospital: Hospital) -> None:
    """The body of one job in the message of another: replayed where the first was opened, tampered where it was not."""
    worker = hospital.dispatcher('crypto')
    message = hospital.vitals(1, 0)
    worker.handle(encode(message))
    forged = encode(replace(message, job=2))
    assert worker.handle(forged).outcome == 'replayed'
    assert hospital.dispatcher('crypto').handle(forged).outcome == 'tampered'


def test_a_model_that_is_sealed_again_has_the_next_nonce(hospital: Hospital) -> None:
    """Five deliveries of one message under a session key that lives: counters 0 to 4 of one boot id, and all open."""
    worker = hospital.dispatcher('crypto', 'pi-7')
    message = hospital.model(1, 0, first_model(0, 2), (Leg('crypto', 3, 4),))
    results = [worker.handle(encode(message), is_redelivered=i > 0).result for i in range(5)]
    sealed_by = [each.sealed_by for each in results if each]
    assert [each.counter for each in sealed_by if each] == [0, 1, 2, 3, 4]
    assert len({each.boot_id for each in sealed_by if each}) == 1
    key = OpeningKey(hospital.bound.aead, hospital.store.session[message.key], Direction.DOWN, subject_id('pi-7').hex())
    for result in results:
        assert result is not None
        assert result.sealed_by is not None
        sealed = Sealed(result.sealed_by.boot_id, result.sealed_by.counter, result.body)
        assert key.open(sealed, result.associated_data()).plaintext == message.body


def test_two_starts_of_a_worker_share_no_key_and_nonce(hospital: Hospital) -> None:
    """A worker that starts again counts from 0 under another boot id."""
    message = hospital.model(1, 0, first_model(0, 2), (Leg('crypto', 3, 4),))
    found = [hospital.dispatcher('crypto', 'pi-7').handle(encode(message)).result for _ in range(3)]
    nonces = {(each.sealed_by.boot_id, each.sealed_by.counter) for each in found if each and each.sealed_by}
    assert len(nonces) == 3
    assert {counter for _, counter in nonces} == {0}


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda m: replace(m, run=run_id('another')), 'unknown-run'),
    (lambda m: replace(m, key=KeyId(m.key.subject, 2)), 'unknown-key'),
    (lambda m: replace(m, key=KeyId(bytes(16), 1)), 'unknown-key'),
    (lambda m: replace(m, job=9), 'tampered'),
    (lambda m: replace(m, flow='alarm'), 'tampered'),
    (lambda m: replace(m, sender=bytes(16)), 'tampered'),
    (lambda m: replace(m, receiver=subject_id('server')), 'misrouted'),
    (lambda m: replace(m, body=m.body[:-1] + b'?'), 'tampered'),
    (lambda m: replace(m, body=b''), 'tampered'),
    (lambda m: replace(m, sealed_by=None), 'malformed'),
    (lambda m: replace(m, sealed_by=SealedBy(0, m.sealed_by.boot_id, 2**60)), 'tampered'),
    (lambda m: replace(m, flow='imaging', slip=(Leg('server', 2, 3),)), 'misrouted'),
    (lambda m: replace(m, flow='key-record', slip=(Leg('crypto', 4, 6),)), 'tampered'),
])
def test_each_refusal_has_its_reason(hospital: Hospital, change: Callable[[Message], Message], reason: str) -> None:
    """Run, key, seal, receiver and slip that are not what they should be; the sound message is done afterwards."""
    worker = hospital.dispatcher('crypto')
    message = hospital.vitals(1, 0)
    handled = worker.handle(encode(change(message)))
    assert handled.outcome == reason, handled.why
    assert handled.why
    assert '\n' not in handled.why
    assert handled.publication is not None
    assert handled.publication.to == DEAD
    assert worker.handle(encode(message)).outcome == DONE


def test_a_forged_signature_is_refused(hospital: Hospital) -> None:
    """An update whose signature is another one's, or cut off: tampered, though its seal is sound."""
    device, worker = hospital.dispatcher('device'), hospital.dispatcher('crypto')
    slip = (TO_DEVICE, AT_DEVICE, FROM_DEVICE)
    updates = []
    for job in (1, 2):
        down = worker.handle(encode(hospital.model(job, 0, first_model(0, 2), slip))).publication
        assert down is not None
        updates.append(device.handle(down.body).result)
    first, second = updates
    assert first is not None
    assert second is not None
    n_bytes = 2420  # FIPS 204 table 2: the signature of ML-DSA-44
    for body in (first.body[:-n_bytes] + second.body[-n_bytes:], first.body[-n_bytes + 1:]):
        assert worker.handle(encode(replace(first, body=body))).outcome == 'tampered'
    assert worker.handle(encode(first)).outcome == DONE


def test_a_worker_that_fails_at_a_message_goes_on(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours that one message brings to light: that message is a dead letter, and the next one is done."""
    worker = hospital.dispatcher('crypto')

    def fail(*_: object) -> None:
        raise ZeroDivisionError('one\ntwo')

    with monkeypatch.context() as patched:
        patched.setitem(dispatching.FUNCTIONS, 'aead.open', fail)  # type: ignore[arg-type]
        handled = worker.handle(encode(hospital.vitals(1, 0)))
    assert (handled.outcome, handled.why) == ('failed', 'ZeroDivisionError: one\\ntwo')
    assert worker.handle(encode(hospital.vitals(2, 0))).outcome == DONE


def test_a_disk_that_takes_nothing_stops_a_worker(hospital: Hospital, tmp_path: Path) -> None:
    """An update that cannot be kept is not the message's fault: the error is raised, so it is not acknowledged."""
    server = hospital.dispatcher('server', folder=tmp_path / 'updates')
    (tmp_path / 'updates' / '0000000000').write_text('a file where a folder must be')
    with pytest.raises(OSError, match='0000000000'):
        server.handle(encode(hospital.update(1, first_model(0, 2))))


def test_a_full_queue_makes_a_reply(hospital: Hospital) -> None:
    """The next place takes no more: the reply says dropped, with the times of the legs that were done, and no body."""
    worker = hospital.dispatcher('crypto')
    handled = worker.handle(encode(hospital.model(1, 0, first_model(0, 2), (TO_DEVICE, AT_DEVICE))))
    dropped = worker.dropped(handled).publication
    assert dropped is not None
    assert dropped.to == REPLY
    reply = decode(dropped.body)
    assert (reply.outcome, reply.done, len(reply.timings), reply.body) == ('dropped', 1, 1, b'')


def test_the_last_publication_is_told_in_the_next_message(hospital: Hospital) -> None:
    """When the message before was sent and confirmed stands in the record of the leg."""
    worker = hospital.dispatcher('crypto')
    first = worker.handle(encode(hospital.vitals(1, 0)))
    worker.confirmed(first, 17, 19)
    second = worker.handle(encode(hospital.vitals(2, 0))).result
    assert first.result is not None
    assert second is not None
    (before,), (after,) = first.result.timings, second.timings
    assert (before.published_ns, before.confirmed_ns, after.published_ns, after.confirmed_ns) == (0, 0, 17, 19)


def test_updates_are_summed_once_all_are_there(hospital: Hospital, tmp_path: Path) -> None:
    """The reply to the last update has the average; the others' have nothing; a copy of any has the same average."""
    server = hospital.dispatcher('server', folder=tmp_path)
    models = [replace(first_model(i, 2), values=struct.pack('<2f', i, 7)) for i in range(2)]
    raws = [encode(hospital.update(i, model)) for i, model in enumerate(models)]
    first, second = (server.handle(raw).result for raw in raws)
    assert first is not None
    assert second is not None
    assert first.body == b''
    average = Parameters.from_bytes(second.body)
    assert average.values == struct.pack('<2f', (40 * 0 + 53 * 1) / 93, 7)
    assert [each.result.body for each in map(server.handle, raws) if each.result] == [second.body] * 2


def test_a_model_for_a_group_is_sealed_once_for_all(hospital: Hospital) -> None:
    """The server seals under the group's key for the group: whoever has the key opens it, and so not as its own."""
    message = hospital.plain(1, 0, 'fl-publish', (Leg('server', 0, 1),), b'model')
    result = hospital.dispatcher('server', 'server').handle(encode(message)).result
    assert result is not None
    assert result.sealed_by is not None
    assert result.receiver == message.key.subject
    sender = subject_id('server').hex()
    key = OpeningKey(hospital.bound.aead, hospital.store.session[message.key], Direction.DOWN, sender)
    sealed = Sealed(result.sealed_by.boot_id, result.sealed_by.counter, result.body)
    assert key.open(sealed, result.associated_data()).plaintext == b'model'
