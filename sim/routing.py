"""Stages to hops: what a flow's table becomes for one class of devices on one way through the network.

A stage on the device, the server or the broker is one hop. Consecutive stages at the crypto place are one visit to
a consumer: stages that the same server does without a break. A transfer is one hop a link, each with the bytes that
this leg really carries; on its way to the crypto place it first waits in the broker's queue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sim import wire
from sim.building import Hop
from sim.cluster import Cluster, Worker
from sim.costing import Costing
from sim.flows import ANSWER, CRYPTO_STAGES, DELIVER, KEM_CIPHERTEXT, PUBLISH, SEALED, SIGNATURE, TELL, UP, Stage
from sim.hospital import SERVER
from sim.model import (
    AHEAD,
    CHECKS_KEY,
    CONSUMER,
    CONSUMER_SLOTS,
    CRYPTO,
    DELAY,
    ENDS_VISIT,
    FIRST_CONSUMER_SLOT,
    FIRST_SLOT,
    LINK,
    MARKED,
    NO_RADIO,
    OWN_CPU,
    QUEUE,
    RECEIVES,
    SAME_VISIT,
    SEALS,
    SERVE,
    SLOTS,
    TRANSMITS,
)
from sim.profiles import MissingCost, Profile
from sim.scenario import AccessPointKind, Scenario, Wire

WORKERS = ('crypto', 'authority')  # places that take their messages from the broker's queues


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

    key_messages: Mapping[str, int] = field(default_factory=dict)  # bytes by the name of the message

    def amount(self, name: str) -> float:
        """Return an amount by the name that the flow's table gives it."""
        return 1.0 if name == 'op' else float({**self.amounts, **self.key_messages}[name])


@dataclass(frozen=True)
class LoweredRoute:
    """The hops of one flow, and its bytes to and from the device."""

    hops: tuple[Hop, ...]
    wire_bytes: int
    crypto_bytes: int


class Message(NamedTuple):
    """What a transfer carries, in bytes."""

    body: int
    of_crypto: int  # of the body
    wrap: int  # messaging and transport around it


class Leg(NamedTuple):
    """One link of a transfer."""

    station: int
    framing: wire.Technology
    rate_bps: float
    latency_s: float
    radio: int = NO_RADIO


