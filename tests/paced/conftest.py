"""The laboratory that the tests of this folder run, and the broker's fixtures."""

from pathlib import Path

from sim.loading import load
from sim.origin import Origin
from sim.scenario import Scenario
from tests.broker.conftest import rabbitmq

__all__ = ['LAB', 'lab', 'rabbitmq']
LAB = Path(__file__).parent / 'lab.yaml'


def lab(*overrides: str) -> tuple[Scenario, Origin]:
    """Return the laboratory, with some keys overridden."""
    return load(str(LAB), list(overrides))
