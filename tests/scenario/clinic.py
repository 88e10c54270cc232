"""The clinic: a scenario small enough to edit, break and simulate hundreds of times."""

from pathlib import Path
from typing import Any

from sim.loading import load
from sim.lowering import lower
from sim.model import Model
from sim.results.summary import summarise
from sim.running import run_model
from sim.scenario import Scenario

CLINIC = Path(__file__).with_name('clinic.yaml')
TEXT = CLINIC.read_text('utf-8')
ALL_HOURS = range(24)


def edited(old: str, new: str) -> str:
    """Return the clinic's file with one text replaced."""
    assert TEXT.count(old) == 1, f'{old!r} must be there once to be replaced'
    return TEXT.replace(old, new)


def scenario_of(*overrides: str) -> Scenario:
    """Return the clinic with overrides."""
    return load(CLINIC, overrides)[0]


def model_of(*overrides: str) -> Model:
    """Return the clinic with overrides, lowered."""
    return lower(*load(CLINIC, overrides))


def summary_of(*overrides: str) -> list[dict[str, Any]]:
    """Return the metrics of a run of the clinic with overrides."""
    return summarise(run_model(model_of(*overrides), trace='none'))


def by_hour(*multipliers: str) -> str:
    """Return a list of 24 multipliers that repeats the given ones."""
    return f'[{", ".join(multipliers[hour % len(multipliers)] for hour in ALL_HOURS)}]'
