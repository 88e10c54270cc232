"""The inventory: the hardware that a run may use, which places its nodes offer, and where the broker is.

A strict YAML file, in the manner of a scenario: unknown keys are errors, and every mistake is told with its line. It
holds no password; it says where passwords are found.
"""

import os
from collections.abc import Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hil.broker.connection import Endpoint
from hil.broker.credentials import Credentials, from_environment, from_file
from hil.broker.names import Place, Role
from sim.errors import InputError
from sim.loading import SHIPPED as SCENARIOS
from sim.mistakes import first_mistake
from sim.scenario import Part
from sim.values import Name
from sim.yaml_source import in_file, line_of, read_file, read_yaml

SHIPPED = SCENARIOS / 'inventories'
WORKERS_MAX = 64  # of one place on one node; a server has as many cores


def _broker_url(text: str) -> str:
    try:
        Endpoint(text, Path()).parts()
    except InputError as error:
        raise ValueError(str(error)) from None
    return text


class Broker(Part):
    """Where the broker is; either private, or all of url, ca and credentials."""

    private: bool = Field(False, description='started on this machine for the run, and gone with it')
    url: Annotated[str, AfterValidator(_broker_url)] | None = Field(None, description='amqps://HOST:PORT/VHOST')
    ca: str | None = Field(None, description="PEM certificate of the authority that signed the broker's; a path from "
                                             "the inventory's folder")
    credentials: str | None = Field(None, description="'environment', or the path of a file that only its owner reads")
    queues: Literal['classic', 'quorum'] = Field('classic', description='quorum: each message is on disk of more than '
                                                                        'one broker, where there are several')

    @model_validator(mode='after')
    def _one_broker(self) -> 'Broker':
        named = [name for name in ('url', 'ca', 'credentials') if getattr(self, name) is not None]
        if self.private and named:
            raise ValueError(f'is private and names {" and ".join(named)}; a private broker has its own, remove it')
        if not self.private and len(named) < 3:
            raise ValueError(f'names {" and ".join(named) or "nothing"}; expected url, ca and credentials, or '
                             'private: true')
        return self

    def endpoint(self) -> Endpoint:
        """Return where a broker is that is not private."""
        if self.url is None or self.ca is None:
            raise AssertionError('a private broker says itself where it is')
        return Endpoint(self.url, Path(self.ca))

    def credentials_of(self, role: Role) -> Credentials:
        """Return the credentials of a role for a broker that is not private.

        Raises
        ------
        InputError
            If they are not where the inventory says.
        """
        if self.credentials is None:
            raise AssertionError('a private broker makes its own credentials')
        return from_environment(role) if self.credentials == 'environment' else from_file(role, Path(self.credentials))


class Cluster(Part):
    """A Kubernetes cluster whose pods are the workers."""

    overlay: Literal['lab', 'one-node', 'broker-in-cluster'] = Field('lab', description='a folder of k3s/overlays')
    namespace: Name = 'iomtwin'
    context: str | None = Field(None, description='of the kubeconfig; none: the current one')
    image: str = Field('localhost/iomtwin-worker:0.1.0', min_length=1, description='that is loaded onto each node')
    twin: str | None = Field(None, description='address that the twin reaches a broker in the cluster from')
    broker_files: str | None = Field(None, description='folder that k3s/prepare_broker.py wrote, for a broker in the '
                                                       'cluster')


class Node(Part):
    """A computer, and the workers on it."""

    places: Mapping[Place, Annotated[int, Field(ge=1, le=WORKERS_MAX)]] = Field(
        min_length=1, description='that it offers, and the workers of each')
    workers: Literal['started', 'elsewhere'] = Field(
        'elsewhere', description='started: processes of this machine, for the run; elsewhere: by people, or pods of '
                                 'the cluster')


