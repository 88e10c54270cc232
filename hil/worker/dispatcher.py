"""What a worker does with a delivery, without a broker: bytes in, publications out.

The process that owns the connections calls `handle`; publishes what it returns; when the broker has confirmed that,
calls `confirmed`; and then acknowledges the delivery. So a job is done at least once, and:

- a copy that comes after its result was confirmed is a *duplicate*: dropped, counted;
- a copy that comes before that (the connection broke in between) is done again, under the next nonce, because nobody
  can tell whether the result arrived; the twin takes the first reply;
- a nonce that comes for another job is a *replay*, and anything else that is not right has a reason of its own: it
  goes to the dead letters. No message stops a worker, unless it ends the process: then it is among the `Suspects`.

What stops it is its own: a disk that takes no updates is an `OSError`, after which the delivery goes back to the queue.
"""

import threading
import time
from collections import Counter, OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from hil.broker.names import DEAD, REPLY
from hil.broker.settings import BODY_BYTES_MAX
from hil.crypto.errors import CryptoError, ReplayError
from hil.keys.messages import subject_id
from hil.wire.codec import HEADER_BYTES_MAX, decode, encode
from hil.wire.errors import DeadLetterError, MisroutedError, UnknownRunError
from hil.wire.message import Message, StageTime, Timing
from hil.worker.stages import FUNCTIONS, Bench, Work
from hil.worker.suspects import Suspects
from sim.errors import one_line

DONE, DUPLICATE = 'done', 'duplicate'  # outcomes, beside the reasons of dead letters
CONFIRMED_MAX = 65_536  # results that are known to be confirmed; a copy of an older one is done again
ATTEMPT_MAX = 2**16 - 1


@dataclass(frozen=True)
class Publication:
    """A message to be sent: to a place, to the twin (`REPLY`), or to the dead letters (`DEAD`)."""

    to: str
    priority: int
    message_id: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Handled:
    """What came of a delivery."""

    outcome: str  # DONE, DUPLICATE, or the reason why it is a dead letter
    publication: Publication | None
    why: str = ''  # of a dead letter, one line
    result: Message | None = field(default=None, repr=False)
    nonce: tuple[bytes, int] | None = None  # of what was opened


