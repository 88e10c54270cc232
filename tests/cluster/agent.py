"""Plays the kubelet of one node: real processes for the pods that a real scheduler gives it, told to a real API server.

What it does as the kubelet does: environment, volumes of Secrets, projections and memory, arguments with ``$(NAME)``,
exec probes, restarts with the last words of what has ended, terminating with grace, logs over HTTPS. What it does not:
there is no container. A pod's processes see this machine's files; a path under a mount is another path here, in
arguments, environment and probes. Security contexts, limits and network policies are the API server's to check.
"""

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hil.cluster.client import ClusterError, connect
from hil.cluster.kustomization import Object
from tests.cluster.certificates import write_pair

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ('python', '-m', 'hil.worker.standby')  # of k3s/Containerfile
SYNC_S = 0.3
RESTART_S = 2.0
HEARTBEAT_S = 2.0
LAST_WORDS_BYTES = 2048  # the kubelet's MaxContainerTerminationMessageLogLength


@dataclass
class Container:
    """The one container of a pod."""

    folder: Path
    mounts: Mapping[str, Path]
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    ended_s: float = 0.0
    is_ready: bool = False
    started: str = ''
    last: dict[str, Any] = field(default_factory=dict)
    told: Any = None  # the status that was told last

    @property
    def log(self) -> Path:
        """What the present process writes."""
        return self.folder / f'{self.restarts}.log'


