"""Where the crypto workers and the key authority run, and the cores that each computer of the cluster has left.

A pod reserves whole cores of its node (its requests are its limits); what pods, the key authority, the broker and K3s
reserve may not exceed a node's cores. Left out: memory, and the scheduler's other reasons.
"""

from sim.hospital import SERVER
from sim.scenario import Scenario


def pods(scenario: Scenario) -> dict[str, str]:
    """Return the crypto workers and the node that each is placed on, spread in the order of the nodes."""
    nodes = list(scenario.edge.nodes)
    n = 1 if scenario.crypto.placement == 'sequential' else scenario.crypto.replicas
    return {f'crypto-{i + 1}': nodes[i % len(nodes)] for i in range(n)}


def reserved_cores(scenario: Scenario, node: str) -> float:
    """Return the cores of a node that pods, the key authority, the broker and K3s keep for themselves."""
    cores = scenario.edge.k3s_cores
    cores += scenario.crypto.pod_cores * sum(where == node for where in pods(scenario).values())
    if scenario.keys is not None and scenario.keys.authority == node:
        cores += scenario.keys.cores
    return cores + (scenario.broker.cores if scenario.broker.node == node else 0)


def server_cores(scenario: Scenario) -> int:
    """Return the whole cores that the server has left for its own stages."""
    return int(scenario.edge.server.cores - reserved_cores(scenario, SERVER))
