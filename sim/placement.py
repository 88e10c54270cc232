"""Where the crypto workers and the key authority run, and the cores that each computer of the cluster has left.

A pod reserves whole cores of its node (its requests are its limits); what pods, the key authority, the broker and K3s
reserve may not exceed a node's cores. Left out: memory, and the scheduler's other reasons.
"""

from collections import Counter
from collections.abc import Mapping

from sim.hospital import SERVER
from sim.profiles import Profile
from sim.scenario import Scenario


def cores_of(scenario: Scenario, profiles: Mapping[str, Profile]) -> dict[str, float]:
    """Return the cores of each edge node; `profiles` are those that the scenario uses, by their names in it."""
    return {name: profiles[node.profile].cores.value for name, node in scenario.edge.nodes.items()}


def pods(scenario: Scenario, cores: Mapping[str, float]) -> dict[str, str]:
    """Return the crypto workers and the node that each is placed on, by what it requests.

    Sequential is one, on the first node. Replicas are placed one after the other, each on a node with room for it:
    spread takes the one with the fewest, pack the first, and of equal nodes the first. If none has room, all count.
    """
    crypto, nodes = scenario.crypto, list(scenario.edge.nodes)
    if crypto.placement == 'sequential':
        return {'crypto-1': nodes[0]}
    taken, placed = Counter[str](), {}
    for i in range(crypto.replicas):
        roomy = [node for node in nodes
                 if kept_cores(scenario, node) + (taken[node] + 1) * crypto.pod_cores <= cores[node]] or nodes
        chosen = roomy[0] if crypto.policy == 'pack' else min(roomy, key=lambda node: taken[node])
        taken[chosen] += 1
        placed[f'crypto-{i + 1}'] = chosen
    return placed


def pods_per_node(scenario: Scenario, profiles: Mapping[str, Profile]) -> tuple[int, ...]:
    """Return how many crypto workers each edge node has, in their order."""
    taken = Counter(pods(scenario, cores_of(scenario, profiles)).values())
    return tuple(taken[node] for node in scenario.edge.nodes)


def kept_cores(scenario: Scenario, computer: str) -> float:
    """Return the cores of a computer that the key authority, the broker and K3s keep for themselves."""
    cores = scenario.edge.k3s_cores
    if scenario.keys is not None and scenario.keys.authority == computer:
        cores += scenario.keys.cores
    return cores + (scenario.broker.cores if scenario.broker.node == computer else 0)


def server_cores(scenario: Scenario) -> int:
    """Return the whole cores that the server has left for its own stages."""
    return int(scenario.edge.server.cores - kept_cores(scenario, SERVER))
