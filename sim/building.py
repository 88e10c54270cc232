"""Builds a Model row by row: used by lowering, and by tests that want a model of two stations.

Rows are appended to lists and frozen into arrays by `ModelBuilder.build`. Names are interned; a row number is
what every method returns.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import laws
from sim.model import (
    CONSUMER,
    FIRST_CONSUMER_SLOT,
    LINK,
    N_CONSUMER_SLOTS,
    N_SLOTS,
    NO_RADIO,
    PRIORITY,
    QUEUE,
    Attachments,
    Changes,
    Classes,
    Curves,
    Entities,
    Hops,
    KeyPlan,
    Laws,
    LearningPlan,
    Model,
    Queues,
    Routes,
    Sources,
    Stations,
)


@dataclass(frozen=True)
class Hop:
    """One row of `Hops`, names in place of row numbers; the fields mean what they mean there."""

    kind: int
    station: int
    stage: str = 'work'
    place: str = 'server'
    curve: int = 0
    law: int = 0
    amount: float = 1.0
    latency_s: float = 0.0
    flags: int = 0
    radio: int = NO_RADIO
    crypto_ratio: float = 0.0
    n_bytes: int = 0
    wrap_bytes: int = 0
    segment_bytes: int = 0
    window: int = 1
    step: int = 0


NO_SLOTS = (-1, -1, -1, -1)
UNFRAMED = 1 << 40  # B: a link that sends whatever it gets as one frame


def _interned(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


def _table(kind: type, rows: Sequence[Mapping[str, object]], skip: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """Turn rows into one array a column; the dtype is the column's annotation."""
    columns = {}
    for column in fields(kind):
        if column.name not in skip:
            dtype = np.float64 if 'float64' in str(column.type) else np.int64
            columns[column.name] = np.array([row[column.name] for row in rows], dtype)
    return columns


def _continues(before: Hop, hop: Hop) -> bool:
    """Return whether a hop is a further leg of the transfer that the hop before it is a leg of."""
    return before.kind == hop.kind == LINK and before.stage == hop.stage


def _legs_behind(hops: Sequence[Hop]) -> list[int]:
    """Return for each hop how many legs of the same transfer follow it."""
    found = [0] * len(hops)
    for i in range(len(hops) - 2, -1, -1):
        if _continues(hops[i], hops[i + 1]):
            found[i] = found[i + 1] + 1
    return found


def _assert_consumer_is_chosen(hops: Sequence[Hop]) -> None:
    """Assert that no hop speaks of a consumer before a queue has chosen one: engines do not look."""
    first = next((i for i, hop in enumerate(hops) if hop.kind == QUEUE), len(hops))
    for hop in hops[:first]:
        of_consumer = hop.station == CONSUMER or hop.station <= FIRST_CONSUMER_SLOT
        assert not of_consumer, f'{hop.stage} at a consumer that no queue has chosen'


