"""Federated learning as a Model: clients in groups behind gateways, all behind one server; three links each way.

The rounds are those of the shipped controller, with every client in every round; what is measured is what it costs to
launch a hundred thousand jobs at once, to move them over links that all share, and to gather their outcomes.
"""

from sim.building import Hop, ModelBuilder
from sim.model import FIRST_SLOT, LINK, OWN_CPU, SERVE, SLOTS, LearningPlan, Model

GROUP = 128
CORE_BPS, GATEWAY_BPS, AIR_BPS = 10e9, 1e9, 65e6
LATENCY_S = 1e-4
TRAIN_S = 2e-3  # a sample
SAMPLES = 200


def learning(n_clients: int, n_rounds: int, n_bytes: int, segment_bytes: int, seed: int = 1) -> Model:
    """Return synchronous rounds over all clients."""
    builder = ModelBuilder('learning', seed)
    server = builder.station('server')
    core_up, core_down = (builder.station(f'core-{way}', (CORE_BPS,), kind='link') for way in ('up', 'down'))
    clients, centre = builder.class_('client'), builder.class_('server')
    attached = []
    for i in range(-(-n_clients // GROUP)):
        air = builder.station(f'air-{i}', (AIR_BPS,), kind='air')
        up, down = (builder.station(f'gateway-{i}-{way}', (GATEWAY_BPS,), kind='link') for way in ('up', 'down'))
        attached += [builder.attachment(f'group-{i}', 0, (air, air, up, down))] * GROUP
    rows = builder.entities(clients, attached[:n_clients])
    (launcher,) = builder.entities(centre, [-1])

    def links(*stations: int) -> list[Hop]:
        return [Hop(LINK, station, 'net.transfer', 'network', latency_s=LATENCY_S, n_bytes=n_bytes,
                    segment_bytes=segment_bytes, window=16) for station in stations]

    def slot(name: str) -> int:
        return FIRST_SLOT - SLOTS.index(name)

    train = Hop(SERVE, OWN_CPU, 'fl.train', 'device', builder.curve((0.0, 1.0), (0.0, TRAIN_S)))
    for flow, class_row, hops in (
        ('fl-publish', centre, [Hop(SERVE, server, 'fl.publish')]),
        ('fl-update', clients, [*links(core_down, slot('port_down'), slot('air_down')), train,
                                *links(slot('air_up'), slot('port_up'), core_up)]),
        ('fl-aggregate', centre, [Hop(SERVE, server, 'fl.aggregate', curve=builder.curve((0.0, 1.0), (0.0, 1e-9)))]),
    ):
        builder.route(builder.stream(flow, flow), class_row, hops)
    builder.learning = LearningPlan(
        clients=rows, server=int(launcher), rounds=n_rounds, fraction=1.0, quorum=1.0, deadline_s=1e5, start_s=0.0,
        pause_s=0.0, samples=rows * 0.0 + SAMPLES, update_bytes=n_bytes)
    return builder.build(duration_s=1e7)
