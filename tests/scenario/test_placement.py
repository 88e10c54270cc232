"""Where crypto workers are: spread or packed over the nodes, and elsewhere when a node is lost."""

import math

from sim.placement import Stay, pods, stays
from tests.scenario.clinic import model_of, scenario_of


def test_replicas_are_spread_over_the_nodes_in_turn() -> None:
    """Five workers on two nodes: 1, 3 and 5 go down with the first node, 2 and 4 with the second."""
    model = model_of('crypto.replicas=5')
    for node, expected in (('edge-1', {'crypto-1', 'crypto-3', 'crypto-5'}), ('edge-2', {'crypto-2', 'crypto-4'})):
        names = {model.stations.name[row] for row in model.targets[node]}
        assert {name for name in names if name.startswith('crypto')} == expected


def test_replicas_are_packed_where_their_cores_are() -> None:
    """Of four cores K3s keeps a part, so three workers fill the first node; the fourth is on the second."""
    assert placed('crypto.replicas=4', 'crypto.policy=pack') == ['edge-1', 'edge-1', 'edge-1', 'edge-2']
    assert placed('crypto.replicas=3', 'crypto.policy=pack', 'crypto.pod_cores=2') == ['edge-1', 'edge-2', 'edge-1']
    assert placed('crypto.replicas=3', 'broker.node=edge-1', 'crypto.pod_cores=2') == ['edge-1', 'edge-2', 'edge-1']


def placed(*overrides: str) -> list[str]:
    """Return the node of each crypto worker of the clinic, whose nodes have four cores each."""
    return list(pods(scenario_of(*overrides), {'edge-1': 4.0, 'edge-2': 4.0}).values())


def stayed(*overrides: str) -> list[Stay]:
    """Return where the workers of the clinic are when, if those of lost nodes start elsewhere after 7 s."""
    plan = 'edge.rescheduling={grace: 2 s, eviction: 4 s, start: 1 s}'
    return stays(scenario_of(plan, *overrides), {'edge-1': 4.0, 'edge-2': 4.0})


def test_workers_of_a_lost_node_start_elsewhere_and_stay_there() -> None:
    """Grace, eviction and start follow each other; a node that is back in time loses nobody."""
    assert stayed('outages=[{target: edge-1, begin: 3 s, end: 19 s}]') == [
        Stay('crypto-1', 'edge-1', 0.0, 9.0), Stay('crypto-1', 'edge-2', 10.0, math.inf),
        Stay('crypto-2', 'edge-2', 0.0, math.inf)]
    assert stayed('outages=[{target: edge-1, begin: 3 s, end: 9 s}]') == [
        Stay('crypto-1', 'edge-1', 0.0, math.inf), Stay('crypto-2', 'edge-2', 0.0, math.inf)]


def test_a_worker_that_no_node_has_room_for_waits_for_its_own() -> None:
    """With pods of three cores each node holds one: the worker starts again when its node is back."""
    assert stayed('crypto.pod_cores=3', 'outages=[{target: edge-1, begin: 3 s, end: 19 s}]') == [
        Stay('crypto-1', 'edge-1', 0.0, 9.0), Stay('crypto-1', 'edge-1', 20.0, math.inf),
        Stay('crypto-2', 'edge-2', 0.0, math.inf)]


def test_a_worker_is_a_station_on_each_of_its_nodes_and_up_on_one() -> None:
    """The consumer on the other node is down until the worker has started there; its own is down from the loss on."""
    model = model_of('edge.rescheduling={grace: 2 s, eviction: 4 s, start: 1 s}',
                     'outages=[{target: edge-1, begin: 3 s, end: 15 s}]')
    consumers = [model.stations.name[row] for row in model.queues.consumers[0]]
    assert consumers == ['crypto-1', 'crypto-2', 'crypto-1@edge-2']
    changes = {(model.stations.name[model.targets[target][0]], time_s, bool(up)) for time_s, target, up in zip(
        model.changes.time_s.tolist(), model.changes.target, model.changes.up.tolist(), strict=True)}
    assert {each for each in changes if each[0].startswith('crypto')} == {
        ('crypto-1', 3.0, False), ('crypto-1@edge-2', 0.0, False), ('crypto-1@edge-2', 10.0, True)}
