"""The summary of a run: one row a metric, with the same keys whatever the engine, world or trace level.

``{"metric", "flow", "class", "station", "unit", "n", "mean", "p50", "p95", "p99", "ci95_low", "ci95_high"}``; what
does not apply is None. `n` counts the observations that a number is of: jobs, devices, rounds. Means are exact.
Percentiles come from log-binned histograms everywhere, which are within 0.4 % of an observation: of a few rounds, the
p99 is the bin of the longest one, not a number between two.

`kem_time`, `aead_time` and `sig_time` are what all computers together, devices too, have computed within the measured
time for a flow. `wire_bytes` are those of messages as they are handed to the network: payload, cryptography, AMQP and
TLS, once for each job launched. TCP/IP, link frames and repeated frames are not in them; `radio_bytes` are what went
over a device's air, with every repeat. `deadline_miss_ratio` is of the jobs that have a deadline: expired, or not
delivered at all. A row with a flow and a class is of the jobs that devices of this class launched in this flow.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.energy import energy_j
from sim.flows import FAMILIES
from sim.model import DELIVERED, EXPIRED, OUTCOMES, Model
from sim.results import histogram
from sim.results.recording import Recording

DAY_S = 86_400.0


def row(metric: str, unit: str, *, flow: str | None = None, class_: str | None = None, station: str | None = None,
        n: int | None = None, mean: float | None = None, bins: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Return one row; percentiles from `bins`. A mean that is not finite does not apply: nothing drains a battery."""
    p50, p95, p99 = (None if bins is None else histogram.quantile(bins, q) for q in (0.5, 0.95, 0.99))
    return {'metric': metric, 'flow': flow, 'class': class_, 'station': station, 'unit': unit, 'n': n,
            'mean': float(mean) if mean is not None and math.isfinite(mean) else None,
            'p50': p50, 'p95': p95, 'p99': p99, 'ci95_low': None, 'ci95_high': None}


def summarise(recording: Recording) -> list[dict[str, Any]]:
    """Return all metrics of a run."""
    return [*_flows(recording), *_classes(recording), *_rounds(recording), *_keys(recording), *_stations(recording)]


def summarise_jobs(recording: Recording) -> list[dict[str, Any]]:
    """Return the metrics of jobs and rounds alone: of a run in which not every station and device was simulated."""
    return [*_flows(recording), *_rounds(recording)]


def _flows(recording: Recording) -> list[dict[str, Any]]:
    rows = []
    families = {family: [stage for stage, name in enumerate(recording.model.stages) if name.startswith(f'{family}.')]
                for family in FAMILIES}
    for i, flow in enumerate(recording.model.flows):
        outcomes = recording.outcomes[i]
        launched = int(outcomes.sum())
        completed = int(outcomes[DELIVERED] + outcomes[EXPIRED])
        rows.append(row('launched', 'job', flow=flow, n=launched, mean=launched))
        rows += [row(name, 'job', flow=flow, n=launched, mean=int(count))
                 for name, count in zip(OUTCOMES, outcomes, strict=True)]
        latency = recording.latency_sum_s[i]
        rows.append(row('latency', 's', flow=flow, n=completed, mean=latency / completed if completed else None,
                        bins=recording.latency[i]))
        rows.append(row('crypto_latency_share', '1', flow=flow, n=completed,
                        mean=recording.crypto_sum_s[i] / latency if latency > 0 else None))
        rows += [row(f'{family}_time', 's', flow=flow, n=launched, mean=float(recording.stage_s[i, stages].sum()))
                 for family, stages in families.items() if recording.stage_s[i, stages].any()]
        rows += _deadlines(recording, i)
        rows.append(row('wire_bytes', 'B', flow=flow, n=launched, mean=int(recording.wire_bytes[i])))
        rows.append(row('crypto_wire_share', '1', flow=flow, n=launched,
                        mean=recording.crypto_bytes[i] / recording.wire_bytes[i] if recording.wire_bytes[i] else None))
    return rows


def _deadlines(recording: Recording, flow: int) -> list[dict[str, Any]]:
    """Return the share of a flow's deadlines that were missed: of all its jobs, then of those of each class."""
    name, n, missed = recording.model.flows[flow], recording.deadlines[flow], recording.deadline_misses[flow]
    rows = [row('deadline_miss_ratio', '1', flow=name, class_=recording.model.classes.name[i], n=int(n[i]),
                mean=missed[i] / n[i]) for i in np.flatnonzero(n).tolist()]
    total = row('deadline_miss_ratio', '1', flow=name, n=int(n.sum()), mean=missed.sum() / max(1, n.sum()))
    return [total, *rows] if rows else []


