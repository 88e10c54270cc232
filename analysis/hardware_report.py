"""The page of one run on hardware: what was measured on what, whether it counts, and what of it is simulated.

Whole jobs stand apart from what workers measured, and every table says in its title which it is. The page leaves out
devices and stations, of which hardware measures nothing, and single messages: they are in chains.parquet.
"""

import polars as pl
from matplotlib.figure import Figure

from analysis import figures
from analysis.asked import asked
from analysis.hardware import chain_sheet, head, node_sheet, pace, pace_sheet, stage_sheet, whole_sheet
from analysis.hardware_figures import round_trip_figure
from analysis.page import drawn, learning_parts, render_page
from analysis.sheets import deadline_sheet, outcome_sheet, rows_of
from analysis.words import measured, seconds
from sim.results.folder import Run


def render_hardware(run: Run) -> str:
    """Return the page of a run on hardware."""
    rows, manifest, scenario = rows_of(run.summary), run.manifest, run.scenario
    chains = run.table('chains')
    return render_page(
        'hardware.html', manifest=manifest, scenario=scenario, summary=run.summary, scenario_text=run.scenario_text,
        facts=manifest['hardware'], reasons=run.reasons(), warnings=manifest.get('warnings', ()), head=head(run),
        asked=asked(scenario, manifest.get('security')), flows=whole_sheet(run), outcomes=outcome_sheet(rows),
        deadlines=deadline_sheet(rows), chains=chain_sheet(run), stages=stage_sheet(run), pacing=pace_sheet(run),
        pace=pace(run), nodes=node_sheet(run), measured=measured(scenario), warm_up_s=seconds(scenario['warm_up']),
        **learning_parts(run), figures=drawn(_figures(chains.filter(pl.col('is_counted')), run.table('rounds'))))


def _figures(chains: pl.DataFrame, rounds: pl.DataFrame) -> dict[str, tuple[Figure, str]]:
    """Return the figures that this run has data for, by name."""
    found = dict[str, tuple[Figure, str]]()
    if chains.height:
        found['round_trip'] = (round_trip_figure(chains),
                               'Empirical distribution of the round trip for each flow, and of its parts')
    if rounds.height:
        found['rounds'] = figures.rounds_figure(rounds), 'Duration of each round of learning, and its clients'
    return found
