"""The Python API: what the command line does, as functions that return Polars tables.

import sim

results = sim.run(sim.load('ward', ['duration=2 min']), seed=7)
print(results.summary.filter(metric='latency').select('metric', 'flow', 'n', 'p50', 'p99'))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from sim import loading, running
from sim.engines import Progress
from sim.errors import InputError, suggestion
from sim.origin import Origin
from sim.results import contents, overload, summary, tables
from sim.results.files import COLUMNS
from sim.results.folder import complete_folder
from sim.results.recording import Trace
from sim.running import EngineName
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
        """Return `jobs`, `stages`, `rounds`, `keys`, `devices` or `stations`; empty where the run has none.

        Raises
        ------
        InputError
            If there is no table of this name.
        """
        if name not in COLUMNS:
            raise InputError(f"'{name}' is no table of a run; {suggestion(name, COLUMNS)}")
        return self._tables.get(name, pl.DataFrame())

    @cached_property
    def _tables(self) -> dict[str, pl.DataFrame]:
        return tables.tables(self.execution.recording)

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


def run(loaded: LoadedScenario, *, seed: int | None = None, engine: EngineName = 'auto', trace: Trace = 'jobs',
        progress: Progress | None = None) -> Results:
    """Simulate a scenario once.

    Parameters
    ----------
    seed
        In place of the scenario's own.
    engine
        ``'compiled'``, which ``'auto'`` takes, or ``'simpy'``: the same times, more slowly.
    trace
        Of which tables there are rows: ``'none'``, ``'jobs'``, or ``'stages'``, jobs with their hops.
    progress
        Is told simulated seconds and jobs launched now and then.

    Raises
    ------
    InputError
        If the scenario's parts do not fit together, or a profile lacks a number.
    RunError
        If it would take more memory than there is.
    """
    scenario = running.with_seed(loaded.scenario, loaded.scenario.seed if seed is None else seed)
    return Results(running.execute(scenario, loaded.origin, engine=engine, trace=trace, progress=progress))
