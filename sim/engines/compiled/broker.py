"""Broker queues: linked lists of messages, consumers with credit, deliveries, acknowledgements, returns.

A message keeps its number for life, so that it comes back to its place; what a consumer holds is a list of its own.
"""

from typing import Any

from sim.compiling import compiled
from sim.engines.compiled.books import count_queue, finish, is_measured
from sim.engines.compiled.heap import push, push_behind
from sim.engines.compiled.layout import NONE, consumer_at, hop_at, job_at, queue_at, route_at
from sim.laws import ACKNOWLEDGE, DELIVER, RETURN, event_key
from sim.model import DROPPED


@compiled
def publish(m, row, slot, position):
    """Take a message into a queue, or refuse it when the queue is full."""
    queue, job = queue_at(m, row), job_at(m, slot)
    if queue.n_waiting >= queue.capacity:
        queue.dropped += is_measured(m)
        finish(m, slot, DROPPED)
        return
    queue.n_messages += 1
    job.number, job.position, job.queued_s = queue.n_messages, position, m.now
    m.n_unacknowledged += 1
    _enqueue(m, row, slot)
    dispatch_queue(m, row)


@compiled
def _enqueue(m, row, slot):
    """Put a message at its place in the queue: by the number that it got when it was published."""
    count_queue(m, row)
    queue, job = queue_at(m, row), job_at(m, slot)
    before, after = NONE, queue.head
    if queue.tail != NONE and job_at(m, queue.tail).number < job.number:
        before, after = queue.tail, NONE
    while after != NONE and job_at(m, after).number < job.number:
        before, after = after, job_at(m, after).next
    job.next = after
    if before == NONE:
        queue.head = slot
    else:
        job_at(m, before).next = slot
    if after == NONE:
        queue.tail = slot
    queue.n_waiting += 1


@compiled
def dispatch_queue(m: Any, row: int) -> None:
    """Deliver the head as long as a consumer that is up has credit."""
    queue = queue_at(m, row)
    while queue.head != NONE and queue.up:
        consumer = _with_credit(m, row)
        if consumer == NONE:
            return
        count_queue(m, row)
        slot = queue.head
        queue.head = job_at(m, slot).next
        if queue.head == NONE:
            queue.tail = NONE
        queue.n_waiting -= 1
        _deliver(m, row, slot, consumer)


@compiled
def _with_credit(m, row):
    queue = queue_at(m, row)
    n = queue.n_consumers
    for step in range(n):
        at = (queue.next_consumer + step) % n
        consumer = consumer_at(m, queue.first_consumer + at)
        if consumer.up and consumer.unacknowledged < queue.prefetch:
            queue.next_consumer = (at + 1) % n
            return queue.first_consumer + at
    return NONE


@compiled
def _deliver(m, row, slot, consumer_row):
    queue, consumer, job = queue_at(m, row), consumer_at(m, consumer_row), job_at(m, slot)
    consumer.unacknowledged += 1
    queue.delivered += is_measured(m)
    job.consumer, job.sent_s = consumer.station, m.now
    job.delivery += 1
    job.previous, job.next = consumer.held_last, NONE  # the held are a list in the order of delivery
    if consumer.held_last == NONE:
        consumer.held = slot
    else:
        job_at(m, consumer.held_last).next = slot
    consumer.held_last = slot
    key = event_key(DELIVER, job.key, job.position, 0, job.attempt)
    push_behind(m, queue.deliver_convoy, m.now + queue.deliver_s, key, DELIVER, slot, job.delivery)


@compiled
def _consumer_of(m, slot):
    """Return the row of the consumer that holds a job."""
    job = job_at(m, slot)
    queue = queue_at(m, hop_at(m, route_at(m, job.route).first + job.position).station)
    for row in range(queue.first_consumer, queue.first_consumer + queue.n_consumers):
        if consumer_at(m, row).station == job.consumer:
            return row
    return NONE


@compiled
def acknowledge(m, slot):
    """Let the consumer of a job give it up and, later, win back its credit."""
    job, row = job_at(m, slot), _consumer_of(m, slot)
    consumer = consumer_at(m, row)
    if job.previous == NONE:
        consumer.held = job.next
    else:
        job_at(m, job.previous).next = job.next
    if job.next == NONE:
        consumer.held_last = job.previous
    else:
        job_at(m, job.next).previous = job.previous
    m.n_unacknowledged -= 1
    key = event_key(ACKNOWLEDGE, job.key, job.position, 0, job.attempt)
    queue = queue_at(m, consumer.queue)
    push_behind(m, queue.acknowledge_convoy, m.now + queue.acknowledge_s, key, ACKNOWLEDGE, row, consumer.incarnation)


@compiled
def acknowledged(m, row, incarnation):
    """Give a consumer its credit back, unless it has died since."""
    consumer = consumer_at(m, row)
    if consumer.incarnation == incarnation:
        consumer.unacknowledged -= 1
        dispatch_queue(m, consumer.queue)


@compiled
def set_consumer_up(m: Any, row: int, up: bool) -> None:
    """Lose or win one consumer of one queue."""
    consumer = consumer_at(m, row)
    if consumer.up == up:
        return
    consumer.up = up
    if up:
        dispatch_queue(m, consumer.queue)
        return
    consumer.incarnation += 1
    consumer.unacknowledged = 0
    first = consumer.held
    consumer.held, consumer.held_last = NONE, NONE
    slot = first
    while slot != NONE:
        job_at(m, slot).delivery += 1  # what is under way to the dead is void
        slot = job_at(m, slot).next
    if first != NONE:
        queue = queue_at(m, consumer.queue)
        key = event_key(RETURN, queue.key, row - queue.first_consumer, 0, consumer.incarnation & 0xFF)
        push(m, m.now + queue.detect_s, key, RETURN, first, consumer.queue)


@compiled
def returned(m, slot, row):
    """Put what a dead consumer held back into its queue, one attempt later."""
    while slot != NONE:
        following = job_at(m, slot).next
        job_at(m, slot).attempt += 1
        queue_at(m, row).redelivered += is_measured(m)
        _enqueue(m, row, slot)
        slot = following
    dispatch_queue(m, row)
