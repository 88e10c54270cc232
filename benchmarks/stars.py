"""The star that simulators are compared on, as a Model, and as anybody would write it in plain SimPy.

N devices in groups of 100, each group behind a gateway (50 ms of service, load 0.5), all behind one uplink (100 Mbit/s
and 1 ms) and one server (load 0.8): three hops a message. The rich star adds to it what a hospital needs: crypto
on the device, a shared air with losses, priorities, a broker with prefetch and acknowledgements, and crypto workers.
"""

import math
import random

import simpy

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.model import (
    CONSUMER,
    CRYPTO,
    ENDS_VISIT,
    FIFO,
    FIRST_SLOT,
    LINK,
    OWN_CPU,
    POISSON,
    QUEUE,
    SERVE,
    TRANSMITS,
    Model,
)

GATEWAY_S = 0.05
GATEWAY_LOAD = 0.5
SERVER_LOAD = 0.8
GROUP = 100
MESSAGE_BYTES = 256
UPLINK_BPS = 100e6
UPLINK_LATENCY_S = 1e-3
RATE_EACH = GATEWAY_LOAD / GATEWAY_S / GROUP  # messages/s of one device


def star(n_devices: int, n_messages: int, seed: int = 1) -> Model:
    """Return the star of three hops."""
    builder = ModelBuilder('star', seed)
    rate = RATE_EACH * n_devices
    uplink = builder.station('uplink', (UPLINK_BPS,), kind='link')
    server = builder.station('server')
    class_row = builder.class_('device')
    stream = builder.stream('vitals', 'vitals')
    service = builder.curve((0.0,), (GATEWAY_S,))
    work = builder.curve((0.0,), (SERVER_LOAD / rate,))
    exponential = builder.law(laws.EXPONENTIAL)
    attached = []
    for gateway in range(max(1, n_devices // GROUP)):
        station = builder.station(f'gateway-{gateway}')
        attached += [builder.attachment(f'group-{gateway}', 0, (station,) * 4)] * min(GROUP, n_devices)
    builder.route(stream, class_row, [
        Hop(SERVE, FIRST_SLOT, 'gateway', curve=service, law=exponential),
        Hop(LINK, uplink, 'transfer', latency_s=UPLINK_LATENCY_S, n_bytes=MESSAGE_BYTES, segment_bytes=MESSAGE_BYTES),
        Hop(SERVE, server, 'server', curve=work, law=exponential),
    ])
    builder.entities(class_row, attached)
    builder.source(stream, class_row, POISSON, 1.0 / RATE_EACH)
    return builder.build(duration_s=n_messages / rate)


def rich_star(n_devices: int, n_messages: int, seed: int = 1) -> Model:
    """Return the star with crypto stages, lossy air, two priorities, a broker and crypto workers: nine hops."""
    builder = ModelBuilder('rich-star', seed)
    rate = RATE_EACH * n_devices
    class_row = builder.class_('device', base_w=1e-3, busy_w=5e-3, transmit_w=2e-2)
    exponential, noisy = builder.law(laws.EXPONENTIAL), builder.law(laws.LOGNORMAL, 0.1)
    n_workers = 8
    workers = [builder.station(f'worker-{i}', discipline=FIFO) for i in range(n_workers)]
    broker = builder.station('broker', (1.0,) * 4, kind='broker')
    wires = [builder.station(name, (1e10,), kind='link', frame_bytes=1448, frame_overhead_bits=700.0)
             for name in ('port', 'floor', 'core', 'node')]
    attached = []
    for gateway in range(max(1, n_devices // GROUP)):
        air = builder.station(f'air-{gateway}', (1e6,), kind='air', frame_bytes=244, frame_overhead_bits=548.0,
                              loss_ratio=0.02, attempts_max=8)
        attached += [builder.attachment(f'group-{gateway}', 0, (air,) * 4)] * min(GROUP, n_devices)
    opened = builder.curve((0.0,), (0.6 * n_workers / rate,))
    routed = builder.curve((0.0,), (0.6 * 4 / rate,))
    prefetch = max(4, math.ceil(2.0 * rate * 4.5e-4 / n_workers))  # twice what is between queue and acknowledgement
    sealed = builder.curve((0.0,), (2e-4,))
    for name, priority, share in (('vitals', 1, 0.9), ('alarm', 0, 0.1)):
        stream = builder.stream(name, name)
        queue = builder.queue(f'crypto-{priority}', workers, prefetch=prefetch, deliver_s=2e-4, acknowledge_s=2e-4)
        links = [Hop(LINK, row, 'net.transfer', 'network', latency_s=2e-5, n_bytes=MESSAGE_BYTES, wrap_bytes=wrap,
                     segment_bytes=1250, window=16, radio=radio)
                 for row, wrap, radio in [(FIRST_SLOT, 0, TRANSMITS), *((wire, 190, 0) for wire in wires)]]
        builder.route(stream, class_row, [
            Hop(SERVE, OWN_CPU, 'aead.seal', 'device', sealed, noisy, flags=CRYPTO), *links,
            Hop(SERVE, broker, 'broker.route', 'broker', routed, exponential),
            Hop(QUEUE, queue, 'broker.queue', 'broker', n_bytes=MESSAGE_BYTES),
            Hop(SERVE, CONSUMER, 'aead.open', 'crypto', opened, exponential, flags=CRYPTO | ENDS_VISIT),
        ], priority=priority)
        builder.source(stream, class_row, POISSON, 1.0 / (share * RATE_EACH))
    builder.entities(class_row, attached)
    return builder.build(duration_s=n_messages / rate)


def plain_simpy(n_devices: int, n_messages: int, seed: int = 1) -> int:
    """Run the star of three hops as a textbook SimPy program with `Resource`, and return the messages delivered."""
    draws = random.Random(seed)
    env = simpy.Environment()
    rate = RATE_EACH * n_devices
    gateways = [simpy.Resource(env) for _ in range(max(1, n_devices // GROUP))]
    uplink, server = simpy.Resource(env), simpy.Resource(env)
    delivered = 0

    def message(gateway: simpy.Resource) -> 'simpy.events.ProcessGenerator':
        nonlocal delivered
        with gateway.request() as request:
            yield request
            yield env.timeout(draws.expovariate(1.0 / GATEWAY_S))
        with uplink.request() as request:
            yield request
            yield env.timeout(8.0 * MESSAGE_BYTES / UPLINK_BPS)
        yield env.timeout(UPLINK_LATENCY_S)
        with server.request() as request:
            yield request
            yield env.timeout(draws.expovariate(rate / SERVER_LOAD))
        delivered += 1

    def device(gateway: simpy.Resource) -> 'simpy.events.ProcessGenerator':
        while True:
            yield env.timeout(draws.expovariate(RATE_EACH))
            env.process(message(gateway))

    for i in range(n_devices):
        env.process(device(gateways[i // GROUP % len(gateways)]))
    env.run(until=n_messages / rate)
    return delivered
