from collections.abc import Callable, Iterator

import pytest

from hil.broker.connection import Connection, Waits, connect
from hil.broker.names import Role, new_run
from hil.broker.private import PrivateBroker

Connect = Callable[..., Connection]


@pytest.fixture
def run() -> str:
    """A run that no other test has."""
    return new_run()


@pytest.fixture
def opened(broker: PrivateBroker) -> Iterator[Connect]:
    """A function that opens a connection of a role, closed in the end."""
    connections = list[Connection]()

    def open_one(role: Role, waits: Waits | None = None) -> Connection:
        connections.append(connect(broker.endpoint, broker.users[role], f'test {role}', waits))
        return connections[-1]

    yield open_one
    for connection in connections:
        connection.close()
