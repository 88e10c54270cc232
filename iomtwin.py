"""The command line: a thin door to sim and analysis, which it imports inside its commands.

Errors that iomtwin raises on purpose are one line and an exit code: 2 for bad input, 1 for a failed run.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sim.interrupts import INTERRUPTED, LINE, leaving, unwinding

with leaving():  # these imports take long enough to be interrupted
    import typer
    from rich.console import Console, RenderableType

    from sim.errors import IomtwinError, RunError, one_line

if TYPE_CHECKING:
    from hil.calibration.calibrating import Calibration
    from hil.crypto.providers import Provider
    from sim.profiles import Profile
    from sim.replicating import Plan
    from sim.results.folder import Run

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="A twin of a hospital's Internet of Medical Things under post-quantum cryptography.")
PIPED_COLUMNS = 110  # of output that goes to a file
CLOSED = 141  # 128 + SIGPIPE: whoever read the output has read enough
DRAWN_EVERY_S = 0.2  # a progress bar that must not run by itself
OUT_OF_MEMORY = 'memory ran out; take fewer devices, a shorter duration or --trace none'

ScenarioName = Annotated[str, typer.Argument(metavar='SCENARIO', help='A .yaml file, or the name of a shipped one.')]
Overrides = Annotated[list[str] | None,
                      typer.Option('--set', metavar='KEY=VALUE', help='Override one key; repeatable.')]
Engine = Annotated[Any, typer.Option(metavar='auto|simpy|compiled', help='auto: compiled, the same times fast.')]
Out = Annotated[Path, typer.Option(metavar='DIR', help='Where run folders go.')]
Jobs = Annotated[int, typer.Option(min=0, max=4096, help='Processes for replications; 0: one a core.')]


def main() -> None:
    """Run the command line and turn errors into one line and an exit code."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # then there is nothing left to interrupt
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it is None if it was closed before we began
            stream.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]  # what a terminal cannot show
    with leaving():
        code = _ended(sys.argv[1:])
    if code:
        sys.exit(code)


def _ended(arguments: list[str]) -> int:
    """Run a command and return its exit code; whatever went wrong is told."""
    message = ''
    try:
        code = app(arguments or ['--help'], standalone_mode=False) or 0  # of an early exit, its code
        _say('')
    except IomtwinError as error:
        message, code = str(error), error.exit_code
    except typer.Exit as early:
        code = early.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED  # typer may make it of an interrupt as well
    except MemoryError:
        message, code = OUT_OF_MEMORY, 1
    except ImportError as error:
        message, code = f'a library cannot be loaded ({error}); free memory, or install iomtwin anew', 1
    except OSError as error:
        _discard_output()
        message, code = f'{error.filename or "output"}: {error.strerror or error}; look after the disk and the path', 1
    except SystemExit:  # what click and rich make of a closed pipe
        _discard_output()
        code = CLOSED
    except Exception as error:
        message, code = _usage(error), 2
    line = LINE if code == INTERRUPTED else f'iomtwin: {one_line(message)}\n' if message else ''
    if sys.stderr is not None:
        with suppress(OSError):  # whoever listened may have gone
            print(line, end='', file=sys.stderr)
    return code


def _usage(error: Exception) -> str:
    """Return what a usage error of the command line says; raise anything else."""
    if not hasattr(error, 'format_message'):
        raise error
    return f'{error.format_message()} (iomtwin --help lists the commands)'


