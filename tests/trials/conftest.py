"""The broker's fixtures, for tests that run a testbed."""

from tests.broker.conftest import rabbitmq

__all__ = ['rabbitmq']
