"""A cluster's API: the only module that knows the library of Kubernetes. Objects are plain data, as in its YAML.

What the library and the API raise becomes one of the errors below, once, here. Every request has a bound in time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hil.cluster.kinds import KINDS
from sim.errors import InputError, RunError

if TYPE_CHECKING:
    from hil.cluster.kustomization import Object

FIELD_MANAGER = 'iomtwin'
REQUEST_S_MAX = 30.0
LOG_BYTES_MAX = 4 << 20
CONNECT_S_MAX = 5.0


class ClusterError(RunError):
    """The cluster is not there, does not let us, or is not as it must be."""


class MissingObjectError(ClusterError):
    """There is no such object."""


class ForbiddenError(ClusterError):
    """Whoever the kubeconfig names may not do it."""


class TakenError(ClusterError):
    """An object of that name is there already."""


class Api:
    """A connection to a cluster's API, for one namespace; made by `connect`."""

    def __init__(self, client: Any, where: str, namespace: str) -> None:
        self.where, self.namespace = where, namespace
        self._client = client

    def get(self, kind: str, name: str) -> Object:
        """Return an object."""
        return self._object('GET', self._path(kind, name))

    def find(self, kind: str, name: str) -> Object | None:
        """Return an object, None if there is none."""
        try:
            return self.get(kind, name)
        except MissingObjectError:
            return None

    def list(self, kind: str, labels: str = '', fields: str = '') -> list[Object]:
        """Return the objects of a kind with some labels and fields."""
        query = {key: text for key, text in (('labelSelector', labels), ('fieldSelector', fields)) if text}
        found = self._object('GET', self._path(kind), query)
        return [each | {'kind': kind} for each in found['items']]

    def apply(self, wanted: Object) -> Object:
        """Let an object be as it is wanted, server-side; the fields of others are left alone, ours are taken back."""
        path = self._path(wanted['kind'], wanted['metadata']['name'])
        query = {'fieldManager': FIELD_MANAGER, 'force': 'true'}
        return self._object('PATCH', path, query, wanted, 'application/apply-patch+yaml')

    def create(self, wanted: Object) -> Object:
        """Make an object.

        Raises
        ------
        TakenError
            If there is one of that name.
        """
        return self._object('POST', self._path(wanted['kind']), {'fieldManager': FIELD_MANAGER}, wanted)

    def annotate(self, pod: str, annotations: dict[str, str]) -> None:
        """Set annotations of a pod."""
        self._object('PATCH', self._path('Pod', pod), {'fieldManager': FIELD_MANAGER},
                     {'metadata': {'annotations': annotations}}, 'application/merge-patch+json')

    def delete(self, kind: str, name: str) -> None:
        """Delete an object, and what it has made; one that is not there is no mistake."""
        try:
            self._object('DELETE', self._path(kind, name), {'propagationPolicy': 'Background'})
        except MissingObjectError:
            return

    def log(self, pod: str, *, is_previous: bool = False) -> str:
        """Return the log of a pod's container, or of the one before it was started again."""
        query = {'limitBytes': str(LOG_BYTES_MAX)} | ({'previous': 'true'} if is_previous else {})
        return self._request('GET', f'{self._path("Pod", pod)}/log', query).decode('utf-8', 'replace')

    def version(self) -> str:
        """Return the cluster's version."""
        return str(self._object('GET', '/version')['gitVersion'])

    def may(self, verb: str, group: str, resource: str, *, is_namespaced: bool) -> bool:
        """Return whether we may do something."""
        plural, _, sub = resource.partition('/')
        asked = {'verb': verb, 'group': group, 'resource': plural} | ({'subresource': sub} if sub else {})
        asked |= {'name': self.namespace} if resource == 'namespaces' else {}  # rights may be for ours alone
        review = {'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SelfSubjectAccessReview', 'spec': {
            'resourceAttributes': asked | ({'namespace': self.namespace} if is_namespaced else {})}}
        found = self._object('POST', self._path('SelfSubjectAccessReview'), {}, review)
        return bool(found['status']['allowed'])

    def _path(self, kind: str, name: str = '') -> str:
        found = KINDS[kind]
        within = f'/namespaces/{self.namespace}' if found.is_namespaced else ''
        return f'{found.path}{within}/{found.plural}' + (f'/{name}' if name else '')

    def _object(self, method: str, path: str, query: dict[str, str] | None = None, body: Object | None = None,
                content: str = 'application/json') -> Object:
        found: Object = json.loads(self._request(method, path, query or {}, body, content))
        return found

    def _request(self, method: str, path: str, query: dict[str, str], body: Object | None = None,
                 content: str = 'application/json') -> bytes:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - a second, that only a cluster costs
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        headers: dict[str, str] = {'Accept': 'application/json, */*', 'Content-Type': content}
        self._client.update_params_for_auth(headers, [], ['BearerToken'], path, method, body)
        url = self._client.configuration.host + path + (f'?{urlencode(query)}' if query else '')
        try:
            response = self._client.call_api(method, url, headers, body,
                                             _request_timeout=(CONNECT_S_MAX, REQUEST_S_MAX))
            status, answer = response.status, response.read()
        except (HTTPError, ApiException, OSError) as error:
            raise ClusterError(f'{self.where}: no cluster answers ({_cause(error)}); start it, or correct the address '
                               'in the kubeconfig') from None
        if status >= 400:
            raise self._error(status, answer, method, path)
        return bytes(answer)

    def _error(self, status: int, answer: bytes, method: str, path: str) -> ClusterError:
        try:
            said = json.loads(answer).get('message', '')
        except (ValueError, AttributeError):
            said = answer.decode('utf-8', 'replace').strip()
        if status == 401:
            return ForbiddenError(f'{self.where}: does not know us ({said or "unauthorised"}); renew the kubeconfig')
        if status == 403:
            return ForbiddenError(f'{self.where}: we may not ({said}); give the rights in k3s/rights/operator.yaml')
        if status == 404:
            return MissingObjectError(f'{self.where}: {path}: is not there')
        if status == 409:
            return TakenError(f'{self.where}: {path}: {said}')
        return ClusterError(f'{self.where}: {method} {path}: {status} {said}')


def connect(context: str | None, namespace: str, kubeconfig: str | None = None) -> Api:
    """Return the API of the cluster that the kubeconfig names, or of the one that we run in.

    Parameters
    ----------
    context
        Of the kubeconfig; the current one if none is named.
    kubeconfig
        A file; else what KUBECONFIG names, ~/.kube/config, or the account of the pod that we run in.

    Raises
    ------
    InputError
        If there is no kubeconfig, or it has no such context.
    """
    from kubernetes import client, config  # noqa: PLC0415 - a second, that only a cluster costs

    configuration = client.Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]  # it has no types
            kubeconfig, context=context, client_configuration=configuration)
        where = configuration.host
    except config.ConfigException as problem:
        try:
            config.load_incluster_config(  # type: ignore[no-untyped-call]  # nor has it
                client_configuration=configuration)
            where = 'the cluster around us'
        except config.ConfigException:
            raise InputError(f'no cluster: the kubeconfig does not name one ({problem}); set KUBECONFIG to a file that '
                             'does, as /etc/rancher/k3s/k3s.yaml') from None
    configuration.retries = False  # what waits for a cluster says so itself
    return Api(client.ApiClient(configuration), where, namespace)


def _cause(error: BaseException) -> str:
    """Return what is behind an error of the library, in few words."""
    reason = getattr(error, 'reason', None) or error
    return str(reason).rpartition(': ')[2].strip() or type(error).__name__
