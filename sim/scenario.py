"""The Scenario: what is run. Strict, immutable, complete once resolved; every dimension carries a unit.

This module is the schema; `sim.loading` reads files into it and `sim.checks` looks at what a schema cannot say.
Every value has a default or is required; dumping a scenario writes them all.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim import wire
from sim.suites import DEFAULT, SUITES, completed
from sim.values import (
    CORES_MAX,
    RUN_S_MAX,
    USAGE_MAX,
    Arrivals,
    ByHour,
    Delay,
    Energy,
    Frequency,
    Name,
    Priority,
    Rate,
    Ratio,
    Share,
    Size,
    Time,
    TimeOfDay,
    Usage,
)


class Part(BaseModel):
    """A part of a scenario: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra='forbid', frozen=True, strict=True, allow_inf_nan=False)


class AccessPointKind(Part):
    """A kind of access point, and the air or the ports behind it."""

    technology: Literal['ble', '802.15.4', 'wifi', 'ethernet']
    rate: Rate
    latency: Delay = Field(description='from the end of a transmission to its reception')
    loss_ratio: Ratio = Field(0.0, description='of link frames, each attempt')
    attempts_max: int = Field(8, ge=1, le=32, description='of one frame, before its segment is lost')
    connection_interval: Time | None = Field(None, description='BLE: a transfer first waits for a connection event')


class Ward(Part):
    """Wards of one kind."""

    count: int = Field(ge=1, le=100_000)
    beds: int = Field(ge=0, le=10_000, description='of each ward')
    access_points: Mapping[Name, Annotated[int, Field(ge=1, le=1_000)]]


class Wire(Part):
    """A full-duplex wired link."""

    rate: Rate
    latency: Delay


class Wiring(Part):
    """The wired tiers, from the access point inwards."""

    access: Wire = Field(description='access point to floor switch')
    uplink: Wire = Field(description='floor switch to core switch')
    backup: Wire | None = Field(None, description='a second uplink, used when the first is down at launch')
    core: Wire = Field(description='core switch to the cluster switch')
    node: Wire = Field(description='cluster switch to each node and to the server')


class Transport(Part):
    """How transfers share the network."""

    quantum: Time = Field(0.01, description='what a segment may hold a link for')
    window: int = Field(16, ge=1, le=65_536, description='segments of one transfer in the network')


class Stream(Part):
    """Timed messages of one kind; exactly one of period, rate and arrivals."""

    flow: Literal['vitals', 'alarm', 'imaging']
    payload: Size
    period: Time | None = Field(None, description='with a phase drawn for each device')
    rate: Frequency | None = Field(None, description='of a Poisson process, for each device')
    arrivals: Arrivals | None = Field(
        None, description="a CSV file with the columns device,time_s, from the scenario's folder; or the rows")
    by_hour: ByHour = Field((1.0,) * 24, description='multipliers of the rate, from midnight on')
    priority: Priority = Field(1, description='0 is the most urgent')
    deadline: Time | None = None

    @model_validator(mode='after')
    def _one_timing(self) -> 'Stream':
        given = [name for name in ('period', 'rate', 'arrivals') if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f'needs exactly one of period, rate and arrivals, has {" and ".join(given) or "none"}; '
                             f'{"remove the others" if given else "add one"}')
        if (self.period or 0.0) > RUN_S_MAX or (self.rate or 1.0) < 1.0 / RUN_S_MAX:
            raise ValueError(f'sends less than once in {RUN_S_MAX:g} s; leave the stream out')
        if self.arrivals is not None and set(self.by_hour) != {1.0}:
            raise ValueError('by_hour multiplies a period or a rate, and arrivals have neither; remove one of them')
        return self


class DeviceClass(Part):
    """A class of devices."""

    profile: str = Field(description="a shipped profile's name, or a .yaml file's path from the scenario's folder")
    count: int | None = Field(None, ge=1, le=10_000_000, description='in all, spread evenly over the wards')
    per_bed: float | None = Field(None, gt=0.0, le=100.0)
    wards: tuple[Name, ...] = Field((), description='kinds of wards; none named: all that have the link', strict=False)
    link: Name = Field(description='a kind of access point')
    battery: Energy | None = Field(None, description='none: on mains')
    trust: wire.Trust = Field(
        'signed', description='what new keys rest on: a certificate and signatures; a pre-shared key and a KEM; '
                              'a pre-shared key alone, without forward secrecy')
    streams: Mapping[Name, Stream] = {}

    @model_validator(mode='after')
    def _one_number(self) -> 'DeviceClass':
        if (self.count is None) == (self.per_bed is None):
            found, remedy = ('none', 'add') if self.count is None else ('both', 'remove')
            raise ValueError(f'needs exactly one of count and per_bed, has {found}; {remedy} one')
        return self


