"""The deployer against a real API server, controllers and scheduler; agents play the kubelets, with real workers.

It is done as whoever has the shipped rights and no others, through the command line. `make test-cluster` runs it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from hil.cluster.client import Api, ForbiddenError, connect
from hil.cluster.kustomization import read_kustomization
from hil.cluster.manifests import K3S
from hil.cluster.rights import RIGHTS, missing
from tests.cluster.conftest import Lab
from tests.cluster.control_plane import NODE_GRACE_S
from tests.cluster.test_manifests import FOLDERS, documents

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
SCENARIO = str(ROOT / 'tests' / 'paced' / 'lab.yaml')
WAIT_S_MAX = 240.0  # for anything: the machine may be busy


def iomtwin(lab: Lab, *arguments: str, user: str = 'operator') -> tuple[int, str, str]:
    """Run a command as a user; return its exit code and what it said, with its tables unfolded."""
    command = [sys.executable, ROOT / 'iomtwin.py', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env=lab.environment(user) | {'COLUMNS': '200'}, timeout=WAIT_S_MAX)
    return done.returncode, done.stdout, done.stderr


def apply(lab: Lab, inventory: Path, *more: str, user: str = 'operator') -> dict[str, str]:
    """Apply an inventory; return what was done with each object."""
    code, out, said = iomtwin(lab, 'k3s', 'apply', '--inventory', str(inventory), *more, user=user)
    assert code == 0, said
    lines = [line.partition(': ') for line in out.splitlines() if ': ' in line]
    return {label: what for label, _, what in lines}


def refused(lab: Lab, inventory: Path, *more: str, user: str = 'operator') -> str:
    """Return the one line with which an apply is refused."""
    code, out, said = iomtwin(lab, 'k3s', 'apply', '--inventory', str(inventory), *more, user=user)
    assert (code, out) == (1, ''), (out, said)
    assert said.count('\n') == 1
    return said


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def give_rights(lab: Lab) -> None:
    """Make the namespace and give the shipped rights, as k3s/README.md tells whoever may everything to."""
    api = lab.api()
    if not api.find('Namespace', lab.namespace):
        (namespace,) = [each for each in read_kustomization(K3S / 'base') if each['kind'] == 'Namespace']
        api.apply(namespace)
    for each in documents((K3S / 'rights/operator.yaml').read_text()):
        group = f'/apis/{each["apiVersion"]}'
        within = f'/namespaces/{lab.namespace}' if 'namespace' in each['metadata'] else ''
        path = f'{group}{within}/{each["kind"].lower()}s/{each["metadata"]["name"]}'
        api._object('PATCH', path, {'fieldManager': 'admin', 'force': 'true'}, each, 'application/apply-patch+yaml')


@pytest.fixture
def deployed(lab: Lab) -> Lab:
    """A cluster of three nodes whose operator has the shipped rights; it is empty again behind."""
    give_rights(lab)
    return lab


def test_the_api_server_takes_every_object() -> None:
    """A dry run on the server, of the cluster that KUBECONFIG names too: each object is applied, and none is there."""
    kubeconfig = os.environ.get('KUBECONFIG')
    if not kubeconfig:
        pytest.skip('KUBECONFIG names no cluster')
    api = connect(None, 'default', kubeconfig)
    for folder in FOLDERS:
        for each in read_kustomization(K3S / folder):
            if each['kind'] != 'Namespace':
                each['metadata']['namespace'] = 'default'
                path = api._path(each['kind'], each['metadata']['name'])
                query = {'fieldManager': 'iomtwin', 'force': 'true', 'dryRun': 'All'}
                assert api._object('PATCH', path, query, each, 'application/apply-patch+yaml')['kind'] == each['kind']


def test_apply_twice_changes_nothing_and_delete_takes_ours_alone(deployed: Lab) -> None:
    """From nothing to ready workers, again without a change, to one more worker, and back, as the operator.

    What somebody else has put into the namespace stays, and so does the namespace; without it, that goes as well.
    """
    lab = deployed
    for name in ('pi-1', 'pi-2'):
        lab.start(name)
    inventory = lab.inventory({'pi-1': {'crypto': 1}, 'pi-2': {'crypto': 1}})
    first = apply(lab, inventory)
    assert first['DaemonSet/iomtwin-worker'] == 'made'
    assert set(apply(lab, inventory).values()) == {'as it was'}
    code, out, _ = iomtwin(lab, 'k3s', 'status', '--inventory', str(inventory))
    assert code == 0
    workers = [line for line in out.splitlines() if line.startswith('worker of crypto on pi-')]
    assert [line.split()[-1] for line in workers] == ['ready'] * 2
    more = apply(lab, lab.inventory({'pi-1': {'crypto': 2}, 'pi-2': {'crypto': 1}}))
    assert {label for label, what in more.items() if what != 'as it was'} == {'Deployment/iomtwin-extra-pi-1-crypto'}
    less = apply(lab, lab.inventory({'pi-1': {'crypto': 1}, 'pi-2': {'crypto': 1}}))
    assert {label: what for label, what in less.items() if what != 'as it was'} == {
        'Deployment/iomtwin-extra-pi-1-crypto': 'removed'}
    api = lab.api()
    api.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'of-others', 'namespace': lab.namespace}})
    code, out, said = iomtwin(lab, 'k3s', 'delete', '--inventory', str(inventory))
    assert code == 0, said
    assert 'Namespace' not in out
    assert api.list('Pod', 'app.kubernetes.io/part-of=iomtwin') == []
    assert api.get('ConfigMap', 'of-others')['metadata']['name'] == 'of-others'
    api.delete('ConfigMap', 'of-others')
    code, out, said = iomtwin(lab, 'k3s', 'delete', '--inventory', str(inventory))
    assert (code, out.strip()) == (0, f'Namespace/{lab.namespace}: removed'), said
    assert api.find('Namespace', lab.namespace) is None
    code, out, said = iomtwin(lab, 'k3s', 'delete', '--inventory', str(inventory))
    assert (code, out.strip()) == (0, 'there was nothing of ours'), said


def test_a_cluster_that_cannot_says_why_in_one_line(deployed: Lab) -> None:
    """No cluster, rights, node, label, image, broker or room, and wrong architectures: each has its line."""
    lab = deployed
    inventory = lab.inventory({'pi-1': {'crypto': 1}})
    nobody = lab.plane.folder / 'nobody.kubeconfig'
    nobody.write_text(lab.plane.kubeconfigs['operator'].read_text().replace('127.0.0.1:', '127.0.0.1:1'))
    command = [sys.executable, ROOT / 'iomtwin.py', 'k3s', 'apply', '--inventory', inventory]
    done = subprocess.run(command, env=os.environ | {'KUBECONFIG': str(nobody)}, capture_output=True, text=True,
                          check=False)
    assert 'no cluster' in done.stderr
    assert done.stderr.count('\n') == 1
    assert 'we may not list serviceaccounts' in refused(lab, inventory, user='stranger')
    assert 'has no node pi-1' in refused(lab, inventory)
    with_label = {'iomtwin/role': 'worker'}
    for options, words in (
            ({'labels': {}}, 'has no label iomtwin/role=worker'),
            ({'architecture': 'arm'}, 'pi-1: has the architecture arm; expected arm64'),
            ({'image_architecture': 'amd64', 'labels': with_label}, 'pi-1: the image is of another architecture'),
            ({'images': ()}, 'pi-1: has no image localhost/iomtwin-worker:0.1.0'),
    ):
        with lab.make('pi-1', **options):
            assert words in refused(lab, inventory)
            iomtwin(lab, 'k3s', 'delete', '--inventory', str(inventory))
        give_rights(lab)
    lab.start('pi-1', n_cores=2)
    far = lab.inventory({'pi-1': {'crypto': 1}}, url='amqps://127.0.0.1:9/iomtwin')
    assert 'pi-1: the broker is not reached from the pod iomtwin-worker-' in refused(lab, far)
    crowded = lab.inventory({'pi-1': {'crypto': 3}})
    assert 'Insufficient cpu' in refused(lab, crowded, '--timeout', '40')


def test_a_run_over_pods_goes_on_when_a_node_is_lost(deployed: Lab) -> None:
    """Deploy for a scenario, check, run with a node lost in the middle, results, calibrate, delete: as the operator.

    No message is lost: what the lost node held comes back to others. The run folder has the log of the pod that failed,
    or why there is none, and facts of nodes. What the API server saw being used are the rights, all of them.
    """
    lab = deployed
    agents = {name: lab.start(name) for name in ('pi-1', 'pi-2', 'pi-3')}
    inventory = lab.inventory({name: {'crypto': 1} for name in agents}, follows=True)
    three = ('--set', 'crypto.placement=distributed', '--set', 'crypto.replicas=3',
             '--set', f'edge.nodes={{{", ".join(f"{name}: {{profile: raspberry-pi-4}}" for name in agents)}}}')
    apply(lab, inventory, '--scenario', SCENARIO, *three)
    code, out, said = iomtwin(lab, 'hil', 'check', SCENARIO, '--inventory', str(inventory), *three)
    assert code == 0, said
    assert all(f'pi-{i}-crypto-1' in out for i in (1, 2, 3))
    command = [sys.executable, ROOT / 'iomtwin.py', 'hil', 'run', SCENARIO, '--inventory', inventory, *three,
               '--set', f'duration={3 * NODE_GRACE_S} s', '--set', 'learning=null', '--run', 'lost-node',
               '--out', lab.folder / 'out']
    with subprocess.Popen(command, env=lab.environment(), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as run:
        wait_for(lambda: any('begin of lost-node' in path.read_text() for path in lab.folder.glob(
            'nodes/*/pi-2/*/*.log')), 'no order came')
        wait_for(lambda: run.poll() is not None or _is_consumed(lab, 3), 'workers have not begun')
        agents['pi-2'].lose()
        out, said = run.communicate(timeout=WAIT_S_MAX)
    assert run.returncode == 0, said
    (folder,) = (lab.folder / 'out').glob('*/seed-1-lost-node')
    jobs = pl.read_parquet(folder / 'jobs.parquet')
    assert set(jobs['outcome'].unique()) <= {'delivered', 'expired'}
    assert jobs.height > 100
    facts = json.loads((folder / 'manifest.json').read_text())['hardware']
    assert {pod['node'] for pod in facts['pods'] if pod['has_failed']} == {'pi-2'}
    assert [path.stem for path in (folder / 'logs').iterdir()] == [
        pod['pod'] for pod in facts['pods'] if pod['has_failed']]
    assert facts['nodes']['pi-1']['kubelet'] == 'v1.20.2+agent'
    for pod in facts['pods']:
        assert pod['told'].keys() == (set() if pod['has_failed'] else {'begin', 'end'})
    assert lab.api().find('Secret', 'iomtwin-order-0') is None, 'keys stay no longer than the run'


def test_nodes_are_calibrated_one_by_one(deployed: Lab) -> None:
    """A Job on the node writes its profile, which is read from the log and can be used; the Job is gone behind."""
    lab = deployed
    lab.start('pi-1')
    inventory = lab.inventory({'pi-1': {'crypto': 1}})
    apply(lab, inventory)
    code, _, said = iomtwin(lab, 'k3s', 'calibrate', '--inventory', str(inventory), '--seconds', '5',
                              '--out', str(lab.folder / 'profiles'))
    assert code == 0, said
    assert 'name: pi-1' in (lab.folder / 'profiles' / 'pi-1.yaml').read_text()
    assert lab.api().list('Job') == []


def test_the_rights_are_what_is_used(deployed: Lab) -> None:
    """The API server's own record of all tests before: the operator used each right that is shipped, and no other.

    Run after the others of this file. Services are of the overlay with the broker in the cluster, which is applied here
    without its pods: the operator lists, makes, changes and deletes one.
    """
    lab = deployed
    api = lab.api('operator')
    (service,) = [each for each in read_kustomization(K3S / 'overlays/broker-in-cluster') if each['kind'] == 'Service']
    api.apply(service)
    api.delete('Service', service['metadata']['name'])
    needed = {(verb, right.resource) for right in RIGHTS for verb in right.verbs}
    used = lab.plane.used('operator')
    assert used <= needed, used - needed
    unused = needed - used - {('create', right.resource) for right in RIGHTS}  # an apply that makes is told as a patch
    assert unused == set()


def test_each_right_is_needed_and_the_workers_account_has_none(deployed: Lab) -> None:
    """Asked of the API server itself: the operator lacks nothing, a stranger has nothing, and so has a worker."""
    lab = deployed
    assert list(missing(lab.api('operator'))) == []
    assert len(list(missing(lab.api('stranger')))) == sum(len(right.verbs) for right in RIGHTS)
    for right in RIGHTS:
        for verb in right.verbs:
            assert not _may_a_worker(lab.api(), verb, right.group, right.resource, lab.namespace)
    with pytest.raises(ForbiddenError, match='we may not'):
        lab.api('stranger').list('Pod')


def _may_a_worker(api: Api, verb: str, group: str, resource: str, namespace: str) -> bool:
    plural, _, sub = resource.partition('/')
    found = api._object('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {}, {
        'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SubjectAccessReview', 'spec': {
            'user': f'system:serviceaccount:{namespace}:iomtwin-worker',
            'groups': ['system:serviceaccounts', f'system:serviceaccounts:{namespace}', 'system:authenticated'],
            'resourceAttributes': {'verb': verb, 'group': group, 'resource': plural, 'subresource': sub,
                                   'namespace': namespace}}})
    return bool(found['status']['allowed'])


def _is_consumed(lab: Lab, n: int) -> bool:
    """Return whether so many workers take messages of the run, and one has been answered since."""
    from hil.broker import topology
    from hil.broker.connection import connect as connect_broker

    with connect_broker(lab.broker.endpoint, lab.broker.users['twin'], 'test looks') as connection:
        runs = [run for run in topology.runs(connection) if run.name == 'lost-node']
        return bool(runs) and runs[0].n_workers >= 2 * n  # two classes of priority each