def device_energy(recording: Recording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the joules of every entity in [warm_up, duration], in all and by cryptography, shape ``(n_entities,)``."""
    model = recording.model
    in_all, by_crypto = (
        energy_j(model.classes, model.entities.class_row, seconds, recording.busy_s[:, column],
                 recording.transmit_s[:, column], recording.receive_s[:, column])
        for column, seconds in enumerate((model.duration_s - model.warm_up_s, 0.0)))
    return in_all, by_crypto


def battery_days(model: Model, used_j: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how long a full battery lasts at the run's mean power, days; inf on mains."""
    seconds = model.duration_s - model.warm_up_s
    with np.errstate(divide='ignore'):
        days: NDArray[np.float64] = model.classes.battery_j[model.entities.class_row] * seconds / used_j / DAY_S
    return days


def _classes(recording: Recording) -> list[dict[str, Any]]:
    model = recording.model
    used_j, crypto_j = device_energy(recording)
    days, days_without = battery_days(model, used_j), battery_days(model, used_j - crypto_j)
    rows = []
    for i, name in enumerate(model.classes.name):
        of = (model.entities.class_row == i) & (model.entities.attachment >= 0)
        n = int(np.count_nonzero(of))
        if n == 0:
            continue
        bins = np.zeros(histogram.N_BINS, np.int64)
        for value in used_j[of].tolist():
            bins[histogram.bin_of(value)] += 1
        total = float(used_j[of].sum())
        rows.append(row('energy', 'J', class_=name, n=n, mean=total / n, bins=bins))
        rows.append(row('crypto_energy_share', '1', class_=name, n=n,
                        mean=float(crypto_j[of].sum()) / total if total > 0 else None))
        if np.isfinite(model.classes.battery_j[i]):
            rows.append(row('battery_days', 'd', class_=name, n=n, mean=float(days[of].mean())))
            rows.append(row('battery_days_without_crypto', 'd', class_=name, n=n, mean=float(days_without[of].mean())))
        sent = recording.transmit_bytes[of] + recording.receive_bytes[of]
        rows.append(row('radio_bytes', 'B', class_=name, n=n, mean=float(sent.mean())))
    return rows


def _rounds(recording: Recording) -> list[dict[str, Any]]:
    """Return the metrics of learning: of all rounds, how many were begun; of those after the warm-up, how they went.

    Both times count from the round's beginning; a round has a distribution time if all its clients opened the model,
    and the share of those who did is a metric of its own.
    """
    plan = recording.model.learning
    if plan is None:
        return []
    measured = [r for r in recording.rounds if r.started_s >= recording.model.warm_up_s]
    rows = []
    for metric, end in (('round_time', 'aggregated_s'), ('distribution_time', 'distributed_s')):
        values = [getattr(r, end) - r.started_s for r in measured]
        values = [value for value in values if math.isfinite(value)]
        if values:
            rows.append(times(metric, values))
    counts = {
        'rounds_complete': sum(r.ended == 'complete' for r in measured),
        'rounds_failed': sum(r.ended not in ('complete', 'unfinished') for r in measured),
        'rounds_without_quorum': sum(
            math.isfinite(r.closed_s) and not r.quorum_met and r.ended != 'not published' for r in measured),
    }
    selected = sum(r.n_selected for r in measured)
    if selected:
        reached = sum(r.n_distributed for r in measured) / selected
        rows.append(row('clients_reached_ratio', '1', n=selected, mean=reached))
    return [
        *rows, row('rounds_begun', 'round', n=plan.rounds, mean=len(recording.rounds)),
        *(row(metric, 'round', n=len(measured), mean=count) for metric, count in counts.items()),
    ]


def _keys(recording: Recording) -> list[dict[str, Any]]:
    """Return the metrics of keys: of what was due after the warm-up, how much came to its end, and how long it took.

    `rekey_time` is from when a new key is due to when the device uses it; `exposure_time` from a revocation to when
    every place refuses the device.
    """
    model = recording.model
    if model.keys is None:
        return []
    measured = [row for row in recording.keys if row.due_s >= model.warm_up_s]
    rows = []
    for metric, event in (('rekey_time', 'rekey'), ('exposure_time', 'revocation'), ('enrolment_time', 'enrolment'),
                          ('group_rekey_time', 'group')):
        mine = [each for each in measured if each.event == event]
        rows += [row(f'{event}s_due', 'key', n=len(mine), mean=len(mine)),
                 row(f'{event}s_done', 'key', n=len(mine), mean=sum(math.isfinite(each.ended_s) for each in mine))]
        for class_row, name in ((None, None), *enumerate(model.classes.name)):
            values = [each.ended_s - each.due_s for each in mine if math.isfinite(each.ended_s) and (
                class_row is None or (each.entity >= 0 and model.entities.class_row[each.entity] == class_row))]
            if values:
                rows.append(times(metric, values, class_=name))
    n_expired = sum(each.event == 'expiry' for each in measured)
    return [*rows, row('keys_expired', 'key', n=model.keys.devices.size, mean=n_expired)]


def times(metric: str, values: Sequence[float], *, flow: str | None = None, class_: str | None = None,
          station: str | None = None) -> dict[str, Any]:
    """Return a row of times in s, at least one."""
    bins = np.zeros(histogram.N_BINS, np.int64)
    for value in values:
        bins[histogram.bin_of(value)] += 1
    return row(metric, 's', flow=flow, class_=class_, station=station, n=len(values), mean=float(np.mean(values)),
               bins=bins)


def _stations(recording: Recording) -> list[dict[str, Any]]:
    """Return the computers' utilisation one by one, and that of the busiest air and the busiest link."""
    model = recording.model
    seconds = model.duration_s - model.warm_up_s
    busy = recording.station_busy_s / seconds / model.stations.n_servers
    rows = []
    for kind in dict.fromkeys(model.stations.kind):
        of_kind = [i for i, k in enumerate(model.stations.kind) if k == kind]
        if kind in ('air', 'link'):
            i = max(of_kind, key=lambda i: float(busy[i]))
            rows.append(row('utilisation_max', '1', station=kind, n=int(recording.station_served[i]), mean=busy[i]))
        else:
            rows += [row('utilisation', '1', station=model.stations.name[i], n=int(recording.station_served[i]),
                         mean=busy[i]) for i in of_kind]
    rows += [
        row('queue_length', 'job', station=f'queue {name}', n=int(recording.queue_delivered[i]),
            mean=float(recording.queue_waiting_s[i] / seconds))
        for i, name in enumerate(model.queues.name)
    ]
    return rows
