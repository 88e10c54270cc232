"""From what probes measured to what a model needs of a testbed.

A message on its way there and back::

    sent ──── there ────► received ─ waiting ─► started ─ service ─► finished ──── back ────► reply received
         broker.route + deliver                    aead.open …              broker.answer

One by one, messages tell how long each way takes. In a burst, they follow each other at the distance at which the
broker lets them through: what is left of the way is `deliver`, which keeps nobody busy. If a worker may hold one
message alone, the distance is a whole cycle, whose last part is `acknowledge`: until the worker is given another one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hil.validation.probing import MANY, N_TOGETHER, SIZES, Probe
from sim.errors import RunError

Floats = NDArray[np.float64]
N_LEAST = 8  # measurements of a size, for it to be a point of a curve


@dataclass(frozen=True)
class Fit:
    """What a model needs of a testbed; times in s.

    Attributes
    ----------
    samples
        Of each stage, by its size in bytes, what single messages took: ``broker.route``, ``broker.answer``,
        ``aead.open``, ``aead.seal`` and ``kem.encaps`` (of size 0). A worker's handling of a message is in its AEAD.
    deliver_s, acknowledge_s
        What keeps no station busy: from the broker to a worker, and from an acknowledgement to the next message.
    spacing_s
        By size, the distance of messages in a burst, for comparison with the curve.
    """

    samples: Mapping[str, Mapping[int, Floats]]
    deliver_s: float
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
    there = _by_size(single.select('n_bytes', seconds=pl.col('there_s') + pl.col('waiting_s')))
    spacing = _spacing([probe for probe in probes if probe.prefetch == MANY])
    deliver_s = max(0.0, float(np.median([np.median(there[size]) - spacing[size] for size in SIZES])))
    route = {size: np.maximum(seconds - deliver_s, 0.0) for size, seconds in there.items()}
    if min(np.median(seconds) for seconds in route.values()) <= 0.0:
        raise RunError('the calibration contradicts itself: a message alone is faster than the distance of those in a '
                       'burst allows; let nothing else run, and measure again')
    opened = _by_size(single.select('n_bytes', seconds='service_s'))
    answer = {0: single['back_s'].to_numpy(), **_answers(probes)}
    cycle = _spacing([probe for probe in probes if probe.prefetch == 1])
    acknowledge_s = float(np.median([cycle[size] - deliver_s - np.median(opened[size]) - np.median(answer[0])
                                     for size in SIZES]))
    return Fit({'broker.route': route, 'broker.answer': answer, 'aead.open': opened, **_sealing(probes)}, deliver_s,
               max(0.0, acknowledge_s), spacing)


def _by_size(rows: pl.DataFrame) -> dict[int, Floats]:
    """Return the seconds of each size, in ascending order; those who have too few are left out."""
    found = {int(size): each['seconds'].to_numpy() for (size,), each in rows.group_by('n_bytes')}
    kept = {size: found[size] for size in sorted(found) if len(found[size]) >= N_LEAST}
    if len(kept) < 2:
        raise RunError(f'the calibration has {len(found)} sizes of message with {N_LEAST} that came back; expected 2 '
                       'at least: look at what the workers say, and measure for longer')
    return kept


def _spacing(probes: Sequence[Probe]) -> dict[int, float]:
    """Return by size the distance at which the messages of a burst are received, in the median of bursts."""
    found = defaultdict(list)
    for probe in probes:
        rows = probe.chains.filter((pl.col('flow') == 'vitals') & ~pl.col('is_alone')).select(
            'n_bytes', 'sent_s', received_s=pl.col('sent_s') + pl.col('there_s')).sort('n_bytes', 'sent_s')
        for (size,), each in rows.group_by('n_bytes', maintain_order=True):
            received_s = each['received_s'].to_numpy()
            for first in range(0, len(received_s) - N_TOGETHER + 1, N_TOGETHER):
                burst = np.sort(received_s[first:first + N_TOGETHER])
                found[int(size)].append((burst[-1] - burst[0]) / (N_TOGETHER - 1))
    if missing := set(SIZES) - found.keys():
        raise RunError(f'the calibration has no whole burst of {min(missing):,} bytes; look at what the workers say')
    return {size: float(np.median(found[size])) for size in SIZES}


def _answers(probes: Sequence[Probe]) -> dict[int, Floats]:
    """Return the way back of answers with a model in them, which come one by one."""
    rows = pl.concat(probe.chains.filter(pl.col('flow') == 'fl-publish').select(
        n_bytes=probe.model_bytes, seconds='back_s') for probe in probes)
    found = {int(size): each['seconds'].to_numpy() for (size,), each in rows.group_by('n_bytes')}
    return {size: found[size] for size in sorted(found)}


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