class ModelBuilder:
    """Collects the rows of a Model. Row 0 of curves is one second per unit, row 0 of laws is constant."""

    def __init__(self, name: str = 'model', seed: int = 1) -> None:
        self.name, self.seed = name, seed
        self.stages: list[str] = []
        self.places: list[str] = []
        self.flows: list[str] = []
        self.streams: list[str] = []
        self.variants: list[str] = ['default']
        self.targets: dict[str, tuple[int, ...]] = {}
        self.learning: LearningPlan | None = None
        self.keys: KeyPlan | None = None
        self.changes: list[tuple[float, str, bool]] = []
        self.downs: list[tuple[int, float, float]] = []  # stations that are down for a time, beside outages
        self._stream_flow: list[int] = []
        self._stations: list[dict[str, object]] = []
        self._speeds: list[float] = []
        self._curves: dict[tuple[tuple[float, ...], tuple[float, ...]], int] = {}
        self._laws: dict[tuple[int, tuple[float, ...]], int] = {}
        self._curve_rows: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
        self._law_rows: list[tuple[int, tuple[float, ...]]] = []
        self._hops: list[dict[str, object]] = []
        self._routes: list[dict[str, object]] = []
        self._guards: list[tuple[int, ...]] = []
        self._route_of: dict[tuple[int, int, int, int], int] = {}
        self._classes: list[dict[str, object]] = []
        self._class_names: list[str] = []
        self._entities: list[tuple[NDArray[np.int64], ...]] = []
        self._n_entities = 0
        self._attachments: list[tuple[str, int, tuple[int, int, int, int]]] = []
        self._sources: list[dict[str, object]] = []
        self._by_hour: list[tuple[float, ...]] = []
        self._listed: list[tuple[int, float]] = []
        self._queues: list[dict[str, object]] = []
        self._consumers: list[tuple[int, ...]] = []
        self.curve((0.0, 1.0), (0.0, 1.0))
        self.law(laws.CONSTANT)

    def station(
        self, name: str, speeds: Sequence[float] = (1.0,), *, kind: str = 'cpu', discipline: int = PRIORITY,
        law_offset: int = 0, frame_bytes: int = UNFRAMED, frame_overhead_bits: float = 0.0,
        frame_gap_bits: float = 0.0, loss_ratio: float = 0.0, attempts_max: int = 1,
        slots: tuple[int, int, int, int] = NO_SLOTS,
    ) -> int:
        """Add a station with one server for each speed, and a target of its name."""
        row = len(self._stations)
        assert not any(self._stations[link]['loss_ratio'] for link in slots if link >= 0), 'TCP loses no message'
        self._stations.append({
            'name': name, 'kind': kind, 'discipline': discipline, 'server_first': len(self._speeds),
            'n_servers': len(speeds), 'law_offset': law_offset, 'frame_bytes': frame_bytes,
            'frame_overhead_bits': frame_overhead_bits, 'frame_gap_bits': frame_gap_bits, 'loss_ratio': loss_ratio,
            'attempts_max': attempts_max, 'slots': slots,
        })
        self._speeds.extend(speeds)
        self.targets[name] = (row,)
        return row

    def curve(self, amounts: Sequence[float], seconds: Sequence[float]) -> int:
        """Add a piecewise linear cost, once for equal points."""
        points = (tuple(amounts), tuple(seconds))
        if points not in self._curves:
            self._curves[points] = self.curve_block([points])
        return self._curves[points]

    def curve_block(self, curves: Sequence[tuple[tuple[float, ...], tuple[float, ...]]]) -> int:
        """Add curves in consecutive rows and return the first: consumers pick theirs by `law_offset`."""
        first = len(self._curve_rows)
        self._curve_rows.extend(curves)
        return first

    def law(self, kind: int, *parameters: float) -> int:
        """Add a law of noise, once for equal parameters."""
        key = (kind, tuple(parameters))
        if key not in self._laws:
            self._laws[key] = self.law_block([key])
        return self._laws[key]

    def law_block(self, rows: Sequence[tuple[int, tuple[float, ...]]]) -> int:
        """Add laws in consecutive rows and return the first."""
        first = len(self._law_rows)
        self._law_rows.extend(rows)
        return first

    def class_(
        self, name: str, *, base_w: float = 0.0, busy_w: float = 0.0, transmit_w: float = 0.0,
        receive_w: float = 0.0, battery_j: float = math.inf,
    ) -> int:
        """Add a class of entities."""
        self._class_names.append(name)
        self._classes.append({'base_w': base_w, 'busy_w': busy_w, 'transmit_w': transmit_w,
                              'receive_w': receive_w, 'battery_j': battery_j})
        return len(self._classes) - 1

    def entities(self, class_row: int, attachments: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Add one entity of a class for each attachment (-1: none) and return their rows."""
        n = len(attachments)
        rows = np.arange(self._n_entities, self._n_entities + n)
        keys = laws.entity_keys(laws.name_key(self._class_names[class_row]), n)
        self._entities.append((np.full(n, class_row), np.arange(n), keys, np.asarray(attachments, np.int64)))
        self._n_entities += n
        return rows

    def attachment(self, name: str, group: int, slots: tuple[int, int, int, int]) -> int:
        """Add a place to attach entities to; `slots` in the order of `model.SLOTS`."""
        self._attachments.append((name, group, slots))
        self.targets[name] = tuple(dict.fromkeys(slots))
        return len(self._attachments) - 1

    def stream(self, name: str, flow: str) -> int:
        """Intern a stream and the flow it is one of."""
        row = _interned(self.streams, name)
        if row == len(self._stream_flow):
            self._stream_flow.append(_interned(self.flows, flow))
        return row

    def route(
        self, stream: int, class_row: int, hops: Sequence[Hop], *, group: int = 0, variant: str = 'default',
        priority: int = 0, deadline_s: float = math.inf, wire_bytes: int = 0, crypto_bytes: int = 0,
        guards: tuple[int, ...] = (), fallback: int = -1, listed: bool = True,
    ) -> int:
        """Add a route template; one that is not `listed` is only reached as a fallback."""
        row = len(self._routes)
        self._routes.append({
            'hop_first': len(self._hops), 'n_hops': len(hops), 'stream': stream, 'class_row': class_row,
            'priority': priority, 'deadline_s': deadline_s, 'wire_bytes': wire_bytes, 'crypto_bytes': crypto_bytes,
            'fallback': fallback,
        })
        self._guards.append(guards)
        _assert_consumer_is_chosen(hops)
        occurrence: dict[tuple[str, str], int] = {}
        previous: Hop | None = None
        leg = 0
        for hop, legs_behind in zip(hops, _legs_behind(hops), strict=True):
            continues = previous is not None and _continues(previous, hop)
            address = (hop.place, hop.stage)
            leg = leg + 1 if continues else 0
            occurrence[address] = occurrence.get(address, -1) + (0 if continues else 1)
            self._hops.append({
                **{f.name: getattr(hop, f.name) for f in fields(Hop)},
                'stage': _interned(self.stages, hop.stage), 'place': _interned(self.places, hop.place),
                'key': laws.name_key(hop.place, hop.stage, occurrence[address], hop.kind, leg),
                'legs_behind': legs_behind,
            })
            previous = hop
        if listed:
            self._route_of[stream, _interned(self.variants, variant), class_row, group] = row
        return row

    def source(
        self, stream: int, class_row: int, timing: int, gap_s: float = 0.0, by_hour: Sequence[float] | None = None,
        listed: Sequence[tuple[int, float]] = (),
    ) -> int:
        """Add a timed launch of a stream by every entity of a class; `listed` holds (index, time_s)."""
        profile_row = -1
        if by_hour is not None and len(set(by_hour) | {1.0}) > 1:
            self._by_hour.append(tuple(by_hour))
            profile_row = len(self._by_hour) - 1
        known = {(source['stream'], source['class_row']) for source in self._sources}
        assert (stream, class_row) not in known, 'a second source would share the draws of the first'
        self._sources.append({
            'stream': stream, 'class_row': class_row, 'timing': timing, 'gap_s': gap_s, 'profile_row': profile_row,
            'list_first': len(self._listed), 'list_n': len(listed),
        })
        self._listed.extend(sorted(listed))
        return len(self._sources) - 1

    def queue(
        self, name: str, consumers: Sequence[int], *, prefetch: int = 1, capacity: int = 2**31, deliver_s: float = 0.0,
        acknowledge_s: float = 0.0, detect_s: float = 0.0, broker: int = -1,
    ) -> int:
        """Add a broker queue."""
        self._queues.append({
            'name': name, 'prefetch': prefetch, 'capacity': capacity,
            'deliver_s': deliver_s, 'acknowledge_s': acknowledge_s, 'detect_s': detect_s, 'broker': broker,
        })
        self._consumers.append(tuple(consumers))
        return len(self._queues) - 1

    def build(self, *, duration_s: float, warm_up_s: float = 0.0, drain_s: float = math.inf,
              starts_at_s: float = 0.0) -> Model:
        """Freeze the rows into a Model."""
        n_groups = 1 + max((group for _, group, _ in self._attachments), default=0)
        route_of = np.full((len(self.streams), len(self.variants), len(self._classes), n_groups), -1)
        for place, row in self._route_of.items():
            route_of[place] = row
        columns = [np.concatenate(column) for column in zip(*self._entities, strict=True)]
        return Model(
            name=self.name, seed=self.seed, warm_up_s=warm_up_s, duration_s=duration_s, drain_s=drain_s,
            starts_at_s=starts_at_s, flows=tuple(self.flows), streams=tuple(self.streams),
            stream_flow=np.array(self._stream_flow, np.int64), stages=tuple(self.stages), places=tuple(self.places),
            variants=tuple(self.variants),
            stations=Stations(
                name=tuple(str(row['name']) for row in self._stations),
                kind=tuple(str(row['kind']) for row in self._stations), server_speed=np.array(self._speeds, np.float64),
                slots=np.array([row['slots'] for row in self._stations], np.int64).reshape(-1, N_CONSUMER_SLOTS),
                **_table(Stations, self._stations, skip=('name', 'kind', 'server_speed', 'slots')),
            ),
            hops=Hops(**_table(Hops, self._hops)),
            routes=Routes(guards=tuple(self._guards), **_table(Routes, self._routes, skip=('guards',))),
            route_of=route_of, curves=self._build_curves(), laws=self._build_laws(),
            classes=Classes(name=tuple(self._class_names), **_table(Classes, self._classes, skip=('name',))),
            entities=Entities(*columns), attachments=self._build_attachments(), sources=self._build_sources(),
            queues=Queues(
                name=tuple(str(row['name']) for row in self._queues),
                consumers=tuple(self._consumers), **_table(Queues, self._queues, skip=('name', 'consumers')),
            ),
            changes=Changes(
                time_s=np.array([c[0] for c in self.changes], np.float64), target=tuple(c[1] for c in self.changes),
                up=np.array([c[2] for c in self.changes], np.bool_),
            ),
            targets=dict(self.targets), learning=self.learning, keys=self.keys,
        )

    def _build_curves(self) -> Curves:
        n = [len(amounts) for amounts, _ in self._curve_rows]
        return Curves(
            first=np.array([0, *accumulate(n)][:-1], np.int64), n=np.array(n, np.int64),
            amounts=np.array([x for amounts, _ in self._curve_rows for x in amounts], np.float64),
            seconds=np.array([y for _, seconds in self._curve_rows for y in seconds], np.float64),
        )

    def _build_laws(self) -> Laws:
        quantiles: list[float] = []
        rows: list[tuple[float, ...]] = []
        for kind, parameters in self._law_rows:
            if kind == laws.EMPIRICAL:
                rows.append((float(len(quantiles)), float(len(parameters)), 0.0))
                quantiles.extend(parameters)
            else:
                rows.append((*parameters, 0.0, 0.0, 0.0)[:3])
        a, b, c = np.array(rows, np.float64).T.copy()
        return Laws(kind=np.array([kind for kind, _ in self._law_rows], np.int64), a=a, b=b, c=c,
                    quantiles=np.array(quantiles, np.float64))

    def _build_attachments(self) -> Attachments:
        return Attachments(
            name=tuple(name for name, _, _ in self._attachments),
            group=np.array([group for _, group, _ in self._attachments], np.int64),
            slots=np.array([slots for _, _, slots in self._attachments], np.int64).reshape(-1, N_SLOTS),
        )

    def _build_sources(self) -> Sources:
        skip = ('by_hour', 'listed_index', 'listed_s')
        return Sources(
            by_hour=np.array(self._by_hour, np.float64).reshape(-1, 24),
            listed_index=np.array([index for index, _ in self._listed], np.int64),
            listed_s=np.array([time_s for _, time_s in self._listed], np.float64),
            **_table(Sources, self._sources, skip=skip),
        )

