"""The inventory: the hardware that a run may use, which places its nodes offer, and where the broker is.

A strict YAML file, in the manner of a scenario: unknown keys are errors, and every mistake is told with its line. It
holds no password; it says where passwords are found.
"""

import os
from collections.abc import Mapping
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


class Node(Part):
    """A computer, and the workers on it."""

    places: Mapping[Place, Annotated[int, Field(ge=1, le=WORKERS_MAX)]] = Field(
        min_length=1, description='that it offers, and the workers of each')
    workers: Literal['started', 'elsewhere'] = Field(
        'elsewhere', description='started: processes of this machine, for the run; elsewhere: not by us, as in K3s')


class Inventory(Part):
    """What hardware there is."""

    description: str = ''
    padded: bool = Field(False, description="whether workers play the scenario's own computers: each leg takes as long "
                                            'as the simulation draws for it, at least')
    follows_scenario: bool = Field(False, description='whether there are as many crypto workers as the scenario has '
                                                      'pods, and not as many as the node says')
    broker: Broker
    nodes: Mapping[Name, Node] = Field(min_length=1)

    @model_validator(mode='after')
    def _a_private_broker_is_on_this_machine(self) -> 'Inventory':
        far = [name for name, node in self.nodes.items() if node.workers == 'elsewhere']
        if self.broker.private and far:
            raise ValueError(f"the broker is private, on this machine's loopback, and cannot be reached from {far[0]}; "
                             'write workers: started there, or name a broker')
        return self

    @model_validator(mode='after')
    def _one_node_follows(self) -> 'Inventory':
        if self.follows_scenario and (len(self.nodes) > 1 or next(iter(self.nodes.values())).workers == 'elsewhere'):
            raise ValueError('follows_scenario is for one node whose workers are started; say how many each node has')
        return self

    def following(self, n_pods: int) -> 'Inventory':
        """Return the inventory for a scenario with so many crypto pods."""
        if not self.follows_scenario or not n_pods:
            return self
        ((name, node),) = self.nodes.items()
        places = {place: n_pods if place == 'crypto' else n for place, n in node.places.items()}
        return self.model_copy(update={'nodes': {name: node.model_copy(update={'places': places})}})

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
    return inventory.model_copy(update={'broker': _with_paths(inventory.broker, path.parent)})


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


def _with_paths(broker: Broker, folder: Path) -> Broker:
    """Return a broker whose files are named from everywhere."""
    def absolute(name: str | None) -> str | None:
        return name if name in (None, 'environment') else os.path.abspath(folder / name)  # noqa: PTH100 - see resolve

    return broker.model_copy(update={'ca': absolute(broker.ca), 'credentials': absolute(broker.credentials)})
