"""What a reader must know before the numbers of a run: whether the hospital was overloaded, and what is missing.

A station that is busy all the time, or a line that grows as long as anybody watches, has no steady state: its latencies
say how long the run was. A line is taken to have grown when it was at its longest at the end of the measured time, and
a quarter of that in the mean; one that grows steadily from nothing has half of it in the mean. Left out: a device's own
processor, which may well train all the time; what it does not get done is unfinished.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sim.model import OUTCOMES, UNFINISHED
from sim.results.recording import Recording

BUSY = 0.95  # of the time: the mean line of an M/M/1 is 18 there, and four times as long at 0.99
LINE_MIN = 20  # waiting; more than the segments that a transfer has under way
UNFINISHED_SHARE = 0.01  # of a flow's jobs: percentiles without them are no longer those of all
NAMED = 5  # stations
# A line that grew to the end is near its longest there, and half as long on average: a burst that is over, or one at
# the end alone, is neither.
END_SHARE = 0.9  # of the longest
MEAN_SHARE = 0.25  # of the longest; half of what steady growth has, for lines that began late


def warnings(recording: Recording) -> list[str]:
    """Return one line for each thing to know; none for a run like any other."""
    model = recording.model
    seconds = model.duration_s - model.warm_up_s
    busy = recording.station_busy_s / seconds / model.stations.n_servers
    found = []
    full = np.argsort(-busy, kind='stable')[:np.count_nonzero(busy >= BUSY)].tolist()
    if full:
        found.append(f'overloaded: {_listed(f"{model.stations.name[i]} (busy {100 * busy[i]:.1f} %)" for i in full)}; '
                     'its latencies grow for as long as the run goes on')
    names = (*model.stations.name, *(f'queue {name}' for name in model.queues.name))
    at_end = np.concatenate([recording.station_waiting_end, recording.queue_waiting_end])
    longest = np.concatenate([recording.station_waiting_max, recording.queue_waiting_max])
    mean = np.concatenate([recording.station_waiting_s, recording.queue_waiting_s]) / seconds
    grown = _grown(at_end, longest, mean)
    if grown.size:
        lines = _listed(f'{names[i]} ({at_end[i]:,} waiting)' for i in grown.tolist())
        found.append(f'overloaded: the line still grew at the end of {lines}')
    for flow in np.unique(model.stream_flow[model.sources.stream]).tolist():  # of learning, the rounds tell
        launched, left = int(recording.outcomes[flow].sum()), int(recording.outcomes[flow, UNFINISHED])
        if launched and left >= UNFINISHED_SHARE * launched:
            found.append(f'{left:,} of {launched:,} {model.flows[flow]} jobs were {OUTCOMES[UNFINISHED]} when the '
                         'run ended, and their latencies are missing: overloaded, or the drain is too short')
    return found


def _grown(at_end: NDArray[np.int64], longest: NDArray[np.int64], mean: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.flatnonzero((at_end >= LINE_MIN) & (at_end >= END_SHARE * longest)
                          & (mean >= MEAN_SHARE * longest))


def _listed(names: Iterable[str]) -> str:
    first, *rest = names
    more = f' and {len(rest) - NAMED + 1:,} more' if len(rest) >= NAMED else ''
    return ', '.join([first, *rest[:NAMED - 1]]) + more
