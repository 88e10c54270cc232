"""Pods as the workers of one run: who of them works, their order and keys, and what became of them.

The inventory says how many workers of a place a node has, and pods that are ready are taken in the order of their
names: so a place is pinned to its nodes, and a run that lacks a pod does not begin. An order is in Secrets, of which
the kubelet brings the contents into memory of the pods: soon, if an annotation of the pod changes meanwhile, and else
within a minute or two. One run has the cluster at a time: who finds an order there is not the next to write one.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hil.calibration.machine import THROTTLED_NOW
from hil.cluster.client import Api, ClusterError, TakenError
from hil.cluster.deploying import WORKERS, ready_pods
from hil.cluster.kinds import MANAGED, PLACE
from hil.cluster.manifests import LABELS
from hil.cluster.nodes import node_facts
from hil.cluster.pods import is_ready, name_of, node_of, restarts
from hil.worker.orders import PARTS_MAX, Order, packed
from sim.errors import RunError

if TYPE_CHECKING:
    from hil.broker.names import Place
    from hil.cluster.kustomization import Object
    from hil.inventory import Inventory

ORDER = 'iomtwin-order'
RUN = 'iomtwin/run'  # annotation of an order, and of the pods that have it
END_S_MAX = 45.0  # for pods to tell how they are when a run is over
POLL_S = 1.0
LOOK_S = 5.0  # how often somebody looks after pods that have not begun
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Aftermath:
    """What became of a run's pods."""

    facts: dict[str, Any]  # of nodes and pods, for the manifest
    logs: dict[str, str]  # of pods that failed, by name
    invalid_because: list[str]


class PodWorkers:
    """The pods that work for a run, as a context: with its order inside, without it behind."""

    def __init__(self, api: Api, inventory: Inventory, places: frozenset[Place], progress: Progress) -> None:
        self._api, self._progress = api, progress
        found = {name_of(pod): pod for pod in ready_pods(api)}
        self.posts = posts(inventory, places, list(found.values()))
        self._before = {name: found[name] for name in self.posts}
        self._run = ''
        self._look_s = 0.0  # when to look after the pods again

    def __enter__(self) -> Self:
        """Return itself; `give` begins."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Take the order back; the cluster may be gone."""
        with suppress(ClusterError):
            self._take_back()

    def give(self, order: Order) -> None:
        """Give the pods an order.

        Raises
        ------
        TakenError
            If they have one of another run.
        InputError
            If its keys are too many.
        """
        parts = packed(order)
        self._progress('the order of the run on the cluster')
        for i, part in enumerate(parts):
            try:
                self._api.create(_secret(self._api.namespace, i, order.run, part))
            except TakenError:
                raise TakenError(f'{self._api.where}: pods have an order of another run{_whose(self._api)}; wait until '
                                 'that is over, or remove it if it is dead: iomtwin hil clean') from None
            self._run = order.run
        self._tell(order.run)

    def check_begin(self) -> None:
        """Return if no pod has failed since it got its order; asks the cluster now and then.

        Raises
        ------
        RunError
            Naming the pod, and its last word.
        """
        if time.monotonic() < self._look_s:
            return
        self._look_s = time.monotonic() + LOOK_S
        there = {name_of(pod): pod for pod in self._api.list('Pod', WORKERS)}
        for name, worker in self.posts.items():
            if name not in there or restarts(there[name]) > restarts(self._before[name]):
                said = self._log(name).strip().splitlines() if name in there else []
                lines = [line for line in said if not line.startswith('{')]
                raise RunError(f'{worker}: the pod {name} {"failed" if name in there else "went"} before the run began '
                               f'({lines[-1] if lines else "no word"}); iomtwin k3s status shows what there is')

    def aftermath(self) -> Aftermath:
        """Take the order back, let pods tell how their nodes are, and return what became of all."""
        self._progress('the last word of the pods')
        run = self._run
        self._take_back()
        there = {name_of(pod): pod for pod in self._api.list('Pod', WORKERS)}
        told = self._told(there, run)
        failed = {name for name in self.posts if name not in there or not is_ready(there[name])
                  or restarts(there[name]) > restarts(self._before[name])}
        pods = [{'pod': name, 'worker': worker, 'node': node_of(self._before[name]), 'has_failed': name in failed,
                 'restarts': restarts(there[name]) - restarts(self._before[name]) if name in there else None,
                 'told': told.get(name, {})} for name, worker in self.posts.items()]
        return Aftermath({'cluster': self._api.version(), 'nodes': node_facts(self._api), 'pods': pods},
                         {name: self._log(name) for name in sorted(failed)}, throttled(told))

    def _told(self, there: Mapping[str, Object], run: str) -> dict[str, dict[str, Any]]:
        """Return what pods have told of their computers, by moment; waits for the end of the run, but not for ever."""
        found: dict[str, dict[str, Any]] = {}
        waiting = {name for name in self.posts if name in there and is_ready(there[name])}
        until = time.monotonic() + END_S_MAX
        while waiting and time.monotonic() < until:
            for name in sorted(waiting):
                with suppress(ClusterError):
                    found[name] = dict(moments(self._api.log(name), run))
            waiting = {name for name in waiting if 'end' not in found.get(name, {})}
            if waiting:
                time.sleep(POLL_S)
        return found

    def _log(self, pod: str) -> str:
        """Return the logs of a pod, or why there is none."""
        texts = []
        for is_previous in (True, False):
            try:
                texts.append(self._api.log(pod, is_previous=is_previous))
            except ClusterError as error:
                texts.append(f'{"earlier log" if is_previous else "log"}: {error}\n')
        return ''.join(texts)

    def _take_back(self) -> None:
        if self._run:
            remove_order(self._api)
            self._tell('')
            self._run = ''

    def _tell(self, run: str) -> None:
        """Let kubelets look for the order at once."""
        for name in self.posts:
            with suppress(ClusterError):  # a pod that is gone is told of elsewhere
                self._api.annotate(name, {RUN: run})


