"""Manifests: what the files of k3s/ say, to kubectl, to the schemas of Kubernetes, and to the deployer."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from hil.cluster.kinds import REVISION
from hil.cluster.kustomization import Object, patched, read_kustomization
from hil.cluster.manifests import CA, EXTRA, K3S, calibration_job, manifests, stamped
from hil.cluster.rights import RIGHTS
from hil.inventory import SHIPPED, Cluster, Inventory, load_inventory
from sim.errors import InputError
from sim.yaml_writing import written_documents

FOLDERS = ('base', 'overlays/lab', 'overlays/one-node', 'overlays/broker-in-cluster', 'calibration')
VERSIONS = ('1.25', '1.37')  # the oldest with PodSecurity stable, and the newest that the schemas have
GOLDEN = Path(__file__).parent / 'golden'


def key(each: Object) -> tuple[str, str]:
    """Return what an object is called."""
    return each['kind'], each['metadata']['name']


def rendered() -> Iterator[tuple[str, Object]]:
    """Yield all objects that we have files of, and those that the deployer makes of them."""
    for folder in FOLDERS:
        yield from ((folder, each) for each in read_kustomization(K3S / folder))
    yield from (('rights', each) for each in documents((K3S / 'rights/operator.yaml').read_text()))
    lab = load_inventory('lab').following((2, 1, 0))
    yield from (('inventory lab', each) for each in manifests(lab))
    yield 'calibration of pi-1', calibration_job(lab, 'pi-1', 120.0)


def documents(text: str) -> list[Any]:
    """Return the documents of a YAML text."""
    return list(YAML(typ='safe', pure=True).load_all(text))


def pods() -> Iterator[tuple[str, Object, Object]]:
    """Yield folder, workload and pod of all that runs."""
    for folder, each in rendered():
        if 'template' in each.get('spec', {}):
            yield folder, each, each['spec']['template']['spec']


@pytest.mark.parametrize('version', VERSIONS)
def test_every_object_is_what_the_official_schema_wants(version: str) -> None:
    """Strictly: an unknown field is a mistake. The oldest and the newest version that we support."""
    for _, each in rendered():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_find_a_mistake() -> None:
    """An invented field of a container is refused, or the test above could not fail."""
    (job,) = read_kustomization(K3S / 'calibration')
    job['spec']['template']['spec']['containers'][0]['colour'] = 'blue'
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


@pytest.mark.parametrize('folder', FOLDERS)
def test_kubectl_reads_every_folder_as_we_do(folder: str) -> None:
    """`kubectl kustomize` of a folder gives the same objects: so `kubectl apply -k` deploys the same."""
    if shutil.which('kubectl') is None:
        pytest.skip('kubectl is not installed')
    done = subprocess.run(['kubectl', 'kustomize', K3S / folder], capture_output=True, text=True, check=True)
    assert sorted(documents(done.stdout), key=key) == sorted(read_kustomization(K3S / folder), key=key)


@pytest.mark.parametrize('folder', FOLDERS)
def test_every_folder_gives_what_it_gave(folder: str) -> None:
    """The golden rendering shows what a change of the files means; golden/README.md says how to renew it."""
    golden = GOLDEN / f'{folder.replace("/", "-")}.yaml'
    assert written_documents(read_kustomization(K3S / folder)) == golden.read_text()


def test_the_shipped_inventory_is_the_overlay_of_its_name() -> None:
    """The deployer and `kubectl apply -k k3s/overlays/lab` deploy the same; only the template is left out."""
    overlay = [each for each in read_kustomization(K3S / 'overlays/lab') if key(each) != ('Deployment', EXTRA)]
    assert sorted(manifests(load_inventory('lab')), key=key) == sorted(overlay, key=key)


def test_every_image_has_the_version_of_the_project() -> None:
    """The tags in k3s/, in shipped inventories and of an inventory that says none are what build_image.sh makes."""
    version = tomllib.loads((K3S.parent / 'pyproject.toml').read_text())['project']['version']
    texts = {path: path.read_text() for folder in (K3S, SHIPPED) for path in folder.rglob('*.yaml')}
    texts[Path('default')] = Cluster().image
    tags = {path: set(re.findall(r'iomtwin-worker:(\S+)', text)) for path, text in texts.items()}
    assert {path.name for path, found in tags.items() if found} == {'worker.yaml', 'job.yaml', 'lab.yaml', 'default'}
    assert set().union(*tags.values()) == {version}


def test_no_file_holds_a_secret() -> None:
    """No object that we have a file of is a Secret, or a ConfigMap with a password."""
    for folder, each in rendered():
        assert each['kind'] != 'Secret', folder
        assert 'password' not in str(each).lower()


def test_every_pod_is_restricted() -> None:
    """All that Kubernetes' profile `restricted` asks for, and a root file system that nobody writes to; no token."""
    for _, workload, pod in pods():
        (container,) = pod['containers']
        own, shared = container['securityContext'], pod['securityContext']
        assert own['allowPrivilegeEscalation'] is False, key(workload)
        assert own['capabilities'] == {'drop': ['ALL']}
        assert own['readOnlyRootFilesystem'] is True
        assert own['runAsNonRoot'] is True
        assert shared['runAsNonRoot'] is True
        assert shared['runAsUser'] > 0
        assert shared['seccompProfile'] == {'type': 'RuntimeDefault'}
        assert pod['automountServiceAccountToken'] is False
        assert not {'hostNetwork', 'hostPID', 'hostIPC', 'initContainers'} & pod.keys()
        for volume in pod['volumes']:
            assert volume.keys() - {'name'} <= {'emptyDir', 'secret', 'projected'}
        assert container['resources']['requests'] == container['resources']['limits']
        assert container['resources']['limits']['cpu'].isdecimal(), 'a fraction of a core is a core that is taken away'


