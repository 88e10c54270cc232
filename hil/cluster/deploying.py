"""Brings an inventory's objects to its cluster, waits for them, says how they are, and removes them.

Applying is idempotent: what is as it should be is not touched. What is removed was made here: it has our label.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hil.cluster.client import Api, ClusterError
from hil.cluster.kinds import MADE, MANAGED, NAME, PLACE, WORKER
from hil.cluster.manifests import cluster_of, manifests, secrets, stamped
from hil.cluster.nodes import check_nodes, lost_nodes, node_rows
from hil.cluster.pods import is_leaving, is_ready, name_of, node_of, problem, restarts, revision_of
from hil.cluster.rights import check_rights

if TYPE_CHECKING:
    from hil.cluster.kustomization import Object
    from hil.inventory import Inventory

READY_S_MAX = 600.0  # a Raspberry Pi compiles Ascon when its first pod starts
GONE_S_MAX = 180.0  # a pod may finish its job in hand
POLL_S = 1.0
WORKERS = f'{NAME}={WORKER}'
Progress = Callable[[str], None]


def apply(api: Api, inventory: Inventory, progress: Progress = lambda _: None, *,
          ready_s_max: float = READY_S_MAX) -> list[tuple[str, str]]:
    """Let a cluster have an inventory's objects, and wait until its workers are ready.

    Returns
    -------
    Each object as ``kind/name``, and whether it was made, changed, removed or left as it was.

    Raises
    ------
    ClusterError
        If the cluster is not there, does not let us, or a worker does not get ready: with the reason.
    """
    objects, hidden = manifests(inventory), secrets(inventory)
    progress('the cluster')
    check_rights(api)
    check_nodes(api, inventory, objects)
    _check_namespace(api)
    revisions = stamped(objects, hidden)
    wanted = sorted([*objects, *hidden], key=lambda each: MADE.index(each['kind']))
    kinds = [kind for kind in MADE if kind not in ('Namespace', 'Job')]
    there = {_label(each): each for kind in kinds for each in api.list(kind, MANAGED)}
    namespace = api.find('Namespace', api.namespace)
    there |= {} if namespace is None else {f'Namespace/{api.namespace}': namespace | {'kind': 'Namespace'}}
    done = []
    for each in wanted:
        label = _label(each)
        progress(label)
        before, after = there.get(label), api.apply(each)
        is_same = before is not None and _version(before) == _version(after)
        done.append((label, 'as it was' if is_same else 'made' if before is None else 'changed'))
    kept = {_label(each) for each in wanted}
    for label, each in there.items():
        if label not in kept and each['kind'] in ('Deployment', 'Service', 'NetworkPolicy'):
            api.delete(each['kind'], name_of(each))
            done.append((label, 'removed'))
    _wait_until_ready(api, inventory, revisions, progress, ready_s_max)
    return done


def status(api: Api, inventory: Inventory) -> list[dict[str, str]]:
    """Return what is on the cluster of an inventory, a row each: nodes, then workers."""
    rows = [{'what': 'cluster', 'name': api.where, 'is': api.version()}, *node_rows(api, inventory)]
    events, broker = api.list('Event'), _broker(inventory)
    for pod in sorted(api.list('Pod', WORKERS), key=lambda each: (node_of(each), name_of(each))):
        trouble = problem(pod, events, broker)
        is_there = 'ready' if trouble is None else 'leaves' if is_leaving(pod) else trouble.says
        n = restarts(pod)
        place = pod['metadata'].get('labels', {}).get(PLACE, '?')
        rows.append({'what': f'worker of {place} on {node_of(pod) or "no node"}', 'name': name_of(pod),
                     'is': is_there + (f', started again {n} times' if n else '')})
    return rows


def delete(api: Api, progress: Progress = lambda _: None) -> list[str]:
    """Remove what was made here, and wait until it is gone; return it as ``kind/name``.

    The namespace goes as well if it is ours and nobody else has put anything into it. What is on a node that is lost
    cannot go before the node does, and is not waited for.
    """
    progress('the cluster')
    removed: list[str] = []
    if api.find('Namespace', api.namespace) is None:  # what was in it is gone, and so may be our rights to look
        return removed
    for kind in reversed(MADE):
        if kind == 'Namespace':
            continue
        for each in api.list(kind, MANAGED):
            progress(_label(each))
            api.delete(kind, name_of(each))
            removed.append(_label(each))
    lost = lost_nodes(api)
    _wait(lambda: [name_of(pod) for pod in api.list('Pod', WORKERS) if node_of(pod) not in lost], progress, GONE_S_MAX,
          'is still there')
    left = api.list('Pod', WORKERS)
    removed += [f'Pod/{name_of(pod)} (when {node_of(pod)} is there again, or is no node any more)' for pod in left]
    namespace = api.find('Namespace', api.namespace)
    if namespace is not None and _is_ours(namespace) and not _of_others(api):
        api.delete('Namespace', api.namespace)
        removed.append(f'Namespace/{api.namespace}')
        if not left:  # our rights in it may be gone with it; that it is there, we may still see
            _wait(lambda: [api.namespace] if api.find('Namespace', api.namespace) else [], progress, GONE_S_MAX,
                  'is still there')
    return removed


def _check_namespace(api: Api) -> None:
    """Refuse a namespace of somebody else: it would be taken for ours when we tidy up."""
    found = api.find('Namespace', api.namespace)
    if found is not None and not _is_ours(found):
        raise ClusterError(f'{api.where}: the namespace {api.namespace} is there and not ours; name another as '
                           'cluster.namespace in the inventory')
    if found is not None and found.get('status', {}).get('phase') == 'Terminating':
        raise ClusterError(f'{api.where}: the namespace {api.namespace} is being removed; wait until it is gone')


def _wait_until_ready(api: Api, inventory: Inventory, revisions: frozenset[str], progress: Progress,
                      ready_s_max: float) -> None:
    """Wait until all workers are ready, or one will not be.

    A pod of an earlier revision is waited for and not judged: what ailed it may be what this one mends. Pods without a
    node come first: nothing but room helps them.

    Raises
    ------
    ClusterError
        Naming the worker and the reason.
    """
    broker = _broker(inventory)

    def waited_for() -> list[str]:
        pods, events = sorted(api.list('Pod', WORKERS), key=lambda pod: node_of(pod) != ''), api.list('Event')
        problems = [found for pod in pods if revision_of(pod) in revisions and not is_leaving(pod)
                    and (found := problem(pod, events, broker))]
        final = next((each for each in problems if each.is_final), None)
        if final is not None:
            raise ClusterError(final.says)
        missing = [f'{_label(each)} ({ready} of {n} ready)' for kind in ('DaemonSet', 'Deployment')
                   for each in api.list(kind, MANAGED) for ready, n in [_ready(each)] if ready < n]
        return [*(each.says for each in problems), *missing]

    _wait(waited_for, progress, ready_s_max, 'is not ready')


def _wait(waited_for: Callable[[], list[str]], progress: Progress, seconds_max: float, is_not: str) -> None:
    """Wait until there is nothing more to wait for.

    Raises
    ------
    ClusterError
        If it takes too long.
    """
    until = time.monotonic() + seconds_max
    while found := waited_for():
        progress(found[0] + (f', and {len(found) - 1} more' if len(found) > 1 else ''))
        if time.monotonic() > until:
            raise ClusterError(f'{found[0]}: {is_not} after {seconds_max:g} s; iomtwin k3s status shows what there is')
        time.sleep(POLL_S)


def _ready(workload: Object) -> tuple[int, int]:
    """Return how many pods of a workload are ready and up to date, and how many should be."""
    found = workload.get('status', {})
    if found.get('observedGeneration') != workload['metadata']['generation']:
        return 0, 1  # its controller has not seen it yet
    if workload['kind'] == 'DaemonSet':
        n = found['desiredNumberScheduled']
        return min(found.get('numberReady', 0), found.get('updatedNumberScheduled', 0)), n
    return min(found.get('readyReplicas', 0), found.get('updatedReplicas', 0)), workload['spec']['replicas']


def ready_pods(api: Api) -> list[Object]:
    """Return the workers that are ready."""
    return [pod for pod in api.list('Pod', WORKERS) if is_ready(pod)]


def _of_others(api: Api) -> list[str]:
    """Return what is in the namespace that we have not made, of the kinds that we know; each has one of Kubernetes'."""
    usual = {'ServiceAccount/default', 'ConfigMap/kube-root-ca.crt'}
    return [label for kind in MADE if kind != 'Namespace' for each in api.list(kind, MANAGED.replace('=', '!='))
            if (label := _label(each)) not in usual and not _is_token(each)]


def _is_token(each: Object) -> bool:
    return each['kind'] == 'Secret' and each.get('type') == 'kubernetes.io/service-account-token'


def _is_ours(each: Object) -> bool:
    label, value = MANAGED.split('=')
    return bool(each['metadata'].get('labels', {}).get(label) == value)


def _broker(inventory: Inventory) -> str:
    cluster_of(inventory)
    host, port, _ = inventory.broker.endpoint().parts()
    return f'{host}:{port}'


def _label(each: Object) -> str:
    return f'{each["kind"]}/{name_of(each)}'


def _version(each: Object) -> str:
    return str(each['metadata']['resourceVersion'])
