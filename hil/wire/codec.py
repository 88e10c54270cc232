"""The one codec: messages to bytes, and bytes that anybody may have made to messages.

Each field has its place and its length, so that what is read is bounded before it is read, and a message has one form
only: whatever decodes encodes to the same bytes. No bit is without a meaning; each is refused, or read as something
else. docs/wire.md says why this is neither JSON nor MessagePack.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hil.broker.settings import BODY_BYTES_MAX
from hil.wire import names
from hil.wire.errors import MalformedError, OversizedError, UnknownVersionError
from hil.wire.message import (
    PLAIN,
    SLIP_MAX,
    STAGES_MAX,
    VERSION,
    KeyId,
    Leg,
    Message,
    SealedBy,
    StageTime,
    Timing,
    options_byte,
    stages_of,
)
from sim import flows
from sim.wire import BOOT_ID_BYTES, PRIORITIES_MAX

MAGIC = b'IoMT'
HEADER_BYTES_MAX = 8_192  # 16 legs with 16 stages each take 5.7 KB
HOLD_NS_MAX = 60_000_000_000  # of one leg: nobody stops a worker for longer than a model's aggregation may take
CLOCK_BYTES = 8
NO_BOOT = bytes(BOOT_ID_BYTES)

_PREFIX = struct.Struct('>4sHHI')  # magic, version, bytes of the header with this, bytes of the body
_FIXED = struct.Struct('>16sQHBBBQ16sQ16s16sB16sQBBBB')
_LEG = struct.Struct('>BBBQ')
_TIMING = struct.Struct('>16s8sBQQQQQB')
_STAGE = struct.Struct('>BQQ')


def encode(message: Message) -> bytes:
    """Return a message as bytes.

    Raises
    ------
    MalformedError
        If no receiver would take it: whoever made it has a mistake.
    """
    _check(message)
    sealed_by = message.sealed_by or SealedBy(PLAIN, NO_BOOT, 0)
    try:
        header = b''.join((
            _FIXED.pack(message.run, message.job, message.attempt, names.FLOWS.index(message.flow),
                        options_byte(message.options), message.priority, message.deadline_ns, message.key.subject,
                        message.key.epoch, message.sender, message.receiver, sealed_by.stage, sealed_by.boot_id,
                        sealed_by.counter, names.OUTCOMES.index(message.outcome), len(message.slip), message.done,
                        len(message.timings)),
            *(_LEG.pack(names.PLACES.index(leg.place), leg.first, leg.end, leg.hold_ns) for leg in message.slip),
            *map(_packed, message.timings)))
    except struct.error as why:
        raise MalformedError(f'a number does not fit its field ({why}); correct the sender') from None
    return _PREFIX.pack(MAGIC, VERSION, _PREFIX.size + len(header), len(message.body)) + header + message.body


def decode(raw: bytes, body_bytes_max: int = BODY_BYTES_MAX, *, is_cut: bool = False) -> Message:
    """Return the message that bytes are. Lengths are checked before anything else is read.

    Parameters
    ----------
    is_cut
        Whether the end of the body may be missing, as in a dead letter.

    Raises
    ------
    OversizedError
        If there are more bytes than a message may have.
    UnknownVersionError
        If the header is of another schema.
    MalformedError
        If they are no message, to the last byte.
    """
    if len(raw) > body_bytes_max:
        raise OversizedError(f'a message of {len(raw)} bytes; expected at most {body_bytes_max}')
    if len(raw) < _PREFIX.size:
        raise MalformedError(f'a message of {len(raw)} bytes, too short for a header')
    magic, version, n_header, n_body = _PREFIX.unpack_from(raw)
    if magic != MAGIC:
        raise MalformedError(f'the message begins with {magic.hex()}; expected {MAGIC.hex()}')
    if version != VERSION:
        raise UnknownVersionError(f'schema version {version}; this is {VERSION}: start workers and twin of one version')
    if n_header > HEADER_BYTES_MAX or n_header + n_body > body_bytes_max:
        raise OversizedError(f'a header of {n_header} and a body of {n_body} bytes; expected at most '
                             f'{HEADER_BYTES_MAX}, and {body_bytes_max} together')
    if n_header + n_body != len(raw) and not (is_cut and n_header <= len(raw) < n_header + n_body):
        raise MalformedError(f'the header says {n_header} + {n_body} bytes; there are {len(raw)}')
    cursor = _Cursor(raw, n_header, _PREFIX.size)
    message = _read(cursor, raw[n_header:])
    if cursor.at != n_header:
        raise MalformedError(f'{n_header - cursor.at} bytes of the header are left over')
    _check(message)
    return message


@dataclass
class _Cursor:
    """Where reading has come to in a header. Invariant: nothing at or behind its end is read."""

    raw: bytes
    end: int
    at: int

    def take(self, fields: struct.Struct) -> tuple[Any, ...]:
        """Return the next fields."""
        if self.at + fields.size > self.end:
            raise MalformedError(f'the header ends at byte {self.end}, within a field')
        found = fields.unpack_from(self.raw, self.at)
        self.at += fields.size
        return found


def _read(cursor: _Cursor, body: bytes) -> Message:
    """Return what a header says."""
    (run, job, attempt, flow, options, priority, deadline_ns, subject, epoch, sender, receiver, stage, boot_id, counter,
     outcome, n_slip, done, n_timings) = cursor.take(_FIXED)
    if n_slip > SLIP_MAX or n_timings > SLIP_MAX:
        raise MalformedError(f'{n_slip} legs and {n_timings} timings; expected at most {SLIP_MAX}')
    slip = tuple(_leg(*cursor.take(_LEG)) for _ in range(n_slip))
    timings = tuple(_timing(cursor) for _ in range(n_timings))
    if stage == PLAIN and (boot_id, counter) != (NO_BOOT, 0):
        raise MalformedError('a body that is not sealed has a boot id or a counter')
    sealed_by = None if stage == PLAIN else SealedBy(stage, boot_id, counter)
    return Message(run, job, attempt, _named(names.FLOWS, flow), _options(options), priority, deadline_ns, slip, done,
                   _named(names.OUTCOMES, outcome), KeyId(subject, epoch), sender, receiver, sealed_by, timings, body)


def _leg(place: int, first: int, end: int, hold_ns: int) -> Leg:
    return Leg(_named(names.PLACES, place), first, end, hold_ns)


def _timing(cursor: _Cursor) -> Timing:
    node, clock, flags, received, started, finished, published, confirmed, n_stages = cursor.take(_TIMING)
    if flags > 1:
        raise MalformedError(f'a timing with flags {flags}; expected 0 or 1')
    if n_stages > STAGES_MAX:
        raise MalformedError(f'a timing of {n_stages} stages; expected at most {STAGES_MAX}')
    stages = tuple(StageTime(*cursor.take(_STAGE)) for _ in range(n_stages))
    return Timing(node, clock, bool(flags), received, started, finished, published, confirmed, stages)


def _packed(timing: Timing) -> bytes:
    """Return the record of a leg as bytes."""
    fixed = _TIMING.pack(timing.node, timing.clock, timing.is_redelivered, timing.received_ns, timing.started_ns,
                         timing.finished_ns, timing.published_ns, timing.confirmed_ns, len(timing.stages))
    return fixed + b''.join(_STAGE.pack(each.stage, each.wall_ns, each.cpu_ns) for each in timing.stages)


def _named(known: Sequence[str], code: int) -> str:
    """Return a name by its byte."""
    if code >= len(known):
        raise MalformedError(f'code {code} names nothing; expected less than {len(known)}')
    return known[code]


def _options(byte: int) -> frozenset[str]:
    """Return the options that a byte holds."""
    if byte >> len(names.OPTIONS):
        raise MalformedError(f'options {byte:#x} of which there are but {len(names.OPTIONS)}')
    return frozenset(option for i, option in enumerate(names.OPTIONS) if byte >> i & 1)


def _check(message: Message) -> None:
    """Refuse what decodes and yet means nothing; of what is sent, and of what comes."""
    ids = (message.run, message.key.subject, message.sender, message.receiver, *(each.node for each in message.timings))
    clocks = [each.clock for each in message.timings]
    if any(len(each) != names.ID_BYTES for each in ids) or any(len(each) != CLOCK_BYTES for each in clocks):
        raise MalformedError('an id or a clock of the wrong length; correct the sender')
    if message.flow not in names.FLOWS or not message.options <= set(names.OPTIONS):
        raise MalformedError(f"flow '{message.flow}' with {', '.join(sorted(message.options)) or 'no options'} is not "
                             'in the lists of the schema')
    if message.priority >= PRIORITIES_MAX:
        raise MalformedError(f'priority {message.priority}; expected less than {PRIORITIES_MAX}')
    if not 0 < len(message.slip) <= SLIP_MAX or not 0 <= message.done <= len(message.slip):
        raise MalformedError(f'{message.done} of {len(message.slip)} legs are done; expected 1 to {SLIP_MAX} legs')
    if len(message.timings) != message.done or any(len(each.stages) > STAGES_MAX for each in message.timings):
        raise MalformedError(f'{len(message.timings)} timings of {message.done} legs')
    is_over = message.done == len(message.slip)
    if message.outcome not in names.OUTCOMES or (message.outcome == 'delivered') != is_over or (
            message.outcome == 'dropped' and message.body):
        raise MalformedError(f"outcome '{message.outcome}' with {message.done} of {len(message.slip)} legs done")
    _check_slip(message)
    sealed_by = message.sealed_by
    if sealed_by and (sealed_by.stage >= len(flows.FLOWS[message.flow]) or len(sealed_by.boot_id) != BOOT_ID_BYTES):
        raise MalformedError(f'a body sealed at stage {sealed_by.stage} of {message.flow}, which has no such stage')


def _check_slip(message: Message) -> None:
    """Refuse a slip that does not go forward through the flow: then it can neither loop nor do a stage twice."""
    table = flows.FLOWS[message.flow]
    behind, place = 0, ''
    for leg in message.slip:
        if leg.hold_ns > HOLD_NS_MAX:
            raise MalformedError(f'leg {leg.place} is to take {leg.hold_ns} ns; expected at most {HOLD_NS_MAX}')
        if leg.place not in names.PLACES or leg.place == place or not behind <= leg.first < leg.end <= len(table):
            raise MalformedError(f'leg {leg.place} {leg.first} to {leg.end} of {message.flow}; expected another place '
                                 f'than the last, and stages from {behind} to {len(table)}')
        if any(table[i].place != leg.place for i in range(leg.first, leg.end)):
            raise MalformedError(f'leg {leg.place} {leg.first} to {leg.end} of {message.flow}: work of other places')
        if not stages_of(message.flow, message.options, leg):
            raise MalformedError(f'leg {leg.place} {leg.first} to {leg.end} of {message.flow} has nothing to do')
        behind, place = leg.end, leg.place
