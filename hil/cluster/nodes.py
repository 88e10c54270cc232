"""The computers of a cluster: whether those of an inventory are there and can run its workers, and what they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hil.cluster.client import Api, ClusterError
from hil.cluster.kinds import ROLE, WORKER
from hil.cluster.kustomization import Object, find
from hil.cluster.pods import condition, name_of
from sim.errors import suggestion

if TYPE_CHECKING:
    from hil.inventory import Inventory

ARCHITECTURE = 'kubernetes.io/arch'
ARCHITECTURES = ('arm64', 'amd64')  # of all wheels that a worker needs


def check_nodes(api: Api, inventory: Inventory, objects: list[Object]) -> None:
    """Refuse a cluster without the inventory's nodes, or whose nodes could not run its workers.

    Raises
    ------
    ClusterError
        Naming the node, what is wrong with it, and what to do.
    """
    wanted = find(objects, 'DaemonSet', WORKER)['spec']['template']['spec']['nodeSelector'].get(ARCHITECTURE)
    nodes = {name_of(each): each for each in api.list('Node')}
    for name in inventory.nodes:
        if name not in nodes:
            known = suggestion(name, nodes) if nodes else 'it has none at all: let it join'
            raise ClusterError(f'{api.where}: has no node {name}; {known}')
        trouble = next(_troubles(nodes[name], (wanted,) if wanted else ARCHITECTURES), None)
        if trouble is not None:
            raise ClusterError(f'{name}: {trouble}')


def node_rows(api: Api, inventory: Inventory) -> list[dict[str, str]]:
    """Return what the nodes of an inventory are, a row each."""
    nodes = {name_of(each): each for each in api.list('Node')}
    return [{'what': 'node', 'name': name, 'is': _is(nodes[name]) if name in nodes else 'not there'}
            for name in inventory.nodes]


def lost_nodes(api: Api) -> set[str]:
    """Return the nodes that are not ready: what was on them is not heard of."""
    return {name_of(each) for each in api.list('Node') if condition(each, 'Ready').get('status') != 'True'}


def node_facts(api: Api) -> dict[str, dict[str, str]]:
    """Return what the cluster knows of its nodes, by name, for a run's manifest."""
    return {name_of(each): {'architecture': info['architecture'], 'kernel': info['kernelVersion'],
                            'system': info['osImage'], 'kubelet': info['kubeletVersion'],
                            'runtime': info['containerRuntimeVersion']}
            for each in api.list('Node') for info in [each['status']['nodeInfo']]}


def _troubles(node: Object, architectures: tuple[str, ...]) -> Iterator[str]:
    labels = node['metadata'].get('labels', {})
    architecture = node['status']['nodeInfo']['architecture']
    if architecture not in architectures:
        yield (f'has the architecture {architecture}; expected {" or ".join(architectures)}: install a 64-bit system, '
               'or take the overlay one-node')
    if labels.get(ROLE) != 'worker':
        yield (f'has no label {ROLE}=worker, by which workers find it; run: kubectl label node {name_of(node)} '
               f'{ROLE}=worker')
    ready = condition(node, 'Ready')
    if ready.get('status') != 'True':
        yield (f'is not ready ({ready.get("message") or "no word of it"}); look after it, or take it out of the '
               'inventory')
    if node['spec'].get('unschedulable'):
        yield f'takes no pods; run: kubectl uncordon {name_of(node)}'


def _is(node: Object) -> str:
    info = node['status']['nodeInfo']
    troubles = list(_troubles(node, ARCHITECTURES))
    return f'{info["kubeletVersion"]}, {info["architecture"]}, ' + (troubles[0] if troubles else 'ready')
