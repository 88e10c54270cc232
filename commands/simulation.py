"""Commands about scenarios and runs that are simulated; each imports what it needs when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.interrupts import unwinding
from analysis.terminal import say, show
from commands.options import Engine, Jobs, Out, Overrides, ScenarioName

if TYPE_CHECKING:
    from sim.replicating import Plan
    from sim.results.folder import Run


def check(
    scenario: Annotated[str | None, typer.Argument(metavar='SCENARIO')] = None,
    overrides: Overrides = None,
    *,
    schema: Annotated[bool, typer.Option('--schema', help='Print the JSON Schema of scenarios instead.')] = False,
) -> None:
    """Validate a scenario and print what it resolves to."""
    import json

    from sim.loading import load
    from sim.lowering import lower
    from sim.resolving import resolved_yaml
    from sim.scenario import Scenario

    if schema:
        say(json.dumps(Scenario.model_json_schema(mode='serialization'), indent=2) + '\n')
        return
    if scenario is None:
        raise typer.BadParameter('give a SCENARIO, or --schema')
    loaded, origin = load(scenario, overrides or [])
    model = lower(loaded, origin)
    n_devices = int((model.entities.attachment >= 0).sum())
    say(f'{resolved_yaml(loaded, origin.arrivals)}# {n_devices:,} devices of {len(loaded.devices)} classes, '
         f'{model.stations.n:,} stations, {model.routes.stream.size:,} route templates\n')


def run(
    scenario: ScenarioName,
    *,
    engine: Engine = 'auto',
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="In place of the scenario's.")] = None,
    replications: Annotated[int | None, typer.Option(min=1, max=10_000, help='Seeds, one after the other.')] = None,
    jobs: Jobs = 0,
    overrides: Overrides = None,
    trace: Annotated[str, typer.Option(metavar='none|jobs|stages', help='How much to write of each job.')] = 'jobs',
    out: Out = Path('results'),
) -> None:
    """Simulate a scenario and leave a run folder for each seed."""
    from analysis.replication_report import write_replications
    from analysis.report import write_report
    from analysis.tables import run_tables
    from sim.loading import load
    from sim.replicating import plan_runs
    from sim.running import ENGINES

    _one_of('--engine', engine, ENGINES)
    _one_of('--trace', trace, ('none', 'jobs', 'stages'))
    loaded, origin = load(scenario, overrides or [])
    first = loaded.seed if seed is None else seed
    plans = plan_runs(loaded, origin, range(first, first + (replications or loaded.replications)), engine)
    runs = _simulate(plans, trace=trace, jobs=jobs, out=out, finish=write_report)
    show(run_tables(runs))
    if len(runs) > 1:
        with unwinding():
            folder = write_replications(runs, runs[0].folder.parent)
        say(f'{len(runs)} runs; every mean and percentile with its 95 % interval: {folder / "summary.json"}\n'
            f'report: {folder / "report.html"}\n')
        return
    manifest = runs[0].manifest
    say(f'{manifest["n_jobs"]:,} jobs, {manifest["n_hops"]:,} hops, {manifest["n_events"]:,} events in '
         f'{manifest["engine_wall_s"]:.1f} s by the {manifest["engine"]} engine\n'
         f'report: {runs[0].folder / "report.html"}\n')


def compare(
    scenarios: Annotated[list[str], typer.Argument(metavar='A B [C …]', help='Scenarios, or folders of runs.')],
    *,
    replications: Annotated[int, typer.Option(min=1, max=10_000, help='Seeds for each scenario.')] = 5,
    jobs: Jobs = 0,
    overrides: Overrides = None,
    out: Out = Path('results'),
) -> None:
    """Compare scenarios with the first: paired differences with 95 % intervals."""
    from analysis.compare import check_comparable, common_seeds
    from analysis.compare import compare as compare_runs
    from analysis.comparison_report import Side, worlds, write_comparison
    from analysis.sheets import comparison_sheet
    from analysis.tables import Fitting, security_line, warning_lines
    from sim.loading import load
    from sim.replicating import plan_runs
    from sim.results.folder import find_runs
    from sim.running import prepare

    if len(scenarios) < 2:
        raise typer.BadParameter('give at least two scenarios')
    given = {name: find_runs(Path(name)) for name in scenarios if _is_folder(name)}
    # Summaries are read here, so that damage is told before anything is simulated.
    seeds = {name: [run.manifest['seed'] for run in side if run.summary] for name, side in given.items()}
    plans: list[Plan] = []
    for name in scenarios:
        if name not in given:
            loaded, origin = load(name, overrides or [])
            planned = plan_runs(loaded, origin, range(loaded.seed, loaded.seed + replications))
            plans += planned
            seeds[name] = [plan.seed for plan in planned]
    for name in scenarios[1:]:
        common_seeds(seeds[scenarios[0]], seeds[name])
        if scenarios[0] in given and name in given:
            check_comparable(given[scenarios[0]], given[name])
    for plan in {id(plan.scenario): plan for plan in plans}.values():
        prepare(plan.scenario, plan.origin, plan.profiles)  # a mistake in the last is told before the first one runs
    simulated = iter(_simulate(plans, trace='none', jobs=jobs, out=out / 'compare'))  # not over richer runs
    found = [given[name] if name in given else list(islice(simulated, replications)) for name in scenarios]
    sides = [Side(*each) for each in zip(_names(scenarios, found, given), found, strict=True)]
    differences = [compare_runs(sides[0].runs, other.runs) for other in sides[1:]]
    for other, table in zip(sides[1:], differences, strict=True):
        show(Fitting(comparison_sheet(table, sides[0].name, other.name, worlds(sides[0], other))))
    for side in sides:
        show(security_line(side.runs[0], side.label))
        for line in warning_lines(side.runs, side.label):
            show(line)
    with unwinding():
        say(f'report: {write_comparison(sides, differences, out / "compare")}\n')


def _names(scenarios: Sequence[str], found: Sequence[Sequence[Run]], given: Container[str]) -> list[str]:
    """Return what the sides of a comparison are called.

    A file is called so without its ending, runs by the folder of their scenario; or by that in which the user put
    this, if each side's is another.
    """
    folders = [runs[0].folder.parent.resolve() if name in given else None
               for name, runs in zip(scenarios, found, strict=True)]
    homes = [folder.parent.name for folder in folders if folder]
    is_apart = len(homes) == len(set(homes)) > 1
    return [(folder.parent if is_apart else folder).name if folder else
            Path(name).stem if name.endswith('.yaml') else name
            for name, folder in zip(scenarios, folders, strict=True)]


def report(
    folder: Annotated[Path, typer.Argument(metavar='RUN', help='A run folder, or that of all seeds of a scenario.')],
) -> None:
    """Write one self-contained HTML page for a run, or for all seeds of a scenario."""
    from analysis.replication_report import write_replications
    from analysis.report import write_report
    from sim.results.folder import find_runs

    with unwinding():
        runs = find_runs(folder)
        is_one = runs[0].folder == folder
        page = write_report(folder) if is_one else write_replications(runs, folder) / 'report.html'
    say(f'{page}\n')


def profiles(name: Annotated[str | None, typer.Argument(metavar='NAME')] = None) -> None:
    """List the shipped profiles, or print one: every number with its source."""
    from analysis.profile_table import profile_table
    from analysis.tables import plain_table
    from sim.profiles import load_profile, shipped_profiles, table

    if name is None:
        rows = [{'profile': shipped, 'device': load_profile(shipped).title} for shipped in shipped_profiles()]
        show(plain_table(rows))
    else:
        profile = load_profile(name)
        show(profile_table(profile.title, profile.implementation, table(profile), profile.calibration))


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 - Path.is_dir raises if the name is too long


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"'{value}'; expected one of {', '.join(known)}", param_hint=option)


def _simulate(plans: Sequence[Plan], *, trace: Any, jobs: int, out: Path,
              finish: Callable[[Path], object] | None = None) -> list[Run]:
    """Make runs behind one progress bar."""
    from analysis.progress import progress_bar
    from sim.agreement import is_checked
    from sim.replicating import simulate_all

    if not plans:
        return []
    if sys.stderr.isatty() and any(plan.engine != 'simpy' for plan in plans) and not is_checked():
        print('iomtwin: compiling the engine and checking it, once; this takes a minute or so', file=sys.stderr)
    label = f'{len(plans)} runs' if len(plans) > 1 else plans[0].scenario.name
    with unwinding(), progress_bar(label, [plan.scenario.duration for plan in plans]) as progress:
        return simulate_all(plans, out, n_processes=jobs, trace=trace, finish=finish, progress=progress)
