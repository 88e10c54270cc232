"""Runs a scenario: lowers it, chooses the controllers, hands the Model to an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from sim.agreement import check_agreement
from sim.compiling import compilation_timed
from sim.controllers import federated_learning
from sim.engines import Progress, compiled, reference
from sim.flows import FLOWS, Table
from sim.footprint import check_memory
from sim.key_authority import KeyAuthority
from sim.lowering import lower
from sim.memory import forget_peak
from sim.model import Model
from sim.origin import Origin
from sim.profiles import Profile
from sim.resolving import profiles_of
from sim.results.recording import KeyRow, Recording, RoundRow, Trace
from sim.scenario import Scenario
from sim.worlds import Controller

EngineName = Literal['auto', 'simpy', 'compiled']
ENGINES: tuple[EngineName, ...] = ('auto', 'simpy', 'compiled')


@dataclass(frozen=True)
class Lowered:
    """A scenario and its Model, with the profiles that it was made of."""

    scenario: Scenario
    profiles: Mapping[str, Profile]
    model: Model
    wall_s: float
    compile_wall_s: float


@dataclass(frozen=True)
class Measured:
    """What a run in the world `hil` has beside its recording."""

    tables: dict[str, pl.DataFrame]  # what workers measured, by name
    summary: list[dict[str, Any]]  # of it, in rows as `sim.results.summary` has them
    facts: Mapping[str, Any]  # of the testbed, for the manifest
    invalid_because: list[str]  # why the run must not be averaged with others
    logs: Mapping[str, str] = field(default_factory=dict)  # of workers that failed, by name


@dataclass(frozen=True)
class Execution:
    """A recording, and what it took."""

    scenario: Scenario
    profiles: Mapping[str, Profile]
    recording: Recording
    engine: str
    lowering_wall_s: float  # both without compiling, which only the first run after a change does
    engine_wall_s: float
    compile_wall_s: float
    measured: Measured | None = None  # none: all of it is simulated


def execute(scenario: Scenario, origin: Origin, *, engine: EngineName = 'auto', trace: Trace = 'jobs',
            progress: Progress | None = None) -> Execution:
    """Simulate a scenario once, with its own seed.

    `auto` takes the compiled engine, which has the semantics of the reference and is the faster one.

    Raises
    ------
    InputError
        If the scenario cannot be lowered.
    RunError
        If it would take more memory than there is, or if the compiled engine cannot be trusted on this computer.
    """
    return execute_lowered(prepare(scenario, origin), engine=engine, trace=trace, progress=progress)


def prepare(scenario: Scenario, origin: Origin, profiles: Mapping[str, Profile] | None = None,
            table: Table = FLOWS) -> Lowered:
    """Lower a scenario: all that can be wrong with it shows here. The peak memory of its run counts from here on.

    Parameters
    ----------
    profiles
        What it uses, see `resolving.profiles_of`; None: read now.
    table
        What its exchanges go through; `flows.ON_TESTBED` for a model of hardware in the loop.

    Raises
    ------
    InputError
        If its parts do not fit together, or a profile lacks a number.
    """
    forget_peak()
    begin = time.perf_counter()
    with compilation_timed() as compilation:
        profiles = profiles_of(scenario, origin) if profiles is None else profiles
        model = lower(scenario, origin, profiles, table)
    wall_s = time.perf_counter() - begin - compilation.wall_s
    return Lowered(scenario, profiles, model, wall_s, compilation.wall_s)


def execute_lowered(lowered: Lowered, *, engine: EngineName = 'auto', trace: Trace = 'jobs',
                    progress: Progress | None = None) -> Execution:
    """Run a lowered scenario.

    Raises
    ------
    RunError
        If it would take more memory than there is, or if the compiled engine cannot be trusted on this computer.
    """
    check_memory(lowered.model, trace)
    chosen: Literal['simpy', 'compiled'] = 'compiled' if engine == 'auto' else engine
    with compilation_timed() as first_compilation:
        if chosen == 'compiled':
            check_agreement()
    begin = time.perf_counter()
    with compilation_timed() as compilation:
        recording = run_model(lowered.model, engine=chosen, trace=trace, progress=progress)
    wall_s = time.perf_counter() - begin - compilation.wall_s
    return Execution(lowered.scenario, lowered.profiles, recording, chosen, lowered.wall_s, wall_s,
                     lowered.compile_wall_s + first_compilation.wall_s + compilation.wall_s)


def run_model(model: Model, *, engine: Literal['simpy', 'compiled'] = 'simpy', trace: Trace = 'jobs',
              progress: Progress | None = None) -> Recording:
    """Execute a Model with the controllers that its plans ask for; it is not asked whether engines agree."""
    run = reference.run if engine == 'simpy' else compiled.run
    return controlled(model, lambda controllers: run(model, trace=trace, controllers=controllers, progress=progress))


def controlled(model: Model, run: Callable[[tuple[Controller, ...]], Recording]) -> Recording:
    """Let whoever executes a Model do so under the controllers that its plans ask for."""
    rounds: list[RoundRow] = []
    keys: list[KeyRow] = []
    authority = None if model.keys is None else KeyAuthority(model.keys, keys)
    controllers = [] if authority is None else authority.controllers()
    if model.learning is not None:
        controllers.append(federated_learning(model.learning, rounds,
                                              None if authority is None else authority.end_round))
    recording = run(tuple(controllers))
    for row in rounds:
        row.add_marks(recording.marks)
    recording.rounds, recording.keys = rounds, keys
    return recording


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario of one replication."""
    return scenario.model_copy(update={'seed': seed, 'replications': 1})
