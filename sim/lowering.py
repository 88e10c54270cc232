"""Lowers a scenario to a Model: the hospital becomes stations, the flows become routes.

The order is: wires, access points and cluster (`sim.infrastructure`), classes and entities, then for every stream one
route template a floor (`sim.routing` turns the stages of a flow into hops), then sources, the plans of learning and
of keys, and outages. Every step takes what earlier ones returned.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from sim import checks
from sim.building import ModelBuilder
from sim.flows import FLOWS, LEARNING_FLOWS, Table
from sim.hospital import SERVER, Hospital, build
from sim.infrastructure import add_access_points, add_cluster, add_wires
from sim.key_life import add_keys
from sim.model import LISTED, PERIODIC, POISSON, LearningPlan, Model
from sim.origin import Origin
from sim.profiles import Profile
from sim.resolving import profiles_of
from sim.routing import FlowSizes
from sim.scenario import Learning, Scenario, Stream
from sim.ways import Population, Ways
from sim.yaml_source import Location


def lower(scenario: Scenario, origin: Origin, profiles: Mapping[str, Profile] | None = None,
          table: Table = FLOWS) -> Model:
    """Return the Model of a scenario.

    Parameters
    ----------
    profiles
        What the scenario uses, see `resolving.profiles_of`; None: read now.
    table
        What its exchanges go through.

    Raises
    ------
    InputError
        If parts of the scenario do not fit together, or a profile lacks a number.
    """
    profiles = profiles_of(scenario, origin) if profiles is None else profiles
    checks.check(scenario, origin, profiles)
    hospital = build(scenario, origin)
    builder = ModelBuilder(scenario.name, scenario.seed)
    wires = add_wires(builder, hospital)
    add_access_points(builder, scenario, hospital, wires)
    computers = {name: profiles[node.profile] for name, node in scenario.edge.nodes.items()}
    computers[SERVER] = profiles[scenario.edge.server.profile]
    cluster = add_cluster(builder, scenario, wires, computers)
    workers = (SERVER,) if scenario.keys is None else cluster.workers
    population = _add_population(builder, scenario, hospital, profiles, workers)
    ways = Ways(builder, scenario, origin, hospital, wires, cluster, computers, population, table)
    for name, device in scenario.devices.items():
        for stream_name, stream in device.streams.items():
            _add_stream(builder, ways, name, stream_name, stream)
    if scenario.learning is not None:
        builder.learning = _add_learning(builder, ways, scenario.learning, population)
    if scenario.keys is not None:
        builder.keys = add_keys(builder, ways, scenario, scenario.keys, population)
    _add_outages(builder, scenario, origin, hospital)
    return builder.build(duration_s=scenario.duration, warm_up_s=scenario.warm_up, drain_s=scenario.drain,
                         starts_at_s=scenario.starts_at)


# -- entities -------------------------------------------------------------------------------------------------


def _add_population(builder: ModelBuilder, scenario: Scenario, hospital: Hospital,
                    profiles: Mapping[str, Profile], workers: Iterable[str]) -> Population:
    class_rows, entity_rows = {}, {}
    of_classes = {name: profiles[device.profile] for name, device in scenario.devices.items()}
    for name, device in scenario.devices.items():
        power = of_classes[name].power
        class_rows[name] = builder.class_(
            name, base_w=power['base'].value, busy_w=power['busy'].value, transmit_w=power['transmit'].value,
            receive_w=power['receive'].value, battery_j=math.inf if device.battery is None else device.battery)
        entity_rows[name] = builder.entities(class_rows[name], hospital.attachments[name])
    for worker in workers:
        class_rows[worker] = builder.class_(worker)
        entity_rows[worker] = builder.entities(class_rows[worker], [-1])
    return Population(class_rows, entity_rows, of_classes)


# -- streams --------------------------------------------------------------------------------------------------


def _add_stream(builder: ModelBuilder, ways: Ways, class_name: str, name: str, stream: Stream) -> None:
    label = name if name == stream.flow else f'{stream.flow}/{name}'
    row = builder.stream(label, stream.flow)
    sizes = FlowSizes({'payload': stream.payload}, stream.priority, stream.deadline or math.inf)
    class_row = ways.add(row, stream.flow, class_name, sizes, ('devices', class_name, 'streams', name))
    if stream.arrivals is not None:
        builder.source(row, class_row, LISTED, listed=stream.arrivals)
    elif stream.period is not None:
        builder.source(row, class_row, PERIODIC, stream.period, stream.by_hour)
    elif stream.rate is not None:
        builder.source(row, class_row, POISSON, 1.0 / stream.rate, stream.by_hour)


# -- learning and outages -------------------------------------------------------------------------------------


def _add_learning(builder: ModelBuilder, ways: Ways, learning: Learning, population: Population) -> LearningPlan:
    sizes = FlowSizes({'model': learning.model, 'update': learning.update, 'updates': learning.update,
                       'samples': learning.samples}, learning.priority, math.inf)
    for flow in LEARNING_FLOWS:
        stream = builder.stream(flow, flow)
        for class_name in learning.clients if flow == 'fl-update' else (SERVER,):
            location: Location = ('devices', class_name) if flow == 'fl-update' else ('edge', 'server')
            ways.add(stream, flow, class_name, sizes, location)
    clients = np.concatenate([population.entity_rows[name] for name in learning.clients])
    return LearningPlan(
        clients=np.sort(clients), server=int(population.entity_rows[SERVER][0]), rounds=learning.rounds,
        fraction=learning.fraction, quorum=learning.quorum, deadline_s=learning.deadline, start_s=learning.start,
        pause_s=learning.pause, samples=np.full(clients.size, float(learning.samples)), update_bytes=learning.update)


def _add_outages(builder: ModelBuilder, scenario: Scenario, origin: Origin, hospital: Hospital) -> None:
    downs: dict[int, list[tuple[float, float]]] = {}
    for row, begin_s, end_s in builder.downs:
        downs.setdefault(row, []).append((begin_s, end_s))
    for i, outage in enumerate(scenario.outages):
        if outage.target not in builder.targets:
            known = [*scenario.edge.nodes, 'broker', 'crypto-1', 'floor-1-uplink', 'core-link',
                     hospital.access_points[0].name]
            raise origin.error(('outages', i, 'target'), f"'{outage.target}' is not a part of this hospital; "
                               f'name one, for example {", ".join(known)}')
        for row in builder.targets[outage.target]:
            downs.setdefault(row, []).append((outage.begin, outage.end))
    for row, intervals in downs.items():  # a station is up when nothing that it is part of is down
        builder.targets[f'station {row}'] = (row,)
        for begin_s, end_s in _merged(intervals):
            builder.changes.append((begin_s, f'station {row}', False))
            if math.isfinite(end_s):
                builder.changes.append((end_s, f'station {row}', True))


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return intervals in order, those that touch made one."""
    merged: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(intervals):
        if merged and begin_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end_s, merged[-1][1])
        else:
            merged.append((begin_s, end_s))
    return merged
