"""Transfers: a message cut into segments that follow each other over the links of a route.

At most `window` segments are in the network; the next enters when one reaches the end. A lost segment ends the
job: segments not yet entered are cancelled, those under way go on and cost what they cost. On the way to a consumer
that dies, they end with the link they are on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.engines.reference.stations import Work
from sim.laws import transmission

if TYPE_CHECKING:
    from sim.engines.reference.engine import Engine
    from sim.engines.reference.routes import Job


class Transfer:
    """The segments of one message on consecutive links."""

    __slots__ = ('_arrived', '_delivery', '_entered', 'engine', 'first', 'job', 'last', 'n_segments')

    def __init__(self, engine: Engine, job: Job, first: int) -> None:
        hops = job.route.hops
        self.engine, self.job = engine, job
        self.first, self.last = first, first + hops[first].legs_behind  # positions of the first and the last leg
        self.n_segments = max(1, -(-hops[first].n_bytes // hops[first].segment_bytes))
        self._entered = 0
        self._arrived = 0
        self._delivery = job.delivery

    def begin(self) -> None:
        """Let the first window of segments enter."""
        for _ in range(min(self.job.route.hops[self.first].window, self.n_segments)):
            self._enter_next()

    def cross(self, position: int, segment: int) -> None:
        """Let a segment join the line of a leg, or arrive when there is no further leg."""
        job, engine = self.job, self.engine
        if job.delivery != self._delivery:
            return  # the consumer that this went to has died
        if position > self.last:
            self._arrive()
            return
        hop = job.route.hops[position]
        station = engine.station(job, hop)
        if station is None:
            self.cross(position + 1, segment)
            return
        n_bytes = hop.n_bytes
        if self.n_segments > 1:
            n_bytes = min(hop.segment_bytes, n_bytes - segment * hop.segment_bytes)
        if hop.wrap_bytes:
            n_bytes += hop.wrap_bytes // self.n_segments + (segment < hop.wrap_bytes % self.n_segments)
        frame_bytes, overhead_bits, gap_bits, loss_ratio, attempts_max = engine.framing[station.row]
        bits, n_frames, lost = transmission(job.key, hop.key, segment, n_bytes, frame_bytes, overhead_bits, loss_ratio,
                                     attempts_max)
        work = Work(job, position, hop, bits, segment, self)
        work.lost = lost
        work.gap_bits = n_frames * gap_bits
        station.arrive(work)

    def _enter_next(self) -> None:
        segment = self._entered
        self._entered += 1
        self.cross(self.first, segment)

    def _arrive(self) -> None:
        self._arrived += 1
        if self.job.done:
            return
        if self._entered < self.n_segments:
            self._enter_next()
        if self._arrived == self.n_segments:
            self.engine.enter(self.job, self.last + 1)