class Router:
    """Lowers flows for one class: of devices, or of one worker."""

    def __init__(self, costing: Costing, cluster: Cluster, queue: Callable[[str, int], int], options: frozenset[str],
                 scenario: Scenario, device: Profile | None, worker: Worker | None) -> None:
        self._costing, self._cluster, self._queue = costing, cluster, queue
        self._options, self._device, self._worker = options, device, worker
        self._transport, self._crypto, self._deliver_s = scenario.transport, scenario.crypto, scenario.broker.deliver

    def route(self, flow: tuple[Stage, ...], sizes: FlowSizes, path: Path) -> LoweredRoute:
        """Return the hops of a flow along a path.

        Raises
        ------
        MissingCost
            If a profile has no number for a stage.
        """
        steps = [i for i, stage in enumerate(flow) if stage.when is None or stage.when in self._options]
        stages = [flow[step] for step in steps]
        places = ['', *(stage.place for stage in stages)]
        visits = _visits(stages)
        hops: list[Hop] = []
        wire_bytes = crypto_bytes = 0
        for i, (before, stage) in enumerate(zip(places, stages, strict=False)):
            if stage.place != 'network':
                flags = (SAME_VISIT if before == stage.place and before in WORKERS else 0) | (
                    ENDS_VISIT if _ends_visit(stages, visits, i) else 0)
                made = [self._service(stage, sizes, flags, is_visit=visits[i])]
            else:
                message = self._message(stage, sizes, is_amqp='broker' in places)
                if stage.direction == DELIVER:
                    made = self._delivery(stage, message, stages[i + 1].place, sizes.priority)
                elif stage.direction == PUBLISH:
                    made = self._publication(stage, message)
                else:
                    made = self._telling(stage, message) if stage.direction == TELL else self._transfer(
                        stage, message, path)
                    wire_bytes += message.body + message.wrap
                    crypto_bytes += message.of_crypto
            hops += [replace(hop, step=steps[i]) for hop in made]
        return LoweredRoute(tuple(hops), wire_bytes, crypto_bytes)

    def _service(self, stage: Stage, sizes: FlowSizes, flags: int, *, is_visit: bool) -> Hop:
        """Return the hop of a stage at a computer."""
        station, profiles = self._station(stage, is_visit=is_visit)
        try:
            curve, law = self._costing.rows(profiles, stage.name)
        except MissingCost as error:
            error.place = stage.place
            raise
        is_crypto = stage.name.startswith(CRYPTO_STAGES)
        flags |= (CRYPTO if is_crypto else 0) | (MARKED if stage.is_marked else 0) | (
            CHECKS_KEY if stage.checks_key else 0) | (SEALS if stage.seals else 0) | (
            AHEAD if stage.name == ANSWER else 0)
        return Hop(SERVE, station, stage.name, stage.place, curve, law, sizes.amount(stage.amount), flags=flags,
                   crypto_ratio=float(is_crypto))

    def _station(self, stage: Stage, *, is_visit: bool) -> tuple[int, tuple[Profile, ...]]:
        """Return the station of a stage at a computer, and the profile of each that it may be."""
        cluster, place = self._cluster, stage.place
        if place == 'device':
            assert self._device is not None, f'{stage.name} on a device, in a flow that the server launches'
            return OWN_CPU, (self._device,)
        if place == 'crypto' and is_visit:
            return CONSUMER, cluster.pod_profiles
        worker = self._worker if place == 'crypto' else cluster.authority if place == 'authority' else None
        if worker is not None:
            return CONSUMER if is_visit else worker.station, (worker.profile,)
        assert place in ('server', 'broker'), f'{stage.name} at {place}, which is not there'
        return (cluster.server, (cluster.server_profile,)) if place == 'server' else (
            cluster.broker, (cluster.broker_profile,))

    def _message(self, stage: Stage, sizes: FlowSizes, *, is_amqp: bool) -> Message:
        if stage.amount in sizes.key_messages:
            n_bytes = sizes.key_messages[stage.amount]
            wrap = wire.messaging_bytes(n_bytes, is_amqp=is_amqp)
            return Message(n_bytes, n_bytes + wrap, wrap)
        extra = {
            SEALED: wire.AEAD_BYTES[self._crypto.aead],
            KEM_CIPHERTEXT: wire.KEM_CIPHERTEXT_BYTES[self._crypto.kem],
            SIGNATURE: wire.SIGNATURE_BYTES[self._crypto.signature],
        }
        n_crypto = sum(extra[what] for what, option in stage.carries if option is None or option in self._options)
        n_bytes = int(sizes.amount(stage.amount)) + n_crypto
        return Message(n_bytes, n_crypto, wire.messaging_bytes(n_bytes, is_amqp=is_amqp))

    def _delivery(self, stage: Stage, message: Message, place: str, priority: int) -> list[Hop]:
        """Return the queue and the links to the consumer that the broker chooses.

        All segments enter at once, so that no message overtakes another of its queue on the way.
        """
        queue = Hop(QUEUE, self._queue(place, priority), 'broker.queue', 'broker')
        legs = [self._leg(FIRST_CONSUMER_SLOT - CONSUMER_SLOTS.index(slot)) for slot in ('broker_out', 'node_in')]
        n_segments = -(-message.body // self._segment_bytes(legs))
        return [queue, *self._links(stage, message, legs, max(n_segments, 1))]

    def _publication(self, stage: Stage, message: Message) -> list[Hop]:
        """Return the links from a crypto worker, the server or the key authority to the broker."""
        worker = {'server': self._cluster.workers[SERVER], 'authority': self._cluster.authority,
                  'crypto': self._worker}[stage.publisher]
        stations = worker.to_broker if worker is not None else tuple(
            FIRST_CONSUMER_SLOT - CONSUMER_SLOTS.index(slot) for slot in ('node_out', 'broker_in'))
        return self._links(stage, message, [self._leg(station) for station in stations], self._transport.window)

    def _telling(self, stage: Stage, message: Message) -> list[Hop]:
        """Return the way from the broker to the worker that launches the job, which has a queue of its own."""
        assert self._worker is not None, f'{stage.amount} to a place, in a flow that no place launches'
        legs = [self._leg(station) for station in self._worker.from_broker]
        curve, law = self._costing.constant(self._deliver_s)
        wait = Hop(DELAY, 0, 'broker.deliver', 'broker', curve, law)
        return [wait, *self._links(stage, message, legs, self._transport.window)]

    def _leg(self, station: int) -> Leg:
        """Return a leg between a computer of the cluster and the cluster's switch."""
        link = self._cluster.wire
        return Leg(station, wire.TECHNOLOGIES['ethernet'], link.rate, link.latency)

    def _transfer(self, stage: Stage, message: Message, path: Path) -> list[Hop]:
        """Return the links between a device and a computer of the cluster."""
        air, goes_up = path.air, stage.direction == UP
        assert air is not None, 'a transfer in a flow that the server launches'
        technology, cable = wire.TECHNOLOGIES[air.technology], wire.TECHNOLOGIES['ethernet']
        slots = ('air_up', 'port_up') if goes_up else ('air_down', 'port_down')
        references = [FIRST_SLOT - SLOTS.index(slot) for slot in slots]
        radio = (TRANSMITS if goes_up else RECEIVES) if technology.is_shared else NO_RADIO
        own = [Leg(references[0], technology, air.rate, air.latency, radio),
               Leg(references[1], cable, path.access.rate, path.access.latency)]
        wires = [Leg(station, cable, link.rate, link.latency) for station, link in (path.up if goes_up else path.down)]
        legs = [*own, *wires] if goes_up else [*wires, *reversed(own)]
        hops = self._links(stage, message, legs, self._transport.window)
        if air.connection_interval is None:
            return hops
        curve, law = self._costing.delay(air.connection_interval)
        wait = Hop(DELAY, 0, 'net.wait', 'network', curve, law)
        # Upwards the device waits and sends; downwards the gateway has the whole message before it waits.
        return [wait, *hops] if goes_up else [*hops[:-1], wait, hops[-1]]

    def _links(self, stage: Stage, message: Message, legs: list[Leg], window: int) -> list[Hop]:
        if not legs:
            return []
        segment_bytes = self._segment_bytes(legs)
        n_plain = max(message.body - message.of_crypto, 0)
        return [
            Hop(LINK, leg.station, stage.name, stage.place, latency_s=leg.latency_s, radio=leg.radio,
                n_bytes=message.body, wrap_bytes=message.wrap if leg.framing.carries_ip else 0,
                segment_bytes=segment_bytes, window=window,
                crypto_ratio=crypto_ratio(leg.framing, leg.rate_bps, message.body, n_plain))
            for leg in legs
        ]

    def _segment_bytes(self, legs: list[Leg]) -> int:
        return min(wire.segment_bytes(leg.framing, leg.rate_bps, self._transport.quantum) for leg in legs)


def _visits(stages: list[Stage]) -> list[bool]:
    """Return which stages are done by a worker on the message that the broker has just delivered to it."""
    visits: list[bool] = []
    for before, stage in zip([None, *stages], stages, strict=False):
        is_first = before is not None and before.direction == DELIVER
        visits.append(stage.place in WORKERS and (is_first or (bool(visits) and visits[-1])))
    return visits


def _ends_visit(stages: list[Stage], visits: list[bool], i: int) -> bool:
    """Return whether a worker acknowledges its message after a stage.

    It does so when it is done; when it publishes what it has made, once the broker has that (publisher confirms).
    """
    if visits[i]:
        return i + 1 == len(stages) or not (visits[i + 1] or stages[i + 1].direction == PUBLISH)
    return stages[i].place == 'broker' and i >= 2 and visits[i - 2] and stages[i - 1].direction == PUBLISH


def crypto_ratio(framing: wire.Technology, rate_bps: float, n_bytes: int, n_plain: int) -> float:
    """Return the share of a leg's air time that is there because of cryptography."""

    def bits(n: int) -> float:
        n += wire.messaging_bytes(n) if framing.carries_ip else 0
        return 8.0 * n + -(-n // framing.frame_bytes) * wire.frame_overhead_bits(framing, rate_bps)

    if n_plain == 0:
        return 1.0  # the message is only there because of cryptography
    return 1.0 - bits(n_plain) / bits(n_bytes) if n_bytes != n_plain else 0.0

