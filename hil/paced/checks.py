"""What is looked at before a run: bodies that no queue takes, more work or memory than workers have, unlike workers.

The load is estimated with the scenario's own profiles: mean cost, each source at its busiest hour. Rounds of learning
are left out: they wait for each other, and so cannot overload a place for long.

Memory is estimated from above: every message as long as the longest, and as many as a worker may hold. The updates that
the server's place keeps are on a disk, which is memory for workers that the twin starts, and in pods.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from hil.broker.names import Place
from hil.inventory import Inventory
from hil.paced.binding import Binding, Chain
from hil.wire.codec import HEADER_BYTES_MAX
from hil.worker.hello import Hello
from hil.worker.updates import ROUNDS_KEPT
from sim.errors import InputError, RunError
from sim.flows import FLOWS, LEARNING_FLOWS
from sim.laws import cost
from sim.sources import launches_a_stream

LOAD_MAX = 0.8  # of a place's workers: above that, a line measures the length of the run
WARM_BYTES = 64 << 20  # what a worker takes when it first uses its cryptography: 63 MiB measured on x86-64
COPIES_HELD = 3  # of a body that a worker has: as it came, as it was done, and as it leaves
COPIES_AT_WORK = 12  # of the one in hand, beside; 8 at the crypto place and 11 at the server measured with 1 and 8 MB


def check_bodies(binding: Binding, body_bytes_max: int) -> None:
    """Refuse a run with messages longer than a queue takes.

    Raises
    ------
    InputError
        Naming the flow and its size.
    """
    model = binding.model
    for row, chains in enumerate(binding.chains):
        for chain in chains.values():
            n_bytes = _sent_bytes(binding, row, chain)
            if n_bytes + HEADER_BYTES_MAX > body_bytes_max:
                flow = model.flows[model.stream_flow[model.routes.stream[row]]]
                raise InputError(f'{model.name}: a message of {flow} has {n_bytes:,} bytes; expected at most '
                                 f'{body_bytes_max - HEADER_BYTES_MAX:,} on hardware: make it smaller, or leave its '
                                 'place out of the inventory')


def _sent_bytes(binding: Binding, row: int, chain: Chain) -> int:
    """Return the longest body that the simulation sends over the hops of a chain."""
    first = int(binding.model.routes.hop_first[row])
    return int(binding.model.hops.n_bytes[first + chain.first:first + chain.end].max(initial=0))


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


def worker_bytes(binding: Binding, place: Place, prefetch: int) -> int:
    """Return the memory that a worker of a place may take beyond what it has when it says that it is there."""
    longest = dict.fromkeys(binding.priorities()[place], 0)
    for row, chains in enumerate(binding.chains):
        priority = int(binding.model.routes.priority[row])
        for chain in chains.values():
            if place in {leg.place for leg in chain.legs}:
                longest[priority] = max(longest[priority], _body_bytes(binding, row, chain) + HEADER_BYTES_MAX)
    return WARM_BYTES + COPIES_HELD * prefetch * sum(longest.values()) + COPIES_AT_WORK * max(longest.values())


def updates_bytes(binding: Binding) -> int:
    """Return what the server's place keeps of its clients' updates at most."""
    learning = binding.model.learning
    if learning is None or 'server' not in binding.priorities():
        return 0
    return ROUNDS_KEPT * math.ceil(learning.fraction * learning.clients.size) * _model_bytes(binding)


def _body_bytes(binding: Binding, row: int, chain: Chain) -> int:
    """Return the longest body of a chain, those included that the simulation does not send."""
    model = binding.model
    flow = model.flows[model.stream_flow[model.routes.stream[row]]]
    return _model_bytes(binding) if flow in LEARNING_FLOWS else _sent_bytes(binding, row, chain)


def _model_bytes(binding: Binding) -> int:
    """Return the longest model or update; on hardware they are of one length."""
    model = binding.model
    sent = [_sent_bytes(binding, row, chain) for row, chains in enumerate(binding.chains) for chain in chains.values()
            if model.flows[model.stream_flow[model.routes.stream[row]]] in LEARNING_FLOWS]
    return max([*sent, 0 if model.learning is None else model.learning.update_bytes])


def check_memory(binding: Binding, inventory: Inventory, prefetch: int, hellos: Sequence[Hello]) -> None:
    """Refuse a run whose messages and updates would not fit into the memory of its workers.

    Raises
    ------
    RunError
        Naming the worker, what it may need and what it has.
    """
    needs = {place: worker_bytes(binding, place, prefetch) for place in binding.priorities()}
    updates, started = updates_bytes(binding), inventory.started(needs)
    for hello in hellos:
        kept = updates if inventory.cluster is not None and hello.place == 'server' else 0
        _check_room(f'worker {hello.node}', needs.get(cast('Place', hello.place), 0) + kept, hello.memory_mib)
    here = [hello.memory_mib for hello in hellos if hello.node in started]
    together = sum(needs[place] for place in started.values()) + (updates if 'server' in started.values() else 0)
    if here:
        _check_room('the workers of this machine', together, min(here))


def _check_room(who: str, n_bytes: int, memory_mib: int) -> None:
    if memory_mib and n_bytes > memory_mib << 20:
        raise RunError(f'{who}: may need {-(-n_bytes // 2**20):,} MiB more memory for messages and updates, and '
                       f'{memory_mib:,} MiB are free; free some, or lower crypto.prefetch, the size of the model, or '
                       'the number of clients')


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
                           'others with the name of this run, or take them out of the inventory')
    for what in ('version', 'provider', 'suite'):
        named = {getattr(hello, what): hello.node for hello in hellos}
        if len(named) > 1:
            (one, of_one), (other, of_other) = list(named.items())[:2]
            raise RunError(f'workers differ in their {what}: {of_one} has {one}, {of_other} has {other}; their times '
                           'would not be comparable: make them alike')
