"""Several seeds of one scenario as one page, and the folder of their set: means over the runs, with 95 % intervals.

The folder is named after its seeds, so that no set takes another's place. The page leaves out what is of one run only:
each run has a page of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from analysis.asked import asked
from analysis.interval_figures import replications_figure
from analysis.page import drawn, render_page
from analysis.replications import intervals, set_name, summarise, write
from analysis.report import QUEUES_SHOWN, STATIONS_SHOWN
from analysis.sheets import (
    cause_sheet,
    crypto_sheet,
    deadline_sheet,
    device_sheet,
    flow_sheet,
    key_sheet,
    outcome_sheet,
    queue_sheet,
    rows_of,
    station_sheet,
)
from analysis.words import of_several, rounds_said
from sim.errors import InputError
from sim.results.folder import Run, complete_folder


def write_replications(runs: Sequence[Run], folder: Path) -> Path:
    """Write the tables, the summary and the page of a set of seeds into a folder of its own, whole or not at all.

    Parameters
    ----------
    runs
        Of one scenario, at least one.
    folder
        Of all seeds of the scenario.

    Returns
    -------
    Path
        The folder of the set, named after its seeds.

    Raises
    ------
    InputError
        If the runs are on hardware.
    RunError
        If the disk is full, or refuses for another reason.
    """
    for run in runs:
        if run.is_measured:
            raise InputError(f"'{run.folder}' is of a run on hardware; such runs have a page each and none together: "
                             'name one, or compare them')
    target = folder / set_name([run.manifest['seed'] for run in runs])
    with complete_folder(target) as partial:
        write(runs, partial)
        (partial / 'report.html').write_text(render_replications(runs), 'utf-8')
    return target


def render_replications(runs: Sequence[Run]) -> str:
    """Return the page of several seeds of a scenario."""
    summary, scenario = summarise(runs), runs[0].scenario
    rows = rows_of(summary)
    figures = {}
    if any(row['metric'] == 'latency' and row['p50'] is not None for row in summary):
        figures['intervals'] = (replications_figure(summary),
                                'Latency and missed deadlines of each flow: means over the runs with 95 % intervals')
    sheets = [flow_sheet(rows), outcome_sheet(rows), deadline_sheet(rows), crypto_sheet(rows), cause_sheet(rows),
              key_sheet(rows), device_sheet(rows), station_sheet(runs, STATIONS_SHOWN), queue_sheet(runs, QUEUES_SHOWN)]
    return render_page(
        'replications.html', manifest=runs[0].manifest, scenario=scenario,
        asked=asked(scenario, runs[0].manifest.get('security')),
        seeds=[run.manifest['seed'] for run in runs], of_several=of_several(len(runs)),
        warnings=[(run.manifest['seed'], warning) for run in runs for warning in run.manifest.get('warnings', ())],
        sheets_shown=[sheet for sheet in sheets if sheet.rows], figures=drawn(figures),
        rounds_said=rounds_said([row for run in runs for row in run.summary]) if scenario['learning'] else None,
        intervals=intervals(runs).to_dicts())
