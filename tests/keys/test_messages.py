"""Messages: as long as a simulation counts them, and read in one way only."""

import re
import struct
from collections import defaultdict
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.crypto.suites import bind
from hil.keys import messages
from hil.keys.errors import TamperedError
from hil.keys.messages import Kind, enrolment_of, epoch_of, last_epoch, layout, read
from hil.keys.schedule import Terms
from sim import wire
from sim.suites import SUITES
from sim.wire import Trust

from .conftest import TRUSTS
from .hospital import NOW, PROVIDER, Hospital


def expected_bytes(kind: Kind, suite: str, trust: Trust) -> int:
    """Return what the simulation says of a message's length."""
    kem, aead, signature = SUITES[suite].kem, SUITES[suite].aead, SUITES[suite].signature
    sizes: dict[Kind, Callable[[], int]] = {
        Kind.ENROL_REQUEST: lambda: wire.enrol_request_bytes(signature),
        Kind.ENROL_ANSWER: lambda: wire.enrol_answer_bytes(signature),
        Kind.REKEY_REQUEST: lambda: wire.rekey_request_bytes(kem, signature, trust),
        Kind.REKEY_ANSWER: lambda: wire.rekey_answer_bytes(kem, signature, trust),
        Kind.REKEY_CONFIRM: wire.rekey_confirm_bytes,
        Kind.KEY_RECORD: lambda: wire.key_record_bytes(aead),
        Kind.KEY_ACKNOWLEDGE: lambda: wire.key_acknowledge_bytes(aead),
        Kind.KEY_ACTIVATE: wire.key_activate_bytes,
        Kind.REVOKE_NOTICE: lambda: wire.revoke_notice_bytes(signature, 1),
        Kind.GROUP_KEY: lambda: wire.group_key_bytes(aead),
    }
    return sizes[kind]()


def test_real_messages_are_as_long_as_a_simulation_counts_them(suite: str, trust: Trust) -> None:
    """Every kind of message of a whole life, by every suite and trust, against the functions of `sim.wire`."""
    hospital = Hospital(suite, trust, places=('server',), devices=('pump-1', 'pump-2'))
    hospital.begin('server')  # it may have another trust
    sent: dict[Kind, set[int]] = defaultdict(set)
    hospital.taps.append(lambda kind, raw, _: sent[kind].add(len(raw)))
    hospital.begin('pump-1', 'pump-2')
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    hospital.deliver(hospital.authority.revoke(['pump-1'], NOW))
    unsent = set() if trust == 'signed' else {Kind.ENROL_REQUEST, Kind.ENROL_ANSWER}
    assert set(sent) == set(Kind) - unsent
    assert {kind: {expected_bytes(kind, suite, trust)} for kind in sent} == sent


@pytest.mark.parametrize(('kind', 'suite', 'trust', 'n_bytes'), [
    (Kind.ENROL_REQUEST, 'classical', 'signed', 26 + 32 + 65 + 16 + 64),
    (Kind.ENROL_ANSWER, 'pqc-512', 'signed', 26 + 40 + 1312 + 2420),
    (Kind.REKEY_REQUEST, 'pqc-768', 'signed', 26 + 32 + 1184 + (40 + 1952 + 3309) + 3309),
    (Kind.REKEY_REQUEST, 'hybrid', 'pre-shared-kem', 26 + 32 + 1216 + 16),
    (Kind.REKEY_REQUEST, 'pqc-768', 'pre-shared', 26 + 32 + 16),
    (Kind.REKEY_ANSWER, 'pqc-1024', 'signed', 26 + 32 + 1568 + 16 + 3309),
    (Kind.REKEY_ANSWER, 'classical', 'pre-shared-kem', 26 + 32 + 32 + 16),
    (Kind.REKEY_ANSWER, 'classical', 'pre-shared', 26 + 32 + 16),
    (Kind.KEY_RECORD, 'pqc-768', 'signed', 26 + 16 + 16 + 64 + 16),
    (Kind.KEY_RECORD, 'classical', 'signed', 26 + 16 + 12 + 64 + 16),
    (Kind.KEY_ACKNOWLEDGE, 'pqc-768', 'signed', 26 + 16 + 16 + 24 + 16),
    (Kind.REVOKE_NOTICE, 'pqc-512', 'signed', 26 + 8 + 2420)])
def test_lengths_add_up_by_hand(kind: Kind, suite: str, trust: Trust, n_bytes: int) -> None:
    """Header, nonce, keys and tags of FIPS 203, FIPS 204, SEC 1 and RFC 7748, added up here."""
    assert expected_bytes(kind, suite, trust) == n_bytes
    assert sum(layout(kind, SUITES[suite], trust).values()) == n_bytes - 26


