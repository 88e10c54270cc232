"""Commands about hardware: timing a machine, working on one, and driving several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from analysis.interrupts import unwinding
from analysis.terminal import say, show
from commands.options import InventoryName, KeysFile, Out, Overrides, Provider, RunName, ScenarioName
from sim.errors import InputError

hil = typer.Typer(no_args_is_help=True, help='Hardware in the loop: real workers do what the inventory binds.')


def calibrate_machine(
    *,
    out: Annotated[Path, typer.Option(metavar='FILE', help='The profile; it is named like its file.')] = Path(
        'calibrated.yaml'),
    quick: Annotated[bool, typer.Option('--quick', help='Some 20 s, with fewer calls and sizes.')] = False,
    provider: Provider = None,
    seconds: Annotated[float | None, typer.Option(
        min=1, max=86_400, help='How long it takes; else 120. A longer one has larger sizes.')] = None,
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


def worker(context: typer.Context) -> None:
    """Do the work of one place of a run on hardware: what runs on a node."""
    from hil.worker.command import main as work

    raise typer.Exit(work(context.args))


@hil.command('run')
def hil_run(
    scenario: ScenarioName,
    *,
    inventory: InventoryName = 'local',
    only_bound: Annotated[bool, typer.Option(
        '--only-bound', help='Leave out all that is not bound: the testbed alone, no model in between.')] = False,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="In place of the scenario's.")] = None,
    provider: Provider = None,
    run: RunName = None,
    keys_file: KeysFile = None,
    overrides: Overrides = None,
    out: Out = Path('results/hil'),
) -> None:
    """Run a scenario in real time, with bound places done by real workers, and leave a run folder."""
    from analysis.hardware import hardware_tables
    from commands.live import live_table
    from hil.inventory import load_inventory
    from hil.paced.running import execute, plan
    from sim.loading import load
    from sim.results.contents import scenario_folder, write_run
    from sim.results.folder import complete_folder, read_run
    from sim.running import with_seed

    loaded, origin = load(scenario, overrides or [])
    chosen = with_seed(loaded, loaded.seed if seed is None else seed)
    made = plan(chosen, origin, load_inventory(inventory), only_bound=only_bound, provider=provider,
                run=run, keys_file=keys_file)
    # A measurement cannot be made again: each has a folder of its own.
    target = scenario_folder(out, chosen, made.lowered.profiles) / f'seed-{chosen.seed}-{made.run}'
    if os.path.lexists(target):
        raise InputError(f"'{target}' is there already; choose another --run or --out")
    with unwinding(), complete_folder(target) as folder, live_table(chosen.name, chosen.duration) as shown:
        write_run(folder, execute(made, waiting=shown.waiting, onlooker=shown.onlooker))
    show(hardware_tables(read_run(target)))
    say(f'run: {target}\n')


@hil.command('check')
def hil_check(
    scenario: ScenarioName,
    *,
    inventory: InventoryName = 'local',
    provider: Provider = None,
    run: RunName = None,
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
    made = plan(loaded, origin, load_inventory(inventory), provider=provider, run=run,
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
