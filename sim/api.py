"""The Python API: what the command line does, as functions that return Polars tables.

import sim

results = sim.run(sim.load('ward', ['duration=2 min']), seed=7)
results.summary.filter(pl.col('metric') == 'latency')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sim import loading, running
from sim.loading import Origin
from sim.results import contents, overload, summary, tables
from sim.results.folder import complete_folder
from sim.results.recording import Trace
from sim.scenario import Scenario


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario, and where it came from: errors that are found later point to its lines."""

    scenario: Scenario
    origin: Origin


@dataclass(frozen=True)
class Results:
    """What a run left: tables as in a run folder."""

    execution: running.Execution

    @cached_property
    def summary(self) -> pl.DataFrame:
        """One row a metric, the columns of summary.json."""
        return pl.DataFrame(summary.summarise(self.execution.recording), infer_schema_length=None)

    @cached_property
    def warnings(self) -> list[str]:
        """What to know before the numbers: see `sim.results.overload`."""
        return overload.warnings(self.execution.recording)

    def table(self, name: str) -> pl.DataFrame:
        """Return `jobs`, `stages`, `rounds`, `devices` or `stations`; empty where the run has none."""
        return tables.tables(self.execution.recording).get(name, pl.DataFrame())

    def write(self, folder: str | Path) -> Path:
        """Write a run folder, whole or not at all, and return it."""
        with complete_folder(Path(folder)) as partial:
            contents.write_run(partial, self.execution)
        return Path(folder)


def load(source: str | Path, overrides: Sequence[str] = ()) -> LoadedScenario:
    """Read a scenario: a path, or the name of a shipped one; `overrides` are ``key=value`` each.

    Raises
    ------
    InputError
        With one line: file, line, key, what was found and what to do.
    """
    return LoadedScenario(*loading.load(source, overrides))


def run(loaded: LoadedScenario, *, seed: int | None = None, trace: Trace = 'jobs', **options: Any) -> Results:
    """Simulate a scenario once; `seed` takes the place of the scenario's own.

    Raises
    ------
    InputError
        If the scenario's parts do not fit together, or a profile lacks a number.
    """
    scenario = running.with_seed(loaded.scenario, loaded.scenario.seed if seed is None else seed)
    return Results(running.execute(scenario, loaded.origin, trace=trace, **options))
