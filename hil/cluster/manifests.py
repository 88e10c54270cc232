"""What an inventory asks of a cluster, as objects: an overlay of ``k3s/``, with the inventory's own numbers in it.

The overlay says how workers run; the inventory says where the broker is, which image they run, and how many of each
place are on each node. One worker of the crypto place a node is the DaemonSet's; those beyond it, and workers of other
places, are a Deployment each that is pinned to its node by name. A scheduler that spread or packed them by itself would
put them where it likes, and the model says where they are.
"""

from __future__ import annotations

import copy
import hashlib
import ipaddress
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hil.broker.credentials import to_environment
from hil.cluster.kinds import CALIBRATION, HOSTNAME, NODE, PLACE, REVISION, WORKER
from hil.cluster.kustomization import Object, find, patched, read_kustomization
from sim.errors import InputError

if TYPE_CHECKING:
    from hil.broker.names import Place
    from hil.inventory import Cluster, Inventory

K3S = Path(__file__).resolve().parents[2] / 'k3s'
EXTRA, BROKER, CA, RABBITMQ = 'iomtwin-extra', 'iomtwin-broker', 'iomtwin-broker-ca', 'iomtwin-rabbitmq'
LABELS = {'app.kubernetes.io/part-of': 'iomtwin', 'app.kubernetes.io/managed-by': 'iomtwin'}
# What a Secret's file may be: the certificates, configuration and users that k3s/prepare_broker.py writes.
BROKER_FILES = ('ca.pem', 'definitions.json', 'rabbitmq.conf', 'server.key', 'server.pem')
BROKER_FILE_BYTES_MAX = 1 << 17


def manifests(inventory: Inventory) -> list[Object]:
    """Return the objects of an inventory, but its Secrets, in the order in which they are applied.

    Raises
    ------
    InputError
        If the inventory is of no cluster, or its broker has a name in place of an address.
    """
    cluster = cluster_of(inventory)
    objects = read_kustomization(K3S / 'overlays' / cluster.overlay)
    endpoint = inventory.broker.endpoint()
    host, port, _ = endpoint.parts()
    find(objects, 'ConfigMap', BROKER)['data']['url'] = endpoint.url
    patched(find(objects, 'NetworkPolicy', WORKER), [
        {'op': 'replace', 'path': '/spec/egress/0/to/0/ipBlock/cidr', 'value': _address(host, 'broker.url')},
        {'op': 'replace', 'path': '/spec/egress/0/ports/0/port', 'value': port}])
    if cluster.overlay == 'broker-in-cluster':
        _let_the_twin_in(objects, cluster, port)
    template = find(objects, 'Deployment', EXTRA)
    objects.remove(template)
    objects += [_extra(template, node, place, n) for node, place, n in _extras(inventory)]
    for each in _workloads(objects):
        _set_image(each, cluster.image)
    return _in_namespace(objects, cluster.namespace)


def secrets(inventory: Inventory) -> list[Object]:
    """Return the Secrets of an inventory: the broker's certificate, the users of the places, and a broker's own files.

    Raises
    ------
    InputError
        If a file or a user is not where the inventory says.
    """
    cluster, broker = cluster_of(inventory), inventory.broker
    places: set[Place] = {place for node in inventory.nodes.values() for place in node.places} | {'crypto'}
    found = [_secret(CA, {'ca.pem': _text(broker.endpoint().ca)})]
    found += [_secret(f'{BROKER}-{place}', to_environment(place, broker.credentials_of(place)))
              for place in sorted(places)]
    if cluster.broker_files is not None:
        folder = Path(cluster.broker_files)
        found.append(_secret(RABBITMQ, {name: _text(folder / name) for name in BROKER_FILES}))
    return _in_namespace(found, cluster.namespace)


def stamped(objects: list[Object], broker_secrets: list[Object]) -> frozenset[str]:
    """Mark pods with their revision: what they are made from and the broker they are started for; return all marks.

    With another broker a pod starts again. The mark is of what anybody may see; a new broker's certificate is new,
    whatever its passwords are.
    """
    url = find(objects, 'ConfigMap', BROKER)['data']['url']
    ca = find(broker_secrets, 'Secret', CA)['data']['ca.pem']
    marks = set()
    for each in _workloads(objects):
        template = each['spec']['template']
        made_from = json.dumps([template, url, ca], sort_keys=True)
        mark = hashlib.sha256(made_from.encode()).hexdigest()[:16]
        template['metadata'].setdefault('annotations', {})[REVISION] = mark
        marks.add(mark)
    return frozenset(marks)


