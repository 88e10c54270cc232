"""The twin's ledger: which chains of stages are in flight on hardware, and how each of them ended, once.

A broker delivers at least once, and workers do again what they cannot know to have arrived. Here the first reply to a
chain counts; later ones are duplicates, with the attempt that they came of. Limits on chains and on bytes in flight
keep the broker's queues from filling up.

The ledger is in memory: a twin that dies takes its run with it, for the simulated half of the run is lost as well. So
there is nothing that a ledger on disk could be continued with.
"""

from collections import Counter
from dataclasses import dataclass

from hil.wire.message import Leg, Message
from sim.model import OUTCOMES

DUPLICATES_MAX = 100_000  # that are kept one by one; all are counted


@dataclass(frozen=True, slots=True, order=True)
class ChainId:
    """Names a chain, consecutive stages of a job on hardware, by the position of the first; a job may have several."""

    job: int
    first: int

    @classmethod
    def of(cls, message: Message) -> 'ChainId':
        """Return which chain a message is of."""
        return cls(message.job, message.slip[0].first)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a chain ended, and when by the twin's clock; the reply is there unless it never came."""

    outcome: str
    attempt: int
    launched_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class _InFlight:
    flow: str
    slip: tuple[Leg, ...]
    launched_ns: int
    deadline_ns: int
    n_bytes: int


class Ledger:
    """One run's chains. Invariant: each that was launched is in flight, or has ended in exactly one way.

    Parameters
    ----------
    run
        The run's id, 16 bytes.
    chains_max, bytes_max
        How many may be in flight, and of how many bytes together; one chain may always.
    """

    def __init__(self, run: bytes, chains_max: int, bytes_max: int) -> None:
        self.ended: dict[ChainId, Ended] = {}
        self.duplicates: list[tuple[ChainId, int]] = []  # with the attempt
        self.counts = Counter[str]()  # outcomes, `duplicate`, and `unknown`: replies to what was never launched
        self._run, self._chains_max, self._bytes_max = run, chains_max, bytes_max
        self._in_flight: dict[ChainId, _InFlight] = {}
        self._n_bytes = 0

    @property
    def n_in_flight(self) -> int:
        """How many chains are in flight."""
        return len(self._in_flight)

    def has_room(self, n_bytes: int) -> bool:
        """Return whether a message of so many bytes may be launched now."""
        return not self._in_flight or (
            len(self._in_flight) < self._chains_max and self._n_bytes + n_bytes <= self._bytes_max)

    def launch(self, message: Message, n_bytes: int, launched_ns: int) -> None:
        """Take note of a chain, before its message is published.

        Raises
        ------
        AssertionError
            If there is no room for it, or it was launched before.
        """
        chain = ChainId.of(message)
        if chain in self._in_flight or chain in self.ended:
            raise AssertionError(f'{chain} is launched a second time')
        if not self.has_room(n_bytes):
            raise AssertionError(f'{len(self._in_flight)} chains of {self._n_bytes} bytes are in flight; wait for room')
        self._in_flight[chain] = _InFlight(message.flow, message.slip, launched_ns, message.deadline_ns, n_bytes)
        self._n_bytes += n_bytes

    def take(self, reply: Message, received_ns: int) -> bool:
        """Return whether a reply is the first to its chain, which has ended by it.

        Parameters
        ----------
        received_ns
            When it was received, by the clock of `launch`.
        """
        chain = ChainId.of(reply)
        if chain in self.ended and reply.run == self._run:
            self.counts['duplicate'] += 1
            if len(self.duplicates) < DUPLICATES_MAX:
                self.duplicates.append((chain, reply.attempt))
            return False
        found = self._in_flight.get(chain)
        is_ours = found is not None and (reply.run, reply.flow, reply.slip) == (self._run, found.flow, found.slip)
        if found is None or not is_ours or not reply.is_reply:
            self.counts['unknown'] += 1
            return False
        is_late = bool(found.deadline_ns) and received_ns - found.launched_ns > found.deadline_ns
        outcome = 'expired' if reply.outcome == 'delivered' and is_late else reply.outcome
        self._end(chain, Ended(outcome, reply.attempt, found.launched_ns, received_ns))
        return True

    def refuse(self, chain: ChainId, now_ns: int) -> bool:
        """Return whether a chain was in flight and has now ended as `dropped`: the broker refused its message."""
        found = self._in_flight.get(chain)
        if found is not None:
            self._end(chain, Ended('dropped', 0, found.launched_ns, now_ns))
        return found is not None

    def close(self, dead: set[ChainId], now_ns: int) -> None:
        """End what is in flight: as `rejected` what lies in the dead letters, as `unfinished` the rest.

        A dead letter alone ends nothing: a damaged copy of a message must not stop the message itself.
        """
        for chain, found in list(self._in_flight.items()):
            outcome = 'rejected' if chain in dead else 'unfinished'
            self._end(chain, Ended(outcome, 0, found.launched_ns, now_ns))

    def _end(self, chain: ChainId, ended: Ended) -> None:
        assert ended.outcome in OUTCOMES, ended.outcome
        self._n_bytes -= self._in_flight.pop(chain).n_bytes
        self.ended[chain] = ended
        self.counts[ended.outcome] += 1