def test_what_a_worker_writes_stays_in_memory() -> None:
    """Keys and compiled code are in volumes of memory; an SD card sees nothing of them."""
    for _, workload, pod in pods():
        if 'rabbitmq' not in workload['metadata']['name']:
            kinds = [volume['emptyDir']['medium'] for volume in pod['volumes'] if 'emptyDir' in volume]
            assert kinds == ['Memory']
            assert {'name': 'HOME', 'value': '/run/iomtwin/memory'} in pod['containers'][0]['env']


def test_a_policy_lets_workers_reach_the_broker_and_nothing_else() -> None:
    """The address and the port are those of the inventory's URL; nobody reaches a worker."""
    policy = next(each for each in manifests(load_inventory('lab')) if each['kind'] == 'NetworkPolicy')
    assert policy['spec']['policyTypes'] == ['Ingress', 'Egress']
    assert 'ingress' not in policy['spec']
    assert policy['spec']['egress'] == [{'to': [{'ipBlock': {'cidr': '192.0.2.10/32'}}],
                                         'ports': [{'protocol': 'TCP', 'port': 5671}]}]


def test_workers_are_where_the_inventory_has_them() -> None:
    """Beyond the DaemonSet's one a node, a Deployment is pinned to its node; another place has another Secret."""
    lab = load_inventory('lab').following((3, 1, 0))
    pi_3 = lab.nodes['pi-3'].model_copy(update={'places': {'server': 1}})
    objects = manifests(lab.model_copy(update={'nodes': {**lab.nodes, 'pi-3': pi_3}}))
    extras = {each['metadata']['name']: each['spec'] for each in objects if each['kind'] == 'Deployment'}
    assert {name: spec['replicas'] for name, spec in extras.items()} == {
        'iomtwin-extra-pi-1-crypto': 2, 'iomtwin-extra-pi-3-server': 1}
    of_server = extras['iomtwin-extra-pi-3-server']
    assert of_server['template']['spec']['nodeSelector']['kubernetes.io/hostname'] == 'pi-3'
    assert of_server['template']['metadata']['labels']['iomtwin/place'] == 'server'
    assert of_server['template']['spec']['containers'][0]['envFrom'] == [
        {'secretRef': {'name': 'iomtwin-broker-server'}}]
    assert all(spec['selector']['matchLabels'].items() <= spec['template']['metadata']['labels'].items()
               for spec in extras.values())


