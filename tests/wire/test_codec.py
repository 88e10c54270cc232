"""The codec: what is sent comes back, and what anybody else makes of it is refused or caught by the seal."""

import struct
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.broker.settings import BODY_BYTES_MAX
from hil.crypto.aead import aead
from hil.crypto.errors import CryptoError
from hil.crypto.sealing import Direction, OpeningKey, Sealed, SealingKey
from hil.keys.messages import subject_id
from hil.wire import names
from hil.wire.codec import HEADER_BYTES_MAX, VERSION, decode, encode
from hil.wire.errors import DeadLetterError, MalformedError, OversizedError, UnknownVersionError
from hil.wire.message import SLIP_MAX, KeyId, Leg, Message, SealedBy, StageTime, Timing
from sim import flows
from tests.wire.messages import legs_of, messages

# Of these a seal says nothing: workers change them, or they only steer a message (docs/wire.md).
NOT_SEALED = {'attempt', 'priority', 'deadline_ns', 'slip', 'done', 'outcome', 'timings'}
SESSION = bytes(range(32))


def telemetry() -> tuple[Message, OpeningKey]:
    """Return a sealed message on its second leg with a timing, and the key that opens it."""
    cipher = aead('AES-128-GCM')
    timing = Timing(subject_id('pi-1'), bytes(8), False, 1, 2, 3, 4, 5, (StageTime(7, 10, 9),))
    message = Message(names.run_id('ward'), 7, 0, 'fl-update', frozenset({flows.PAIRWISE}), 1, 10**9,
                      (Leg('crypto', 2, 4), Leg('device', 7, 12), Leg('crypto', 15, 17, 5_000_000)), 1, '',
                      KeyId(subject_id('pump-1'), 3), subject_id('pi-1'), subject_id('pump-1'),
                      SealedBy(3, bytes(16), 0), (timing,), b'')
    sealed = SealingKey(cipher, SESSION, Direction.DOWN, 'pi-1').seal(b'model', message.associated_data())
    message = replace(message, sealed_by=SealedBy(3, sealed.boot_id, sealed.counter), body=sealed.body)
    return message, OpeningKey(cipher, SESSION, Direction.DOWN, 'pi-1')


@given(message=messages())
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    """Messages of every flow, with any options, slip, timings and body."""
    assert decode(encode(message)) == message


