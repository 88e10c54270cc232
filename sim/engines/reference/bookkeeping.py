"""What the engine writes down as it goes. Python lists while it runs, a `Recording` when it ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.model import CRYPTO, DELIVERED, EXPIRED, RECEIVES, TRANSMITS, UNFINISHED, Model
from sim.results.histogram import bin_of
from sim.results.recording import Recording, Trace

if TYPE_CHECKING:
    from sim.engines.reference.routes import HopRow, Job
    from sim.engines.reference.stations import Work
    from sim.model import Floats, Ints

# The sums of a recording with a row for each flow; while it runs they are lists, as counting in an array is slow.
OF_FLOW = ('outcomes', 'deadlines', 'deadline_misses', 'latency', 'latency_sum_s', 'crypto_sum_s', 'stage_s',
           'wire_bytes', 'crypto_bytes')


class Bookkeeper:
    """Sums of one run, in the order of its events; integrals are clipped to [warm_up, duration]."""

    def __init__(self, model: Model, trace: Trace) -> None:
        self.recording = Recording(model, trace)
        self._from_s, self._to_s = model.warm_up_s, model.duration_s
        self._jobs = list(self.recording.jobs.values()) if trace != 'none' else None
        self._hops = list(self.recording.hops.values())
        self.traces_hops = trace == 'stages'
        n_entities, n_stations = model.entities.key.size, model.stations.n
        self._busy = [[0.0, 0.0] for _ in range(n_entities)]
        self._transmit = [[0.0, 0.0, 0.0] for _ in range(n_entities)]
        self._receive = [[0.0, 0.0, 0.0] for _ in range(n_entities)]
        self._station_busy = [0.0] * n_stations
        self._station_served = [0] * n_stations
        self._waiting = [0.0] * n_stations
        self._waiting_max = [0] * n_stations
        self._sealed_bytes = [0.0] * n_entities
        self._of_flow = {name: getattr(self.recording, name).tolist() for name in OF_FLOW}
        self._stage = self._of_flow['stage_s']
        self.n_hops = 0

    def add_sealed(self, job: Job, hop: HopRow) -> None:
        """Add to the bytes that an entity has sealed under its own keys, from the start of the run on."""
        self._sealed_bytes[job.entity] += hop.amount

    def add_service(self, row: int, work: Work, from_s: float, to_s: float) -> None:
        """Add a slice of service to the station, the entity's CPU (row -1) and the entity's radio."""
        from_s = max(from_s, self._from_s)
        to_s = min(to_s, self._to_s)
        if to_s <= from_s:
            return
        seconds = to_s - from_s
        if row >= 0:
            self._station_busy[row] += seconds
        else:
            busy = self._busy[work.job.entity]
            busy[0] += seconds
            if work.hop.flags & CRYPTO:
                busy[1] += seconds
        radio = work.hop.radio
        if radio:
            sums = (self._transmit if radio == TRANSMITS else self._receive)[work.job.entity]
            sums[0] += seconds
            sums[1] += seconds * work.hop.crypto_ratio

    def end_service(self, row: int, work: Work, seconds: float, now: float) -> None:
        """Note that a piece of work is served, in `seconds` of service."""
        self.n_hops += 1
        hop = work.hop
        if hop.flags & CRYPTO:
            work.job.crypto_s += seconds
        if not self._from_s <= now <= self._to_s:
            return
        self._stage[work.job.route.flow][hop.stage] += seconds
        if row >= 0:
            self._station_served[row] += 1
        if hop.radio:
            (self._receive if hop.radio == RECEIVES else self._transmit)[work.job.entity][2] += (
                work.amount - work.gap_bits) / 8.0

    def trace_hop(self, work: Work, row: int, finished_s: float, service_s: float) -> None:
        """Write the row of a hop."""
        self._append_hop((work.job.id, work.hop.row, work.segment, work.attempt, row, work.arrived_s,
                          work.first_started_s, finished_s, service_s))

    def trace_wait(self, job: Job, hop: int, row: int, arrived_s: float, started_s: float, finished_s: float) -> None:
        """Write the row of a hop without a server: a delay, or a broker queue."""
        self.n_hops += 1
        if self.traces_hops:
            self._append_hop((job.id, hop, 0, job.attempt, row, arrived_s, started_s, finished_s,
                              finished_s - started_s))

    def _append_hop(self, values: tuple[float, ...]) -> None:
        for column, value in zip(self._hops, values, strict=True):
            column.append(value)

    def add_waiting(self, row: int, n: int, from_s: float, to_s: float) -> None:
        """Add `n` waiting over an interval."""
        seconds = min(to_s, self._to_s) - max(from_s, self._from_s)
        if seconds > 0.0:
            self._waiting[row] += n * seconds
            self._waiting_max[row] = max(self._waiting_max[row], n)

    def add_ready(self, row: int, n: int, from_s: float, to_s: float) -> None:
        """Add `n` messages waiting in a queue over an interval."""
        seconds = min(to_s, self._to_s) - max(from_s, self._from_s)
        if seconds > 0.0:
            recording = self.recording
            recording.queue_waiting_s[row] += n * seconds
            recording.queue_waiting_max[row] = max(recording.queue_waiting_max[row], n)

    def is_measured(self, now: float) -> bool:
        """Return whether what happens now is counted."""
        return self._from_s <= now <= self._to_s

    def finish(self, job: Job, outcome: int, now: float) -> None:
        """Count the outcome of a job."""
        route, sums = job.route, self._of_flow
        flow = route.flow
        if self._from_s <= job.launched_s < self._to_s:
            sums['outcomes'][flow][outcome] += 1
            sums['wire_bytes'][flow] += route.wire_bytes
            sums['crypto_bytes'][flow] += route.crypto_bytes
            if job.deadline_s != math.inf:
                sums['deadlines'][flow][route.class_row] += 1
                sums['deadline_misses'][flow][route.class_row] += outcome != DELIVERED
            if outcome in (DELIVERED, EXPIRED):
                sums['latency'][flow][bin_of(now - job.launched_s)] += 1
                sums['latency_sum_s'][flow] += now - job.launched_s
                sums['crypto_sum_s'][flow] += job.crypto_s
        if job.inbox >= 0 and job.mark_s == job.mark_s:
            self.recording.marks[job.id] = job.mark_s
        if self._jobs is not None:
            values = (job.id, route.stream, job.entity, job.k, route.row, job.launched_s,
                      math.nan if outcome == UNFINISHED else now, job.crypto_s, job.mark_s, outcome, job.attempt)
            for column, value in zip(self._jobs, values, strict=True):
                column.append(value)

    def seconds(self, entities: Ints) -> tuple[Floats, Floats, Floats]:
        """Return the seconds that entities have been busy, sending and receiving so far; finished slices of work."""
        rows = entities.tolist()
        return (np.array([self._busy[row][0] for row in rows], np.float64),
                np.array([self._transmit[row][0] for row in rows], np.float64),
                np.array([self._receive[row][0] for row in rows], np.float64))

    def sealed_bytes(self, entities: Ints) -> Floats:
        """Return the bytes that entities have sealed so far."""
        return np.array([self._sealed_bytes[row] for row in entities.tolist()], np.float64)

    def close(self, end_s: float) -> Recording:
        """Return the recording of a finished run."""
        recording = self.recording
        recording.end_s = end_s
        recording.n_hops = self.n_hops
        recording.busy_s = np.array(self._busy).reshape(-1, 2)
        transmit, receive = np.array(self._transmit).reshape(-1, 3), np.array(self._receive).reshape(-1, 3)
        recording.transmit_s, recording.transmit_bytes = transmit[:, :2], transmit[:, 2]
        recording.receive_s, recording.receive_bytes = receive[:, :2], receive[:, 2]
        for name, sums in self._of_flow.items():
            getattr(recording, name)[...] = sums
        recording.station_busy_s = np.array(self._station_busy)
        recording.station_served = np.array(self._station_served)
        recording.station_waiting_s = np.array(self._waiting)
        recording.station_waiting_max = np.array(self._waiting_max)
        return recording
