"""The cluster that the tests of this folder run against, its nodes, and a broker beside it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import pytest

from hil.broker.private import PrivateBroker
from hil.cluster.client import Api, connect
from hil.cluster.deploying import GONE_S_MAX, delete
from tests.cluster.agent import NodeAgent
from tests.cluster.control_plane import ControlPlane, binaries, control_plane

IMAGE = 'localhost/iomtwin-worker:0.1.0'
SKIPPED = ('NOT TESTED: the deployer against a real API server. Nothing was built; run '
           'tests/cluster/build_control_plane.sh')
NODES = ('pi-1', 'pi-2', 'pi-3')


@pytest.fixture(scope='session')
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane without nodes."""
    programs = binaries()
    if programs is None:
        pytest.skip(SKIPPED)
    with control_plane(tmp_path_factory.mktemp('plane'), programs) as found:
        yield found


@pytest.fixture(scope='session')
def broker(rabbitmq: None) -> Iterator[PrivateBroker]:
    """A broker on the loopback."""
    del rabbitmq
    with PrivateBroker() as found:
        yield found


@dataclass
class Lab:
    """A cluster of some nodes, and the inventory that is of it."""

    plane: ControlPlane
    folder: Path
    broker: PrivateBroker
    namespace: str
    make: Callable[..., NodeAgent]  # a node, to be entered
    start: Callable[..., NodeAgent]  # a node that is gone with the test

    def inventory(self, nodes: dict[str, dict[str, int]], *, url: str = '', overlay: str = 'lab', image: str = IMAGE,
                  follows: bool = False) -> Path:
        """Write an inventory and return its file."""
        secret = self.folder / 'credentials.json'
        secret.write_text(json.dumps({role: asdict(user) for role, user in self.broker.users.items()}))
        secret.chmod(0o600)
        path = self.folder / 'inventory.yaml'
        path.write_text(json.dumps({
            'cluster': {'overlay': overlay, 'namespace': self.namespace, 'image': image},
            'follows_scenario': follows,
            'broker': {'url': url or self.broker.endpoint.url, 'ca': str(self.broker.endpoint.ca),
                       'credentials': str(secret)},
            'nodes': {name: {'places': places} for name, places in nodes.items()}}))
        return path

    def environment(self, user: str = 'operator') -> dict[str, str]:
        """Return the environment of a command as a user."""
        return os.environ | {'KUBECONFIG': str(self.plane.kubeconfigs[user])}

    def api(self, user: str = 'admin') -> Api:
        """Return the API as a user."""
        return connect(None, self.namespace, str(self.plane.kubeconfigs[user]))


@pytest.fixture
def lab(plane: ControlPlane, broker: PrivateBroker, tmp_path: Path) -> Iterator[Lab]:
    """A cluster whose nodes the test starts; they are gone with it, and so is what was deployed."""
    numbers = count()
    with ExitStack() as stack:

        def make(name: str, **options: object) -> NodeAgent:
            folder = tmp_path / 'nodes' / str(next(numbers))
            return NodeAgent(plane.kubeconfigs['admin'], name, folder, **({'images': (IMAGE,)} | options))

        found = Lab(plane, tmp_path, broker, 'iomtwin', make, lambda *names, **options: stack.enter_context(
            make(*names, **options)))
        yield found
        if found.api().find('Namespace', found.namespace):
            delete(found.api())
    until = time.monotonic() + GONE_S_MAX
    while found.api().find('Namespace', found.namespace):
        assert time.monotonic() < until, 'the namespace is still there'
        time.sleep(0.5)
