"""Commands that say how far off a model is."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from analysis.interrupts import unwinding
from analysis.terminal import say, show
from commands.options import InventoryName, Overrides


def validate(
    scenario: Annotated[str, typer.Argument(metavar='[SCENARIO]', help='A path, or a shipped one.')] = 'testbed',
    *,
    inventory: InventoryName = 'local',
    quick: Annotated[bool, typer.Option('--quick', help='Two configurations of 12 s, calibrated briefly.')] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help='The first one.')] = 1,
    overrides: Overrides = None,
    replicates: Annotated[int | None, typer.Option(min=2, max=100, help='Seeds; else 3, with --quick 2.')] = None,
    resume: Annotated[bool, typer.Option('--resume', help='Go on with one that was interrupted.')] = False,
    out: Annotated[Path, typer.Option(metavar='DIR', help='Where runs, tables and figures go.')] = Path(
        'results/validation'),
) -> None:
    """Calibrate a testbed, run a scenario on it and in a model of it, and say how far off the model is."""
    from analysis import validation_report
    from analysis.tables import Fitting
    from analysis.validation import validate as compare
    from hil.inventory import load_inventory
    from hil.validation import trials
    from hil.validation.mistakes import MISTAKES
    from sim.errors import InputError

    made = trials.planned(scenario, tuple(overrides or ()), load_inventory(inventory), quick=quick, seed=seed,
                          n_replicates=replicates)
    trials.check(made)
    if resume:
        trials.check_resumable(made, out)
    elif os.path.lexists(out):
        raise InputError(f"'{out}' is there already; choose another --out, or go on with it: --resume")
    begun_s = time.monotonic()

    def told(what: str) -> None:  # a line at a time: nothing may be drawn while the clock of a run runs
        print(f'{(time.monotonic() - begun_s) / 60:6.1f} min  {what}', file=sys.stderr, flush=True)

    with unwinding():
        if not resume:
            trials.begin(made, out)
        trials.measure(made, out, told)
        told('the model of the testbed')
        trials.calibrate(made, out)
        trials.simulate(made, out)
        for mistake in MISTAKES:
            told(f'the model of the testbed, made wrong: {mistake.title}')
            trials.simulate(made, out, mistake)
        found = compare(out)
        validation_report.write(found, out, f'iomtwin {shlex.join(sys.argv[1:])}')
    for sheet in validation_report.sheets(found):
        if sheet.rows:
            show(Fitting(sheet))
            say('\n')
    if validation_report.doubt(found):
        say(f'{validation_report.doubt(found)}\n')
    say(f'validation: {out}\n')
