"""What a job's chains look like as messages: keys, slips and bodies of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hil.keys.messages import subject_id
from hil.paced.devices import BROADCAST, EPOCH
from hil.paced.learning import Rounds
from hil.wire.message import KeyId, Leg, Message
from hil.wire.names import run_id
from sim.flows import FLOWS, LEARNING_FLOWS

if TYPE_CHECKING:
    from hil.paced.binding import Binding, Chain
    from sim.engines.reference.routes import Job, RouteRow
    from sim.model import Model

PATTERN = bytes(range(256))  # payloads are read by nobody


def subject_of(model: Model, entity: int) -> bytes:
    """Return the id under which an entity has keys."""
    name = model.classes.name[model.entities.class_row[entity]]
    return subject_id(f'{name}-{model.entities.index[entity]}')


def wire_number(key: int) -> int:
    """Return the number of a job in messages: its key, which is known before it is launched, as 64 unsigned bits."""
    return key % 2**64


class Messages:
    """Makes the messages of jobs; holds what learning needs between them."""

    def __init__(self, binding: Binding, run: str, rounds: Rounds) -> None:
        self.rounds = rounds
        self._binding, self._run = binding, run_id(run)
        self._twin = subject_id('twin')
        self._parts: dict[int, set[int]] = {}  # job of an aggregation -> its messages that have not come back

    def of_source(self, route: RouteRow, key: int, entity: int, chain: Chain) -> Message:
        """Return what a device is to work on for a job that one of its sources launches."""
        assert chain.device is not None
        n_bytes = next(int(hop.amount) for hop in route.hops if hop.step == chain.device.first)
        return self._plain(route, key, subject_of(self._binding.model, entity), (chain.device,),
                           (PATTERN * (n_bytes // 256 + 1))[:n_bytes])

    def onwards(self, reply: Message, chain: Chain) -> Message:
        """Return what a device is to work on when a chain before has brought something for it."""
        assert chain.device is not None
        return replace(reply, slip=(chain.device,), done=0, timings=(), outcome='', attempt=0)

    def without_device(self, job: Job, chain: Chain) -> Sequence[Message]:
        """Return the messages of a chain that no device is before; the aggregation has one for each update."""
        flow = self._flow(job)
        if flow == 'fl-publish':
            return [self._plain(job.route, job.key, BROADCAST, chain.legs, self.rounds.published())]
        if flow == 'fl-update':
            samples = int((job.amounts or {}).get(self._stage('fl.train'), 1))
            return [self._plain(job.route, job.key, subject_of(self._binding.model, job.entity), chain.legs,
                                self.rounds.model_for(job.id, job.entity, samples))]
        assert flow == 'fl-aggregate', f'{flow} has no device'
        messages = [self._plain(job.route, job.key + i, BROADCAST, chain.legs, body)
                    for i, body in enumerate(self.rounds.to_average())]
        self._parts[job.id] = {message.job for message in messages}
        return messages

    def returns(self, job: Job, reply: Message) -> bool:
        """Take what a chain brought back; return whether the job goes on, which an aggregation does at its last."""
        flow = self._flow(job)
        if flow == 'fl-update' and reply.slip[-1].end == len(FLOWS[flow]):
            self.rounds.add(job.id, reply.body)
        if flow != 'fl-aggregate':
            return True
        missing = self._parts[job.id]
        missing.discard(reply.job)
        if reply.body:
            self.rounds.average(reply.body)
        return not missing

    def _plain(self, route: RouteRow, key: int, subject: bytes, slip: tuple[Leg, ...], body: bytes) -> Message:
        """Return a message that is not sealed."""
        flow = self._binding.model.flows[route.flow]
        deadline_ns = int(route.deadline_s * 1e9) if math.isfinite(route.deadline_s) else 0
        return Message(self._run, wire_number(key), 0, flow,
                       self._binding.options if flow in LEARNING_FLOWS else frozenset(), route.priority, deadline_ns,
                       slip, 0, '', KeyId(subject, EPOCH), self._twin, self._twin, None, (), body)

    def _flow(self, job: Job) -> str:
        return self._binding.model.flows[job.route.flow]

    def _stage(self, name: str) -> int:
        return self._binding.model.stages.index(name)


def subjects(binding: Binding) -> tuple[list[bytes], list[bytes]]:
    """Return the ids of all entities that have keys in a run, and of those that learn."""
    model = binding.model
    devices: Iterable[int] = np.flatnonzero(model.entities.attachment >= 0).tolist()
    learning: Iterable[int] = [] if model.learning is None else model.learning.clients.tolist()
    return [subject_of(model, entity) for entity in devices], [subject_of(model, entity) for entity in learning]
