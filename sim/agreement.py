"""Whether the compiled engine agrees with the reference engine on this computer: asked once, when it is compiled.

Its machine code is made for the processor at hand, which nobody may have tested, and a compiler's fault shows in wrong
times and not in a message. So a small hospital in which nearly all happens that an engine knows is run through both
engines, and every time of every hop, and every sum, must be equal bit for bit.
"""

from contextlib import suppress
from functools import cache

import numpy as np

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.compiling import processor, witness
from sim.controllers import federated_learning
from sim.engines import compiled, reference
from sim.errors import RunError
from sim.model import (
    AHEAD,
    CHECKS_KEY,
    CONSUMER,
    CRYPTO,
    DELAY,
    ENDS_VISIT,
    FIFO,
    FIRST_CONSUMER_SLOT,
    FIRST_SLOT,
    IN_TURN,
    LINK,
    MARKED,
    OWN_CPU,
    PERIODIC,
    POISSON,
    QUEUE,
    RECEIVES,
    SAME_VISIT,
    SEALS,
    SERVE,
    SLOTS,
    TRANSMITS,
    LearningPlan,
    Model,
)
from sim.results.recording import Recording
from sim.worlds import Controller, World

SIZES = (1, 4, 60)  # devices: a heap of events that is empty again and again, and one of several levels
DURATION_S = 10.0
WATTS = {'base_w': 0.5, 'busy_w': 2.0, 'transmit_w': 1.0, 'receive_w': 0.25}


def is_checked() -> bool:
    """Return whether the compiled engine is there, made for this processor, and agrees."""
    done = witness('engines-agree')
    return done is not None and done.exists()


@cache
def check_agreement() -> None:
    """Compare the engines, unless that was done since the compiled one was made for this processor.

    Raises
    ------
    RunError
        If they do not agree.
    """
    done = witness('engines-agree')
    if done is not None and done.exists():
        return
    for model in map(small_hospital, SIZES):
        assert model.learning is not None
        one, other = (run(model, trace='stages', controllers=(federated_learning(model.learning, []), OPERATOR))
                      for run in (reference.run, compiled.run))
        compare(one, other)
    if done is not None:
        with suppress(OSError):  # then it is asked again
            done.touch()


def compare(one: Recording, other: Recording) -> None:
    """Compare what two engines left of one model.

    Raises
    ------
    RunError
        If anything of them differs.
    """
    differences = one.differences(other)
    if differences:
        raise RunError(f'the compiled engine does not agree with the reference engine on this processor '
                       f'({processor()}: {", ".join(differences)}), so its results would be wrong: use --engine simpy, '
                       'and please report this')


async def _operate(world: World) -> None:
    """Change what may be changed."""
    await world.sleep(1.25)
    world.change('server', servers=3)
    world.change(np.array([0]), valid_from=world.now())  # what it has sealed before is refused
    await world.sleep(1.0)
    world.change('server', servers=2)
    world.change(np.array([0]), attachment=1)
    for value in (False, True):
        await world.sleep(0.5)
        world.change(np.array([0]), on=value)
        world.change(np.array([0]), up=value)


OPERATOR = Controller('operator', _operate)


def small_hospital(n_devices: int) -> Model:
    """Return wards of some devices, each with about 50 jobs and 800 events."""
    b = ModelBuilder('agreement', seed=7)
    airs = [b.station(f'air {i}', (1e6,), kind='air', frame_bytes=244, frame_overhead_bits=548.0, loss_ratio=0.15,
                      attempts_max=3) for i in range(2)]
    up, down = (b.station(f'wire {way}', (2e7,), kind='link', frame_bytes=1448, frame_overhead_bits=700.0)
                for way in ('up', 'down'))
    attached = [b.attachment(f'ward {i}', 0, (air, air, up, down)) for i, air in enumerate(airs)]
    device, centre = b.class_('device', **WATTS), b.class_('centre')
    devices = b.entities(device, [attached[i % 2] for i in range(n_devices)])
    (launcher,) = b.entities(centre, [-1])
    _add_messages(b, device, up, wait_s=n_devices / 120.0)
    _add_learning(b, device, centre)
    b.learning = LearningPlan(
        clients=devices, server=int(launcher), rounds=2, fraction=0.3, quorum=0.7, deadline_s=2.5, start_s=0.5,
        pause_s=0.1, samples=(1.0 + devices % 3).astype(np.float64), update_bytes=1_500)
    for begin_s, length_s, target in ((1.0, 0.5, 'pod 0'), (2.0, 0.2, 'wire up'), (3.0, 0.3, 'broker'),
                                      (4.0, 0.1, 'ward 1'), (4.5, 0.5, 'server')):  # then only messages
        b.changes += [(begin_s, target, False), (begin_s + length_s, target, True)]
    return b.build(duration_s=DURATION_S, warm_up_s=0.5, drain_s=0.2)


