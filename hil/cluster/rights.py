"""What the deployer and the twin need to be allowed: the table behind ``k3s/rights/operator.yaml``, and its check.

The workers' account is allowed nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hil.cluster.client import Api, ForbiddenError
from hil.cluster.kinds import KINDS

MAKES = ('list', 'create', 'patch', 'delete')  # a server-side apply of what is not there yet is both of the middle ones


@dataclass(frozen=True)
class Right:
    """Verbs on a resource."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    is_namespaced: bool = True


def _right(kind: str, *verbs: str, sub: str = '') -> Right:
    found = KINDS[kind]
    return Right(found.group, found.plural + sub, verbs, found.is_namespaced)


RIGHTS = (
    *(_right(kind, *MAKES) for kind in ('ServiceAccount', 'ConfigMap', 'Secret', 'NetworkPolicy', 'Service',
                                        'Deployment', 'DaemonSet')),
    _right('Job', 'list', 'create', 'delete'),  # calibrations are never changed
    _right('Pod', 'list', 'patch'),  # an annotation tells the kubelet to look for an order at once
    _right('Pod', 'get', sub='/log'),
    _right('Event', 'list'),
    _right('Node', 'list'),
    _right('Namespace', 'get', 'create', 'patch', 'delete'),
)


def missing(api: Api) -> Iterator[str]:
    """Yield, in words, what we may not do, of all that we need; each is asked of the cluster."""
    for right in RIGHTS:
        for verb in right.verbs:
            if not api.may(verb, right.group, right.resource, is_namespaced=right.is_namespaced):
                yield f'{verb} {right.resource}' + (f' in {api.namespace}' if right.is_namespaced else '')


def check_rights(api: Api) -> None:
    """Refuse to begin what could not be finished.

    Raises
    ------
    ForbiddenError
        Naming what we may not do.
    """
    found = list(missing(api))
    if found:
        more = f' and {len(found) - 3} more' if len(found) > 3 else ''
        raise ForbiddenError(f'{api.where}: we may not {", ".join(found[:3])}{more}; let whoever may everything apply '
                             'k3s/rights/operator.yaml')
