"""The laboratory that the tests of this folder run."""

from pathlib import Path

from sim.loading import load
from sim.origin import Origin
from sim.scenario import Scenario

LAB = Path(__file__).parent / 'lab.yaml'


def lab(*overrides: str) -> tuple[Scenario, Origin]:
    """Return the laboratory, with some keys overridden."""
    return load(str(LAB), list(overrides))