@settings(max_examples=300)
@given(message=messages(), at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_message_has_one_form(message: Message, at: int, byte: int) -> None:
    """Bytes with any one replaced: refused, or what is read encodes to exactly those bytes."""
    raw = bytearray(encode(message))
    raw[at % len(raw)] = byte
    try:
        read = decode(bytes(raw))
    except DeadLetterError:
        return
    assert encode(read) == raw


@settings(max_examples=50)
@given(message=messages())
def test_every_truncation_and_every_extension_is_refused(message: Message) -> None:
    """Each shorter beginning of a message, and the message with bytes behind it."""
    raw = encode(message)
    for n_bytes in range(len(raw)):
        with pytest.raises(MalformedError):
            decode(raw[:n_bytes])
    for more in (b'\0', raw):
        with pytest.raises(MalformedError, match='bytes; there are'):
            decode(raw + more)


def test_every_flipped_bit_is_refused_or_caught_by_the_seal() -> None:
    """Each bit of a sealed message: the codec or the seal refuses it, unless it is in a field that no seal covers."""
    message, key = telemetry()
    raw = encode(message)
    assert key.open(Sealed(message.sealed_by.boot_id, 0, message.body), message.associated_data()).plaintext == b'model'
    n_refused = n_caught = n_steering = 0
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            read = decode(bytes(flipped))
        except DeadLetterError:
            n_refused += 1
            continue
        changed = {name for name in Message.__slots__ if getattr(read, name) != getattr(message, name)}
        assert len(changed) == 1
        if changed <= NOT_SEALED:
            n_steering += 1
            continue
        assert read.sealed_by is not None
        with pytest.raises(CryptoError):
            key.open(Sealed(read.sealed_by.boot_id, read.sealed_by.counter, read.body), read.associated_data())
        n_caught += 1
    assert min(n_refused, n_caught, n_steering) > 0
    assert n_caught > 8 * (16 + 8 + 16 + 8 + 16 + 16 + 16 + 8)  # run, job, key, sender, receiver, nonce; and the body


@pytest.mark.parametrize('change', [
    {'run': bytes(16)}, {'job': 8}, {'flow': 'vitals'}, {'options': frozenset({flows.SIGNED})},
    {'sealed_by': SealedBy(4, bytes(16), 0)}, {'sender': bytes(16)}, {'receiver': bytes(16)},
    {'key': KeyId(bytes(16), 3)}, {'key': KeyId(subject_id('pump-1'), 4)}])
def test_each_sealed_field_moves_the_associated_data(change: dict[str, object]) -> None:
    """Run, job, flow, options, stage, sender, receiver, the key's subject and its epoch."""
    message, _ = telemetry()
    assert replace(message, **change).associated_data() != message.associated_data()  # type: ignore[arg-type]


@pytest.mark.parametrize('change', [
    {'attempt': 3}, {'priority': 2}, {'deadline_ns': 0}, {'done': 0}, {'slip': ()}, {'timings': ()},
    {'outcome': 'dropped'}, {'sealed_by': SealedBy(3, bytes(16), 9)}])
def test_what_changes_on_the_way_is_not_in_the_associated_data(change: dict[str, object]) -> None:
    """Attempt, priority, deadline, slip, outcome and timings; the nonce is authenticated by being the nonce."""
    message, _ = telemetry()
    assert replace(message, **change).associated_data() == message.associated_data()  # type: ignore[arg-type]


@pytest.mark.parametrize(('change', 'says'), [
    ({'slip': (Leg('crypto', 15, 17), Leg('crypto', 2, 4)), 'done': 1}, 'another place than the last'),
    ({'slip': (Leg('crypto', 15, 17), Leg('device', 7, 12)), 'done': 1}, 'stages from 17'),
    ({'slip': (Leg('crypto', 2, 4), Leg('device', 3, 5)), 'done': 1}, 'stages from 4'),
    ({'slip': (Leg('device', 2, 4), Leg('crypto', 15, 17))}, 'other places'),
    ({'slip': (Leg('crypto', 2, 3), Leg('crypto', 15, 17))}, 'nothing to do'),
    ({'slip': (Leg('crypto', 2, 4, 60_000_000_001), Leg('device', 7, 12))}, 'at most 60000000000'),
    ({'slip': (Leg('crypto', 4, 4), Leg('device', 7, 12))}, 'stages from 0'),
    ({'slip': (Leg('crypto', 2, 4), Leg('device', 7, 200))}, 'stages from 4'),
    ({'slip': (Leg('moon', 2, 4), Leg('device', 7, 12))}, 'leg moon'),
    ({'slip': ()}, '1 of 0 legs'),
    ({'slip': (Leg('crypto', 2, 4),) * 17}, '1 of 17 legs'),
    ({'done': 4}, '4 of 3 legs'), ({'done': 2}, '1 timings of 2 legs'), ({'timings': ()}, '0 timings of 1 legs'),
    ({'outcome': 'delivered'}, 'delivered'), ({'outcome': 'dropped'}, 'dropped'), ({'outcome': 'lost'}, 'outcome'),
    ({'flow': 'gossip'}, 'gossip'), ({'options': frozenset({'fast'})}, 'fast'), ({'priority': 8}, 'priority 8'),
    ({'run': b''}, 'wrong length'), ({'sender': bytes(17)}, 'wrong length'), ({'job': 2**64}, 'does not fit'),
    ({'job': -1}, 'does not fit'), ({'attempt': 2**16}, 'does not fit'),
    ({'sealed_by': SealedBy(17, bytes(16), 0)}, 'stage 17'), ({'sealed_by': SealedBy(3, b'', 0)}, 'stage 3')])
def test_what_means_nothing_is_not_sent(change: dict[str, object], says: str) -> None:
    """Slips that go back, stand still, leave the flow or do nothing; counts that differ; names that nobody knows."""
    message, _ = telemetry()
    with pytest.raises(MalformedError, match=says):
        encode(replace(message, **change))  # type: ignore[arg-type]


def test_a_slip_can_never_loop() -> None:
    """The longest slip that the codec takes, of any flow, visits each stage of the flow at most once."""
    for flow in names.FLOWS:
        slip = legs_of(flow, frozenset(names.OPTIONS))
        assert len(slip) <= SLIP_MAX
        stages = [stage for leg in slip for stage in range(leg.first, leg.end)]
        assert stages == sorted(set(stages))


def test_another_version_is_told_apart() -> None:
    """The next version, whatever else is in the bytes: an error of its own, for which workers are renewed."""
    raw = bytearray(encode(telemetry()[0]))
    struct.pack_into('>H', raw, 4, VERSION + 1)
    with pytest.raises(UnknownVersionError, match='version 2; this is 1'):
        decode(bytes(raw))
    with pytest.raises(UnknownVersionError):
        decode(bytes(raw[:12]))


def test_a_lying_length_costs_no_memory() -> None:
    """Headers that claim 4 GiB of body, 64 KiB of header, 255 legs: refused, and 64 KiB of memory are not passed."""
    raw = encode(telemetry()[0])
    lies = [raw[:6] + struct.pack('>HI', n_header, n_body) + raw[12:]
            for n_header, n_body in ((len(raw), 2**32 - 1), (2**16 - 1, 0), (0, len(raw)), (12, len(raw) - 12))]
    at_slip = 12 + 16 + 8 + 2 + 3 + 8 + 16 + 8 + 32 + 1 + 16 + 8 + 1
    lies += [raw[:at] + b'\xff' + raw[at + 1:] for at in (at_slip, at_slip + 1, at_slip + 2)]
    tracemalloc.start()
    try:
        for lie in lies:
            with pytest.raises((MalformedError, OversizedError)):
                decode(lie)
        assert tracemalloc.get_traced_memory()[1] < 2**16
    finally:
        tracemalloc.stop()


def test_a_message_has_a_limit() -> None:
    """A message as long as allowed passes, one byte more does not; nor does a header that would leave no room."""
    message, _ = telemetry()
    raw = encode(replace(message, body=bytes(1000)))
    assert decode(raw, len(raw)).body == bytes(1000)
    with pytest.raises(OversizedError, match=f'a message of {len(raw)} bytes; expected at most {len(raw) - 1}'):
        decode(raw, len(raw) - 1)
    with pytest.raises(OversizedError, match=f'a header of {HEADER_BYTES_MAX + 1} '):
        decode(raw[:6] + struct.pack('>HI', HEADER_BYTES_MAX + 1, 0) + bytes(HEADER_BYTES_MAX))
    assert BODY_BYTES_MAX < 16 * 2**20  # what RabbitMQ 4 takes


def test_the_longest_header_fits() -> None:
    """Of every flow the longest slip, all legs done with sixteen stages each: within the limit."""
    message, _ = telemetry()
    for flow in names.FLOWS:
        slip = tuple(legs_of(flow, frozenset(names.OPTIONS)))
        timing = replace(message.timings[0], stages=message.timings[0].stages * 16)
        longest = replace(message, flow=flow, options=frozenset(names.OPTIONS), slip=slip, done=len(slip),
                          outcome='delivered', timings=(timing,) * len(slip), sealed_by=None, body=b'')
        assert len(encode(longest)) <= HEADER_BYTES_MAX
    assert 12 + 163 + SLIP_MAX * (3 + 66 + 16 * 17) <= HEADER_BYTES_MAX


def test_the_lists_are_those_of_the_flows() -> None:
    """Every flow, option and place of the protocol's table has a code, and there is no code without one."""
    stages = [stage for table in flows.FLOWS.values() for stage in table]
    assert set(names.FLOWS) == set(flows.FLOWS)
    assert {stage.when for stage in stages} - {None} == set(names.OPTIONS)
    assert {stage.place for stage in stages} <= {*names.PLACES, 'network'}
    assert all(len(table) < 255 for table in flows.FLOWS.values())


def test_ids_of_messages_differ_by_job_and_leg() -> None:
    """A copy has the same AMQP message id, another job or leg another one, all of 36 characters."""
    message, _ = telemetry()
    ids = {replace(message, job=job, done=done).message_id for job in range(3) for done in range(3)}
    assert len(ids) == 9
    assert replace(message, attempt=2).message_id == message.message_id
    assert {len(each) for each in ids} == {36}
