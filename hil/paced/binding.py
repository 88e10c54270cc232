"""Which hops of a model hardware does: chains of consecutive steps of a flow at places that have workers.

A chain goes out as one message. With a stage at a bound place come the broker's own hops and the links between broker
and workers around it: they are real then, and a part of what is measured. So for a job that a device seals and a
crypto worker opens, the device and its way to the broker are simulated, and all behind that is not::

    device   aead.seal    simulated; the bytes are made meanwhile (`hil.paced.devices`)
    network  net.transfer simulated
    broker   broker.route |
    network  net.transfer | one chain: one message, one reply
    crypto   aead.open    |

Not bound, whatever the inventory offers: a study that goes to the server itself, past the broker; and the life of keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np

from hil.broker.names import Place
from hil.wire.message import Leg
from hil.worker.orders import PREFETCH_MAX
from sim import flows
from sim.errors import InputError
from sim.flows import DELIVER, FLOWS, KEY_FLOWS, PUBLISH, TELL
from sim.model import Model
from sim.scenario import Scenario
from sim.ways import learning_options

AT_THE_BROKER = (DELIVER, PUBLISH, TELL)  # ways between the broker and its workers


@dataclass(frozen=True)
class Chain:
    """Hops of a route that hardware does as one message: positions from `first` to before `end`."""

    first: int
    end: int
    legs: tuple[Leg, ...]
    device: Leg | None  # what the device does between the chain before and this one


@dataclass(frozen=True)
class Binding:
    """What hardware does of a model."""

    model: Model
    places: frozenset[Place]
    options: frozenset[str]  # of learning: which stages there are
    chains: tuple[Mapping[int, Chain], ...]  # of each route, by the position of the first hop

    @property
    def flows(self) -> frozenset[str]:
        """The flows of which hardware does a part."""
        streams = self.model.routes.stream.tolist()
        return frozenset(self.model.flows[self.model.stream_flow[stream]]
                         for stream, chains in zip(streams, self.chains, strict=True) if chains)

    def priorities(self) -> dict[Place, list[int]]:
        """Return the priority classes of the messages that each place gets."""
        found: dict[Place, set[int]] = {}
        for priority, chains in zip(self.model.routes.priority.tolist(), self.chains, strict=True):
            for chain in chains.values():
                for leg in chain.legs:
                    found.setdefault(cast('Place', leg.place), set()).add(priority)
        return {place: sorted(priorities) for place, priorities in found.items()}


def bind(scenario: Scenario, model: Model, places: frozenset[Place]) -> Binding:
    """Return what hardware does of a model if these places have workers.

    Raises
    ------
    InputError
        If the scenario asks for what workers cannot do, or nothing of it is at these places.
    """
    if places:
        _check(scenario)
    chains = tuple(_chains(model, row, places) for row in range(model.routes.stream.size))
    if places and not any(chains):
        raise InputError(f'{scenario.name}: nothing in it is done at {", ".join(sorted(places))}; bind another place')
    return Binding(model, places, learning_options(scenario.crypto), chains)


def _check(scenario: Scenario) -> None:
    crypto = scenario.crypto
    if crypto.suite is None:
        raise InputError(f'{scenario.name}: crypto: its parts are no shipped suite, and workers know those alone; name '
                         'one as crypto.suite')
    if crypto.prefetch > PREFETCH_MAX:
        raise InputError(f'{scenario.name}: crypto.prefetch: {crypto.prefetch:,}; expected at most {PREFETCH_MAX:,} on '
                         'hardware: a worker holds these messages in memory')
    if scenario.keys is not None:
        raise InputError(f'{scenario.name}: keys: the life of keys is not done on hardware; set keys=null')
    if crypto.learning_keys == 'group':
        raise InputError(f'{scenario.name}: crypto.learning_keys: workers do not know group keys; write per-round or '
                         'established')


def _chains(model: Model, row: int, places: frozenset[Place]) -> dict[int, Chain]:
    """Return the chains of a route."""
    flow = model.flows[model.stream_flow[model.routes.stream[row]]]
    table = FLOWS[flow]
    passes_broker = any(stage.place == 'broker' for stage in table)
    if flow in KEY_FLOWS or not (passes_broker or all(stage.place != 'network' for stage in table)):
        return {}
    first = int(model.routes.hop_first[row])
    steps: list[int] = model.hops.step[first:first + int(model.routes.n_hops[row])].tolist()
    found, behind = {}, 0  # behind: the first step that no chain has yet
    for is_near, members in groupby(range(len(steps)), lambda position: _is_near(table[steps[position]], places)):
        positions = list(members)
        of_chain = np.unique([steps[position] for position in positions]).tolist()
        legs = _legs(table, of_chain, places)
        if not is_near or not legs:
            continue
        device = [step for step in sorted(set(steps)) if behind <= step < legs[0].first
                  and table[step].place == 'device']
        found[positions[0]] = Chain(positions[0], positions[-1] + 1, legs,
                                    Leg('device', device[0], device[-1] + 1) if device else None)
        behind = of_chain[-1] + 1
    return found


def _is_near(stage: flows.Stage, places: frozenset[Place]) -> bool:
    return stage.place in places or stage.place == 'broker' or stage.direction in AT_THE_BROKER


def _legs(table: tuple[flows.Stage, ...], steps: list[int], places: frozenset[Place]) -> tuple[Leg, ...]:
    """Return the legs of consecutive steps: what is at one bound place is one."""
    bound = [step for step in steps if table[step].place in places]
    grouped = [list(members) for _, members in groupby(bound, lambda step: table[step].place)]
    return tuple(Leg(table[members[0]].place, members[0], members[-1] + 1) for members in grouped)
