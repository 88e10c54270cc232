"""The broker of the broker's own tests: one in a process; each test of a worker has a run of its own on it."""

from tests.broker.conftest import broker, rabbitmq

__all__ = ['broker', 'rabbitmq']
