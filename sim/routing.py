"""Stages to hops: what a flow's table becomes for one class of devices on one way through the network.

A stage on the device, the server or the broker is one hop. Consecutive stages at the crypto place are one visit to
a consumer: a queue hop, then stages that the same server does without a break. A transfer is one hop a link, each
with the bytes that this leg really carries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby

from sim import laws, wire
from sim.building import Hop, ModelBuilder
from sim.flows import KEM_CIPHERTEXT, SEALED, SIGNATURE, Stage
from sim.model import (
    CHECKS_KEY,
    CONSUMER,
    CRYPTO,
    DELAY,
    ENDS_VISIT,
    FIRST_SLOT,
    LINK,
    MARKED,
    NO_RADIO,
    OWN_CPU,
    QUEUE,
    RECEIVES,
    SAME_VISIT,
    SERVE,
    SLOTS,
    TRANSMITS,
)
from sim.profiles import Cost, Noise, Profile
from sim.scenario import AccessPointKind, Crypto, Transport, Wire

CRYPTO_STAGES = ('aead.', 'kem.', 'sig.')
NO_COST = Cost((0.0,), (0.0,), ('0 s',), 'op', Noise('constant', (), '', '', None), 'no cipher', 'primary', None)


@dataclass(frozen=True)
class Path:
    """One way between a class of devices and a computer of the cluster."""

    air: AccessPointKind | None  # None: from the server itself
    access: Wire
    up: tuple[tuple[int, Wire], ...]  # stations and wires behind the access point's port
    down: tuple[tuple[int, Wire], ...]
    uplink: tuple[int, ...]  # stations that must be up for this way to be taken


@dataclass(frozen=True)
class FlowSizes:
    """The amounts, priority and deadline of one stream."""

    amounts: Mapping[str, int]
    priority: int
    deadline_s: float

    def amount(self, name: str) -> float:
        """Return an amount by the name that the flow's table gives it."""
        return 1.0 if name == 'op' else float(self.amounts[name])


@dataclass(frozen=True)
class Cluster:
    """Stations and profiles of the computers."""

    broker: int
    broker_profile: Profile
    server: int
    server_profile: Profile
    pods: tuple[int, ...]
    pod_profiles: tuple[Profile, ...]  # in the order of the pods' law_offset


@dataclass(frozen=True)
class LoweredRoute:
    """The hops of one flow, and its bytes on the wire."""

    hops: tuple[Hop, ...]
    wire_bytes: int
    crypto_bytes: int


class Costing:
    """Finds the curve and the law of a stage in a profile, adding each to the model once."""

    def __init__(self, builder: ModelBuilder, crypto: Crypto) -> None:
        self._builder = builder
        self._variants = {'aead.': crypto.aead, 'kem.': crypto.kem, 'sig.': crypto.signature}
        self._blocks: dict[tuple[tuple[str, ...], str], tuple[int, int]] = {}

    def rows(self, profiles: tuple[Profile, ...], stage: str) -> tuple[int, int]:
        """Return the first curve and the first law of a stage, a consecutive row of each for every profile."""
        key = (tuple(profile.sha256 for profile in profiles), stage)
        if key not in self._blocks:
            variant = self._variants.get(stage.split('.', maxsplit=1)[0] + '.', 'any')
            costs = [NO_COST if variant == 'none' else profile.cost(stage, variant) for profile in profiles]
            curves = [(cost.amounts, cost.seconds) for cost in costs]
            kinds = [(laws.LAW_NAMES.index(cost.noise.law), cost.noise.parameters) for cost in costs]
            self._blocks[key] = self._builder.curve_block(curves), self._builder.law_block(kinds)
        return self._blocks[key]

    def delay(self, seconds_max: float) -> tuple[int, int]:
        """Return curve and law of a delay that is uniform between zero and a maximum."""
        return self._builder.curve((0.0,), (seconds_max,)), self._builder.law(laws.UNIFORM, 0.0, 1.0)


