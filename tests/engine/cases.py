"""Models and controllers built from the plans of `strategies`, with or without a newcomer."""

import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import (
    CONSUMER,
    DELAY,
    ENDS_VISIT,
    FIFO,
    FIRST_CONSUMER_SLOT,
    FIRST_SLOT,
    LINK,
    LISTED,
    OWN_CPU,
    QUEUE,
    RECEIVES,
    SAME_VISIT,
    SERVE,
    TRANSMITS,
    Model,
)
from sim.worlds import Controller, World
from tests.engine.strategies import DURATION_S, LAWS, Act, Plan, Step, Way

WATTS = {'base_w': 0.5, 'busy_w': 2.0, 'transmit_w': 1.0, 'receive_w': 0.25}


@dataclass(frozen=True)
class Case:
    """A model and the controllers that run with it."""

    model: Model
    controllers: tuple[Controller, ...]


@dataclass(frozen=True)
class _Rows:
    """Rows of what a plan's numbers stand for."""

    servers: Sequence[int]
    links: Sequence[int]
    pods: Sequence[int]
    queues: Sequence[int]
    names: Sequence[str]  # of all stations that may go down
    guards: Sequence[int]
    entities: Sequence[np.ndarray]


def build(plan: Plan, *, newcomer: bool = False) -> Case:
    """Build a plan's model and controllers; a newcomer, a class first in every table, shares nothing."""
    b = ModelBuilder(seed=plan.seed)
    if newcomer:
        _add_newcomer(b)
    rows = _add_infrastructure(b, plan)
    for i, way in enumerate(plan.ways):
        _add_way(b, rows, plan, i, way)
    for target, begin_s, length_s in plan.outages:
        name = rows.names[target % len(rows.names)]
        b.changes += [(begin_s, name, False), (begin_s + length_s, name, True)]
    controllers = (Controller('operator', _operator(plan, rows)), Controller('asker', _asker(plan, rows)))
    model = b.build(duration_s=DURATION_S, warm_up_s=plan.warm_up_s, drain_s=plan.drain_s)
    return Case(model, controllers)


def _add_newcomer(b: ModelBuilder) -> None:
    own, pod, row = b.station('new station', (1.0, 2.0)), b.station('new pod', discipline=FIFO), b.class_('newcomer')
    stream, queue = b.stream('new stream', 'new flow'), b.queue('new queue', [pod], detect_s=0.5)
    b.entities(row, [-1, -1])
    b.route(stream, row, [Hop(SERVE, own, 'new stage', 'new place'), Hop(QUEUE, queue, 'broker.route'),
                          Hop(SERVE, CONSUMER, law=b.law(laws.EXPONENTIAL), flags=ENDS_VISIT)])
    b.source(stream, row, LISTED, listed=[(index, float(k)) for index in range(2) for k in range(12)])
    b.changes += [(time_s, name, time_s > 2.0) for name in ('new pod', 'new station') for time_s in (2.0, 3.0)]


def _add_infrastructure(b: ModelBuilder, plan: Plan) -> _Rows:
    served = [b.station(f'servers {i}', s.speeds, discipline=s.discipline) for i, s in enumerate(plan.servers)]
    carried = [
        b.station(f'link {i}', (link.rate_bps,), kind='link', discipline=link.discipline, frame_bytes=link.frame_bytes,
                  frame_overhead_bits=link.overhead_bits, loss_ratio=link.loss_ratio, attempts_max=link.attempts_max)
        for i, link in enumerate(plan.links)
    ]
    cables = [b.station(f'cable {i}', (3_200.0,), kind='link', frame_bytes=100) for i in range(4)]
    pods = [
        b.station(f'pod {i}', s.speeds, discipline=FIFO, law_offset=i,
                  slots=tuple(cables[cable] if cable >= 0 else -1 for cable in own))  # type: ignore[arg-type]
        for i, (s, own) in enumerate(zip(plan.pods, plan.pod_cables, strict=True))
    ]
    found = [
        b.queue(f'queue {i}', [pods[pod] for pod in q.pods], prefetch=q.prefetch, capacity=q.capacity,
                deliver_s=q.deliver_s, acknowledge_s=q.acknowledge_s, detect_s=q.detect_s)
        for i, q in enumerate(plan.queues)
    ]
    for i in range(2):  # two wards of one group: own air, one port
        b.attachment(f'ward {i}', 0, (carried[i], carried[i], carried[-1], carried[-1]))
    entities = []
    for i, n in enumerate(plan.class_sizes):
        row = b.class_(f'class {i}', **WATTS)
        entities.append(b.entities(row, [index % 2 for index in range(n)]))
    names = [f'servers {i}' for i in range(len(served))] + [f'pod {i}' for i in range(len(pods))]
    names += [f'link {i}' for i in range(len(carried))] + [f'cable {i}' for i in range(len(cables))]
    return _Rows(served, carried, pods, found, names, [*served, *carried], entities)


def _add_way(b: ModelBuilder, rows: _Rows, plan: Plan, number: int, way: Way) -> None:
    class_row = b._class_names.index(f'class {way.class_index}')
    stream = b.stream(f'stream {number}', f'flow {number % 2}')
    hops = [hop for i, step in enumerate(way.steps) for hop in _hops(b, rows, plan, i, step)]
    fallback = -1
    guards: tuple[int, ...] = ()
    if way.guard >= 0:
        short = [Hop(DELAY, -1, 'detour', amount=0.5)]
        fallback = b.route(stream, class_row, short, listed=False, priority=way.priority)
        guards = (rows.guards[way.guard % len(rows.guards)],)
    b.route(stream, class_row, hops, priority=way.priority, deadline_s=way.deadline_s, guards=guards, fallback=fallback,
            wire_bytes=10 + number, crypto_bytes=number)
    if way.timing >= 0:
        listed = way.times_s if way.timing == LISTED else ()
        b.source(stream, class_row, way.timing, way.gap_s, listed=listed)