def test_a_revision_is_what_pods_are_made_from_and_their_broker() -> None:
    """Each workload has its own, on its pods; another image or certificate gives others, another password does not."""
    lab = load_inventory('lab').following((2, 1, 0))
    assert lab.cluster is not None
    another = lab.model_copy(update={'cluster': lab.cluster.model_copy(update={'image': 'localhost/another:1'})})

    def revisions(inventory: Inventory, **data: str) -> frozenset[str]:
        objects = manifests(inventory)
        hidden = [{'kind': 'Secret', 'metadata': {'name': CA}, 'data': {'ca.pem': 'a', 'password': 'x'} | data}]
        found = stamped(objects, hidden)
        of_pods = [each['spec']['template']['metadata']['annotations'][REVISION] for each in objects
                   if each['kind'] in ('DaemonSet', 'Deployment')]
        assert sorted(of_pods) == sorted(found)
        return found

    assert len(revisions(lab)) == 2
    assert revisions(lab) == revisions(lab, password='y')
    assert not revisions(lab) & revisions(another)
    assert not revisions(lab) & revisions(lab, **{'ca.pem': 'b'})


def test_the_shipped_role_is_the_table_of_rights() -> None:
    """Verbs and resources of k3s/rights/operator.yaml are those that the deployer asks the cluster for."""
    said = set()
    for each in documents((K3S / 'rights/operator.yaml').read_text()):
        for rule in each.get('rules', ()):
            said |= {(group, resource, verb, each['kind'] == 'Role') for group in rule['apiGroups']
                     for resource in rule['resources'] for verb in rule['verbs']}
    assert said == {(right.group, right.resource, verb, right.is_namespaced)
                    for right in RIGHTS for verb in right.verbs}


@pytest.mark.parametrize(('said', 'words'), [
    ('generators: [a.yaml]', 'generators: is not done here'),
    ('namePrefix: x-', 'namePrefix: is not done here'),
    ('resources: [missing.yaml]', 'missing.yaml: cannot be read'),
    ('labels: [{pairs: {a: b}, includeSelectors: true}]', 'labels: expected pairs alone'),
    ('patches: [{path: p.yaml}]', 'patches: expected a target'),
    ('resources: [', 'is not YAML'),
    ('a: 1\n---\nb: 2', 'has 2 documents'),
])
def test_what_kustomize_may_do_and_we_do_not_is_refused_by_name(tmp_path: Path, said: str, words: str) -> None:
    """One line says which key; nothing is left out in silence."""
    (tmp_path / 'kustomization.yaml').write_text(said)
    with pytest.raises(InputError, match=words):
        read_kustomization(tmp_path)


def test_operations_change_what_they_name() -> None:
    """Add, replace and remove of RFC 6902, with its escapes; what is not there is not replaced."""
    target: Object = {'kind': 'X', 'metadata': {'name': 'x', 'labels': {'a/b': '1'}}, 'items': [1, 3]}
    patched(target, [{'op': 'replace', 'path': '/metadata/labels/a~1b', 'value': '2'},
                     {'op': 'add', 'path': '/items/1', 'value': 2}, {'op': 'add', 'path': '/items/-', 'value': 4},
                     {'op': 'remove', 'path': '/items/0'}])
    assert target == {'kind': 'X', 'metadata': {'name': 'x', 'labels': {'a/b': '2'}}, 'items': [2, 3, 4]}
    for wrong in ({'op': 'replace', 'path': '/none', 'value': 1}, {'op': 'remove', 'path': '/items/7'},
                  {'op': 'add', 'path': '/none/a', 'value': 1}):
        with pytest.raises(InputError, match='nothing to'):
            patched(target, [wrong])
    with pytest.raises(InputError, match="'copy' is not done here"):
        patched(target, [{'op': 'copy', 'path': '/items/0', 'from': '/items/1'}])