def _say(text: str) -> None:
    """Print a text now, so that it is here that an output which takes no more shows itself."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        raise typer.Exit(CLOSED) from None
    except OSError as error:
        _discard_output()
        raise RunError(f'the output cannot be written ({error.strerror}); make room, or send it elsewhere') from None


def _discard_output() -> None:
    """Send what is left of the output to nowhere: Python would try again at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        _say(json.dumps(Scenario.model_json_schema(mode='serialization'), indent=2) + '\n')
        return
    if scenario is None:
        raise typer.BadParameter('give a SCENARIO, or --schema')
    loaded, origin = load(scenario, overrides or [])
    model = lower(loaded, origin)
    n_devices = int((model.entities.attachment >= 0).sum())
    _say(f'{resolved_yaml(loaded, origin.arrivals)}# {n_devices:,} devices of {len(loaded.devices)} classes, '
         f'{model.stations.n:,} stations, {model.routes.stream.size:,} route templates\n')


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
        with unwinding():
            write(runs, folder)
        _say(f'{len(runs)} runs; every mean and percentile with its 95 % interval: {folder / "summary.json"}\n')
        return
    manifest = runs[0].manifest
    _say(f'{manifest["n_jobs"]:,} messages, {manifest["n_hops"]:,} hops, {manifest["n_events"]:,} events in '
         f'{manifest["engine_wall_s"]:.1f} s by the {manifest["engine"]} engine\n'
         f'report: {runs[0].folder / "report.html"}\n')


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
    from analysis.compare import common_seeds
    from analysis.compare import compare as compare_runs
    from analysis.tables import comparison_table, security_line, warning_lines
    from sim.loading import load
    from sim.replicating import Plan
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
            plans += [Plan(loaded, origin, loaded.seed + i) for i in range(replications)]
            seeds[name] = [plan.seed for plan in plans[-replications:]]
    for name in scenarios[1:]:
        common_seeds(seeds[scenarios[0]], seeds[name])
    for plan in {id(plan.scenario): plan for plan in plans}.values():
        prepare(plan.scenario, plan.origin)  # a mistake in the last scenario is told before the first one runs
    simulated = iter(_simulate(plans, trace='none', jobs=jobs, out=out / 'compare'))  # not over richer runs
    sides = [given[name] if name in given else list(islice(simulated, replications)) for name in scenarios]
    names = [side[0].folder.parent.name if name in given else Path(name).stem if name.endswith('.yaml') else name
             for name, side in zip(scenarios, sides, strict=True)]
    for name, side in zip(names[1:], sides[1:], strict=True):
        _print(comparison_table(compare_runs(sides[0], side), names[0], name))
    for name, side in zip(names, sides, strict=True):
        _print(security_line(side[0], name))
        for line in warning_lines(side, name):
            _print(line)


@app.command()
def calibrate(
    *,
    out: Annotated[Path, typer.Option(metavar='FILE', help='The profile; it is named like its file.')] = Path(
        'calibrated.yaml'),
    quick: Annotated[bool, typer.Option('--quick', help='Some 20 s, with fewer calls and sizes.')] = False,
    provider: Annotated[str | None, typer.Option(metavar='NAME', help='Who does ML-KEM; else the fastest.')] = None,
    seconds: Annotated[float | None, typer.Option(min=1, max=86_400, help='How long it takes; else 120.')] = None,
    like: Annotated[str | None, typer.Option(metavar='PROFILE', help='Whose watts and broker to take over.')] = None,
) -> None:
    """Time the real primitives on this machine and write a profile of it."""
    from analysis.tables import plain_table
    from hil.calibration import report
    from hil.calibration.calibrating import FULL_S, QUICK_S
    from hil.calibration.machine import inspect, similar_profile
    from hil.calibration.profile_file import check_target
    from hil.crypto.providers import choose
    from sim.profiles import load_profile
    from sim.results.folder import complete_file

    if quick and seconds is not None:
        raise typer.BadParameter('give either --quick or --seconds')
    check_target(out)
    chosen, model = choose(provider), load_profile(like or similar_profile(inspect()))
    _say(f'ML-KEM by {chosen.name} {chosen.version}: {chosen.reason}\n')
    found = _calibrated(chosen, model, out.stem, seconds or (QUICK_S if quick else FULL_S))
    with unwinding(), complete_file(out) as partial:
        partial.write_text(found.text, 'utf-8')
    for rows in (report.operation_rows(found.measured), report.held_out_rows(found.measured, found.missing)):
        _print(plain_table(rows))
    _say('\n'.join((*report.lines(found.measured, found.missing, found.warnings), f'profile: {out}\n')))


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar='RUN', help='A run folder.')]) -> None:
    """Write one self-contained HTML page for a run."""
    from analysis.report import write_report

    with unwinding():
        page = write_report(folder)
    _say(f'{page}\n')


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
    with console.capture() as captured:
        console.print(table)
    _say(captured.get())


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 - Path.is_dir raises if the name is too long


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"'{value}'; expected one of {', '.join(known)}", param_hint=option)


def _calibrated(provider: Provider, like: Profile, name: str, seconds: float) -> Calibration:
    """Time this machine behind a progress bar, which is drawn between the calls that are timed and never during one."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from hil.calibration.calibrating import calibrate

    drawn_s = 0.0
    columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    with unwinding(), Progress(*columns, console=terminal, transient=True, auto_refresh=False,
                               disable=not terminal.is_terminal) as bar:
        task = bar.add_task('', total=1.0)

        def show(what: str, share: float) -> None:
            nonlocal drawn_s
            bar.update(task, description=what, completed=share)
            if time.monotonic() > drawn_s + DRAWN_EVERY_S:
                bar.refresh()
                drawn_s = time.monotonic()

        return calibrate(provider, like, name, seconds, show)


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
    with unwinding(), Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
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