def posts(inventory: Inventory, places: frozenset[Place], pods: list[Object]) -> dict[str, str]:
    """Return the name of the worker that each pod is, for the places that are bound.

    Raises
    ------
    RunError
        If a node has fewer pods than the inventory says.
    """
    found: dict[str, str] = {}
    for node_name, node in inventory.nodes.items():
        for place, n in node.places.items():
            mine = sorted(name_of(pod) for pod in pods
                          if node_of(pod) == node_name and pod['metadata']['labels'].get(PLACE) == place)
            if place in places and len(mine) < n:
                raise RunError(f'{node_name}: {len(mine)} of {n} workers of {place} are ready; run iomtwin k3s apply '
                               'for this inventory, with --scenario if it follows one')
            if place in places:
                found |= {pod: f'{node_name}-{place}-{i + 1}' for i, pod in enumerate(mine[:n])}
    return found


def moments(log: str, run: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what a pod has told before and after a run: 'begin' or 'end', and the facts."""
    for line in log.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            what, _, of_run = said['moment'].partition(' of ')
            if of_run == run:
                yield what, said['facts']


def throttled(told: Mapping[str, Mapping[str, Mapping[str, str]]]) -> list[str]:
    """Return why a run must not be averaged: nodes whose clock was held back, or whose voltage was too low, in it."""
    found = []
    for moments_of_pod in told.values():
        bits = {what: int(facts.get('throttled', '0'), 16) for what, facts in moments_of_pod.items()}
        begin, end = bits.get('begin', 0), bits.get('end', 0)
        if (begin | end) & THROTTLED_NOW or end & ~begin:
            node = next(iter(moments_of_pod.values()))['node']
            found.append(f'{node}: its clock was held back, or its voltage too low (throttled {end:#x}); cool it, and '
                         'give it enough power')
    return sorted(set(found))


def remove_order(api: Api) -> None:
    """Remove the order that pods have, if they have one."""
    there = {name_of(each) for each in api.list('Secret', MANAGED)}
    for i in reversed(range(PARTS_MAX)):
        if (name := f'{ORDER}-{i}') in there:
            api.delete('Secret', name)


def run_of_order(api: Api) -> str | None:
    """Return the run whose order pods have; None if they have none."""
    for each in api.list('Secret', MANAGED):
        if name_of(each) == f'{ORDER}-0':
            return str(each['metadata'].get('annotations', {}).get(RUN, ''))
    return None


def _whose(api: Api) -> str:
    run = run_of_order(api)
    return f', {run}' if run else ''


def _secret(namespace: str, i: int, run: str, part: bytes) -> Object:
    return {'apiVersion': 'v1', 'kind': 'Secret', 'type': 'Opaque', 'data': {'part': b64encode(part).decode()},
            'metadata': {'name': f'{ORDER}-{i}', 'namespace': namespace, 'labels': dict(LABELS),
                         'annotations': {RUN: run}}}
