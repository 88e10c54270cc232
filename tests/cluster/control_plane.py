"""A real control plane on this machine: etcd, API server, controllers and scheduler, on the loopback, without nodes."""

import json
import os
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.certificates import write_pair, write_signing_key

HERE = Path(__file__).resolve().parent
START_S_MAX = 120.0
PORTS = range(20_000, 32_000)  # below those that the system gives to whoever connects
USERS: Mapping[str, str] = {'admin': 'system:masters', 'operator': 'iomtwin-operators', 'stranger': 'strangers'}
NODE_GRACE_S = 8  # of a silent node; Kubernetes' own are 40, and tests are not to wait as long
AUDIT = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


@dataclass(frozen=True)
class ControlPlane:
    """What runs, and how it is reached."""

    folder: Path
    kubeconfigs: Mapping[str, Path]  # by user

    def used(self, user: str) -> set[tuple[str, str]]:
        """Return verb and resource of all that the API server let a user do, but to ask what it may."""
        found = set()
        for line in (self.folder / 'audit.log').read_text().splitlines():
            event: dict[str, Any] = json.loads(line)
            reference = event.get('objectRef', {})
            resource = reference.get('resource', '')
            if event['user']['username'] == user and resource and event['responseStatus']['code'] < 400:
                sub = reference.get('subresource')
                found.add((event['verb'], f'{resource}/{sub}' if sub else resource))
        return {each for each in found if each[1] != 'selfsubjectaccessreviews'}


def binaries() -> Path | None:
    """Return the folder of what `build_control_plane.sh` has built; None if it has not."""
    script = HERE / 'build_control_plane.sh'
    done = subprocess.run(['sh', script, '--path'], capture_output=True, text=True, check=False)
    return None if done.returncode else Path(done.stdout.strip())


@contextmanager
def control_plane(folder: Path, programs: Path) -> Iterator[ControlPlane]:
    """Start a control plane, and end it behind."""
    etcd, peers, api, scheduler, manager = _free_ports(5)
    write_signing_key(folder / 'sa.key')
    write_pair(folder, ['127.0.0.1', 'localhost'])
    (folder / 'audit.yaml').write_text(AUDIT)
    (folder / 'tokens.csv').write_text(''.join(
        f'{user}-token,{user},{i},"{group}"\n' for i, (user, group) in enumerate(USERS.items())))
    configs = {user: _kubeconfig(folder, user, api) for user in USERS}
    admin = f'--kubeconfig={configs["admin"]}'
    commands: Sequence[Sequence[str]] = (
        ('etcd', f'--data-dir={folder}/etcd', '--unsafe-no-fsync', f'--listen-client-urls=http://127.0.0.1:{etcd}',
         f'--advertise-client-urls=http://127.0.0.1:{etcd}', f'--listen-peer-urls=http://127.0.0.1:{peers}',
         f'--initial-advertise-peer-urls=http://127.0.0.1:{peers}',
         f'--initial-cluster=default=http://127.0.0.1:{peers}'),
        ('kube-apiserver', f'--etcd-servers=http://127.0.0.1:{etcd}', '--bind-address=127.0.0.1',
         '--advertise-address=127.0.0.1', f'--secure-port={api}', f'--tls-cert-file={folder}/server.pem',
         f'--tls-private-key-file={folder}/server.key', '--service-cluster-ip-range=10.43.0.0/16',
         '--service-account-issuer=https://kubernetes.default.svc', f'--service-account-key-file={folder}/sa.key',
         f'--service-account-signing-key-file={folder}/sa.key', f'--token-auth-file={folder}/tokens.csv',
         '--authorization-mode=RBAC', '--endpoint-reconciler-type=none',
         '--kubelet-preferred-address-types=InternalIP', f'--audit-policy-file={folder}/audit.yaml',
         f'--audit-log-path={folder}/audit.log'),
        ('kube-scheduler', admin, '--leader-elect=false', '--port=0', f'--secure-port={scheduler}',
         '--bind-address=127.0.0.1', f'--cert-dir={folder}/scheduler'),
        ('kube-controller-manager', admin, '--leader-elect=false', '--port=0', f'--secure-port={manager}',
         '--bind-address=127.0.0.1', f'--cert-dir={folder}/manager',
         f'--service-account-private-key-file={folder}/sa.key', '--use-service-account-credentials=false',
         '--node-monitor-period=1s', f'--node-monitor-grace-period={NODE_GRACE_S}s'),
    )
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, *arguments in commands:
            with (folder / f'{name}.log').open('wb') as log:
                running.append(subprocess.Popen([programs / name, *arguments], stdout=log, stderr=log, cwd=folder,
                                                env=os.environ | {'AWS_EC2_METADATA_DISABLED': 'true'}))
            if name == 'kube-apiserver':
                _wait_until_it_answers(api, folder, running)
        yield ControlPlane(folder, configs)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in reversed(running):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_answers(port: int, folder: Path, running: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the API server has its first namespaces."""
    import ssl

    context = ssl.create_default_context(cafile=str(folder / 'ca.pem'))
    request = urllib.request.Request(f'https://127.0.0.1:{port}/api/v1/namespaces/kube-system',
                                     headers={'Authorization': 'Bearer admin-token'})
    until = time.monotonic() + START_S_MAX
    while True:
        assert all(each.poll() is None for each in running), (folder / 'kube-apiserver.log').read_text()[-3000:]
        try:
            with urllib.request.urlopen(request, context=context, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < until, 'the API server does not answer'
            time.sleep(0.2)


def _kubeconfig(folder: Path, user: str, port: int) -> Path:
    path = folder / f'{user}.kubeconfig'
    path.write_text(json.dumps({
        'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'test',
        'clusters': [{'name': 'test', 'cluster': {'server': f'https://127.0.0.1:{port}',
                                                  'certificate-authority': str(folder / 'ca.pem')}}],
        'users': [{'name': user, 'user': {'token': f'{user}-token'}}],
        'contexts': [{'name': 'test', 'context': {'cluster': 'test', 'user': user}}]}))
    return path


def _free_ports(n: int) -> list[int]:
    """Return ports that nobody listens on now."""
    found: list[int] = []
    while len(found) < n:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