def _hops(b: ModelBuilder, rows: _Rows, plan: Plan, number: int, step: Step) -> list[Hop]:
    law = b.law(int(LAWS[step.law][0]), *LAWS[step.law][1:])
    if step.kind == 'serve':
        station = rows.servers[step.which % len(rows.servers)]
        return [Hop(SERVE, station, 'serve', law=law, amount=step.amount, latency_s=step.latency_s, flags=step.flags)]
    if step.kind == 'cpu':
        return [Hop(SERVE, OWN_CPU, 'work', 'device', law=law, amount=step.amount, flags=step.flags)]
    if step.kind == 'delay':
        return [Hop(DELAY, -1, 'wait', 'device', law=law, amount=step.amount, latency_s=step.latency_s)]
    if step.kind == 'visit':
        return _visit(b, rows, plan, step)
    sent = {'stage': f'transfer {number}', 'place': 'net', 'n_bytes': step.n_bytes, 'window': step.window,
            'segment_bytes': step.segment_bytes, 'latency_s': step.latency_s}
    if step.kind == 'air':
        up = step.which % 2 == 0
        air = Hop(LINK, FIRST_SLOT - step.which % 2, radio=TRANSMITS if up else RECEIVES, crypto_ratio=0.25,
                  wrap_bytes=20, **sent)  # type: ignore[arg-type]
        port = Hop(LINK, FIRST_SLOT - 2 - step.which % 2, **sent)  # type: ignore[arg-type]
        return [air, port] if up else [port, air]
    stations = [rows.links[(step.which + leg) % len(rows.links)] for leg in range(step.n_legs)]
    return [Hop(LINK, station, **sent) for station in stations]  # type: ignore[arg-type]


def _visit(b: ModelBuilder, rows: _Rows, plan: Plan, step: Step) -> list[Hop]:
    """Return a queue, the way to a pod, a visit, and the way back; each pod has a curve and a law of its own."""
    n = len(plan.pods)
    curve = b.curve_block([((0.0, 1.0), (0.0, 1.0 + pod / 2.0)) for pod in range(n)])
    chosen = [LAWS[(step.law + pod) % len(LAWS)] for pod in range(n)]
    law = b.law_block([(int(row[0]), tuple(row[1:])) for row in chosen])
    queue = rows.queues[step.which % len(rows.queues)]
    publishes = step.window % 2 == 0  # and acknowledges only when a server has what it published
    stages = []
    for stage in range(step.n_legs):
        ends = stage == step.n_legs - 1 and not publishes
        flags = (step.flags if stage == 0 else SAME_VISIT) | (ENDS_VISIT if ends else 0)
        stages.append(Hop(SERVE, CONSUMER, f'stage {stage}', 'pod', curve=curve, law=law, amount=step.amount,
                          flags=flags, latency_s=step.latency_s if stage == step.n_legs - 1 else 0.0))
    there, back = (
        [Hop(LINK, FIRST_CONSUMER_SLOT - slot, way, 'net', n_bytes=step.n_bytes, latency_s=step.latency_s,
             segment_bytes=step.segment_bytes, window=step.window) for slot in slots]
        for way, slots in (('there', (0, 1)), ('back', (2, 3))))
    routed = Hop(SERVE, rows.servers[step.which % len(rows.servers)], 'broker.route', 'broker', amount=step.amount,
                 flags=ENDS_VISIT, latency_s=step.latency_s)
    return [Hop(QUEUE, queue, 'broker.queue', 'broker'), *there, *stages, *back, *([routed] if publishes else [])]


def _operator(plan: Plan, rows: _Rows) -> Callable[[World], Coroutine[Any, Any, None]]:
    """Return a controller that does the plan's acts, except asking."""

    async def operate(world: World) -> None:
        for act in sorted(plan.acts, key=lambda act: act.time_s):
            await world.sleep(act.time_s - world.now())
            _act(world, rows, act)

    return operate


def _act(world: World, rows: _Rows, act: Act) -> None:
    members = rows.entities[act.which % len(rows.entities)]
    if act.what == 'servers':
        world.change(rows.names[act.which % len(rows.servers)], servers=act.value)
    elif act.what == 'outage':
        world.change(rows.names[act.which % len(rows.names)], up=bool(act.value % 2))
    elif act.what == 'attachment':
        world.change(members[:1], attachment=act.value % 2)
    elif act.what == 'valid_from':
        valid_from_s = (-math.inf, math.inf, world.now(), world.now() - 1.0, -math.inf)[act.value]
        world.change(members, valid_from=valid_from_s)
    elif act.what != 'ask':
        world.change(members[:act.value], **{act.what: bool(act.value % 2)})


def _asker(plan: Plan, rows: _Rows) -> Callable[[World], Coroutine[Any, Any, None]]:
    """Return a controller that launches those streams that no source launches, and waits for some of the outcomes."""
    asked = [(f'stream {i}', way.class_index) for i, way in enumerate(plan.ways) if way.timing < 0]
    has_stage = any(step.kind == 'serve' for way in plan.ways for step in way.steps)

    async def ask(world: World) -> None:
        inbox = world.inbox()
        for act in sorted(plan.acts, key=lambda act: act.time_s):
            if act.what == 'ask' and asked:
                await world.sleep(act.time_s - world.now())
                stream, class_index = asked[act.which % len(asked)]
                amounts = {'serve': act.value / 2.0} if has_stage else None
                world.launch(stream, rows.entities[class_index], inbox=inbox, amounts=amounts)
                await inbox.take(act.value, deadline_s=float(act.value))

    return ask
