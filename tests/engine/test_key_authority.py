"""The life of keys on models of a few rows, against calculation by hand."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sim.building import Hop, ModelBuilder
from sim.key_authority import KeyAuthority
from sim.model import CHECKS_KEY, DELAY, DELIVERED, OWN_CPU, REJECTED, SEALS, SERVE, KeyPlan, Model, RevocationPlan
from sim.results.recording import KeyRow, Recording
from tests.engines import Engine
from tests.tables import finished, jobs

REKEY_S, RECORD_S, ACTIVATE_S, ENROL_S, GROUP_S = 2.0, 0.5, 0.25, 4.0, 1.0
AGREED_S = REKEY_S + RECORD_S + ACTIVATE_S
NOTICE_S = (1.0, 3.0)  # to each of two places
DEVICES, PLACES = np.arange(3), np.array([3, 4])
PLAN = KeyPlan(
    devices=DEVICES, places=PLACES, members=np.empty(0, np.int64), every_s=1e6, rounds=0, usage_bytes=1 << 54,
    usage_check_s=1e6, overlap_s=5.0, expiry_s=2e6, deadline_s=60.0, retry_s=7.0, ends_s=100.0, revocations=())


def hospital(open_s: float = 0.0, outages: tuple[tuple[float, float], ...] = ()) -> Model:
    """Return three devices that send 100 bytes a second each, and two places; exchanges last what is said above.

    Rekeying needs the authority, which is down at times; messages are opened `open_s` after they were sealed.
    """
    b = ModelBuilder()
    free = b.curve((0.0,), (0.0,))
    authority = b.station('authority')
    device, *places = b.class_('device'), b.class_('place 1'), b.class_('place 2')
    b.entities(device, [-1] * DEVICES.size)
    for place in places:
        b.entities(place, [-1])
    seal = Hop(SERVE, OWN_CPU, 'aead.seal', curve=free, amount=100.0, flags=SEALS)
    opened = Hop(SERVE, b.station('worker'), 'aead.open', curve=free, flags=CHECKS_KEY)
    vitals = b.stream('vitals', 'vitals')
    b.route(vitals, device, [seal, Hop(DELAY, -1, 'wait', amount=open_s), opened])
    b.source(vitals, device, 2, listed=[(i, t + 0.5) for i in range(DEVICES.size) for t in range(100)])
    asked = Hop(SERVE, authority, 'ask', curve=free)
    exchanges = {'rekey': REKEY_S, 'key-activate': ACTIVATE_S, 'enrol': ENROL_S, 'group-key': GROUP_S, 'revoke': 0.0}
    for name, seconds in exchanges.items():
        b.route(b.stream(name, name), device, [asked, Hop(DELAY, -1, name, amount=seconds)])
    for place, seconds in zip(places, NOTICE_S, strict=True):
        b.route(b.stream('key-record', 'key-record'), place, [Hop(DELAY, -1, 'key-record', amount=RECORD_S)])
        b.route(b.stream('revoke-notice/0', 'revoke-notice'), place, [Hop(DELAY, -1, 'notice', amount=seconds)])
    b.changes = [(time_s, 'authority', up) for begin, end in outages for time_s, up in ((begin, False), (end, True))]
    return b.build(duration_s=100.0, drain_s=0.0)


def live(engine: Engine, plan: KeyPlan, model: Model) -> tuple[list[KeyRow], Recording]:
    """Run a model under a key authority with a plan."""
    rows: list[KeyRow] = []
    return rows, engine(model, controllers=tuple(KeyAuthority(plan, rows).controllers()))


def of_device(recording: Recording, device: int) -> list[tuple[float, int]]:
    """Return when a device sealed each of its messages, and what became of them."""
    table = jobs(recording)
    mine = (table['entity'] == device) & (table['stream'] == recording.model.streams.index('vitals'))
    return list(zip(table['launched_s'][mine].tolist(), table['outcome'][mine].tolist(), strict=True))


def revocation(devices: list[int], at_s: float, enrol_again_s: float = math.inf) -> KeyPlan:
    """Return the plan with one revocation."""
    return replace(PLAN, revocations=(RevocationPlan('revoke-notice/0', np.array(devices), at_s, enrol_again_s),))


def test_keys_are_replaced_at_their_age(engine: Engine) -> None:
    """First within 20 s at a drawn time, then each is due 20 s after the last was in use, which was AGREED_S later."""
    rows, recording = live(engine, replace(PLAN, every_s=20.0, expiry_s=50.0), hospital())
    for device in DEVICES.tolist():
        mine = [row for row in rows if row.entity == device]
        assert 0.0 <= mine[0].due_s < 20.0
        n_due = 1 + math.floor((100.0 - mine[0].due_s) / (20.0 + AGREED_S))
        assert len(mine) == n_due
        for row, following in pairwise(mine):
            assert row.ended_s == pytest.approx(row.due_s + AGREED_S, abs=1e-9)
            assert following.due_s == row.ended_s + 20.0
        assert [row.epoch for row in mine] == list(range(n_due))
    assert {row.cause for row in rows} == {'time'}
    assert len(finished(recording, 'rekey')) == len(rows)
    n_told = sum(math.isfinite(row.ended_s) or row.due_s + REKEY_S <= 100.0 for row in rows)
    assert len(finished(recording, 'key-record')) == PLACES.size * n_told


def test_old_key_opens_until_the_overlap_is_over(engine: Engine) -> None:
    """Messages are opened 8 s after they were sealed; the overlap is 5 s from when the places have the new key.

    They have it ACTIVATE_S before it is used. Opened within [use - ACTIVATE_S + 5 s, use + 8 s), messages were sealed
    under the old key, and are refused; others are not.
    """
    rows, recording = live(engine, replace(PLAN, every_s=60.0, expiry_s=150.0), hospital(open_s=8.0))
    n_refused = 0
    for device in DEVICES.tolist():
        used = [row.ended_s for row in rows if row.entity == device and math.isfinite(row.ended_s)]
        for sealed_s, outcome in of_device(recording, device):
            if sealed_s + 8.0 < 100.0:
                refused = any(sealed_s < use <= sealed_s + 8.0 - 5.0 + ACTIVATE_S for use in used)
                n_refused += refused
                assert outcome == (REJECTED if refused else DELIVERED)
    assert n_refused > 0


def test_overlap_that_ends_before_the_new_key_is_used_leaves_a_gap(engine: Engine) -> None:
    """Each place begins the overlap when it has the new key, as `hil.keys` does, whatever the device knows of it.

    The authority goes down 2.25 s after a key was due, when it has answered but the places do not have the key yet, and
    for 30 s: the places have it at 2.5, the old key ends at 7.5, and the new one is used when the authority is back.
    """
    plan = replace(PLAN, every_s=90.0, expiry_s=200.0, deadline_s=60.0)
    undisturbed, _ = live(engine, plan, hospital())
    device, due_s = next((row.entity, row.due_s) for row in undisturbed if 5.0 < row.due_s < 50.0)
    down, up = due_s + REKEY_S + RECORD_S / 2, due_s + 30.0
    rows, recording = live(engine, plan, hospital(outages=((down, up),)))
    row = next(row for row in rows if row.entity == device)
    assert row.ended_s == pytest.approx(up + ACTIVATE_S, abs=1e-9)
    told_s = due_s + REKEY_S + RECORD_S
    assert [sealed_s for sealed_s, outcome in of_device(recording, device) if outcome == REJECTED] == [
        t + 0.5 for t in range(100) if told_s + PLAN.overlap_s <= t + 0.5 < row.ended_s]


def test_keys_are_replaced_when_they_have_sealed_enough(engine: Engine) -> None:
    """100 bytes a second, 1,000 bytes a key, a look every 4 s: the first key is replaced at 12, the second at 28.

    The key in use from 14.75 on has sealed no message before 15.5, so its tenth is at 24.5, which is seen at 28.
    """
    rows, _ = live(engine, replace(PLAN, usage_bytes=1_000, usage_check_s=4.0), hospital())
    assert [row.due_s for row in rows if row.entity == 0][:3] == [12.0, 28.0, 44.0]
    assert {row.cause for row in rows} == {'usage'}


def test_revoked_device_is_usable_until_every_place_knows(engine: Engine) -> None:
    """Revoked at 10, the places know at 11 and 13: 3 s of exposure; what comes after 13 is refused, of it alone."""
    rows, recording = live(engine, revocation([1], 10.0), hospital())
    assert [(row.event, row.entity, row.due_s, row.ended_s) for row in rows] == [('revocation', 1, 10.0, 13.0)]
    assert of_device(recording, 1) == [(t + 0.5, DELIVERED if t + 0.5 < 13.0 else REJECTED) for t in range(100)]
    assert all(outcome == DELIVERED for _, outcome in of_device(recording, 0))


def test_notice_that_does_not_come_in_time_is_sent_again(engine: Engine) -> None:
    """A notice may take 2 s, and one place takes 3: it is tried again after 7 s each time, the device never refused."""
    rows, recording = live(engine, replace(revocation([1], 10.0), deadline_s=2.0), hospital())
    assert rows[0].attempts == 1 + (100 - 10 - 2) // 9 + 1
    assert math.isnan(rows[0].ended_s)
    assert all(outcome == DELIVERED for _, outcome in of_device(recording, 1))


def test_device_that_enrols_again_is_admitted_with_a_new_key(engine: Engine) -> None:
    """Revoked at 10, enrolled from 20 on: a certificate at 24, a key in use at 26.75; refused from 13 until then."""
    rows, recording = live(engine, revocation([1], 10.0, 20.0), hospital())
    assert [(row.event, row.cause, row.due_s, row.ended_s) for row in rows] == [
        ('revocation', 'revoked', 10.0, 13.0), ('enrolment', 'revoked', 20.0, 20.0 + ENROL_S),
        ('rekey', 'enrolled', 24.0, 24.0 + AGREED_S)]
    assert [sealed_s for sealed_s, outcome in of_device(recording, 1) if outcome == REJECTED] == [
        t + 0.5 for t in range(13, 27) if t + 0.5 < 26.75]


def test_outage_of_the_authority_delays_keys_until_they_expire(engine: Engine) -> None:
    """A key is replaced after 20 s and refused after 40; the authority is down from 1 to 80.

    Exchanges wait at the authority beyond their deadline of 15 s and are begun again 7 s later. The device is refused
    from the age of 40 s on, until it uses a key agreed on after 80.
    """
    plan = replace(PLAN, every_s=20.0, expiry_s=40.0, deadline_s=15.0)
    rows, recording = live(engine, plan, hospital(outages=((1.0, 80.0),)))
    first = [next(row for row in rows if row.event == 'rekey' and row.entity == device) for device in DEVICES.tolist()]
    late = [row for row in first if row.due_s > 1.0]
    assert late
    for row in late:
        assert row.attempts == 2 + math.floor((80.0 - row.due_s - 15.0) / 22.0)
        expired = next(each for each in rows if each.event == 'expiry' and each.entity == row.entity)
        assert expired.ended_s == pytest.approx(row.due_s + 20.0, abs=1e-9)
        for sealed_s, outcome in of_device(recording, row.entity):
            assert outcome == (REJECTED if expired.ended_s <= sealed_s < row.ended_s else DELIVERED)


def test_revoking_a_member_gives_the_others_a_new_group_key(engine: Engine) -> None:
    """Devices 0 and 1 hold the group key; 1 is revoked at 10: device 0 alone has a new one at 11, places at 11.5."""
    rows, recording = live(engine, replace(revocation([1], 10.0), members=np.array([0, 1])), hospital())
    [group] = [row for row in rows if row.event == 'group']
    assert (group.entity, group.due_s, group.ended_s) == (-1, 10.0, 11.5)
    assert finished(recording, 'group-key', 0) == [11.0]
    assert finished(recording, 'group-key', 1) == []


def test_each_new_group_key_is_the_next_epoch_whatever_the_order_of_the_revocations(engine: Engine) -> None:
    """Of three members one is revoked at 30 and, named behind it, another at 10: epoch 0 ends at 10, epoch 1 at 30."""
    late, early = (RevocationPlan('revoke-notice/0', np.array([device]), at_s, math.inf)
                   for device, at_s in ((0, 30.0), (1, 10.0)))
    rows, _ = live(engine, replace(PLAN, members=DEVICES, revocations=(late, early)), hospital())
    assert [(row.due_s, row.epoch) for row in rows if row.event == 'group'] == [(10.0, 0), (30.0, 1)]


def test_revoking_somebody_else_leaves_the_group_key(engine: Engine) -> None:
    """Device 2 is no member: nobody gets a new group key."""
    rows, recording = live(engine, replace(revocation([2], 10.0), members=np.array([0, 1])), hospital())
    assert len(rows) == 1
    assert finished(recording, 'group-key') == []


def test_revocation_ends_an_exchange_that_is_under_way(engine: Engine) -> None:
    """A device is revoked 1 s after its new key was due: it never gets it, and takes another once it is enrolled."""
    undisturbed, _ = live(engine, replace(PLAN, every_s=90.0, expiry_s=200.0), hospital())
    device, due_s = undisturbed[0].entity, undisturbed[0].due_s
    plan = replace(revocation([device], due_s + 1.0, due_s + 5.0), every_s=90.0, expiry_s=200.0)
    rows, _ = live(engine, plan, hospital())
    mine = [(row.event, row.cause) for row in rows if row.entity == device and math.isfinite(row.ended_s)]
    assert mine == [('revocation', 'revoked'), ('enrolment', 'revoked'), ('rekey', 'enrolled')]


def test_device_revoked_in_the_pause_before_another_attempt_gets_no_key(engine: Engine) -> None:
    """An exchange fails after 4 s and is due again at 11; its device is revoked at 6, and refused from 9 on."""
    every_s = replace(PLAN, every_s=90.0, expiry_s=200.0, deadline_s=4.0)
    undisturbed, _ = live(engine, every_s, hospital())
    device, due_s = next((row.entity, row.due_s) for row in undisturbed if 1.0 < row.due_s < 80.0)
    plan = replace(every_s, revocations=revocation([device], due_s + 6.0).revocations)
    rows, recording = live(engine, plan, hospital(outages=((due_s - 0.5, due_s + 5.0),)))
    mine = [(row.event, row.cause) for row in rows if row.entity == device and math.isfinite(row.ended_s)]
    assert mine == [('revocation', 'revoked')]
    late = [outcome for sealed_s, outcome in of_device(recording, device) if sealed_s > due_s + 9.0]
    assert late
    assert set(late) == {REJECTED}