class NodeAgent:
    """A node, as a context; `lose` ends it as a power cut would."""

    def __init__(self, kubeconfig: Path, name: str, folder: Path, *, images: tuple[str, ...],
                 architecture: str = 'arm64', image_architecture: str = 'arm64', n_cores: int = 4,
                 labels: Mapping[str, str] | None = None) -> None:
        self.name, self.images = name, images
        self.architecture, self.image_architecture = architecture, image_architecture
        self._n_cores, self._labels = n_cores, {'iomtwin/role': 'worker'} if labels is None else dict(labels)
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self._api = connect(None, 'default', str(kubeconfig))
        self._containers: dict[str, Container] = {}  # by the pod's uid
        self._names: dict[str, str] = {}  # of pods, to uid
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each, name=f'{name}-{each.__name__}')
                         for each in (self._run, self._keep_beating)]
        self.errors: list[Exception] = []

    def __enter__(self) -> 'NodeAgent':
        """Register the node and begin."""
        self._serve_logs()
        self._register()
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all pods' processes, and take the node away."""
        self.lose()
        self._server.shutdown()
        self._server.server_close()
        for pod in self._request('GET', f'/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}')['items']:
            self._forget(pod)
        self._request('DELETE', f'/api/v1/nodes/{self.name}')

    def lose(self) -> None:
        """End without a word: no heartbeat any more, all processes killed."""
        self._stop.set()
        for each in self._threads:
            each.join()
        for each in self._containers.values():
            self._kill(each)

    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Return the processes of pods that live."""
        return [each.process for each in self._containers.values() if each.process is not None
                and each.process.poll() is None]

    # -- the node -------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        labels = {'kubernetes.io/hostname': self.name, 'kubernetes.io/arch': self.architecture,
                  'kubernetes.io/os': 'linux'} | self._labels
        self._request('POST', '/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node',
                                                'metadata': {'name': self.name, 'labels': labels}})
        self._beat()

    def _beat(self) -> None:
        resources = {'cpu': str(self._n_cores), 'memory': '8Gi', 'pods': '20', 'ephemeral-storage': '8Gi'}
        self._request('PATCH', f'/api/v1/nodes/{self.name}/status', {'status': {
            'capacity': resources, 'allocatable': resources,
            'addresses': [{'type': 'InternalIP', 'address': '127.0.0.1'}],
            'daemonEndpoints': {'kubeletEndpoint': {'Port': self._server.server_address[1]}},
            'nodeInfo': {'architecture': self.architecture, 'kernelVersion': os.uname().release, 'osImage': 'a test',
                         'kubeletVersion': 'v1.20.2+agent', 'kubeProxyVersion': '', 'operatingSystem': 'linux',
                         'containerRuntimeVersion': 'processes://1', 'machineID': '', 'systemUUID': '', 'bootID': ''},
            'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'AgentReady', 'message': 'the agent lives',
                            'lastHeartbeatTime': _now(), 'lastTransitionTime': _now()}]}})

    def _keep_beating(self) -> None:
        """Beat, whatever is done with pods meanwhile."""
        while not self._stop.wait(HEARTBEAT_S):
            try:
                self._beat()
            except ClusterError as error:  # the next turn tries again
                self.errors.append(error)

    def _run(self) -> None:
        while not self._stop.wait(SYNC_S):
            try:
                found = self._request('GET', f'/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}')
                for pod in found['items']:
                    self._sync(pod)
            except ClusterError as error:  # the next turn tries again; a test that depends on it fails and shows it
                self.errors.append(error)

    # -- pods -----------------------------------------------------------------------------------------------------

    def _sync(self, pod: Object) -> None:
        uid = pod['metadata']['uid']
        self._names[pod['metadata']['name']] = uid
        if 'deletionTimestamp' in pod['metadata']:
            self._remove(pod)
            return
        if pod.get('status', {}).get('phase') in ('Succeeded', 'Failed'):
            return
        if uid not in self._containers:
            folder = self._folder / uid
            mounts = {each['mountPath']: folder / each['name'] for spec in pod['spec']['containers']
                      for each in spec['volumeMounts']}
            self._containers[uid] = Container(folder, mounts)
        container, spec = self._containers[uid], pod['spec']['containers'][0]
        if spec['image'] not in self.images:
            why = f'Container image "{spec["image"]}" is not present with pull policy of Never'
            self._tell(pod, {'waiting': {'reason': 'ErrImageNeverPull', 'message': why}})
            return
        missing = self._fill_volumes(pod, container)
        if missing:
            why = f'MountVolume.SetUp failed: {missing}'
            self._tell(pod, {'waiting': {'reason': 'ContainerCreating', 'message': why}})
            return
        if container.process is None:
            if container.last and pod['spec']['restartPolicy'] == 'Never':
                self._tell_end(pod, container)
                return
            if time.monotonic() - container.ended_s < RESTART_S and container.last:
                self._tell(pod, {'waiting': {'reason': 'CrashLoopBackOff', 'message': 'back-off'}})
                return
            self._start(pod, container)
        assert container.process is not None
        code = container.process.poll()
        if code is None:
            self._probe(spec, container)
            self._tell(pod, {'running': {'startedAt': container.started}})
        else:
            words = container.log.read_bytes()[-LAST_WORDS_BYTES:].decode('utf-8', 'replace') if code else ''
            container.last = {'terminated': {'exitCode': code if code >= 0 else 128 - code, 'message': words,
                                             'reason': 'Error' if code else 'Completed', 'startedAt': container.started,
                                             'finishedAt': _now()}}
            container.process, container.is_ready, container.ended_s = None, False, time.monotonic()
            container.restarts += 1
            self._tell(pod, container.last)

    def _start(self, pod: Object, container: Container) -> None:
        spec = pod['spec']['containers'][0]
        environment = self._environment(pod, spec)
        command = [self._here(container, _expanded(each, environment))
                   for each in (*spec.get('command', ENTRYPOINT), *spec.get('args', ()))]
        if self.image_architecture != self.architecture:
            command = ['sh', '-c', 'echo "exec /usr/local/bin/python: exec format error" >&2; exit 1']
        command = [sys.executable if each == 'python' else each for each in command]
        own = {name: self._here(container, text) for name, text in environment.items()}
        container.started = _now()
        with container.log.open('wb') as log:
            container.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={'PATH': os.environ['PATH'], 'PYTHONPATH': str(ROOT)} | own)

    def _probe(self, spec: Object, container: Container) -> None:
        probe = spec.get('readinessProbe')
        if probe is None or container.is_ready:
            container.is_ready = True
            return
        command = [self._here(container, each) for each in probe['exec']['command']]
        container.is_ready = subprocess.run(command, check=False).returncode == 0

    def _environment(self, pod: Object, spec: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        namespace = pod['metadata']['namespace']
        for each in spec.get('envFrom', ()):
            data = self._data(namespace, 'secrets', each['secretRef']['name'])
            assert data is not None
            found |= {key: text.decode() for key, text in data.items()}
        for each in spec.get('env', ()):
            source = each.get('valueFrom', {})
            if 'configMapKeyRef' in source:
                path = f'/api/v1/namespaces/{namespace}/configmaps/{source["configMapKeyRef"]["name"]}'
                found[each['name']] = self._request('GET', path)['data'][source['configMapKeyRef']['key']]
            elif 'fieldRef' in source:
                found[each['name']] = _field(pod, source['fieldRef']['fieldPath'])
            else:
                found[each['name']] = each['value']
        return found

    def _fill_volumes(self, pod: Object, container: Container) -> str:
        """Bring what volumes hold up to date; return what is missing."""
        namespace = pod['metadata']['namespace']
        for volume in pod['spec']['volumes']:
            folder = container.folder / volume['name']
            folder.mkdir(parents=True, exist_ok=True)
            if 'emptyDir' in volume:
                continue
            files: dict[str, bytes] = {}
            sources = volume['projected']['sources'] if 'projected' in volume else [
                {'secret': volume['secret'] | {'name': volume['secret']['secretName']}}]
            for source in sources:
                secret = source['secret']
                data = self._data(namespace, 'secrets', secret['name'])
                if data is None and not secret.get('optional'):
                    return f'secret "{secret["name"]}" not found'
                names = {each['key']: each['path'] for each in secret.get('items', ())}
                files |= {names.get(key, key): text for key, text in (data or {}).items()}
            for old in folder.iterdir():
                if old.name not in files:
                    old.unlink()
            for name, text in files.items():
                if not (folder / name).exists() or (folder / name).read_bytes() != text:
                    (folder / f'.{name}').write_bytes(text)
                    (folder / f'.{name}').rename(folder / name)
        return ''

    def _data(self, namespace: str, plural: str, name: str) -> dict[str, bytes] | None:
        try:
            found = self._request('GET', f'/api/v1/namespaces/{namespace}/{plural}/{name}')
        except ClusterError:
            return None
        return {key: b64decode(text) for key, text in found.get('data', {}).items()}

    def _remove(self, pod: Object) -> None:
        container = self._containers.get(pod['metadata']['uid'])
        if container is not None and container.process is not None and container.process.poll() is None:
            container.process.send_signal(signal.SIGTERM)
            try:
                container.process.wait(20)
            except subprocess.TimeoutExpired:
                self._kill(container)
        self._forget(pod)

    def _forget(self, pod: Object) -> None:
        path = f'/api/v1/namespaces/{pod["metadata"]["namespace"]}/pods/{pod["metadata"]["name"]}'
        self._request('DELETE', f'{path}?gracePeriodSeconds=0')

    def _kill(self, container: Container) -> None:
        if container.process is not None and container.process.poll() is None:
            os.killpg(container.process.pid, signal.SIGKILL)
            container.process.wait()

    # -- what is told ---------------------------------------------------------------------------------------------

    def _tell(self, pod: Object, state: dict[str, Any], phase: str = '') -> None:
        container, spec = self._containers[pod['metadata']['uid']], pod['spec']['containers'][0]
        is_ready = 'running' in state and container.is_ready
        status = {'phase': phase or ('Running' if 'running' in state or container.restarts else 'Pending'),
                  'podIP': '127.0.0.1', 'hostIP': '127.0.0.1',
                  'conditions': [{'type': kind, 'status': str(is_true)} for kind, is_true in (
                      ('PodScheduled', True), ('Initialized', True), ('ContainersReady', is_ready),
                      ('Ready', is_ready))],
                  'containerStatuses': [{
                      'name': spec['name'], 'image': spec['image'], 'imageID': '', 'ready': is_ready, 'state': state,
                      'restartCount': container.restarts,
                      'lastState': container.last if state != container.last else {}}]}
        if container.told == status:
            return
        path = f'/api/v1/namespaces/{pod["metadata"]["namespace"]}/pods/{pod["metadata"]["name"]}/status'
        self._request('PATCH', path, {'status': status})
        container.told = status

    def _tell_end(self, pod: Object, container: Container) -> None:
        self._tell(pod, container.last, 'Failed' if container.last['terminated']['exitCode'] else 'Succeeded')

    def _here(self, container: Container, text: str) -> str:
        """Return a text with paths under mounts as they are on this machine."""
        for mount in sorted(container.mounts, key=len, reverse=True):
            text = re.sub(re.escape(mount) + r'(?=/|$)', str(container.mounts[mount]), text)
        return text

    def _serve_logs(self) -> None:
        write_pair(self._folder, ['127.0.0.1'])
        agent = self

        class Logs(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, _, _, pod, *_ = self.path.partition('?')[0].split('/')
                container = agent._containers[agent._names[pod]]
                n = container.restarts - (container.process is None or 'previous=true' in self.path)
                path = container.folder / f'{max(n, 0)}.log'
                text = path.read_bytes() if path.exists() else b''
                self.send_response(200)
                self.send_header('Content-Length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Logs)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / 'server.pem', self._folder / 'server.key')
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, name=f'logs-{self.name}', daemon=True).start()

    def _request(self, method: str, path: str, body: Object | None = None) -> Object:
        content = 'application/strategic-merge-patch+json' if method == 'PATCH' else 'application/json'
        try:
            return self._api._object(method, path, {}, body, content)
        except ClusterError:
            if method == 'DELETE':
                return {}
            raise


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    return re.sub(r'\$\((\w+)\)', lambda found: environment[found[1]], text)


def _field(pod: Object, path: str) -> str:
    label = re.fullmatch(r"metadata\.labels\['(.*)'\]", path)
    if label:
        return str(pod['metadata']['labels'][label[1]])
    found: Any = pod
    for part in path.split('.'):
        found = found[part]
    return str(found)


def _now() -> str:
    return datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
