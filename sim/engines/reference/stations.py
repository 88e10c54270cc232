"""Stations: c servers of possibly unlike speed, and those who wait for them.

A piece of work brings an amount; a server of speed s takes amount / s seconds. Among idle servers the one idle
longest serves first, then the lowest index. Who waits is chosen by priority class, then in order of arrival;
a preemptive station puts work in service back to its place for work of a more urgent class, and resumes it.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from sim.laws import SERVICE_END, event_key
from sim.model import AHEAD, CONSUMER, FIFO, IN_TURN, PREEMPTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim.engines.reference.clock import Occurrence
    from sim.engines.reference.engine import Engine
    from sim.engines.reference.routes import HopRow, Job
    from sim.engines.reference.transfers import Transfer


class Work:
    """What a job (or one segment of it) asks of a station."""

    __slots__ = ('amount', 'arrived_s', 'attempt', 'delivery', 'epoch', 'first_started_s', 'gap_bits', 'hop', 'job',
                 'lost', 'order', 'position', 'remaining', 'segment', 'server', 'started_s', 'transfer')

    arrived_s: float
    order: tuple[int, int]  # priority class, arrival at the station
    started_s: float  # of the present slice of service

    def __init__(self, job: Job, position: int, hop: HopRow, amount: float, segment: int = 0,
                 transfer: Transfer | None = None) -> None:
        self.job = job
        self.attempt = job.attempt  # of the delivery that it belongs to; the job may be delivered again meanwhile
        self.delivery = job.delivery
        self.position = position
        self.hop = hop
        self.amount = self.remaining = amount
        self.segment = segment
        self.transfer = transfer
        self.lost = False
        self.gap_bits = 0.0  # of a segment's amount: silence
        self.epoch = 0  # grows when a planned end of service no longer holds
        self.server = -1
        self.first_started_s = -1.0


class Station:
    """Servers and a line in front of them. Invariant: no server idles while work waits and the station is up."""

    def __init__(self, engine: Engine, speeds: Iterable[float], *, row: int = -1, discipline: int = 0,
                 law_offset: int = 0) -> None:
        self.engine = engine
        self.env = engine.env
        self.row = row  # -1: an entity's own CPU
        self.speeds = list(speeds)
        self.n_servers = self._n_servers_first = len(self.speeds)
        self.discipline = discipline
        self.law_offset = law_offset
        self.up = True
        self._idle = [(0.0, server) for server in range(self.n_servers)]  # heap of (idle since, server)
        self._waiting: list[tuple[int, int, Work]] = []  # heap of (priority class, arrival, work)
        self._serving: dict[int, Work] = {}
        self._n_arrived = 0
        self._waiting_since_s = 0.0

    def arrive(self, work: Work) -> None:
        """Take new work: serve it now if a server is free, else let it wait."""
        work.arrived_s = self.env._now
        self._n_arrived += 1
        work.order = self._class_of(work), self._n_arrived
        if self._idle and self.up and not self._waiting:
            self._start(work, heappop(self._idle)[1])
            return
        if self.discipline == PREEMPTIVE and self._serving:
            current = self._serving[0]
            if work.order[0] < current.order[0]:
                self._suspend(current)
                self._start(work, heappop(self._idle)[1])
                return
        self._wait(work)

    def _class_of(self, work: Work) -> int:
        if self.discipline == IN_TURN:
            return 0 if work.hop.flags & AHEAD else 1
        return 0 if self.discipline == FIFO else work.job.priority

    def set_up(self, up: bool) -> None:
        """Go down or come up; work in service, or put back before, restarts later with the same amount."""
        if up == self.up:
            return
        self.up = up
        for _, work in sorted(self._serving.items()):
            self._suspend(work)
        for _, _, work in self._waiting:
            work.remaining = work.amount
        if up:
            self._idle = [(self.env._now, server) for server in range(self.n_servers)]
            self._dispatch()

    def set_servers(self, n: int) -> None:
        """Change the number of servers; one that is busy and to go finishes first.

        Servers beyond the first number repeat the speeds of the first ones.
        """
        self._idle = [(since, server) for since, server in self._idle if server < n]
        for server in range(self.n_servers, n):
            if server not in self._serving:
                self._idle.append((self.env._now, server))
            if server >= len(self.speeds):
                self.speeds.append(self.speeds[server % self._n_servers_first])
        heapify(self._idle)
        self.n_servers = n
        self._dispatch()

    def forget_deliveries(self) -> None:
        """Give up the work that a broker brought: this consumer is down, and the broker will deliver it again."""
        self._count_waiting()
        self._waiting = [entry for entry in self._waiting if entry[2].hop.station != CONSUMER]
        heapify(self._waiting)

    @property
    def n_waiting(self) -> int:
        """How much work waits."""
        return len(self._waiting)

    @property
    def n_busy(self) -> int:
        """How many servers are busy."""
        return len(self._serving)

    def close(self) -> None:
        """Account for what is still in service and waiting at the end of the run."""
        for _, work in sorted(self._serving.items()):  # in the order of the servers: sums of floats depend on it
            self._account(work)
        self._count_waiting()

    def _dispatch(self) -> None:
        while self.up and self._idle and self._waiting:
            self._count_waiting()
            _, _, work = heappop(self._waiting)
            self._start(work, heappop(self._idle)[1])

    def _wait(self, work: Work) -> None:
        self._count_waiting()
        heappush(self._waiting, (*work.order, work))

    def _count_waiting(self) -> None:
        now = self.env._now
        if self.row >= 0 and self._waiting:
            self.engine.record.add_waiting(self.row, len(self._waiting), self._waiting_since_s, now)
        self._waiting_since_s = now

    def _start(self, work: Work, server: int) -> None:
        now = self.env._now
        work.server = server
        work.started_s = now
        if work.first_started_s < 0.0:
            work.first_started_s = now
        self._serving[server] = work
        key = event_key(SERVICE_END, work.job.key, work.position, work.segment, work.attempt)
        self.env.at(now + work.remaining / self.speeds[server], key, self._end, (work, work.epoch))

    def _suspend(self, work: Work) -> None:
        """Take work out of service and back to its place in the line."""
        self._account(work)
        work.remaining -= (self.env._now - work.started_s) * self.speeds[work.server]
        work.epoch += 1
        del self._serving[work.server]
        self._free(work.server)
        self._wait(work)

    def _free(self, server: int) -> None:
        if server < self.n_servers:
            heappush(self._idle, (self.env._now, server))

    def _end(self, event: Occurrence) -> None:
        work, epoch = event._value
        if work.epoch != epoch:
            return
        self._account(work)
        server = work.server
        del self._serving[server]
        following = self.engine.next_of_visit(work, self) if work.transfer is None else None
        if following is not None:
            following.arrived_s = self.env._now
            following.order = work.order
            self._start(following, server)
        else:
            self._free(server)
            if self._waiting:
                self._dispatch()
        self.engine.served(work, self)

    def _account(self, work: Work) -> None:
        self.engine.record.add_service(self.row, work, work.started_s, self.env._now)
