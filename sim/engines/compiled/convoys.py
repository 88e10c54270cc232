"""Which events may follow each other in a convoy: those at the same constant distance from the present.

What `heap` makes of it does not depend on this being right, only its speed does.
"""

import numpy as np

from sim import laws
from sim.engines.compiled.layout import NONE, Records
from sim.model import LINK, Model


def join_convoys(model: Model, hops: Records, queues: Records) -> int:
    """Write to hops and queues which convoys their events belong to, and return how many convoys there are.

    What follows an event by a latency shares a convoy with all that has the same latency. Ends of services share one
    where the same amount is asked of servers of the same speed; those that chance lengthens have none.
    """
    hops, queues = hops[:model.hops.kind.size], queues[:len(model.queues.name)]  # a table has a row even without any
    latencies, rows = np.unique(
        np.concatenate([hops['latency_s'], queues['deliver_s'], queues['acknowledge_s']]), return_inverse=True)
    hops['arrival_convoy'] = rows[:hops.size]
    queues['deliver_convoy'], queues['acknowledge_convoy'] = rows[hops.size:].reshape(2, -1)
    services, rows = np.unique(_services(model), axis=0, return_inverse=True)
    is_constant = (model.hops.kind == LINK) | (model.laws.kind[model.hops.law] == laws.CONSTANT)
    hops['end_convoy'] = np.where(is_constant, latencies.size + rows.ravel(), NONE)
    return latencies.size + services.shape[0]


def _services(model: Model) -> np.ndarray:
    """Return what decides how long each hop takes, shape ``(n_hops, n)``: its station's speed, and what is asked of it.

    A reference that only a job resolves stands for the speed: stations of one kind are often alike.
    """
    hops, stations = model.hops, model.stations
    names_station = (hops.station >= 0) & (hops.station < stations.n)
    speeds = np.append(stations.server_speed[stations.server_first], 0.0)
    speed = np.where(names_station, speeds[np.where(names_station, hops.station, -1)], 0.0)
    reference = np.where(names_station, 0, hops.station)
    asked = (hops.kind, hops.curve, hops.amount, hops.n_bytes, hops.wrap_bytes, hops.segment_bytes)
    return np.stack([speed, reference, *asked], axis=1)
