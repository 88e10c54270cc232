"""How fast the engine is: a star of devices, and the shipped scenarios. Prints; asserts nothing.

The star: N devices in groups of 100, each group behind a gateway (50 ms of service, load 0.5), all behind one uplink
(100 Mbit/s, 1 ms) and one server (load 0.8); the same total of messages at every N. Rates are of the engine alone,
best of the repetitions, because other work on the machine only slows it down.
"""

import argparse
import platform
import time

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.engines import reference
from sim.loading import load
from sim.lowering import lower
from sim.model import LINK, POISSON, SERVE, Model
from sim.running import run_model

GATEWAY_S = 0.05
GATEWAY_LOAD = 0.5
SERVER_LOAD = 0.8
GROUP = 100
MESSAGE_BYTES = 256


def star(n_devices: int, n_messages: int) -> Model:
    """Return the star of `n_devices`."""
    builder = ModelBuilder('star')
    n_gateways = max(1, n_devices // GROUP)
    rate_each = GATEWAY_LOAD / GATEWAY_S / GROUP
    rate = rate_each * n_devices
    uplink = builder.station('uplink', (100e6,), kind='link')
    server = builder.station('server')
    class_row = builder.class_('device')
    stream = builder.stream('vitals', 'vitals')
    service = builder.curve((0.0,), (GATEWAY_S,))
    work = builder.curve((0.0,), (SERVER_LOAD / rate,))
    exponential = builder.law(laws.EXPONENTIAL)
    attached = []
    for gateway in range(n_gateways):
        station = builder.station(f'gateway-{gateway}')
        attached += [builder.attachment(f'group-{gateway}', gateway, (station,) * 4)] * min(GROUP, n_devices)
        builder.route(stream, class_row, [
            Hop(SERVE, station, 'gateway', curve=service, law=exponential),
            Hop(LINK, uplink, 'transfer', latency_s=1e-3, n_bytes=MESSAGE_BYTES, segment_bytes=MESSAGE_BYTES),
            Hop(SERVE, server, 'server', curve=work, law=exponential),
        ], group=gateway)
    builder.entities(class_row, attached)
    builder.source(stream, class_row, POISSON, 1.0 / rate_each)
    return builder.build(duration_s=n_messages / rate)


def report(name: str, model: Model, repetitions: int) -> None:
    """Print the best rate of some executions."""
    best = min((_timed(model) for _ in range(repetitions)), key=lambda timed: timed[0])
    seconds, recording = best
    print(f'{name:32s} {recording.n_launched:>9,} messages {recording.n_hops:>10,} hops {seconds:8.2f} s '
          f'{recording.n_launched / seconds:>10,.0f} messages/s {recording.n_hops / seconds:>10,.0f} hops/s')


def _timed(model: Model) -> 'tuple[float, reference.engine.Recording]':
    begin = time.perf_counter()
    recording = run_model(model, trace='none')
    return time.perf_counter() - begin, recording


def main() -> None:
    """Run the benchmarks that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--messages', type=int, default=100_000)
    parser.add_argument('--repetitions', type=int, default=2)
    parser.add_argument('--scenarios', nargs='*', default=['ward', 'teaching-hospital'])
    arguments = parser.parse_args()
    print(f'engine simpy, Python {platform.python_version()}, {platform.machine()}')
    run_model(star(GROUP, 100), trace='none')  # compiles, or loads from the cache
    for n_devices in (100, 1_000, 10_000):
        report(f'star, {n_devices:,} devices', star(n_devices, arguments.messages), arguments.repetitions)
    for name in arguments.scenarios:
        report(name, lower(*load(name)), 1)


if __name__ == '__main__':
    main()
