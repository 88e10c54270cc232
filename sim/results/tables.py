"""The tables of a run: a Recording's arrays under the names of what they are about, as Polars data frames."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sim.model import OUTCOMES
from sim.results.recording import Recording
from sim.results.summary import battery_days, device_energy


def tables(recording: Recording) -> dict[str, pl.DataFrame]:
    """Return all tables that a recording has, by name."""
    found = {}
    if recording.trace != 'none':
        found['jobs'] = jobs(recording)
    if recording.trace == 'stages':
        found['stages'] = stages(recording)
    if recording.rounds:
        found['rounds'] = rounds(recording)
    if recording.model.keys is not None:
        found['keys'] = keys(recording)
    return {**found, 'devices': devices(recording), 'stations': stations(recording)}


def jobs(recording: Recording) -> pl.DataFrame:
    """Return one row a job, in the order in which they ended; `wire_bytes` as `sim.results.summary` says."""
    model, columns = recording.model, {name: np.array(column) for name, column in recording.jobs.items()}
    entity, stream = columns['entity'], columns['stream']
    launched_s, finished_s = columns['launched_s'], columns['finished_s']
    class_row = model.entities.class_row[entity]
    return pl.DataFrame({
        'job': columns['job'], 'flow': _names(model.flows, model.stream_flow[stream]),
        'stream': _names(model.streams, stream), 'class': _names(model.classes.name, class_row),
        'device': model.entities.index[entity], 'k': columns['k'], 'launched_s': launched_s,
        'finished_s': finished_s, 'latency_s': finished_s - launched_s, 'crypto_s': columns['crypto_s'],
        'mark_s': columns['mark_s'], 'outcome': _names(OUTCOMES, columns['outcome']),
        'attempt': columns['attempt'], 'wire_bytes': model.routes.wire_bytes[columns['route']],
        'is_counted': (launched_s >= model.warm_up_s) & (launched_s < model.duration_s),
    })


def stages(recording: Recording) -> pl.DataFrame:
    """Return one row a hop of a job; a transfer has one for each link, over all its segments."""
    model, columns = recording.model, {name: np.array(column) for name, column in recording.hops.items()}
    names = (*model.stations.name, *(f'queue {name}' for name in reversed(model.queues.name)), 'own')
    table = pl.DataFrame(columns).group_by('job', 'hop', 'attempt', 'station', maintain_order=True).agg(
        pl.len().alias('n_segments'), pl.col('arrived_s').min(), pl.col('started_s').min(),
        pl.col('finished_s').max(), pl.col('service_s').sum())
    hop = table['hop'].to_numpy()
    return table.with_columns(
        stage=_names(model.stages, model.hops.stage[hop]), place=_names(model.places, model.hops.place[hop]),
        station=_names(names, table['station'].to_numpy()))


def rounds(recording: Recording) -> pl.DataFrame:
    """Return one row a round of federated learning."""
    names = ('round', 'started_s', 'n_selected', 'n_delivered', 'quorum_met', 'closed_s', 'aggregated_s',
             'distributed_s', 'n_distributed', 'ended')
    table = pl.DataFrame({name: [getattr(row, name) for row in recording.rounds] for name in names})
    return table.with_columns(round_time_s=pl.col('aggregated_s') - pl.col('started_s'),
                              distribution_time_s=pl.col('distributed_s') - pl.col('started_s'))


def keys(recording: Recording) -> pl.DataFrame:
    """Return one row for each thing that happened to a device's key, or to that of the group, in the order it began."""
    model, rows = recording.model, recording.keys
    entity = np.array([row.entity for row in rows], np.int64)
    is_group = pl.Series(entity < 0)
    table = pl.DataFrame({
        'event': [row.event for row in rows], 'cause': [row.cause for row in rows],
        'class': _names(model.classes.name, model.entities.class_row[entity]), 'device': model.entities.index[entity],
        'epoch': [row.epoch for row in rows], 'due_s': [row.due_s for row in rows],
        'ended_s': [row.ended_s for row in rows], 'attempts': [row.attempts for row in rows],
    }, schema_overrides={'event': pl.String, 'cause': pl.String, 'epoch': pl.Int64, 'due_s': pl.Float64,
                         'ended_s': pl.Float64, 'attempts': pl.Int64})
    return table.with_columns(
        pl.when(is_group).then(None).otherwise(pl.col(name)).alias(name) for name in ('class', 'device')
    ).with_columns(time_s=pl.col('ended_s') - pl.col('due_s'))


def devices(recording: Recording) -> pl.DataFrame:
    """Return one row a device, over [warm_up, duration]."""
    model = recording.model
    at = np.flatnonzero(model.entities.attachment >= 0)
    energy_j, crypto_j = device_energy(recording)
    return pl.DataFrame({
        'class': _names(model.classes.name, model.entities.class_row[at]), 'device': model.entities.index[at],
        'access_point': _names(model.attachments.name, model.entities.attachment[at]),
        'busy_s': recording.busy_s[at, 0], 'busy_crypto_s': recording.busy_s[at, 1],
        'tx_s': recording.transmit_s[at, 0], 'tx_crypto_s': recording.transmit_s[at, 1],
        'rx_s': recording.receive_s[at, 0], 'rx_crypto_s': recording.receive_s[at, 1],
        'tx_bytes': recording.transmit_bytes[at], 'rx_bytes': recording.receive_bytes[at],
        'energy_j': energy_j[at], 'crypto_energy_j': crypto_j[at],
        'battery_days': battery_days(model, energy_j)[at],
        'battery_days_without_crypto': battery_days(model, energy_j - crypto_j)[at],
    })


def stations(recording: Recording) -> pl.DataFrame:
    """Return one row a station and a broker queue, over [warm_up, duration].

    Utilisation is of the servers that a station began with: no controller of a scenario changes them.
    """
    model = recording.model
    seconds = model.duration_s - model.warm_up_s
    n_queues = len(model.queues.name)
    none = np.zeros(model.stations.n, np.int64)
    return pl.concat([
        pl.DataFrame({
            'station': list(model.stations.name), 'kind': list(model.stations.kind),
            'servers': model.stations.n_servers,
            'utilisation': recording.station_busy_s / seconds / model.stations.n_servers,
            'served': recording.station_served, 'waiting_mean': recording.station_waiting_s / seconds,
            'waiting_max': recording.station_waiting_max, 'dropped': none, 'redelivered': none,
        }),
        pl.DataFrame({
            'station': [f'queue {name}' for name in model.queues.name], 'kind': ['queue'] * n_queues,
            'servers': np.zeros(n_queues, np.int64), 'utilisation': np.full(n_queues, np.nan),
            'served': recording.queue_delivered, 'waiting_mean': recording.queue_waiting_s / seconds,
            'waiting_max': recording.queue_waiting_max, 'dropped': recording.queue_dropped,
            'redelivered': recording.queue_redelivered,
        }, schema_overrides={'station': pl.String, 'kind': pl.String}),
    ])


def _names(names: tuple[str, ...], rows: NDArray[np.int64]) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(rows) if names else pl.Series([], dtype=pl.String)
