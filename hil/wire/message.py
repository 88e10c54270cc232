"""A message as its receiver sees it, and the associated data of its seal.

What a seal authenticates is what makes a message this one: schema version, run, job, flow with its options, stage,
sender, receiver and key. What workers change on the way it does not: slip, timings, attempt. So who can write to a
queue can misroute a message or lie about times, and cannot make one job's bytes those of another.
"""

import struct
from dataclasses import dataclass, field

from hil.wire import names
from sim import flows

VERSION = 1
SLIP_MAX = 16  # legs; no flow has more places in a row
STAGES_MAX = 16  # of one leg, that are timed
PLAIN = 255  # in place of the stage that sealed a body
_ASSOCIATED = struct.Struct('>15sH16sQBBB16s16s16sQ')
_LABEL = b'iomtwin message'


@dataclass(frozen=True, slots=True)
class Leg:
    """A place of the slip, and which stages of the flow are done there: from `first` to before `end`.

    `hold_ns` is how long the leg is to take at least: a worker that plays a slower one is done no sooner.
    """

    place: str
    first: int
    end: int
    hold_ns: int = 0


@dataclass(frozen=True, slots=True)
class KeyId:
    """A session key: whose, and the how-manieth."""

    subject: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class SealedBy:
    """The stage that sealed the body, and the nonce: which start of the sender, and its counter."""

    stage: int
    boot_id: bytes
    counter: int


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage took, in ns: by the clock on the wall, and of the thread's CPU."""

    stage: int
    wall_ns: int
    cpu_ns: int


@dataclass(frozen=True, slots=True)
class Timing:
    """One leg on the clock of the worker that did it, in ns since that clock began.

    `published_ns` and `confirmed_ns` are of the message that this worker published before, 0 if there was none:
    a message cannot say when it will itself be confirmed. Two workers with the same `clock` read the same one.
    """

    node: bytes
    clock: bytes  # 8 bytes that name the kernel's start
    is_redelivered: bool
    received_ns: int
    started_ns: int
    finished_ns: int
    published_ns: int
    confirmed_ns: int
    stages: tuple[StageTime, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its header, and its body, sealed or not.

    `slip` is all legs, `done` how many of them are. A message with an outcome is the reply to its job: `delivered` when
    all legs are done, `dropped` when the queue of the next one was full.
    """

    run: bytes
    job: int
    attempt: int
    flow: str
    options: frozenset[str]
    priority: int
    deadline_ns: int  # from the launch on, 0 if there is none
    slip: tuple[Leg, ...]
    done: int
    outcome: str  # of `names.OUTCOMES`; '' while it is on its way
    key: KeyId
    sender: bytes
    receiver: bytes
    sealed_by: SealedBy | None
    timings: tuple[Timing, ...]
    body: bytes = field(repr=False)

    @property
    def is_reply(self) -> bool:
        """Return whether the job has ended."""
        return bool(self.outcome)

    @property
    def stages(self) -> tuple[tuple[int, flows.Stage], ...]:
        """Return the stages of the next leg with their positions in the flow, without those whose option is off."""
        leg = self.slip[self.done]
        return stages_of(self.flow, self.options, leg)

    @property
    def message_id(self) -> str:
        """Return the AMQP message id, 36 characters: the same for a copy, another for each leg of each job."""
        return f'{self.run.hex()[:16]}.{self.job:016x}.{self.done:02x}'

    def associated_data(self) -> bytes:
        """Return what the seal of the body authenticates beside it; of one length, so no two messages share it."""
        if self.sealed_by is None:
            raise AssertionError('a body that is not sealed has no associated data')
        return associated_data(self, self.sealed_by.stage, self.sender, self.receiver)


def associated_data(message: Message, stage: int, sender: bytes, receiver: bytes) -> bytes:
    """Return the associated data of a message that a stage seals."""
    return _ASSOCIATED.pack(_LABEL, VERSION, message.run, message.job, names.FLOWS.index(message.flow),
                            options_byte(message.options), stage, sender, receiver, message.key.subject,
                            message.key.epoch)


def options_byte(options: frozenset[str]) -> int:
    """Return options as a byte."""
    return sum(1 << names.OPTIONS.index(option) for option in options)


def stages_of(flow: str, options: frozenset[str], leg: Leg) -> tuple[tuple[int, flows.Stage], ...]:
    """Return the stages of a leg with their positions in the flow, without those whose option is off."""
    table = flows.FLOWS[flow]
    return tuple((i, table[i]) for i in range(leg.first, leg.end) if table[i].when is None or table[i].when in options)
