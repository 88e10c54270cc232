from collections.abc import Callable, Iterator

import pytest

from hil.broker.connection import Connection, Waits, connect
from hil.broker.errors import BrokerError
from hil.broker.names import Role, new_run_id
from hil.broker.private import PrivateBroker, find_port_mapper, find_server

Connect = Callable[..., Connection]


@pytest.fixture(scope='session')
def rabbitmq() -> None:
    """RabbitMQ, installed; where it is not, tests that need it say how to get it."""
    try:
        find_server()
        find_port_mapper()
    except BrokerError as why:
        pytest.skip(str(why))


@pytest.fixture(scope='session')
def broker(rabbitmq: None) -> Iterator[PrivateBroker]:  # noqa: ARG001 - a fixture takes no mark
    """One broker for all tests of a process; each takes a run of its own on it."""
    with PrivateBroker() as started:
        yield started


@pytest.fixture
def run_id() -> str:
    """A run that no other test has."""
    return new_run_id()


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
