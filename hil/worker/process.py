"""A dispatcher behind a broker: three threads, so that none of them waits for what another one does.

=========  ============================  ==================================================================
thread     owns                          does
=========  ============================  ==================================================================
main       the consuming connection      receives, acknowledges what was confirmed, serves heartbeats
compute    the dispatcher                one job after the other, in the order in which they came
publish    the publishing connection     publishes with confirms, serves heartbeats in between
=========  ============================  ==================================================================

A delivery is acknowledged when the broker has confirmed what came of it. When the consuming connection is lost, so are
its deliveries: what was in hand is finished and published, and comes again as a duplicate; what was not begun is
forgotten, and comes again. The number of jobs here is bounded by the prefetches.
"""

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from hil.broker.backoff import Backoff, retried
from hil.broker.connection import Connection, Delivery, Published
from hil.broker.errors import BrokerError, MissingError, UnavailableError
from hil.broker.names import DEAD, REPLY, WORKER_PLACES, Place, exchange_of, key_of, queue_of
from hil.worker.dispatcher import Dispatcher, Handled, dead_letter
from hil.worker.hello import Hello
from hil.worker.status import Status

WAIT_S = 1.0  # how long a thread waits before it looks whether it is to stop
FINISH_S_MAX = 300.0  # for the job in hand when it is to stop; an orchestrator's grace is shorter
BACKOFF = Backoff(attempts_max=60)  # a broker that starts again takes 15 s, on a busy machine a minute
UNROUTABLE = 'unroutable'


@dataclass(frozen=True)
class Post:
    """Where a worker stands: its run and place, how many messages of each class it holds at most, and who it is."""

    run: str
    place: Place
    prefetch: Mapping[int, int]
    hello: Hello


@dataclass(frozen=True)
class _Job:
    """A delivery, and on which of the worker's connections it came."""

    delivery: Delivery
    generation: int
    handled: Handled | None = None