def _add_messages(b: ModelBuilder, device: int, guard: int, wait_s: float) -> None:
    """Let devices seal, wait and send, workers behind a broker open what comes, and a server take it in.

    Alarms go another way while the guard is down.
    """
    noisy, exponential = b.law(laws.LOGNORMAL, 0.3), b.law(laws.EXPONENTIAL)
    timed = b.law(laws.EMPIRICAL, 0.5, 1.0, 2.0)
    broker, server = b.station('broker', (1.0, 1.0), kind='broker', discipline=IN_TURN), b.station('server', (1.0, 2.0))
    node = b.station('node', (1e8,), kind='link')
    pods = [b.station(f'pod {i}', discipline=FIFO, slots=(node, node, -1, -1)) for i in range(3)]
    sealed, opened, kept = (b.curve((0.0, 1.0), (0.0, seconds)) for seconds in (2e-3, 5e-3, 3e-3))
    detour = b.route(b.stream('alarm', 'alarm'), device, [Hop(DELAY, -1, 'detour', amount=0.5)], listed=False)
    for name, priority, timing, gap_s, deadline_s, segment_bytes, flags, fallback in (
        ('alarm', 0, POISSON, 1.0, 1.0, 100, AHEAD, detour),
        ('vitals', 1, PERIODIC, 0.25, 2.0, 1250, 0, -1),
    ):
        queue = b.queue(name, pods, prefetch=4, capacity=40, deliver_s=2e-4, acknowledge_s=2e-4, detect_s=0.1,
                        broker=broker)
        b.route(b.stream(name, name), device, [
            Hop(SERVE, OWN_CPU, 'seal', 'device', sealed, noisy, flags=CRYPTO | SEALS),
            Hop(DELAY, -1, 'wait', 'device', law=exponential, amount=wait_s),
            _crossing('air_up', 'send', 400, segment_bytes, latency_s=0.02, radio=TRANSMITS),
            _crossing('port_up', 'send', 400, segment_bytes, latency_s=0.02),
            Hop(SERVE, broker, 'route', 'broker', kept, amount=0.1, flags=flags),
            Hop(QUEUE, queue, 'queue', 'broker', n_bytes=400),
            Hop(LINK, FIRST_CONSUMER_SLOT, 'deliver', 'net', n_bytes=400, segment_bytes=1250),
            Hop(SERVE, CONSUMER, 'open', 'pod', opened, exponential, flags=CRYPTO | CHECKS_KEY),
            Hop(SERVE, CONSUMER, 'check', 'pod', opened, flags=CRYPTO | ENDS_VISIT | SAME_VISIT, amount=0.2),
            Hop(SERVE, server, 'keep', 'server', kept, timed),
        ], priority=priority, deadline_s=deadline_s, wire_bytes=500, crypto_bytes=100, fallback=fallback,
            guards=(guard,) if fallback >= 0 else ())
        b.source(b.stream(name, name), device, timing, gap_s)


def _add_learning(b: ModelBuilder, device: int, centre: int) -> None:
    """Let clients fetch a model in segments, train, and send it back."""
    server = b.station('learning server')
    for stream, class_row, hops in (
        ('fl-publish', centre, [Hop(SERVE, server, 'fl.publish', amount=0.01)]),
        ('fl-update', device, [
            _crossing('port_down', 'fetch', 1_500, 400),
            _crossing('air_down', 'fetch', 1_500, 400, radio=RECEIVES),
            Hop(SERVE, OWN_CPU, 'fl.train', 'device', b.curve((0.0, 1.0), (0.0, 0.05)), b.law(laws.UNIFORM, 0.5, 1.5),
                flags=MARKED),
            _crossing('air_up', 'send', 1_500, 400, radio=TRANSMITS),
            _crossing('port_up', 'send', 1_500, 400)]),
        ('fl-aggregate', centre, [Hop(SERVE, server, 'fl.aggregate', curve=b.curve((0.0, 1.0), (0.0, 1e-9)))]),
    ):
        b.route(b.stream(stream, stream), class_row, hops, priority=2)


def _crossing(slot: str, stage: str, n_bytes: int, segment_bytes: int, *, latency_s: float = 1e-4,
              radio: int = 0) -> Hop:
    return Hop(LINK, FIRST_SLOT - SLOTS.index(slot), stage, 'net', latency_s=latency_s, n_bytes=n_bytes, wrap_bytes=40,
               segment_bytes=segment_bytes, window=4, radio=radio, crypto_ratio=0.1 if radio else 0.0)
