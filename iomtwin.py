"""The command line: a thin door to sim and analysis, which it imports inside its commands.

Errors that iomtwin raises on purpose are one line and an exit code: 2 for bad input, 1 for a failed run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType

from sim.errors import IomtwinError, one_line

if TYPE_CHECKING:
    from sim.replicating import Plan
    from sim.results.folder import Run

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="A twin of a hospital's Internet of Medical Things under post-quantum cryptography.")
PIPED_COLUMNS = 110  # of output that goes to a file
INTERRUPTED = 130  # 128 + SIGINT, as shells have it; typer makes it of an interrupt

ScenarioName = Annotated[str, typer.Argument(metavar='SCENARIO', help='A .yaml file, or the name of a shipped one.')]
Overrides = Annotated[list[str] | None,
                      typer.Option('--set', metavar='KEY=VALUE', help='Override one key; repeatable.')]
Engine = Annotated[Any, typer.Option(metavar='auto|simpy|compiled', help='auto: compiled, the same times fast.')]
Out = Annotated[Path, typer.Option(metavar='DIR', help='Where run folders go.')]
Jobs = Annotated[int, typer.Option(min=0, max=4096, help='Processes for replications; 0: one a core.')]


def main() -> None:
    """Run the command line and turn errors into one line and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us politely interrupts us
    try:
        code = app(standalone_mode=False) or 0  # what a command returns is nothing; of an early exit, its code
    except IomtwinError as error:
        print(f'iomtwin: {error}', file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        code = _usage(error)
    if code == INTERRUPTED:
        print('iomtwin: interrupted; finished runs are kept, the unfinished one is removed', file=sys.stderr)
    if code:
        sys.exit(code)


def _usage(error: Exception) -> int:
    """Print a usage error of the command line; raise anything else."""
    message: Callable[[], str] | None = getattr(error, 'format_message', None)
    if message is None:
        raise error
    print(f'iomtwin: {one_line(message())} (iomtwin --help lists the commands)', file=sys.stderr)
    return 2


@app.command()
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
        print(json.dumps(Scenario.model_json_schema(), indent=2))
        return
    if scenario is None:
        raise typer.BadParameter('give a SCENARIO, or --schema')
    loaded, origin = load(scenario, overrides or [])
    model = lower(loaded, origin)
    print(resolved_yaml(loaded, origin.arrivals), end='')
    n_devices = int((model.entities.attachment >= 0).sum())
    print(f'# {n_devices:,} devices of {len(loaded.devices)} classes, {model.stations.n:,} stations, '
          f'{model.routes.stream.size:,} route templates')


@app.command()
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
    from analysis.replications import write
    from analysis.report import write_report
    from analysis.tables import run_tables
    from sim.loading import load
    from sim.replicating import Plan
    from sim.running import ENGINES

    _one_of('--engine', engine, ENGINES)
    _one_of('--trace', trace, ('none', 'jobs', 'stages'))
    loaded, origin = load(scenario, overrides or [])
    first = loaded.seed if seed is None else seed
    plans = [Plan(loaded, origin, first + i, engine) for i in range(replications or loaded.replications)]
    runs = _simulate(plans, trace=trace, jobs=jobs, out=out, finish=write_report)
    _print(run_tables(runs))
    if len(runs) > 1:
        folder = runs[0].folder.parent
        write(runs, folder)
        print(f'{len(runs)} runs; every mean and percentile with its 95 % interval: {folder / "summary.json"}')
        return
    manifest = runs[0].manifest
    print(f'{manifest["n_jobs"]:,} messages, {manifest["n_hops"]:,} hops, {manifest["n_events"]:,} events in '
          f'{manifest["engine_wall_s"]:.1f} s by the {manifest["engine"]} engine')
    print(f'report: {runs[0].folder / "report.html"}')


@app.command()
def compare(
    scenarios: Annotated[list[str], typer.Argument(metavar='A B [C …]', help='Scenarios, or folders of runs.')],
    *,
    replications: Annotated[int, typer.Option(min=1, max=10_000, help='Seeds for each scenario.')] = 5,
    jobs: Jobs = 0,
    overrides: Overrides = None,
    out: Out = Path('results'),
) -> None:
    """Compare scenarios with the first: paired differences with 95 % intervals."""
    from analysis.compare import compare as compare_runs
    from analysis.tables import comparison_table
    from sim.loading import load
    from sim.replicating import Plan
    from sim.results.folder import find_runs
    from sim.running import prepare

    if len(scenarios) < 2:
        raise typer.BadParameter('give at least two scenarios')
    plans: list[Plan] = []
    for name in scenarios:
        if not Path(name).is_dir():
            loaded, origin = load(name, overrides or [])
            plans += [Plan(loaded, origin, loaded.seed + i) for i in range(replications)]
    for plan in {id(plan.scenario): plan for plan in plans}.values():
        prepare(plan.scenario, plan.origin)  # a mistake in the last scenario is told before the first one runs
    simulated = iter(_simulate(plans, trace='none', jobs=jobs, out=out / 'compare'))  # not over richer runs
    sides = [find_runs(Path(name)) if Path(name).is_dir() else list(islice(simulated, replications))
             for name in scenarios]
    names = [side[0].folder.parent.name if Path(name).is_dir() else Path(name).stem if name.endswith('.yaml') else name
             for name, side in zip(scenarios, sides, strict=True)]
    for name, side in zip(names[1:], sides[1:], strict=True):
        _print(comparison_table(compare_runs(sides[0], side), names[0], name))


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar='RUN', help='A run folder.')]) -> None:
    """Write one self-contained HTML page for a run."""
    from analysis.report import write_report

    print(write_report(folder))


