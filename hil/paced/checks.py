"""What is looked at before a run: bodies that no queue takes, more work than a place's workers can do, unlike workers.

The load is estimated with the scenario's own profiles: mean cost, each source at its busiest hour. Rounds of learning
are left out: they wait for each other, and so cannot overload a place for long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hil.broker.names import Place
from hil.inventory import Inventory
from hil.paced.binding import Binding
from hil.wire.codec import HEADER_BYTES_MAX
from hil.worker.hello import Hello
from sim.errors import InputError, RunError
from sim.flows import FLOWS
from sim.footprint import launches_a_stream
from sim.laws import cost

LOAD_MAX = 0.8  # of a place's workers: above that, a line measures the length of the run


def check_bodies(binding: Binding, body_bytes_max: int) -> None:
    """Refuse a run with messages longer than a queue takes.

    Raises
    ------
    InputError
        Naming the flow and its size.
    """
    model, hops = binding.model, binding.model.hops
    for row, chains in enumerate(binding.chains):
        for chain in chains.values():
            first = int(model.routes.hop_first[row])
            n_bytes = int(hops.n_bytes[first + chain.first:first + chain.end].max(initial=0))
            if n_bytes + HEADER_BYTES_MAX > body_bytes_max:
                flow = model.flows[model.stream_flow[model.routes.stream[row]]]
                raise InputError(f'{model.name}: a message of {flow} has {n_bytes:,} bytes; expected at most '
                                 f'{body_bytes_max - HEADER_BYTES_MAX:,} on hardware: make it smaller, or leave its '
                                 'place out of the inventory')


def loads(binding: Binding, inventory: Inventory) -> dict[Place, float]:
    """Return the estimated load of each bound place: workers that are busy, over workers."""
    model, hops = binding.model, binding.model.hops
    rate = launches_a_stream(model) / model.duration_s
    busy = Counter[str]()
    for stream in set(model.sources.stream.tolist()):
        rows = [row for row, chains in enumerate(binding.chains) if model.routes.stream[row] == stream and chains]
        for row in rows:
            first, table = int(model.routes.hop_first[row]), FLOWS[model.flows[model.stream_flow[stream]]]
            for chain in binding.chains[row].values():
                for hop in range(first + chain.first, first + chain.end):
                    place = table[hops.step[hop]].place
                    if place in binding.places:
                        curve = hops.curve[hop]
                        seconds = cost(model.curves.amounts, model.curves.seconds, model.curves.first[curve],
                                       model.curves.n[curve], hops.amount[hop])
                        busy[place] += rate[stream] * seconds / len(rows)
    return {place: busy[place] / inventory.n_workers(place) for place in sorted(binding.priorities())}


def check_load(binding: Binding, inventory: Inventory) -> None:
    """Refuse a run that its workers would not keep up with.

    Raises
    ------
    InputError
        Naming the place and its load.
    """
    for place, load in loads(binding, inventory).items():
        if load > LOAD_MAX:
            raise InputError(f'{binding.model.name}: {place} would be busy {100 * load:.0f} % of the time; expected at '
                             f'most {100 * LOAD_MAX:g} %: give it more workers in the inventory, or less to do')


def check_workers(hellos: Sequence[Hello], expected: Mapping[Place, int]) -> None:
    """Refuse a run of which a worker is missing, or whose workers differ in version, provider or suite.

    Raises
    ------
    RunError
        Naming the place and how many of its workers are there, or the workers that differ.
    """
    for place, n in expected.items():
        found = [hello.node for hello in hellos if hello.place == place]
        if len(found) < n:
            raise RunError(f'{place}: {len(found)} of {n} workers are there ({", ".join(found) or "none"}); start the '
                           'others with the id of this run, or take them out of the inventory')
    for what in ('version', 'provider', 'suite'):
        named = {getattr(hello, what): hello.node for hello in hellos}
        if len(named) > 1:
            (one, of_one), (other, of_other) = list(named.items())[:2]
            raise RunError(f'workers differ in their {what}: {of_one} has {one}, {of_other} has {other}; their times '
                           'would not be comparable: make them alike')
