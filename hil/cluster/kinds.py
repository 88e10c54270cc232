"""The kinds of objects that we make or look at, and where the API has them."""

from collections.abc import Mapping
from dataclasses import dataclass

MANAGED = 'app.kubernetes.io/managed-by=iomtwin'  # what we have made
NAME = 'app.kubernetes.io/name'
WORKER, CALIBRATION = 'iomtwin-worker', 'iomtwin-calibration'
PLACE, NODE = 'iomtwin/place', 'iomtwin/node'  # labels of pods
ROLE = 'iomtwin/role'  # label of nodes
HOSTNAME = 'kubernetes.io/hostname'
REVISION = 'iomtwin/revision'  # annotation of pods: what they were deployed as


@dataclass(frozen=True)
class Kind:
    """Where objects of a kind are."""

    path: str  # of group and version
    plural: str
    is_namespaced: bool = True

    @property
    def group(self) -> str:
        """The group, as rights name it; of the oldest kinds it is empty."""
        parts = self.path.split('/')
        return parts[2] if parts[1] == 'apis' else ''

    @property
    def version(self) -> str:
        """The `apiVersion` of its objects."""
        return self.path.split('/', 2)[2]


KINDS: Mapping[str, Kind] = {
    'Namespace': Kind('/api/v1', 'namespaces', is_namespaced=False),
    'Node': Kind('/api/v1', 'nodes', is_namespaced=False),
    'ServiceAccount': Kind('/api/v1', 'serviceaccounts'),
    'ConfigMap': Kind('/api/v1', 'configmaps'),
    'Secret': Kind('/api/v1', 'secrets'),
    'Service': Kind('/api/v1', 'services'),
    'Pod': Kind('/api/v1', 'pods'),
    'Event': Kind('/api/v1', 'events'),
    'DaemonSet': Kind('/apis/apps/v1', 'daemonsets'),
    'Deployment': Kind('/apis/apps/v1', 'deployments'),
    'Job': Kind('/apis/batch/v1', 'jobs'),
    'NetworkPolicy': Kind('/apis/networking.k8s.io/v1', 'networkpolicies'),
    'SelfSubjectAccessReview': Kind('/apis/authorization.k8s.io/v1', 'selfsubjectaccessreviews', is_namespaced=False),
}
# Those that are made, in the order in which they are: what others refer to comes first.
MADE = ('Namespace', 'ServiceAccount', 'ConfigMap', 'Secret', 'NetworkPolicy', 'Service', 'Deployment', 'DaemonSet',
        'Job')