class Router:
    """Lowers flows for one class of devices."""

    def __init__(self, costing: Costing, cluster: Cluster, queue: Callable[[int], int], options: frozenset[str],
                 transport: Transport, crypto: Crypto, device: Profile | None) -> None:
        self._costing, self._cluster, self._queue = costing, cluster, queue
        self._options, self._transport, self._crypto, self._device = options, transport, crypto, device

    def route(self, flow: tuple[Stage, ...], sizes: FlowSizes, path: Path) -> LoweredRoute:
        """Return the hops of a flow along a path.

        Raises
        ------
        MissingCost
            If a profile has no number for a stage.
        """
        stages = [stage for stage in flow if stage.when is None or stage.when in self._options]
        hops: list[Hop] = []
        wire_bytes = crypto_bytes = 0
        is_amqp = any(stage.place == 'broker' for stage in stages)
        for place, visit in groupby(stages, key=lambda stage: stage.place):
            if place == 'crypto':
                hops += self._visit(list(visit), sizes)
                continue
            for stage in visit:
                if place != 'network':
                    hops.append(self._service(stage, sizes))
                    continue
                n_bytes, n_crypto = self._message_bytes(stage, sizes)
                wrap = wire.messaging_bytes(n_bytes, is_amqp=is_amqp)
                hops += self._transfer(stage, n_bytes, n_crypto, wrap, path)
                wire_bytes += n_bytes + wrap
                crypto_bytes += n_crypto
        return LoweredRoute(tuple(hops), wire_bytes, crypto_bytes)

    def _service(self, stage: Stage, sizes: FlowSizes) -> Hop:
        station, profile = {
            'device': (OWN_CPU, self._device),
            'server': (self._cluster.server, self._cluster.server_profile),
            'broker': (self._cluster.broker, self._cluster.broker_profile),
        }[stage.place]
        assert profile is not None, f'{stage.name} on a device, in a flow that the server launches'
        return self._served(stage, sizes, station, (profile,), 0)

    def _served(self, stage: Stage, sizes: FlowSizes, station: int, profiles: tuple[Profile, ...],
                flags: int) -> Hop:
        curve, law = self._costing.rows(profiles, stage.name)
        is_crypto = stage.name.startswith(CRYPTO_STAGES)
        flags |= (CRYPTO if is_crypto else 0) | (MARKED if stage.is_marked else 0) | (
            CHECKS_KEY if stage.checks_key else 0)
        return Hop(SERVE, station, stage.name, stage.place, curve, law, sizes.amount(stage.amount), flags=flags,
                   crypto_ratio=float(is_crypto))

    def _visit(self, stages: list[Stage], sizes: FlowSizes) -> list[Hop]:
        """Return the hops of one visit to a consumer: the queue, then all stages on the server that takes it."""
        n_bytes = max(int(sizes.amount(stage.amount)) for stage in stages)
        queue = Hop(QUEUE, self._queue(sizes.priority), 'broker.queue', 'broker', n_bytes=n_bytes)
        last = len(stages) - 1
        return [queue, *(
            self._served(stage, sizes, CONSUMER, self._cluster.pod_profiles,
                         (SAME_VISIT if i else 0) | (ENDS_VISIT if i == last else 0))
            for i, stage in enumerate(stages))]

    def _message_bytes(self, stage: Stage, sizes: FlowSizes) -> tuple[int, int]:
        """Return the bytes of a message, and how many of them cryptography adds."""
        extra = {
            SEALED: wire.AEAD_BYTES[self._crypto.aead],
            KEM_CIPHERTEXT: wire.KEM_CIPHERTEXT_BYTES[self._crypto.kem],
            SIGNATURE: wire.SIGNATURE_BYTES[self._crypto.signature],
        }
        n_crypto = sum(extra[what] for what, option in stage.carries if option is None or option in self._options)
        return int(sizes.amount(stage.amount)) + n_crypto, n_crypto

    def _transfer(self, stage: Stage, n_bytes: int, n_crypto: int, wrap: int, path: Path) -> list[Hop]:
        air, goes_up = path.air, stage.direction == 'up'
        assert air is not None, 'a transfer in a flow that the server launches'
        technology, cable = wire.TECHNOLOGIES[air.technology], wire.TECHNOLOGIES['ethernet']
        slots = ('air_up', 'port_up') if goes_up else ('air_down', 'port_down')
        references = [FIRST_SLOT - SLOTS.index(slot) for slot in slots]
        radio = (TRANSMITS if goes_up else RECEIVES) if technology.is_shared else NO_RADIO
        legs = [(references[0], technology, air.rate, air.latency, radio),
                (references[1], cable, path.access.rate, path.access.latency, NO_RADIO)]
        wires = [(station, cable, link.rate, link.latency, NO_RADIO) for station, link in
                 (path.up if goes_up else path.down)]
        legs = [*legs, *wires] if goes_up else [*wires, legs[1], legs[0]]
        segment = min(wire.segment_bytes(framing, rate, self._transport.quantum) for _, framing, rate, _, _ in legs)
        hops = [
            Hop(LINK, station, stage.name, stage.place, latency_s=latency_s, radio=leg_radio, n_bytes=n_bytes,
                wrap_bytes=wrap if framing.carries_ip else 0, segment_bytes=segment,
                window=self._transport.window,
                crypto_ratio=crypto_ratio(framing, rate, n_bytes, n_bytes - n_crypto))
            for station, framing, rate, latency_s, leg_radio in legs
        ]
        if air.connection_interval is None:
            return hops
        curve, law = self._costing.delay(air.connection_interval)
        wait = Hop(DELAY, 0, 'net.wait', 'network', curve, law)
        # Upwards the device waits and sends; downwards the gateway has the whole message before it waits.
        return [wait, *hops] if goes_up else [*hops[:-1], wait, hops[-1]]


def crypto_ratio(framing: wire.Technology, rate_bps: float, n_bytes: int, n_plain: int) -> float:
    """Return the share of a leg's air time that is there because of cryptography."""

    def bits(n: int) -> float:
        n += wire.messaging_bytes(n) if framing.carries_ip else 0
        return 8.0 * n + -(-n // framing.frame_bytes) * wire.frame_overhead_bits(framing, rate_bps)

    return 1.0 - bits(n_plain) / bits(n_bytes) if n_bytes != n_plain else 0.0

