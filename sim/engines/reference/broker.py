"""A broker queue with competing consumers, prefetch and acknowledgements, as RabbitMQ's classic queue.

The head goes round-robin to the next consumer that holds fewer than `prefetch` unacknowledged messages of this
queue; after `deliver_s` it goes on with its route: over the links to the consumer, if there are any, and into the
consumer's own line, where nothing overtakes it. When the
consumer is done, its credit returns after `acknowledge_s`. All that a dead consumer holds returns after
`detect_s` to its original place in the queue, one attempt later. The bound counts waiting messages, as
``x-max-length`` does; a full queue refuses (``reject-publish``).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from sim.laws import ACKNOWLEDGE, DELIVER, RETURN, event_key, name_key
from sim.model import DROPPED

if TYPE_CHECKING:
    from sim.engines.reference.clock import Occurrence
    from sim.engines.reference.engine import Engine
    from sim.engines.reference.routes import Job


class Delivery:
    """A message that a consumer holds and has not acknowledged."""

    __slots__ = ('arrived_s', 'job', 'number', 'position')

    def __init__(self, job: Job, position: int, number: int, arrived_s: float) -> None:
        self.job = job
        self.position = position  # of the queue's hop in the route
        self.number = number  # order in the queue, kept when it returns
        self.arrived_s = arrived_s


class Consumer:
    """One consumer's side of one queue. `incarnation` grows when it dies: acknowledgements under way are void."""

    __slots__ = ('held', 'incarnation', 'station', 'unacknowledged', 'up')

    def __init__(self, station: int) -> None:
        self.station = station
        self.unacknowledged = 0
        self.held: dict[Job, Delivery] = {}
        self.incarnation = 0
        self.up = True


class BrokerQueue:
    """Invariant: no message waits while a consumer that is up has credit."""

    def __init__(self, engine: Engine, row: int) -> None:
        queues = engine.model.queues
        self.engine, self.env, self.row = engine, engine.env, row
        self.consumers = [Consumer(station) for station in queues.consumers[row]]
        self._by_station = {consumer.station: consumer for consumer in self.consumers}
        self._key = name_key('queue', queues.name[row])
        self.broker = int(queues.broker[row])
        self._prefetch, self._capacity = int(queues.prefetch[row]), int(queues.capacity[row])
        self._deliver_s, self._detect_s = float(queues.deliver_s[row]), float(queues.detect_s[row])
        self._acknowledge_s = float(queues.acknowledge_s[row])
        self._ready: list[tuple[int, Delivery]] = []
        self._n_messages = 0
        self.up = True  # False while the broker is down: nothing is delivered, and what comes waits
        self._next = 0  # where the round-robin goes on
        self._waiting_since_s = 0.0

    @property
    def n_waiting(self) -> int:
        """How many messages wait in the queue."""
        return len(self._ready)

    def publish(self, job: Job, position: int) -> None:
        """Take a message, or refuse it when the queue is full."""
        if len(self._ready) >= self._capacity:
            self._count('dropped')
            self.engine.finish(job, DROPPED)
            return
        self._n_messages += 1
        self._enqueue(Delivery(job, position, self._n_messages, self.env._now))
        self._dispatch()

    def done(self, job: Job) -> None:
        """Let the consumer of a job acknowledge it."""
        consumer = self._by_station[job.consumer]
        delivery = consumer.held.pop(job)
        key = event_key(ACKNOWLEDGE, job.key, delivery.position, 0, job.attempt)
        self.env.at(self.env._now + self._acknowledge_s, key, self._acknowledged, (consumer, consumer.incarnation))

    def consumer_up(self, station: int, up: bool) -> None:
        """Lose or win a consumer."""
        consumer = self._by_station.get(station)
        if consumer is None or consumer.up == up:
            return
        consumer.up = up
        if up:
            self._dispatch()
            return
        consumer.incarnation += 1
        consumer.unacknowledged = 0
        held = list(consumer.held.values())
        consumer.held.clear()
        for delivery in held:
            delivery.job.delivery += 1
        if held:
            key = event_key(RETURN, self._key, self.consumers.index(consumer), 0, consumer.incarnation & 0xFF)
            self.env.at(self.env._now + self._detect_s, key, self._returned, held)

    def set_up(self, up: bool) -> None:
        """Go down or come up with the broker."""
        self.up = up
        self._dispatch()

    def close(self) -> None:
        """Account for what still waits at the end of the run."""
        self._count_waiting()

    def _enqueue(self, delivery: Delivery) -> None:
        self._count_waiting()
        heappush(self._ready, (delivery.number, delivery))

    def _count_waiting(self) -> None:
        now = self.env._now
        if self._ready:
            self.engine.record.add_ready(self.row, len(self._ready), self._waiting_since_s, now)
        self._waiting_since_s = now

    def _count(self, what: str) -> None:
        record = self.engine.record
        if record.is_measured(self.env._now):
            getattr(record.recording, f'queue_{what}')[self.row] += 1

    def _dispatch(self) -> None:
        while self._ready and self.up:
            consumer = self._with_credit()
            if consumer is None:
                return
            self._count_waiting()
            self._deliver(heappop(self._ready)[1], consumer)

    def _with_credit(self) -> Consumer | None:
        n = len(self.consumers)
        for step in range(n):
            consumer = self.consumers[(self._next + step) % n]
            if consumer.up and consumer.unacknowledged < self._prefetch:
                self._next = (self._next + step + 1) % n
                return consumer
        return None

    def _deliver(self, delivery: Delivery, consumer: Consumer) -> None:
        job = delivery.job
        consumer.unacknowledged += 1
        consumer.held[job] = delivery
        job.consumer = consumer.station
        job.delivery += 1
        self._count('delivered')
        key = event_key(DELIVER, job.key, delivery.position, 0, job.attempt)
        self.env.at(self.env._now + self._deliver_s, key, self._delivered, (delivery, job.delivery, self.env._now))

    def _delivered(self, event: Occurrence) -> None:
        delivery, number, started_s = event._value
        job = delivery.job
        if job.delivery != number:
            return
        self.engine.record.trace_wait(job, job.route.hops[delivery.position].row, -2 - self.row, delivery.arrived_s,
                                      started_s, self.env._now)
        self.engine.enter(job, delivery.position + 1)

    def _acknowledged(self, event: Occurrence) -> None:
        consumer, incarnation = event._value
        if consumer.incarnation == incarnation:
            consumer.unacknowledged -= 1
            self._dispatch()

    def _returned(self, event: Occurrence) -> None:
        for delivery in event._value:
            delivery.job.attempt += 1
            self._count('redelivered')
            self._enqueue(delivery)
        self._dispatch()