@app.command()
def profiles(name: Annotated[str | None, typer.Argument(metavar='NAME')] = None) -> None:
    """List the shipped profiles, or print one: every number with its source."""
    from analysis.tables import plain_table, profile_table
    from sim.profiles import load_profile, shipped_profiles, table

    if name is None:
        rows = [{'profile': shipped, 'device': load_profile(shipped).title} for shipped in shipped_profiles()]
        _print(plain_table(rows))
    else:
        _print(profile_table(table(load_profile(name))))


def _print(table: RenderableType) -> None:
    """Print a table as wide as the terminal; wider than a usual one where there is none."""
    console = Console()
    if not console.is_terminal and 'COLUMNS' not in os.environ:
        console = Console(width=PIPED_COLUMNS)
    console.print(table)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"'{value}'; expected one of {', '.join(known)}", param_hint=option)


def _simulate(plans: Sequence[Plan], *, trace: Any, jobs: int, out: Path,
              finish: Callable[[Path], object] | None = None) -> list[Run]:
    """Make runs behind one progress bar: simulated time of all plans together, and messages a second."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from sim.compiling import is_compiled
    from sim.replicating import simulate_all

    if not plans:
        return []
    if sys.stderr.isatty() and any(plan.engine != 'simpy' for plan in plans) and not is_compiled('loop.run_until'):
        print('iomtwin: compiling the engine, once; this takes a minute or so', file=sys.stderr)
    done = [0.0] * len(plans)
    messages = [0] * len(plans)
    simulated_s = sum(plan.scenario.duration for plan in plans)
    begun = time.monotonic()
    columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TextColumn('{task.fields[rate]}'),
               TimeRemainingColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(f'{len(plans)} runs' if len(plans) > 1 else plans[0].scenario.name, total=simulated_s,
                            rate='')

        def show(i: int, share: float, n_jobs: int) -> None:
            done[i] = share
            messages[i] = max(messages[i], n_jobs)
            now_s = sum(part * plan.scenario.duration for part, plan in zip(done, plans, strict=True))
            rate = sum(messages) / max(time.monotonic() - begun, 1e-3)
            bar.update(task, completed=now_s,
                       rate=f'{now_s:,.0f} of {simulated_s:,.0f} s simulated, {rate:,.0f} messages/s')

        return simulate_all(plans, out, n_processes=jobs, trace=trace, finish=finish, progress=show)


if __name__ == '__main__':
    main()