class Node(Part):
    """An edge node; it has the cores of its profile."""

    profile: str
    memory: Size | None = Field(None, description='that pods and K3s may request of it; none: there is enough')


class Server(Part):
    """The server, for aggregation, imaging and, by default, the broker."""

    profile: str
    cores: int = Field(ge=1, le=CORES_MAX)


class Rescheduling(Part):
    """What Kubernetes does with the crypto workers of a node that is lost, if they do not belong to it."""

    grace: Delay = Field(40.0, description="a node's silence, until it is taken for lost; default: kube-controller-"
                                           "manager's up to 1.31, 50 s since")
    eviction: Delay = Field(300.0, description="then, until its pods are; default: Kubernetes' tolerationSeconds")
    start: Time = Field(description='of a pod on its new node, until it takes messages: the image is there, and '
                                    'cryptography warms up')


class Edge(Part):
    """Where the hospital computes."""

    nodes: Mapping[Name, Node] = Field(min_length=1)
    server: Server
    k3s_cores: float = Field(
        0.1, ge=0.0, description='kept back on each node and on the server, where whole cores remain; docs.k3s.io')
    k3s_server: Name | None = Field(
        None, description="a node, or 'server', that runs K3s' own server too; none: another computer does")
    k3s_server_cores: float = Field(
        0.3, ge=0.0, description='kept back there; docs.k3s.io, resource profiling: a server with a workload on a Pi 4')
    k3s_memory: Size = Field(268_000_000, description='kept back on each node; docs.k3s.io: an agent on a Pi 4')
    k3s_server_memory: Size = Field(
        1_588_000_000, description='kept back there; docs.k3s.io: a server with a workload on a Pi 4, SQLite')
    rescheduling: Rescheduling | None = Field(
        None, description='none: crypto workers stay with their node, as those of a DaemonSet do')


class Broker(Part):
    """RabbitMQ."""

    node: Name = Field('server', description='where it runs')
    cores: int = Field(1, ge=1, le=CORES_MAX)
    deliver: Delay = Field(description='from the queue to the network, or to a consumer on its own computer')
    acknowledge: Delay = Field(description="from a consumer's acknowledgement to its credit")
    detect: Time = Field(description='until the messages of a dead consumer return')
    capacity: int = Field(1_000_000, ge=1, le=2**40, description='messages that may wait in a queue')
    order: Literal['priority', 'in-turn'] = Field(
        'priority', description='what it lets through next: the most urgent, or the first, answers before the rest')


class Crypto(Part):
    """Primitives, and where the hospital's side of them is done."""

    suite: Literal[tuple(SUITES)] | None = Field(  # type: ignore[valid-type]  # the table is the list
        DEFAULT, description='gives what kem, aead, signature and implementation leave unsaid, see docs/suites.md; one '
        'of them that is said counts for more, and the suite resolves to null then, or to the one that all four are; '
        '--set crypto.suite=NAME puts aside all four of the file')
    kem: Literal['ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024', 'X25519', 'P-256', 'X25519MLKEM768'] = Field(
        SUITES[DEFAULT].kem,  # type: ignore[arg-type]  # one of them
        description="unsaid: the suite's; of those in sim/wire.py, what a shipped profile has numbers for")
    aead: Literal[tuple(wire.AEAD_BYTES)] = Field(  # type: ignore[valid-type]
        SUITES[DEFAULT].aead, description="unsaid: the suite's")
    signature: Literal[tuple(wire.SIGNATURE_BYTES)] = Field(  # type: ignore[valid-type]
        SUITES[DEFAULT].signature, description="unsaid: the suite's")
    implementation: Literal['native', 'interpreted'] = Field(
        SUITES[DEFAULT].implementation, description="of the AEAD, unsaid: the suite's; interpreted: in Python on all "
        'computers and devices whose profile runs Python, native on the others')
    learning_keys: Literal['established', 'per-round', 'group'] = Field(
        'established', description='what the model is sealed under: the key of each client; one freshly encapsulated '
                                   'for it; or a key of all clients, so that only the server seals')
    sign_updates: bool = False
    placement: Literal['sequential', 'distributed'] = Field(
        'distributed', description='sequential: one worker on the first node; distributed: replicas over the nodes')
    replicas: int = Field(3, ge=1, le=10_000)
    policy: Literal['spread', 'pack'] = Field(
        'spread', description='of distributed replicas, among the nodes that have the cores: on the node with the '
                              'fewest, or on the first')
    pod_cores: int = Field(1, ge=1, le=CORES_MAX)
    pod_memory: Size = Field(512 << 20, description='that a pod requests; as in k3s/base/worker.yaml')
    prefetch: int = Field(1, ge=1, le=65_535, description='unacknowledged messages a worker may hold, of each queue')

    @model_validator(mode='before')
    @classmethod
    def _suite_gives_the_rest(cls, said: object) -> object:
        return completed(said) if isinstance(said, dict) else said


