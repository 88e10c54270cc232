"""From what probes measured to what a model needs of a testbed.

A message on its way there and back::

    due ──── there ────► received ─ waiting ─► started ─ service ─► finished ──── back ────► reply received
         broker.route + deliver                   aead.open …          link + broker.answer

One by one, messages tell how long each way takes; the twin's own delay until it sends is part of the way there. In a
burst they follow each other at the distance at which twin and broker let them through. For the model the broker is one
station, which lets through one message at a time, whichever way it goes: so the distance at which a burst is received
is `broker.route`; what the distance of its answers is longer by is `broker.answer`; what is left of either way keeps
nobody busy. If a worker may hold one message alone, the distance is a whole cycle, whose last part is `acknowledge`:
until the worker is given another one.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hil.validation.probing import MANY, SIZES, Probe
from sim.errors import RunError

Floats = NDArray[np.float64]
N_LEAST = 8  # measurements of a size, for it to be a point of a curve
CABLES_THERE, CABLES_BACK = 3, 2  # to the broker, from there, and to the node; from the node, and to the broker
APART_S = 0.15  # bursts are further apart, and what is sent for one burst is not


@dataclass(frozen=True)
class Fit:
    """What a model needs of a testbed; times in s.

    Attributes
    ----------
    samples
        Of each stage, by its size in bytes, what single messages took, and answers with a model in them one burst
        each: ``broker.route``, ``broker.answer``, ``aead.open``, ``aead.seal`` and ``kem.encaps`` (of size 0). A
        worker's handling of a message is in its AEAD.
    deliver_s, cable_s, acknowledge_s
        What keeps no station busy: in the broker on the way there; on each cable, of which a model has `CABLES_THERE`
        and `CABLES_BACK`; and from an acknowledgement to the next message.
    spacing_s
        By size, the distance of messages in a burst, for comparison with the curve.
    """

    samples: Mapping[str, Mapping[int, Floats]]
    deliver_s: float
    cable_s: float
    acknowledge_s: float
    spacing_s: Mapping[int, float]


def fit(probes: Sequence[Probe]) -> Fit:
    """Return what probes say of a testbed.

    Raises
    ------
    RunError
        If there are too few messages of a kind, or they contradict each other.
    """
    single = pl.concat(probe.chains.filter('is_alone') for probe in probes)
    many = [probe for probe in probes if probe.prefetch == MANY]
    there = _by_size(single.select('n_bytes', seconds=pl.sum_horizontal('sent_late_s', 'there_s', 'waiting_s')))
    spacing, replies = _spacing(many, 'received_s'), _spacing(many, 'replied_s')
    there_s = max(0.0, _median([np.median(there[size]) - spacing[size] for size in SIZES]))
    route = {size: np.maximum(seconds - there_s, 0.0) for size, seconds in there.items()}
    if min(np.median(seconds) for seconds in route.values()) <= 0.0:
        raise RunError('the calibration contradicts itself: a message alone is faster than the distance of those in a '
                       'burst allows; let nothing else run, and measure again')
    back = single['back_s'].to_numpy()
    busy_s = max(0.0, _median([replies[size] - spacing[size] for size in SIZES]))
    cable_s = min(max(0.0, _median(back) - busy_s) / CABLES_BACK, there_s / CABLES_THERE)
    opened = _by_size(single.select('n_bytes', seconds='service_s'))
    cycle = _spacing([probe for probe in probes if probe.prefetch == 1], 'received_s')
    acknowledge_s = _median([cycle[size] - there_s - np.median(opened[size]) - _median(back) for size in SIZES])
    answer = {0: np.maximum(back - CABLES_BACK * cable_s, 0.0), **_answers(many, route)}
    return Fit({'broker.route': route, 'broker.answer': answer, 'aead.open': opened, **_sealing(probes)},
               there_s - CABLES_THERE * cable_s, cable_s, max(0.0, acknowledge_s), spacing)


def _median(values: Sequence[float] | Floats) -> float:
    return float(np.median(values))


def _by_size(rows: pl.DataFrame) -> dict[int, Floats]:
    """Return the seconds of each size, in ascending order; those who have too few are left out."""
    found = {int(size): each['seconds'].to_numpy() for (size,), each in rows.group_by('n_bytes')}
    kept = {size: found[size] for size in sorted(found) if len(found[size]) >= N_LEAST}
    if len(kept) < 2:
        raise RunError(f'the calibration has {len(found)} sizes of message with {N_LEAST} that came back; expected 2 '
                       'at least: look at what the workers say, and measure for longer')
    return kept


def _spacing(probes: Sequence[Probe], event: str) -> dict[int, float]:
    """Return by size the distance at which the messages of a burst are received, or their replies."""
    found = defaultdict[int, list[float]](list)
    for probe in probes:
        rows = probe.chains.filter((pl.col('flow') == 'vitals') & ~pl.col('is_alone'))
        for (size,), each in rows.group_by('n_bytes'):
            found[int(size)] += [_distance(burst[event]) for burst in _bursts(each)]
    if missing := set(SIZES) - found.keys():
        raise RunError(f'the calibration has no whole burst of {min(missing):,} bytes; look at what the workers say')
    return {size: _median(found[size]) for size in SIZES}


def _bursts(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield what was sent together, in the order of time; a message alone is no burst."""
    rows = rows.with_columns(received_s=pl.col('sent_s') + pl.col('there_s')).sort('sent_s').with_columns(
        burst=(pl.col('sent_s').diff().fill_null(0.0) > APART_S).cum_sum())
    return (each for _, each in rows.group_by('burst', maintain_order=True) if each.height > 1)


def _distance(times: pl.Series) -> float:
    """Return the mean distance of times that follow each other."""
    return float(np.ptp(times.to_numpy())) / (len(times) - 1)


def _answers(probes: Sequence[Probe], route: Mapping[int, Floats]) -> dict[int, Floats]:
    """Return how long the broker is busy with an answer that has a model in it: a value for each round of a run.

    All clients are answered at once. The first round is left out: connections carry their first large messages then.
    """
    sizes, medians = [*route], [_median(seconds) for seconds in route.values()]
    found = defaultdict[int, list[float]](list)
    for probe in probes:
        if probe.model_bytes <= max(sizes):
            way_s = float(np.interp(probe.model_bytes, sizes, medians))
            rounds = [*_bursts(probe.chains.filter(flow='fl-update', first_stage='kem.encaps'))]
            found[probe.model_bytes] += [max(0.0, _distance(burst['replied_s']) - way_s) for burst in rounds[1:]]
    if not any(found.values()):
        raise RunError('the calibration has no round after its first; look at what the workers say')
    return {size: np.array(found[size]) for size in sorted(found) if found[size]}


def _sealing(probes: Sequence[Probe]) -> dict[str, dict[int, Floats]]:
    """Return the stages of a worker that seals a model for a client: what is not the KEM's is the AEAD's."""
    encaps, seal = list[Floats](), defaultdict(list)
    for probe in probes:
        walls = probe.work.filter((pl.col('flow') == 'fl-update') & (pl.col('stage') == 'kem.encaps')).select(
            'job', encaps_s='wall_s')
        rows = probe.chains.filter((pl.col('flow') == 'fl-update') & (pl.col('first_stage') == 'kem.encaps')).join(
            walls, on='job')
        encaps.append(rows['encaps_s'].to_numpy())
        seal[probe.model_bytes].append((rows['service_s'] - rows['encaps_s']).to_numpy())
    return {'kem.encaps': {0: np.concatenate(encaps)},
            'aead.seal': {size: np.concatenate(seal[size]) for size in sorted(seal)}}
