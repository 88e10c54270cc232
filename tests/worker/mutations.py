"""Ways to damage a message, each of them a thing that an attacker, a bug or a disk may do."""

import random
import struct
from collections.abc import Callable, Sequence

HEADER_BYTES = struct.Struct('>6xH')  # the length of the header, by docs/wire.md
# Where fields begin, by docs/wire.md: prefix 12, run 16, job 8, attempt 2, flow, options, priority, deadline 8,
# key 16 + 8, sender 16, receiver 16, stage 1, boot id 16, counter 8.
RUN, JOB, FLOW, PRIORITY, KEY, SENDER, STAGE, COUNTER, COUNTS = 12, 28, 38, 40, 49, 73, 105, 122, 130


def _flip(raw: bytearray, at: int, generator: random.Random) -> None:
    raw[at] ^= 1 << generator.randrange(8)


def _header(raw: bytearray, generator: random.Random) -> None:
    (n_header,) = HEADER_BYTES.unpack_from(raw)
    for _ in range(generator.randint(1, 8)):
        _flip(raw, generator.randrange(n_header), generator)


def _body(raw: bytearray, generator: random.Random) -> None:
    _flip(raw, generator.randrange(HEADER_BYTES.unpack_from(raw)[0], len(raw)), generator)


def _field(at: int, n_bytes: int) -> Callable[[bytearray, random.Random], None]:
    def mutate(raw: bytearray, generator: random.Random) -> None:
        _flip(raw, at + generator.randrange(n_bytes), generator)

    return mutate


def _cut(raw: bytearray, generator: random.Random) -> None:
    del raw[generator.randrange(len(raw)):]


def _longer(raw: bytearray, generator: random.Random) -> None:
    raw += generator.randbytes(generator.randint(1, 100))


def _noise(raw: bytearray, generator: random.Random) -> None:
    raw[:] = generator.randbytes(len(raw))


def _length(raw: bytearray, generator: random.Random) -> None:
    struct.pack_into('>HI', raw, 6, generator.randrange(2**16), generator.randrange(2**32))


def _version(raw: bytearray, generator: random.Random) -> None:
    struct.pack_into('>H', raw, 4, generator.randrange(2, 2**16))


def _same(raw: bytearray, generator: random.Random) -> None:
    """Leave it as it is: a redelivery."""
    del raw, generator


MUTATIONS: dict[str, Callable[[bytearray, random.Random], None]] = {
    'header': _header, 'body': _body, 'run': _field(RUN, 16), 'job': _field(JOB, 8), 'flow': _field(FLOW, 2),
    'steering': _field(PRIORITY, 9), 'key': _field(KEY, 24), 'sender': _field(SENDER, 16), 'stage': _field(STAGE, 1),
    'counter': _field(COUNTER, 8), 'slip': _field(COUNTS, 7), 'cut': _cut, 'longer': _longer, 'noise': _noise,
    'length': _length, 'version': _version, 'same': _same,
}
KINDS = tuple(MUTATIONS)


def mutated(sound: Sequence[bytes], generator: random.Random, kind: str | None = None) -> tuple[str, bytes]:
    """Return a damaged copy of one of some messages, and the kind of the damage."""
    kind = kind or generator.choice(KINDS)
    raw = bytearray(generator.choice(sound))
    if kind == 'body' and len(raw) == HEADER_BYTES.unpack_from(raw)[0]:
        kind = 'run'
    MUTATIONS[kind](raw, generator)
    return kind, bytes(raw)