class Worker:
    """Works until it is told to stop. Invariant: a connection is used by the thread that opened it alone."""

    def __init__(self, post: Post, dispatcher: Dispatcher, connect: Callable[[str], Connection],
                 status: Status) -> None:
        self._post, self._dispatcher, self._connect, self._status = post, dispatcher, connect, status
        self._stop = threading.Event()
        self._over = threading.Event()  # nothing is tried again any more
        self._generation = 0
        self._inbox = queue.Queue[_Job | None]()
        self._outbox = queue.Queue[_Job | None]()
        self._settled = deque[_Job]()
        self._consuming: Connection | None = None
        self._publishing: Connection | None = None
        self._error: Exception | None = None
        self._pauses = random.Random()

    def stop(self) -> None:
        """Finish the job in hand and return from `run`; signal handlers and other threads may call this."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`.

        Raises
        ------
        BrokerError
            If the broker is not found for minutes, refuses the worker, or has no such run.
        OSError
            If the disk does not take an update.
        """
        threads = [threading.Thread(target=self._guarded, args=(work,), name=work.__name__)
                   for work in (self._compute, self._publish)]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set():
                self._consume()
            self._finish(threads)
        finally:
            self._status.set_ready(is_ready=False)
            self._stop.set()
            self._over.set()
            self._inbox.put(None)
            for thread in threads:
                thread.join()
            if self._consuming is not None:
                with suppress(BrokerError):  # then it comes again, and is a duplicate
                    self._settle(self._consuming)
                self._consuming.close()
            self._status.beat(self._dispatcher.counts, is_forced=True)
        self._check()

    def _consume(self) -> None:
        """Subscribe, and receive until the connection is lost or the worker is to stop."""
        try:
            self._consuming = retried(lambda: self._connect('consume'), self._pauses, self._stop.wait, BACKOFF)
        except UnavailableError:
            if self._stop.is_set():
                return
            raise
        self._generation += 1
        try:
            for priority, prefetch in self._post.prefetch.items():
                self._consuming.subscribe(queue_of(self._post.run, self._post.place, priority), prefetch)
            self._consuming.publish(exchange_of(self._post.run, REPLY), REPLY, b'', self._post.hello.to_headers())
            self._status.set_ready(is_ready=True)
            while not self._stop.is_set():
                delivery = self._consuming.receive(WAIT_S)
                if delivery is not None:
                    self._inbox.put(_Job(delivery, self._generation))
                self._settle(self._consuming)
                self._check()
        except UnavailableError:
            self._consuming = None
            self._status.set_ready(is_ready=False)

    def _settle(self, connection: Connection) -> None:
        """Acknowledge what was confirmed; what came on a connection that is lost comes again."""
        self._status.beat(self._dispatcher.counts)
        while self._settled:
            job = self._settled.popleft()
            if job.generation == self._generation:
                connection.acknowledge(job.delivery)

    def _finish(self, threads: list[threading.Thread]) -> None:
        """Let the job in hand end, serve heartbeats meanwhile; what was received and not begun goes back."""
        self._inbox.put(None)
        until = time.monotonic() + FINISH_S_MAX
        while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
            if self._consuming is None:
                threads[-1].join(WAIT_S)
            else:
                try:
                    self._consuming.receive(WAIT_S / 10)
                    self._settle(self._consuming)
                except UnavailableError:
                    self._consuming = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread; what ends it early ends the worker."""
        try:
            work()
        except Exception as error:  # it is raised again by the main thread
            self._error = error
            self._stop.set()
        finally:
            self._outbox.put(None)

    def _compute(self) -> None:
        """Do jobs until there is a None, or the worker is to stop."""
        while (job := self._inbox.get()) is not None and not self._stop.is_set():
            if job.generation != self._generation:
                continue
            delivery = job.delivery
            handled = self._dispatcher.handle(delivery.body, is_redelivered=delivery.is_redelivered,
                                              received_ns=delivery.received_ns)
            self._outbox.put(replace(job, handled=handled))

    def _publish(self) -> None:
        """Publish results until there is a None."""
        while True:
            try:
                job = self._outbox.get(timeout=WAIT_S)
            except queue.Empty:
                self._serve()
                continue
            if job is None:
                break
            assert job.handled is not None
            self._deliver(job.handled)
            self._settled.append(job)
            if self._consuming is not None:
                self._consuming.wake()
        if self._publishing is not None:
            self._publishing.close()

    def _serve(self) -> None:
        """Let the broker hear of the publishing connection."""
        try:
            if self._publishing is not None:
                self._publishing.receive(0.0)
        except BrokerError:
            self._publishing = None

    def _deliver(self, handled: Handled) -> None:
        """Publish what came of a delivery until the broker has confirmed it."""
        if handled.publication is None:
            return
        published_ns = time.monotonic_ns()
        said = retried(lambda: self._try(handled), self._pauses, self._over.wait, BACKOFF)
        if said is Published.CONFIRMED:
            self._dispatcher.confirmed(handled, published_ns, time.monotonic_ns())
        elif said is Published.REFUSED and handled.publication.to != REPLY:
            self._deliver(self._dispatcher.dropped(handled))
        else:
            self._deliver(dead_letter(handled.publication.body, UNROUTABLE, 'there is no queue for its next leg'))

    def _try(self, handled: Handled) -> Published:
        """Publish once."""
        publication = handled.publication
        assert publication is not None
        try:
            if self._publishing is None:
                self._publishing = self._connect('publish')
            if publication.to not in (*WORKER_PLACES, REPLY, DEAD):
                return Published.UNROUTABLE
            key = publication.to if publication.to in {REPLY, DEAD} else key_of(publication.priority)
            headers = {'reason': handled.outcome, 'why': handled.why} if publication.to == DEAD else None
            said = self._publishing.publish(exchange_of(self._post.run, publication.to), key, publication.body, headers,
                                            message_id=publication.message_id, priority=publication.priority)
        except MissingError:
            self._publishing = None
            if publication.to in {REPLY, DEAD}:
                raise  # the run is gone
            return Published.UNROUTABLE
        except UnavailableError:
            self._publishing = None
            raise
        if said is not Published.CONFIRMED and publication.to in {REPLY, DEAD}:
            raise UnavailableError(f"the twin's queue for {publication.to} takes no message; let the twin read it")
        return said
