"""The engine: launches jobs and leads each along its route, one hop after the other.

Its vocabulary is small: a job *enters* a hop; a station has *served* it; after the hop's latency it *arrives* at
the next; at the end it *finishes* with one of six outcomes. Every arrival is an event of its own, so that what
ends at the same time is ordered by the event key alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim import laws
from sim.engines.reference.bookkeeping import Bookkeeper
from sim.engines.reference.broker import BrokerQueue
from sim.engines.reference.changes import plan_change
from sim.engines.reference.clock import KeyedEnvironment, Occurrence
from sim.engines.reference.routes import Costs, HopRow, Job, RouteRow, hop_rows
from sim.engines.reference.stations import Station, Work
from sim.engines.reference.transfers import Transfer
from sim.engines.reference.world import SimWorld
from sim.laws import ARRIVE, event_key, name_key
from sim.model import (
    CHECKS_KEY,
    CONSUMER,
    DELAY,
    DELIVERED,
    ENDS_VISIT,
    EXPIRED,
    FIRST_CONSUMER_SLOT,
    FIRST_SLOT,
    LINK,
    LOST,
    MARKED,
    OWN_CPU,
    PREEMPTIVE,
    QUEUE,
    REJECTED,
    SAME_VISIT,
    SEALS,
    SERVE,
    UNFINISHED,
    Model,
)
from sim.sources import Arrivals

if TYPE_CHECKING:
    from sim.engines import Progress
    from sim.results.recording import Recording, Trace
    from sim.worlds import Controller

EVENTS_PER_PROGRESS = 8_192


def run(model: Model, *, trace: Trace = 'jobs', controllers: tuple[Controller, ...] = (),
        progress: Progress | None = None) -> Recording:
    """Execute a model and return what it left."""
    return Engine(model, trace=trace).run(controllers, progress)


class Engine:
    """One execution of a Model.

    `hil.paced.engine.PacedEngine` takes the events by the clock: it replaces `_run_duration` and `_drain`, and what it
    lets the testbed do it leads on with `_first_route`, `_note`, `_costs` and `_complete`.
    """

    def __init__(self, model: Model, *, trace: Trace = 'jobs') -> None:
        self.model = model
        self.env = KeyedEnvironment()
        self.record = Bookkeeper(model, trace)
        self.run_key = name_key('run', model.seed)
        rows = model.stations
        self.stations = [
            Station(self, rows.server_speed[first:first + n].tolist(), row=row, discipline=discipline,
                    law_offset=offset)
            for row, (first, n, discipline, offset) in enumerate(zip(
                rows.server_first.tolist(), rows.n_servers.tolist(), rows.discipline.tolist(),
                rows.law_offset.tolist(), strict=True))
        ]
        self.framing = list(zip(rows.frame_bytes.tolist(), rows.frame_overhead_bits.tolist(),
                                rows.frame_gap_bits.tolist(),
                                rows.loss_ratio.tolist(), rows.attempts_max.tolist(), strict=True))
        self.queues = [BrokerQueue(self, row) for row in range(len(model.queues.name))]
        self.attachment = model.entities.attachment.tolist()
        self.valid_from_s = [-math.inf] * len(self.attachment)  # what was sealed before is refused
        self.sending = [True] * len(self.attachment)  # whether the entity's sources launch
        self.live: dict[int, Job] = {}
        self._cpus: dict[int, Station] = {}
        self.consumers = {station for consumers in model.queues.consumers for station in consumers}
        self._costs = Costs(model)
        hops = hop_rows(model.hops)
        self._routes = [RouteRow(model, row, hops) for row in range(model.routes.stream.size)]
        self._slots = model.attachments.slots.tolist()
        self._links = rows.slots.tolist()
        self._group = [*model.attachments.group.tolist(), 0]  # the last for entities without attachment
        self._class_of = model.entities.class_row.tolist()
        self._entity_key = model.entities.key.tolist()
        self._stream_key = [name_key('stream', name) for name in model.streams]
        self._route_of = model.route_of.tolist()
        self._arrivals = Arrivals(model, self.run_key)
        self._launches: dict[tuple[int, int], int] = {}
        self.world = SimWorld(self)

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self, controllers: tuple[Controller, ...] = (), progress: Progress | None = None) -> Recording:
        """Run to the end of the drain and return the recording."""
        model = self.model
        self._next_block()
        for i, time_s in enumerate(model.changes.time_s.tolist()):
            plan_change(self, time_s, model.changes.target[i], {'up': bool(model.changes.up[i])})
        try:
            for controller in controllers:
                self.world.start(controller)
            n_events = self._run_duration(progress)
            self.world.close()
            self._note_lines()
            n_events += self._drain()
        finally:
            self.world.close()
        return self._close(n_events)

    def _run_duration(self, progress: Progress | None) -> int:
        """Act on the events before the duration's end, and return how many they were."""
        queue, step, duration_s = self.env._queue, self.env.step, self.model.duration_s
        n_events = 0
        while queue and queue[0][0] < duration_s:
            step()
            n_events += 1
            if n_events % EVENTS_PER_PROGRESS == 0 and progress is not None:
                progress(self.env._now, self.record.recording.n_launched)
        return n_events

    def _drain(self) -> int:
        """Act on events until no job is left, at most for the drain, and return how many they were."""
        queue, step, stop_s = self.env._queue, self.env.step, self.model.duration_s + self.model.drain_s
        n_events = 0
        while self.live and queue and queue[0][0] <= stop_s:
            step()
            n_events += 1
        return n_events

    def _note_lines(self) -> None:
        """Note how much waits when the duration is over."""
        recording = self.record.recording
        recording.station_waiting_end[:] = [station.n_waiting for station in self.stations]
        recording.queue_waiting_end[:] = [queue.n_waiting for queue in self.queues]

    def _close(self, n_events: int) -> Recording:
        end_s = max(self.env.now, self.model.duration_s)
        self.env._now = end_s
        for station in [*self.stations, *self._cpus.values()]:
            station.close()
        for queue in self.queues:
            queue.close()
        for job in list(self.live.values()):
            self.finish(job, UNFINISHED)
        recording = self.record.close(end_s)
        recording.n_events = n_events
        return recording

    # -- launching --------------------------------------------------------------------------------------------

    def _next_block(self) -> None:
        block = self._arrivals.next_block()
        while block is not None and not block.size:
            block = self._arrivals.next_block()
        if block is not None:
            self._pending = iter(block.tolist())
            self._await_arrival()

    def _await_arrival(self) -> None:
        """Schedule the next arrival only, so that the heap holds one event for all idle devices."""
        row = next(self._pending, None)
        if row is None:
            self._next_block()
        else:
            self.env.at(row[0], row[1], self._source_fires, row)

    def _source_fires(self, event: Occurrence) -> None:
        _, _, job_key, entity, stream, k = event._value
        self._await_arrival()
        if self.sending[entity]:
            self.enter(self._new_job(job_key, stream, 0, entity, k), 0)

    def launch(self, stream: int, variant: int, entity: int) -> Job:
        """Make a job for a controller; it arrives at its first hop at once, as an event of its own."""
        k = self._launches.get((stream, entity), 0)
        self._launches[stream, entity] = k + 1
        key = laws.job_key(self.run_key, self._entity_key[entity], self._stream_key[stream], k)
        job = self._new_job(key, stream, variant, entity, k)
        self.env.at(self.env._now, event_key(ARRIVE, key, 0, 0, 0), self._arrives, (job, 0, job.delivery))
        return job

    def _new_job(self, key: int, stream: int, variant: int, entity: int, k: int) -> Job:
        attachment = self.attachment[entity]
        route = self._first_route(stream, variant, entity, attachment)
        while route.fallback >= 0 and not all(self.stations[guard].up for guard in route.guards):
            route = self._routes[route.fallback]
        recording = self.record.recording
        job = Job(recording.n_launched, key, route, entity, attachment, k, self.env._now)
        recording.n_launched += 1
        self.live[job.id] = job
        return job

    def _first_route(self, stream: int, variant: int, entity: int, attachment: int) -> RouteRow:
        """Return the route that a job takes if all of it is up."""
        row: int = self._route_of[stream][variant][self._class_of[entity]][self._group[attachment]]
        assert row >= 0, f'no route for stream {self.model.streams[stream]} of entity {entity}'
        return self._routes[row]

    # -- the journey ------------------------------------------------------------------------------------------

    def enter(self, job: Job, position: int) -> None:
        """Let a job begin the hop at a position of its route, or finish behind the last."""
        hops = job.route.hops
        while position < len(hops) and hops[position].kind == LINK and self.station(job, hops[position]) is None:
            position += 1  # both ends of the link are one computer
        if position == len(hops):
            self._complete(job)
            return
        hop = hops[position]
        self._note(job, hop)
        if hop.kind == SERVE:
            station = self.station(job, hop)
            assert station is not None, 'only links may be missing'
            station.arrive(Work(job, position, hop, self._costs.draw(job, hop, station.law_offset)))
        elif hop.kind == LINK:
            Transfer(self, job, position).begin()
        elif hop.kind == DELAY:
            now = self.env._now
            until_s = now + self._costs.draw(job, hop, 0)
            self.record.trace_wait(job, hop.row, -1, now, now, until_s)
            self._arrive_at(until_s + hop.latency_s, job, position + 1)
        else:
            self.queues[hop.station].publish(job, position)

    def _note(self, job: Job, hop: HopRow) -> None:
        """Note what the beginning of a hop means for a job."""
        if hop.flags & MARKED:
            job.mark_s = self.env._now
        if hop.flags & SEALS:
            job.sealed_s = self.env._now
            self.record.add_sealed(job, hop)

    def station(self, job: Job, hop: HopRow) -> Station | None:
        """Return the station that a hop means for a job; None: a link between two places on one computer."""
        reference = hop.station
        if reference >= 0:
            return self.stations[reference]
        if reference == OWN_CPU:
            return self.cpu(job.entity)
        if reference == CONSUMER:
            return self.stations[job.consumer]
        row: int = (self._slots[job.attachment][FIRST_SLOT - reference] if reference > FIRST_CONSUMER_SLOT
                    else self._links[job.consumer][FIRST_CONSUMER_SLOT - reference])
        return self.stations[row] if row >= 0 else None

    def cpu(self, entity: int) -> Station:
        """Return an entity's own CPU, made when first asked for."""
        cpu = self._cpus.get(entity)
        if cpu is None:
            cpu = self._cpus[entity] = Station(self, (1.0,), discipline=PREEMPTIVE)
        return cpu

    def cpu_up(self, entity: int) -> bool:
        """Return whether an entity's own CPU is up."""
        return entity not in self._cpus or self._cpus[entity].up

    def next_of_visit(self, work: Work, station: Station) -> Work | None:
        """Return the work that the same server goes on with, for stages of one visit to a consumer."""
        job, position = work.job, work.position + 1
        hops = job.route.hops
        if position == len(hops) or not hops[position].flags & SAME_VISIT or self._is_refused(work):
            return None
        self._note(job, hops[position])
        return Work(job, position, hops[position], self._costs.draw(job, hops[position], station.law_offset))

    def served(self, work: Work, station: Station) -> None:
        """Lead a job on from a hop that a station has served."""
        job, hop = work.job, work.hop
        record = self.record
        service_s = work.amount / station.speeds[work.server]
        record.end_service(station.row, work, service_s, self.env._now)
        if record.traces_hops:
            record.trace_hop(work, station.row, self.env._now, service_s)
        if hop.kind == LINK:
            self._crossed(work)
            return
        if work.delivery != job.delivery:
            return  # its consumer has died since, and the job is delivered again
        flags = hop.flags
        refused = self._is_refused(work)
        if flags & ENDS_VISIT or (refused and hop.station == CONSUMER):
            self._queue_of(work).done(job)
        if refused:
            self.finish(job, REJECTED)
        elif work.position + 1 == len(job.route.hops):
            self._complete(job)
        elif not job.route.hops[work.position + 1].flags & SAME_VISIT:
            self._arrive_at(self.env._now + hop.latency_s, job, work.position + 1)

    def finish(self, job: Job, outcome: int) -> None:
        """End a job with its outcome."""
        job.done = True
        del self.live[job.id]
        self.record.finish(job, outcome, self.env._now)
        if job.inbox >= 0:
            self.world.put(job, outcome)

    def _is_refused(self, work: Work) -> bool:
        return bool(work.hop.flags & CHECKS_KEY) and work.job.sealed_s < self.valid_from_s[work.job.entity]

    def _queue_of(self, work: Work) -> BrokerQueue:
        hops = work.job.route.hops
        position = work.position
        while hops[position].kind != QUEUE:
            position -= 1
        return self.queues[hops[position].station]

    def _crossed(self, work: Work) -> None:
        if work.lost:
            if not work.job.done:
                self.finish(work.job, LOST)
            return
        key = event_key(ARRIVE, work.job.key, work.position + 1, work.segment, work.attempt)
        self.env.at(self.env._now + work.hop.latency_s, key, self._segment_arrives, work)

    def _segment_arrives(self, event: Occurrence) -> None:
        work = event._value
        work.transfer.cross(work.position + 1, work.segment)

    def _arrive_at(self, time_s: float, job: Job, position: int) -> None:
        key = event_key(ARRIVE, job.key, position, 0, job.attempt)
        self.env.at(time_s, key, self._arrives, (job, position, job.delivery))

    def _arrives(self, event: Occurrence) -> None:
        job, position, delivery = event._value
        if job.delivery == delivery:
            self.enter(job, position)

    def _complete(self, job: Job) -> None:
        late = self.env._now > job.launched_s + job.deadline_s
        self.finish(job, EXPIRED if late else DELIVERED)
