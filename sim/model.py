"""The Model: a lowered scenario as plain arrays. Every engine reads this and nothing else.

Everything is a row number into another table, so that a million devices are rows of arrays::

    sources ──launch──> routes ──> hops ──> stations, curves, laws
       │                  ▲                     ▲
       └── classes ── entities ── attachments ──┘   (own CPU and own air are references)

A hop does one thing: it is served at a station, crosses one link, waits for a drawn time, or enters a
broker queue. Consecutive ``LINK`` hops of one stage form a transfer, which is cut into segments.

A station reference is a row of `Stations`, or negative: the entity's own CPU, the consumer that the broker
chose, a slot of the entity's attachment (its air, its access point's port), or a slot of the consumer (the links
between it and the broker).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# What a hop does.
SERVE, LINK, DELAY, QUEUE = range(4)

# Station references that are not rows.
OWN_CPU, CONSUMER, FIRST_SLOT = -1, -2, -3
SLOTS = ('air_up', 'air_down', 'port_up', 'port_down')  # slot s is the reference FIRST_SLOT - s
CONSUMER_SLOTS = ('broker_out', 'node_in', 'node_out', 'broker_in')  # as above, from FIRST_CONSUMER_SLOT
N_SLOTS, N_CONSUMER_SLOTS = len(SLOTS), len(CONSUMER_SLOTS)
FIRST_CONSUMER_SLOT = FIRST_SLOT - N_SLOTS

# How a station chooses among those who wait. IN_TURN: in the order of arrival, but who is AHEAD before who is not.
PRIORITY, FIFO, PREEMPTIVE, IN_TURN = range(4)

# Bits of Hops.flags. MARKED: the time at which the job enters the hop is one of its outcomes (Outcomes.mark_s).
# ENDS_VISIT: after the hop the consumer acknowledges its message; SAME_VISIT: its server goes on with this hop.
# SEALS: entering the hop, the entity seals the message under its present key; CHECKS_KEY: after the hop, a message that
# was sealed before the entity's keys became valid is refused. AHEAD: at a station that serves IN_TURN it goes before
# those that are not, so that who answers does not wait for all that have asked.
MARKED, CRYPTO, CHECKS_KEY, SAME_VISIT, ENDS_VISIT, SEALS, AHEAD = 1, 2, 4, 8, 16, 32, 64

# What the entity's radio does while the hop is served.
NO_RADIO, TRANSMITS, RECEIVES = range(3)

# How a source is timed.
PERIODIC, POISSON, LISTED = range(3)

# How a job ends.
OUTCOMES = ('delivered', 'expired', 'dropped', 'rejected', 'lost', 'unfinished')
DELIVERED, EXPIRED, DROPPED, REJECTED, LOST, UNFINISHED = range(6)


@dataclass(frozen=True)
class Stations:
    """What stages queue for. Shape of every array ``(n_stations,)`` unless said."""

    name: tuple[str, ...]
    kind: tuple[str, ...]  # air, link, cpu, pod, broker: for tables only
    discipline: Ints
    server_first: Ints  # row of the first server in server_speed
    n_servers: Ints
    server_speed: Floats  # (n_servers_in_all,) amount per second: 1 for CPUs, bit/s for links
    law_offset: Ints  # added to a hop's curve and law: consumers of unlike profiles
    slots: Ints  # (n_stations, N_CONSUMER_SLOTS) rows of a consumer's links, as CONSUMER_SLOTS; -1: none, it is at hand
    frame_bytes: Ints  # payload of one link frame
    frame_overhead_bits: Floats  # what a frame costs beside its payload, gaps included, in bits at the link's rate
    frame_gap_bits: Floats  # of these, silence and others' acknowledgements
    loss_ratio: Floats  # per frame
    attempts_max: Ints

    @property
    def n(self) -> int:
        """The number of stations."""
        return len(self.name)


@dataclass(frozen=True)
class Hops:
    """Parts of routes, shape ``(n_hops,)``."""

    kind: Ints
    station: Ints  # a station reference; for QUEUE a row of Queues
    stage: Ints  # row of Model.stages
    place: Ints  # row of Model.places
    step: Ints  # position of its stage in the flow
    key: Ints  # address of the hop's draws: stage name and occurrence, and the leg of a transfer
    curve: Ints
    law: Ints
    amount: Floats  # in the stage's unit
    latency_s: Floats  # between this hop's end and the next one's beginning
    flags: Ints
    radio: Ints
    crypto_ratio: Floats  # share of the hop's work that cryptography causes
    n_bytes: Ints  # LINK: message bytes to cut into segments
    wrap_bytes: Ints  # LINK: what messaging and transport add on this leg, spread over the segments
    segment_bytes: Ints  # LINK
    window: Ints  # LINK: segments in the network at a time
    legs_behind: Ints  # LINK: legs of the same transfer that follow this one


@dataclass(frozen=True)
class Routes:
    """Flows lowered, one for each (stream, variant, class, group of attachments), shape ``(n_routes,)``."""

    hop_first: Ints
    n_hops: Ints
    stream: Ints
    class_row: Ints
    priority: Ints  # 0 is the most urgent
    deadline_s: Floats  # inf where there is none
    wire_bytes: Ints  # what one job puts on a link: payload, crypto, messaging, transport
    crypto_bytes: Ints  # of these, the part that cryptography adds
    fallback: Ints  # route to take when a guard is down; -1: none
    guards: tuple[tuple[int, ...], ...]  # station rows that must be up


@dataclass(frozen=True)
class Curves:
    """Piecewise linear costs: amounts against seconds."""

    first: Ints  # (n_curves,)
    n: Ints  # (n_curves,)
    amounts: Floats  # (n_points,)
    seconds: Floats  # (n_points,)


@dataclass(frozen=True)
class Laws:
    """Factors on a cost, shape ``(n_laws,)``; `a`, `b`, `c` as `laws.noise` says."""

    kind: Ints
    a: Floats
    b: Floats
    c: Floats
    quantiles: Floats  # (n_quantiles_in_all,) tables of the empirical laws; a is the first row, b the count


@dataclass(frozen=True)
class Classes:
    """Kinds of entities, shape ``(n_classes,)``; watts are above base, except base."""

    name: tuple[str, ...]
    base_w: Floats
    busy_w: Floats
    transmit_w: Floats
    receive_w: Floats
    battery_j: Floats  # inf on mains


@dataclass(frozen=True)
class Entities:
    """Rows for everything that launches jobs, shape ``(n_entities,)``."""

    class_row: Ints
    index: Ints  # within its class
    key: Ints
    attachment: Ints  # -1: none


@dataclass(frozen=True)
class Attachments:
    """Where entities are attached."""

    name: tuple[str, ...]
    group: Ints  # (n_attachments,) attachments of one group share route templates
    slots: Ints  # (n_attachments, N_SLOTS) station rows, in the order of SLOTS


@dataclass(frozen=True)
class Sources:
    """Timed launches, one row for each stream of a class, shape ``(n_sources,)``."""

    stream: Ints
    class_row: Ints
    timing: Ints
    gap_s: Floats  # period, or mean gap
    profile_row: Ints  # row of by_hour; -1: the same at every hour
    by_hour: Floats  # (n_profiles, 24) multipliers
    list_first: Ints  # LISTED: rows of the tables below
    list_n: Ints
    listed_index: Ints  # (n_listed,) index within the class
    listed_s: Floats  # (n_listed,) sorted by index, then time


@dataclass(frozen=True)
class Queues:
    """Broker queues, one for each (place, priority class), shape ``(n_queues,)``."""

    name: tuple[str, ...]
    consumers: tuple[tuple[int, ...], ...]  # station rows, in the order of the round-robin
    broker: Ints  # station row that delivers: the queue rests while it is down; -1: always up
    prefetch: Ints
    capacity: Ints  # messages that may wait
    deliver_s: Floats  # from the queue to the consumer's network
    acknowledge_s: Floats
    detect_s: Floats  # until a dead consumer's messages return


@dataclass(frozen=True)
class Changes:
    """Planned ups and downs, shape ``(n_changes,)``."""

    time_s: Floats
    target: tuple[str, ...]
    up: NDArray[np.bool_]


@dataclass(frozen=True)
class LearningPlan:
    """What the federated-learning controller needs to know."""

    clients: Ints  # entity rows
    server: int  # entity row
    rounds: int
    fraction: float
    quorum: float
    deadline_s: float
    start_s: float
    pause_s: float
    samples: Floats  # (n_clients,)
    update_bytes: int


@dataclass(frozen=True)
class RevocationPlan:
    """Devices whose keys are revoked at once."""

    stream: str  # of the notices to the places
    devices: Ints  # entity rows
    at_s: float
    enrol_again_s: float  # inf: never


@dataclass(frozen=True)
class KeyPlan:
    """What the key authority needs to know."""

    devices: Ints  # entity rows, sorted
    places: Ints  # entity rows of all that open devices' messages
    members: Ints  # entity rows of those who hold the group key, sorted
    every_s: float  # age at which a key is replaced
    rounds: int  # rounds of learning after which its clients replace theirs; 0: never
    usage_bytes: int  # sealed under a key before it is replaced
    usage_check_s: float
    overlap_s: float
    expiry_s: float  # age at which a key that could not be replaced is refused
    deadline_s: float  # of one exchange
    retry_s: float
    ends_s: float  # what is due later never happens
    revocations: tuple[RevocationPlan, ...]


@dataclass(frozen=True)
class Model:
    """A lowered scenario."""

    name: str
    seed: int
    warm_up_s: float
    duration_s: float
    drain_s: float
    starts_at_s: float  # time of day at t = 0
    flows: tuple[str, ...]
    streams: tuple[str, ...]
    stream_flow: Ints  # (n_streams,)
    stages: tuple[str, ...]
    places: tuple[str, ...]
    variants: tuple[str, ...]
    stations: Stations
    hops: Hops
    routes: Routes
    route_of: Ints  # (n_streams, n_variants, n_classes, n_groups) route rows; -1: none
    curves: Curves
    laws: Laws
    classes: Classes
    entities: Entities
    attachments: Attachments
    sources: Sources
    queues: Queues
    changes: Changes
    targets: dict[str, tuple[int, ...]] = field(default_factory=dict)  # name -> station rows
    learning: LearningPlan | None = None
    keys: KeyPlan | None = None

    @property
    def n_priorities(self) -> int:
        """The number of priority classes."""
        least = 2 if IN_TURN in self.stations.discipline else 1
        return max(least, int(self.routes.priority.max(initial=0)) + 1)