class Rotation(Part):
    """When a device takes a new key: whatever comes first."""

    every: Time = Field(63_072_000.0, description='with a phase drawn for each device; default: two years, the longest '
                                                  'originator usage period of SP 800-57 Part 1, 5.3.6')
    rounds: int | None = Field(None, ge=1, le=1_000_000, description='of learning, for its clients')
    usage: Usage = Field(USAGE_MAX, description='sealed under one key; default: the limit of Ascon-AEAD128, SP 800-232')
    usage_check: Time = Field(60.0, description='how often a device looks at how much it has sealed')


class Revocation(Part):
    """Devices whose keys are no longer trusted."""

    devices: Name = Field(description='a class of devices')
    index: int | None = Field(None, ge=0, description='one device of the class; none: all of them')
    at: Delay
    enrol_again: Time | None = Field(None, description='when they get new certificates; none: never')


class Keys(Part):
    """How the keys of devices live: the key authority, and what it does."""

    authority: Name = Field('server', description='the computer that it runs on')
    cores: int = Field(1, ge=1, le=CORES_MAX)
    prefetch: int = Field(1, ge=1, le=65_535, description='unacknowledged messages that it may hold, of each queue')
    priority: Priority = 1
    rotation: Rotation = Rotation()
    overlap: Delay = Field(30.0, description='for which what was sealed under the former key is still opened, once all '
                                              'places have the new one')
    expiry: Time = Field(157_680_000.0, description='age at which a key that was not replaced is refused; default: '
                                                    'three years after originator usage, SP 800-57 Part 1, 5.3.6')
    deadline: Time = Field(30.0, description='of one exchange, before it is tried again')
    retry: Delay = Field(10.0, description='pause before it is tried again')
    revocations: tuple[Revocation, ...] = Field((), strict=False)


class Learning(Part):
    """Synchronous federated learning."""

    clients: tuple[Name, ...] = Field(min_length=1, description='classes of devices', strict=False)
    rounds: int = Field(ge=1, le=1_000_000)
    fraction: Share = Field(1.0, description='of the clients, drawn for each round')
    quorum: Share = Field(1.0, description='of the chosen clients; the round closes with it')
    deadline: Time = Field(description='of publishing, of the updates, and of aggregating, each')
    start: Delay = 0.0
    pause: Delay = Field(0.0, description='between rounds')
    model: Size
    update: Size
    samples: int = Field(ge=1, le=2**40, description='each client trains on in a round')
    priority: Priority = 3


class Outage(Part):
    """A named part that is down for a time."""

    target: str = Field(description='an edge node, a worker, the broker, an access point or an uplink')
    begin: Delay
    end: Time


class Scenario(Part):
    """A hospital, what it does, and how long to watch."""

    name: Name
    description: str = ''
    seed: int = Field(1, ge=0, lt=2**63)
    replications: int = Field(1, ge=1, le=10_000)
    duration: Time
    warm_up: Delay = 0.0
    drain: Delay = 60.0
    starts_at: TimeOfDay = 0.0
    wards: Mapping[Name, Ward] = Field(min_length=1)
    wards_per_floor: int = Field(4, ge=1, le=1_000)
    access_points: Mapping[Name, AccessPointKind] = Field(min_length=1)
    wiring: Wiring
    transport: Transport = Transport()
    devices: Mapping[Name, DeviceClass] = Field(min_length=1)
    edge: Edge
    broker: Broker
    crypto: Crypto
    keys: Keys | None = Field(None, description='none: keys are there and last')
    learning: Learning | None = None
    outages: tuple[Outage, ...] = Field((), strict=False)