def calibration_job(inventory: Inventory, node: str, seconds: float) -> Object:
    """Return the Job that calibrates a node of an inventory."""
    cluster = cluster_of(inventory)
    (job,) = read_kustomization(K3S / 'calibration')
    job['metadata']['name'] = f'{CALIBRATION}-{node}'
    pod = job['spec']['template']['spec']
    pod['nodeSelector'][HOSTNAME] = node
    pod['containers'][0]['args'] = [f'--name={node}', f'--seconds={seconds:g}']
    _set_image(job, cluster.image)
    return _in_namespace([job], cluster.namespace)[0]


def cluster_of(inventory: Inventory) -> Cluster:
    """Return what an inventory says of its cluster.

    Raises
    ------
    InputError
        If it says nothing.
    """
    if inventory.cluster is None:
        raise InputError('the inventory names no cluster; expected the key cluster, as in '
                         'scenarios/inventories/lab.yaml')
    return inventory.cluster


def _extras(inventory: Inventory) -> Iterator[tuple[str, Place, int]]:
    """Yield node, place and number of the workers that the DaemonSet does not start."""
    for name, node in inventory.nodes.items():
        for place, n in node.places.items():
            beyond = n - 1 if place == 'crypto' else n
            if beyond:
                yield name, place, beyond


def _extra(template: Object, node: str, place: Place, n: int) -> Object:
    """Return the Deployment of some workers of a place on one node."""
    found = copy.deepcopy(template)
    found['metadata']['name'] = f'{EXTRA}-{node}-{place}'
    spec = found['spec']
    spec['replicas'] = n
    own = {NODE: node, PLACE: place}
    spec['selector']['matchLabels'] |= own
    spec['template']['metadata']['labels'] |= own
    pod = spec['template']['spec']
    pod['nodeSelector'][HOSTNAME] = node
    pod['containers'][0]['envFrom'][0]['secretRef']['name'] = f'{BROKER}-{place}'
    return found


def _let_the_twin_in(objects: list[Object], cluster: Cluster, port: int) -> None:
    if cluster.twin is None:
        raise InputError('cluster.twin: is missing; expected the address of the computer that runs the twin: the '
                         "broker's network policy lets it in")
    twin = _address(cluster.twin, 'cluster.twin')
    patched(find(objects, 'NetworkPolicy', RABBITMQ), [
        {'op': 'replace', 'path': '/spec/ingress/0/from/1/ipBlock/cidr', 'value': twin}])
    patched(find(objects, 'Service', RABBITMQ), [{'op': 'replace', 'path': '/spec/ports/0/nodePort', 'value': port}])


def _address(host: str, where: str) -> str:
    """Return the block of one address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise InputError(f"{where}: '{host}' is a name; expected an address, which is what a network policy lets "
                         'through: write the address') from None
    return f'{address}/{address.max_prefixlen}'


def _workloads(objects: list[Object]) -> Iterator[Object]:
    """Yield the objects that run our workers."""
    for each in objects:
        if 'template' in each.get('spec', {}) and each['metadata']['name'] != RABBITMQ:
            yield each


def _set_image(workload: Object, image: str) -> None:
    workload['spec']['template']['spec']['containers'][0]['image'] = image


def _in_namespace(objects: list[Object], namespace: str) -> list[Object]:
    for each in objects:
        if each['kind'] == 'Namespace':
            each['metadata']['name'] = namespace
        else:
            each['metadata']['namespace'] = namespace
    return objects


def _secret(name: str, texts: dict[str, str]) -> Object:
    data = {key: b64encode(text.encode()).decode() for key, text in texts.items()}
    return {'apiVersion': 'v1', 'kind': 'Secret', 'type': 'Opaque', 'data': data,
            'metadata': {'name': name, 'labels': dict(LABELS)}}


def _text(path: Path) -> str:
    try:
        with path.open(encoding='utf-8') as stream:
            return stream.read(BROKER_FILE_BYTES_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: cannot be read ({getattr(error, "strerror", None) or error}); let '
                         'k3s/prepare_broker.py write it, or correct the inventory') from None