def test_the_page_says_how_long_messages_are() -> None:
    """Each row of the table in docs/key-life.md, for the three suites that it names, is what the wire counts."""
    page = (Path(__file__).parents[2] / 'docs/key-life.md').read_text(encoding='utf-8')
    suites = re.findall('`([^`]+)`', re.findall('Bytes of the suites ([^:]+):', page)[0])
    rows = re.findall(r'^\| (\d+) ([a-z-]+)(?:, ([a-z-]+))? \|.*\| ([\d /]+) \|$', page, re.MULTILINE)
    assert {Kind(int(number)) for number, *_ in rows} == set(Kind)
    assert len(rows) == len(Kind) + 2 * (len(TRUSTS) - 1)
    for number, name, trust, sizes in rows:
        kind = Kind(int(number))
        assert kind.name == name.upper().replace('-', '_')
        assert [int(each) for each in sizes.split('/')] == [
            expected_bytes(kind, suite, trust or 'signed') for suite in suites]


def test_nothing_is_sealed_where_there_is_no_aead() -> None:
    """Without an AEAD a simulated record is its header and its fields."""
    assert wire.key_record_bytes('none') == wire.KEY_HEADER_BYTES + wire.KEY_RECORD_BYTES


def test_the_tables_fit_the_structures() -> None:
    """What the wire counts of fields is what is packed into them."""
    assert messages.HEADER.size == wire.KEY_HEADER_BYTES
    assert messages.RECORD.size == wire.KEY_RECORD_BYTES
    assert messages.ACKNOWLEDGED.size == wire.ACKNOWLEDGED_BYTES
    assert messages.SINCE.size == wire.NOTICE_FIELDS_BYTES


@pytest.mark.parametrize('kind', Kind)
def test_another_length_kind_or_version_is_refused(kind: Kind, trust: Trust) -> None:
    """One byte more or less, nothing at all, every other kind, and another version."""
    suite = SUITES['classical']
    raw = messages.header(kind, bytes(16), 1) + bytes(sum(layout(kind, suite, trust).values()))
    assert read(raw, kind, suite, trust).raw == raw
    others = [raw[:-1], raw + b'\0', raw + bytes(15), b'', bytes([kind, 2]) + raw[2:],
              *(bytes([other]) + raw[1:] for other in range(256) if other != kind)]
    for other in others:
        with pytest.raises(TamperedError):
            read(other, kind, suite, trust)


def test_the_fields_are_in_the_order_of_the_page() -> None:
    """A rekey request cut by hand, at the offsets that its fields have."""
    raw = struct.pack('>BB16sQ', 3, 1, b'i' * 16, 7) + b'n' * 32 + b'k' * 32 + b'c' * (40 + 65 + 64) + b's' * 64
    message = read(raw, Kind.REKEY_REQUEST, SUITES['classical'])
    assert (message.kind, message.subject, message.epoch) == (Kind.REKEY_REQUEST, b'i' * 16, 7)
    assert {name: part[:1] for name, part in message.fields.items()} == {
        'nonce': b'n', 'public': b'k', 'certificate': b'c', 'signature': b's'}
    assert message.before('signature') == raw[:-64]
    assert message.before('nonce') == message.header == raw[:26]


def test_ids_differ_by_name_and_by_what_they_name() -> None:
    """A group has not the id of a subject of its name, nor has anybody the authority's."""
    ids = [messages.subject_id('a'), messages.subject_id('b'), messages.group_id('a'), messages.AUTHORITY_ID,
           messages.subject_id('authority'), messages.group_id('authority')]
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {16}


@given(enrolment=st.integers(1, 2**32 - 1), count=st.integers(0, 2**32 - 1))
def test_a_later_enrolment_has_later_epochs(enrolment: int, count: int) -> None:
    """Every epoch lies between the first and the last of its enrolment, and before all of the next one."""
    epoch = epoch_of(enrolment, count)
    assert enrolment_of(epoch) == enrolment
    assert epoch <= last_epoch(enrolment) < epoch_of(enrolment + 1, 0)
    assert epoch < 2**64


def test_no_two_purposes_share_a_context() -> None:
    """Suite, trust and purpose: every combination is another context for keys, tags and signatures."""
    suites = [bind(name, PROVIDER) for name in SUITES if name != 'interpreted']
    purposes = ['session key', *(f'{what} of {kind.name}' for kind in Kind for what in ('tag', 'signature'))]
    contexts = [Terms(suite, trust).context(purpose) for suite, trust, purpose in product(suites, TRUSTS, purposes)]
    assert len(set(contexts)) == len(contexts)
