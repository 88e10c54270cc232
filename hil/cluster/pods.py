"""What is with a pod, in a sentence: what it waits for, and whether waiting may help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.cluster.kinds import REVISION

if TYPE_CHECKING:
    from hil.cluster.kustomization import Object

# Reasons of the kubelet, pkg/kubelet/images/types.go.
NO_IMAGE = frozenset({'ErrImageNeverPull', 'ErrImagePull', 'ImagePullBackOff', 'InvalidImageName'})
WRONG_ARCHITECTURE = 'exec format error'  # the kernel's ENOEXEC, as container runtimes pass it on


@dataclass(frozen=True)
class Problem:
    """Why a pod is not ready; `is_final` if it will not be by itself."""

    says: str
    is_final: bool = False


def name_of(each: Object) -> str:
    """Return an object's name."""
    return str(each['metadata']['name'])


def node_of(pod: Object) -> str:
    """Return the node of a pod; empty if it has none yet."""
    return str(pod['spec'].get('nodeName', ''))


def revision_of(pod: Object) -> str:
    """Return what a pod was marked with when it was deployed; empty if it was not deployed from here."""
    return str(pod['metadata'].get('annotations', {}).get(REVISION, ''))


def condition(each: Object, kind: str) -> Any:
    """Return what a pod or a node says of a condition; empty if it says nothing of it."""
    found = each.get('status', {}).get('conditions', ())
    return next((said for said in found if said['type'] == kind), {})


def is_leaving(pod: Object) -> bool:
    """Return whether a pod is being deleted, or has ended."""
    return 'deletionTimestamp' in pod['metadata'] or pod.get('status', {}).get('phase') in ('Succeeded', 'Failed')


def is_ready(pod: Object) -> bool:
    """Return whether a pod says that it is ready."""
    return condition(pod, 'Ready').get('status') == 'True' and not is_leaving(pod)


def restarts(pod: Object) -> int:
    """Return how often a pod's container was started again."""
    return int(_container(pod).get('restartCount', 0))


def problem(pod: Object, events: Iterable[Object], broker: str) -> Problem | None:
    """Return why a pod is not ready, None if it is.

    Parameters
    ----------
    pod
        With one container.
    events
        Of its namespace.
    broker
        Host and port, by which a worker's last line is known to be about the broker.
    """
    if is_ready(pod):
        return None
    name, node = name_of(pod), node_of(pod)
    scheduled = condition(pod, 'PodScheduled')
    if not node:
        why = scheduled.get('message') or _last_event(pod, events) or 'no word of the scheduler'
        return Problem(f'{name}: no node takes it ({why})')
    container = _container(pod)
    waiting = container.get('state', {}).get('waiting', {})
    said = _last_words(container)
    if WRONG_ARCHITECTURE in said or WRONG_ARCHITECTURE in waiting.get('message', ''):
        return Problem(f'{node}: the image is of another architecture ({WRONG_ARCHITECTURE}); build it for this node '
                       'and load it: k3s/README.md', is_final=True)
    if waiting.get('reason') in NO_IMAGE:
        return Problem(f'{node}: has no image {pod["spec"]["containers"][0]["image"]} ({waiting["reason"]}); load it '
                       'there: k3s/README.md', is_final=True)
    if said:
        if broker in said:
            return Problem(f'{node}: the broker is not reached from the pod {name} ({said})', is_final=True)
        return Problem(f'{node}: the pod {name} has ended ({said})', is_final=True)
    what = waiting.get('message') or waiting.get('reason') or _last_event(pod, events)
    return Problem(f'{node}: {name}' + (f' ({what})' if what else ' warms up'))


def _container(pod: Object) -> Any:
    return next(iter(pod.get('status', {}).get('containerStatuses', ())), {})


def _last_words(container: Any) -> str:
    """Return the last line of a container that has failed; empty if it has not, or runs again."""
    state = container.get('state', {})
    if 'running' in state:
        return ''
    ended = state.get('terminated') or container.get('lastState', {}).get('terminated') or {}
    if not ended or ended.get('exitCode') == 0:
        return ''
    lines = ended.get('message', '').strip().splitlines()
    return lines[-1] if lines else f'exit code {ended.get("exitCode")}'


def _last_event(pod: Object, events: Iterable[Object]) -> str:
    """Return the last warning about a pod."""
    of_pod = [each for each in events
              if each['involvedObject'].get('name') == name_of(pod) and each.get('type') == 'Warning']
    latest = max(of_pod, key=lambda each: each.get('lastTimestamp') or each.get('eventTime') or '', default=None)
    return '' if latest is None else f'{latest["reason"]}: {latest["message"].strip()}'
