"""The Scenario: what is run. Strict, immutable, complete once resolved; every dimension carries a unit.

This module is the schema; `sim.loading` reads files into it and `sim.checks` looks at what a schema cannot say.
Every value has a default or is required; dumping a scenario writes them all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sim import wire
from sim.suites import DEFAULT, SUITES, completed
from sim.units import DIMENSIONS, a, quantity, spell

USAGE_MAX = 1 << 54  # B under one key: SP 800-232 §4.3, for Ascon-AEAD128
SIZE_MAX = 1 << 40  # 1 TiB: a hospital's whole archive of images is as large
HOURLY_MAX = 1e6  # multipliers of a rate that floats can add up over a day
GAP_S_MAX = 1e9  # s, the longest run
PRIORITIES_MAX = 8  # strict classes; Wi-Fi and Ethernet have eight (IEEE 802.1Q)
NAME = r'^[a-z0-9]+(-[a-z0-9]+)*$'


@dataclass(frozen=True)
class Quantity:
    """Marks a value with a unit: a text in YAML, SI in the code. Use in ``Annotated[float, Quantity('time')]``."""

    dimension: str
    may_be_zero: bool = False

    def read(self, text: object) -> float:
        """Return the value of a text."""
        example = DIMENSIONS[self.dimension][1]
        if not isinstance(text, str):
            raise ValueError(f"'{text}' has no unit; write {a(self.dimension)}, e.g. '{example}'")
        value = quantity(text, self.dimension)
        if value < 0 or (value == 0 and not self.may_be_zero):
            raise ValueError(f"'{text}' must be {'zero or more' if self.may_be_zero else 'positive'}")
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate and serialise through `read` and `units.spell`."""
        return core_schema.no_info_before_validator_function(
            self.read, handler(source), serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value if value is None else spell(value, self.dimension)))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text."""
        return {'type': 'string', 'pattern': r'^[0-9.eE+-]+ \S.*$', 'examples': [DIMENSIONS[self.dimension][1]],
                'description': f'{a(self.dimension)} with its unit'}


def _size(value: object, n_bytes_max: int = SIZE_MAX) -> int:
    if not isinstance(value, str):
        raise ValueError(f"'{value}' has no unit; write a size, e.g. '4 KiB'")
    n_bytes = quantity(value, 'size')
    if n_bytes < 1 or n_bytes != int(n_bytes):
        raise ValueError(f"'{value}' must be a whole number of bytes, at least 1 B")
    if n_bytes > n_bytes_max:
        raise ValueError(f"'{value}' is too large; at most {n_bytes_max >> 40} TiB")
    return int(n_bytes)


def _time_of_day(text: object) -> float:
    found = re.fullmatch(r'([01]?[0-9]|2[0-3]):([0-5][0-9])', text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"'{text}' is not a time of day; write it in quotes, e.g. '08:00'")
    return 3600.0 * int(found[1]) + 60.0 * int(found[2])


def _some_hour(by_hour: tuple[float, ...]) -> tuple[float, ...]:
    if not any(by_hour):
        raise ValueError('is zero at every hour; at least one must be positive')
    if any(0 < hour < 1 / HOURLY_MAX or hour > HOURLY_MAX for hour in by_hour):
        raise ValueError(f'holds a multiplier that is neither 0 nor between {1 / HOURLY_MAX:g} and {HOURLY_MAX:g}')
    return by_hour


Time = Annotated[float, Quantity('time')]
Delay = Annotated[float, Quantity('time', may_be_zero=True)]
Rate = Annotated[float, Quantity('rate')]
Frequency = Annotated[float, Quantity('frequency')]
Energy = Annotated[float, Quantity('energy')]
Size = Annotated[int, BeforeValidator(_size), PlainSerializer(lambda n: f'{n} B', return_type=str),
                 WithJsonSchema({'type': 'string', 'examples': ['4 KiB'], 'description': 'a size with its unit'})]
Usage = Annotated[int, BeforeValidator(partial(_size, n_bytes_max=USAGE_MAX)),
                  PlainSerializer(lambda n: f'{n} B', return_type=str),
                  WithJsonSchema({'type': 'string', 'examples': ['64 MiB'], 'description': 'a size with its unit'})]
TimeOfDay = Annotated[
    float, BeforeValidator(_time_of_day),
    PlainSerializer(lambda s: f'{int(s // 3600):02d}:{int(s % 3600 // 60):02d}', return_type=str),
    WithJsonSchema({'type': 'string', 'pattern': r'^\d{1,2}:\d{2}$', 'examples': ['08:00']})]
Name = Annotated[str, Field(pattern=NAME, max_length=40)]
Ratio = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Priority = Annotated[int, Field(ge=0, lt=PRIORITIES_MAX)]
ByHour = Annotated[tuple[Annotated[float, Field(ge=0.0)], ...], Field(min_length=24, max_length=24, strict=False),
                   AfterValidator(_some_hour)]
Arrival = Annotated[tuple[Annotated[int, Field(ge=0)], Delay], Field(strict=False)]
Arrivals = Annotated[  # by its rows; `sim.loading` puts them in the place of a file's name
    tuple[Arrival, ...], Field(strict=False), WithJsonSchema({'anyOf': [{'type': 'string'}, {
        'type': 'array', 'items': {'type': 'array', 'prefixItems': [{'type': 'integer'}, {'type': 'string'}],
                                   'minItems': 2, 'maxItems': 2}}]})]


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
            raise ValueError(f'needs exactly one of period, rate and arrivals; found {" and ".join(given) or "none"}')
        if (self.period or 0.0) > GAP_S_MAX or (self.rate or 1.0) < 1.0 / GAP_S_MAX:
            raise ValueError(f'sends less than once in {GAP_S_MAX:g} s; leave the stream out')
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
    trust: Literal['signed', 'pre-shared-kem', 'pre-shared'] = Field(
        'signed', description='what new keys rest on: a certificate and signatures; a pre-shared key and a KEM; '
                              'a pre-shared key alone, without forward secrecy')
    streams: Mapping[Name, Stream] = {}

    @model_validator(mode='after')
    def _one_number(self) -> 'DeviceClass':
        if (self.count is None) == (self.per_bed is None):
            found = 'none' if self.count is None else 'both'
            raise ValueError(f'needs exactly one of count and per_bed; found {found}')
        return self


class Node(Part):
    """An edge node; it has the cores of its profile."""

    profile: str


class Server(Part):
    """The server, for aggregation, imaging and, by default, the broker."""

    profile: str
    cores: int = Field(ge=1, le=1_024)


class Edge(Part):
    """Where the hospital computes."""

    nodes: Mapping[Name, Node] = Field(min_length=1)
    server: Server
    k3s_cores: float = Field(
        0.1, ge=0.0, description='kept back on each node and on the server, where whole cores remain; docs.k3s.io')


class Broker(Part):
    """RabbitMQ."""

    node: Name = Field('server', description='where it runs')
    cores: int = Field(1, ge=1, le=1_024)
    deliver: Delay = Field(description='from the queue to the network, or to a consumer on its own computer')
    acknowledge: Delay = Field(description="from a consumer's acknowledgement to its credit")
    detect: Time = Field(description='until the messages of a dead consumer return')
    capacity: int = Field(1_000_000, ge=1, le=2**40, description='messages that may wait in a queue')


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
    pod_cores: int = Field(1, ge=1, le=1_024)
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
    cores: int = Field(1, ge=1, le=1_024)
    prefetch: int = Field(1, ge=1, le=65_535, description='unacknowledged messages that it may hold, of each queue')
    priority: Priority = 1
    rotation: Rotation = Rotation()
    overlap: Delay = Field(30.0, description='for which what was sealed under the former key is still opened')
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