class Inventory(Part):
    """What hardware there is."""

    description: str = ''
    padded: bool = Field(False, description="whether workers play the scenario's own computers: each leg takes as long "
                                            'as the simulation draws for it, at least')
    follows_scenario: bool = Field(False, description='whether there are as many crypto workers as the scenario has '
                                                      'pods, and not as many as the node says')
    broker: Broker
    cluster: Cluster | None = Field(None, description='none: workers are processes, here or elsewhere')
    nodes: Mapping[Name, Node] = Field(min_length=1, description='by the names that a cluster has for them')

    @model_validator(mode='after')
    def _a_private_broker_is_on_this_machine(self) -> 'Inventory':
        far = [name for name, node in self.nodes.items() if node.workers == 'elsewhere']
        if self.broker.private and far:
            raise ValueError(f"the broker is private, on this machine's loopback, and cannot be reached from {far[0]}; "
                             'write workers: started there, or name a broker')
        return self

    @model_validator(mode='after')
    def _a_cluster_starts_its_workers(self) -> 'Inventory':
        near = [name for name, node in self.nodes.items() if node.workers == 'started']
        if self.cluster is not None and near:
            raise ValueError(f'{near[0]} starts workers on this machine, and a cluster has its own; write workers: '
                             'elsewhere, or leave cluster out')
        return self

    @model_validator(mode='after')
    def _one_node_follows(self) -> 'Inventory':
        is_one = len(self.nodes) == 1 and next(iter(self.nodes.values())).workers == 'started'
        if self.follows_scenario and self.cluster is None and not is_one:
            raise ValueError('follows_scenario is for one node whose workers are started, or for a cluster; say how '
                             'many each node has')
        return self

    def following(self, n_pods: Sequence[int]) -> 'Inventory':
        """Return the inventory for a scenario with so many crypto pods on each of its edge nodes, in their order.

        A cluster's nodes that offer the crypto place play those of the scenario, in the order of both.

        Raises
        ------
        InputError
            If the cluster has too few of them.
        """
        if not self.follows_scenario or not sum(n_pods):
            return self
        playing = self.playing()
        numbers = list(n_pods) if self.cluster is not None else [sum(n_pods)]
        while numbers and not numbers[-1]:
            numbers.pop()
        if len(numbers) > len(playing):
            raise InputError(f'the scenario has crypto workers on {len(numbers)} nodes, the inventory offers the place '
                             f'on {len(playing)}; add nodes, or set crypto.placement or edge.nodes')
        found = dict(self.nodes)
        for i, name in enumerate(playing):
            others = {place: n for place, n in found[name].places.items() if place != 'crypto'}
            own = {'crypto': numbers[i]} if i < len(numbers) and numbers[i] else {}
            found[name] = found[name].model_copy(update={'places': own | others})
        return self.model_copy(update={'nodes': found})

    def playing(self) -> list[str]:
        """Return the nodes that offer the crypto place, in their order."""
        return [name for name, node in self.nodes.items() if 'crypto' in node.places]

    def with_crypto_on(self, name: str) -> 'Inventory':
        """Return the inventory with the crypto place on one node alone; a node that offers nothing else is left out."""
        found = {}
        for each, node in self.nodes.items():
            places = {place: n for place, n in node.places.items() if place != 'crypto' or each == name}
            if places:
                found[each] = node.model_copy(update={'places': places})
        return self.model_copy(update={'nodes': found})

    def started(self, places: Container[Place]) -> dict[str, Place]:
        """Return the workers of these places that are processes of this machine: their names, and the place of each."""
        return {f'{name}-{place}-{i + 1}': place for name, node in self.nodes.items() if node.workers == 'started'
                for place, n in node.places.items() if place in places for i in range(n)}

    def n_workers(self, place: Place) -> int:
        """Return how many workers offer a place; none: it is simulated."""
        return sum(node.places.get(place, 0) for node in self.nodes.values())


def load_inventory(source: str | Path) -> Inventory:
    """Read an inventory: a path, or the name of a shipped one. Paths in it begin at its folder.

    Raises
    ------
    InputError
        With one line: file, line, key, what was found and what to do.
    """
    path = _find(source)
    file = str(source) if path == Path(source) else f'scenarios/inventories/{path.name}'
    where = partial(in_file, file)
    data, marks = read_yaml(read_file(path, file), where)
    if not isinstance(data, dict):
        raise InputError(f'{file}:1: holds no keys; expected an inventory; see scenarios/inventories/local.yaml')
    try:
        inventory = Inventory.model_validate(data)
    except ValidationError as error:
        location, sentence = first_mistake(error, data, Inventory)
        raise InputError(f'{where(line_of(marks, location), location)}: {sentence}') from None
    return _with_paths(inventory, path.parent)


def shipped_inventories() -> list[str]:
    """Return the names of the inventories that come with iomtwin."""
    return sorted(path.stem for path in SHIPPED.glob('*.yaml'))


def _find(source: str | Path) -> Path:
    if str(source) in shipped_inventories():
        return SHIPPED / f'{source}.yaml'
    if Path(source).suffix not in ('.yaml', '.yml'):
        raise InputError(f"'{source}' is neither a .yaml file nor a shipped inventory; write a path or one of "
                         f'{", ".join(shipped_inventories())}')
    return Path(source)


def _with_paths(inventory: Inventory, folder: Path) -> Inventory:
    """Return an inventory whose files are named from everywhere."""
    def absolute(name: str | None) -> str | None:
        if name in (None, 'environment'):
            return name
        return os.path.abspath(folder / os.path.expanduser(name))  # noqa: PTH100, PTH111 - see resolve

    broker, cluster = inventory.broker, inventory.cluster
    broker = broker.model_copy(update={'ca': absolute(broker.ca), 'credentials': absolute(broker.credentials)})
    if cluster is not None:
        cluster = cluster.model_copy(update={'broker_files': absolute(cluster.broker_files)})
    return inventory.model_copy(update={'broker': broker, 'cluster': cluster})
