"""The reference engine against the clock: an event acts when it is due, and some hops are done by hardware.

The events and their order are those of `sim.engines.reference`; nothing bound is the same simulation, only slower. A
job that comes to a bound chain leaves as a message. Its reply was stamped when it was received; the job goes on at
that time, or now if the clock is already past it, and the difference is written down: the twin was so far behind.

What a bound chain needs before it may leave: the bytes of the device, which are made ahead (`hil.paced.devices`), and
room in the ledger. Waiting for either is the twin's own delay, and is written down as well.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hil.ledger import ChainId, Ledger
from hil.paced.ahead import ArrivalsAhead
from hil.paced.apart import Inbox
from hil.paced.devices import Prepared
from hil.paced.hardware import Blocked, Depths, Happening, Refused
from hil.paced.messages import Messages, wire_number
from hil.paced.moments import Moment, News
from hil.paced.notes import Notes
from hil.wire.codec import HEADER_BYTES_MAX, decode
from hil.worker.hello import Hello
from sim.engines import Progress
from sim.engines.reference.engine import Engine
from sim.laws import ARRIVE, event_key
from sim.model import DROPPED, OUTCOMES, REJECTED

if TYPE_CHECKING:
    from hil.paced.binding import Binding, Chain
    from hil.paced.devices import Devices
    from hil.paced.hardware import Hardware
    from hil.wire.message import Leg, Message
    from sim.engines.reference.clock import Occurrence
    from sim.engines.reference.routes import Job, RouteRow
    from sim.results.recording import Recording, Trace
    from sim.worlds import Controller

LISTEN_S = 0.001  # how often it listens while events are due
SLACK_S = 0.005  # how long nothing must be due for it to do what is not an event
WATCH_S = 0.25  # how often it does so at least, and looks after the testbed
AHEAD_S = 2 * WATCH_S  # how long before it is due a device makes what it will send


class PacedEngine(Engine):
    """One execution of a Model in real time.

    Parameters
    ----------
    binding
        Which hops hardware does.
    hardware, devices, ledger
        What it is done with; started already.
    only_bound
        Leave out all other hops, as if they took no time: a run of the testbed alone, with no model in it.
    is_padded
        Let workers take at least as long as the simulation draws for their stages.
    watch
        Is called some times a second, and raises if the testbed is broken.
    see
        Is told as often how the run stands.
    """

    def __init__(self, binding: Binding, hardware: Hardware, devices: Devices, ledger: Ledger, messages: Messages, *,
                 only_bound: bool = False, is_padded: bool = False, trace: Trace = 'jobs',
                 watch: Callable[[], None] = lambda: None, see: Callable[[Moment], None] | None = None) -> None:
        super().__init__(binding.model, trace=trace)
        self.notes = Notes((binding.model.warm_up_s, binding.model.duration_s))
        self._arrivals = self._ahead = ArrivalsAhead(binding.model, self.run_key)
        self._binding, self._hardware, self._devices = binding, hardware, devices
        self._ledger, self._messages, self._only_bound = ledger, messages, only_bound
        self._is_padded = is_padded
        self._watch, self._watched_s, self._looked_s = watch, -math.inf, -math.inf
        self._see, self._news, self._depths = see, News(self.notes), Depths({})
        self._inbox = Inbox(*((hardware.process, *devices.processes) if binding.places else ()))
        self._begin_ns = 0
        self._made: dict[ChainId, Message] = {}  # by devices, for chains that are not due yet
        self._due: dict[ChainId, tuple[Job, Chain, float]] = {}  # chains that wait for their devices, since when
        self._held: deque[tuple[Message, float]] = deque()  # that wait for room in the ledger, and when they were due
        self._away: dict[ChainId, tuple[Job, Chain]] = {}  # on hardware, or held
        self._n_asked = 0  # chains that devices have not answered yet

    def run(self, controllers: tuple[Controller, ...] = (), progress: Progress | None = None) -> Recording:
        """Run in real time to the end of the drain and return the recording.

        Raises
        ------
        BrokerError
            If the broker is gone for good.
        """
        self._prepare_until(AHEAD_S)
        while self._n_asked:  # before the clock starts
            happening = self._inbox.wait(1.0)
            if happening is not None:
                self._hear(happening)
        self._begin_ns = time.monotonic_ns()
        return super().run(controllers, progress)

    # -- the clock --------------------------------------------------------------------------------------------

    def _elapsed_s(self, now_ns: int | None = None) -> float:
        return ((time.monotonic_ns() if now_ns is None else now_ns) - self._begin_ns) * 1e-9

    def _run_duration(self, progress: Progress | None) -> int:
        return self._act_until(self.model.duration_s, progress, is_draining=False)

    def _drain(self) -> int:
        n_events = self._act_until(self.model.duration_s + self.model.drain_s, None, is_draining=True)
        self._settle()
        return n_events

    def _act_until(self, stop_s: float, progress: Progress | None, *, is_draining: bool) -> int:
        """Act on each event when it is due, up to a time, or until no job is left when the run drains."""
        n_events, listened_s = 0, -math.inf
        while self.live or not is_draining:
            now_s, due_s = self._elapsed_s(), min(self.env.peek(), stop_s)
            if due_s - now_s > SLACK_S or now_s - self._looked_s > WATCH_S:
                self._look_after(now_s, progress)
            if due_s > now_s or now_s - listened_s > LISTEN_S:
                happening = self._inbox.wait(min(due_s - self._elapsed_s(), WATCH_S))
                listened_s = self._elapsed_s()
                while happening is not None:  # all that is there: it came before what is due now
                    self._hear(happening)
                    happening = self._inbox.wait(0.0)
            elif due_s >= stop_s:
                break
            else:
                self.notes.add_lateness(now_s - due_s)
                self.env.step()
                n_events += 1
        return n_events

    def _look_after(self, now_s: float, progress: Progress | None) -> None:
        """Do what is not an event: have bytes made for what is due soon; some times a second, look at the testbed."""
        self._looked_s = now_s
        self._prepare_until(now_s + AHEAD_S)
        if now_s - self._watched_s >= WATCH_S:
            self._watched_s = now_s
            self._watch()
            if progress is not None:
                progress(now_s, self.record.recording.n_launched)
            if self._see is not None:
                self._see(self._moment(now_s))

    def _moment(self, now_s: float) -> Moment:
        chains, work = self._news.take()
        return Moment(now_s, self.record.recording.n_launched, len(self.live), len(self._away), len(self._held),
                      len(self._due), self._depths.ready, chains, work)

    # -- jobs to hardware and back ----------------------------------------------------------------------------

    def enter(self, job: Job, position: int) -> None:
        """Let a job begin a hop: on hardware if the hop is bound."""
        chains = self._binding.chains[job.route.row]
        if self._only_bound:
            while position < len(job.route.hops) and position not in chains:
                self._note(job, job.route.hops[position])
                position += 1
        if position in chains:
            self._leave(job, chains[position])
        else:
            super().enter(job, position)

    def launch(self, stream: int, variant: int, entity: int) -> Job:
        """Make a job for a controller; a round begins when its model is published."""
        if self.model.streams[stream] == 'fl-publish':
            self._messages.rounds.begin()
        return super().launch(stream, variant, entity)

    def _prepare_until(self, time_s: float) -> None:
        """Let devices make what their sources will send up to a time."""
        for _, _, key, entity, stream, _ in self._ahead.look_ahead(time_s):
            route = self._first_route(stream, 0, entity, self.attachment[entity])
            chain = self._following(route, 0)
            if chain is not None and chain.device is not None:
                self._ask(self._messages.of_source(route, key, entity, chain), key, chain)

    def _following(self, route: RouteRow, position: int) -> Chain | None:
        """Return the next chain of a route from a position on."""
        chains = self._binding.chains[route.row]
        return next((chains[first] for first in sorted(chains) if first >= position), None)

    def _ask(self, message: Message, key: int, chain: Chain) -> None:
        """Let the device of a message make what a chain takes; it is heard of later."""
        self._n_asked += 1
        self._devices.prepare(_number(key, chain), message)

    def _leave(self, job: Job, chain: Chain) -> None:
        """Send a job's chain to hardware, as soon as the device's bytes are there."""
        if chain.device is None:
            messages = self._messages.without_device(job, chain)
            slip = self._slip(job, chain, len(messages))
            due_s = self.env.now
            for message in messages:  # of one sender, so one after the other
                self._send(job, chain, replace(message, slip=slip), due_s)
                due_s = self._elapsed_s()
            return
        number = _number(job.key, chain)
        made = self._made.pop(number, None)
        if made is None:
            self._due[number] = job, chain, self.env.now
        else:
            self._send_made(job, chain, made, self.env.now)

    def _send_made(self, job: Job, chain: Chain, made: Message, due_s: float) -> None:
        """Send what a device has made for a chain."""
        self._send(job, chain, replace(made, slip=self._slip(job, chain), done=0, timings=(), outcome=''), due_s)

    def _slip(self, job: Job, chain: Chain, n_messages: int = 1) -> tuple[Leg, ...]:
        """Return the legs of a chain; with how long they take in the simulation, if workers are to play it.

        A chain that goes out as several messages shares that time among them.
        """
        if not self._is_padded:
            return chain.legs
        seconds = dict.fromkeys(chain.legs, 0.0)
        for hop in job.route.hops[chain.first:chain.end]:
            for leg in chain.legs:
                if leg.first <= hop.step < leg.end:
                    seconds[leg] += self._costs.draw(job, hop, 0)
        return tuple(replace(leg, hold_ns=round(seconds[leg] * 1e9 / n_messages)) for leg in chain.legs)

    def _send(self, job: Job, chain: Chain, message: Message, due_s: float) -> None:
        """Send a message that is due, as soon as those before it are sent and there is room."""
        self._away[ChainId.of(message)] = job, chain
        self._held.append((message, due_s))
        self._send_held()
        self.notes.n_held += bool(self._held)

    def _send_held(self) -> None:
        """Send what there is room for by now."""
        while self._held and self._ledger.has_room(n_bytes := len(self._held[0][0].body) + HEADER_BYTES_MAX):
            message, due_s = self._held.popleft()
            now_ns = time.monotonic_ns()
            self._ledger.launch(message, n_bytes, now_ns)
            self._hardware.send(message)
            self.notes.sent(ChainId.of(message), self._elapsed_s(now_ns) - due_s)

    def _hear(self, happening: Happening) -> None:
        """Let something that happened become an event of the run."""
        if isinstance(happening, Hello):
            return  # a worker has connected again; what it held comes again by itself
        if isinstance(happening, Prepared):
            self._n_asked -= 1
            waiting = self._due.pop(happening.chain, None)
            if waiting is None:
                self._made[happening.chain] = decode(happening.raw)
            else:
                self.notes.n_unprepared += 1
                job, *_ = waiting
                self._at(happening.prepared_ns, job, (*waiting, decode(happening.raw)), self._is_prepared)
        elif isinstance(happening, Depths):
            self._depths = happening
        elif isinstance(happening, Blocked):
            self.notes.blocked.append((self._elapsed_s(happening.blocked_ns), happening.reason))
        elif isinstance(happening, Refused):
            if self._ledger.refuse(happening.chain, happening.refused_ns):
                job, chain = self._away.pop(happening.chain)
                self._at(happening.refused_ns, job, (job, chain, DROPPED), self._ends)
                self._send_held()
        elif self._ledger.take(reply := decode(happening.raw), happening.received_ns):
            number = ChainId.of(reply)
            job, chain = self._away.pop(number)
            self.notes.add_reply(job, number, reply, self._ledger.ended[number], self._begin_ns,
                                 max(0.0, self.env.now - self._elapsed_s(happening.received_ns)))
            self._at(happening.received_ns, job, (job, chain, reply), self._returns)
            self._send_held()

    def _at(self, stamp_ns: int, job: Job, subject: object, act: Callable[[Occurrence], None]) -> None:
        """Plan what follows from something outside: at the time of its stamp, or now if that is over."""
        due_s = max(self._elapsed_s(stamp_ns), self.env.now)
        self.env.at(due_s, event_key(ARRIVE, job.key, 0, 0, job.attempt), act, subject)

    def _is_prepared(self, event: Occurrence) -> None:
        job, chain, due_s, message = event._value
        if not job.done:
            self._send_made(job, chain, message, due_s)

    def _ends(self, event: Occurrence) -> None:
        job, _, outcome = event._value
        if not job.done:
            self.finish(job, outcome)

    def _returns(self, event: Occurrence) -> None:
        """Lead a job on from a chain that hardware has done."""
        job, chain, reply = event._value
        if job.done:
            return
        job.attempt = max(job.attempt, reply.attempt)
        if reply.outcome != 'delivered':
            self.finish(job, OUTCOMES.index(reply.outcome))
            return
        job.crypto_s += self.notes.crypto_s(reply)
        if self._messages.returns(job, reply):
            following = self._following(job.route, chain.end)
            if following is not None and following.device is not None:
                self._ask(self._messages.onwards(reply, following), job.key, following)
            if chain.end == len(job.route.hops):
                self._complete(job)
            else:
                self.enter(job, chain.end)

    def _settle(self) -> None:
        """End as rejected what lies in the dead letters; the rest stays unfinished."""
        dead, self.notes.n_dead_letters = self._hardware.dead_chains() if self._binding.places else (set(), 0)
        self._ledger.close(dead, time.monotonic_ns())
        for number in sorted(dead & self._away.keys()):
            job, _ = self._away[number]
            if not job.done:
                self.finish(job, REJECTED)


def _number(key: int, chain: Chain) -> ChainId:
    """Return what the ledger calls a chain of one message, of the job with a key."""
    return ChainId(wire_number(key), chain.legs[0].first)
