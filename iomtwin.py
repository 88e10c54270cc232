"""The command line: a thin door to sim and analysis, which it imports inside its commands.

Errors that iomtwin raises on purpose are one line and an exit code: 2 for bad input, 1 for a failed run.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from analysis.interrupts import INTERRUPTED, LINE, leaving, unwinding

with leaving():  # these imports take long enough to be interrupted
    import typer

    from analysis.terminal import CLOSED, discard_output, say, show
    from sim.errors import IomtwinError, one_line

if TYPE_CHECKING:
    from sim.replicating import Plan
    from sim.results.folder import Run

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="A twin of a hospital's Internet of Medical Things under post-quantum cryptography.")
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
        say('')
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
        discard_output()
        message, code = f'{error.filename or "output"}: {error.strerror or error}; look after the disk and the path', 1
    except SystemExit:  # what click and rich make of a closed pipe
        discard_output()
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
        say(json.dumps(Scenario.model_json_schema(mode='serialization'), indent=2) + '\n')
        return
    if scenario is None:
        raise typer.BadParameter('give a SCENARIO, or --schema')
    loaded, origin = load(scenario, overrides or [])
    model = lower(loaded, origin)
    n_devices = int((model.entities.attachment >= 0).sum())
    say(f'{resolved_yaml(loaded, origin.arrivals)}# {n_devices:,} devices of {len(loaded.devices)} classes, '
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
    from analysis.comparison_report import Side, write_comparison
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
    for plan in {id(plan.scenario): plan for plan in plans}.values():
        prepare(plan.scenario, plan.origin, plan.profiles)  # a mistake in the last is told before the first one runs
    simulated = iter(_simulate(plans, trace='none', jobs=jobs, out=out / 'compare'))  # not over richer runs
    found = [given[name] if name in given else list(islice(simulated, replications)) for name in scenarios]
    sides = [Side(_name(name, runs, is_given=name in given), runs) for name, runs in zip(scenarios, found, strict=True)]
    differences = [compare_runs(sides[0].runs, other.runs) for other in sides[1:]]
    for other, table in zip(sides[1:], differences, strict=True):
        show(Fitting(comparison_sheet(table, sides[0].name, other.name)))
    for side in sides:
        show(security_line(side.runs[0], side.name))
        for line in warning_lines(side.runs, side.name):
            show(line)
    with unwinding():
        say(f'report: {write_comparison(sides, differences, out / "compare")}\n')


def _name(given: str, runs: Sequence[Run], *, is_given: bool) -> str:
    """Return what a side of a comparison is called: a folder by its scenario, a file without its ending."""
    if is_given:
        return runs[0].folder.parent.name
    return Path(given).stem if given.endswith('.yaml') else given


@app.command('calibrate')
def calibrate_machine(
    *,
    out: Annotated[Path, typer.Option(metavar='FILE', help='The profile; it is named like its file.')] = Path(
        'calibrated.yaml'),
    quick: Annotated[bool, typer.Option('--quick', help='Some 20 s, with fewer calls and sizes.')] = False,
    provider: Annotated[str | None, typer.Option(metavar='NAME', help='Who does ML-KEM; else the fastest.')] = None,
    seconds: Annotated[float | None, typer.Option(min=1, max=86_400, help='How long it takes; else 120.')] = None,
    like: Annotated[str | None, typer.Option(metavar='PROFILE', help='Whose watts and broker to take over.')] = None,
) -> None:
    """Time the real primitives on this machine and write a profile of it."""
    from analysis.progress import drawn_between_steps
    from analysis.tables import plain_table
    from hil.calibration import report
    from hil.calibration.calibrating import FULL_S, QUICK_S, calibrate
    from hil.calibration.machine import inspect, similar_profile
    from hil.calibration.profile_file import check_target
    from hil.crypto.providers import choose
    from sim.profiles import load_profile
    from sim.results.folder import complete_file

    if quick and seconds is not None:
        raise typer.BadParameter('give either --quick or --seconds')
    check_target(out)
    chosen, model = choose(provider), load_profile(like or similar_profile(inspect()))
    say(f'ML-KEM by {chosen.name} {chosen.version}: {chosen.reason}\n')
    with unwinding(), drawn_between_steps() as show_progress:
        found = calibrate(chosen, model, out.stem, seconds or (QUICK_S if quick else FULL_S), show_progress)
    with unwinding(), complete_file(out) as partial:
        partial.write_text(found.text, 'utf-8')
    for rows in (report.operation_rows(found.measured), report.held_out_rows(found.measured, found.missing)):
        show(plain_table(rows))
    say('\n'.join((*report.lines(found.measured, found.missing, found.warnings), f'profile: {out}\n')))


@app.command()
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


@app.command()
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


@app.command(add_help_option=False, context_settings={'ignore_unknown_options': True, 'allow_extra_args': True})
def worker(context: typer.Context) -> None:
    """Do the work of one place of a run on hardware: what runs on a node."""
    from hil.worker.command import main as work

    raise typer.Exit(work(context.args))


hil = typer.Typer(no_args_is_help=True, help='Hardware in the loop: real workers do what the inventory binds.')
app.add_typer(hil, name='hil')
InventoryName = Annotated[str, typer.Option('--inventory', metavar='INVENTORY',
                                            help='A .yaml file, or the name of a shipped one.')]
RunId = Annotated[str | None, typer.Option('--run', metavar='RUN',
                                           help='The id that workers elsewhere were started with; else a fresh one.')]
KeysFile = Annotated[Path | None, typer.Option('--keys-file', metavar='FILE',
                                               help='Where the keys of workers elsewhere are left for the run.')]
Provider = Annotated[str | None, typer.Option(metavar='NAME', help='Who does ML-KEM; else the fastest.')]


@hil.command('run')
def hil_run(
    scenario: ScenarioName,
    *,
    inventory: InventoryName = 'local',
    only_bound: Annotated[bool, typer.Option(
        '--only-bound', help='Leave out all that is not bound: the testbed alone, no model in between.')] = False,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="In place of the scenario's.")] = None,
    provider: Provider = None,
    run_id: RunId = None,
    keys_file: KeysFile = None,
    overrides: Overrides = None,
    out: Out = Path('results'),
) -> None:
    """Run a scenario in real time, with bound places done by real workers, and leave a run folder."""
    from analysis.hardware import hardware_tables
    from analysis.progress import progress_bar, waiting_line
    from hil.inventory import load_inventory
    from hil.paced.running import execute, plan
    from sim.loading import load
    from sim.results.contents import scenario_folder, write_run
    from sim.results.folder import complete_folder, read_run
    from sim.running import with_seed

    loaded, origin = load(scenario, overrides or [])
    chosen = with_seed(loaded, loaded.seed if seed is None else seed)
    made = plan(chosen, origin, load_inventory(inventory), only_bound=only_bound, provider=provider,
                run=run_id, keys_file=keys_file)
    target = scenario_folder(out / 'hil', chosen, made.lowered.profiles) / f'seed-{chosen.seed}'
    with (unwinding(), complete_folder(target) as folder, waiting_line() as waiting,
          progress_bar(chosen.name, [chosen.duration]) as progress):
        write_run(folder, execute(made, waiting=waiting, progress=lambda now_s, n_jobs: progress(
            0, min(now_s / chosen.duration, 1.0), n_jobs)))
    show(hardware_tables(read_run(target)))
    say(f'run: {target}\n')


@hil.command('check')
def hil_check(
    scenario: ScenarioName,
    *,
    inventory: InventoryName = 'local',
    provider: Provider = None,
    run_id: RunId = None,
    keys_file: KeysFile = None,
    overrides: Overrides = None,
) -> None:
    """Check that a scenario can be run on an inventory, and that its broker is there and its rights are right."""
    from analysis.progress import waiting_line
    from analysis.tables import plain_table
    from hil.inventory import load_inventory
    from hil.paced.running import inspect, plan
    from sim.loading import load

    loaded, origin = load(scenario, overrides or [])
    made = plan(loaded, origin, load_inventory(inventory), provider=provider, run=run_id,
                keys_file=keys_file)
    with unwinding(), waiting_line() as waiting:
        rows = inspect(made, waiting=waiting)
    show(plain_table(rows))


@hil.command('clean')
def hil_clean(*, inventory: InventoryName = 'local') -> None:
    """Remove the queues and exchanges that dead runs have left on an inventory's broker."""
    from hil.inventory import load_inventory
    from hil.paced.cleaning import clean_dead_runs

    with unwinding():
        say(''.join(f'{line}\n' for line in clean_dead_runs(load_inventory(inventory))))


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 - Path.is_dir raises if the name is too long


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"'{value}'; expected one of {', '.join(known)}", param_hint=option)


def _simulate(plans: Sequence[Plan], *, trace: Any, jobs: int, out: Path,
              finish: Callable[[Path], object] | None = None) -> list[Run]:
    """Make runs behind one progress bar."""
    from analysis.progress import progress_bar
    from sim.compiling import is_compiled
    from sim.replicating import simulate_all

    if not plans:
        return []
    if sys.stderr.isatty() and any(plan.engine != 'simpy' for plan in plans) and not is_compiled('loop.run_until'):
        print('iomtwin: compiling the engine, once; this takes a minute or so', file=sys.stderr)
    label = f'{len(plans)} runs' if len(plans) > 1 else plans[0].scenario.name
    with unwinding(), progress_bar(label, [plan.scenario.duration for plan in plans]) as progress:
        return simulate_all(plans, out, n_processes=jobs, trace=trace, finish=finish, progress=progress)


if __name__ == '__main__':
    main()