class Dispatcher:
    """One worker of one place.

    Parameters
    ----------
    run
        The id of the run that it works for, 16 bytes.
    bench
        What it works with.
    clock
        What `Timing.clock` says; see `clock_id`.
    body_bytes_max
        What no message may be longer than.
    suspects
        Where it notes what it begins; none: it does not.
    is_padded
        Whether legs may say how long they take at least; else a message could stop a worker that is to be fast.
    """

    def __init__(self, run: bytes, bench: Bench, clock: bytes, body_bytes_max: int = BODY_BYTES_MAX,
                 suspects: Suspects | None = None, *, is_padded: bool = False) -> None:
        self._lock, self._counts = threading.Lock(), Counter[str]()
        self._run, self._bench, self._clock, self._body_bytes_max = run, bench, clock, body_bytes_max
        self._suspects, self._is_padded = suspects, is_padded
        self._confirmed = OrderedDict[tuple[bytes, int], None]()
        self._last_publish_ns = 0, 0

    @property
    def counts(self) -> dict[str, int]:
        """How many deliveries had which outcome; threads may ask at any time."""
        with self._lock:
            return dict(self._counts)

    def handle(self, raw: bytes, *, is_redelivered: bool = False, received_ns: int | None = None) -> Handled:
        """Return what comes of a delivery, whoever made its bytes.

        Parameters
        ----------
        received_ns
            When it was received, by `time.monotonic_ns`; now if not said.
        """
        started_ns = time.monotonic_ns()
        try:
            with nullcontext() if self._suspects is None else self._suspects.held(raw):
                handled = self._work(raw, is_redelivered, started_ns if received_ns is None else received_ns,
                                     started_ns)
        except DeadLetterError as why:
            handled = dead_letter(raw, why.reason, str(why))
        except ReplayError as why:
            handled = dead_letter(raw, 'replayed', str(why))
        except CryptoError as why:
            handled = dead_letter(raw, 'tampered', str(why))
        except OSError:
            raise
        except Exception as why:  # else its redelivery would end one worker after the other
            handled = dead_letter(raw, 'failed', one_line(f'{type(why).__name__}: {why}'))
        with self._lock:
            self._counts[handled.outcome] += 1
        return handled

    def confirmed(self, handled: Handled, published_ns: int, confirmed_ns: int) -> None:
        """Take note that the broker has what came of a delivery, and when it was sent and confirmed."""
        with self._lock:
            self._last_publish_ns = published_ns, confirmed_ns
            if handled.nonce is not None:
                self._confirmed[handled.nonce] = None
            if len(self._confirmed) > CONFIRMED_MAX:
                self._confirmed.popitem(last=False)

    def dropped(self, handled: Handled) -> Handled:
        """Return the reply for a job whose next queue was full."""
        if handled.result is None:
            raise AssertionError(f'{handled.outcome}: there is no job to drop')
        with self._lock:
            self._counts['dropped'] += 1
        result = replace(handled.result, outcome='dropped', body=b'', sealed_by=None)
        return replace(handled, result=result, publication=_publication(result))

    def _work(self, raw: bytes, is_redelivered: bool, received_ns: int, started_ns: int) -> Handled:
        """Do the next leg of a message."""
        message = decode(raw, self._body_bytes_max)
        self._check(message)
        work = Work(message, message.body, message.sealed_by, message.sender, message.receiver)
        times = []
        for at, stage in message.stages:
            wall_ns, cpu_ns = time.monotonic_ns(), time.thread_time_ns()
            FUNCTIONS[stage.name](self._bench, work, at)
            if work.is_duplicate and self._is_confirmed(work.nonce):
                return Handled(DUPLICATE, None)
            times.append(StageTime(at, time.monotonic_ns() - wall_ns, time.thread_time_ns() - cpu_ns))
        left_ns = started_ns + message.slip[message.done].hold_ns - time.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns * 1e-9)
        timing = Timing(self._bench.node, self._clock, is_redelivered, received_ns, started_ns, time.monotonic_ns(),
                        *self._last_publish_ns, tuple(times))
        done = message.done + 1
        has_payload = message.stages[-1][1].amount == 'payload'  # which stays where it was opened
        result = replace(
            message, attempt=min(message.attempt + is_redelivered, ATTEMPT_MAX), done=done, sender=work.sender,
            receiver=work.receiver, sealed_by=work.sealed_by, timings=(*message.timings, timing),
            body=b'' if has_payload and work.sealed_by is None else work.body,
            outcome='delivered' if done == len(message.slip) else '')
        return Handled(DONE, _publication(result), result=result, nonce=work.nonce)

    def _is_confirmed(self, nonce: tuple[bytes, int] | None) -> bool:
        with self._lock:
            return nonce in self._confirmed

    def _check(self, message: Message) -> None:
        """Refuse what is for another run or place, or asks for what nobody does."""
        if message.run != self._run:
            raise UnknownRunError(f'a message of run {message.run.hex()}; this worker is for {self._run.hex()}')
        if message.is_reply or message.slip[message.done].place != self._bench.place:
            raise MisroutedError(f'a message whose next leg is not {self._bench.place}; look at the queues')
        if message.slip[message.done].hold_ns and not self._is_padded:
            raise MisroutedError('a leg that is to take a time at least; start the worker with --padded')
        for _, stage in message.stages:
            if stage.name not in FUNCTIONS:
                raise MisroutedError(f'{stage.name} of {message.flow} is not done on hardware')


def dead_letter(raw: bytes, reason: str, why: str) -> Handled:
    """Return a dead letter: the beginning of what came, so that dead letters take little room."""
    return Handled(reason, Publication(DEAD, 0, '', raw[:HEADER_BYTES_MAX]), why)


def clock_id() -> bytes:
    """Return what names this kernel's start, and so its clock; 8 bytes."""
    return subject_id(Path('/proc/sys/kernel/random/boot_id').read_text())[:8]


def _publication(result: Message) -> Publication:
    to = REPLY if result.is_reply else result.slip[result.done].place
    return Publication(to, result.priority, result.message_id, encode(result))
