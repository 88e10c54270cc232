"""Jobs and the routes they travel: the Model's arrays as Python objects, read once at the start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim import laws
from sim.laws import CONSTANT, EMPIRICAL, SERVICE, empirical_noise, noise, uniform
from sim.model import Hops, Model

HOP_FIELDS = ('kind', 'station', 'stage', 'place', 'step', 'key', 'curve', 'law', 'amount', 'latency_s', 'flags',
              'radio', 'crypto_ratio', 'n_bytes', 'wrap_bytes', 'segment_bytes', 'window',
              'legs_behind')


class HopRow:
    """One row of `model.Hops`."""

    __slots__ = ('row', *HOP_FIELDS)

    kind: int
    station: int
    stage: int
    place: int
    step: int
    key: int
    curve: int
    law: int
    amount: float
    latency_s: float
    flags: int
    radio: int
    crypto_ratio: float
    n_bytes: int
    wrap_bytes: int
    segment_bytes: int
    window: int
    legs_behind: int

    def __init__(self, row: int, values: tuple[Any, ...]) -> None:
        self.row = row
        for name, value in zip(HOP_FIELDS, values, strict=True):
            setattr(self, name, value)


class RouteRow:
    """One row of `model.Routes` with its hops."""

    __slots__ = ('class_row', 'crypto_bytes', 'deadline_s', 'fallback', 'flow', 'guards', 'hops', 'priority', 'row',
                 'stream', 'wire_bytes')

    def __init__(self, model: Model, row: int, hops: list[HopRow]) -> None:
        routes = model.routes
        self.row = row
        first = int(routes.hop_first[row])
        self.hops = hops[first:first + int(routes.n_hops[row])]
        self.stream = int(routes.stream[row])
        self.flow = int(model.stream_flow[self.stream])
        self.class_row = int(routes.class_row[row])
        self.priority = int(routes.priority[row])
        self.deadline_s = float(routes.deadline_s[row])
        self.wire_bytes = int(routes.wire_bytes[row])
        self.crypto_bytes = int(routes.crypto_bytes[row])
        self.fallback = int(routes.fallback[row])
        self.guards = routes.guards[row]


class Job:
    """One trip along a route."""

    __slots__ = ('amounts', 'attachment', 'attempt', 'consumer', 'crypto_s', 'deadline_s', 'delivery', 'done', 'entity',
                 'id', 'inbox', 'k', 'key', 'launched_s', 'mark_s', 'priority', 'route', 'sealed_s')

    def __init__(self, number: int, key: int, route: RouteRow, entity: int, attachment: int, k: int,
                 launched_s: float) -> None:
        self.id = number
        self.key = key
        self.route = route
        self.priority = route.priority
        self.entity = entity
        self.attachment = attachment  # as of the launch: the job goes the way it began
        self.k = k
        self.launched_s = launched_s
        self.deadline_s = route.deadline_s
        self.attempt = 0
        self.consumer = -1  # station row of the consumer that the broker chose
        self.delivery = 0  # grows with each delivery, and when its consumer dies: what was under way is void
        self.crypto_s = 0.0
        self.mark_s = float('nan')
        self.sealed_s = -math.inf  # when the entity sealed it
        self.done = False
        self.inbox = -1  # where its outcome goes; -1: nowhere
        self.amounts: dict[int, float] | None = None


class Costs:
    """How much a hop asks of a server: a cost curve at the hop's amount, times a drawn factor."""

    def __init__(self, model: Model) -> None:
        self._curves, self._laws = model.curves, model.laws
        self._law_rows = list(zip(model.laws.kind.tolist(), model.laws.a.tolist(), model.laws.b.tolist(),
                                  model.laws.c.tolist(), strict=True))
        self._base: dict[tuple[int, float], float] = {}

    def draw(self, job: Job, hop: HopRow, offset: int) -> float:
        """Return the amount of work: seconds at speed 1."""
        amount = hop.amount
        if job.amounts is not None:
            amount = job.amounts.get(hop.stage, amount)
        at = (hop.curve + offset, amount)
        base = self._base.get(at)
        if base is None:
            row = at[0]
            base = self._base[at] = laws.cost(self._curves.amounts, self._curves.seconds, self._curves.first[row],
                                              self._curves.n[row], amount)
        law, a, b, c = self._law_rows[hop.law + offset]
        if law == CONSTANT:
            return base
        u = uniform(job.key, SERVICE, hop.key, 0, 0)
        if law == EMPIRICAL:
            return base * empirical_noise(self._laws.quantiles, int(a), int(b), u)
        return base * noise(law, a, b, c, u)


def hop_rows(hops: Hops) -> list[HopRow]:
    """Return every hop as an object."""
    table = [np.asarray(getattr(hops, name)).tolist() for name in HOP_FIELDS]
    return [HopRow(row, values) for row, values in enumerate(zip(*table, strict=True))]
