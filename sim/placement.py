"""Where the crypto workers and the key authority run, and the cores that each computer of the cluster has left.

A pod reserves whole cores of its node (its requests are its limits); what pods, the key authority, the broker and K3s
reserve may not exceed a node's cores, nor what pods and K3s reserve its memory, where the scenario says how much that
is. Left out: the memory of the key authority and the broker, and the scheduler's other reasons.

A worker whose node is lost for long is evicted, and starts again elsewhere: it stays on one node after the other::

    node lost ── grace ──> taken for lost ── eviction ──> another node with room ── start ──> takes messages again

Where no node has room, it waits for its own. It does not go back when its former node returns: Kubernetes moves nobody
without need.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sim.hospital import SERVER
from sim.profiles import Profile
from sim.scenario import Scenario


def cores_of(scenario: Scenario, profiles: Mapping[str, Profile]) -> dict[str, float]:
    """Return the cores of each edge node; `profiles` are those that the scenario uses, by their names in it."""
    return {name: profiles[node.profile].cores.value for name, node in scenario.edge.nodes.items()}


def pods(scenario: Scenario, cores: Mapping[str, float]) -> dict[str, str]:
    """Return the crypto workers and the node that each is placed on, by what it requests.

    Sequential is one, on the first node. Replicas are placed one after the other, each on a node with room for it:
    spread takes the one with the fewest, pack the first, and of equal nodes the first.
    """
    crypto, nodes = scenario.crypto, list(scenario.edge.nodes)
    if crypto.placement == 'sequential':
        return {'crypto-1': nodes[0]}
    placed: dict[str, str] = {}
    for i in range(crypto.replicas):
        placed[f'crypto-{i + 1}'] = _chosen(scenario, cores, nodes, placed.values()) or _next(scenario, nodes, placed)
    return placed


@dataclass(frozen=True)
class Stay:
    """A worker's time on one node, in seconds since the start of the run."""

    pod: str
    node: str
    since_s: float
    until_s: float


def stays(scenario: Scenario, cores: Mapping[str, float]) -> list[Stay]:
    """Return where each crypto worker is when: on the node that it is placed on, and on others when that is lost."""
    found = {pod: [Stay(pod, node, 0.0, math.inf)] for pod, node in pods(scenario, cores).items()}
    plan = scenario.edge.rescheduling
    if plan is not None:
        for moment_s, end_s, lost in _losses(scenario, plan.grace + plan.eviction):
            up = [node for node in scenario.edge.nodes if not _is_down(scenario, node, moment_s)]
            for pod, mine in found.items():
                if mine[-1].node != lost or mine[-1].since_s > moment_s:
                    continue
                others = [each[-1].node for name, each in found.items() if name != pod]
                node = _chosen(scenario, cores, up, others)
                since_s = (moment_s if node else end_s) + plan.start
                mine[-1:] = [Stay(pod, lost, mine[-1].since_s, moment_s), Stay(pod, node or lost, since_s, math.inf)]
    return [stay for mine in found.values() for stay in mine]


def _losses(scenario: Scenario, delay_s: float) -> list[tuple[float, float, str]]:
    """Return when nodes have been down for so long that their pods are evicted, when they return, and their names."""
    return sorted((outage.begin + delay_s, outage.end, outage.target) for outage in scenario.outages
                  if outage.target in scenario.edge.nodes and outage.end > outage.begin + delay_s)


def _is_down(scenario: Scenario, node: str, moment_s: float) -> bool:
    return any(outage.target == node and outage.begin <= moment_s < outage.end for outage in scenario.outages)


def _chosen(scenario: Scenario, cores: Mapping[str, float], nodes: Iterable[str],
            others: Iterable[str]) -> str | None:
    """Return the node for one more worker beside others, None if none of some nodes has room."""
    taken, one = Counter(others), scenario.crypto.pod_cores
    roomy = [node for node in nodes if kept_cores(scenario, node) + (taken[node] + 1) * one <= cores[node]
             and reserved_memory(scenario, node, taken[node] + 1) <= (scenario.edge.nodes[node].memory or math.inf)]
    if scenario.crypto.policy == 'pack':
        return next(iter(roomy), None)
    return min(roomy, key=lambda node: taken[node], default=None)


def _next(scenario: Scenario, nodes: list[str], placed: Mapping[str, str]) -> str:
    """Return the node for a worker that none has room for: whoever checks the scenario finds it overcommitted."""
    taken = Counter(placed.values())
    return nodes[0] if scenario.crypto.policy == 'pack' else min(nodes, key=lambda node: taken[node])


def pods_per_node(scenario: Scenario, profiles: Mapping[str, Profile]) -> tuple[int, ...]:
    """Return how many crypto workers each edge node has, in their order."""
    taken = Counter(pods(scenario, cores_of(scenario, profiles)).values())
    return tuple(taken[node] for node in scenario.edge.nodes)


def kept_cores(scenario: Scenario, computer: str) -> float:
    """Return the cores of a computer that the key authority, the broker and K3s keep for themselves."""
    edge = scenario.edge
    cores = edge.k3s_server_cores if computer == edge.k3s_server else edge.k3s_cores
    if scenario.keys is not None and scenario.keys.authority == computer:
        cores += scenario.keys.cores
    return cores + (scenario.broker.cores if scenario.broker.node == computer else 0)


def reserved_memory(scenario: Scenario, node: str, n_pods: int) -> float:
    """Return the bytes of a node that K3s and so many crypto workers reserve."""
    edge = scenario.edge
    kept = edge.k3s_server_memory if node == edge.k3s_server else edge.k3s_memory
    return kept + n_pods * scenario.crypto.pod_memory


def server_cores(scenario: Scenario) -> int:
    """Return the whole cores that the server has left for its own stages."""
    return int(scenario.edge.server.cores - kept_cores(scenario, SERVER))
