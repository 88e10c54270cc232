"""What is looked at before a run: bodies that no queue takes, more work than a place's workers can do, the broker.

The load is estimated with the scenario's own profiles: mean cost, each source at its busiest hour. Rounds of learning
are left out: they wait for each other, and so cannot overload a place for long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hil.broker import topology
from hil.broker.connection import Endpoint, connect
from hil.broker.credentials import Credentials
from hil.broker.errors import RefusedError
from hil.broker.names import REPLY, ROLES, Place, Role, exchange_of, new_run_id
from hil.broker.private import PrivateBroker
from hil.inventory import Inventory
from hil.paced.binding import Binding
from hil.wire.codec import HEADER_BYTES_MAX
from sim.errors import InputError
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


def check_broker(binding: Binding, inventory: Inventory) -> list[dict[str, str]]:
    """Return what is found of an inventory's broker and places, a row each; a private broker is started for it.

    Raises
    ------
    BrokerError
        If it is not found, its certificate does not hold, or a role is refused, or may do more than it should.
    InputError
        If credentials are missing.
    """
    broker = inventory.broker
    if broker.private:
        with PrivateBroker() as private:
            version = _check_roles(private.endpoint, private.users)
    else:
        version = _check_roles(broker.endpoint(), {role: broker.credentials_of(role) for role in ROLES})
    found = [{'what': 'broker', 'found': f'RabbitMQ {version}, TLS 1.3', 'is': 'good'},
             {'what': 'rights', 'found': f'{", ".join(ROLES)}: each its own', 'is': 'good'}]
    for place, load in loads(binding, inventory).items():
        n = inventory.n_workers(place)
        found.append({'what': place, 'found': f'{n} workers, busy {100 * load:.2g} % of the time, as estimated',
                      'is': 'good'})
    return found


def _check_roles(endpoint: Endpoint, users: Mapping[Role, Credentials]) -> str:
    """Return the broker's version, if each role can connect and none but the twin can read replies."""
    run, version = new_run_id(), ''
    with connect(endpoint, users['twin'], 'twin check') as twin:
        topology.declare(twin, run, {})
        try:
            version = twin.server_version
            for role in ROLES:
                if role != 'twin':
                    _check_role(endpoint, users[role], role, exchange_of(run, REPLY))
        finally:
            topology.clean(twin, run)
    return version


def _check_role(endpoint: Endpoint, user: Credentials, role: Role, replies: str) -> None:
    with connect(endpoint, user, f'{role} check') as connection:
        try:
            connection.subscribe(replies, 1)
        except RefusedError:
            return
        raise RefusedError(f"{connection.where}: the role {role} may read the twin's replies; give it only the rights "
                           'of its own place')
